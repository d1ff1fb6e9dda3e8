package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/pickle"
)

// The archives of CIFAR for Python hold pickles of Python 2: a dictionary with data, an array of numpy with a row of
// 3072 bytes for each image, a red, a green and a blue plane, and lists of labels. They are read without running
// anything.

// cifarPythonBatches are the files of CIFAR-10, in the order of cifarBatches, with the one of class names.
var cifarPythonBatches = []string{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5",
	"test_batch", "batches.meta"}

// isCIFARPython says whether name is a file of CIFAR-10 in Python's form.
func isCIFARPython(name string) bool {
	return !hidden(name) && slices.Contains(cifarPythonBatches, path.Base(name))
}

// isCIFAR100 says whether name tells that it is a file of CIFAR-100.
func isCIFAR100(name string) bool {
	base, dir := path.Base(name), path.Base(path.Dir(name))
	return !hidden(name) && (base == fine.names || base == "meta" && (dir == "." || dir == "cifar-100-python"))
}

// readOwnCIFAR reads CIFAR-10 from a folder or archive that the user names.
func readOwnCIFAR(ctx context.Context, at string, as Reading, opt Options) (*Dataset, error) {
	return ownCIFAR(ctx, at, as, opt, readCIFAR)
}

// readOwnCIFAR100 reads CIFAR-100 from a folder or archive that the user names, with the labels that as.Part names.
func readOwnCIFAR100(ctx context.Context, at string, as Reading, opt Options) (*Dataset, error) {
	switch as.Part {
	case "", "fine":
		return ownCIFAR(ctx, at, as, opt, readCIFAR100)
	case "coarse":
		return ownCIFAR(ctx, at, as, opt, readCIFAR100Coarse)
	}
	return nil, fmt.Errorf("%s: data.part is %q, want fine or coarse", at, as.Part)
}

func ownCIFAR(ctx context.Context, at string, as Reading, opt Options,
	read func(context.Context, string, func(n, total int64)) (*Set, *Set, error)) (*Dataset, error) {
	train, test, err := read(ctx, at, fileProgress(opt.Progress, "decoding", filepath.Base(at)))
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Train: train, Test: test, Own: &Own{}}
	if err = ds.refit(as); err == nil {
		err = ds.examine()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return ds, nil
}

// readCIFARPython reads the six pickles of images, and compares the class names where these are there.
func readCIFARPython(ctx context.Context, tree string, done func(n, total int64)) (train, test *Set, err error) {
	var batches [6][]picture
	seen, err := walkOnce(ctx, tree, cifarPythonBatches, done, func(at int, b []byte) error {
		if at == len(batches) {
			names, err := pickledTexts(b, "label_names")
			if err == nil && !slices.Equal(names, cifarClasses) {
				err = fmt.Errorf("lists other classes than %s", strings.Join(cifarClasses, ", "))
			}
			return err
		}
		read, err := cifarPickle(b, "labels", len(cifarClasses), at == len(batches)-1)
		batches[at] = read
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if at := slices.Index(seen[:len(batches)], false); at >= 0 {
		return nil, nil, fmt.Errorf("%s: holds no %s", tree, cifarPythonBatches[at])
	}
	return arrangeBatches(tree, batches)
}

// unpickle reads the dictionary that b is a pickle of.
func unpickle(b []byte) (*pickle.Dict, error) {
	v, _, err := pickle.Load(bytes.NewReader(b), int64(len(b)), pickle.Options{Globals: pickle.Numpy()})
	if err != nil {
		return nil, err
	}
	d, ok := v.(*pickle.Dict)
	if !ok {
		return nil, errors.New("is a pickle of something else than a dictionary")
	}
	return d, nil
}

// cifarPickle reads the images of a pickle with the labels called key.
func cifarPickle(b []byte, key string, classes int, test bool) ([]picture, error) {
	d, err := unpickle(b)
	if err != nil {
		return nil, err
	}
	const row = 3 * cifarPlane
	data, _ := d.Get("data")
	a, ok := data.(*pickle.Array)
	if !ok || len(a.Shape) != 2 || a.Shape[1] != row || a.DType != "|u1" || a.Fortran || len(a.Data) != a.Shape[0]*row {
		return nil, fmt.Errorf("its data are no array of bytes with rows of %d", row)
	}
	list, _ := d.Get(key)
	labels, ok := pickle.Ints(list)
	if !ok || len(labels) != a.Shape[0] {
		return nil, fmt.Errorf("%s is no list of a whole number for each of the %d images", key, a.Shape[0])
	}
	pictures, pixels := make([]picture, len(labels)), make([]uint8, len(a.Data))
	for i, label := range labels {
		if label < 0 || label >= classes {
			return nil, fmt.Errorf("label %d of image %d is none of the %d", label, i, classes)
		}
		pictures[i] = cifarPicture(a.Data[i*row:][:row], pixels[i*row:][:row], i, int32(label), test)
	}
	return pictures, nil
}

// pickledTexts reads the list of texts called key of a pickle.
func pickledTexts(b []byte, key string) ([]string, error) {
	d, err := unpickle(b)
	if err != nil {
		return nil, err
	}
	v, _ := d.Get(key)
	list, ok := v.(*pickle.List)
	if !ok {
		return nil, fmt.Errorf("has no list called %s", key)
	}
	var names []string
	for _, item := range list.Items {
		name, ok := pickle.Text(item)
		if !ok {
			return nil, fmt.Errorf("%s has something else than texts", key)
		}
		names = append(names, name)
	}
	return names, nil
}

// pickledNames reads the names of the classes from the pickle meta.
func (l labels100) pickledNames(b []byte) ([]string, error) {
	names, err := pickledTexts(b, l.key+"_names")
	if err != nil {
		return nil, err
	}
	return l.checkNames(names)
}
