package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("no folder for %s: %w; set DLA_DATA to a folder that can be written", e.Name, err)
	}
	var tried []error
	for _, m := range e.Mirrors {
		err := e.fromMirror(ctx, m, dir, progress)
		if err == nil {
			return strings.Split(strings.TrimPrefix(m, "https://"), "/")[0], nil
		}
		if fatal(ctx, err) {
			return "", err
		}
		tried = append(tried, err)
	}
	if e.Module != "" {
		err := e.fromModule(ctx, dir, progress)
		if err == nil {
			return "the Go module " + e.Module, nil
		}
		if fatal(ctx, err) {
			return "", err
		}
		tried = append(tried, err)
	}
	return "", &notFoundError{fmt.Errorf("%s could be found nowhere (%w)", e.Name, errors.Join(tried...))}
}

// localError is a failure that another source will not mend: of this machine's disk.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

func fatal(ctx context.Context, err error) bool {
	var local localError
	return ctx.Err() != nil || errors.As(err, &local)
}

// client gives up soon on a machine that has no network, and on a transfer that stalls.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 10 * time.Second,
}}

func (e Entry) fromMirror(ctx context.Context, base, dir string, progress func(Progress)) error {
	for _, f := range e.Files {
		if f.verify(filepath.Join(dir, f.Name)) == nil {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+f.Name, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		err = func() error {
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s%s: %s", base, f.Name, resp.Status)
			}
			return f.store(resp.Body, dir, progress)
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// store writes what src gives as f into dir, if it is f.
func (f File) store(src io.Reader, dir string, progress func(Progress)) error {
	var srcErr error
	path := filepath.Join(dir, f.Name)
	body := &counting{r: io.LimitReader(src, f.Size+1), file: f, progress: progress}
	var buf bytes.Buffer // sets here are small; verified before the disk is touched
	if _, srcErr = io.Copy(&buf, body); srcErr != nil {
		return fmt.Errorf("%s: the transfer broke off: %w", f.Name, srcErr)
	}
	if err := f.check(buf.Bytes()); err != nil {
		return err
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
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &m); err == nil {
		err = jsonErr
	}
	if err != nil || m.Error != "" {
		return fmt.Errorf("go mod download %s: %w %s", e.Module, err, m.Error)
	}
	return e.Import(filepath.Join(m.Dir, "data"), dir, progress)
}

// Import copies e's files from the folder src into dir, each checked first. A file that is missing or
// not the published one is an error, and what dir had stays.
func (e Entry) Import(src, dir string, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	for _, f := range e.Files {
		r, err := os.Open(filepath.Join(src, f.Name))
		if err != nil {
			return err
		}
		err = f.store(r, dir, progress)
		r.Close() // read only: nothing can be lost
		if err != nil {
			return fmt.Errorf("%s: %w", src, err)
		}
	}
	return nil
}
