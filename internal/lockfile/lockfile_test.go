package lockfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLock: who waits for a lock has it when the other is through, though that deletes the lock file.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path, func() { t.Error("the first waits") })
	if err != nil {
		t.Fatal(err)
	}
	if Free(path) {
		t.Error("a lock that is held is free")
	}
	waits, got := make(chan struct{}), make(chan error)
	go func() {
		unlock, err := Lock(context.Background(), path, func() { close(waits) })
		if err == nil {
			unlock()
		}
		got <- err
	}()
	<-waits
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if !Free(path) {
		t.Error("a lock that nobody holds is not free")
	}
	held, err := Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path, func() {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the time is up", err)
	}
}
