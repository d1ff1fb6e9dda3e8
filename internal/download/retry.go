package download

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Temporary is a failure that a later try may mend.
type Temporary struct {
	Err   error
	After time.Duration // how long to wait, where the server says so
}

func (e *Temporary) Error() string { return e.Err.Error() }
func (e *Temporary) Unwrap() error { return e.Err }

// Damaged is that what came is not the file that was wanted: a transfer or a part of before may be at fault, so it is
// fetched once more.
type Damaged struct{ Err error }

func (e *Damaged) Error() string { return e.Err.Error() }
func (e *Damaged) Unwrap() error { return e.Err }

// DiskError is a failure of this machine's disk, which no other server mends.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return e.Err.Error() }
func (e *DiskError) Unwrap() error { return e.Err }

// tries bounds how often something is tried without getting further, by progress bytes; longestWait is how long Retry
// waits between two tries.
const (
	tries       = 5
	progress    = 1 << 20
	longestWait = time.Minute
)

// Pause is how long Retry waits before the second try; it doubles from there. Tests replace it.
var Pause = time.Second

// Retry calls try until it succeeds or fails for good: with an error that is neither Temporary nor Damaged, with the
// second that is Damaged, or with the fifth since try got further. try says how many bytes it has of what it fetches.
// When ctx ends, so does Retry, with ctx's error.
func Retry(ctx context.Context, try func() (have int64, err error)) error {
	var best int64
	damaged := 0
	for n := 0; ; n++ {
		have, err := try()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var later *Temporary
		var wrong *Damaged
		var after time.Duration
		switch {
		case err == nil:
			return nil
		case errors.As(err, &later):
			after = later.After
		case errors.As(err, &wrong) && damaged == 0:
			damaged++
		default:
			return err
		}
		if have >= best+progress {
			n = 0
		}
		best = max(best, have)
		if n == tries-1 {
			return fmt.Errorf("%w; given up after %d tries: run it again to resume", err, tries)
		}
		wait := max(Pause<<n, after)
		if wait > longestWait {
			return fmt.Errorf("%w; the server asks to wait %v: run it again then", err, wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Refused is the error of an answer of status 400 and above: Temporary where the server is busy or failing.
func Refused(resp *http.Response) error {
	err := fmt.Errorf("%s answers %q", resp.Request.URL.Host, resp.Status)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout ||
		resp.StatusCode >= 500 {
		return &Temporary{err, retryAfter(resp.Header.Get("Retry-After"))}
	}
	return err
}

// retryAfter is how long the header says to wait: seconds or a date.
func retryAfter(header string) time.Duration {
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 0
}
