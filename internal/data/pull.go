package data

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/download"
	"dla/internal/lockfile"
	"dla/internal/plainfile"
)

// Pull fetches e into dir, its folder in a cache, from the first source that has it: its mirrors, then its Go module,
// for machines that can reach only a module proxy. It returns the name of the source, or an empty one if the set was
// there. A file that is already whole is kept; a new file is checked before it takes its place. What was interrupted
// is resumed.
func (e Entry) Pull(ctx context.Context, dir string, progress func(Progress)) (source string, err error) {
	for i := range e.Forms {
		if f := &e.Forms[i]; f.Folder == "" && f.verify(dir) == nil {
			return "", nil
		}
	}
	if at, ok := e.findDecoded(dir); ok && at.Check() == nil {
		return "", nil
	}
	for i := range e.Forms {
		if f := &e.Forms[i]; len(f.Mirrors) > 0 || f.Module != "" {
			return e.pull(ctx, f, dir, progress)
		}
	}
	return "", &notFoundError{fmt.Errorf("%s has no address that it could be fetched from", e.Name)}
}

// pull is Pull of the form f.
func (e Entry) pull(ctx context.Context, f *Form, dir string, progress func(Progress)) (source string, err error) {
	if err := e.makeFolder(dir); err != nil {
		return "", err
	}
	type option struct {
		name  string
		fetch func() error
	}
	var options []option
	for _, m := range f.Mirrors {
		_, address, _ := strings.Cut(m, "://")
		host, _, _ := strings.Cut(address, "/")
		host = host[strings.LastIndexByte(host, '@')+1:] // without a password
		options = append(options, option{host, func() error { return f.fromMirror(ctx, m, dir, progress) }})
	}
	if f.Module != "" {
		options = append(options, option{"the Go module " + f.Module,
			func() error { return f.fromModule(ctx, dir, progress) }})
	}
	nowhere := fmt.Errorf("%s could be found nowhere", e.Name)
	for _, o := range options {
		err := o.fetch()
		var local localError
		switch {
		case err == nil:
			return o.name, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.As(err, &local):
			return "", localError{e.unwritable(local.error)}
		}
		nowhere = fmt.Errorf("%w; %w", nowhere, err) // one line, unlike errors.Join
	}
	return "", &notFoundError{nowhere}
}

// makeFolder makes dir for e's files.
func (e Entry) makeFolder(dir string) error {
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return e.unwritable(err)
	}
	return nil
}

// unwritable says what to do where the cache cannot be written, for want of room or of permission.
func (e Entry) unwritable(err error) error {
	return fmt.Errorf("%s cannot be stored: %w; fix that, or %s", e.Name, err, e.byHand("its files"))
}

// localError is a failure that another source will not mend: of this machine's disk.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

func (f *Form) fromMirror(ctx context.Context, base, dir string, progress func(Progress)) error {
	m := &mirror{base: base, client: &http.Client{Transport: download.Transport}}
	for _, file := range f.Files {
		if file.verify(filepath.Join(dir, file.Name)) == nil {
			continue
		}
		if err := file.fetch(ctx, m, dir, progress); err != nil {
			return fmt.Errorf("%s: %w", download.WithoutUser(base), err)
		}
	}
	return nil
}

// mirror is a server that has the files of a set.
type mirror struct {
	base    string // address; a file's name is appended
	client  *http.Client
	reached bool // once it has answered
}

// get asks for the file name from byte from on. A mirror that has never answered is not asked again: there are others.
func (m *mirror) get(ctx context.Context, name string, from int64) (*http.Response, error) {
	req, err := download.NewRequest(ctx, http.MethodGet, m.base+name, from)
	if err != nil {
		return nil, err
	}
	resp, err := download.Do(m.client, req)
	switch {
	case err != nil && m.reached:
		return nil, &download.Temporary{Err: err}
	case err != nil:
		return nil, err
	}
	m.reached = true
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return resp, nil
	}
	resp.Body.Close() // read only
	return nil, download.Refused(resp)
}

