package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Options say where to look for a set. The zero value is what users want.
type Options struct {
	Dir      string // instead of $DLA_DATA
	Cache    string // instead of the user's cache folder
	Offline  bool   // use no network
	Progress func(Progress)
}

// Progress reports a download.
type Progress struct {
	File        string
	Done, Total int64
}

func (o Options) dir() string {
	if o.Dir != "" {
		return o.Dir
	}
	return os.Getenv("DLA_DATA")
}

func (o Options) cache() (string, error) {
	if o.Cache != "" {
		return o.Cache, nil
	}
	return CacheDir()
}

// Load finds the set called name: in $DLA_DATA, then in the user's cache, then on the network, whose
// files are kept in the cache. Each file is checked by SHA-256 before use, and a damaged one is an
// error, never passed over. mnist that can be found nowhere is replaced by the synthetic digits:
// Dataset.Synthetic is then true, and Source says why.
func Load(ctx context.Context, name string, opt Options) (*Dataset, error) {
	if name == SyntheticDigits {
		return syntheticDataset("drawn from fonts, seeded"), nil
	}
	e, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	dir, source, err := e.locate(ctx, opt)
	var nowhere *notFoundError
	if errors.As(err, &nowhere) {
		return syntheticDataset(nowhere.Error()), nil
	}
	if err != nil {
		return nil, err
	}
	return loadMNIST(e, dir, source)
}

// notFoundError says why a set could be had from nowhere.
type notFoundError struct{ err error }

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }

// locate returns a folder with all of e's files, fetching them where it must, and what to call it.
func (e Entry) locate(ctx context.Context, opt Options) (dir, source string, err error) {
	if d := opt.dir(); d != "" {
		if dir = filepath.Join(d, e.Folder); e.present(dir) {
			return dir, "$DLA_DATA", nil
		}
	}
	cache, err := opt.cache()
	if err != nil {
		return "", "", err
	}
	if dir = filepath.Join(cache, e.Folder); e.present(dir) {
		return dir, "the cache", nil
	}
	if opt.Offline {
		return "", "", &notFoundError{fmt.Errorf("%s is neither in $DLA_DATA nor in %s, and the network is not to be used", e.Name, dir)}
	}
	source, err = e.Pull(ctx, dir, opt.Progress)
	if err != nil {
		return "", "", err
	}
	return dir, source, nil
}

// Dir is the folder on this machine that Load would read e from; empty where there is none.
func (e Entry) Dir(opt Options) (string, error) {
	opt.Offline = true
	dir, _, err := e.locate(context.Background(), opt)
	var nowhere *notFoundError
	if errors.As(err, &nowhere) {
		return "", nil
	}
	return dir, err
}

// loadMNIST reads the four files in dir.
func loadMNIST(e Entry, dir, source string) (*Dataset, error) {
	remedy := func(err error) error {
		return fmt.Errorf("%s: %w; get it anew with `dla data pull %s`", e.Name, err, e.Name)
	}
	ds := &Dataset{Name: e.Name, Source: source}
	for i, dst := range []**Set{&ds.Train, &ds.Test} {
		n := []int{60000, 10000}[i]
		pixels, err := e.Files[2*i].read(dir, 28, 28, n)
		if err != nil {
			return nil, remedy(err)
		}
		labels, err := e.Files[2*i+1].read(dir, 0, 0, n)
		if err != nil {
			return nil, remedy(err)
		}
		s := &Set{N: n, H: 28, W: 28, C: 1, Pixels: pixels, Labels: make([]int32, n), Classes: digits}
		for j, l := range labels {
			if l > 9 {
				return nil, remedy(fmt.Errorf("%s: label %d of image %d is not a digit", e.Files[2*i+1].Name, l, j))
			}
			s.Labels[j] = int32(l)
		}
		*dst = s
	}
	ds.Fingerprint = fingerprint(ds.Train, ds.Test)
	return ds, nil
}

var digits = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// read verifies and decodes one idx file of n elements (h = 0) or of n images of h x w.
func (f File) read(dir string, h, w, n int) ([]byte, error) {
	path := filepath.Join(dir, f.Name)
	b, err := f.readAll(path)
	if err != nil {
		return nil, err
	}
	if err := f.check(b); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	dims, want := 1, []int{n}
	if h > 0 {
		dims, want = 3, []int{n, h, w}
	}
	shape, px, err := readIDX(bytes.NewReader(b), dims, maxElements)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, d := range want {
		if shape[i] != d {
			return nil, fmt.Errorf("%s: holds %v, want %v", path, shape, want)
		}
	}
	return px, nil
}
