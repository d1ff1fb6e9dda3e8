package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/run"
	"dla/internal/slurm"
	"dla/internal/sweep"
	"dla/internal/train"
)

// workFlags says how a process makes trials.
type workFlags struct {
	jobs  int
	only  []int // the only trials to make; none: all
	child bool  // of a process that makes the tables
	retry bool  // what has failed as often as the plan allows

	submission string // of slurm, of which this process is a task; "": none
}

// names reports whether w makes the trial n.
func (w workFlags) names(n int) bool { return len(w.only) == 0 || slices.Contains(w.only, n) }

func newSweepRunCmd(s *Streams) *cobra.Command {
	var o trainingFlags
	var w workFlags
	var cluster slurmFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Make the trials of a sweep that are missing, beside other processes that do",
		Long: `Make what is left of the sweep in the folder DIR: trials that were not begun, that were stopped, whose
process died, or that failed and may be tried again. Any number of processes may do this at once, on one machine or on
several that share the folder; each claims the trials that it makes. A trial whose process is gone is taken over: at
once on the same machine, elsewhere when it has given no sign of life for a minute.

--trial N makes the trial N alone. If another process has it, the command ends with an error.

With --slurm the trials are submitted to Slurm instead, as ` + "`dla sweep --help`" + ` describes.

Exit codes: 0 the trials are done, or stopped early; 1 one has failed; 3 stopped by --max-time; 130, 143, 138 stopped
by Ctrl-C, SIGTERM, SIGUSR1, with the checkpoint kept: the same command goes on.`,
		Example: `  dla sweep run sweeps/lr
  dla sweep run sweeps/lr --jobs 2
  dla sweep run sweeps/lr --trial 7 --threads 4
  dla sweep run /shared/sweeps/lr --max-time 2h
  dla sweep run /shared/sweeps/lr --slurm --time 2:00:00 --cpus 8`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if w.jobs < 1 || w.jobs > 1 && len(w.only) > 0 {
				return usageError(errors.New("--jobs is at least 1, and --trial is made by one process"))
			}
			if err := errors.Join(o.check(), cluster.check(cmd)); err != nil {
				return err
			}
			o.out = args[0]
			if cluster.on || dryRun {
				if len(w.only) > 0 {
					return usageError(errors.New("--slurm submits all trials that are left; leave --trial out"))
				}
				return cluster.run(cmd, s, o, w, dryRun)
			}
			o.setThreads()
			return makeTrials(cmd, s, o, w)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&w.only, "trial", nil, "make this trial alone, or several: 3,7")
	f.IntVar(&w.jobs, "jobs", 1, "processes to make trials with; the threads are divided among them")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this time, such as 90s or 2h; exit code 3")
	addOtherKernels(cmd, &o.kernels)
	addDataAt(cmd, &o.dataAt)
	cluster.add(cmd)
	f.BoolVar(&dryRun, "dry-run", false, "with --slurm: print the scripts, and stop")
	f.StringVar(&w.submission, "submission", "", "submission of Slurm of which the process is a task")
	f.Lookup("submission").Hidden = true
	f.BoolVar(&w.retry, "retry", false, "try trials again that have failed as often as the plan allows")
	f.BoolVar(&w.child, "child", false, "print no tables at the end")
	f.Lookup("child").Hidden = true
	return cmd
}

// maxTimeGrace is how long a training may take to end after --max-time.
const maxTimeGrace = 10 * time.Second

