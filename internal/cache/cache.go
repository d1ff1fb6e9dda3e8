// Package cache lists and deletes what is kept under the user's cache folder: data sets, decoded copies of them,
// features of encoders, imported encoders and networks, indexes of runs, and what killed processes have left.
package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/data"
	"dla/internal/download"
	"dla/internal/lockfile"
)

// The kinds of what is kept.
const (
	Data      = "data"      // the files of a set
	Decoded   = "decoded"   // a copy of a set that can be decoded or drawn again
	Features  = "features"  // what an encoder gave
	Encoder   = "encoder"   // an imported one
	Network   = "network"   // an imported checkpoint
	Index     = "index"     // what dla serve knows of runs
	Temporary = "temporary" // left by a process that is gone, or the part that has come of a download
)

// Prunable are the kinds that Prune chooses from.
var Prunable = []string{Data, Decoded, Features, Index}

// Item is something that is kept.
type Item struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	Bytes int64     `json:"bytes"`
	Used  time.Time `json:"used"` // when last; of data sets and encoders, when last written
	Paths []string  `json:"paths"`
}

// Dir is the folder that all is kept under.
func Dir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("this user has no cache folder: %w", err)
	}
	return filepath.Join(d, "dla"), nil
}

// List lists what is kept, kind by kind, what was not used for longest first.
func List() ([]Item, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	var all []Item
	for _, e := range data.Catalogue {
		files, decoded, err := e.Kept(data.Options{})
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			all = append(all, Item{Kind: Data, Name: e.Name, Paths: files})
		}
		if decoded != "" {
			all = append(all, Item{Kind: Decoded, Name: e.Name, Paths: []string{decoded}})
		}
	}
	drawn, err := data.DrawnCopies(data.Options{})
	if err != nil {
		return nil, err
	}
	own, err := data.OwnCopies(data.Options{})
	if err != nil {
		return nil, err
	}
	for _, c := range own {
		all = append(all, Item{Kind: Decoded, Name: c.Name, Paths: []string{c.File}})
	}
	for name, path := range drawn {
		all = append(all, Item{Kind: Decoded, Name: name, Paths: []string{path}})
	}
	for _, kind := range []struct{ name, folder string }{{Features, "features"}, {Encoder, "models"},
		{Network, "checkpoints"}, {Index, "index"}} {
		for _, path := range in(filepath.Join(dir, kind.folder)) {
			if name := filepath.Base(path); !strings.HasPrefix(name, ".") {
				all = append(all, Item{Kind: kind.name, Name: strings.TrimSuffix(name, ".safetensors"), Paths: []string{path}})
			}
		}
	}
	models := filepath.Join(dir, "models") // where earlier versions had a copy that was coming, and what it replaced
	for _, path := range in(models) {
		name := filepath.Base(path)
		of, replaced := strings.CutPrefix(name, ".old-")
		if _, err := os.Stat(filepath.Join(models, of)); name == ".new" || replaced && err == nil {
			all = append(all, Item{Kind: Temporary, Name: name, Paths: []string{path}})
		}
	}
	for _, folder := range append(in(filepath.Join(dir, "data")), filepath.Join(dir, "features"),
		filepath.Join(dir, "checkpoints"), filepath.Join(dir, "index"), models) {
		for _, path := range in(folder) {
			if atomicfile.Abandoned(path) || interrupted(path) {
				all = append(all, Item{Kind: Temporary, Name: filepath.Base(path), Paths: []string{path}})
			}
		}
	}
	for i := range all {
		if err := all[i].measure(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b Item) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), a.Used.Compare(b.Used), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// interrupted says whether path is what has come of a download that nobody goes on with at present, or its lock file.
func interrupted(path string) bool {
	return atomicfile.IsPart(filepath.Base(path)) && lockfile.Free(download.LockOf(strings.TrimSuffix(path, ".lock")))
}

// in are the paths of what dir holds, none where it cannot be read.
func in(dir string) (paths []string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

// measure finds out how much i takes and when it was last used.
func (i *Item) measure() error {
	for _, path := range i.Paths {
		err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := e.Info()
			if err != nil {
				return err
			}
			if st.Mode().IsRegular() {
				i.Bytes += st.Size()
			}
			if st.ModTime().After(i.Used) {
				i.Used = st.ModTime()
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may have deleted it
			return err
		}
	}
	return nil
}

// Prune chooses from all what is of one of kinds and has not been used since before (zero: no limit), and beyond it,
// while those of these kinds that are left take more than most bytes (below 0: no limit), what was not used for
// longest; and always what killed processes have left.
func Prune(all []Item, kinds []string, before time.Time, most int64) (chosen []Item) {
	var left []Item
	var bytes int64
	for _, i := range all {
		switch {
		case i.Kind == Temporary, slices.Contains(kinds, i.Kind) && i.Used.Before(before):
			chosen = append(chosen, i)
		case slices.Contains(kinds, i.Kind):
			left = append(left, i)
			bytes += i.Bytes
		}
	}
	slices.SortStableFunc(left, func(a, b Item) int { return a.Used.Compare(b.Used) })
	for _, i := range left {
		if most < 0 || bytes <= most {
			break
		}
		chosen = append(chosen, i)
		bytes -= i.Bytes
	}
	return chosen
}

// Remove deletes i. Nothing outside the cache folder is ever touched: a link in it is deleted, not followed.
func (i Item) Remove() error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	for _, path := range i.Paths {
		if err := remove(dir, path); err != nil {
			return fmt.Errorf("removing %s: %w; check the permissions of %s", path, err, filepath.Dir(path))
		}
	}
	return nil
}

// remove deletes path, which must lie in a folder of dir. A folder is renamed first, so that none is ever in part
// there.
func remove(dir, path string) error {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	kind, rest, _ := strings.Cut(filepath.ToSlash(rel), "/")
	if !filepath.IsLocal(rel) || rest == "" {
		return fmt.Errorf("it is not in a folder of %s", dir)
	}
	root, err := os.OpenRoot(filepath.Join(dir, kind)) // the user may have put that one elsewhere, by a link
	if err != nil {
		return err
	}
	defer root.Close()
	at := filepath.FromSlash(rest)
	if err := atomicfile.Check("remove", path); err != nil {
		return err
	}
	if st, err := root.Lstat(at); err != nil || !st.IsDir() {
		return root.RemoveAll(at)
	}
	gone := filepath.Join(filepath.Dir(at), filepath.Base(atomicfile.Temporary("")))
	if err := root.Rename(at, gone); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil { // or a power cut may bring it back in part
		return err
	}
	return root.RemoveAll(gone)
}
