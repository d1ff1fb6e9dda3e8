package plainfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	path := put(t, "a", "12345")
	if b, err := Read(path, 5); err != nil || string(b) != "12345" {
		t.Errorf("read %q, %v", b, err)
	}
	if b, err := Read(path, 4); b != nil || err == nil || !strings.Contains(err.Error(), path+" has more than 4 bytes") {
		t.Errorf("a file beyond the bound: %q, %v", b, err)
	}
	if _, err := Read(path+"x", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.Truncate(path, 1<<40); err != nil { // holes: it takes no space on the disk
		t.Skipf("this file system has no files with holes: %v", err)
	}
	if _, err := Read(path, 1<<20); err == nil {
		t.Error("a file of a terabyte was read")
	}
}

func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	all := []string{dir}
	if _, err := os.Stat("/dev/zero"); err == nil {
		all = append(all, "/dev/zero")
	}
	if pipe := filepath.Join(dir, "pipe"); mkfifo(pipe) == nil {
		all = append(all, pipe)
	}
	for _, path := range all {
		if _, err := Read(path, 1<<20); err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("%s: error %v", path, err)
		}
		if err := Own(path); err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("%s: own: error %v", path, err)
		}
	}
}

func TestOwn(t *testing.T) {
	path := put(t, "a", "1")
	for _, p := range []string{path, path + "x"} {
		if err := Own(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	if err := Own(link); err == nil || !strings.Contains(err.Error(), link+" is a link") {
		t.Errorf("a link: %v", err)
	}
	if b, err := Read(link, 1); err != nil || string(b) != "1" { // to read, one is followed
		t.Errorf("through a link: %q, %v", b, err)
	}
}