// fetch downloads f from m into dir. What has come when that fails, or when this process is killed, lies in a part
// beside it, from which the next fetch goes on, of this mirror or of another.
func (f File) fetch(ctx context.Context, m *mirror, dir string, progress func(Progress)) error {
	path, part := filepath.Join(dir, f.Name), atomicfile.Part(f.SHA256)
	atomicfile.Sweep(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return localError{err}
	}
	defer root.Close()
	lock := download.LockOf(filepath.Join(dir, part))
	unlock, err := lockfile.Lock(ctx, lock, func() { fileProgress(progress, "waiting for", f.Name)(0, f.Size) })
	if err != nil {
		return localError{err}
	}
	defer func() {
		_ = os.Remove(lock) // else it lies there until it is swept
		unlock()
	}()
	if f.verify(path) == nil { // another process has fetched it
		return nil
	}
	perm := fs.FileMode(0o666)
	if old, err := os.Lstat(path); err == nil && old.Mode().IsRegular() { // a private file stays private
		perm &= old.Mode().Perm()
	}
	done := fileProgress(progress, "fetching", f.Name)
	d := download.Fetch{Root: root, Part: part, To: f.Name, Perm: perm, Name: f.Name, Size: f.Size,
		Get: func(ctx context.Context, from int64) (*http.Response, error) { return m.get(ctx, f.Name, from) },
		Check: func(part string) error {
			h := sha256.New()
			r, err := root.Open(part)
			if err != nil {
				return err
			}
			defer r.Close()
			n, err := io.Copy(h, r)
			if err != nil {
				return err
			}
			return f.check(n, h.Sum(nil))
		},
		Progress: func(have int64) { done(have, f.Size) },
	}
	err = download.Retry(ctx, func() (int64, error) { return d.Try(ctx) })
	var disk *download.DiskError
	switch {
	case errors.As(err, &disk):
		return localError{disk.Err}
	case err != nil:
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// store writes what src gives as f into dir, with permissions of perm, if it is f; a localError where dir is at fault.
func (f File) store(src io.Reader, dir string, perm fs.FileMode, done func(n, total int64)) error {
	var wrong error // with what src gave
	_, _, err := atomicfile.WriteAs(filepath.Join(dir, f.Name), perm, func(w io.Writer) error {
		h := sha256.New()
		body := &counting{r: io.LimitReader(src, f.Size+1), done: func(n int64) { done(n, f.Size) }}
		_, err := io.Copy(io.MultiWriter(h, w), body)
		switch {
		case body.err != nil:
			wrong = fmt.Errorf("%s: the transfer broke off: %w", f.Name, body.err)
		case err == nil:
			if err = f.check(body.n, h.Sum(nil)); err != nil {
				wrong = fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		return err
	})
	if wrong != nil {
		return wrong
	}
	if err != nil {
		return localError{err}
	}
	return nil
}

// fromModule asks the go command for the module that carries the files.
func (f *Form) fromModule(ctx context.Context, dir string, progress func(Progress)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", f.Module)
	cmd.Dir = os.TempDir() // outside any module
	cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOFLAGS=", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second // for what the go command started itself
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	jsonErr := json.Unmarshal(out, &m)
	var exit *exec.ExitError
	switch {
	case m.Error != "":
		return fmt.Errorf("go mod download: %s", oneLine(m.Error))
	case errors.As(err, &exit):
		return fmt.Errorf("go mod download %s: %w %s", f.Module, err, oneLine(string(exit.Stderr)))
	case err != nil:
		return fmt.Errorf("go mod download %s: %w", f.Module, err)
	case jsonErr != nil:
		return fmt.Errorf("go mod download %s: its answer is not JSON: %w", f.Module, jsonErr)
	}
	return f.copyFrom(filepath.Join(m.Dir, "data"), dir, progress)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// copyFrom copies f's files from the folder src into dir. All are checked before any is copied.
func (f *Form) copyFrom(src, dir string, progress func(Progress)) error {
	paths, as := make([]string, len(f.Files)), make([]File, len(f.Files))
	for i := range f.Files {
		var err error
		if paths[i], as[i], err = f.locate(src, i); err != nil {
			return fmt.Errorf("%w; wanted are the published %s", err, f.fileNames())
		}
	}
	for i, path := range paths {
		if err := as[i].copyFrom(path, dir, progress); err != nil {
			return err
		}
	}
	return nil
}

func (f File) copyFrom(src, dir string, progress func(Progress)) error {
	r, _, err := plainfile.Open(src)
	if err != nil {
		return err
	}
	defer r.Close()
	return f.store(r, dir, atomicfile.Permissions(src), fileProgress(progress, "copying", f.Name))
}

// Import copies the set at src into dir, e's folder in a cache. src is a folder with the published files or one of
// them under any name; these are copied. Where e has such forms, src may also be any folder, tar or tar.gz with the
// content, which is kept decoded or, for sentences, as two files. Everything is checked first: if it is not the
// published set, that is an error, and dir stays as it was.
func (e Entry) Import(ctx context.Context, src, dir string, progress func(Progress)) error {
	st, err := os.Stat(src)
	if err != nil {
		return err
	}
	if err := e.makeFolder(dir); err != nil {
		return err
	}
	if e.IsText() {
		err = e.importSentences(ctx, src, st, dir, progress)
	} else {
		err = e.importFrom(ctx, src, st, dir, progress)
	}
	var local localError
	if errors.As(err, &local) {
		return localError{e.unwritable(local.error)}
	}
	return err
}

func (e Entry) importFrom(ctx context.Context, src string, st os.FileInfo, dir string, progress func(Progress)) error {
	if copied, err := e.copyPublished(src, st, dir, progress); copied || err != nil {
		return err
	}
	var unpacked *Form
	path := src
	var wrong error
	for i := range e.Forms {
		f := &e.Forms[i]
		switch {
		case f.Folder != "":
			unpacked = f
		case st.IsDir() && len(f.missing(src)) < len(f.Files):
			if wrong = f.verify(src); !e.byContent(wrong) {
				return f.copyFrom(src, dir, progress) // says what is missing or wrong
			}
			path = f.path(src)
		}
	}
	if unpacked == nil && st.IsDir() {
		return e.Forms[0].copyFrom(src, dir, progress) // says what is missing
	}
	if unpacked == nil {
		return fmt.Errorf("%s is not the published %s", src, e.Forms[0].fileNames())
	}
	train, test, err := unpacked.read(ctx, path, fileProgress(progress, "decoding", filepath.Base(path)))
	if err != nil {
		return orElse(ctx, wrong, err)
	}
	ds := &Dataset{Train: train, Test: test, Fingerprint: fingerprint(train, test)}
	if ds.Fingerprint != e.Fingerprint {
		return orElse(ctx, wrong, e.notPublished(path, ds))
	}
	if err := writeDecoded(e.decodedPath(dir), "", atomicfile.Permissions(path), ds); err != nil {
		return localError{err}
	}
	return nil
}

// copyPublished copies the files of the first form of e that is at src whole, if one is.
func (e Entry) copyPublished(src string, st os.FileInfo, dir string, progress func(Progress)) (bool, error) {
	for i := range e.Forms {
		f := &e.Forms[i]
		if f.Folder != "" || !st.IsDir() && len(f.Files) != 1 {
			continue
		}
		verify, copyFrom := f.verify, f.copyFrom
		if !st.IsDir() {
			verify, copyFrom = f.Files[0].verify, f.Files[0].copyFrom
		}
		err := verify(src)
		if err == nil {
			return true, copyFrom(src, dir, progress)
		}
		var unread *fs.PathError // what cannot be read may be it all the same
		if errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}
