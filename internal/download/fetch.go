package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"dla/internal/atomicfile"
)

// Fetch is a file to be fetched. What has come of it lies in a file of its own, the part, until it is whole and is the
// file that is wanted. A process that is killed, or a connection that breaks, leaves the part, and the next try asks
// for the rest alone (RFC 9110, section 14). A part needs no If-Range: its name and its check are of the content that
// is wanted, so that a file that has changed on the server is found out at the end and fetched anew.
type Fetch struct {
	Root     *os.Root    // the folder that everything is in; no name leads out of it
	Part, To string      // names in it: of what has come and of the whole file
	Perm     fs.FileMode // permissions, as far as the umask lets the file have them

	Name string // in reports
	Size int64  // bytes of the file; -1: not known
	Most int64  // bytes that are taken at most, where Size is not known

	// Get asks for the file from byte from on. What it gives is an answer to work with (2xx, or 416), or an error.
	Get func(ctx context.Context, from int64) (*http.Response, error)
	// Check says whether the whole part is the file: nil, or what is wrong.
	Check func(part string) error
	// Fits, where not nil, is asked after each write whether what has come, n bytes of it, can be of use, until it has
	// seen enough. An error of it ends the fetch for good: the rest need not come.
	Fits func(part io.ReaderAt, n int64) (seen bool, err error)
	// Progress, where not nil, is told how many bytes there are.
	Progress func(have int64)
}

// Try fetches what is missing of the file and puts it in its place, for Retry: it returns how many bytes there are.
// Errors are Temporary, Damaged, a DiskError, or final.
func (f *Fetch) Try(ctx context.Context) (have int64, err error) {
	part, err := f.open()
	if err != nil {
		return 0, &DiskError{err}
	}
	have, err = f.fill(ctx, part)
	if err == nil {
		err = f.disk("sync", part.Sync)
	}
	closed := f.disk("close", part.Close)
	if err == nil {
		err = closed
	}
	if err == nil {
		if wrong := f.Check(f.Part); wrong != nil {
			have, err = 0, &Damaged{wrong}
		}
	}
	if err != nil {
		if have == 0 { // nothing to go on from
			if e := f.Root.Remove(f.Part); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = &DiskError{fmt.Errorf("%w; %w", err, e)}
			}
		}
		return have, err
	}
	if err := f.disk("rename", func() error { return f.Root.Rename(f.Part, f.To) }); err != nil {
		return have, err
	}
	dir := filepath.Join(f.Root.Name(), filepath.FromSlash(path.Dir(f.To)))
	return have, f.disk("syncdir", func() error { return atomicfile.SyncDir(dir) })
}

// disk is an operation on the file system, which tests may want to fail.
func (f *Fetch) disk(operation string, do func() error) error {
	err := atomicfile.Check(operation, f.Name)
	if err == nil || operation == "close" {
		err = errors.Join(err, do())
	}
	if err != nil {
		return &DiskError{err}
	}
	return nil
}

// open opens the part, which has no more permissions than the file is to have.
func (f *Fetch) open() (*os.File, error) {
	if err := atomicfile.Check("create", f.Name); err != nil {
		return nil, err
	}
	part, err := f.Root.OpenFile(f.Part, os.O_RDWR|os.O_CREATE, f.Perm)
	if err != nil {
		return nil, err
	}
	st, err := part.Stat()
	if err == nil && st.Mode().Perm()&^f.Perm != 0 {
		err = part.Chmod(st.Mode().Perm() & f.Perm)
	}
	if err != nil {
		return nil, errors.Join(err, part.Close())
	}
	return part, nil
}

// fill appends to part what is missing and returns how many bytes there are.
func (f *Fetch) fill(ctx context.Context, part *os.File) (have int64, err error) {
	st, err := part.Stat()
	if err != nil {
		return 0, &DiskError{err}
	}
	if have = st.Size(); have > f.Size { // or the size is not known
		have = 0
	}
	if have == f.Size {
		return have, nil
	}
	resp, err := f.Get(ctx, have)
	if err != nil {
		return have, err
	}
	defer resp.Body.Close()
	var wrong error
	switch from := resp.Header.Get("Content-Range"); {
	case resp.StatusCode == http.StatusOK && f.Size >= 0 && resp.ContentLength >= 0 && resp.ContentLength != f.Size:
		return have, &Damaged{fmt.Errorf("it has %d bytes, want %d", resp.ContentLength, f.Size)} // a part is kept
	case resp.StatusCode == http.StatusOK: // all of it, whatever was asked for
		have = 0
	case have == 0 || resp.StatusCode != http.StatusPartialContent ||
		from != fmt.Sprintf("bytes %d-%d/%d", have, f.Size-1, f.Size):
		wrong = &Temporary{Err: fmt.Errorf("%s answers %q with the part %q, asked for the bytes from %d on of %d",
			resp.Request.URL.Host, resp.Status, from, have, f.Size)}
		have = 0
	}
	if err := part.Truncate(have); err != nil {
		return 0, &DiskError{err}
	}
	if _, err := part.Seek(have, io.SeekStart); err != nil {
		return 0, &DiskError{err}
	}
	if wrong != nil {
		return 0, wrong
	}
	most := f.Size
	if f.Size < 0 {
		most = f.Most
	}
	w := &writer{fetch: f, part: part, n: have, fits: f.Fits}
	w.report()
	_, err = io.Copy(w, io.LimitReader(resp.Body, most-have+1))
	switch {
	case w.unfit != nil: // what has come is of no use
		return 0, w.unfit
	case w.err != nil:
		return w.n, &DiskError{w.err}
	case err != nil:
		return w.n, &Temporary{Err: fmt.Errorf("the transfer broke off: %w", err)}
	case w.n < f.Size:
		return w.n, &Temporary{Err: fmt.Errorf("the transfer ended after %d bytes of %d", w.n, f.Size)}
	case w.n > most:
		return 0, &Damaged{fmt.Errorf("it has more than %d bytes, want %[1]d", most)}
	}
	return w.n, nil
}

// writer writes to the part and says how far it is.
type writer struct {
	fetch *Fetch
	part  *os.File
	n     int64
	fits  func(part io.ReaderAt, n int64) (bool, error) // nil once it has seen enough
	err   error                                         // of the disk
	unfit error                                         // by fits
}

func (w *writer) report() {
	if w.fetch.Progress != nil {
		w.fetch.Progress(w.n)
	}
}

// Write writes b.
func (w *writer) Write(b []byte) (n int, err error) {
	if err = atomicfile.Check("write", w.fetch.Name); err == nil {
		n, err = w.part.Write(b)
	}
	w.n += int64(n)
	w.err = err
	w.report()
	if err == nil && w.fits != nil {
		var seen bool
		if seen, w.unfit = w.fits(w.part, w.n); seen {
			w.fits = nil
		}
		err = w.unfit
	}
	return n, err
}

// LockOf is the lock file of the part at path, where nothing else says which it is.
func LockOf(part string) string { return part + ".lock" }
