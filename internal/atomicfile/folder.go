package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// NewFolder makes the folder dir, which must not be there or be empty, of what write puts into the folder tmp: it
// is written beside dir under a temporary name, synced, files and folders, and renamed, so that dir is whole or as
// it was, whatever interrupts the writing. perm, less what the umask takes away, are dir's permissions; until
// it is whole, its owner alone may look into it.
func NewFolder(dir string, perm fs.FileMode, write func(tmp string) error) error {
	return folder(dir, perm, write, false)
}

// ReplaceFolder is NewFolder of a folder that may be there and hold anything: that stays until the new one is
// whole and takes its place in one step, and is deleted then. The new one has no permission that the old one had not.
//
// Where the system or the file system knows no such step (Windows, NFS, some network and user-space file
// systems), the old one is renamed out of the way first. A process that dies between the two renames leaves no
// dir; the next writer of a folder beside it puts the old one back.
func ReplaceFolder(dir string, perm fs.FileMode, write func(tmp string) error) error {
	return folder(dir, perm, write, true)
}

// ErrNotEmpty is the error of NewFolder where there is a folder that holds anything.
var ErrNotEmpty = errors.New("it is not empty")

// exchange is swap, which tests replace.
var exchange = swap

func folder(name string, perm fs.FileMode, write func(tmp string) error, replace bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", name, err)
		}
	}()
	dir, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if exists(dir) { // a link leads to what is replaced
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return err
		}
	}
	parent := filepath.Dir(dir)
	if err := MkdirAll(parent, 0o777); err != nil {
		return err
	}
	Sweep(parent)
	tmp := Temporary(parent)
	if err := Check("mkdir", dir); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, perm); err != nil {
		return err
	}
	defer func() {
		if left := os.RemoveAll(tmp); err != nil { // else what was replaced, which costs space until the next writer
			err = errors.Join(err, left)
		}
	}()
	defer func() {
		if err != nil {
			err = placed{err, tmp, name}
		}
	}()
	st, err := os.Stat(tmp)
	if err != nil {
		return err
	}
	perm = st.Mode().Perm() // less the umask
	if err := os.Chmod(tmp, 0o700); err != nil {
		return err
	}
	if err := write(tmp); err != nil {
		return err
	}
	if old, err := os.Stat(dir); err == nil && replace {
		perm &= old.Mode().Perm()
	}
	if err := os.Chmod(tmp, perm); err != nil {
		return err
	}
	if err := Check("syncfolder", dir); err != nil {
		return err
	}
	if err := syncAll(tmp); err != nil {
		return err
	}
	if err := Check("rename", dir); err != nil {
		return err
	}
	if err := put(tmp, dir, replace); err != nil {
		return err
	}
	if err := Check("syncdir", dir); err != nil {
		return err
	}
	return SyncDir(parent)
}

// put gives the folder tmp the name dir; what dir was is tmp then, where it was anything and may be replaced.
func put(tmp, dir string, replace bool) error {
	err := os.Rename(tmp, dir)
	if err == nil {
		return nil
	}
	st, statErr := os.Lstat(dir)
	if statErr != nil || !st.IsDir() {
		return err
	}
	if renameOver(tmp, dir) == nil { // it is empty
		return nil
	}
	if list, listErr := os.ReadDir(dir); listErr != nil || len(list) == 0 {
		return err // it is a mount point, or another's
	}
	if !replace {
		return ErrNotEmpty
	}
	err = exchange(tmp, dir)
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	aside := Temporary(filepath.Dir(dir)) + "~" + filepath.Base(dir)
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return errors.Join(err, os.Rename(aside, dir))
	}
	return os.Rename(aside, tmp)
}

// MkdirAll makes the folder dir, and those that it lies in, where they are not there, as os.MkdirAll does, and makes their
// names durable: what is whole in a folder that a power cut takes away is lost.
func MkdirAll(dir string, perm fs.FileMode) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	if err := SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) { // one that may be written to and not read
		return err
	}
	return nil
}

// syncAll makes the files and folders under dir durable. Many are synced at once, which file systems do together.
func syncAll(dir string) error {
	var all sync.WaitGroup
	var lock sync.Mutex
	var failed error
	most := make(chan struct{}, 32)
	walked := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		most <- struct{}{}
		all.Go(func() {
			defer func() { <-most }()
			do := SyncDir
			if !e.IsDir() {
				do = syncFile
			}
			if err := do(path); err != nil {
				lock.Lock()
				defer lock.Unlock()
				failed = errors.Join(failed, err)
			}
		})
		return nil
	})
	all.Wait()
	return errors.Join(walked, failed)
}

// syncFile makes the content of the file at path durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, openToSync, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// placed is an error of the folder that is called tmp as yet and is to be dir.
type placed struct {
	error
	tmp, dir string
}

// Error says what was wrong with dir.
func (e placed) Error() string { return strings.ReplaceAll(e.error.Error(), e.tmp, e.dir) }

func (e placed) Unwrap() error { return e.error }
