package data

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// noClass is the class of images in no folder of their own.
const noClass = "images"

// Folder reads any images at path, which is a folder, zip, tar or tar.gz: to evaluate on, or to train on as outliers.
// They get the size and channels of like, nil standing for 32x32 pixels in colour. Images of another form are converted
// (see fitImage); Dataset.Converted says how many and why. If images lie in folders train and test, or in class folders
// below them, and both hold some, these are the two splits; otherwise Train and Test are the same set of all images.
// The class of an image is the folder it lies in. Order and fingerprint depend on the images alone, as for every set.
//
// Links are followed in a folder and are an error in an archive. Other files are skipped, and one line of opt.Say
// counts them.
func Folder(ctx context.Context, name, path string, like *Set, opt Options) (*Dataset, error) {
	of := shapeOf(like)
	r := newImageReader(imageSpec{h: of.h, w: of.w, c: of.c, loose: true, fit: true, turn: true})
	train, test, err := r.read(ctx, path, fileProgress(opt.Progress, "decoding", filepath.Base(path)))
	if r.over.link != nil && ctx.Err() == nil { // a class may be missing, or all that there is
		err = fmt.Errorf("%s: %w", path, r.over.link)
	}
	if over := r.over.String(); over != "" && opt.Say != nil {
		opt.Say("%s: passed over: %s", path, over)
	}
	if err != nil {
		return nil, err
	}
	return &Dataset{Name: name, Train: train, Test: test, Source: path, Fingerprint: fingerprint(train, test),
		Converted: r.fitted.String()}, nil
}

// shapeOf is the form of the images of s; nil stands for CIFAR's.
func shapeOf(s *Set) shape {
	if s == nil {
		return cifarShape
	}
	return shape{h: s.H, w: s.W, c: s.C}
}

// readTextures reads the Describable Textures, photographs of some 300 to 640 pixels a side in a folder for
// each of 47 kinds, made to fit as the images of Folder are. The published lists of parts are not used: all
// images are both parts.
func readTextures(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	return readImages(ctx, path, imageSpec{h: cifarSide, w: cifarSide, loose: true, fit: true}, done)
}

// arrangeLoosely makes the two sets of pictures that may lie anywhere: of all pictures where some lie
// outside train and test, or all in one of them.
func arrangeLoosely(pictures []picture, classes []string, of shape, outside bool) (train, test *Set, err error) {
	sortPictures(pictures)
	part := func(isTest bool) *Set {
		return gather(pictures, classes, of, func(p picture) bool { return p.test == isTest })
	}
	train, test = part(false), part(true)
	switch {
	case len(pictures) == 0:
		return nil, nil, errors.New("holds no images (png, jpg, jpeg, webp, bmp, gif)")
	case outside || train.N == 0 || test.N == 0:
		all := gather(pictures, classes, of, func(picture) bool { return true })
		return all, all, nil
	}
	return train, test, nil
}
