package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownCache gives the test a user cache folder of its own and no $DLA_DATA.
func ownCache(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
	t.Setenv("DLA_DATA", "")
}

// TestDataMistakes: what is wrong, what to do, and the right exit code, on one line.
func TestDataMistakes(t *testing.T) {
	ownCache(t)
	empty := t.TempDir()
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"data pull", exitUsage, "requires at least 1 arg"},
		{"data pull minst", exitUsage, `unknown data set "minst": known are mnist`},
		{"data pull synthetic-digits", exitUsage, "is built in"},
		{"data import mnist", exitUsage, "accepts 2 arg"},
		{"data import mnist " + empty, exitFailure, "train-images-idx3-ubyte.gz"},
		{"data verify minst", exitUsage, `unknown data set "minst"`},
		{"data verify mnist", exitFailure, "get it with `dla data pull mnist`"},
	} {
		_, errs, code := dla("", false, strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(errs, tc.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("dla %s: exit code %d, want %d; said %q, want one line with %q", tc.args, code, tc.code, errs, tc.want)
		}
	}
}

// TestDataImportVerify follows real files from a folder into the cache, and sees one go bad.
func TestDataImportVerify(t *testing.T) {
	src := os.Getenv("DLA_DATA")
	if src == "" {
		t.Skip("DLA_DATA is not set: no real MNIST to import")
	}
	ownCache(t)
	if _, errs, code := dla("", false, "data", "import", "mnist", filepath.Join(src, "mnist")); code != 0 {
		t.Fatalf("import: exit code %d: %s", code, errs)
	}
	if out, errs, code := dla("", false, "data", "verify", "mnist"); code != 0 || !strings.Contains(out, "mnist: ready") {
		t.Errorf("verify: exit code %d: %s%s", code, out, errs)
	}
	out, _, _ := dla("", false, "data", "ls", "--json")
	var list []location
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || list[0].Status != "ready" {
		t.Fatalf("ls --json: %v: %s", err, out)
	}
	bad := filepath.Join(list[0].Dir, "t10k-labels-idx1-ubyte.gz")
	if err := os.Truncate(bad, 100); err != nil {
		t.Fatal(err)
	}
	out, errs, code := dla("", false, "data", "verify")
	if code != exitFailure || !strings.Contains(out, "mnist: damaged") || !strings.Contains(errs, bad+" is damaged: 100 bytes, want 4542; get it anew with `dla data pull mnist`") {
		t.Errorf("verify of a damaged file: exit code %d: %s%s", code, out, errs)
	}
}
