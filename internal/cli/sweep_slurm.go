package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dla/internal/plainfile"
	"dla/internal/run"
	"dla/internal/slurm"
	"dla/internal/sweep"
)

// slurmLong describes sweeps on a cluster.
const slurmLong = `On a cluster with Slurm, --slurm submits the trials that are left instead of making them: a job
array with a task for each trial (or for --trials-per-task of them), and a job that draws tables and figures when all
tasks have ended. The folder must lie where all nodes see it. A task is told before its time limit, or when another job
takes its place; it saves, goes back into the queue by itself and later continues bit for bit. So --time may be far
shorter than a trial. The same command again submits what is neither done nor in the queue. With --stop asha a task
makes whatever trial is next. A run is continued with the kernels that it began with: on nodes with different processors
give them all DLA_KERNEL=avx2, or one kind by --constraint. --dry-run shows the scripts. ` +
	"`dla sweep status|logs|cancel DIR`" + ` know of the tasks; what has become of trials is in the folder, and stays there
when Slurm has forgotten the jobs.`

// slurmFlags holds the flags of a submission.
type slurmFlags struct {
	on bool
	slurm.Options
}

var slurmFlagNames = []string{"slurm", "partition", "time", "cpus", "mem", "array-parallelism", "account", "qos",
	"constraint", "sbatch-arg", "trials-per-task"}

func (c *slurmFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&c.on, "slurm", false, "submit the trials that are left to Slurm, as job arrays (dla sweep --help)")
	f.StringVar(&c.Partition, "partition", "", "with --slurm: partition of the cluster")
	f.StringVar(&c.Time, "time", "", "with --slurm: time limit of a task, after which it goes back into the queue: "+
		"minutes, 2:00:00 or 1-12")
	f.IntVar(&c.CPUs, "cpus", 1, "with --slurm: processors of a task, as many as its threads")
	f.StringVar(&c.Mem, "mem", "", "with --slurm: memory of a task, such as 4G")
	f.IntVar(&c.Parallelism, "array-parallelism", 0, "with --slurm: tasks that run at the same time; 0: no bound")
	f.StringVar(&c.Account, "account", "", "with --slurm: account that is charged")
	f.StringVar(&c.QOS, "qos", "", "with --slurm: quality of service")
	f.StringVar(&c.Constraint, "constraint", "", "with --slurm: features that a node must have")
	f.StringArrayVar(&c.Args, "sbatch-arg", nil,
		"with --slurm: one more option of sbatch, such as --sbatch-arg=--gres=gpu:1; repeatable")
	f.IntVar(&c.PerTask, "trials-per-task", 1,
		"with --slurm: trials that a task makes, one after the other; for short ones")
}

// check returns a usage error for flags that do not go together.
func (c *slurmFlags) check(cmd *cobra.Command) error {
	for _, name := range slurmFlagNames {
		if cmd.Flags().Changed(name) && !c.on {
			return usageError(fmt.Errorf("--%s is of a submission to Slurm; add --slurm", name))
		}
	}
	if !c.on {
		return nil
	}
	for name, instead := range map[string]string{"jobs": "--array-parallelism", "threads": "--cpus",
		"max-time": "--time"} {
		if cmd.Flags().Changed(name) {
			return usageError(fmt.Errorf("--%s is of this machine's processes; with --slurm use %s", name, instead))
		}
	}
	if err := c.Check(); err != nil {
		return usageError(err)
	}
	return nil
}

// given returns the flags of a submission that were given in f, as a command takes them.
func (c *slurmFlags) given(f *pflag.FlagSet) []string {
	var args []string
	for _, name := range slurmFlagNames {
		switch given := f.Lookup(name); {
		case !given.Changed:
		case name == "sbatch-arg":
			for _, a := range c.Args {
				args = append(args, "--sbatch-arg="+a)
			}
		default:
			args = append(args, "--"+name+"="+given.Value.String())
		}
	}
	return args
}

