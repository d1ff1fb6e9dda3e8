//go:build !windows

package data

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPrivateFilesStayPrivate: of a file that its owner alone may read, so is the copy in the cache, and the others
// have what the umask lets them have.
func TestPrivateFilesStayPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	e, content := tiny(t, nil)
	src, dir := fill(t, content), t.TempDir() // files of 0600
	if err := os.Chmod(src, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(src, "b.gz"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := e.Import(context.Background(), src, dir, nil); err != nil {
		t.Fatal(err)
	}
	for name := range content {
		want := os.FileMode(0o600)
		if name == "b.gz" {
			want = 0o644
		}
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, want %03o; error %v", name, st, want, err)
		}
	}
}

// TestPrivateFilesArePulledAsSuch: where a damaged file was its owner's alone, the one that replaces it is.
func TestPrivateFilesArePulledAsSuch(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) { w.Write(content[filepath.Base(r.URL.Path)]) })
	dir := fill(t, map[string][]byte{"a.gz": []byte("damaged")}) // 0600
	if _, err := e.Pull(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"a.gz": 0o600, "b.gz": 0o644} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, want %03o; error %v", name, st, want, err)
		}
	}
}
