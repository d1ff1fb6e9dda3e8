package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/run"
	"dla/internal/table"
)

// writeFile writes text to path, with its folders.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readFile returns the text of the file path.
func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantError fails t unless do gives an error with the text want.
func wantError(t *testing.T, want string, do func() error) {
	t.Helper()
	err := do()
	if err == nil {
		t.Errorf("no error, want one with %q", want)
		return
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

// wantText fails t for each of wants that is not in text.
func wantText(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// wantNoText fails t for each of others that is in text.
func wantNoText(t *testing.T, text string, others ...string) {
	t.Helper()
	for _, other := range others {
		if strings.Contains(text, other) {
			t.Errorf("%q in\n%s", other, text)
		}
	}
}

// drawn calls figures, which draws into dir, fails t on an error, and returns the files it names, relative to dir. Each
// must exist.
func drawn(t *testing.T, dir string, figures func(dir string) ([]string, error)) []string {
	t.Helper()
	files, err := figures(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
		name, err := filepath.Rel(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(name))
	}
	return names
}

// wantFiles fails t for each of wants that is not in files.
func wantFiles(t *testing.T, files []string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !slices.Contains(files, want) {
			t.Errorf("no %s in %v", want, files)
		}
	}
}

// wantNoFiles fails t for each of others that is in files.
func wantNoFiles(t *testing.T, files []string, others ...string) {
	t.Helper()
	for _, other := range others {
		if slices.Contains(files, other) {
			t.Errorf("%s in %v", other, files)
		}
	}
}

// damage overwrites the file name of the record rec.
func damage(t *testing.T, rec run.Record, name, text string) {
	t.Helper()
	writeFile(t, filepath.Join(rec.Dir, name), text)
}

// tableOf calls tables with recs, fails t on an error, and returns what a page shows.
func tableOf(t *testing.T, tables func([]run.Record) (table.Tables, error), recs ...run.Record) string {
	t.Helper()
	ts, err := tables(recs)
	if err != nil {
		t.Fatal(err)
	}
	return ts.Page()
}
