//go:build long && unix

package web

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/run"
)

// spent returns the processor time of this process so far: on a busy machine it says more than the time that went by.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// thousandRuns makes 1,000 finished runs of 200 epochs under root, three seeds of each network.
func thousandRuns(t *testing.T, root string) {
	t.Helper()
	first := begin(t, t.TempDir(), "mlp-d5-res", 0, nil)
	for n := 1; n <= 200; n++ {
		epoch(t, first, n)
	}
	finish(t, first, 0.9)
	files := map[string]string{}
	for _, name := range []string{"config.yaml", "env.json", "metrics.jsonl", "result.json", "status.json"} {
		b, err := os.ReadFile(filepath.Join(first.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	for i := range 1000 {
		its := maps.Clone(files)
		its["config.yaml"] = strings.NewReplacer("seed: 0\n", fmt.Sprintf("seed: %d\n", i%3), "  lr: 0.1\n",
			fmt.Sprintf("  lr: %g\n", float64(1+i/3)/1000)).Replace(files["config.yaml"])
		its["env.json"] = strings.NewReplacer(`"seed": 0`, fmt.Sprintf(`"seed": %d`, i%3),
			config.Hash([]byte(files["config.yaml"])), config.Hash([]byte(its["config.yaml"]))).Replace(files["env.json"])
		its["status.json"] = strings.Replace(files["status.json"], sum(files["env.json"]), sum(its["env.json"]), 1)
		dir := filepath.Join(root, fmt.Sprintf("run-%04d", i))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, text := range its {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestThousandRuns: 1,000 runs of 200 epochs open in under a second, with an index and without one.
func TestThousandRuns(t *testing.T) {
	root := t.TempDir()
	thousandRuns(t, root)
	index := filepath.Join(t.TempDir(), "index.json")
	for _, what := range []string{"without an index", "with an index"} {
		start, before := time.Now(), spent(t)
		s := New([]string{root}, Options{Index: index})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		l := httptest.NewServer(s.Handler())
		page := follow(t, l.URL)
		page.until("all runs are listed", func() bool { return len(page.runs) == 1000 && len(page.groups) == 334 })
		took, used := time.Since(start), spent(t)-before
		t.Logf("1,000 runs of 200 epochs %s: %v, %v of processor time", what, took, used)
		if min(took, used) > time.Second {
			t.Errorf("%s it took %v", what, took)
		}
		for key, r := range page.runs {
			if r.Status != "finished" || r.Epochs != 200 {
				t.Fatalf("%s: %+v", key, r)
			}
		}
		start = time.Now()
		s.tree.look(false, func(string, []byte) {})
		t.Logf("a look at them: %v", time.Since(start))
		cancel()
		<-done
		l.Close()
	}
}

// TestFiftyPages: 50 open pages on a run of 100,000 records that goes on take less than 1 % of the machine's time,
// which is what a training that uses all of it could lose. The pages' own time, in this process too, is counted as
// well.
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
	start, before := time.Now(), spent(t)
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
	t.Logf("opening %d pages: %v, %v of processor time", pages, time.Since(start), spent(t)-before)
	start, before = time.Now(), spent(t)
	for n := records + 1; time.Since(start) < seconds*time.Second; n++ {
		epoch(t, r, n)
		time.Sleep(100 * time.Millisecond)
	}
	cpu, wall := spent(t)-before, time.Since(start)
	share := 100 * cpu.Seconds() / wall.Seconds() / float64(runtime.NumCPU())
	cancel()
	ended.Wait()
	t.Logf("%d open pages on %d records: %v of processor time in %v: %.2f %% of %d cores; %d bytes were sent", pages,
		records, cpu, wall, share, runtime.NumCPU(), bytes)
	if share >= 1 {
		t.Errorf("they take %.2f %%", share)
	}
}
