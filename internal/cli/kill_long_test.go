//go:build long

package cli

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/run"
)

// TestKillsAndThreadsLeaveNoTrace trains the program itself, the residual MLP of depth 5 and a residual
// CNN for three epochs, a distillation with all that belongs to it and an adversarial fine-tuning, in several ways: on one thread and
// on two, again, and killed with SIGKILL at 20 random instants in all and resumed each time. All must end
// with the same weights, the same metrics.jsonl and the same test predictions. It trains on the real
// images where $DLA_DATA has them, else on synthetic ones.
func TestKillsAndThreadsLeaveNoTrace(t *testing.T) {
	real := func(name, standIn string) string {
		if _, err := os.Stat(filepath.Join(os.Getenv("DLA_DATA"), name)); err == nil {
			return name
		}
		return standIn
	}
	t.Run("mlp", func(t *testing.T) {
		killsAndThreadsLeaveNoTrace(t, real("mnist", "synthetic-digits"), "lab1 resnet", "--res", "--depth", "5")
	})
	t.Run("cnn", func(t *testing.T) {
		killsAndThreadsLeaveNoTrace(t, real("cifar10", "synthetic-shapes"), "lab1 resnet", "--res", "--model", "small",
			"--set", "data.limit=2000", "--grad-norms")
	})
	t.Run("robust", func(t *testing.T) {
		original := filepath.Join(t.TempDir(), "original")
		exe := build(t)
		runs := t.TempDir()
		for _, args := range [][]string{
			{"lab1", "resnet", "--model", "resnet20", "--res", "--set", "model.width=8", "--data", "synthetic-shapes",
				"--fast-dev-run", "--out", runs},
			{"models", "export", "2", original, "--out", runs},
		} {
			if out, err := exec.Command(exe, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		killsAndThreadsLeaveNoTrace(t, "synthetic-shapes", "lab4 robust", "--original", original, "--attack", "pgd",
			"--steps", "2", "--set", "data.limit=1000",
			"--set", "test.sets.names=[fake]", "--set", "test.sets.fake=200", "--set", "test.pgd=50", "--set", "test.steps=3", "--set", "test.resamples=50")
	})
	t.Run("distill", func(t *testing.T) {
		killsAndThreadsLeaveNoTrace(t, real("cifar10", "synthetic-shapes"), "lab1 distill", "--teacher", "resnet20", "--set",
			"teacher.model.width=8",
			"--student", "small", "--set", "data.limit=2000", "--set", "teacher.train.epochs=2", "--soft-labels", "augmented", "--copies", "2")
	})
}

// build is the program.
func build(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "dla.exe")
	if out, err := exec.Command("go", "build", "-o", exe, "dla/cmd/dla").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exe
}

func killsAndThreadsLeaveNoTrace(t *testing.T, set, experiment string, flags ...string) {
	exe := build(t)
	command := func(root, threads string) *exec.Cmd {
		args := append(strings.Fields(experiment), "--epochs", "3", "--data", set, "--threads", threads, "--out", root,
			"--resume")
		return exec.Command(exe, append(args, flags...)...)
	}
	finish := func(root, threads string) string {
		t.Helper()
		if out, err := command(root, threads).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return readOutcomes(t, root)
	}
	began := time.Now()
	whole := finish(t.TempDir(), "2")
	took := time.Since(began)

	for name, got := range map[string]string{"one thread": finish(t.TempDir(), "1"), "again": finish(t.TempDir(), "2")} {
		if got != whole {
			t.Errorf("%s: %s\nwant %s", name, got, whole)
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
		if got := readOutcomes(t, root); got != whole { // it had come to its end: compare, and begin anew
			t.Errorf("killed %d times: %s\nwant %s", kills, got, whole)
		}
		root = t.TempDir()
	}
	if got := finish(root, "2"); got != whole {
		t.Errorf("killed 20 times: %s\nwant %s", got, whole)
	}
	t.Logf("%s, %s unbroken: %s", set, took.Round(time.Millisecond), whole)
}

// readOutcomes is what of the finished runs under root must not depend on how they came about, run by run
// in the order of their names but for the time in them.
func readOutcomes(t *testing.T, root string) string {
	t.Helper()
	results, err := filepath.Glob(filepath.Join(root, "2*", "result.json"))
	if err != nil || len(results) == 0 {
		t.Fatalf("no finished run under %s: %v", root, err)
	}
	var all []string
	for _, path := range results {
		read := func(name string) []byte {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		var o struct {
			Weights     string         `json:"weights_sha256"`
			LastWeights string         `json:"last_weights_sha256"`
			Predictions run.Attachment `json:"predictions"`
			GradNorms   run.Attachment `json:"grad_norms"`
		}
		if err := json.Unmarshal(read("result.json"), &o); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path))[len("20060102-150405-"):]
		all = append(all, fmt.Sprintf("%s: %+v, metrics %x", name, o, sha256.Sum256(read("metrics.jsonl"))))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
