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
// CIFAR-100 is read in its binary form.

// cifarClasses are in the order of the published labels.
var cifarClasses = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// A record is a label, in CIFAR-100 two, then the red, the green and the blue plane, row by row.
const (
	cifarSide  = 32
	cifarPlane = cifarSide * cifarSide
)

var cifarShape = shape{h: cifarSide, w: cifarSide, c: 3}

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

// isCIFARBinary says whether name is a file of the binary form, wherever it lies. What a Mac puts beside each
// file in a tar, ._data_batch_1.bin, is none.
func isCIFARBinary(name string) bool {
	base := path.Base(name)
	return !hidden(name) && (strings.HasSuffix(base, ".bin") || base == "batches.meta.txt")
}

var cifarBatches = []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
	"data_batch_5.bin", "test_batch.bin"}

// readCIFARBinary reads the six files of records and the one of class names.
func readCIFARBinary(ctx context.Context, tree string, done func(n, total int64)) (train, test *Set, err error) {
	var batches [6][]picture
	seen := make([]bool, len(cifarBatches))
	err = walk(ctx, tree, isCIFARBinary, done, func(name string, size int64, r io.Reader) error {
		base := path.Base(name)
		at := slices.Index(cifarBatches, base)
		if base != "batches.meta.txt" && (at < 0 || seen[at]) {
			return errors.New("is not a file of CIFAR-10, or occurs twice")
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
		read, err := cifarRecords(b, 1, len(cifarClasses), base == "test_batch.bin")
		batches[at] = read
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if at := slices.Index(seen, false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, cifarBatches[at])
	}
	var pictures []picture // the training batches are numbered through
	for _, batch := range batches[:len(batches)-1] {
		for i := range batch {
			batch[i].at += int32(len(pictures))
		}
		pictures = append(pictures, batch...)
	}
	pictures = append(pictures, batches[len(batches)-1]...)
	if train, test, err = arrange(pictures, cifarClasses, cifarShape); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", tree, err)
	}
	return train, test, nil
}

// cifarRecords takes a file of records apart, each with so many labels, of which the last counts.
func cifarRecords(b []byte, labels, classes int, test bool) ([]picture, error) {
	size := labels + 3*cifarPlane
	if len(b)%size != 0 {
		return nil, fmt.Errorf("truncated: %d bytes are no whole number of records of %d", len(b), size)
	}
	n := len(b) / size
	pictures, pixels := make([]picture, n), make([]uint8, n*3*cifarPlane)
	for i := range pictures {
		record := b[i*size : (i+1)*size]
		label, planes := record[labels-1], record[labels:]
		if int(label) >= classes {
			return nil, fmt.Errorf("label %d of image %d is none of the %d", label, i, classes)
		}
		px := pixels[i*3*cifarPlane:][:3*cifarPlane]
		red, green, blue := planes[:cifarPlane], planes[cifarPlane:][:cifarPlane], planes[2*cifarPlane:][:cifarPlane]
		for j := range cifarPlane {
			o := px[3*j : 3*j+3]
			o[0], o[1], o[2] = red[j], green[j], blue[j]
		}
		pictures[i] = picture{test: test, label: int32(label), digest: sha256.Sum256(px), pixels: px, at: int32(i)}
	}
	return pictures, nil
}

const cifar100Classes = 100

// readCIFAR100 reads the fine classes of CIFAR-100 from the folder or archive at path, in the binary form:
// two files of records with two labels, the coarse and the fine one, and the names of the fine ones.
func readCIFAR100(ctx context.Context, tree string, done func(n, total int64)) (train, test *Set, err error) {
	files := []string{"train.bin", "test.bin", "fine_label_names.txt"}
	var classes []string
	var pictures []picture
	seen := make([]bool, len(files))
	want := func(name string) bool { return slices.Contains(files, path.Base(name)) }
	err = walk(ctx, tree, want, done, func(name string, size int64, r io.Reader) error {
		at := slices.Index(files, path.Base(name))
		if seen[at] {
			return errors.New("occurs twice")
		}
		seen[at] = true
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return truncated("the file", err)
		}
		if files[at] == "fine_label_names.txt" {
			classes = strings.Fields(string(b))
			if different := len(slices.Compact(slices.Sorted(slices.Values(classes)))); len(classes) != cifar100Classes ||
				different != cifar100Classes {
				return fmt.Errorf("lists %d classes, %d different ones, want %d", len(classes), different, cifar100Classes)
			}
			return nil
		}
		read, err := cifarRecords(b, 2, cifar100Classes, files[at] == "test.bin")
		pictures = append(pictures, read...)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if at := slices.Index(seen, false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, files[at])
	}
	if train, test, err = arrange(pictures, classes, cifarShape); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", tree, err)
	}
	return train, test, nil
}
