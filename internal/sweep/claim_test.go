package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// folder returns a sweep of three trials in a new folder, as an observer opens it.
func folder(t *testing.T) (string, func() *Folder) {
	t.Helper()
	dir := t.TempDir()
	if err := planned(t, study(), rates(1, 0.1, 0.2, 0.3)).Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir, func() *Folder {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// fast shortens the pauses of workers for a test.
func fast(t *testing.T) {
	was := pollEvery
	pollEvery = 5 * time.Millisecond
	t.Cleanup(func() { pollEvery = was })
}

// hasty shortens the times of claims for a test.
func hasty(t *testing.T) {
	a, b := beatEvery, staleAfter
	beatEvery, staleAfter = 5*time.Millisecond, 600*time.Millisecond
	t.Cleanup(func() { beatEvery, staleAfter = a, b })
}

func statusOf(t *testing.T, f *Folder, n int) State {
	t.Helper()
	states, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	return states[n-1]
}

// foreign writes the claim of a process of another host.
func foreign(t *testing.T, dir string, a attempt) {
	t.Helper()
	a.Owner, a.Host, a.Status = "00000000-1-1-0", "elsewhere", Running
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, claimsDir, claimName(a.Trial, a.Attempt)), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOneTakerWins(t *testing.T) {
	dir, _ := folder(t)
	var mu sync.Mutex
	var all sync.WaitGroup
	won := 0
	for range 50 {
		all.Go(func() {
			c, err := take(dir, 2, 1, 0, func(error) {})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if c != nil {
				won++
				c.stop()
			}
		})
	}
	if all.Wait(); won != 1 {
		t.Errorf("%d of 50 took it", won)
	}
}

// TestForeignClaims: a claim of another host is taken over when its count stands still by this host's clock, not
// before, however old its file is.
func TestForeignClaims(t *testing.T) {
	hasty(t)
	dir, open := folder(t)
	f := open()
	for beat := range 12 { // it lives, for longer than that
		foreign(t, dir, attempt{Trial: 1, Attempt: 1, Beat: beat})
		old := time.Now().Add(-time.Hour) // clocks differ
		if err := os.Chtimes(filepath.Join(dir, claimsDir, claimName(1, 1)), old, old); err != nil {
			t.Fatal(err)
		}
		if s := statusOf(t, f, 1); s.Status != Running || s.Host != "elsewhere" {
			t.Fatalf("%+v", s)
		}
		time.Sleep(staleAfter / 8)
	}
	if !f.alive(statusOf(t, f, 1)) {
		t.Error("its count has moved, and it is not known to live")
	}
	if s := statusOf(t, open(), 1); s.Status != Running { // a new observer has not seen it stand still
		t.Errorf("%+v", s)
	}
	time.Sleep(staleAfter + staleAfter/4)
	if s := statusOf(t, f, 1); s.Status != Stopped || s.Attempts != 1 {
		t.Errorf("%+v", s)
	}
	// A claim that its owner died in writing is nobody's either, after as long.
	if err := os.WriteFile(filepath.Join(dir, claimsDir, claimName(2, 1)), []byte(`{"tri`), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, f, 2); s.Status != Running {
		t.Errorf("%+v", s)
	}
	time.Sleep(staleAfter + staleAfter/4)
	if s := statusOf(t, f, 2); s.Status != Stopped {
		t.Errorf("%+v", s)
	}
}

// TestDeadProcesses: the claim of a process of this host that is gone is taken over at once, one that lives never.
func TestDeadProcesses(t *testing.T) {
	hasty(t)
	dir, open := folder(t)
	c, err := take(dir, 1, 1, 0, func(error) {})
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	c.stop() // counting: it hangs, and lives
	f := open()
	statusOf(t, f, 1)
	time.Sleep(staleAfter + staleAfter/4)
	if s := statusOf(t, f, 1); s.Status != Running || !f.alive(s) {
		t.Errorf("%+v", s)
	}
	path := filepath.Join(dir, claimsDir, claimName(1, 1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(c.a.Owner, "-")
	gone := strings.Replace(string(b), c.a.Owner, parts[0]+"-999999999-1-"+parts[3], 1)
	if err := os.WriteFile(path, []byte(gone), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, open(), 1); s.Status != Stopped || s.Detail != "its process died" {
		t.Errorf("%+v", s)
	}
}

// TestRestartedJobs: Slurm restarts a job after it has ended it, so the restarted one takes over at once.
func TestRestartedJobs(t *testing.T) {
	dir, open := folder(t)
	foreign(t, dir, attempt{Trial: 1, Attempt: 1, Job: "77", Restart: 1})
	t.Setenv("SLURM_JOB_ID", "77")
	for restart, want := range map[string]Status{"1": Running, "2": Stopped} {
		t.Setenv("SLURM_RESTART_COUNT", restart)
		if s := statusOf(t, open(), 1); s.Status != want {
			t.Errorf("restart %s: %+v", restart, s)
		}
	}
}

// TestLostClaims: who lost a claim notices, is cancelled, and records nothing any more.
func TestLostClaims(t *testing.T) {
	hasty(t)
	dir, open := folder(t)
	for n, lose := range map[int]func(c *Claim){
		1: func(*Claim) { foreign(t, dir, attempt{Trial: 1, Attempt: 2}) },      // taken over
		2: func(c *Claim) { c.stop(); time.Sleep(staleAfter/2 + staleAfter/8) }, // could not count
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		c, err := take(dir, n, 1, 0, cancel)
		if err != nil || c == nil {
			t.Fatal(c, err)
		}
		time.Sleep(10 * beatEvery)
		if c.Err() != nil {
			t.Fatalf("trial %d: %v", n, c.Err())
		}
		lose(c)
		if !errors.Is(c.Err(), ErrLost) {
			t.Errorf("trial %d: %v", n, c.Err())
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrLost) {
			t.Errorf("trial %d: %v", n, context.Cause(ctx))
		}
		if err := c.end(attempt{Status: Trained, Curve: []float64{1}}); !errors.Is(err, ErrLost) {
			t.Errorf("trial %d: %v", n, err)
		}
		if s := statusOf(t, open(), n); s.Status != map[int]Status{1: Running, 2: Stopped}[n] {
			t.Errorf("%+v", s) // taken over, or free for anybody
		}
	}
}

// TestNamesOfClaims: only names that claims have are taken for claims.
func TestNamesOfClaims(t *testing.T) {
	for name, want := range map[string][2]int{"00001-1": {1, 1}, "00012-30": {12, 30}, "123456-2": {123456, 2}} {
		if n, k, ok := parseClaim(name); !ok || n != want[0] || k != want[1] {
			t.Errorf("%s: %d, %d, %v", name, n, k, ok)
		}
	}
	for _, name := range []string{"1-1", "00001-01", "00001", "00001-", "00000-1", "00001-0", "-1", "00001-1~", "x-1",
		".dla-tmp-x"} {
		if _, _, ok := parseClaim(name); ok {
			t.Errorf("%s is taken for a claim", name)
		}
	}
}

// TestNamesakes: a machine of the same name is another one, and so is this one before it was started anew.
func TestNamesakes(t *testing.T) {
	dir, open := folder(t)
	c, err := take(dir, 1, 1, 0, func(error) {})
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	c.stop()
	path := filepath.Join(dir, claimsDir, claimName(1, 1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(c.a.Owner, "-")
	other := strings.Replace(string(b), c.a.Owner, parts[0]+"-999999999-1-12345678", 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, open(), 1); s.Status != Running {
		t.Errorf("%+v", s)
	}
}

// TestUnlistedClaims: a claim that the folder does not list yet, as a network file system may, is known by having been
// met, so that a worker does not try to take it for ever.
func TestUnlistedClaims(t *testing.T) {
	dir, open := folder(t)
	f := open()
	f.taken[2] = 1
	if s := statusOf(t, f, 2); s.Status != Running || s.Attempts != 1 {
		t.Errorf("%+v", s)
	}
	if next, _ := f.Plan.next([]State{statusOf(t, f, 2)}, 0); next != nil {
		t.Errorf("%+v", next)
	}
	foreign(t, dir, attempt{Trial: 2, Attempt: 2})
	if s := statusOf(t, f, 2); s.Status != Running || s.Attempts != 2 || s.Host != "elsewhere" {
		t.Errorf("%+v", s)
	}
}
