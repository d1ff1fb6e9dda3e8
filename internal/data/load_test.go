package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/download"
)

func init() { download.Pause = time.Millisecond }

// tiny is a set of two small files, served by handler.
func tiny(t *testing.T, handler http.HandlerFunc) (Entry, map[string][]byte) {
	t.Helper()
	content := map[string][]byte{"a.gz": []byte("first file"), "b.gz": []byte("the second file")}
	var f Form
	for _, name := range []string{"a.gz", "b.gz"} {
		f.Files = append(f.Files, published(name, content[name]))
	}
	if handler != nil {
		srv := httptest.NewServer(handler)
		t.Cleanup(srv.Close)
		f.Mirrors = []string{srv.URL + "/"}
	}
	return Entry{Name: "tiny", Folder: "tiny", Forms: []Form{f}}, content
}

// published is the file name with content as a catalogue lists it.
func published(name string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{name, int64(len(content)), hex.EncodeToString(sum[:])}
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
	if err := e.Forms[0].verify(dir); err != nil {
		t.Error(err)
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
// real name, nothing is left but a part of what may yet come whole, and a whole file from before stays.
func TestPullFromBadServers(t *testing.T) {
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"not found":   {http.NotFound, "404"},
		"wrong bytes": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("FIRST FILE")) }, "SHA-256"},
		"too short":   {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("first")) }, "5 bytes, want 10"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 1<<20)) },
			"more than 10 bytes, want 10"},
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
		if !Nowhere(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v is not taken as 'found nowhere', or is no single line", name, err)
		}
		want := []string{"b.gz"}
		if name == "cut off" {
			want = []string{atomicfile.Part(e.Forms[0].Files[0].SHA256), "b.gz"}
		}
		if got := namesIn(t, dir); !slices.Equal(got, want) {
			t.Errorf("%s: the folder holds %v, want %v", name, got, want)
		}
	}
}

// namesIn lists a folder.
func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestPullGoesOn: what a connection, a kill or an interrupt has left of a file is not fetched again, whichever of the
// mirrors it came from, and nothing but the file is left in the end.
func TestPullGoesOn(t *testing.T) {
	var content map[string][]byte
	var asked []string
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		name := filepath.Base(r.URL.Path)
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Range"))
		if r.URL.Path == "/first/a.gz" { // breaks off, and then is gone
			if len(asked) > 1 {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Length", "10")
			w.Write(content[name][:4])
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content[name]))
	})
	base := e.Forms[0].Mirrors[0]
	e.Forms[0].Mirrors = []string{base + "first/", base + "second/"}
	dir := t.TempDir()
	killed := atomicfile.Part(e.Forms[0].Files[1].SHA256)
	if err := os.WriteFile(filepath.Join(dir, killed), content["b.gz"][:6], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, killed+".lock"), nil, 0o600); err != nil { // which a kill leaves as well
		t.Fatal(err)
	}
	if _, err := e.Pull(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"/first/a.gz ", "/first/a.gz bytes=4-", "/second/a.gz bytes=4-", "/second/b.gz bytes=6-"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if got, want := namesIn(t, dir), []string{"a.gz", "b.gz"}; !slices.Equal(got, want) {
		t.Errorf("the folder holds %v, want %v", got, want)
	}
}

