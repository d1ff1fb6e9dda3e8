//go:build !windows

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dla/internal/run"
	"dla/internal/sweep"
)

// TestTask: a task of Slurm that is warned saves, goes back into the queue and later goes on to the bits of a training
// that was never stopped. One that was cancelled does not go back.
func TestTask(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("the program that stands for Slurm's needs a shell")
	}
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, filepath.Dir(t.TempDir()))
	}
	t.Setenv("DLA_DATA", "")
	dir := t.TempDir()
	fake := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>'%[1]s/calls'\n[ $1 = requeue ] || cat '%[1]s/job'\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "scontrol"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("SLURM_ARRAY_JOB_ID", "10")
	t.Setenv("SLURM_ARRAY_TASK_ID", "3")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	study := filepath.Join(dir, "study")
	plan := []string{"sweep", "lab1", "resnet", "--depth", "1", "--width", "16", "--data", "synthetic-digits", "--set",
		"data.limit=1000", "--set", "data.val=256", "--epochs", "40", "--out"}
	want(t, 0, append(plan, filepath.Join(dir, "straight")))
	want(t, exitMaxTime, append(plan, study, "--max-time", "1ns")) // planned
	epoch := func() int {
		rec, err := run.Examine(study, sweep.RunID(1))
		if err != nil {
			return -1
		}
		n, _ := rec.Position()
		return n
	}
	// task begins the task, sends it sig when it has come further, and returns its exit code and output.
	task := func(job string, sig os.Signal) (int, string) {
		t.Helper()
		os.Remove(filepath.Join(dir, "calls"))
		if err := os.WriteFile(filepath.Join(dir, "job"), []byte(job), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		c := exec.Command(exe, "sweep", "run", study, "--trial", "1", "--submission", "001-00000000")
		c.Args[0], c.Stderr, c.Stdout = "dla", &said, &said
		from := epoch()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); sig != nil && epoch() <= from; time.Sleep(time.Millisecond) {
			if time.Since(began) > time.Minute {
				_ = c.Process.Kill()
				t.Fatal("it does not begin")
			}
		}
		if sig != nil {
			_ = c.Process.Signal(sig) // one that has ended is seen by its exit code
		}
		err := c.Wait()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return c.ProcessState.ExitCode(), said.String()
	}
	requeued := func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return strings.Contains(string(b), "requeue 10_3\n")
	}

	const running = "JobState=RUNNING Reason=None Restarts=%d PreemptTime=None\n"
	if code, said := task(fmt.Sprintf(running, 0), syscall.SIGUSR1); code != exitUser || !requeued() ||
		!strings.Contains(said, "task 10_3 is in the queue again") {
		t.Errorf("warned: exit %d, requeued %v\n%s", code, requeued(), said)
	}
	t.Setenv("SLURM_RESTART_COUNT", "1")
	if code, said := task("JobState=COMPLETING Reason=None Restarts=1\n", syscall.SIGTERM); code != 143 || requeued() ||
		!strings.Contains(said, "the state is saved") {
		t.Errorf("cancelled: exit %d, requeued %v\n%s", code, requeued(), said)
	}
	if code, said := task("", nil); code != 0 {
		t.Fatalf("the rest: exit %d\n%s", code, said)
	}
	if a, b := bitsOf(t, filepath.Join(dir, "straight"), sweep.RunID(1)), bitsOf(t, study, sweep.RunID(1)); a != b {
		t.Errorf("%s\nwant\n%s", b, a)
	}
}

// TestNoSlurm: without Slurm a submission says where to type it, and keeps the plan; the scripts can be seen.
func TestNoSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("DLA_DATA", "")
	dir := filepath.Join(t.TempDir(), "study")
	plan := []string{"sweep", "lab1", "resnet", "--depth", "1", "--data", "synthetic-digits", "--epochs", "2", "--grid",
		"train.lr=0.1,0.2", "--out", dir, "--slurm"}
	want(t, 0, append(plan, "--dry-run"), "there is no Slurm on this machine", "#SBATCH --array=0-1")
	want(t, 1, plan, "scontrol is not found: there is no Slurm on this machine", "login node")
	want(t, 0, []string{"sweep", "status", dir}, "2 waiting")
	want(t, 0, []string{"sweep", "cancel", dir}, "was never submitted")
}
