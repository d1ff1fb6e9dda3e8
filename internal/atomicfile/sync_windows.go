package atomicfile

// SyncDir does nothing: Windows has no way to sync a folder, and renames are journaled.
func SyncDir(string) error { return nil }
