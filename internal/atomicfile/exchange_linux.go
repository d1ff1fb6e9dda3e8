package atomicfile

import "golang.org/x/sys/unix"

// swap exchanges the folders a and b in one step, where the file system can.
func swap(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
