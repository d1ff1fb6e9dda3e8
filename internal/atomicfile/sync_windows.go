package atomicfile

import "os"

// openToSync is how a file is opened to be synced.
const openToSync = os.O_RDWR

// renameOver gives the folder a the name of the empty folder b. No system call here does both.
func renameOver(a, b string) error {
	if err := os.Remove(b); err != nil {
		return err
	}
	return os.Rename(a, b)
}

// SyncDir does nothing: Windows has no way to sync a folder, and renames are journaled.
func SyncDir(string) error { return nil }
