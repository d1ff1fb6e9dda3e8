//go:build slurm

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dla/internal/run"
	"dla/internal/slurm/slurmtest"
	"dla/internal/sweep"
)

// TestSlurm makes a sweep of 12 trials on a real Slurm. One is preempted, one runs out of time, one is killed and
// submitted again, one fails. The folder must end with the bits of the same sweep on this machine without Slurm.
func TestSlurm(t *testing.T) {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv("DLA_DATA", "")
	dir := t.TempDir()
	dla := filepath.Join(dir, "dla") // a task calls the program by its path
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dla, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	try := func(want int, args ...string) (string, error) {
		cmd := exec.Command(dla, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return "", err
		}
		if code := cmd.ProcessState.ExitCode(); code != want {
			return "", fmt.Errorf("dla %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
		}
		return string(out), nil
	}
	do := func(want int, args ...string) string {
		t.Helper()
		out, err := try(want, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := os.MkdirAll(filepath.Join(dir, "broken", "train", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken", "train", "a", "1.png"), []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The commands whose trials make up the sweep.
	begin := func(out string, more ...string) []string {
		return append([]string{"sweep", "lab1", "resnet", "--depth", "1", "--out", out, "--extend"}, more...)
	}
	long := func(epochs int) []string {
		return []string{"--data", "synthetic-digits", "--epochs", fmt.Sprint(epochs), "--grid", "train.lr=0.1"}
	}
	preempted, killed := long(61), long(43)
	failing := []string{"--data", "broken", "--epochs", "2", "--grid", "train.lr=0.1"}
	short := []string{"--data", "synthetic-digits", "--set", "data.limit=256", "--epochs", "2", "--grid",
		"train.lr=0.2,0.3,0.4,0.5", "--seeds", "2"}

	slurmtest.Up(t)

	// The sweep without Slurm, meanwhile. Slurm looks at time limits every 30 s, so that a training must last longer to
	// run out of time for sure.
	do(0, append(begin("straight", preempted...), "--threads", "1")...)
	f, err := sweep.Open(filepath.Join(dir, "straight"))
	if err != nil {
		t.Fatal(err)
	}
	straight, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	const seconds = 45
	late := long(max(100, int(61*seconds/straight[0].Seconds)))
	alone := make(chan error, 1)
	go func() {
		var all error
		for _, c := range []struct {
			args []string
			code int
		}{{late, 0}, {killed, 0}, {failing, 1}, {short, 1}} { // trial 4 stays failed
			_, err := try(c.code, append(begin("straight", c.args...), "--threads", "1")...)
			all = errors.Join(all, err)
		}
		alone <- all
	}()

	const study = "my study" // a space in all paths of the scripts
	at := filepath.Join(dir, study)
	look := func() []sweep.State {
		t.Helper()
		var v struct {
			Trials []sweep.State `json:"trials"`
		}
		if err := json.Unmarshal([]byte(do(0, "sweep", "status", study, "--json")), &v); err != nil {
			t.Fatal(err)
		}
		return v.Trials
	}
	trains := func(n int) func() bool {
		return func() bool {
			rec, err := run.Examine(at, sweep.RunID(n))
			if err != nil {
				return false
			}
			epoch, _ := rec.Position()
			return epoch > 0
		}
	}
	inLog := func(n int, text string) int { return strings.Count(do(0, "sweep", "logs", study, fmt.Sprint(n)), text) }
	submit := func(args []string, more ...string) string {
		t.Helper()
		return do(0, begin(study, append(append(args, "--slurm"), more...)...)...)
	}

	submit(preempted, "--partition", "lowgrace", "--cpus", "2")
	slurmtest.Eventually(t, "trial 1 to train", trains(1))
	node := strings.TrimSpace(slurmtest.Do(t, "squeue", "-h", "-t", "running", "-o", "%N"))
	slurmtest.Do(t, "sbatch", "-o", "/dev/null", "-p", "high", "-w", node, "-c", "2", "--wrap", "sleep 1")
	submit(late, "--time", "1", "--sbatch-arg=--signal=B:USR1@50")
	submit(killed)
	slurmtest.Eventually(t, "trial 3 to train", trains(3))
	if err := syscall.Kill(look()[2].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	slurmtest.Eventually(t, "the death of trial 3", func() bool { return look()[2].Status == sweep.Stopped })
	slurmtest.Eventually(t, "trial 3 to leave the queue and be submitted again", func() bool {
		return strings.Contains(do(0, "sweep", "run", study, "--slurm"), "submitting 1 trials")
	})
	submit(failing)
	submit(short, "--trials-per-task", "3", "--array-parallelism", "2")
	slurmtest.Eventually(t, "an empty queue", func() bool { return slurmtest.Do(t, "squeue", "-h") == "" })

	states := look()
	for i, s := range states {
		if want := map[bool]sweep.Status{true: sweep.Failed, false: sweep.Trained}[i == 3]; s.Status != want {
			t.Errorf("trial %d is %s: %s", s.N, s.Status, s.Detail)
		}
	}
	for _, n := range []int{1, 2} {
		if inLog(n, "is in the queue again") == 0 || states[n-1].Attempts < 2 {
			t.Errorf("trial %d has not been requeued: %d attempts\n%s", n, states[n-1].Attempts, do(0, "sweep", "logs", study,
				fmt.Sprint(n)))
		}
	}
	if states[2].Attempts != 2 {
		t.Errorf("trial 3 was killed once and has %d attempts", states[2].Attempts)
	}
	if _, err := os.Stat(filepath.Join(at, "results.md")); err != nil {
		t.Errorf("no tables were drawn: %v", err)
	}
	if said := do(0, "sweep", "run", study, "--slurm"); !strings.Contains(said, "nothing is left") {
		t.Errorf("a sweep that is done:\n%s", said)
	}
	t.Setenv("SLURM_CONF", filepath.Join(dir, "none")) // a Slurm that does not answer
	if said := do(0, "sweep", "status", study); !strings.Contains(said, "1 failed, 11 trained") ||
		!strings.Contains(said, "from the folder alone") {
		t.Errorf("without Slurm:\n%s", said)
	}

	if err := <-alone; err != nil {
		t.Fatal(err)
	}
	if f, err = sweep.Open(f.Dir); err == nil { // its plan has grown
		straight, err = f.Look()
	}
	if err != nil || len(straight) != len(states) || len(states) != 12 {
		t.Fatalf("%d and %d trials, %v", len(straight), len(states), err)
	}
	for i, s := range straight {
		if s.Status != states[i].Status {
			t.Errorf("trial %d is %s, without Slurm %s", s.N, states[i].Status, s.Status)
			continue
		}
		if s.Status != sweep.Trained {
			continue
		}
		if a, b := bitsOf(t, f.Dir, s.Run), bitsOf(t, at, s.Run); a != b {
			t.Errorf("trial %d:\n%s\nwant\n%s", s.N, b, a)
		}
	}
}
