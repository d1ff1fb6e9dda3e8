package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/run"
	"dla/internal/sweep"
)

// sweepLong describes how a sweep is kept and made.
const sweepLong = `Make many trainings of an experiment, with its own flags, and compare them. What is varied:

  --grid KEY=a,b,c                  every value; several grids: every combination
  --random KEY=log:1e-4..1e-1       drawn --trials times, uniformly in the logarithm; also lin:a..b, int:a..b, or a,b,c
  --seeds N                         every settings from N seeds, which are grouped: settings are compared by their mean

The folder --out holds all of it: the plan, with the settings of every trial, numbered once and for ever (plan.jsonl);
who makes which (claims/); an ordinary run for each trial (` + "`dla runs ls --out DIR`" + `); and tables and figures made
of these. There is no server. The same command again, or ` + "`dla sweep run DIR`" + `, in as many processes as you like,
on one machine or on several that share the folder, makes what is missing, goes on with what was stopped, bit for bit,
and tries what failed again, --retries times. What is done is never made again. A command with more trials extends the
plan; one that lacks some is refused, unless --extend adds its trials to the others. A file says the same as the flags:
configs/sweep/mlp.yaml.

Trials are compared by validation: the accuracy, or for sentences and autoencoders the loss, of the epoch that
validation selects (--objective). No trial is evaluated on the test set; ` + "`dla sweep test DIR`" + ` does that for the
winner alone.

--stop asha ends trainings early by asynchronous successive halving (Li et al. 2020): of the settings that have come to
a rung (--min-epochs, then --eta times as many, …), one in --eta goes on, from its checkpoint. --stop median ends a
training that is worse than the median of the others after as many epochs.

` + slurmLong

func newSweepCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Many trainings of an experiment in one folder: grids, random search, early stopping, many processes",
		Long:  sweepLong,
		Example: `  dla sweep lab1 resnet --depth 1 --res --grid train.lr=0.05,0.1 --seeds 2 --out sweeps/lr
  dla sweep lab1 resnet --depth 2 --random train.lr=log:1e-3..1 --random train.batch_size=64,128,256 --trials 20 \
      --stop asha --jobs 2 --out sweeps/search
  dla sweep --file configs/sweep/mlp.yaml --out sweeps/mlp
  dla sweep lab3 baseline --grid head.hidden=128,512 --grid head.dropout=0.3,0.7 --out sweeps/head
  dla sweep run sweeps/search                        # go on, or help on another machine
  dla sweep run sweeps/search --slurm --time 2:00:00 # or have the cluster make what is left
  dla sweep status sweeps/search
  dla sweep results sweeps/search
  dla sweep test sweeps/search                       # evaluate the winner on the test set`,
		Args: noArgs,
	}
	addSweepFile(cmd)
	lab1 := &cobra.Command{Use: "lab1", Short: "Sweeps of lab1 resnet and distill"}
	lab1.AddCommand(sweepOver(newResnetCmd(s)), sweepOver(newDistillCmd(s)))
	lab3 := &cobra.Command{Use: "lab3", Short: "Sweeps of lab3 baseline and finetune"}
	lab3.AddCommand(sweepOver(newBaselineCmd(s)), sweepOver(newFinetuneCmd(s)))
	lab4 := &cobra.Command{Use: "lab4", Short: "Sweeps of lab4 autoencoder and robust; the others train nothing"}
	lab4.AddCommand(sweepOver(newAutoencoderCmd(s)), sweepOver(newRobustCmd(s)))
	for _, lab := range []*cobra.Command{lab1, lab3, lab4} {
		lab.Args = noArgs
		lab.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.AddCommand(lab)
	}
	cmd.AddCommand(newSweepRunCmd(s), newSweepStatusCmd(s), newSweepResultsCmd(s), newSweepTestCmd(s),
		newSweepCancelCmd(s), newSweepLogsCmd(s))
	return cmd
}

// sweepFlags holds the flags of a sweep beside those of its experiment.
type sweepFlags struct {
	space     sweep.Space
	objective string
	stop      sweep.Stop
	retries   int
	jobs      int
	extend    bool
	cluster   slurmFlags
}

// axisFlag is the flag --grid or --random.
type axisFlag struct {
	space *sweep.Space
	parse func(string) (sweep.Axis, error)
	given *[]string
}

// String returns the axes that were given.
func (a axisFlag) String() string {
	if a.given == nil { // pflag asks a zero value for its text
		return ""
	}
	return strings.Join(*a.given, " ")
}

// Set adds an axis.
func (a axisFlag) Set(text string) error {
	axis, err := a.parse(text)
	if err == nil {
		a.space.Axes = append(a.space.Axes, axis)
		*a.given = append(*a.given, text)
	}
	return err
}

// Type names the flag's values in help.
func (a axisFlag) Type() string { return "KEY=VALUES" }

// spaceOf returns what a sweep's flags vary; nothing for another command's flags.
func spaceOf(f *pflag.FlagSet) sweep.Space {
	if g := f.Lookup("grid"); g != nil {
		if a, ok := g.Value.(axisFlag); ok {
			return *a.space
		}
	}
	return sweep.Space{}
}

