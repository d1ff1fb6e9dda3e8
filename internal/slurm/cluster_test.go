//go:build slurm

package slurm

// Tests with a real Slurm. The program that stands for dla is this test binary.

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dla/internal/slurm/slurmtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "sweep" {
		stub(os.Args[2:])
	}
	os.Exit(m.Run())
}

// stub is what a task runs: sweep run DIR --trial N… It appends what happens to DIR/trial-N, and works as long as
// DIR/work-N says, in all.
func stub(args []string) {
	if args[0] != "run" { // the report
		if err := os.WriteFile(filepath.Join(args[1], "reported"), nil, 0o600); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	got := make(chan os.Signal, 9)
	signal.Notify(got, syscall.SIGUSR1, syscall.SIGTERM)
	task, _ := Here()
	for trial := range strings.SplitSeq(args[3], ",") {
		say := func(format string, a ...any) {
			f, err := os.OpenFile(filepath.Join(args[1], "trial-"+trial), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				_, err = fmt.Fprintf(f, format+"\n", a...)
			}
			if err != nil {
				panic(err)
			}
			f.Close()
		}
		b, _ := os.ReadFile(filepath.Join(args[1], "work-"+trial))
		work, _ := time.ParseDuration(string(b))
		if task.Restarts > 0 {
			work = 0
		}
		say("begun %d", task.Restarts)
		fmt.Println("log of", task.ID, task.Restarts)
		select {
		case <-time.After(work):
			say("done")
		case sig := <-got:
			again, err := task.Leave(context.Background(), sig == syscall.SIGUSR1, true)
			say("%v again=%v %v", sig, again, err)
			os.Exit(3)
		}
	}
	os.Exit(0)
}

// TestCluster: odd names, requeue at the warning, preemption with and without grace, cancelling, and the queue, on a
// real Slurm.
func TestCluster(t *testing.T) {
	slurmtest.Up(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const odd = ` o'dd "name" %j #1`
	newStudy := func(work ...string) (Study, func(trial int) string) {
		dir := filepath.Join(t.TempDir(), "study"+odd)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, w := range work {
			if err := os.WriteFile(filepath.Join(dir, "work-"+strconv.Itoa(i)), []byte(w), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return Study{Dir: dir, Program: self, Cwd: filepath.Dir(dir), Report: []string{"sweep", "report", dir}},
			func(trial int) string {
				b, _ := os.ReadFile(filepath.Join(dir, "trial-"+strconv.Itoa(trial)))
				return string(b)
			}
	}
	queue := func(st Study) map[int]State {
		subs, err := Submissions(st.Dir)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ReadQueue(t.Context(), subs)
		if err != nil {
			t.Fatal(err)
		}
		return q.Trials(subs)
	}
	l, err := ReadLimits(t.Context())
	if err != nil || l.ArrayTasks != 1001 {
		t.Fatalf("limits %+v, %v", l, err)
	}

	// Several arrays, several trials a task, and the report when all have ended.
	st, said := newStudy("0s", "0s", "0s", "0s", "0s")
	s := submit(t, st, []int{0, 1, 2, 3, 4}, Options{CPUs: 1, PerTask: 2, Parallelism: 1, Time: "5"},
		Limits{ArrayTasks: 2})
	slurmtest.Eventually(t, "the report", func() bool {
		_, err := os.Stat(filepath.Join(st.Dir, "reported"))
		return err == nil
	})
	for i := range 5 {
		if got := said(i); got != "begun 0\ndone\n" {
			t.Errorf("trial %d: %q", i, got)
		}
	}
	if logs, err := Logs(st.Dir); err != nil || len(logs) != 4 {
		t.Errorf("logs: %+v, %v", logs, err)
	}
	slurmtest.Eventually(t, "an empty queue", func() bool { return len(queue(st)) == 0 })
	got := slurmtest.Do(t, "squeue", "-h", "-t", "all", "-j", s.Arrays[0].ID, "-o", "%j")
	if !strings.Contains(got, s.Arrays[0].Name) {
		t.Errorf("the job is called %q, want %q", got, s.Arrays[0].Name)
	}

	// Requeued at the warning, which is sent here by hand; cancelled while running; cancelled while pending.
	st, said = newStudy("100s", "100s", "100s", "100s", "0s")
	submit(t, st, []int{0, 1, 2, 3, 4}, Options{CPUs: 1, PerTask: 1}, l)
	slurmtest.Eventually(t, "four tasks that run", func() bool {
		return said(0) != "" && said(1) != "" && said(2) != "" && said(3) != ""
	})
	states := queue(st)
	if states[1].State != "RUNNING" || states[4].State != "PENDING" {
		t.Errorf("in the queue are %+v", states)
	}
	slurmtest.Do(t, "scancel", "-s", "USR1", "-b", states[1].ID)
	slurmtest.Eventually(t, "trial 1 done after its requeue", func() bool { return strings.HasSuffix(said(1), "done\n") })
	if want := "begun 0\nuser defined signal 1 again=true <nil>\nbegun 1\ndone\n"; said(1) != want {
		t.Errorf("trial 1: %q, want %q", said(1), want)
	}
	logs, err := Logs(st.Dir)
	if err != nil || len(logs) != 5 {
		t.Fatalf("logs %+v, %v", logs, err)
	}
	if b, _ := os.ReadFile(logs[1].Path); strings.Count(string(b), "log of") != 2 {
		t.Errorf("the log of a requeued task is\n%s", b)
	}
	other := slurmtest.Do(t, "sbatch", "--parsable", "-o", "/dev/null", "-J", filepath.Base(st.Dir), "--wrap", "sleep 60")
	ids, err := Cancel(t.Context(), st.Dir)
	if err != nil || len(ids) != 2 {
		t.Errorf("cancelled %v, %v", ids, err)
	}
	slurmtest.Eventually(t, "tasks that were told", func() bool {
		return strings.Contains(said(0), "terminated") && strings.Contains(said(2), "terminated")
	})
	if want := "begun 0\nterminated again=false <nil>\n"; said(0) != want {
		t.Errorf("trial 0, cancelled: %q, want %q", said(0), want)
	}
	got = slurmtest.Do(t, "squeue", "-h", "-j", strings.TrimSpace(other), "-o", "%T")
	if !slices.Contains([]string{"RUNNING\n", "PENDING\n"}, got) {
		t.Errorf("a job of somebody else is %q", got)
	}
	slurmtest.Do(t, "scancel", strings.TrimSpace(other))
	slurmtest.Eventually(t, "an empty queue", func() bool { return slurmtest.Do(t, "squeue", "-h") == "" })

	// Requeued by somebody, as when a node is taken away, and preempted, with a grace time and without.
	for _, partition := range []string{"debug", "low", "lowgrace"} {
		st, said := newStudy("100s", "100s")
		submit(t, st, []int{0, 1}, Options{CPUs: 2, PerTask: 1, Partition: partition}, l)
		slurmtest.Eventually(t, "two tasks that run", func() bool { return said(0) != "" && said(1) != "" })
		if partition == "debug" {
			for _, state := range queue(st) {
				slurmtest.Do(t, "scontrol", "requeue", state.ID)
			}
		} else {
			slurmtest.Do(t, "sbatch", "-o", "/dev/null", "-p", "high", "-c", "2", "-N", "2", "--wrap", "sleep 2")
		}
		ended := regexp.MustCompile(`^begun 0\n(terminated|user defined signal 1) again=true <nil>\nbegun 1\ndone\n$`)
		slurmtest.Eventually(t, "both done", func() bool {
			return strings.HasSuffix(said(0), "done\n") && strings.HasSuffix(said(1), "done\n") ||
				strings.Contains(said(0)+said(1), "again=false")
		})
		for i := range 2 {
			if !ended.MatchString(said(i)) {
				t.Errorf("%s, trial %d: %q", partition, i, said(i))
			}
		}
	}
}
