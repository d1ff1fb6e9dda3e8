//go:build !windows

package atomicfile

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestUmask: files and folders have the permissions that the umask lets them have, never more than what they
// replace or are copies of.
func TestUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	nothing := func(io.Writer) error { return nil }
	for _, c := range []struct {
		umask        int
		old, perm    fs.FileMode // old 0: nothing there
		file, folder fs.FileMode
	}{
		{umask: 0o022, perm: 0o777, file: 0o644, folder: 0o755},
		{umask: 0o077, perm: 0o777, file: 0o600, folder: 0o700},
		{umask: 0o002, perm: 0o777, file: 0o664, folder: 0o775},
		{umask: 0o022, perm: 0o700, file: 0o600, folder: 0o700},
		{umask: 0o022, perm: 0o777, old: 0o700, file: 0o600, folder: 0o700},
		{umask: 0o022, perm: 0o777, old: 0o770, file: 0o660, folder: 0o750},
	} {
		syscall.Umask(0)
		dir := t.TempDir()
		file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
		if c.old != 0 {
			if err := os.WriteFile(file, nil, c.old&0o666); err != nil {
				t.Fatal(err)
			}
			if err := NewFolder(folder, c.old, pair("old")); err != nil {
				t.Fatal(err)
			}
		}
		syscall.Umask(c.umask)
		if _, _, err := WriteAs(file, c.perm, nothing); err != nil {
			t.Fatal(err)
		}
		err := ReplaceFolder(folder, c.perm, func(tmp string) error {
			if st, err := os.Stat(tmp); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("while it is written the folder has %v, error %v", st.Mode(), err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]fs.FileMode{file: c.file, folder: c.folder} {
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
				t.Errorf("umask %03o, old %03o, asked %03o: %s has %v, want %v", c.umask, c.old, c.perm, filepath.Base(path),
					st.Mode().Perm(), want)
			}
		}
	}
}

// TestPermissions: a copy is no easier to get at than the file was, in its folder.
func TestPermissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, c := range []struct{ folder, file, want fs.FileMode }{
		{0o755, 0o644, 0o744}, {0o755, 0o600, 0o700}, {0o700, 0o644, 0o700}, {0o750, 0o644, 0o740}, {0o755, 0o444, 0o744},
	} {
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, c.folder); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, nil, c.file); err != nil {
			t.Fatal(err)
		}
		if got := Permissions(path); got != c.want {
			t.Errorf("file %v in folder %v: %v, want %v", c.file, c.folder, got, c.want)
		}
	}
	if got := Permissions(filepath.Join(t.TempDir(), "none")); got != 0o700 {
		t.Errorf("of nothing: %v", got)
	}
}