type sweepKey struct{}

// sweepOf returns the flags of the sweep that cmd is; nil for another command.
func sweepOf(cmd *cobra.Command) *sweepFlags {
	w, _ := cmd.Context().Value(sweepKey{}).(*sweepFlags)
	return w
}

// sweepOver makes the command of an experiment one of a sweep over it.
func sweepOver(cmd *cobra.Command) *cobra.Command {
	w := &sweepFlags{}
	f := cmd.Flags()
	grid := axisFlag{&w.space, sweep.Grid, &[]string{}}
	usage := "values of a setting to try, such as train.lr=0.05,0.1; repeatable: every combination"
	if own := f.Lookup("grid"); own != nil { // lab3 finetune's, which its other flags can say
		own.Value, own.NoOptDefVal, own.DefValue, own.Usage = grid, "", "", usage
	} else {
		f.Var(grid, "grid", usage)
	}
	f.Var(axisFlag{&w.space, sweep.Random, &[]string{}}, "random",
		"range of a setting to draw from, --trials times: log:1e-4..1e-1, lin:a..b, int:a..b, or a,b,c; repeatable")
	f.IntVar(&w.space.Trials, "trials", 0, "draws of --random; more later change none")
	f.Uint64Var(&w.space.Seed, "search-seed", 0, "seed of the draws")
	f.StringVar(&w.objective, "objective", "", "validation measure to compare by, of the epoch that is selected: "+
		strings.Join(sweep.Measures, " or ")+"; default: what the experiment selects its epoch by")
	f.StringVar(&w.stop.Rule, "stop", "", "stop trials early: "+strings.Join(sweep.Rules, " or "))
	f.IntVar(&w.stop.Eta, "eta", 3, "with --stop asha: one in so many settings is promoted, to so many times the epochs")
	f.IntVar(&w.stop.Min, "min-epochs", 1, "with --stop: epochs before a trial may be stopped")
	f.IntVar(&w.retries, "retries", 2, "attempts at a trial after a failed one")
	f.IntVar(&w.jobs, "jobs", 1, "processes to make trials with here; the threads are divided among them")
	w.cluster.add(cmd)
	f.BoolVar(&w.extend, "extend", false, "add the trials of this command to a plan that has others")
	f.Lookup("out").Usage = "folder of the sweep (required)"
	f.Lookup("out").DefValue = ""
	f.Lookup("dry-run").Usage = "print the trials and what they will cost, and stop"
	f.Lookup("json").Usage = "with --dry-run: print JSON"
	for _, name := range []string{"resume", "profile", "keep-checkpoints", "merge", "tensorboard", "format"} {
		if own := f.Lookup(name); own != nil {
			own.Hidden = true
		}
	}
	completeWords(cmd, "objective", sweep.Measures)
	completeWords(cmd, "stop", sweep.Rules)
	cmd.Short = "Sweep over: " + cmd.Short
	cmd.Long = "A sweep over `dla " + labOf(cmd) + "`, whose --help describes its flags; `dla sweep --help` describes " +
		"sweeps."
	cmd.Example = "  dla sweep " + labOf(cmd) + " --grid train.lr=0.01,0.1 --seeds 2 --out sweeps/lr\n  dla sweep " +
		labOf(cmd) + " --random train.lr=log:1e-4..1e-1 --trials 20 --stop asha --out sweeps/search"
	own := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range []string{"profile", "keep-checkpoints", "merge", "tensorboard", "format"} {
			if f.Changed(name) {
				return usageError(fmt.Errorf("--%s is of a single training, not of a sweep", name))
			}
		}
		if !f.Changed("out") {
			return usageError(errors.New("--out DIR is missing: a sweep is a folder of its own"))
		}
		cmd.SetContext(context.WithValue(cmd.Context(), sweepKey{}, w))
		return own(cmd, args)
	}
	return cmd
}

// labOf returns the experiment's command line: lab1 resnet.
func labOf(cmd *cobra.Command) string {
	for lab, names := range map[string][]string{"lab1": {"resnet", "distill"}, "lab3": {"baseline", "finetune"}} {
		for _, n := range names {
			if n == cmd.Name() {
				return lab + " " + n
			}
		}
	}
	return "lab4 " + cmd.Name()
}

// begin plans the trials of st, or finds them planned, and makes them.
func (w *sweepFlags) begin(cmd *cobra.Command, s *Streams, o trainingFlags, st study) error {
	var settings []any
	var tasks []labs.Task
	for _, t := range st.tasks {
		if !t.Reuse { // else a run of another experiment, beside this one's
			settings, tasks = append(settings, t.Settings), append(tasks, t)
		}
	}
	plan, err := w.plan(settings)
	if err != nil {
		return usageError(err)
	}
	if err := w.cluster.check(cmd); err != nil {
		return err
	}
	if o.dryRun && w.cluster.on {
		return w.cluster.dryRun(cmd, s, o, plan)
	}
	if o.dryRun {
		return w.show(s, o, plan, tasks)
	}
	if err := labs.Check(settings[0], labs.Options{Root: o.out, Say: func(string, ...any) {}}); err != nil {
		return err
	}
	if o.fastDevRun {
		fmt.Fprintln(s.Err, st.small)
	}
	if err := w.keep(s, o.out, plan, settings); err != nil {
		return err
	}
	if w.cluster.on {
		return w.cluster.run(cmd, s, o, workFlags{}, false)
	}
	return makeTrials(cmd, s, o, workFlags{jobs: w.jobs})
}

