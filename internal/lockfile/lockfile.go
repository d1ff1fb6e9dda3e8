// Package lockfile has locks between processes, held as advisory locks on files. The system releases a lock when its
// process dies, so none is ever stale.
package lockfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// Lock waits until no other process holds the lock file at path, which it creates; waiting is called where it has to,
// unless nil. unlock may follow the deletion of the lock file.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	for {
		l := flock.New(path, flock.SetPermissions(0o666))
		ok, err := l.TryLock()
		if !ok && err == nil {
			if waiting != nil {
				waiting()
			}
			_, err = l.TryLockContext(ctx, 200*time.Millisecond)
		}
		if err != nil {
			return nil, err
		}
		held, err := l.Stat()
		if now, err2 := os.Stat(path); err == nil && err2 == nil && os.SameFile(held, now) {
			return func() { _ = l.Unlock() }, nil
		}
		_ = l.Unlock() // who held it has deleted it: another may have a new one
	}
}

// Free reports whether no process holds the lock file at path. It creates nothing.
func Free(path string) bool {
	l := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := l.TryRLock()
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return free && l.Unlock() == nil
}
