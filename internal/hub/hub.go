// Package hub gets encoders from a Hugging Face hub and finds those on this machine. It shares the
// hub's cache with Hugging Face's own tools: what they fetched is found, and they find what is fetched
// here. It is apart from package weights so that what reads tensors knows nothing of networks, and above
// model and text, which say whether what it found can be used.
package hub

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dla/internal/download"
	"dla/internal/plainfile"
)

// Hub is a hub and the cache of its files on this machine.
type Hub struct {
	Endpoint *url.URL
	Cache    string // the folder of models--OWNER--NAME; empty: the environment names none

	noCache error // why
	offline bool
	client  *http.Client
	reached bool // once it has answered
}

// FromEnv returns the hub that the environment names, by the variables of Hugging Face's tools: HF_ENDPOINT, HF_HOME,
// HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE.
// https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
func FromEnv() (*Hub, error) {
	endpoint, err := url.Parse(strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/"))
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, fmt.Errorf("HF_ENDPOINT is %q, want an address like https://huggingface.co",
			download.WithoutUser(os.Getenv("HF_ENDPOINT")))
	}
	h := &Hub{
		Endpoint: endpoint,
		Cache:    os.Getenv("HF_HUB_CACHE"),
		offline:  slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(os.Getenv("HF_HUB_OFFLINE"))),
	}
	home, err := hubHome()
	switch {
	case h.Cache != "":
	case err != nil: // what needs no cache is not to fail for it
		h.noCache = fmt.Errorf("no folder to keep models in: %w; set HF_HOME to one", err)
	default:
		h.Cache = filepath.Join(home, "hub")
	}
	token, path := os.Getenv("HF_TOKEN"), os.Getenv("HF_TOKEN_PATH")
	if path == "" && home != "" {
		path = filepath.Join(home, "token")
	}
	if token == "" && path != "" {
		b, err := plainfile.Read(path, maxToken)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("the token of the hub: %w", err)
		}
		token = string(b)
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the token of the hub holds white space, control characters or others than ASCII; set HF_TOKEN to the token alone")
	}
	h.client = &http.Client{Transport: authorized{endpoint, token}}
	return h, nil
}

// maxToken bounds the file of a token.
const maxToken = 1 << 16

// hubHome is the folder of Hugging Face's tools.
func hubHome() (string, error) {
	if home := os.Getenv("HF_HOME"); home != "" {
		return home, nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, ".cache") // on every system
	}
	return filepath.Join(cache, "huggingface"), nil
}

// authorized adds the token to requests that go to the endpoint's host, and to no other: a redirect
// leads to a storage host, which is not to see it.
type authorized struct {
	endpoint *url.URL
	token    string
}

// RoundTrip sends r.
func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.token != "" && r.URL.Scheme == a.endpoint.Scheme && strings.EqualFold(r.URL.Host, a.endpoint.Host) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return download.Transport.RoundTrip(r)
}

// unreachable is a hub that did not answer at all.
type unreachable struct{ error }

func (e unreachable) Unwrap() error { return e.error }

// send sends one request about repo. Its redirects are followed as far as follow, if any, lets. What is no answer
// to work with (2xx, 3xx or 416) is an error.
func (h *Hub) send(ctx context.Context, method, repo string, from int64, path ...string) (*http.Response, error) {
	req, err := download.NewRequest(ctx, method, h.Endpoint.JoinPath(path...).String(), from)
	if err != nil {
		return nil, err
	}
	client := *h.client
	if method == http.MethodHead { // the hash stands where the redirects leave the hub
		client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
			if r.Response.Header.Get("X-Linked-Etag") != "" || len(via) >= 10 {
				return http.ErrUseLastResponse
			}
			return nil
		}
	}
	resp, err := download.Do(&client, req)
	if err != nil {
		var op *net.OpError
		var cert *tls.CertificateVerificationError
		if !h.reached && errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") || errors.As(err, &cert) {
			return nil, unreachable{fmt.Errorf("%s cannot be reached: %w", h.Endpoint.Host, err)}
		}
		return nil, &download.Temporary{Err: fmt.Errorf("%s: %w", h.Endpoint.Host, err)}
	}
	h.reached = true
	if resp.StatusCode < 400 || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return resp, nil
	}
	resp.Body.Close() // read only
	return nil, h.refusal(resp, repo)
}

