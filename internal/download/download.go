// Package download fetches files for the data sets and for the models: it goes on where a transfer broke off or a
// process was killed, tries again what a later try may mend, gives up what stalls, and puts a file in its place when
// it is whole and checked.
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
	"strings"
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
	Proxy:                 discreet(http.ProxyFromEnvironment),
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 10 * time.Second,
}

// discreet is proxy without an address in its errors, which may hold a password.
func discreet(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err != nil {
			return nil, errors.New("the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY) is not a valid address")
		}
		return u, nil
	}
}

// WithoutUser is an address without the user and password that may stand before its host: it is to be printed.
func WithoutUser(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:at], "//")
	if !ok {
		return "…" + address[at:]
	}
	return scheme + "//…" + address[at:]
}

// NewRequest is a request for what is at address, from byte from on. Its errors do not tell the address.
func NewRequest(ctx context.Context, method, address string, from int64) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid address", WithoutUser(address))
	}
	req.Header.Set("User-Agent", "dla")
	req.Header.Set("Accept-Encoding", "identity") // sizes and hashes are of the file as it is
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return req, nil
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
