package run

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk fills a real file system of 256 KB.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a tmpfs takes root; the same failures are injected by TestFailureAtEveryStep")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("this machine mounts no tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	r := create(t, root)
	trainTo(t, r, 1, 2)

	ballast := filepath.Join(root, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	err := trainEpoch(r, 3)
	oneLine(t, err, r.Dir(), "no space left", "dla runs resume "+r.ID())
	_, err = Create(root, spec())
	oneLine(t, err, root, "no space left", "--out")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Resume(root, r.ID(), spec().Env, false)
	oneLine(t, err, "no space left")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r = resume(t, root, r.ID())
	c, err := r.Restore()
	if err != nil {
		t.Fatal(err)
	}
	if checkWhole(t, r, c); c.Epoch != 2 {
		t.Errorf("restored to epoch %d, want 2", c.Epoch)
	}
	trainTo(t, r, 3, 5)
	if err := r.Finish(0); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
