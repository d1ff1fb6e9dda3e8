package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html) is read in its published binary form and as
// an image folder. Both give the same set, in the same order and with the same fingerprint: see arrange.

// cifarClasses are in the order of the published labels.
var cifarClasses = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

const (
	cifarSide   = 32
	cifarPlane  = cifarSide * cifarSide
	cifarRecord = 1 + 3*cifarPlane // a label, then the red, the green and the blue plane, row by row
)

// peopleClasses are those of CIFAR-100's superclass people, of which there is an image folder. Four of its
// pictures occur twice, under two labels, as in the original.
var peopleClasses = []string{"baby", "boy", "girl", "man", "woman"}

// readPeople reads the people of CIFAR-100 from the folder or archive at path.
func readPeople(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	return readImages(ctx, path, imageSpec{classes: peopleClasses, h: cifarSide, w: cifarSide}, done)
}

// readCIFAR reads CIFAR-10 from the folder or archive at path, whichever form is in it.
func readCIFAR(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	binary := false
	either := func(name string) bool { return isCIFARBinary(name) || isImagePlace(name) }
	err = walk(ctx, path, either, func(int64, int64) {}, func(name string, _ int64, _ io.Reader) error {
		binary = isCIFARBinary(name)
		return fs.SkipAll // the first file tells
	})
	if err != nil {
		return nil, nil, err
	}
	if binary {
		return readCIFARBinary(ctx, path, done)
	}
	return readImages(ctx, path, imageSpec{classes: cifarClasses, h: cifarSide, w: cifarSide}, done)
}

// isCIFARBinary says whether name is a file of the binary form, wherever it lies.
func isCIFARBinary(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".bin") || base == "batches.meta.txt"
}

var cifarBatches = []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}

// readCIFARBinary reads the six files of records and the one of class names.
func readCIFARBinary(ctx context.Context, tree string, done func(n, total int64)) (train, test *Set, err error) {
	var pictures []picture
	seen := make([]bool, len(cifarBatches))
	err = walk(ctx, tree, isCIFARBinary, done, func(name string, size int64, r io.Reader) error {
		base := path.Base(name)
		at := slices.Index(cifarBatches, base)
		if base != "batches.meta.txt" && (at < 0 || seen[at]) {
			return errors.New("is no file of CIFAR-10, or there twice")
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return truncated("the file", err)
		}
		if at < 0 {
			if names := strings.Fields(string(b)); !slices.Equal(names, cifarClasses) {
				return fmt.Errorf("lists other classes than %s", strings.Join(cifarClasses, ", "))
			}
			return nil
		}
		seen[at] = true
		read, err := cifarRecords(b, base == "test_batch.bin")
		pictures = append(pictures, read...)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if at := slices.Index(seen, false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, cifarBatches[at])
	}
	if train, test, err = arrange(pictures, cifarClasses, cifarSide, cifarSide); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", tree, err)
	}
	return train, test, nil
}

// cifarRecords takes a file of records apart.
func cifarRecords(b []byte, test bool) ([]picture, error) {
	if len(b)%cifarRecord != 0 {
		return nil, fmt.Errorf("truncated: %d bytes are no whole number of records of %d", len(b), cifarRecord)
	}
	n := len(b) / cifarRecord
	pictures, pixels := make([]picture, n), make([]uint8, n*3*cifarPlane)
	for i := range pictures {
		record := b[i*cifarRecord : (i+1)*cifarRecord]
		if int(record[0]) >= len(cifarClasses) {
			return nil, fmt.Errorf("label %d of image %d is none of CIFAR-10's", record[0], i)
		}
		px := pixels[i*3*cifarPlane:][:3*cifarPlane]
		red, green, blue := record[1:][:cifarPlane], record[1+cifarPlane:][:cifarPlane], record[1+2*cifarPlane:][:cifarPlane]
		for j := range cifarPlane {
			o := px[3*j : 3*j+3]
			o[0], o[1], o[2] = red[j], green[j], blue[j]
		}
		pictures[i] = picture{test, int32(record[0]), sha256.Sum256(px), px}
	}
	return pictures, nil
}