// makeTrials makes what is left of the sweep in o.out.
func makeTrials(cmd *cobra.Command, s *Streams, o trainingFlags, w workFlags) error {
	f, err := sweep.Open(o.out)
	if err != nil {
		return err
	}
	for _, n := range w.only {
		if _, err := f.Plan.Trial(n); err != nil {
			return usageError(err)
		}
	}
	if w.submission != "" && slurm.Cancelled(f.Dir, w.submission) {
		fmt.Fprintf(s.Err, "the submission %s is cancelled: its tasks make no trials\n", w.submission)
		return nil
	}
	if w.jobs > 1 {
		return makeInProcesses(cmd, s, f, o, w)
	}
	if w.retry {
		if err := f.Forgive(); err != nil {
			return err
		}
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	if o.maxTime > 0 { // trainings end by themselves; this ends waiting for others
		var cancel context.CancelFunc
		x.ctx, cancel = context.WithTimeout(x.ctx, o.maxTime+maxTimeGrace)
		defer cancel()
	}
	t := &trialMaker{s: s, session: x, folder: f, submission: w.submission}
	states, err := t.make(w)
	t.outOfTime = t.outOfTime || errors.Is(x.ctx.Err(), context.DeadlineExceeded)
	code := x.code()
	if code == 0 && t.outOfTime {
		code = exitMaxTime
	}
	if w.submission != "" && code != 0 && err == nil {
		code, err = t.leaveTask(w, states, code)
	}
	if err = errors.Join(err, x.close()); err != nil {
		return err
	}
	return ended(s, f, states, code, w)
}

// ended reports on a sweep that this process has left, and returns the error of its exit code.
func ended(s *Streams, f *sweep.Folder, states []sweep.State, code int, w workFlags) error {
	if code != 0 {
		fmt.Fprintf(s.Err, "\nstopped: %s; the state is saved. Continue with: %s\n", summary(states),
			sweepCommand("run", f.Dir))
		return &ExitError{Code: code}
	}
	switch {
	case len(w.only) > 0:
		states = slices.DeleteFunc(states, func(t sweep.State) bool { return !w.names(t.N) })
	case w.child || w.submission != "": // another process, or job, makes the tables
	default:
		if err := showResults(s, f, states, false); err != nil {
			return err
		}
	}
	var failed []string
	for _, t := range states {
		if t.Status == sweep.Failed {
			failed = append(failed, fmt.Sprintf("trial %d: %s", t.N, t.Detail))
		}
	}
	if n := len(failed); n > 0 {
		return fmt.Errorf("%d trials failed: %s; once that is mended, try them again with `%s`", n,
			strings.Join(failed[:min(n, 3)], "; "), sweepCommand("run", f.Dir)+" --retry")
	}
	return nil
}

// sweepCommand returns the command line that applies verb to the sweep in dir.
func sweepCommand(verb, dir string) string { return run.Command("", "sweep", verb, dir) }

// summary counts the trials of each status: 12 trained, 2 running.
func summary(states []sweep.State) string { return sweep.Summary(states) }

// trialMaker trains the trials of a folder in this process.
type trialMaker struct {
	s         *Streams
	session   *session
	folder    *sweep.Folder
	opt       *labs.Options // shared by all trials
	outOfTime bool
	done      int

	submission string // see workFlags
	moved      bool   // a trial of it has ended, or has come further than this process found it
}

// make makes the trials that w names, one after the other, or all. A trial that fails does not keep the next ones.
func (m *trialMaker) make(w workFlags) ([]sweep.State, error) {
	if len(w.only) == 0 {
		all := m.worker(0)
		all.Leave = m.submission != ""
		return all.Run(m.session.ctx)
	}
	var states []sweep.State
	var failed error
	for _, n := range w.only {
		if m.submission != "" && slurm.Cancelled(m.folder.Dir, m.submission) {
			break
		}
		var err error
		if states, err = m.worker(n).Run(m.session.ctx); err != nil && len(w.only) > 1 {
			err = fmt.Errorf("trial %d: %w", n, err)
		}
		failed = errors.Join(failed, err)
		if m.outOfTime || m.session.ctx.Err() != nil {
			break
		}
	}
	return states, failed
}

// worker returns the worker that makes all trials, or the only one.
func (m *trialMaker) worker(only int) *sweep.Worker {
	p := m.session.progress
	return &sweep.Worker{Folder: m.folder, Only: only, Train: m.train,
		Begun: func(_ sweep.Trial, done int) { m.done = done },
		Ended: func(s sweep.State, err error) {
			p.Flush()
			fmt.Fprintf(m.s.Err, "[%d/%d] trial %d  %s: %s\n", m.done+1, len(m.folder.Plan.Trials), s.N,
				m.folder.Plan.Line(s.Trial),
				m.reached(s, err))
		},
		Waits: func(states []sweep.State) {
			p.Flush()
			fmt.Fprintf(m.s.Err, "waiting for others: %s\n", summary(states))
		},
	}
}

// reached describes what came of an attempt.
func (m *trialMaker) reached(s sweep.State, err error) string {
	line := string(s.Status)
	if v := s.Last(); !math.IsNaN(v) {
		o := m.folder.Plan.Objective
		line += fmt.Sprintf(", %s %s at epoch %d", o.Measure, o.Format(v), len(s.Curve))
	}
	line += fmt.Sprintf(", %.1f s", s.Seconds)
	if err != nil {
		line += ": " + inOneLine(err)
	}
	return line
}

// train makes, or goes on with, the run of a trial.
func (m *trialMaker) train(ctx context.Context, t sweep.Trial, id string, p sweep.Part) (a sweep.Attempt, err error) {
	if m.opt == nil {
		opt := m.session.opt.Sharing()
		sink := opt.Sink
		opt.Sink = func(e train.Event) {
			if e.Kind != train.EpochEnd { // a line a trial is enough
				sink(e)
			}
		}
		m.opt = &opt
	}
	opt := *m.opt
	opt.Root, opt.Env.Started = m.folder.Dir, time.Now()
	settings, err := labs.NewSettings(m.folder.Plan.Experiment)
	if err == nil {
		err = m.folder.Plan.Set(t.N, settings)
	}
	if err != nil {
		return sweep.Attempt{}, err
	}
	if m.submission != "" {
		before := m.position(id)
		defer func() { m.moved = m.moved || a.Status != sweep.Stopped || m.position(id) != before }()
	}
	o, err := labs.Trial(ctx, settings, id, labs.Part{Untested: !p.Test, Halt: p.Halt, Guard: p.Guard, Data: p.Data},
		opt)
	a = sweep.Attempt{Seconds: o.Seconds}
	switch {
	case errors.Is(err, train.ErrDiverged):
		a.Status = sweep.Diverged
	case err != nil:
		a.Status = sweep.Failed
	case o.Done():
		a.Status, a.Test = sweep.Tested, &sweep.Test{Reached: o.Result.Reached()}
		if rec, err := run.Find(m.folder.Dir, id); err == nil {
			a.Test.Accuracy = rec.TestAccuracy
		}
	case o.Reason == labs.Trained:
		a.Status = sweep.Trained
	case o.Reason == train.Halted:
		a.Status = sweep.Halted
	default:
		a.Status = sweep.Stopped
		m.outOfTime = m.outOfTime || o.Reason == train.OutOfTime
	}
	return a, err
}

// position returns how far the run called id has come.
func (m *trialMaker) position(id string) [2]int {
	rec, err := run.Examine(m.folder.Dir, id)
	if err != nil { // it has not begun
		return [2]int{}
	}
	epoch, step := rec.Position()
	return [2]int{epoch, step}
}

// makeInProcesses makes the trials of f in so many processes of their own.
func makeInProcesses(cmd *cobra.Command, s *Streams, f *sweep.Folder, o trainingFlags, w workFlags) error {
	jobs := w.jobs
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--jobs %d: %w; begin the processes yourself: %s", jobs, err, sweepCommand("run", f.Dir))
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return err
	}
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	args := []string{"sweep", "run", dir, "--child", "--threads", fmt.Sprint(max(1, kernel.Threads()/jobs))}
	if o.maxTime > 0 {
		args = append(args, "--max-time", o.maxTime.String())
	}
	if o.kernels {
		args = append(args, "--allow-other-kernels")
	}
	if w.retry {
		args = append(args, "--retry")
	}
	if o.dataAt != "" {
		args = append(args, "--data", o.dataAt)
	}
	ends := make(chan error, jobs)
	for range jobs {
		c := exec.CommandContext(cmd.Context(), exe, args...)
		c.Args[0] = os.Args[0]
		c.Stderr, c.Stdout = s.Err, s.Err
		apart(c)
		if err := c.Start(); err != nil {
			return fmt.Errorf("--jobs %d: %w; begin the processes yourself: %s", jobs, err, sweepCommand("run", f.Dir))
		}
		go func() {
			done := make(chan error, 1)
			go func() { done <- c.Wait() }()
			select {
			case err := <-done:
				ends <- err
			case <-ctx.Done():
				_ = c.Process.Signal(os.Interrupt) // it may have ended by itself
				ends <- <-done
			}
		}()
	}
	codes := []int{code()}
	var died error
	for range jobs {
		var exit *exec.ExitError
		switch err := <-ends; {
		case errors.As(err, &exit) && exit.ExitCode() >= 0:
			codes = append(codes, exit.ExitCode())
		case err != nil:
			died = err
			fmt.Fprintf(s.Err, "a process of the sweep ended: %v; others go on with its trial\n", err)
		}
	}
	states, err := f.Look()
	if err != nil {
		return err
	}
	switch {
	case code() != 0:
		return ended(s, f, states, code(), workFlags{})
	case slices.Contains(codes, exitMaxTime):
		return ended(s, f, states, exitMaxTime, workFlags{})
	case slices.Contains(codes, exitUsage):
		return &ExitError{Code: exitUsage}
	}
	if left := summaryOfLeft(states); left != "" {
		return errors.Join(died, fmt.Errorf("the processes ended before all trials were done: %s; continue with `%s`",
			left, sweepCommand("run", f.Dir)))
	}
	return ended(s, f, states, 0, workFlags{})
}

// summaryOfLeft counts the trials that were not made; "" for none.
func summaryOfLeft(states []sweep.State) string {
	var left []sweep.State
	for _, t := range states {
		if slices.Contains([]sweep.Status{sweep.Waiting, sweep.Running, sweep.Stopped}, t.Status) {
			left = append(left, t)
		}
	}
	return summary(left)
}
