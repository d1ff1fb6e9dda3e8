package parquet

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dla/internal/rng"
)

// files are those of testdata whose names begin with prefix: testdata/files.py.
func files(t testing.TB, prefix string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/" + prefix + "-*.parquet")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files, error %v", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = b
	}
	return all
}

// both reads the two columns of b.
func both(b []byte) (text []string, label []int64, err error) {
	f, err := Open(b)
	if err != nil {
		return nil, nil, err
	}
	if text, err = f.Strings("text"); err != nil {
		return nil, nil, err
	}
	label, err = f.Ints("label")
	return text, label, err
}

// TestWriters: however it was written, the table is the same.
func TestWriters(t *testing.T) {
	var want struct {
		Text  []string
		Label []int64
	}
	b, err := os.ReadFile("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for name, b := range files(t, "good") {
		text, label, err := both(b)
		if err != nil || !slices.Equal(text, want.Text) || !slices.Equal(label, want.Label) {
			t.Errorf("%s: another table, error %v: %q %v", name, err, text, label)
		}
		if f, err := Open(b); err != nil || f.rows != len(want.Text) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestRefused: what is not read is an error that says why.
func TestRefused(t *testing.T) {
	bad := files(t, "bad")
	for name, want := range map[string]string{
		"zstd": "another method than Snappy", "null": "has nulls", "null-v2": "has nulls", "type": `has in the column "label" values of another type`,
		"list": `has the column "more", which is a list or a group`, "encoding": "is encoded neither plainly nor by dictionary",
	} {
		b, ok := bad["bad-"+name+".parquet"]
		if _, _, err := both(b); !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	hub := files(t, "good")["good-hub.parquet"]
	f, err := Open(hub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Strings("sentence"); err == nil || !strings.Contains(err.Error(), `has no column "sentence"`) {
		t.Errorf("error %v", err)
	}
	for n := range hub {
		if _, _, err := both(hub[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes it was read", n, len(hub))
		}
	}
}

// TestDamage: no damage makes the reader panic, give columns of another length, or take memory out of
// proportion to the file.
func TestDamage(t *testing.T) {
	good := files(t, "good")
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range good {
			if !yield(name) {
				return
			}
		}
	})
	r := rng.New(1, "damage", 0, 0)
	var before, after runtime.MemStats
	for i := range 5000 {
		b := bytes.Clone(good[names[i%len(names)]])
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		runtime.ReadMemStats(&before)
		check(t, b)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 64<<20 {
			t.Fatalf("%s: %d bytes of memory for a file of %d", names[i%len(names)], after.TotalAlloc-before.TotalAlloc, len(b))
		}
	}
}

// check reads b, whatever it is.
func check(t *testing.T, b []byte) {
	t.Helper()
	f, err := Open(b)
	if err != nil {
		return
	}
	if text, err := f.Strings("text"); err == nil && len(text) != f.rows {
		t.Errorf("%d strings of %d rows", len(text), f.rows)
	}
	if label, err := f.Ints("label"); err == nil && len(label) != f.rows {
		t.Errorf("%d integers of %d rows", len(label), f.rows)
	}
}

// FuzzOpen: whatever the file, a column has as many values as there are rows or is an error.
func FuzzOpen(f *testing.F) {
	for _, prefix := range []string{"good", "bad"} {
		for _, b := range files(f, prefix) {
			f.Add(b)
		}
	}
	f.Fuzz(check)
}
