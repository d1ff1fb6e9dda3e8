package atomicfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// holds fails unless dir holds the one file name with content.
func holds(t *testing.T, dir, name, content string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 || list[0].Name() != name {
		t.Errorf("the folder holds %v (error %v), want %s alone", list, err, name)
	}
	if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != content {
		t.Errorf("%s holds %q (error %v), want %q", name, b, err, content)
	}
}

func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"first", "", "the third, longer"} {
		sha, n, err := Write(path, func(w io.Writer) error {
			for _, b := range []byte(content) { // in pieces
				if _, err := w.Write([]byte{b}); err != nil {
					return err
				}
			}
			return nil
		})
		sum := sha256.Sum256([]byte(content))
		if err != nil || n != int64(len(content)) || sha != hex.EncodeToString(sum[:]) {
			t.Errorf("%q: %d bytes, SHA-256 %s, error %v", content, n, sha, err)
		}
		holds(t, dir, "file", content)
	}
}

// TestFailedWriteChangesNothing: whatever fails, the old content stays, no temporary file is left, and
// the error names the file.
func TestFailedWriteChangesNothing(t *testing.T) {
	full := errors.New("no space left on device")
	for _, operation := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		t.Run(operation, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if err := WriteBytes(path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			defer func() { Fault = nil }()
			Fault = func(op, p string) error {
				if op == operation && p == path {
					return full
				}
				return nil
			}
			err := WriteBytes(path, []byte("new"))
			if !errors.Is(err, full) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %q with the file's name", err, full)
			}
			want := "old"
			if operation == "syncdir" {
				want = "new" // the rename had been done
			}
			holds(t, dir, "file", want)
		})
	}
}

func TestWriterThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	_, _, err := Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "half of the ne")
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	holds(t, dir, "file", "old")
}

func TestImpossiblePlaces(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "folder"), filepath.Join(dir, "none", "file")} {
		if err := WriteBytes(path, []byte("x")); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names it", path, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the folder holds %v (error %v), want the folder alone", list, err)
	}
}

// TestManyWriters: of several who write the same file at once, one wins whole.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := WriteBytes(path, []byte(strings.Repeat(fmt.Sprint(i), 1<<12))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 1<<12 || strings.Trim(string(b), string(b[:1])) != "" {
		t.Errorf("%d bytes that start with %.8q, error %v: want one writer's", len(b), b, err)
	}
	holds(t, dir, "file", string(b))
}
