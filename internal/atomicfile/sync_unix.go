//go:build !windows

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// openToSync is how a file is opened to be synced.
const openToSync = os.O_RDONLY

// renameOver gives the folder a the name of the empty folder b, in one step, which os.Rename does not.
func renameOver(a, b string) error { return syscall.Rename(a, b) }

// SyncDir makes the names in dir durable, where the file system can: some (CIFS, FUSE) refuse to sync
// a folder, and a write that is whole is no failure for that.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
