package atomicfile

import "os"

// openToSync is how a file is opened to be synced.
const openToSync = os.O_RDWR

// SyncDir does nothing: Windows has no way to sync a folder, and renames are journaled.
func SyncDir(string) error { return nil }