// TestPullKilled: of a pull that was killed with SIGKILL the next goes on where it was. The one that is killed is this
// test binary, run anew.
func TestPullKilled(t *testing.T) {
	const served, dirOf = "DLA_TEST_PULL_FROM", "DLA_TEST_PULL_INTO"
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i >> 8)
	}
	e := Entry{Name: "big", Folder: "big", Forms: []Form{{Files: []File{published("big.bin", big)}}}}
	if url := os.Getenv(served); url != "" { // to be killed
		e.Forms[0].Mirrors = []string{url}
		_, err := e.Pull(context.Background(), os.Getenv(dirOf), nil)
		t.Fatalf("the pull ended by itself: %v", err)
	}
	var ranges []string
	half := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) > 1 {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(big))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		w.Write(big[:len(big)/2])
		w.(http.Flusher).Flush()
		close(half)
		<-r.Context().Done()
	}))
	defer srv.Close()
	dir := t.TempDir()
	part := filepath.Join(dir, atomicfile.Part(e.Forms[0].Files[0].SHA256))
	child := exec.Command(os.Args[0], "-test.run=^TestPullKilled$")
	child.Env = append(os.Environ(), served+"="+srv.URL+"/", dirOf+"="+dir)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	var had int64
	for range 1000 { // what was sent is yet to be written
		if st, err := os.Stat(part); err == nil && st.Size() == int64(len(big)/2) {
			had = st.Size()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // that it was killed
	if had == 0 {
		t.Fatal("the half that was sent has not come")
	}
	e.Forms[0].Mirrors = []string{srv.URL + "/"}
	if _, err := e.Pull(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("bytes=%d-", had); len(ranges) != 2 || ranges[1] != want {
		t.Errorf("asked for %q, want %q the second time", ranges, want)
	}
	if got := namesIn(t, dir); !slices.Equal(got, []string{"big.bin"}) {
		t.Errorf("the folder holds %v, want big.bin alone", got)
	}
}

// TestPullTellsNoPassword: neither one of a mirror nor one of a proxy.
func TestPullTellsNoPassword(t *testing.T) {
	for _, base := range []string{"http://me:secret@127.0.0.1:1/", "http://me:secret@host\x7f/", "://me:secret@host/"} {
		e, _ := tiny(t, nil)
		e.Forms[0].Mirrors = []string{base}
		_, err := e.Pull(context.Background(), t.TempDir(), nil)
		if !Nowhere(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", base, err)
		}
	}
	e, _ := tiny(t, http.NotFound)
	e.Forms[0].Mirrors = []string{strings.Replace(e.Forms[0].Mirrors[0], "http://", "http://me:secret@", 1)}
	if _, err := e.Pull(context.Background(), t.TempDir(), nil); !Nowhere(err) ||
		strings.Contains(err.Error(), "secret") ||
		!strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestPullOntoAFullDisk(t *testing.T) {
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(content[strings.TrimPrefix(r.URL.Path,
			"/")])
	})
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
	if !errors.Is(err, full) || Nowhere(err) {
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

// fill writes content into a new folder.
func fill(t *testing.T, content map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range content {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPullFromAServerThatStalls(t *testing.T) {
	defer func(d time.Duration) { download.StallLimit = d }(download.StallLimit)
	download.StallLimit = 50 * time.Millisecond
	done := make(chan struct{})
	e, _ := tiny(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Write([]byte("first"))
		w.(http.Flusher).Flush()
		<-done
	})
	_, err := e.Pull(context.Background(), t.TempDir(), nil)
	close(done)
	if !Nowhere(err) || !strings.Contains(err.Error(), "only 5 bytes came in 50ms") {
		t.Errorf("error %v, want one that says how little came", err)
	}
}

// TestPullTriesTheNextSource: a bad mirror does not stop the good one after it.
func TestPullTriesTheNextSource(t *testing.T) {
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		if good, ok := strings.CutPrefix(r.URL.Path, "/good/"); ok {
			w.Write(content[good])
		} else {
			http.NotFound(w, r)
		}
	})
	e.Forms[0].Mirrors = []string{e.Forms[0].Mirrors[0] + "bad/", "http://127.0.0.1:1/", e.Forms[0].Mirrors[0] + "good/"}
	dir := t.TempDir()
	if _, err := e.Pull(context.Background(), dir, nil); err != nil || len(e.Forms[0].missing(dir)) != 0 {
		t.Errorf("error %v, missing %v", err, e.Forms[0].missing(dir))
	}
}

func TestPullInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	e, _ := tiny(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := e.Pull(ctx, t.TempDir(), nil); !errors.Is(err, context.Canceled) || Nowhere(err) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// TestManyPullsAtOnce: processes that fetch the same set into the same folder do not disturb each other.
func TestManyPullsAtOnce(t *testing.T) {
	var content map[string][]byte
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(content[strings.TrimPrefix(r.URL.Path,
			"/")])
	})
	opt := Options{Dir: t.TempDir(), Cache: t.TempDir()}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			at, err := e.locate(context.Background(), opt)
			if err != nil {
				t.Error(err)
			}
			if err := e.Forms[0].verify(at.Dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, _ := os.ReadDir(filepath.Join(opt.Cache, e.Folder)); len(list) != 2 {
		t.Errorf("the cache holds %v, want the two files", list)
	}
}

// TestModule asks a stand-in for the go command, which answers as the real one does.
func TestModule(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in is a shell script")
	}
	e, content := tiny(t, nil)
	e.Forms[0].Module = "example.org/tiny@v1.0.0"
	module := t.TempDir()
	if err := os.Rename(fill(t, content), filepath.Join(module, "data")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ script, want string }{
		"found":          {`echo '{"Path": "example.org/tiny", "Dir": "` + module + `"}'`, ""},
		"unknown":        {`echo '{"Error": "no such  module"}'; exit 1`, "go mod download: no such module"},
		"fails":          {`echo 'no route' >&2; echo 'to host' >&2; exit 1`, "exit status 1 no route to host"},
		"talks nonsense": {`echo hello`, "not JSON"},
		"another module": {`echo '{"Dir": "/nonexistent"}'`, "/nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := fill(t, map[string][]byte{"go": []byte("#!/bin/sh\n" + tc.script + "\n")})
			if err := os.Chmod(filepath.Join(bin, "go"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			dir := t.TempDir()
			source, err := e.Pull(context.Background(), dir, nil)
			if tc.want == "" {
				if err != nil || len(e.Forms[0].missing(dir)) != 0 || !strings.Contains(source, e.Forms[0].Module) {
					t.Errorf("from %q, error %v, missing %v", source, err, e.Forms[0].missing(dir))
				}
				return
			}
			if !Nowhere(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	t.Run("no go command", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := e.Pull(context.Background(), t.TempDir(), nil); !Nowhere(err) {
			t.Errorf("error %v, want: nowhere", err)
		}
	})
}

// TestPartOfASet: in the cache what is missing is fetched, for a fetch may have been cut short; in
// $DLA_DATA it is an error, and so is what cannot be fetched. Nothing of it is "nowhere".
func TestPartOfASet(t *testing.T) {
	var content map[string][]byte
	var asked []string
	e, content := tiny(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Write(content[strings.TrimPrefix(r.URL.Path, "/")])
	})
	part := func() string {
		root := t.TempDir()
		if err := os.Rename(fill(t, map[string][]byte{"a.gz": content["a.gz"]}), filepath.Join(root, e.Folder)); err != nil {
			t.Fatal(err)
		}
		return root
	}
	cache := part()
	if at, err := e.locate(context.Background(), Options{Dir: t.TempDir(), Cache: cache}); err != nil ||
		len(e.Forms[0].missing(at.Dir)) != 0 {
		t.Errorf("missing in the cache: %v, error %v", e.Forms[0].missing(at.Dir), err)
	}
	if len(asked) != 1 || asked[0] != "/b.gz" {
		t.Errorf("asked for %v, want the missing file only", asked)
	}
	root := part()
	if at, err := e.locate(context.Background(), Options{Dir: root, Cache: cache}); err != nil ||
		at.Dir != filepath.Join(root, e.Folder) {
		t.Errorf("part of a set in $DLA_DATA was passed over for %s, error %v", at.Dir, err)
	}
	e.Forms[0].Mirrors = []string{"http://127.0.0.1:1/"}
	if _, err := e.locate(context.Background(), Options{Dir: t.TempDir(), Cache: part()}); err == nil || Nowhere(err) ||
		!strings.Contains(err.Error(), "lacks b.gz") {
		t.Errorf("error %v, want one that names the missing file", err)
	}
}

func TestImport(t *testing.T) {
	e, content := tiny(t, nil)
	src, dir := fill(t, content), filepath.Join(t.TempDir(), "new", "cache")
	if err := e.Import(context.Background(), src, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Forms[0].verify(dir); err != nil {
		t.Error(err)
	}
}

// TestImportOfAWrongFolder: one wrong or missing file, and nothing is copied.
func TestImportOfAWrongFolder(t *testing.T) {
	e, content := tiny(t, nil)
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"missing":   {nil, "b.gz"},
		"other":     {[]byte("the second fyle"), "SHA-256"},
		"truncated": {[]byte("the second"), "10 bytes, want 15"},
	} {
		src, dir := fill(t, map[string][]byte{"a.gz": content["a.gz"]}), t.TempDir()
		if tc.b != nil {
			if err := os.WriteFile(filepath.Join(src, "b.gz"), tc.b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Import(context.Background(), src, dir, nil); err == nil || !strings.Contains(err.Error(), tc.want) ||
			!strings.Contains(err.Error(), src) {
			t.Errorf("%s: error %v, want one with %q and the folder", name, err, tc.want)
		}
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: %v was copied", name, list)
		}
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
	bad := filepath.Join(cache, "mnist", mnistFiles[0].Name)
	if err := os.WriteFile(bad, []byte("not it"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(context.Background(), "mnist", Options{Cache: cache, Offline: true})
	if err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "dla data pull mnist") {
		t.Errorf("error %v: want one that names the file and the remedy", err)
	}
	t.Setenv("DLA_DATA", cache) // now the cache's remedy would not help
	_, err = Load(context.Background(), "mnist", Options{Cache: t.TempDir(), Offline: true})
	if err == nil || !strings.Contains(err.Error(), "replace the files in "+filepath.Dir(bad)) {
		t.Errorf("error %v: want the remedy for files in $DLA_DATA", err)
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
	if got := ds.Train.Labels[:5]; !slices.Equal(got, []int32{5, 0, 4, 1, 9}) {
		t.Errorf("the first labels are %v, want 5 0 4 1 9", got)
	}
	if ds.Train.Reordered() || !ds.Test.Known() || ds.Test.Published[9999] != 9999 {
		t.Error("the order is not said to be the published one")
	}
}

// TestImportInterrupted: whichever of an import's operations on the file system fails, the same import goes well then,
// and deletes what one that was killed has left.
func TestImportInterrupted(t *testing.T) {
	e, content := tiny(t, nil)
	src, dir := fill(t, content), t.TempDir()
	defer func() { atomicfile.Fault = nil }()
	for n := 1; ; n++ {
		at := 0
		atomicfile.Fault = func(string, string) error {
			if at++; at == n {
				return syscall.ENOSPC
			}
			return nil
		}
		err := e.Import(context.Background(), src, dir, nil)
		atomicfile.Fault = nil
		if at < n {
			if err != nil || n < 10 {
				t.Errorf("%d operations, error %v", at, err)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("operation %d fails: error %v", n, err)
		}
		killed := strings.Replace(atomicfile.Temporary(dir), fmt.Sprintf("-%d-", os.Getpid()), "-4194999-", 1) // no process has that number
		if err := os.WriteFile(killed, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.Import(context.Background(), src, dir, nil); err != nil || e.Forms[0].verify(dir) != nil {
			t.Errorf("operation %d has failed, and the next import: %v, %v", n, err, e.Forms[0].verify(dir))
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != len(content) {
			t.Errorf("left are %v, error %v", list, err)
		}
	}
}
