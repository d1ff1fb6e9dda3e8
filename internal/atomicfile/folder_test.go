package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree is what dir holds, as PATH=CONTENT in order.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if e.IsDir() {
			all = append(all, path+"/")
			return nil
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all = append(all, path+"="+string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pair writes two files into a folder, one of them in a folder of its own.
func pair(content string) func(tmp string) error {
	return func(tmp string) error {
		if err := WriteBytes(filepath.Join(tmp, "a"), []byte(content)); err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(tmp, "sub"), 0o777); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, "sub", "b"), []byte(content), 0o666)
	}
}

func wantTree(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// unsupported makes ReplaceFolder do without a step that exchanges two folders.
func unsupported(t *testing.T) {
	t.Cleanup(func() { exchange = swap })
	exchange = func(_, _ string) error { return errors.ErrUnsupported }
}

func TestFolder(t *testing.T) {
	for _, way := range []string{"exchanged", "renamed twice"} {
		t.Run(way, func(t *testing.T) {
			if way != "exchanged" {
				unsupported(t)
			}
			root := t.TempDir()
			at := filepath.Join(root, "below", "new")
			if err := NewFolder(at, 0o777, pair("1")); err != nil {
				t.Fatal(err)
			}
			wantTree(t, root, "below/", "below/new/", "below/new/a=1", "below/new/sub/", "below/new/sub/b=1")
			if err := NewFolder(at, 0o777, pair("2")); err == nil || !strings.Contains(err.Error(), at+": it is not empty") {
				t.Errorf("error %v, want that %s is not empty", err, at)
			}
			wantTree(t, at, "a=1", "sub/", "sub/b=1")
			if err := ReplaceFolder(at, 0o777, pair("3")); err != nil {
				t.Fatal(err)
			}
			wantTree(t, root, "below/", "below/new/", "below/new/a=3", "below/new/sub/", "below/new/sub/b=3")
			empty := filepath.Join(root, "empty")
			if err := os.Mkdir(empty, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := NewFolder(empty, 0o777, pair("4")); err != nil {
				t.Fatal(err)
			}
			wantTree(t, empty, "a=4", "sub/", "sub/b=4")
		})
	}
}

// TestFailedFolderChangesNothing: whatever fails, the old folder stays whole, nothing else is left, and the error
// names the folder, not the temporary one.
func TestFailedFolderChangesNothing(t *testing.T) {
	full := errors.New("no space left on device")
	for _, operation := range []string{"mkdir", "create", "write", "sync", "close", "syncfolder", "rename", "syncdir"} {
		t.Run(operation, func(t *testing.T) {
			root := t.TempDir()
			at := filepath.Join(root, "at")
			if err := NewFolder(at, 0o777, pair("old")); err != nil {
				t.Fatal(err)
			}
			defer func() { Fault = nil }()
			Fault = func(op, p string) error {
				if op == operation {
					return fmt.Errorf("%s: %w", p, full)
				}
				return nil
			}
			err := ReplaceFolder(at, 0o777, pair("new"))
			if !errors.Is(err, full) || !strings.Contains(err.Error(), at) || strings.Contains(err.Error(), ".dla-tmp") {
				t.Errorf("error %v, want %q with the folder's name alone", err, full)
			}
			wantTree(t, root, "at/", "at/a=old", "at/sub/", "at/sub/b=old")
		})
	}
	root := t.TempDir()
	at := filepath.Join(root, "at")
	if err := WriteBytes(at, []byte("a file")); err != nil {
		t.Fatal(err)
	}
	for _, write := range []func(string, fs.FileMode, func(string) error) error{NewFolder, ReplaceFolder} {
		if err := write(at, 0o777, pair("new")); err == nil || !strings.Contains(err.Error(), at) {
			t.Errorf("error %v, want one that names %s", err, at)
		}
	}
	wantTree(t, root, "at=a file")
}

// TestLinkToFolder: what a link leads to is replaced, and the link stays.
func TestLinkToFolder(t *testing.T) {
	root := t.TempDir()
	at, link := filepath.Join(root, "far", "at"), filepath.Join(root, "link")
	if err := NewFolder(at, 0o777, pair("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at, link); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	if err := ReplaceFolder(link, 0o777, pair("new")); err != nil {
		t.Fatal(err)
	}
	wantTree(t, filepath.Join(root, "far"), "at/", "at/a=new", "at/sub/", "at/sub/b=new")
	if to, err := os.Readlink(link); err != nil || to != at {
		t.Errorf("the link leads to %s, error %v", to, err)
	}
}

// noProcess is a number that no process has.
const noProcess = "-4194999-"

// orphan is a temporary path in dir of a process that is gone.
func orphan(dir string) string {
	return strings.Replace(Temporary(dir), fmt.Sprintf("-%d-", os.Getpid()), noProcess, 1)
}

// TestSweep: the next writer of a folder deletes what processes that are gone have left there, and nothing else.
func TestSweep(t *testing.T) {
	elsewhere := func(dir string) string {
		return strings.Replace(orphan(dir), host(), "00000000", 1)
	}
	for name, write := range map[string]func(dir string) error{
		"file": func(dir string) error { return WriteBytes(filepath.Join(dir, "x"), nil) },
		"folder": func(dir string) error {
			return NewFolder(filepath.Join(dir, "x"), 0o777, func(string) error { return nil })
		},
	} {
		dir := t.TempDir()
		old := elsewhere(dir)
		gone := []string{orphan(dir), orphan(dir), old}
		stay := []string{Temporary(dir), elsewhere(dir), filepath.Join(dir, ".dla-tmp-notes"),
			filepath.Join(dir, ".other.tmp-12")}
		for _, path := range append(slices.Clone(gone), stay...) {
			if err := os.MkdirAll(filepath.Join(path, "sub"), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path, "sub", "f"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		longAgo := time.Now().Add(-foreignAge - time.Hour)
		for _, path := range []string{filepath.Join(old, "sub", "f"), filepath.Join(old, "sub"), old} {
			if err := os.Chtimes(path, longAgo, longAgo); err != nil {
				t.Fatal(err)
			}
		}
		if err := write(dir); err != nil {
			t.Fatal(err)
		}
		for _, path := range gone {
			if exists(path) {
				t.Errorf("%s: %s is still there", name, filepath.Base(path))
			}
		}
		for _, path := range stay {
			if !exists(path) {
				t.Errorf("%s: %s is gone", name, filepath.Base(path))
			}
		}
	}
}

// TestNumberUsedAgain: a process that has the number of one that is gone does not keep what that one left.
func TestNumberUsedAgain(t *testing.T) {
	start, _ := started(os.Getpid())
	if start == 0 {
		t.Skip("when a process started is not known on " + runtime.GOOS)
	}
	path := strings.Replace(Temporary(t.TempDir()), fmt.Sprintf("-%d-%d-", os.Getpid(), start),
		fmt.Sprintf("-%d-%d-", os.Getpid(), start+1), 1)
	if !Abandoned(path) {
		t.Errorf("%s belongs to this process", path)
	}
}

// TestKillBetweenRenames: where two folders cannot be exchanged in one step, a process that dies between the two
// renames leaves the old one under a temporary name, and the next writer puts it back.
func TestKillBetweenRenames(t *testing.T) {
	root := t.TempDir()
	at := filepath.Join(root, "at")
	aside := orphan(root) + "~at"
	if err := NewFolder(aside, 0o777, pair("old")); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(filepath.Join(root, "x"), nil); err != nil {
		t.Fatal(err)
	}
	wantTree(t, root, "at/", "at/a=old", "at/sub/", "at/sub/b=old", "x=")
	if err := NewFolder(aside, 0o777, pair("older")); err != nil { // the successor had come
		t.Fatal(err)
	}
	Sweep(root)
	wantTree(t, root, "at/", "at/a=old", "at/sub/", "at/sub/b=old", "x=")
	if exists(at + "~") {
		t.Error("something is left")
	}
}

// TestSweepOfParts: what has come of a download outlives its process, until nobody has touched it for long.
func TestSweepOfParts(t *testing.T) {
	dir := t.TempDir()
	sha := strings.Repeat("0123456789abcdef", 4)
	fresh, stale := Part(sha), Part(strings.Replace(sha, "0", "f", 1))
	longAgo := time.Now().Add(-foreignAge - time.Hour)
	for _, name := range []string{fresh, stale, stale + ".lock", ".dla-part-notes"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if name == fresh {
			continue
		}
		if err := os.Chtimes(path, longAgo, longAgo); err != nil {
			t.Fatal(err)
		}
	}
	if !IsTemporary(fresh) || Abandoned(filepath.Join(dir, fresh)) || !Abandoned(filepath.Join(dir, stale)) {
		t.Error("a part is temporary, and abandoned once it is old")
	}
	Sweep(dir)
	for name, want := range map[string]bool{fresh: true, stale: false, stale + ".lock": false, ".dla-part-notes": true} {
		if got := exists(filepath.Join(dir, name)); got != want {
			t.Errorf("%s is there: %v, want %v", name, got, want)
		}
	}
}

// TestRenameOver: an empty folder is replaced; one that holds anything stays, and so does what was to replace it.
func TestRenameOver(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"new", "empty", "full/sub"} {
		if err := os.MkdirAll(at(name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("new/file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := renameOver(at("new"), at("full")); err == nil || !exists(at("full/sub")) || !exists(at("new/file")) {
		t.Errorf("over a full one: %v", err)
	}
	if err := renameOver(at("new"), at("empty")); err != nil || !exists(at("empty/file")) || exists(at("new")) {
		t.Errorf("over an empty one: %v", err)
	}
}
