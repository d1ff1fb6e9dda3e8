package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A set may lie in a folder, in a tar or in a tar.gz. walk reads the three alike, into memory: nothing
// of an archive is ever written to the disk, so no name in it can lead out of a folder. What an archive
// may make a reader do is bounded all the same.
const (
	maxFiles     = 1 << 20   // in a tree
	maxFileBytes = 160 << 20 // of a file; the largest that is read is CIFAR-100's training part, 153.7 MB
	maxBytes     = 4 << 30   // of all files of a tree
	maxExpansion = 100       // of a tar.gz; one of small images expands by 5
)

// visitor gets a file of a tree: its name with slashes, its size and its content. fs.SkipAll ends the walk.
type visitor func(name string, size int64, r io.Reader) error

// walk visits the files of the folder, tar or tar.gz at path whose names want wants: those of a folder
// in the order of their names, those of an archive in its own. done hears how many bytes of how many
// have been read. A link or a device where a wanted file should be is an error.
func walk(ctx context.Context, path string, want func(name string) bool, done func(n, total int64), visit visitor) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	counted := func(name string, size int64, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(name, size, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if st.IsDir() {
		err = walkFolder(path, want, done, counted)
	} else {
		err = walkArchiveFile(path, want, done, counted)
	}
	if err != nil && !errors.Is(err, fs.SkipAll) && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return ctx.Err()
}

func walkFolder(path string, want func(string) bool, done func(n, total int64), visit visitor) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	type file struct {
		name string
		size int64
	}
	var files []file
	var read, total int64
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !want(name) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is a link or no ordinary file", name)
		}
		files = append(files, file{name, info.Size()})
		if total += info.Size(); total > maxBytes {
			return errTooMuch
		}
		return checkFile(name, info.Size(), len(files))
	})
	if err != nil {
		return err
	}
	for _, f := range files {
		r, err := root.Open(filepath.FromSlash(f.name))
		if err != nil {
			return err
		}
		err = visit(f.name, f.size, io.LimitReader(r, f.size))
		r.Close() // read only: nothing can be lost
		if err != nil {
			return err
		}
		before := read
		if read += f.size; read>>20 != before>>20 || read == total {
			done(read, total)
		}
	}
	return nil
}

func walkArchiveFile(path string, want func(string) bool, done func(n, total int64), visit visitor) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(&counting{r: f, done: func(n int64) { done(n, st.Size()) }}, 1<<20)
	return walkArchive(r, st.Size(), want, visit)
}

// walkArchive reads a tar or tar.gz of size bytes.
func walkArchive(r *bufio.Reader, size int64, want func(string) bool, visit visitor) error {
	limit, beyond := size, errors.New("truncated: its files are said to be longer than it is")
	var content io.Reader = r
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		limit, beyond = min(maxBytes, size*maxExpansion+1<<20), errTooMuch
		content = &capped{z, limit}
	}
	in := tar.NewReader(content)
	var total int64
	last := "its start"
	for n := 1; ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if n == 1 && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return errors.New("is neither a folder nor a tar or tar.gz archive")
		}
		if err != nil {
			return truncated("the archive, after "+last, err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if last = name; h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
			return fmt.Errorf("holds a file with the name %q, which leads out of it", h.Name)
		}
		if err := checkFile(name, h.Size, n); err != nil {
			return err
		}
		if total += h.Size; total > limit { // in a sparse file more than there is to be read
			return beyond
		}
		if !want(name) {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is a link or no ordinary file", name)
		}
		if err := visit(name, h.Size, in); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, content) // to the end, where gzip's checksum is
	if err != nil {
		return truncated("its end", err)
	}
	return nil
}

// checkFile says whether the nth file of a tree may be read.
func checkFile(name string, size int64, n int) error {
	switch {
	case n > maxFiles:
		return fmt.Errorf("holds more than %d files", maxFiles)
	case size > maxFileBytes:
		return fmt.Errorf("%s has %d bytes, more than the %d a file may have", name, size, maxFileBytes)
	}
	return nil
}

var errTooMuch = fmt.Errorf("expands to more than %d times its size or to more than %d GiB: this is no set of images", maxExpansion, maxBytes>>30)

// capped fails once left bytes have been read.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

// counting reports how many bytes were read through it, and keeps the error that ended the reading.
type counting struct {
	r    io.Reader
	n    int64
	done func(n int64)
	err  error
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.done(c.n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
