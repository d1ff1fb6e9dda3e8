// Package atomicfile writes files and folders that are either the whole new content or the whole old one,
// whatever interrupts the writing: a kill, a full disk, a power cut. What a killed process leaves has a temporary
// name and is deleted by the next writer of the folder it is in.
package atomicfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Fault is called, where not nil, before each operation on the file system (create, write, sync,
// close, rename, syncdir; of folders mkdir, syncfolder, rename, syncdir) and fails it by returning an error. Tests inject faults through it.
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
// new) and no temporary file is left. A file that was there keeps its permissions; a new one has those that
// the umask lets it have.
func Write(path string, write func(io.Writer) error) (sha string, size int64, err error) {
	return WriteAs(path, 0o666, write)
}

// WriteAs is Write of a file that has no other permissions than those of perm. A copy of a file at src is
// written with Permissions(src), so that it is no easier to get at.
func WriteAs(path string, perm fs.FileMode, write func(io.Writer) error) (sha string, size int64, err error) {
	dir := filepath.Dir(path)
	if err := Check("create", path); err != nil {
		return "", 0, fmt.Errorf("writing %s: %w", path, err)
	}
	Sweep(dir)
	f, tmp, err := create(path, perm&0o666)
	if err != nil {
		return "", 0, fmt.Errorf("writing %s: %w", path, err)
	}
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

// create makes the temporary file of path, with permissions of perm: as many as the umask lets it have, or as the
// file at path has.
func create(path string, perm fs.FileMode) (f *os.File, tmp string, err error) {
	old, statErr := os.Lstat(path)
	replaces := statErr == nil && old.Mode().IsRegular()
	if replaces {
		perm &= old.Mode().Perm()
	}
	tmp = Temporary(filepath.Dir(path))
	if f, err = os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm); err != nil || !replaces {
		return f, tmp, err
	}
	st, err := f.Stat()
	if err == nil && st.Mode().Perm() != perm { // else a file system without permissions need not refuse
		err = f.Chmod(perm)
	}
	if err != nil {
		return nil, tmp, errors.Join(err, f.Close(), removeIfThere(tmp))
	}
	return f, tmp, nil
}

// Permissions are those of a copy of the file or folder at path: its owner may do anything; its group and others
// what they may do with that at path, as far as they may enter the folder that it is in. A copy of what cannot be
// looked at is its owner's alone.
func Permissions(path string) fs.FileMode {
	st, err := os.Stat(path)
	if err != nil {
		return 0o700
	}
	perm := st.Mode().Perm() | 0o700
	in, err := os.Stat(filepath.Dir(path))
	if err != nil || in.Mode()&0o010 == 0 {
		perm &^= 0o070
	}
	if err != nil || in.Mode()&0o001 == 0 {
		perm &^= 0o007
	}
	return perm
}

// WriteBytes is Write of a content at hand.
func WriteBytes(path string, content []byte) error {
	return WriteBytesAs(path, 0o666, content)
}

// WriteBytesAs is WriteAs of a content at hand.
func WriteBytesAs(path string, perm fs.FileMode, content []byte) error {
	_, _, err := WriteAs(path, perm, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	return err
}

// Narrow takes from the file at path the permissions that are not among perm.
func Narrow(path string, perm fs.FileMode) error {
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm()&^perm == 0 {
		return err
	}
	return os.Chmod(path, st.Mode().Perm()&perm)
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