// run submits the trials of the sweep in c.out that are left and in no task, or with dryRun prints the scripts.
func (c *slurmFlags) run(cmd *cobra.Command, s *Streams, o trainingFlags, w workFlags, dryRun bool) error {
	if !c.on {
		return usageError(errors.New("--dry-run is of a submission to Slurm; add --slurm"))
	}
	f, err := sweep.Open(o.out)
	if err != nil {
		return err
	}
	if w.retry {
		if err := f.Forgive(); err != nil {
			return err
		}
	}
	v, err := lookAt(cmd.Context(), f)
	if err == nil && v.unknown != nil && !dryRun {
		err = v.unknown
	}
	if err != nil {
		return err
	}
	left := v.unsubmitted(f.Plan, c.PerTask)
	if len(left) == 0 {
		fmt.Fprintf(s.Out, "nothing is left to submit: %s\n", summary(v.states))
		next(s.Out, sweepCommand("status", f.Dir))
		return nil
	}
	return c.submit(cmd.Context(), s, f.Plan, f.Dir, left, o, w, dryRun)
}

// dryRun prints the scripts for the trials of plan, which need not be kept yet.
func (c *slurmFlags) dryRun(cmd *cobra.Command, s *Streams, o trainingFlags, plan *sweep.Plan) error {
	if sweep.Is(o.out) {
		return c.run(cmd, s, o, workFlags{}, true)
	}
	var all []int
	for _, t := range plan.Trials {
		all = append(all, t.N)
	}
	return c.submit(cmd.Context(), s, plan, o.out, all, o, workFlags{}, true)
}

// submit submits the trials, or prints the scripts.
func (c *slurmFlags) submit(ctx context.Context, s *Streams, plan *sweep.Plan, out string, trials []int,
	o trainingFlags, w workFlags, dryRun bool) error {
	limits, err := slurm.ReadLimits(ctx)
	if err != nil && dryRun {
		limits = slurm.DefaultLimits
		fmt.Fprintf(s.Err, "the usual limit is assumed, %d tasks an array: %s\n", limits.ArrayTasks, inOneLine(err))
		err = nil
	}
	if err != nil {
		return err
	}
	st := slurm.Study{Any: plan.Stop.Rule == sweep.ASHA}
	if st.Dir, err = filepath.Abs(out); err != nil {
		return err
	}
	if st.Cwd, err = os.Getwd(); err != nil {
		return err
	}
	if st.Program, err = os.Executable(); err != nil {
		return err
	}
	st.Report = []string{"sweep", "results", st.Dir}
	if w.retry {
		st.Args = append(st.Args, "--retry")
	}
	if o.kernels {
		st.Args = append(st.Args, "--allow-other-kernels")
	}
	if o.dataAt != "" {
		st.Args = append(st.Args, "--data", o.dataAt)
	}
	sub, err := st.Plan(trials, c.Options, limits)
	if err != nil {
		return err
	}
	if dryRun {
		sub.Each(func(command []string, script string) {
			fmt.Fprintf(s.Out, "$ %s\n%s\n", run.Quote(command...), script)
		})
		fmt.Fprintf(s.Out, "%d trials in %d job arrays; nothing is submitted\n", len(trials), len(sub.Arrays))
		return nil
	}
	fmt.Fprintf(s.Err, "submitting %d trials\n", len(trials))
	err = sub.Submit(ctx, func(j slurm.Job) {
		if len(j.Tasks) == 0 {
			fmt.Fprintf(s.Out, "job %s: tables and figures\n", j.ID)
			return
		}
		fmt.Fprintf(s.Out, "job array %s: %d tasks\n", j.ID, len(j.Tasks))
	})
	if err != nil {
		return err
	}
	next(s.Out, sweepCommand("status", out), sweepCommand("logs", out), sweepCommand("cancel", out))
	return nil
}

// view is what is known about the trials of a sweep.
type view struct {
	states  []sweep.State
	subs    []slurm.Submission
	queue   slurm.Queue
	tasks   map[int]slurm.State // of trials that are in the queue
	unknown error               // why Slurm could not be asked; the rest is then from the folder alone
}

