// Package atomicfile writes files that are either the whole new content or the whole old one,
// whatever interrupts the writing: a kill, a full disk, a power cut.
package atomicfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Fault is called, where not nil, before each operation on the file system (create, write, sync,
// close, rename, syncdir) and fails it by returning an error. Tests inject faults through it.
var Fault func(operation, path string) error

// Check asks Fault, for writers of other files that tests want to fail as well.
func Check(operation, path string) error {
	if Fault == nil {
		return nil
	}
	return Fault(operation, path)
}

// Write replaces path by what write writes: into a temporary file of the same folder, which is
// checked for length, synced, closed and renamed; then the folder is synced. It returns the content's
// SHA-256 (hex) and length. After an error path is as it was (or, where syncing the folder failed, all
// new) and no temporary file is left.
func Write(path string, write func(io.Writer) error) (sha string, size int64, err error) {
	dir := filepath.Dir(path)
	if err := Check("create", path); err != nil {
		return "", 0, fmt.Errorf("writing %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return "", 0, fmt.Errorf("writing %s: %w", path, err)
	}
	tmp := f.Name()
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
			err = errors.Join(err, removeIfThere(tmp))
		}
	}()
	w := &hashing{f: f, path: path, sha: sha256.New()}
	err = write(w)
	if err == nil {
		err = checkLength(f, w.n)
	}
	if err == nil {
		if err = Check("sync", path); err == nil {
			err = f.Sync()
		}
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = Check("close", path)
	}
	if err != nil {
		return "", 0, err
	}
	if err = os.Chmod(tmp, 0o644); err != nil {
		return "", 0, err
	}
	if err = Check("rename", path); err != nil {
		return "", 0, err
	}
	if err = os.Rename(tmp, path); err != nil {
		return "", 0, err
	}
	if err = Check("syncdir", path); err != nil {
		return "", 0, err
	}
	if err = SyncDir(dir); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(w.sha.Sum(nil)), w.n, nil
}

// WriteBytes is Write of a content at hand.
func WriteBytes(path string, content []byte) error {
	_, _, err := Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	return err
}

func checkLength(f *os.File, want int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != want {
		return fmt.Errorf("%d bytes arrived of %d", st.Size(), want)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// hashing writes to f, hashing and counting what went through.
type hashing struct {
	f    *os.File
	path string
	sha  interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

// Write writes b whole or fails.
func (h *hashing) Write(b []byte) (int, error) {
	if err := Check("write", h.path); err != nil {
		return 0, err
	}
	n, err := h.f.Write(b)
	h.n += int64(n)
	_, _ = h.sha.Write(b[:n]) // a hash never fails
	return n, err
}
