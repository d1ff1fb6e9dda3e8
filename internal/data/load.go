package data

import (
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
		return syntheticDataset("the built-in typefaces, seeded"), nil
	}
	e, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	dir, source, err := e.locate(ctx, opt)
	if Nowhere(err) {
		why := err.Error()
		if d := opt.dir(); d != "" {
			why += "; $DLA_DATA is " + d
		}
		return syntheticDataset(why), nil
	}
	if err != nil {
		return nil, err
	}
	ds, err := loadMNIST(e, dir, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", e.Name, err, e.Remedy(dir, opt))
	}
	return ds, nil
}

// notFoundError says why a set could be had from nowhere.
type notFoundError struct{ err error }

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }

// Nowhere says whether err is that a set is not on this machine and no source of it could be reached.
func Nowhere(err error) bool {
	var nowhere *notFoundError
	return errors.As(err, &nowhere)
}

// Remedy says what to do about files in dir that are damaged or missing.
func (e Entry) Remedy(dir string, opt Options) string {
	if cache, err := opt.cache(); err == nil && dir == filepath.Join(cache, e.Folder) {
		return fmt.Sprintf("get it anew with `dla data pull %s`", e.Name)
	}
	return fmt.Sprintf("replace the files in %s, or unset DLA_DATA and get them with `dla data pull %s`", dir, e.Name)
}

// locate returns a folder with all of e's files, fetching them where it must, and what to call it. A
// folder with some of the files is one: reading it tells what is wrong. But in the cache, what is
// missing is fetched first, for another process may be fetching it now, or one was cut short.
func (e Entry) locate(ctx context.Context, opt Options) (dir, source string, err error) {
	if d := opt.dir(); d != "" {
		if dir = filepath.Join(d, e.Folder); len(e.missing(dir)) < len(e.Files) {
			return dir, "$DLA_DATA", nil
		}
	}
	cache, err := opt.cache()
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(cache, e.Folder)
	rest := e
	rest.Files = e.missing(dir)
	some := len(rest.Files) < len(e.Files)
	switch {
	case len(rest.Files) == 0 || some && opt.Offline:
		return dir, "the cache", nil
	case opt.Offline:
		return "", "", &notFoundError{fmt.Errorf("%s is neither in $DLA_DATA nor in %s, and the network is not to be used", e.Name, dir)}
	}
	source, err = rest.Pull(ctx, dir, opt.Progress)
	var nowhere *notFoundError
	if some && errors.As(err, &nowhere) { // not "nowhere": part of it is here
		err = fmt.Errorf("%s lacks %s: %w; %s", dir, rest.Files[0].Name, nowhere.err, e.Remedy(dir, opt))
	}
	if err != nil {
		return "", "", err
	}
	return dir, source, nil
}

// Dir is the folder on this machine that Load would read e from; empty where there is none.
func (e Entry) Dir(opt Options) (string, error) {
	opt.Offline = true
	dir, _, err := e.locate(context.Background(), opt)
	if Nowhere(err) {
		return "", nil
	}
	return dir, err
}

// loadMNIST reads the four files in dir.
func loadMNIST(e Entry, dir, source string) (*Dataset, error) {
	ds := &Dataset{Name: e.Name, Source: source}
	for i, dst := range []**Set{&ds.Train, &ds.Test} {
		n := []int{60000, 10000}[i]
		pixels, err := e.Files[2*i].read(dir, n, 28, 28)
		if err != nil {
			return nil, err
		}
		labels, err := e.Files[2*i+1].read(dir, n)
		if err != nil {
			return nil, err
		}
		s := &Set{N: n, H: 28, W: 28, C: 1, Pixels: pixels, Labels: make([]int32, n), Classes: digits}
		for j, l := range labels {
			if l > 9 {
				return nil, fmt.Errorf("%s: label %d of image %d is not a digit", filepath.Join(dir, e.Files[2*i+1].Name), l, j)
			}
			s.Labels[j] = int32(l)
		}
		*dst = s
	}
	ds.Fingerprint = fingerprint(ds.Train, ds.Test)
	return ds, nil
}

var digits = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// read verifies and decodes one idx file with the dimensions shape.
func (f File) read(dir string, shape ...int) ([]byte, error) {
	path := filepath.Join(dir, f.Name)
	b, err := f.readAll(path)
	if err != nil {
		return nil, err
	}
	if err := f.check(b); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	elements, err := readIDX(b, shape...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return elements, nil
}
