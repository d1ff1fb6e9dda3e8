package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/atomicfile"
)

// tiny is a set of two small files, served by handler.
func tiny(t *testing.T, handler http.HandlerFunc) (Entry, map[string][]byte) {
	t.Helper()
	content := map[string][]byte{"a.gz": []byte("first file"), "b.gz": []byte("the second file")}
	e := Entry{Name: "tiny", Folder: "tiny"}
	for _, name := range []string{"a.gz", "b.gz"} {
		sum := sha256.Sum256(content[name])
		e.Files = append(e.Files, File{name, int64(len(content[name])), hex.EncodeToString(sum[:])})
	}
	if handler != nil {
		srv := httptest.NewServer(handler)
		t.Cleanup(srv.Close)
		e.Mirrors = []string{srv.URL + "/"}
	}
	return e, content
}

func TestPull(t *testing.T) {
	var asked []string
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Write(content[strings.TrimPrefix(r.URL.Path, "/")])
	})
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var last Progress
	if _, err := e.Pull(context.Background(), dir, func(p Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	for _, p := range e.Verify(dir) {
		if p.Err != nil {
			t.Error(p.Err)
		}
	}
	if last.Done != last.Total || last.File != "b.gz" {
		t.Errorf("the last progress was %+v", last)
	}
	// A second pull mends what is damaged and fetches nothing else.
	if err := os.WriteFile(filepath.Join(dir, "a.gz"), []byte("first fyle"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked = nil
	if _, err := e.Pull(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != "/a.gz" {
		t.Errorf("asked for %v, want the damaged file only", asked)
	}
}

// TestPullFromBadServers: whatever a server does, the error says it, no wrong file appears under the
// real name, no temporary file is left, and a whole file from before stays.
func TestPullFromBadServers(t *testing.T) {
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"not found":   {http.NotFound, "404"},
		"wrong bytes": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("FIRST FILE")) }, "SHA-256"},
		"too short":   {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("first")) }, "5 bytes, want 10"},
		"too long":    {func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 1<<20)) }, "11 bytes, want 10"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("first"))
		}, "broke off"},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>log in</html>")) }, "want 10"},
	} {
		e, content := tiny(t, tc.serve)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "b.gz"), content["b.gz"], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := e.Pull(context.Background(), dir, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
		var nowhere *notFoundError
		if !errors.As(err, &nowhere) {
			t.Errorf("%s: %v is not taken as 'found nowhere'", name, err)
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != 1 || list[0].Name() != "b.gz" {
			t.Errorf("%s: the folder holds %v (error %v), want b.gz alone", name, list, err)
		}
	}
}

func TestPullOntoAFullDisk(t *testing.T) {
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) { w.Write(content[strings.TrimPrefix(r.URL.Path, "/")]) })
	defer func() { atomicfile.Fault = nil }()
	full := errors.New("no space left on device")
	atomicfile.Fault = func(op, _ string) error {
		if op == "write" {
			return full
		}
		return nil
	}
	dir := t.TempDir()
	_, err := e.Pull(context.Background(), dir, nil)
	var nowhere *notFoundError
	if !errors.Is(err, full) || errors.As(err, &nowhere) {
		t.Errorf("error %v: want the disk's, and no talk of missing sources", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("%v was left behind", list)
	}
}

func TestPullIntoAnUnwritableFolder(t *testing.T) {
	e, _ := tiny(t, http.NotFound)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := e.Pull(context.Background(), filepath.Join(file, "x"), nil)
	if err == nil || !strings.Contains(err.Error(), "DLA_DATA") {
		t.Errorf("error %v: want a remedy", err)
	}
}

func TestImport(t *testing.T) {
	e, content := tiny(t, nil)
	src, dir := t.TempDir(), t.TempDir()
	for name, b := range content {
		if err := os.WriteFile(filepath.Join(src, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Import(src, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, "a.gz"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Import(src, dir, nil); err == nil || !strings.Contains(err.Error(), "want 10") {
		t.Errorf("a wrong file was imported: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a.gz")); err != nil || !bytes.Equal(b, content["a.gz"]) {
		t.Errorf("the good file did not stay: %q %v", b, err)
	}
}

// TestSyntheticOnlyWhenNothingIsFound: offline without files gives the stand-in and says so; damaged
// files are an error, never passed over.
func TestSyntheticOnlyWhenNothingIsFound(t *testing.T) {
	t.Setenv("DLA_DATA", "")
	cache := t.TempDir()
	ds, err := Load(context.Background(), "mnist", Options{Cache: cache, Offline: true})
	if err != nil || !ds.Synthetic || ds.Name != SyntheticDigits || !strings.Contains(ds.Source, "mnist") {
		t.Fatalf("%+v %v", ds, err)
	}
	if err := os.MkdirAll(filepath.Join(cache, "mnist"), 0o750); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(cache, "mnist", Catalogue[0].Files[0].Name)
	if err := os.WriteFile(bad, []byte("not it"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(context.Background(), "mnist", Options{Cache: cache, Offline: true})
	if err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "dla data pull mnist") {
		t.Errorf("error %v: want one that names the file and the remedy", err)
	}
	if _, err := Load(context.Background(), "minst", Options{}); err == nil || !strings.Contains(err.Error(), "mnist") {
		t.Errorf("unknown set: error %v", err)
	}
}

// TestMNIST reads the real files.
func TestMNIST(t *testing.T) {
	dir := os.Getenv("DLA_DATA")
	if dir == "" {
		t.Skip("DLA_DATA is not set: no real MNIST to read")
	}
	ds, err := Load(context.Background(), "mnist", Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if ds.Synthetic || ds.Train.N != 60000 || ds.Test.N != 10000 {
		t.Fatalf("%s: %d train, %d test, synthetic %v", ds.Name, ds.Train.N, ds.Test.N, ds.Synthetic)
	}
	sum := 0.0
	for _, p := range ds.Train.Pixels {
		sum += float64(p)
	}
	if mean := sum / float64(len(ds.Train.Pixels)) / 255; mean < 0.13065 || mean > 0.13070 { // published: 0.1307
		t.Errorf("mean pixel %.5f, want 0.1307", mean)
	}
	if got := ds.Train.Labels[:5]; got[0] != 5 || got[1] != 0 || got[2] != 4 || got[3] != 1 || got[4] != 9 {
		t.Errorf("the first labels are %v, want 5 0 4 1 9", got)
	}
}
