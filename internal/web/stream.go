package web

import (
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	mostPages  = 256              // that are open at a time
	mostCurves = 1000             // that a page shows
	heartbeat  = 15 * time.Second // without news
	unread     = 30 * time.Second // after which a page that takes nothing is gone
)

// page is an open page.
type page struct {
	frames chan []byte
	once   sync.Once
	slow   chan struct{} // closed where it does not keep up: it must begin again
}

// send gives p a frame. It never waits.
func (p *page) send(frame []byte) {
	select {
	case p.frames <- frame:
	default:
		p.once.Do(func() { close(p.slow) })
	}
}

// pages are all open pages.
type pages struct {
	mu  sync.Mutex
	all map[*page]struct{}
}

func newPages() *pages { return &pages{all: map[*page]struct{}{}} }

func (ps *pages) open() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.all) > 0
}

// add returns a new page, nil where there are too many.
func (ps *pages) add() *page {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.all) >= mostPages {
		return nil
	}
	p := &page{frames: make(chan []byte, 1024), slow: make(chan struct{})}
	ps.all[p] = struct{}{}
	return p
}

func (ps *pages) remove(p *page) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.all, p)
}

// tell sends an event to all pages.
func (ps *pages) tell(event string, data []byte) {
	frame := frameOf(event, data)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for p := range ps.all {
		p.send(frame)
	}
}

// frameOf returns a server-sent event. data is JSON, which has no line breaks.
func frameOf(event string, data []byte) []byte {
	return slices.Concat([]byte("event: "+event+"\ndata: "), data, []byte("\n\n"))
}

// stream answers /api/stream?run=KEY&run=KEY: first the whole list and the curves of these runs, then what changes, as
// server-sent events.
//
//	list   a list
//	curve  points of a run: {key, from, each, n, points: [epoch, step, lr, train loss and accuracy, val loss and
//	       accuracy, gradient norm]}; from 0 they are all there are
//	ready  all that there was has been sent
//	end    the server ends
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ready:
	case <-r.Context().Done():
		return
	}
	keys := r.URL.Query()["run"]
	keys = keys[:min(len(keys), mostCurves)]
	var p *page
	whole := s.tree.whole(func() { p = s.pages.add() })
	if p == nil {
		http.Error(w, "too many pages are open; close some", http.StatusServiceUnavailable)
		return
	}
	defer s.pages.remove(p)
	select {
	case s.wake <- struct{}{}: // nobody may have looked for a while
	default:
	}
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	write := func(b []byte) bool {
		if c.SetWriteDeadline(time.Now().Add(unread)) != nil {
			return false
		}
		_, err := w.Write(b)
		return err == nil && c.Flush() == nil
	}
	if !write(frameOf("list", whole)) {
		return
	}
	curves := s.curves(keys)
	defer func() {
		for _, c := range curves {
			c.leave(p)
		}
	}()
	for _, c := range curves {
		if !write(c.join(p)) {
			return
		}
	}
	if !write(frameOf("ready", []byte("{}"))) {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		ok := true
		select {
		case frame := <-p.frames:
			ok = write(frame)
		case <-beat.C:
			ok = write([]byte(": still here\n\n"))
		case <-p.slow:
			return
		case <-r.Context().Done():
			return
		case <-s.ended.Done():
			write(frameOf("end", []byte("{}")))
			return
		}
		if !ok {
			return
		}
	}
}

// curves returns the curves of the runs with the keys, read.
func (s *Server) curves(keys []string) []*curve {
	var all []*curve
	for _, key := range keys {
		if c := s.tree.curve(key); c != nil && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	next := make(chan *curve)
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		wait.Go(func() {
			for c := range next {
				c.advance()
			}
		})
	}
	for _, c := range all {
		next <- c
	}
	close(next)
	wait.Wait()
	return all
}
