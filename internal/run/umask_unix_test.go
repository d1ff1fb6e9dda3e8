//go:build !windows

package run

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestUmask: a run's files have the permissions that the umask lets them have, no more and no fewer.
func TestUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, mask := range []fs.FileMode{0o077, 0o007} {
		syscall.Umask(int(mask))
		root := filepath.Join(t.TempDir(), "runs")
		closed(t, root, "run-a")
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := os.Stat(path)
			if err != nil {
				return err
			}
			want := fs.FileMode(0o666) &^ mask
			if st.IsDir() {
				want = 0o777 &^ mask
			}
			if st.Mode().Perm() != want {
				t.Errorf("umask %03o: %s has %03o, want %03o", mask, path, st.Mode().Perm(), want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
