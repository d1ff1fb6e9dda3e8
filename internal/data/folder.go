package data

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// noClass is the class of images in no folder of their own.
const noClass = "images"

// Folder reads any PNG or JPEG images, 32x32 in 8-bit RGB, at path: a folder, tar or tar.gz, to evaluate
// or to train on as outliers. Where each lies in a folder train or test (or in a class's below these) and
// both have some, these are the sets; else Train and Test are the same one, of all images. An image's class
// is the folder it lies in. Order and fingerprint depend on the images alone, as those of any set do.
// An image of another size or kind is an error that names it.
func Folder(ctx context.Context, name, path string, progress func(Progress)) (*Dataset, error) {
	spec := imageSpec{h: cifarSide, w: cifarSide, loose: true}
	train, test, err := readImages(ctx, path, spec, fileProgress(progress, "decoding", filepath.Base(path)))
	var size *sizeError
	if errors.As(err, &size) || errors.Is(err, errNotRGB) {
		err = fmt.Errorf("%w; make all its images 8-bit RGB of %dx%d pixels first (ImageMagick: magick IN.png -resize 32x32! PNG24:OUT.png)", err, cifarSide, cifarSide)
	}
	if err != nil {
		return nil, err
	}
	return &Dataset{Name: name, Train: train, Test: test, Source: path, Fingerprint: fingerprint(train, test)}, nil
}

// readTextures reads the Describable Textures, photographs of some 300 to 640 pixels a side in a folder for
// each of 47 kinds, scaled to the size of CIFAR's images. The published lists of parts are not used: all
// images are both parts.
func readTextures(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	return readImages(ctx, path, imageSpec{h: cifarSide, w: cifarSide, loose: true, fit: true}, done)
}

// arrangeLoosely makes the two sets of pictures that may lie anywhere: of all pictures where some lie
// outside train and test, or all in one of them.
func arrangeLoosely(pictures []picture, classes []string, h, w int, outside bool) (train, test *Set, err error) {
	sortPictures(pictures)
	part := func(isTest bool) *Set {
		return gather(pictures, classes, h, w, func(p picture) bool { return p.test == isTest })
	}
	train, test = part(false), part(true)
	switch {
	case len(pictures) == 0:
		return nil, nil, errors.New("holds no PNG or JPEG images")
	case outside || train.N == 0 || test.N == 0:
		all := gather(pictures, classes, h, w, func(picture) bool { return true })
		return all, all, nil
	}
	return train, test, nil
}
