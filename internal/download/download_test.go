package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dla/internal/atomicfile"
)

func init() { Pause = time.Millisecond }

// get reads all of what a server gives, in the time that there is.
func get(t *testing.T, answer http.HandlerFunc) (int, error) {
	t.Helper()
	s := httptest.NewServer(answer)
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Do(s.Client(), req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return len(b), err
}

// TestDrip: a server that sends a few bytes now and then is given up, one that is slow is not.
func TestDrip(t *testing.T) {
	defer func(d time.Duration) { StallLimit = d }(StallLimit)
	StallLimit = 200 * time.Millisecond
	send := func(size int, pause time.Duration, times int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for range times {
				if _, err := w.Write(make([]byte, size)); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(pause)
			}
		}
	}
	if n, err := get(t, send(1, 10*time.Millisecond, 2000)); err == nil ||
		!strings.Contains(err.Error(), "bytes came in 200ms") {
		t.Errorf("%d bytes one by one: error %v", n, err)
	}
	if n, err := get(t, send(2*worth, 100*time.Millisecond, 4)); err != nil || n != 8*worth {
		t.Errorf("%d bytes in more than the limit: %v", n, err)
	}
}

// remote is a file on a server, and a folder that it is fetched into.
type remote struct {
	t       *testing.T
	content []byte   // what is wanted
	asked   []string // the Range headers of all requests
	dir     string
	root    *os.Root
	fits    func(io.ReaderAt, int64) (bool, error)
	answer  func(w http.ResponseWriter, r *http.Request, n int) bool // true where it has answered request n (from 1)
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{t: t, content: bytes.Repeat([]byte("0123456789"), 10_000), dir: t.TempDir()}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	r.root = root
	return r
}

func (r *remote) part() string { return filepath.Join(r.dir, "part") }

// fetch fetches the file with as many tries as Retry makes.
func (r *remote) fetch() error {
	r.t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked = append(r.asked, req.Header.Get("Range"))
		if r.answer == nil || !r.answer(w, req, len(r.asked)) {
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.content))
		}
	}))
	defer srv.Close()
	f := Fetch{Root: r.root, Part: "part", To: "file", Perm: 0o666, Name: "file", Size: int64(len(r.content)),
		Fits: r.fits,
		Get: func(ctx context.Context, from int64) (*http.Response, error) {
			req, err := NewRequest(ctx, http.MethodGet, srv.URL, from)
			if err != nil {
				return nil, err
			}
			resp, err := Do(srv.Client(), req)
			if err != nil {
				return nil, &Temporary{Err: err}
			}
			if resp.StatusCode >= 400 && resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
				resp.Body.Close()
				return nil, Refused(resp)
			}
			return resp, nil
		},
		Check: func(part string) error {
			b, err := r.root.ReadFile(part)
			if err == nil && sha256.Sum256(b) != sha256.Sum256(r.content) {
				err = errors.New("other bytes")
			}
			return err
		},
	}
	return Retry(context.Background(), func() (int64, error) { return f.Try(context.Background()) })
}

// whole checks that the file is there and nothing else is.
func (r *remote) whole(asked ...string) {
	r.t.Helper()
	if b, err := os.ReadFile(filepath.Join(r.dir, "file")); err != nil || !bytes.Equal(b, r.content) {
		r.t.Errorf("%d bytes of the file are there and not what is wanted (%v)", len(b), err)
	}
	if list, _ := os.ReadDir(r.dir); len(list) != 1 {
		r.t.Errorf("the folder holds %v, want the file alone", list)
	}
	if !slices.Equal(r.asked, asked) {
		r.t.Errorf("asked for %q, want %q", r.asked, asked)
	}
}

// some answers with n bytes of b and then breaks off.
func some(w http.ResponseWriter, status int, b []byte, n int) bool {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(status)
	w.Write(b[:n])
	return true
}

// TestCut: a transfer that breaks off goes on where it did.
func TestCut(t *testing.T) {
	r := newRemote(t)
	r.answer = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		return n == 1 && some(w, http.StatusOK, r.content, 30_000)
	}
	if err := r.fetch(); err != nil {
		t.Fatal(err)
	}
	r.whole("", "bytes=30000-")
}

