//go:build !windows

package labs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPrivateRunStaysPrivate: of a run that its owner alone may read, so is what is exported.
func TestPrivateRunStaysPrivate(t *testing.T) {
	root := t.TempDir()
	umask := syscall.Umask(0o077)
	defer syscall.Umask(umask)
	id := trained(t, root, tiny(true)).ID
	syscall.Umask(0o022)
	to := filepath.Join(t.TempDir(), "net")
	if _, err := Export(root, id, to); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{modelName, "."}, recordFiles...) {
		if st, err := os.Stat(filepath.Join(to, name)); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, error %v", name, st.Mode(), err)
		}
	}
}
