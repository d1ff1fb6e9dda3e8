package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/plainfile"
)

// Unrecognised says which files lie where e is looked for and do not belong to it, and what is wanted; it is empty if
// nothing lies there. Files that a user has put there are never ignored silently.
func (e Entry) Unrecognised(opt Options) string {
	dirs := e.dirs(opt)
	if cache, err := opt.cache(); err == nil {
		dirs = append(dirs, filepath.Join(cache, e.Folder))
	}
	return e.unrecognised(dirs, opt)
}

func (e Entry) unrecognised(dirs []string, opt Options) string {
	var all []string
	for _, dir := range dirs {
		found, err := e.strange(dir)
		switch {
		case err != nil:
			all = append(all, err.Error())
		case len(found) > 0:
			all = append(all, fmt.Sprintf("%s holds %s", dir, strings.Join(found, ", ")))
		}
	}
	if d := opt.dir(); d != "" {
		for i := range e.Forms {
			f := &e.Forms[i]
			if f.Folder == "" && len(f.missing(d)) == 0 {
				all = append(all, fmt.Sprintf("%s lies in %s itself, not in its folder %s", f.fileNames(), d, e.Folder))
			}
		}
	}
	if all == nil {
		return ""
	}
	return fmt.Sprintf("%s; wanted: %s", strings.Join(all, "; "), e.wanted())
}

// strange lists what is in dir, e's folder, and no set's: a few by name.
func (e Entry) strange(dir string) (found []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	const few = 4
	more := 0
	for _, f := range entries {
		switch name := f.Name(); {
		case hidden(name) || strings.HasSuffix(name, ".decoded") || e.neighbours(name):
		case len(found) == few:
			more++
		default:
			found = append(found, looksLike(filepath.Join(dir, name)))
		}
	}
	if more > 0 {
		found = append(found, fmt.Sprintf("%d more", more))
	}
	return found, nil
}

// neighbours says whether name is that of another set with the same folder.
func (e Entry) neighbours(name string) bool {
	return slices.ContainsFunc(Catalogue, func(o Entry) bool {
		return o.Folder == e.Folder && o.Name != e.Name &&
			o.has(name)
	})
}

// has says whether name is that of a file or folder of one of e's forms.
func (e Entry) has(name string) bool {
	for _, f := range e.Forms {
		switch {
		case f.Folder != "" && name == f.Folder, f.Folder == "train" && name == "test",
			f.Folder == "train.parquet" && (name == "validation.parquet" || name == "test.parquet"),
			slices.ContainsFunc(slices.Concat(f.Files, f.contents), func(file File) bool { return file.Name == name }):
			return true
		}
	}
	return false
}

// looksLike is the name of the file or folder at path, and what it looks like.
func looksLike(path string) string {
	name := filepath.Base(path)
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Sprintf("%s (%v)", name, err)
	case st.IsDir():
		return name + " (a folder)"
	case !st.Mode().IsRegular():
		return name + " (no ordinary file)"
	}
	r, _, err := plainfile.Open(path)
	if err != nil {
		return fmt.Sprintf("%s (%v)", name, err)
	}
	defer r.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Sprintf("%s (%v)", name, err)
	}
	return fmt.Sprintf("%s (%d bytes, %s)", name, st.Size(), http.DetectContentType(head[:n]))
}

// wanted lists the files of each form.
func (e Entry) wanted() string {
	var all []string
	for i := range e.Forms {
		f := &e.Forms[i]
		switch {
		case f.Folder == "train.parquet":
			all = append(all, "train.parquet, validation.parquet, test.parquet")
		case f.Folder == "train":
			all = append(all, "the folders train and test of images by class")
		case f.Folder != "":
			all = append(all, "the folder "+f.Folder)
		case f.contents != nil:
			all = append(all, f.fileNames()+", packed or not")
		default:
			all = append(all, f.fileNames())
		}
	}
	return strings.Join(all, ", or ")
}