// TestPartOfBefore: what another process has left is gone on from, be it part of the file, all of it, other bytes or
// more than the file has.
func TestPartOfBefore(t *testing.T) {
	for name, c := range map[string]struct {
		part  func(content []byte) []byte
		asked []string
	}{
		"a part":      {func(b []byte) []byte { return b[:500] }, []string{"bytes=500-"}},
		"all of it":   {func(b []byte) []byte { return b }, nil},
		"other bytes": {func([]byte) []byte { return make([]byte, 500) }, []string{"bytes=500-", ""}},
		"too much":    {func(b []byte) []byte { return append(b, 0) }, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t)
			if err := os.WriteFile(r.part(), c.part(slices.Clone(r.content)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := r.fetch(); err != nil {
				t.Fatal(err)
			}
			r.whole(c.asked...)
		})
	}
}

// TestAnswersToARange: whatever a server answers to a request for the rest, no other bytes are taken for it.
func TestAnswersToARange(t *testing.T) {
	const from = 30_000
	rest := fmt.Sprintf("bytes=%d-", from)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, content []byte)
		asked  []string
	}{
		"200, all of it": {func(w http.ResponseWriter, b []byte) { w.Write(b) }, []string{rest}},
		"416":            {func(w http.ResponseWriter, _ []byte) { w.WriteHeader(416) }, []string{rest, ""}},
		"206 without a range": {func(w http.ResponseWriter, b []byte) {
			w.WriteHeader(206)
			w.Write(b[from:])
		}, []string{rest, ""}},
		"206 of another range": {func(w http.ResponseWriter, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(206)
			w.Write(b[7:])
		}, []string{rest, ""}},
		"206 of a longer file": {func(w http.ResponseWriter, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b), len(b)+1))
			w.WriteHeader(206)
			w.Write(b[from:])
		}, []string{rest, ""}},
		"206, changed content": {func(w http.ResponseWriter, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
			w.WriteHeader(206)
			w.Write(make([]byte, len(b)-from))
		}, []string{rest, ""}},
		"503": {func(w http.ResponseWriter, _ []byte) { w.WriteHeader(503) }, []string{rest, rest}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t)
			if err := os.WriteFile(r.part(), r.content[:from], 0o600); err != nil {
				t.Fatal(err)
			}
			r.answer = func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n == 1 {
					c.answer(w, r.content)
				}
				return n == 1
			}
			if err := r.fetch(); err != nil {
				t.Fatal(err)
			}
			r.whole(c.asked...)
		})
	}
}

// TestFailedFetches: what cannot be mended is an error that says why, after as many tries as it is worth, and no wrong
// file is put in place; what may yet be of use is kept.
func TestFailedFetches(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, content []byte)
		want   string
		tries  int
		kept   int // bytes of a part
	}{
		"wrong digest": {func(w http.ResponseWriter, _ *http.Request, b []byte) { w.Write(make([]byte, len(b))) },
			"other bytes", 2, 0},
		"too long": {func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.(http.Flusher).Flush() // no Content-Length
			w.Write(append(b, b...))
		}, "more than 100000 bytes, want 100000", 2, 0},
		"another length": {func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.Write([]byte("<html>log in</html>")) },
			"it has 19 bytes, want 100000", 2, 0},
		"too short": {func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.(http.Flusher).Flush()
			w.Write(b[:1000])
		}, "the transfer ended after 1000 bytes of 100000; given up after 5 tries", 5, 1000},
		"gone": {func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(404) }, `"404 Not Found"`, 1, 0},
		"busy": {func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, "the server asks to wait 1h0m0s", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t)
			r.answer = func(w http.ResponseWriter, req *http.Request, _ int) bool {
				c.answer(w, req, slices.Clone(r.content))
				return true
			}
			err := r.fetch()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if len(r.asked) != c.tries {
				t.Errorf("%d tries, want %d", len(r.asked), c.tries)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "file")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file was put in place (%v)", err)
			}
			st, err := os.Stat(r.part())
			switch {
			case c.kept == 0 && !errors.Is(err, os.ErrNotExist):
				t.Errorf("a part is left (%v)", err)
			case c.kept > 0 && (err != nil || st.Size() < int64(c.kept)):
				t.Errorf("the part is %v (%v), want %d bytes or more", st, err, c.kept)
			}
		})
	}
}

