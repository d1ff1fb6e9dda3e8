package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"dla/internal/plainfile"
)

// A run has one owner: the process that holds an advisory lock on its lock file. The system releases the lock when the
// process dies, so no lock is ever stale.

const lockName = "lock"

// ErrOwned is wrapped by the error of a run whose lock another process holds. A file server may keep the lock of a
// machine that is gone for a while.
var ErrOwned = errors.New("being trained by another process")

// take locks the run in dir for this process. It retries for a while, since a reader may hold the lock for an instant
// (owned).
func take(id, dir string) (*flock.Flock, error) {
	if err := plainfile.Own(filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("run %s: its lock cannot be taken: %w", id, err)
	}
	l := flock.New(filepath.Join(dir, lockName), flock.SetPermissions(0o666))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	switch ok, err := l.TryLockContext(ctx, 10*time.Millisecond); {
	case ok:
		return l, nil
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("run %s: its lock cannot be taken: %w; check the permissions of %s", id, err, dir)
	}
	return nil, fmt.Errorf("run %s is %w; stop that one first", id, ErrOwned)
}

// owned reports whether a live process holds the lock of the run in dir. It creates nothing.
func owned(dir string) bool {
	if plainfile.Own(filepath.Join(dir, lockName)) != nil { // opening a pipe would block
		return false
	}
	l := flock.New(filepath.Join(dir, lockName), flock.SetFlag(os.O_RDONLY))
	free, err := l.TryRLock()
	if err != nil {
		return false
	}
	if free {
		return l.Unlock() != nil
	}
	return true
}
