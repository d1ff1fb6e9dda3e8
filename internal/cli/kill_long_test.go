//go:build long

package cli

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestKillsAndThreadsLeaveNoTrace trains the program itself, the residual MLP of depth 5 and a residual
// CNN for three epochs, in several ways: on one thread and on two, again, and killed with SIGKILL at 20
// random instants in all and resumed each time. All must end with the same weights and the same
// metrics.jsonl. It trains on the real images where $DLA_DATA has them, else on synthetic ones.
func TestKillsAndThreadsLeaveNoTrace(t *testing.T) {
	real := func(name, standIn string) string {
		if _, err := os.Stat(filepath.Join(os.Getenv("DLA_DATA"), name)); err == nil {
			return name
		}
		return standIn
	}
	t.Run("mlp", func(t *testing.T) {
		killsAndThreadsLeaveNoTrace(t, real("mnist", "synthetic-digits"), "--depth", "5")
	})
	t.Run("cnn", func(t *testing.T) {
		killsAndThreadsLeaveNoTrace(t, real("cifar10", "synthetic-shapes"), "--model", "small", "--set", "data.limit=2000")
	})
}

func killsAndThreadsLeaveNoTrace(t *testing.T, set string, network ...string) {
	exe := filepath.Join(t.TempDir(), "dla.exe")
	if out, err := exec.Command("go", "build", "-o", exe, "dla/cmd/dla").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := func(root, threads string) *exec.Cmd {
		args := append([]string{"lab1", "resnet", "--res", "--epochs", "3", "--data", set, "--threads", threads, "--out", root, "--resume"}, network...)
		return exec.Command(exe, args...)
	}
	finish := func(root, threads string) outcomeFiles {
		t.Helper()
		if out, err := command(root, threads).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return readOutcome(t, root)
	}
	began := time.Now()
	whole := finish(t.TempDir(), "2")
	took := time.Since(began)

	for name, got := range map[string]outcomeFiles{"one thread": finish(t.TempDir(), "1"), "again": finish(t.TempDir(), "2")} {
		if got != whole {
			t.Errorf("%s: %+v\nwant %+v", name, got, whole)
		}
	}

	root := t.TempDir()
	for kills := 0; kills < 20; {
		cmd := command(root, "2")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(took / 2))))
		killed := cmd.Process.Kill() == nil
		if cmd.Wait() != nil && killed {
			kills++
			continue
		}
		if got := readOutcome(t, root); got != whole { // it had come to its end: compare, and begin anew
			t.Errorf("killed %d times: %+v\nwant %+v", kills, got, whole)
		}
		root = t.TempDir()
	}
	if got := finish(root, "2"); got != whole {
		t.Errorf("killed 20 times: %+v\nwant %+v", got, whole)
	}
	t.Logf("%s, %s unbroken: best weights %s, last %s", set, took.Round(time.Millisecond), whole.Weights, whole.LastWeights)
}

// outcomeFiles are what of a run must not depend on how it came about.
type outcomeFiles struct {
	Weights     string `json:"weights_sha256"`
	LastWeights string `json:"last_weights_sha256"`
	Metrics     string // metrics.jsonl
}

// readOutcome reads the one run under root.
func readOutcome(t *testing.T, root string) (o outcomeFiles) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(root, "2*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%d runs under %s, want one: %v", len(dirs), root, err)
	}
	b, err := os.ReadFile(filepath.Join(dirs[0], "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	m, err := os.ReadFile(filepath.Join(dirs[0], "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	o.Metrics = string(m)
	return o
}
