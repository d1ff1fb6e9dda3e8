package data

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// MaxPicture bounds the bytes of an image file to classify.
const MaxPicture = maxFileBytes

// Fitter converts image files to images of H x W pixels in C channels, 3 or 1, and counts what it converted. It is safe
// for concurrent use.
type Fitter struct {
	H, W, C int

	mu     sync.Mutex
	fitted fitted
	colour int // images of which a network of one channel sees the luma alone
}

// Fit returns the values [H, W, C] of the image file b of any kind and size up to maxFitSide, as fitImage makes them.
// It is turned as its EXIF data say.
func (f *Fitter) Fit(b []byte) ([]uint8, error) {
	to := shape{f.H, f.W, f.C, true}
	px := make([]uint8, to.values())
	k, scaled, err := fitImage(b, to, px)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.C == 1 && k == plain:
		f.colour++
	case f.C == 1 && k == grey:
		k = plain
	}
	f.fitted.count(k, scaled)
	return px, nil
}

// String says what was converted, as 3 of another size, 1 grey. It is empty where nothing was.
func (f *Fitter) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var parts []string
	if s := f.fitted.String(); s != "" {
		parts = append(parts, s)
	}
	if f.colour > 0 {
		parts = append(parts, fmt.Sprintf("%d in colour", f.colour))
	}
	return strings.Join(parts, ", ")
}

// IsPicture reports whether b, the beginning of a file, is that of an image that Fit reads.
func IsPicture(b []byte) bool {
	_, err := readHeader(b)
	return err == nil || bytes.HasPrefix(b, []byte(pngMagic)) || bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff})
}

// ImageFile is an image file below a folder.
type ImageFile struct {
	Path string
	Name string // below the folder, with slashes
	Err  error  // why it cannot be read, where that is known before it is opened; also of a folder that cannot be
}

// ImageFiles lists the image files below the folder dir, in the order of their names folder by folder. Links are
// followed. What cannot be read is listed with its error. Other files and hidden ones are left out; over counts them,
// and is empty where there are none.
func ImageFiles(ctx context.Context, dir string) (files []ImageFile, over string, err error) {
	w := folderWalk{want: isImage, over: new(passedOver), lenient: true}
	if err := w.listAll(ctx, dir); err != nil {
		return nil, "", err
	}
	for _, f := range w.files {
		files = append(files, ImageFile{filepath.Clean(f.path), f.name, f.err})
	}
	return files, w.over.String(), nil
}
