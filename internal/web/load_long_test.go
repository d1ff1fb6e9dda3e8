//go:build long && unix

package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/run"
)

// TestThousandRuns: 1,000 runs of 200 epochs open in under a second with the index, and are measured without it.
func TestThousandRuns(t *testing.T) {
	root := t.TempDir()
	for i := range uint64(1000) {
		r := begin(t, root, "mlp-d5-res", i%3, func(c *config.Resnet, _ *run.Spec) { c.Train.LR = float64(1+i/3) / 1000 })
		for n := 1; n <= 200; n++ {
			epoch(t, r, n)
		}
		finish(t, r, 0.9)
	}
	time.Sleep(racy + time.Second) // what is this young is not kept
	index := filepath.Join(t.TempDir(), "index.json")
	for _, what := range []string{"without an index", "with an index"} {
		start := time.Now()
		s := New([]string{root}, Options{Index: index})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		l := httptest.NewServer(s.Handler())
		page := follow(t, l.URL)
		page.until("all runs are listed", func() bool { return len(page.runs) == 1000 && len(page.groups) == 334 })
		took := time.Since(start)
		t.Logf("1,000 runs of 200 epochs %s: %v", what, took)
		if what == "with an index" && took > time.Second {
			t.Errorf("it took %v", took)
		}
		start = time.Now()
		s.tree.look(false, func(string, []byte) {})
		t.Logf("a look at them: %v", time.Since(start))
		cancel()
		<-done
		l.Close()
	}
}

// TestFiftyPages: 50 open pages on a run of 100,000 records that goes on take less than 1 % of the machine's time, which
// is what a training that uses all of it could lose. The pages' own time, in this process too, is counted as well.
func TestFiftyPages(t *testing.T) {
	root := t.TempDir()
	r := begin(t, root, "long", 0, func(c *config.Resnet, _ *run.Spec) { c.Train.Epochs = 200000 })
	const records, pages, seconds = 100000, 50, 20
	for n := 1; n <= records; n++ {
		epoch(t, r, n)
	}
	s := New([]string{root}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	l := httptest.NewServer(s.Handler())
	defer l.Close()
	defer func() { cancel(); <-done }()
	s.Runs(ctx)
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start, before := time.Now(), spent()
	var opened, ended sync.WaitGroup
	var mu sync.Mutex
	bytes := 0
	for range pages {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+"/api/stream?run="+keyOf(r.Dir()), nil)
		if err != nil {
			t.Fatal(err)
		}
		opened.Add(1)
		ended.Go(func() {
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				opened.Done()
				t.Error(err)
				return
			}
			defer res.Body.Close()
			b, n := make([]byte, 64<<10), 0
			first := true
			for {
				k, err := res.Body.Read(b)
				if n += k; first && n > 50<<10 { // most of the curve
					first = false
					opened.Done()
				}
				if err != nil {
					if err != io.EOF && ctx.Err() == nil {
						t.Error(err)
					}
					mu.Lock()
					bytes += n
					mu.Unlock()
					return
				}
			}
		})
	}
	opened.Wait()
	t.Logf("opening %d pages: %v, %v of processor time", pages, time.Since(start), spent()-before)
	start, before = time.Now(), spent()
	for n := records + 1; time.Since(start) < seconds*time.Second; n++ {
		epoch(t, r, n)
		time.Sleep(100 * time.Millisecond)
	}
	cpu, wall := spent()-before, time.Since(start)
	share := 100 * cpu.Seconds() / wall.Seconds() / float64(runtime.NumCPU())
	cancel()
	ended.Wait()
	t.Logf("%d open pages on %d records: %v of processor time in %v: %.2f %% of %d cores; %d bytes were sent", pages, records,
		cpu, wall, share, runtime.NumCPU(), bytes)
	if share >= 1 {
		t.Errorf("they take %.2f %%", share)
	}
}
