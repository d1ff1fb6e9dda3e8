package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/cache"
)

// keep fills the user's cache folder, which it makes a new one, with files of n bytes last used so many days ago. It
// gives the folder that all is under.
func keep(t *testing.T, files map[string][2]int) string {
	t.Helper()
	for _, v := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(v, t.TempDir())
	}
	t.Setenv("DLA_DATA", "")
	dir, err := cache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, f[0]), 0o644); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(f[1]) * 24 * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// left are the files under dir.
func left(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const archive = "data/cifar10/cifar-10-binary.tar.gz"

func TestCache(t *testing.T) {
	keep(t, nil)
	want(t, 0, []string{"cache", "ls"}, "nothing is kept in")
	want(t, 0, []string{"cache", "prune"}, "removed nothing")
	orphan := filepath.Base(strings.Replace(atomicfile.Temporary(""), fmt.Sprintf("-%d-", os.Getpid()), "-4194999-", 1)) // no process has that number
	files := map[string][2]int{
		archive: {3000, 400}, "data/cifar10/cifar10.decoded": {2000, 50}, "data/cifar10/cifar10-images.tar.gz": {1000,
			1}, "data/cifar10/mine.txt": {1, 900},
		"data/cifar100_people/cifar100-people.decoded": {500, 900}, // all there is of it
		"features/a.safetensors":                       {400, 10}, "features/b.safetensors": {300,
			90}, "models/mine/config.json": {200, 900},
		"features/" + orphan: {100, 1}, "data/mnist/" + filepath.Base(atomicfile.Temporary("")): {50, 0},
	}
	dir := keep(t, files)
	list := func(args ...string) (kinds []string) {
		t.Helper()
		var all []cache.Item
		if err := json.Unmarshal([]byte(want(t, 0, append(args, "--json"))), &all); err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			kinds = append(kinds, fmt.Sprintf("%s %s %d", i.Kind, i.Name, i.Bytes))
		}
		return kinds
	}
	for _, name := range []string{".new", ".old-mine", ".old-gone"} { // of an earlier version; the last is all there is
		if err := os.MkdirAll(filepath.Join(dir, "models", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rest := []string{"data cifar100-people 500", "data cifar10 3000", "data cifar10-jpeg 1000", "decoded cifar10 2000",
		"encoder mine 200", "features b 300", "features a 400", "temporary " + orphan + " 100"}
	old := []string{"temporary .new 0", "temporary .old-mine 0"}
	if got := list("cache", "ls"); !slices.Equal(got[len(rest):], old) {
		t.Errorf("of an earlier version: %q, want %q", got, old)
	}
	want(t, 0, []string{"cache", "prune", "--yes", "--dry-run"}, ".old-mine")
	for _, name := range []string{".new", ".old-mine"} {
		if err := os.Remove(filepath.Join(dir, "models", name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := list("cache", "ls"); !slices.Equal(got, rest) {
		t.Errorf("listed are %q, want %q", got, rest)
	}
	want(t, 0, []string{"cache", "ls"}, "KIND", "decoded    cifar10", "MB in "+dir)

	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, rest[7:]},
		{[]string{"--days", "60"}, []string{rest[5], rest[7]}},
		{[]string{"--days", "20"}, []string{rest[3], rest[5], rest[7]}},
		{[]string{"--max-mb", "0.0025"}, []string{rest[7], rest[5]}},
		{[]string{"--max-mb", "0.0005"}, []string{rest[7], rest[5], rest[3]}},
		{[]string{"--max-mb", "0"}, []string{rest[7], rest[5], rest[3], rest[6]}},
		{[]string{"--days", "60", "--kind", "data"}, []string{rest[0], rest[1], rest[7]}},
	} {
		if got := list(append([]string{"cache", "prune", "--dry-run"}, c.args...)...); !slices.Equal(got, c.want) {
			t.Errorf("prune %v: %q, want %q", c.args, got, c.want)
		}
	}
	want(t, 2, []string{"cache", "prune", "--kind", "encoder"}, "want data, decoded, features")
	want(t, 2, []string{"cache", "prune", "--days", "-1"}, "--days -1")
	want(t, 2, []string{"cache", "prune", "--days", "60"}, "add --yes")
	if n := len(left(t, dir)); n != len(files) {
		t.Fatalf("%d files are left of %d", n, len(files))
	}
	want(t, 0, []string{"cache", "prune", "--days", "60", "--yes"}, "removed features b, 0.0 MB", orphan)
	if got := left(t, dir); slices.Contains(got, "features/b.safetensors") || slices.Contains(got, "features/"+orphan) ||
		len(got) != len(files)-2 {
		t.Errorf("left are %q", got)
	}
}

func TestDataRm(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := keep(t, map[string][2]int{
		archive: {3000, 1}, "data/cifar10/cifar10.decoded": {2000, 1}, "data/cifar10/train/cat/1.png": {10,
			1}, "data/cifar10/test/cat/1.png": {10, 1},
		"data/cifar10/cifar10-images.tar.gz": {1000, 1}, "data/cifar10/mine.txt": {1, 1},
	})
	if err := os.Symlink(outside, filepath.Join(dir, "data", "cifar10", "train", "dog")); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	want(t, 1, []string{"data", "rm", "mnist", "--yes"}, "mnist is not in the cache")
	want(t, 2, []string{"data", "rm", "nonsense", "--yes"}, "nonsense")
	want(t, 2, []string{"data", "rm", "cifar10"}, "add --yes")
	want(t, 0, []string{"data", "rm", "cifar10", "--dry-run"}, "would remove data cifar10", "would remove decoded cifar10")
	if _, errOut, code := dla("n\n", true, "data", "rm", "cifar10"); code != 1 ||
		!strings.Contains(errOut, "cifar-10-binary.tar.gz") || !strings.Contains(errOut, "delete these, 0.0 MB? [y/N]") {
		t.Errorf("code %d, it said %s", code, errOut)
	}
	if n := len(left(t, dir)); n != 7 {
		t.Fatalf("%d files are left", n)
	}
	want(t, 0, []string{"data", "rm", "cifar10", "--yes"}, "removed data cifar10", "removed decoded cifar10")
	if got := left(t, dir); !slices.Equal(got, []string{"data/cifar10/cifar10-images.tar.gz", "data/cifar10/mine.txt"}) {
		t.Errorf("left are %q", got)
	}
	// A set's folder that leads elsewhere is not followed.
	if err := os.RemoveAll(filepath.Join(dir, "data", "cifar10")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "cifar10-images.tar.gz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "data", "cifar10")); err != nil {
		t.Fatal(err)
	}
	want(t, 1, []string{"data", "rm", "cifar10-jpeg", "--yes"}, "removing "+filepath.Join(dir, "data", "cifar10"))
	if got := left(t, outside); !slices.Equal(got, []string{"cifar10-images.tar.gz", "precious"}) {
		t.Errorf("outside are %q", got)
	}
}

// TestCacheHasIndexes: what dla serve knows of runs is listed, and deleted by default, since it is made again.
func TestCacheHasIndexes(t *testing.T) {
	keep(t, map[string][2]int{"index/ab12.json": {100, 1}})
	want(t, 0, []string{"cache", "ls"}, "index", "ab12.json")
	want(t, 0, []string{"cache", "prune", "--max-mb", "0", "--yes"}, "index ab12.json")
	want(t, 0, []string{"cache", "ls"}, "nothing is kept in")
}
