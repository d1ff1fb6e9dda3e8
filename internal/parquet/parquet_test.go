package parquet

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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

// columnOf is the column called name of all groups of f.
func columnOf(f *File, name string) (all []string, err error) {
	for g := range f.Groups() {
		part, err := f.Values(g, name)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// both reads the two columns of b.
func both(b []byte) (text, label []string, err error) {
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, nil, err
	}
	if text, err = columnOf(f, "text"); err != nil {
		return nil, nil, err
	}
	label, err = columnOf(f, "label")
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
	labels := wordsOf(want.Label, func(v int64) string { return strconv.FormatInt(v, 10) })
	for name, b := range files(t, "good") {
		text, label, err := both(b)
		if err != nil || !slices.Equal(text, want.Text) || !slices.Equal(label, labels) {
			t.Errorf("%s: another table, error %v: %q %v", name, err, text, label)
		}
		if f, err := Open(bytes.NewReader(b), int64(len(b))); err != nil || f.Rows() != len(want.Text) || !f.IsText("text") ||
			f.IsText("label") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestKinds: numbers and booleans are words, and a null is an empty one.
func TestKinds(t *testing.T) {
	for name, b := range files(t, "nulls") {
		f, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for of, want := range map[string][]string{"text": {"", "a", "b", ""}, "label": {"1", "", "0", "1"},
			"flag": {"true", "false", "", "true"}, "share": {"0.5", "", "1", "-2"}, "half": {"0.1", "1", "", "2"}} {
			if got, err := columnOf(f, of); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, error %v, want %q", name, of, got, err, want)
			}
		}
	}
}

// TestNested: a list and a group among the columns are passed over.
func TestNested(t *testing.T) {
	b := files(t, "good")["good-nested.parquet"]
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil || !slices.Equal(f.Columns(), []string{"text", "label"}) || f.Metadata("ARROW:schema") == "" ||
		f.Metadata("none") != "" {
		t.Errorf("columns %q, error %v", f.Columns(), err)
	}
}

// TestRefused: what is not read is an error that says why.
func TestRefused(t *testing.T) {
	bad := files(t, "bad")
	for name, want := range map[string]string{"lz4": "not read (LZ4)", "brotli": "not read (Brotli)",
		"list": `column "label": is a list or a group`} {
		b, ok := bad["bad-"+name+".parquet"]
		if _, _, err := both(b); !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	hub := files(t, "good")["good-hub.parquet"]
	f, err := Open(bytes.NewReader(hub), int64(len(hub)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Groups() == 0 {
		t.Fatal("no rows")
	}
	if _, err := columnOf(f, "sentence"); err == nil || !strings.Contains(err.Error(), `has no column "sentence"`) {
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
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	for _, name := range f.Columns() {
		if all, err := columnOf(f, name); err == nil && len(all) != f.Rows() {
			t.Errorf("%s: %d values of %d rows", name, len(all), f.Rows())
		}
	}
}

// FuzzOpen: whatever the file, a column has as many values as there are rows or is an error.
func FuzzOpen(f *testing.F) {
	for _, prefix := range []string{"good", "bad", "nulls"} {
		for _, b := range files(f, prefix) {
			f.Add(b)
		}
	}
	f.Fuzz(check)
}
