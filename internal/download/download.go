// Package download has what fetching files for the data sets and for the models has in common: how long
// to wait for a network, and reports of progress.
package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Progress reports how far a file is fetched, copied or decoded, in bytes of it.
type Progress struct {
	Verb        string // fetching, copying, decoding or waiting for
	File        string
	Done, Total int64
}

// Transport gives up soon on a machine that has no network.
var Transport http.RoundTripper = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 10 * time.Second,
}

// StallLimit is how long a transfer may bring nothing worth the name: fewer than worth bytes.
var StallLimit = 20 * time.Second

// worth is what has to come within StallLimit: 1.6 kB/s, below every line that a model could be fetched by. A server
// that sends a byte a second would else hold its file for ever.
const worth = 32 << 10

// Do is client.Do, except that reading the body fails once next to nothing has come for StallLimit, and that
// errors say what happened without the address. The body must be closed.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	limit := StallLimit
	came := new(atomic.Int64)
	stall := time.AfterFunc(limit, func() {
		if n := came.Load(); n > 0 {
			cancel(fmt.Errorf("only %d bytes came in %v", n, limit))
			return
		}
		cancel(fmt.Errorf("nothing came for %v", limit))
	})
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		stall.Stop()
		err = cmp.Or(context.Cause(ctx), err)
		cancel(nil)
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	stall.Reset(limit)
	resp.Body = &body{resp.Body, ctx, cancel, stall, limit, came}
	return resp, nil
}

// body is a response's body that does not wait for ever.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  *time.Timer
	limit  time.Duration
	came   *atomic.Int64 // bytes since stall was set
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cmp.Or(context.Cause(b.ctx), err)
	}
	if b.came.Add(int64(n)) >= worth {
		b.came.Store(0)
		b.stall.Reset(b.limit)
	}
	return n, err
}

// Close ends the transfer.
func (b *body) Close() error {
	b.stall.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
