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
// an image folder, and in the form of Python's pickles (cifarpython.go). All give the same set, in the same order and
// with the same fingerprint: see arrange. CIFAR-100 is read in its binary form and in Python's.

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
	binary, python := false, false
	wanted := func(name string) bool { return isCIFARBinary(name) || isCIFARPython(name) || isImagePlace(name) }
	err = walk(ctx, path, wanted, func(int64, int64) {}, func(name string, _ int64, _ io.Reader) error {
		binary, python = isCIFARBinary(name), isCIFARPython(name)
		return fs.SkipAll // the first file tells
	})
	switch {
	case err != nil:
		return nil, nil, err
	case binary:
		return readCIFARBinary(ctx, path, done)
	case python:
		return readCIFARPython(ctx, path, done)
	}
	return readImages(ctx, path, imageSpec{classes: cifarClasses, h: cifarSide, w: cifarSide}, done)
}

// isCIFARBinary says whether name is a file of the binary form, wherever it lies. What a Mac puts beside each
// file in a tar, ._data_batch_1.bin, is none.
func isCIFARBinary(name string) bool {
	base := path.Base(name)
	return !hidden(name) && (strings.HasSuffix(base, ".bin") || base == "batches.meta.txt")
}

// isCIFARBatch says whether name is one of CIFAR-10's files of records.
func isCIFARBatch(name string) bool {
	return !hidden(name) && slices.Contains(cifarBatches, path.Base(name))
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
		read, err := cifarRecords(b, 1, 0, len(cifarClasses), base == "test_batch.bin")
		batches[at] = read
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if at := slices.Index(seen, false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, cifarBatches[at])
	}
	return arrangeBatches(tree, batches)
}

// arrangeBatches makes the sets of the five training batches, which are numbered through, and the test batch.
func arrangeBatches(tree string, batches [6][]picture) (train, test *Set, err error) {
	var pictures []picture
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

// cifarRecords takes a file of records apart, each with so many labels, of which number at counts.
func cifarRecords(b []byte, labels, at, classes int, test bool) ([]picture, error) {
	size := labels + 3*cifarPlane
	if len(b)%size != 0 {
		return nil, fmt.Errorf("truncated: %d bytes are no whole number of records of %d", len(b), size)
	}
	n := len(b) / size
	pictures, pixels := make([]picture, n), make([]uint8, n*3*cifarPlane)
	for i := range pictures {
		record := b[i*size : (i+1)*size]
		label, planes := record[at], record[labels:]
		if int(label) >= classes {
			return nil, fmt.Errorf("label %d of image %d is none of the %d", label, i, classes)
		}
		pictures[i] = cifarPicture(planes, pixels[i*3*cifarPlane:][:3*cifarPlane], i, int32(label), test)
	}
	return pictures, nil
}

// cifarPicture is image number i of a file, whose values are put in px: planes are a red, a green and a blue one.
func cifarPicture(planes, px []uint8, i int, label int32, test bool) picture {
	red, green, blue := planes[:cifarPlane], planes[cifarPlane:][:cifarPlane], planes[2*cifarPlane:][:cifarPlane]
	for j := range cifarPlane {
		o := px[3*j : 3*j+3]
		o[0], o[1], o[2] = red[j], green[j], blue[j]
	}
	return picture{test: test, label: label, digest: sha256.Sum256(px), pixels: px, at: int32(i)}
}

// labels100 are the two kinds of labels of CIFAR-100.
type labels100 struct {
	classes int
	at      int    // of a record's two labels
	names   string // file of the classes' names in the binary form
	key     string // in Python's form; with an s that of the labels, with _names that of the classes' names
}

var (
	fine   = labels100{100, 1, "fine_label_names.txt", "fine_label"}
	coarse = labels100{20, 0, "coarse_label_names.txt", "coarse_label"}
)

// readCIFAR100 reads CIFAR-100 with its fine classes from the folder or archive at path, in either form.
func readCIFAR100(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	return fine.read(ctx, path, done)
}

// readCIFAR100Coarse reads CIFAR-100 with its 20 coarse classes.
func readCIFAR100Coarse(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	return coarse.read(ctx, path, done)
}

// read reads two files of records, or of pickles, with two labels, the coarse and the fine one, and the names of the
// classes.
func (l labels100) read(ctx context.Context, tree string, done func(n, total int64)) (train, test *Set, err error) {
	// the images to train and to test on and the names, in the binary form and in Python's
	files := []string{"train.bin", "test.bin", l.names, "train", "test", "meta"}
	const form = 3
	var classes []string
	var pictures []picture
	seen, err := walkOnce(ctx, tree, files, done, func(at int, b []byte) error {
		var read []picture
		var err error
		switch isTest := at%form == 1; {
		case at == 2:
			classes, err = l.checkNames(strings.Fields(string(b)))
		case at < form:
			read, err = cifarRecords(b, 2, l.at, l.classes, isTest)
		case at == form+2:
			classes, err = l.pickledNames(b)
		default:
			read, err = cifarPickle(b, l.key+"s", l.classes, isTest)
		}
		pictures = append(pictures, read...)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	first := 0
	switch binary, python := slices.Contains(seen[:form], true), slices.Contains(seen[form:], true); {
	case binary && python:
		return nil, nil, fmt.Errorf("%s: holds CIFAR-100 in two forms; keep one", tree)
	case python:
		first = form
	}
	if at := slices.Index(seen[first:first+form], false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, files[first+at])
	}
	if train, test, err = arrange(pictures, classes, cifarShape); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", tree, err)
	}
	return train, test, nil
}

// checkNames returns the names of the classes, if they are as many different ones as there are to be.
func (l labels100) checkNames(names []string) ([]string, error) {
	different := len(slices.Compact(slices.Sorted(slices.Values(names))))
	if len(names) != l.classes || different != l.classes {
		return nil, fmt.Errorf("lists %d classes, %d different ones, want %d", len(names), different, l.classes)
	}
	return names, nil
}