// TestDripIsGivenUp: a server that sends its file a byte at a time is given up in the end.
func TestDripIsGivenUp(t *testing.T) {
	defer func(d time.Duration) { StallLimit = d }(StallLimit)
	StallLimit = 50 * time.Millisecond
	r := newRemote(t)
	r.answer = func(w http.ResponseWriter, req *http.Request, _ int) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(r.content)))
		for i := 0; req.Context().Err() == nil && i < 1000; i++ {
			w.Write(r.content[i : i+1])
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		return true
	}
	if err := r.fetch(); err == nil || !strings.Contains(err.Error(), "50ms; given up after 5 tries") {
		t.Errorf("error %v", err)
	}
}

// TestLoginPageKeepsThePart: a network that answers with a page of its own does not cost what has come.
func TestLoginPageKeepsThePart(t *testing.T) {
	r := newRemote(t)
	if err := os.WriteFile(r.part(), r.content[:70_000], 0o600); err != nil {
		t.Fatal(err)
	}
	r.answer = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n <= 2 {
			fmt.Fprint(w, "<html>log in</html>")
		}
		return n <= 2
	}
	if err := r.fetch(); err == nil {
		t.Fatal("a page was taken for the file")
	}
	if err := r.fetch(); err != nil {
		t.Fatal(err)
	}
	r.whole("bytes=70000-", "bytes=70000-", "bytes=70000-")
}

// TestFurther: the count of tries begins anew where one got further by as much as makes it worth while.
func TestFurther(t *testing.T) {
	for step, want := range map[int64]int{progress: 20, progress / 10: tries} {
		n := 0
		err := Retry(context.Background(), func() (int64, error) {
			if n++; n == 20 {
				return 0, nil
			}
			return int64(n) * step, &Temporary{Err: errors.New("cut")}
		})
		if n != want || (err == nil) != (want == 20) {
			t.Errorf("by %d bytes: %d tries, error %v; want %d tries", step, n, err, want)
		}
	}
}

// TestUnfit: what can be seen to be of no use is not fetched to its end, and not kept.
func TestUnfit(t *testing.T) {
	r := newRemote(t)
	unfit := errors.New("another model")
	r.fits = func(part io.ReaderAt, n int64) (bool, error) { return true, unfit }
	if err := r.fetch(); !errors.Is(err, unfit) || len(r.asked) != 1 {
		t.Errorf("error %v after %d tries", err, len(r.asked))
	}
	if list, _ := os.ReadDir(r.dir); len(list) != 0 {
		t.Errorf("the folder holds %v", list)
	}
}

// TestDiskFails: whichever operation on the file system fails, the error is the disk's, is not tried again, and the
// next fetch goes well.
func TestDiskFails(t *testing.T) {
	defer func() { atomicfile.Fault = nil }()
	for _, op := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		r := newRemote(t)
		n := 0
		atomicfile.Fault = func(operation, _ string) error {
			if operation != op {
				return nil
			}
			n++
			return syscall.ENOSPC
		}
		var disk *DiskError
		if err := r.fetch(); !errors.As(err, &disk) || !errors.Is(err, syscall.ENOSPC) || n != 1 {
			t.Errorf("%s fails: error %v after %d times", op, err, n)
		}
		atomicfile.Fault = nil
		r.asked = nil
		if err := r.fetch(); err != nil {
			t.Errorf("%s has failed, and the next fetch: %v", op, err)
		}
		if b, err := os.ReadFile(filepath.Join(r.dir, "file")); err != nil || !bytes.Equal(b, r.content) {
			t.Errorf("%s has failed, and after the next fetch the file is wrong (%v)", op, err)
		}
	}
}

// TestSecrets: neither the address of a request nor that of a proxy is in an error.
func TestSecrets(t *testing.T) {
	proxy := discreet(func(*http.Request) (*url.URL, error) { return nil, errors.New(`invalid "http://me:secret@x y"`) })
	if _, err := proxy(nil); err == nil || strings.Contains(err.Error(), "secret") ||
		!strings.Contains(err.Error(), "HTTPS_PROXY") {
		t.Errorf("proxy: error %v", err)
	}
	for _, address := range []string{"http://me:secret@127.0.0.1:1/", "http://me:secret@host\x7f/",
		"http://me:sec ret@h/"} {
		req, err := NewRequest(t.Context(), http.MethodGet, address, 0)
		if err == nil {
			var res *http.Response
			if res, err = Do(&http.Client{Transport: Transport}, req); err == nil {
				res.Body.Close()
			}
		}
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec ret") {
			t.Errorf("%q: error %v", address, err)
		}
	}
}