// refusal says what an answer of 400 and above means, and what to do.
func (h *Hub) refusal(resp *http.Response, repo string) error {
	host, code := resp.Request.URL.Host, resp.Header.Get("X-Error-Code")
	status := download.Refused(resp)
	var busy *download.Temporary
	page := download.WithoutUser(h.Endpoint.JoinPath(repo).String())
	with := "without a token"
	if h.client.Transport.(authorized).token != "" {
		with = "with this token"
	}
	switch {
	case errors.As(status, &busy):
		return status
	case host != h.Endpoint.Host: // a storage host, whose address is good for a while only: the hub gives another
		return &download.Temporary{Err: status}
	case code == "GatedRepo":
		return fmt.Errorf("%s is gated: accept its terms at %s and set HF_TOKEN to a token of that account", repo, page)
	case code == "RepoNotFound", resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusUnauthorized &&
		with == "without a token":
		// The hub answers 401 to strangers whether a repository is private or not there.
		return fmt.Errorf("%s has no model %s that may be read %s%s; if it is private, set HF_TOKEN (%w)", host, repo, with,
			didYouMean(repo), status)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s may not be read %s: see %s and set HF_TOKEN (%w)", repo, with, page, status)
	}
	return status
}

var (
	repoForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	commitForm = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hashForm   = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// maxListing bounds the answer that lists a repository's files.
const maxListing = 16 << 20

// resolve asks for the commit that is main of repo now, and the names of its files.
func (h *Hub) resolve(ctx context.Context, repo string) (commit string, files []string, err error) {
	err = download.Retry(ctx, func() (int64, error) {
		resp, err := h.send(ctx, http.MethodGet, repo, 0, "api/models", repo, "revision/main")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxListing+1))
		if err != nil {
			return 0, &download.Temporary{Err: fmt.Errorf("%s: the transfer broke off: %w", h.Endpoint.Host, err)}
		}
		var answer struct {
			SHA      string
			Siblings []struct{ RFilename string }
		}
		if err := json.Unmarshal(b, &answer); err != nil || len(b) > maxListing || !commitForm.MatchString(answer.SHA) {
			return 0, fmt.Errorf("%s does not answer as a hub does; set HF_ENDPOINT to one, or to nothing for huggingface.co",
				h.Endpoint.Host)
		}
		commit = answer.SHA
		for _, s := range answer.Siblings {
			files = append(files, s.RFilename)
		}
		return 0, nil
	})
	return commit, files, err
}

// blob is what the hub says of a file: the hash of its content and its size, -1 where that is not said.
type blob struct {
	hash string // SHA-256 of a large file, Git's SHA-1 of a small one
	size int64
}

// head asks for the hash and the size of a file of at most most bytes.
func (h *Hub) head(ctx context.Context, repo, commit, name string, most int64) (blob, error) {
	resp, err := h.send(ctx, http.MethodHead, repo, 0, repo, "resolve", commit, name)
	if err != nil {
		return blob{}, err
	}
	defer resp.Body.Close()
	tag := cmp.Or(resp.Header.Get("X-Linked-Etag"), resp.Header.Get("ETag"))
	b := blob{strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), resp.ContentLength}
	if linked := resp.Header.Get("X-Linked-Size"); linked != "" || resp.StatusCode >= 300 {
		if b.size, err = strconv.ParseInt(linked, 10, 64); err != nil {
			b.size = -1
		}
	}
	switch {
	case !hashForm.MatchString(b.hash):
		return b, fmt.Errorf("%s gives no hash to check %s by (it gives %q); set HF_ENDPOINT to another hub", h.Endpoint.Host,
			name, tag)
	case b.size > most:
		return b, fmt.Errorf("%s of %s has %d bytes, and no more than %d are fetched of such a file", name, repo, b.size,
			most)
	}
	return b, nil
}
