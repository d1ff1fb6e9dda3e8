// Package plainfile opens files that others may have made: regular ones only, and no more of them than a bound.
// Opening a pipe waits for a writer that may never come, and a device may have no end.
package plainfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Open opens the regular file path for reading and says its size in bytes. A link is followed. What is no regular
// file is an error, and is not opened.
func Open(path string) (*os.File, int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if err := check(path, st.Mode()); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if st, err = f.Stat(); err == nil { // another may lie there by now
		err = check(path, st.Mode())
	}
	if err != nil {
		f.Close() // read only
		return nil, 0, err
	}
	return f, st.Size(), nil
}

// Read is the content of the regular file path, which is an error where it has more than most bytes.
func Read(path string, most int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b []byte
	if size <= most {
		if b, err = io.ReadAll(io.LimitReader(f, most+1)); err != nil {
			return nil, err
		}
	}
	if size > most || int64(len(b)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes, and such a file of more is not read; put a good copy in its place",
			path, most)
	}
	return b, nil
}

// Own checks that what lies at path is a regular file itself, and no link to one, or that nothing lies there: what
// is written there changes nothing elsewhere.
func Own(path string) error {
	st, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link, which is not followed to write; put the file itself in its place", path)
	}
	return check(path, st.Mode())
}

// check says what is no regular file.
func check(path string, mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%s is not a regular file but a folder", path)
	}
	return fmt.Errorf("%s is not a regular file; put one in its place", path)
}
