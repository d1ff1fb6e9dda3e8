package run

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStubs: what is left of a run whose process was killed before it had said what it was of, as earlier versions
// did, is deleted by the next run beside it, and says so until then. What is somebody's stays.
func TestStubs(t *testing.T) {
	root := t.TempDir()
	stub := func(name string, old time.Duration, files ...string) string {
		dir := filepath.Join(root, name)
		for _, f := range append(files, lockName, configName) {
			path := filepath.Join(dir, f)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			put(t, path, "")
		}
		for _, sub := range []string{checkpointsName, figuresName} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		then := time.Now().Add(-old)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	stub("left", time.Hour, ".dla-tmp-00000000-1-1-a")
	young := stub("young", 0)
	saved := stub("saved", time.Hour, "checkpoints/ckpt-000001.safetensors")
	noted := stub("noted", time.Hour, "notes.txt")
	owned := stub("owned", time.Hour)
	l, err := take("owned", owned)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
	}()

	rec, err := Examine(root, "left")
	if want := "the next run that is begun under " + root + " deletes it"; err != nil || rec.Status != StatusBroken ||
		!strings.Contains(rec.Detail, want) {
		t.Errorf("it is %s (%s), %v; want that %s", rec.Status, rec.Detail, err, want)
	}
	create(t, root)
	if _, err := os.Lstat(filepath.Join(root, "left")); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	for _, dir := range []string{young, saved, noted, owned} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

// TestBegunAtOnce: runs of one name that are begun at the same instant are all there.
func TestBegunAtOnce(t *testing.T) {
	root := t.TempDir()
	runs := make([]*Run, 6)
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			r, err := Create(root, spec())
			if err != nil {
				t.Error(err)
				return
			}
			runs[i] = r
		})
	}
	all.Wait()
	var ids []string
	for _, r := range runs {
		if r == nil {
			return
		}
		if ids = append(ids, r.ID()); !owned(r.Dir()) {
			t.Errorf("%s is nobody's", r.ID())
		}
		defer func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != len(runs) {
		t.Errorf("%d names of %d runs", n, len(runs))
	}
	if list, err := List(root); err != nil || len(list) != len(runs) {
		t.Errorf("%d runs are listed, %v", len(list), err)
	}
}
