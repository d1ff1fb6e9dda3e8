//go:build !windows

package hub

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPrivateModelStaysPrivate: of a model that its owner alone may read, by its folder or by its files, so is the copy.
func TestPrivateModelStaysPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	serve(t)
	dir := put(t, t.TempDir(), "m", repository(t, 1)) // files of 0600
	if err := os.Chmod(filepath.Join(dir, "config.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]os.FileMode{"files": 0o755, "folder": 0o700} {
		if err := os.Chmod(dir, folder); err != nil {
			t.Fatal(err)
		}
		e := importing(t, dir, name)
		config := os.FileMode(0o644)
		if name == "folder" {
			config = 0o600
		}
		for file, want := range map[string]os.FileMode{".": folder, "config.json": config, "model.safetensors": 0o600} {
			if st, err := os.Stat(filepath.Join(e.Dir, file)); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %s has %03o, want %03o; error %v", name, file, st.Mode().Perm(), want, err)
			}
		}
	}
}