// lookAt reads the state of every trial of f, and what Slurm says of its tasks where there were any. A trial whose task
// has ended is not being made any more, whatever it left in the folder.
func lookAt(ctx context.Context, f *sweep.Folder) (v view, err error) {
	if v.subs, err = slurm.Submissions(f.Dir); err != nil {
		return v, err
	}
	v.queue, v.unknown = slurm.ReadQueue(ctx, v.subs)
	if v.states, err = f.Look(); err != nil || v.unknown != nil { // after the queue: a task that had ended has written all
		return v, err
	}
	v.tasks = v.queue.Trials(v.subs)
	for i, t := range v.states {
		if t.Status != sweep.Running {
			continue
		}
		if task, gone, ours := v.queue.Gone(v.subs, t.Job); ours && gone {
			v.states[i] = t.Dead(fmt.Sprintf("its task %s has ended: %s", t.Job, cmp.Or(task.State, "Slurm has forgotten it")))
		}
	}
	return v, nil
}

// unsubmitted returns the trials that may be made and for which there is no task in the queue. Tasks that make whatever
// is next, perTask trials on average, stand for the first ones.
func (v view) unsubmitted(p *sweep.Plan, perTask int) []int {
	left := slices.DeleteFunc(p.Left(v.states), func(n int) bool { _, ok := v.tasks[n]; return ok })
	return left[min(len(left), perTask*v.queue.Free(v.subs)):]
}

// show prints what Slurm says, after the trials.
func (v view) show(s *Streams, f *sweep.Folder) {
	switch {
	case len(v.subs) == 0:
		return
	case v.unknown != nil:
		fmt.Fprintf(s.Out, "Slurm: not known, all of this is from the folder alone: %s\n", inOneLine(v.unknown))
		return
	}
	counts := map[string]int{}
	for _, sub := range v.subs {
		for _, j := range sub.Arrays {
			for task := range j.Tasks {
				if t, ok := v.queue.Task(j, task); ok && !t.Ended() {
					what := strings.ToLower(t.State)
					if t.Reason != "None" && t.Reason != "" {
						what += " (" + t.Reason + ")"
					}
					counts[what]++
				}
			}
		}
	}
	var parts []string
	for what, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		parts = []string{"no task is in the queue"}
	}
	fmt.Fprintf(s.Out, "Slurm: %s\n", strings.Join(parts, ", "))
	if n := len(v.unsubmitted(f.Plan, 1)); n > 0 {
		fmt.Fprintf(s.Out, "%d trials are left and in no task; submit them with: %s --slurm\n", n,
			sweepCommand("run", f.Dir))
	}
}

// json prints v with the plan of f.
func (v view) json(s *Streams, f *sweep.Folder) error {
	type trial struct {
		sweep.State
		Slurm *slurm.State `json:"slurm,omitempty"` // its task, while that is in the queue
	}
	trials := make([]trial, len(v.states))
	for i, t := range v.states {
		trials[i].State = t
		if task, ok := v.tasks[t.N]; ok {
			trials[i].Slurm = &task
		}
	}
	out := struct {
		sweep.Study
		Trials  []trial `json:"trials"`
		Unknown string  `json:"slurm_unknown,omitempty"` // why Slurm could not be asked
	}{Study: f.Plan.Study, Trials: trials}
	if v.unknown != nil {
		out.Unknown = inOneLine(v.unknown)
	}
	return writeJSON(s.Out, out)
}

// leaveTask ends a task of Slurm that a signal has stopped: it goes back into the queue if it has trials left. It
// returns the exit code.
func (m *trialMaker) leaveTask(w workFlags, states []sweep.State, code int) (int, error) {
	left := slices.DeleteFunc(m.folder.Plan.Left(states), func(n int) bool { return !w.names(n) })
	task, ok := slurm.Here()
	switch {
	case len(left) == 0: // it had ended when the signal came
		return 0, nil
	case !ok || slurm.Cancelled(m.folder.Dir, w.submission):
		return code, nil
	}
	again, err := task.Leave(context.Background(), code == exitUser, m.moved)
	if err != nil {
		return code, &ExitError{code, err}
	}
	if again {
		fmt.Fprintf(m.s.Err, "task %s is in the queue again and will go on\n", task.ID)
	}
	return code, nil
}

