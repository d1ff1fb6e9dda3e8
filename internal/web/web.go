// Package web serves a live page of run records on this machine. It reads records and writes nothing but an index,
// which it can make again. A training knows nothing of it: the page looks at the files that the training writes anyway.
//
//	web.go      who may ask for what, and the routes
//	folders.go  finds the runs, and what has changed since
//	row.go      what the list says of a run and of the runs that differ by seed alone
//	index.go    keeps the rows for the next start
//	curves.go   follows metrics.jsonl
//	stream.go   tells the pages what is new
//	detail.go   one run, and the comparison of several
//	figures.go  the pictures in a run's folder
//	page/       the page: list.js, view.js, charts.js, app.js, and uPlot, which draws lines fast
package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed page
var pageFiles embed.FS

// DefaultEvery is how often the folders are looked at while a page is open.
const DefaultEvery = time.Second

// Options are settings of a Server. The zero value serves without a token and keeps no index.
type Options struct {
	Token string        // the first part of the path; "": none is asked for
	Index string        // the file that rows are kept in for the next start; "": none
	Every time.Duration // between looks at the folders; 0: DefaultEvery
}

// Server serves the runs of some folders. Run must be going for its pages to be live.
type Server struct {
	opt   Options
	tree  *tree
	pages *pages
	ready chan struct{} // closed after the first look at the folders
	wake  chan struct{} // asks Run to look at once
	ended context.Context
	end   context.CancelFunc
}

// NewToken returns a token that nobody can guess, of letters, digits, - and _.
func NewToken() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// New returns a server of the runs in dirs and in their folders. A dir may also be a run itself. None need exist yet.
func New(dirs []string, opt Options) *Server {
	if opt.Every == 0 {
		opt.Every = DefaultEvery
	}
	s := &Server{opt: opt, tree: newTree(dirs), pages: newPages(), ready: make(chan struct{}),
		wake: make(chan struct{}, 1)}
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// Run looks for changes until ctx ends, and then ends the streams of all open pages. Without an open page it rests.
func (s *Server) Run(ctx context.Context) {
	defer s.end()
	s.tree.load(s.opt.Index)
	s.tree.look(true, s.pages.tell)
	s.tree.save(s.opt.Index)
	close(s.ready)
	tick := time.NewTicker(s.opt.Every)
	defer tick.Stop()
	saved, full := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			s.tree.save(s.opt.Index)
			return
		case <-s.wake:
		case <-tick.C:
		}
		if !s.pages.open() {
			continue
		}
		all := time.Since(full) > fullLook
		if all {
			full = time.Now()
		}
		s.tree.look(all, s.pages.tell)
		if time.Since(saved) > time.Minute {
			s.tree.save(s.opt.Index)
			saved = time.Now()
		}
	}
}

// Runs returns how many runs there are, once Run has looked for them.
func (s *Server) Runs(ctx context.Context) int {
	select {
	case <-s.ready:
	case <-ctx.Done():
	}
	return s.tree.len()
}

// Serve answers on l until ctx ends. Requests that are being answered have a moment to end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10}
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait.Go(func() { s.Run(ctx) })
	stopped := make(chan error, 1)
	wait.Go(func() {
		<-s.ended.Done()
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		err := h.Shutdown(grace)
		if err != nil {
			err = h.Close()
		}
		stopped <- err
	})
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the page cannot be served any more: %w", err)
	}
	return <-stopped
}

// kindsOfPage are the media types of the page's files.
var kindsOfPage = map[string]string{".html": "text/html", ".js": "text/javascript", ".css": "text/css",
	".LICENSE": "text/plain"}

// Handler returns the routes behind all checks.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	names, err := fs.Glob(files, "*")
	if err != nil {
		panic(err) // unreachable: the pattern is good
	}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // unreachable: it is embedded
		}
		kind, route := kindsOfPage[path.Ext(name)], "/"+name
		if name == "index.html" {
			route = "/{$}"
		}
		mux.HandleFunc("GET "+route, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			_, _ = w.Write(content) // the page is gone
		})
	}
	mux.HandleFunc("GET /api/stream", s.stream)
	mux.HandleFunc("GET /api/run", s.run)
	mux.HandleFunc("GET /api/compare", s.compare)
	mux.HandleFunc("GET /api/figures", s.figures)
	mux.HandleFunc("GET /file", s.file)
	return s.guard(mux)
}

// guard lets requests through that come from a page of this server, or from its user. A page of another site that the
// user has open could ask too: under a name of its own that leads to this machine (Host), or from where it is
// (Origin). It cannot know the token, and other users of this machine cannot either.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // it would hold the token
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		site := r.Header.Get("Sec-Fetch-Site")
		followed := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" // a link
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this page only reads", http.StatusMethodNotAllowed)
			return
		case !loopback(r.Host):
			http.Error(w, "this page is served to 127.0.0.1 and localhost alone", http.StatusForbidden)
			return
		case !sameOrigin(r), site != "" && site != "same-origin" && site != "none" && !followed:
			http.Error(w, "another site asked for this page", http.StatusForbidden)
			return
		}
		if s.opt.Token == "" {
			next.ServeHTTP(w, r)
			return
		}
		given, _, below := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if subtle.ConstantTimeCompare([]byte(given), []byte(s.opt.Token)) != 1 {
			http.Error(w, "this page needs its token: open the whole address that `dla serve` printed", http.StatusForbidden)
			return
		}
		if !below {
			http.Redirect(w, r, "/"+s.opt.Token+"/", http.StatusFound)
			return
		}
		http.StripPrefix("/"+s.opt.Token, next).ServeHTTP(w, r)
	})
}

// loopback reports whether host, of a request, names this machine itself. Its port may be that of a tunnel from
// another.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return name == "localhost" || name == "127.0.0.1" || name == "::1"
}

// sameOrigin reports whether r comes from a page of its own host, or says nothing of where it comes from.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && u.Host == r.Host
}

// reply writes v as JSON.
func reply(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, text(err.Error()), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the page is gone
}
