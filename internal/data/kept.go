package data

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Kept says what of e is in its folder of the cache, by paths: the files of the set, and the copy that was decoded
// of a form that is there or in $DLA_DATA, which can be made anew from it. A decoded copy of what is nowhere else
// is a file of the set.
func (e Entry) Kept(opt Options) (files []string, decoded string, err error) {
	cache, err := opt.cache()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(cache, e.Folder)
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	for _, f := range list {
		if e.has(f.Name()) {
			files = append(files, filepath.Join(dir, f.Name()))
		}
	}
	decoded = e.decodedPath(dir)
	if absent(decoded) {
		return files, "", nil
	}
	whole := func(dir string) bool {
		at, ok := e.find(dir, "")
		return ok && len(at.form.missing(dir)) == 0
	}
	if !slices.ContainsFunc(append(e.dirs(opt), dir), whole) {
		return append(files, decoded), "", nil
	}
	return files, decoded, nil
}

// used notes that what is kept at path has just been used: `dla cache prune` deletes first what has not been for long.
func used(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now) // at worst it seems older than it is
}
