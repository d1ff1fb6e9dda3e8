//go:build !windows

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"dla/internal/run"
	"dla/internal/sweep"
)

// TestSweepSurvivesKills is killedSweep on few trials; the long tests have many.
func TestSweepSurvivesKills(t *testing.T) { killedSweep(t, 8, 3) }

// killedSweep makes a sweep of so many trials of a small MLP in two processes, either of which is killed with SIGKILL
// at random instants and begun again. No trial may be lost, made twice or left half-written, and all must end in the
// bits of the same sweep in one process that nothing happened to.
func killedSweep(t *testing.T, trials, kills int) {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, filepath.Dir(t.TempDir()))
	}
	t.Setenv("DLA_DATA", "")
	begin := func(dir string) []string {
		return []string{"sweep", "lab1", "resnet", "--depth", "1", "--width", "16", "--data", "synthetic-digits", "--set",
			"data.limit=256", "--set", "data.val=256", "--epochs", "2", "--random", "train.lr=log:1e-3..0.5", "--trials",
			fmt.Sprint(trials), "--out", dir, "--threads", "1"}
	}
	want(t, 0, append(begin(filepath.Join(t.TempDir(), "drawn")), "--trials", "1")) // the digits are drawn once
	straight := filepath.Join(t.TempDir(), "straight")
	began := time.Now()
	want(t, 0, begin(straight), fmt.Sprintf("%d trained", trials))
	took := time.Since(began) / time.Duration(trials)
	for killed, sweeps := 0, 1; killed < kills; sweeps++ {
		broken := filepath.Join(t.TempDir(), "broken")
		n := killedOnce(t, begin(broken), kills-killed)
		compareSweeps(t, straight, broken, trials)
		killed += n
		t.Logf("sweep %d: %d trials, %s each, %d kills", sweeps, trials, took.Round(time.Millisecond), n)
		if t.Failed() {
			return
		}
	}
}

// killedOnce makes a sweep by the command args in two processes to its end, and kills either at random instants, most
// times at most. It returns how often it did.
func killedOnce(t *testing.T, args []string, most int) (killed int) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan int, 2)
	var workers [2]*exec.Cmd
	var said [2]bytes.Buffer
	start := func(i int) {
		said[i].Reset()
		c := exec.Command(exe, args...)
		c.Args[0] = "dla"
		c.Stderr, c.Stdout = &said[i], &said[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		workers[i] = c
		go func() { _ = c.Wait(); ends <- i }()
	}
	start(0)
	start(1)
	running := [2]bool{true, true}
	ended := func(i int) {
		running[i] = false
		if code := workers[i].ProcessState.ExitCode(); code != 0 {
			t.Fatalf("a process of the sweep ended with %d:\n%s", code, said[i].String())
		}
	}
	for running[0] || running[1] {
		select {
		case i := <-ends:
			ended(i)
			continue
		case <-time.After(time.Duration(rand.Int64N(int64(300 * time.Millisecond)))):
		}
		i := rand.IntN(2)
		if killed == most || !running[i] || workers[i].Process.Kill() != nil {
			continue
		}
		if j := <-ends; j != i { // the other has come to its end at the same time
			ended(j)
			<-ends
		}
		if workers[i].ProcessState.Exited() { // it was faster
			ended(i)
			continue
		}
		killed++
		start(i)
	}
	return killed
}

// compareSweeps checks that both sweeps were made to their end, and with the same bits.
func compareSweeps(t *testing.T, straight, broken string, trials int) {
	t.Helper()
	f, err := sweep.Open(broken)
	if err != nil {
		t.Fatal(err)
	}
	states, err := f.Look()
	if err != nil || len(states) != trials {
		t.Fatalf("%d trials, %v", len(states), err)
	}
	for _, s := range states {
		if s.Status != sweep.Trained || len(s.Curve) != 2 {
			t.Errorf("trial %d is %s after %d epochs (%s)", s.N, s.Status, len(s.Curve), s.Detail)
		}
		claims, err := filepath.Glob(filepath.Join(broken, "claims", fmt.Sprintf("%05d-*", s.N)))
		if err != nil || len(claims) != s.Attempts {
			t.Errorf("trial %d has %d claims of %d attempts, %v", s.N, len(claims), s.Attempts, err)
		}
		made := 0
		for _, c := range claims {
			b, err := os.ReadFile(c)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(`"status":"trained"`)) {
				made++
			}
		}
		if made != 1 {
			t.Errorf("trial %d was made %d times", s.N, made)
		}
		if a, b := bitsOf(t, straight, s.Run), bitsOf(t, broken, s.Run); a != b {
			t.Errorf("trial %d:\n%s\nwant\n%s", s.N, b, a)
		}
	}
	list, err := run.List(broken)
	if err != nil || len(list) != trials {
		t.Errorf("%d runs, %v", len(list), err)
	}
	if i := slices.IndexFunc(list, func(r run.Summary) bool { return r.Status != run.StatusTrained }); i >= 0 {
		t.Errorf("%s is %s: %s", list[i].ID, list[i].Status, list[i].Detail)
	}
}

// bitsOf returns what of a trained trial's run must not depend on how it came about: settings, metrics and the weights
// that validation selected.
func bitsOf(t *testing.T, dir, id string) string {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, id, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var m struct {
		Checkpoints []struct {
			Best struct {
				SHA256 string `json:"sha256"`
			} `json:"best"`
		} `json:"checkpoints"`
	}
	if err := json.Unmarshal(read("manifest.json"), &m); err != nil || len(m.Checkpoints) == 0 {
		t.Fatalf("%s: %v", id, err)
	}
	return fmt.Sprintf("%s\n%s\n%s", read("config.yaml"), read("metrics.jsonl"), m.Checkpoints[0].Best.SHA256)
}

// TestSIGUSR1: the signal that a scheduler sends before a time limit stops a training with its checkpoint; a SIGTERM
// after it does not cut the saving short; the same command goes on.
func TestSIGUSR1(t *testing.T) {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, filepath.Dir(t.TempDir()))
	}
	t.Setenv("DLA_DATA", "")
	dir := filepath.Join(t.TempDir(), "study")
	begin := []string{"sweep", "lab1", "resnet", "--depth", "1", "--width", "16", "--data", "synthetic-digits", "--set",
		"data.limit=256", "--set", "data.val=256", "--epochs", "100000", "--out", dir}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := exec.Command(exe, begin...)
	c.Args[0] = "dla"
	c.Stderr, c.Stdout = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, sweep.RunID(1), "manifest.json")
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) { // until it trains
		if _, err := os.Stat(manifest); err == nil {
			break
		}
		if time.Since(began) > time.Minute {
			_ = c.Process.Kill()
			t.Fatal("it does not begin")
		}
	}
	for _, s := range []os.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGUSR1} {
		if err := c.Process.Signal(s); err != nil {
			break // it has ended
		}
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != 138 {
		t.Errorf("exit code %d, want 138\n%s", c.ProcessState.ExitCode(), said.String())
	}
	want(t, 0, []string{"sweep", "status", dir}, "1 stopped")
	rec, err := run.Find(dir, sweep.RunID(1))
	if err != nil || rec.Status != run.StatusInterrupted || !rec.Saved() {
		t.Errorf("%+v, %v", rec.Summary, err)
	}
	want(t, 3, []string{"sweep", "run", dir, "--trial", "1", "--max-time", "1ms"}, "Continue with: dla sweep run")
}