// plan returns the plan of the settings.
func (w *sweepFlags) plan(settings []any) (*sweep.Plan, error) {
	if w.jobs < 1 || w.retries < 0 {
		return nil, fmt.Errorf("--jobs %d --retries %d: want at least 1 job and 0 retries", w.jobs, w.retries)
	}
	st := sweep.Study{Experiment: labs.ExperimentOf(settings[0]), Command: os.Args[1:], Stop: w.stop, Retries: w.retries}
	byLoss := labs.SelectsByLoss(st.Experiment)
	st.Objective = sweep.Objective{Measure: w.objective, ByLoss: byLoss}
	switch {
	case w.objective == "" && byLoss:
		st.Objective.Measure = sweep.ValLoss
	case w.objective == "":
		st.Objective.Measure = sweep.ValAccuracy
	}
	for _, c := range settings {
		n, err := config.Get(c, "train.epochs")
		if err != nil {
			return nil, err
		}
		if w.stop.Rule != "" && st.Epochs != 0 && st.Epochs != n.(int) {
			return nil, fmt.Errorf("--stop %s compares trials after as many epochs, and train.epochs varies (%d, %d)",
				w.stop.Rule, st.Epochs, n)
		}
		st.Epochs = max(st.Epochs, n.(int))
		if val, err := config.Get(c, "data.val"); err == nil && val == 0 {
			return nil, errors.New("data.val is 0: without validation images there is nothing to compare trials by; hold " +
				"some out, such as --set data.val=5000")
		}
	}
	switch w.stop.Rule {
	case "":
		st.Stop = sweep.Stop{}
	case sweep.Median:
		st.Stop.Eta = 0
	}
	if err := st.Check(); err != nil {
		return nil, err
	}
	return sweep.New(st, settings)
}

// keep writes plan into the folder dir. A plan that is there is extended by it, if need be.
func (w *sweepFlags) keep(s *Streams, dir string, plan *sweep.Plan, settings []any) error {
	if !sweep.Is(dir) {
		all, err := run.List(dir)
		if err != nil {
			return err
		}
		if !sweep.Is(dir) { // or another process has planned, and begun, in the meantime
			if len(all) > 0 {
				return fmt.Errorf("%s holds runs and no sweep; choose another folder with --out", dir)
			}
			fmt.Fprintf(s.Err, "planned: %s in %s\n", counted(plan), dir)
			return plan.Write(dir)
		}
	}
	old, err := sweep.Read(dir)
	if err != nil {
		return err
	}
	defaults, err := labs.NewSettings(old.Experiment)
	if err != nil {
		return err
	}
	c, err := old.Extend(plan.Study, settings, defaults, w.extend)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if c.Added == 0 {
		fmt.Fprintf(s.Err, "planned before: %s in %s\n", counted(old), dir)
		if c.Retries {
			return old.Write(dir)
		}
		return nil
	}
	n := len(old.Trials)
	fmt.Fprintf(s.Err, "the plan in %s is extended by the trials %d to %d: %s\n", dir, n-c.Added+1, n, counted(old))
	return old.Write(dir)
}

// counted counts the trials of a plan.
func counted(p *sweep.Plan) string {
	n, groups := len(p.Trials), 0
	for _, t := range p.Trials {
		groups = max(groups, t.Settings)
	}
	line := fmt.Sprintf("%d trials of %d settings", n, groups)
	var keys []string
	for _, v := range p.Varied {
		keys = append(keys, v.Key)
	}
	if len(keys) > 0 {
		line += " (" + strings.Join(keys, ", ") + ")"
	}
	return fmt.Sprintf("%s of %s", line, p.Experiment)
}

// show prints the trials of plan and their cost. It reads no data.
func (w *sweepFlags) show(s *Streams, o trainingFlags, plan *sweep.Plan, tasks []labs.Task) error {
	plans, err := labs.PlanAll(tasks, labs.Options{Root: o.out, Say: func(string, ...any) {}})
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.Out, struct {
			sweep.Study
			Trials []sweep.Trial `json:"trials"`
		}{plan.Study, plan.Trials})
	}
	fmt.Fprintf(s.Out, "%s\n", plan.Base)
	total := 0.0
	for i, t := range plan.Trials {
		total += plans[i].Cost.Total()
		fmt.Fprintf(s.Out, "trial %-5d %s  about %s\n", t.N, plan.Line(t), roundSeconds(plans[i].Cost.Total()))
	}
	fmt.Fprintf(s.Out, "%s, %d epochs each, compared by %s, early stopping: %s; about %s in one process\n", counted(plan),
		plan.Epochs, plan.Objective.Measure, plan.Stop, roundSeconds(total))
	return nil
}
