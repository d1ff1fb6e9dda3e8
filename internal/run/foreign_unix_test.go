//go:build !windows

package run

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoFileOfARunIsWaitedFor: a pipe or an endless device among a run's files makes it broken at once.
func TestNoFileOfARunIsWaitedFor(t *testing.T) {
	for _, name := range []string{envName, configName, statusName, metricsName, resultName, lockName, manifestName} {
		for _, device := range []string{"", "/dev/zero"} {
			root := t.TempDir()
			closed(t, root, "a")
			put(t, filepath.Join(root, "a", statusName), `{"status":"finished"}`)
			put(t, filepath.Join(root, "a", resultName), "{}")
			if name == lockName { // which is looked at where a run does not say how it ended
				put(t, filepath.Join(root, "a", statusName), `{"status":"running"}`)
			}
			at := filepath.Join(root, "a", name)
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
			err := syscall.Mkfifo(at, 0o600)
			if device != "" {
				if err = os.Remove(at); err == nil {
					err = os.Symlink(device, at)
				}
			}
			if err != nil {
				t.Skipf("this user may make no such file: %v", err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				rec, err := Examine(root, "a")
				if err != nil {
					t.Error(err)
				}
				if name == manifestName {
					_, _, err := rec.BestWeights()
					oneLine(t, err, manifestName, "is not a regular file")
				} else if name != lockName && (rec.Status != StatusBroken ||
					!strings.Contains(rec.Detail, at+" is not a regular file")) {
					t.Errorf("%s %s: %s (%s)", name, device, rec.Status, rec.Detail)
				}
				if _, err := Resume(root, "a", spec().Env, false); err == nil {
					t.Errorf("%s %s: the run was resumed", name, device)
				}
			}()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatalf("%s %s is waited for", name, device)
			}
		}
	}
}
