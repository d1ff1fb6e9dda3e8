package data

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dla/internal/atomicfile"
)

// Pull puts all of e's files into dir, from the first source that has them: the mirrors, then the Go
// module, which a machine reaches that has only a module proxy. It returns the source's name. A file
// that is already whole is kept; a new one is checked before it takes its place.
func (e Entry) Pull(ctx context.Context, dir string, progress func(Progress)) (source string, err error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if err := e.makeFolder(dir); err != nil {
		return "", err
	}
	type option struct {
		name  string
		fetch func() error
	}
	var options []option
	for _, m := range e.Mirrors {
		host := strings.Split(strings.TrimPrefix(m, "https://"), "/")[0]
		options = append(options, option{host, func() error { return e.fromMirror(ctx, m, dir, progress) }})
	}
	if e.Module != "" {
		options = append(options, option{"the Go module " + e.Module, func() error { return e.fromModule(ctx, dir, progress) }})
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
			return "", local
		}
		nowhere = fmt.Errorf("%w; %w", nowhere, err) // one line, unlike errors.Join
	}
	return "", &notFoundError{nowhere}
}

// makeFolder makes dir for e's files.
func (e Entry) makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return e.unwritable(err)
	}
	return nil
}

// unwritable says what to do where the cache cannot be written, for want of room or of permission.
func (e Entry) unwritable(err error) error {
	return fmt.Errorf("%s cannot be kept: %w; mend that, or put its files into a folder DIR/%s and set DLA_DATA=DIR", e.Name, err, e.Folder)
}

// localError is a failure that another source will not mend: of this machine's disk.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// client gives up soon on a machine that has no network.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 10 * time.Second,
}}

// stallLimit is how long a transfer may bring nothing.
var stallLimit = 20 * time.Second

func (e Entry) fromMirror(ctx context.Context, base, dir string, progress func(Progress)) error {
	for _, f := range e.Files {
		if f.verify(filepath.Join(dir, f.Name)) == nil {
			continue
		}
		err := f.fetch(ctx, base+f.Name, dir, progress)
		var local localError
		if errors.As(err, &local) {
			return localError{e.unwritable(local.error)}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", base, err)
		}
	}
	return nil
}

// fetch downloads f from url into dir.
func (f File) fetch(ctx context.Context, url, dir string, progress func(Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallLimit, func() { cancel(fmt.Errorf("nothing came for %v", stallLimit)) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *neturl.Error
		if errors.As(err, &u) { // its text repeats the address
			err = u.Err
		}
		return fmt.Errorf("%s: %w", f.Name, cmp.Or(context.Cause(ctx), err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", f.Name, resp.Status)
	}
	err = f.store(resp.Body, dir, func(p Progress) {
		stall.Reset(stallLimit)
		progress(p)
	})
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return fmt.Errorf("%s: the transfer broke off: %w", f.Name, cause)
	}
	return err
}

// store writes what src gives as f into dir, if it is f; a localError where dir is at fault.
func (f File) store(src io.Reader, dir string, progress func(Progress)) error {
	var srcErr error
	path := filepath.Join(dir, f.Name)
	body := &counting{r: io.LimitReader(src, f.Size+1), file: f, progress: progress}
	var buf bytes.Buffer // sets here are small; verified before the disk is touched
	if _, srcErr = io.Copy(&buf, body); srcErr != nil {
		return fmt.Errorf("%s: the transfer broke off: %w", f.Name, srcErr)
	}
	if err := f.check(buf.Bytes()); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if err := atomicfile.WriteBytes(path, buf.Bytes()); err != nil {
		return localError{err}
	}
	return nil
}

// counting reports what is read through it.
type counting struct {
	r        io.Reader
	file     File
	n        int64
	progress func(Progress)
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.progress(Progress{c.file.Name, c.n, c.file.Size})
	return n, err
}

// fromModule asks the go command for the module that carries the files.
func (e Entry) fromModule(ctx context.Context, dir string, progress func(Progress)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", e.Module)
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
		return fmt.Errorf("go mod download %s: %w %s", e.Module, err, oneLine(string(exit.Stderr)))
	case err != nil:
		return fmt.Errorf("go mod download %s: %w", e.Module, err)
	case jsonErr != nil:
		return fmt.Errorf("go mod download %s: its answer is no JSON: %w", e.Module, jsonErr)
	}
	return e.Import(filepath.Join(m.Dir, "data"), dir, progress)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Import copies e's files from the folder src into dir. All are checked before any is copied: a
// folder that lacks one, or has one that is not the published file, is an error, and what dir had stays.
func (e Entry) Import(src, dir string, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	for _, f := range e.Files {
		if err := f.verify(filepath.Join(src, f.Name)); err != nil {
			return fmt.Errorf("%w; wanted are the published %s", err, e.fileNames())
		}
	}
	if err := e.makeFolder(dir); err != nil {
		return err
	}
	for _, f := range e.Files {
		r, err := os.Open(filepath.Join(src, f.Name))
		if err != nil {
			return err
		}
		err = f.store(r, dir, progress)
		r.Close() // read only: nothing can be lost
		var local localError
		if errors.As(err, &local) {
			return localError{e.unwritable(local.error)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e Entry) fileNames() string {
	var names []string
	for _, f := range e.Files {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