func newSweepCancelCmd(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel DIR",
		Short: "Cancel the tasks of a sweep on a cluster",
		Long: `Cancel the jobs of Slurm that were submitted for the sweep in the folder DIR, and no others. The folder is
marked first, so that a task that begins does nothing. Tasks that run save their state: submitted again, their trials go
on. Processes that make trials without Slurm are listed; end them where they run.`,
		Example: "  dla sweep cancel sweeps/lr",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := sweep.Open(args[0])
			if err != nil {
				return err
			}
			subs, err := slurm.Submissions(f.Dir)
			if err != nil {
				return err
			}
			ids, err := slurm.Cancel(cmd.Context(), f.Dir)
			if err != nil {
				return err
			}
			switch {
			case len(subs) == 0:
				fmt.Fprintf(s.Out, "%s was never submitted to Slurm\n", f.Dir)
			case len(ids) == 0:
				fmt.Fprintln(s.Out, "no job is in the queue")
			default:
				fmt.Fprintf(s.Out, "cancelled: %s\n", strings.Join(ids, " "))
			}
			states, err := f.Look()
			if err != nil {
				return err
			}
			for _, t := range states {
				if t.Status == sweep.Running && t.Job == "" {
					fmt.Fprintf(s.Out, "trial %d is being made by process %d on %s, which is no job\n", t.N, t.PID, t.Host)
				}
			}
			return nil
		},
	}
}

func newSweepLogsCmd(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "logs DIR [TRIAL]",
		Short: "Show what the tasks of a sweep on a cluster have printed",
		Long: `Show the logs of the tasks of Slurm that have made the trial TRIAL of the sweep in the folder DIR, oldest
first, or without TRIAL list the logs there are. A task that was requeued appends to its log. The course of a training
is in the trial's run: ` + "`dla runs show`" + `.`,
		Example: "  dla sweep logs sweeps/lr\n  dla sweep logs sweeps/lr 7",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := sweep.Open(args[0])
			if err != nil {
				return err
			}
			logs, err := slurm.Logs(f.Dir)
			if err != nil {
				return err
			}
			if len(logs) == 0 {
				return fmt.Errorf("%s has no logs: no task of Slurm has begun", f.Dir)
			}
			if len(args) == 1 {
				for _, l := range logs {
					fmt.Fprintf(s.Out, "%s  %s: %s\n", l.Path, cmp.Or(l.Task, "a job"), describe(l.Trials))
				}
				return nil
			}
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return usageError(fmt.Errorf("%q is no number of a trial", args[1]))
			}
			if _, err := f.Plan.Trial(n); err != nil {
				return usageError(err)
			}
			return showLogs(s, f, logs, n)
		},
	}
}

// describe describes the trials of a task.
func describe(trials []int) string {
	switch {
	case trials == nil:
		return "whatever trial was next"
	case len(trials) == 0:
		return "tables and figures"
	case len(trials) == 1:
		return fmt.Sprintf("trial %d", trials[0])
	}
	return "trials " + strings.Trim(strings.ReplaceAll(fmt.Sprint(trials), " ", ", "), "[]")
}

// showLogs prints the logs of trial n: of tasks whose trial it is, and of the one that made it last.
func showLogs(s *Streams, f *sweep.Folder, logs []slurm.Log, n int) error {
	states, err := f.Look()
	if err != nil {
		return err
	}
	shown := false
	for _, l := range logs {
		if !slices.Contains(l.Trials, n) && (l.Trials != nil || l.Task != states[n-1].Job) {
			continue
		}
		shown = true
		fmt.Fprintf(s.Out, "== %s\n", l.Path)
		file, _, err := plainfile.Open(l.Path)
		if err != nil {
			return err
		}
		_, err = io.Copy(s.Out, file)
		file.Close() // read only
		if err != nil {
			return err
		}
	}
	if !shown {
		return fmt.Errorf("trial %d has no log: no task of Slurm has made it; see its run with `%s`", n,
			run.Command(f.Dir, "runs", "show", sweep.RunID(n)))
	}
	return nil
}
