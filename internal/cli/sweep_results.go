package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/sweep"
	"dla/internal/table"
)

// openSweep opens the sweep in dir and reads the state of its trials.
func openSweep(dir string) (*sweep.Folder, []sweep.State, error) {
	f, err := sweep.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	states, err := f.Look()
	return f, states, err
}

func newSweepStatusCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status DIR",
		Short: "Count the trials of a sweep: waiting, running, stopped, failed, trained",
		Long: `Show what has come of the trials of the sweep in the folder DIR, from its files. A trial whose process on this
machine is gone is stopped; one that another machine has claimed is running as long as nobody has taken it over. If
trials were submitted to Slurm, squeue is asked second: what is in the queue, why it waits, and whether a task that
claimed a trial has ended. A job that Slurm has forgotten changes nothing in what the folder says.`,
		Example: "  dla sweep status sweeps/lr\n  dla sweep status sweeps/lr --json | jq '.trials[] | select(.status == \"failed\")'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := sweep.Open(args[0])
			if err != nil {
				return err
			}
			v, err := lookAt(cmd.Context(), f)
			if err != nil {
				return err
			}
			if asJSON {
				return v.json(s, f)
			}
			if err := showStatus(s, f, v.states); err != nil {
				return err
			}
			v.show(s, f)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// showStatus prints the state of a sweep: counts, and what runs and has failed.
func showStatus(s *Streams, f *sweep.Folder, states []sweep.State) error {
	fmt.Fprintf(s.Out, "%s: %s\n%s\n", f.Dir, counted(f.Plan), summary(states))
	r := f.Plan.Results(states)
	if best := r.Winner(); best != nil {
		fmt.Fprintf(s.Out, "best so far: settings %d, %s\n", best.N, bestLine(r, *best))
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	const most = 20
	shown := 0
	for _, status := range []sweep.Status{sweep.Running, sweep.Failed} {
		for _, t := range states {
			if t.Status != status {
				continue
			}
			if shown++; shown > most {
				continue
			}
			by := fmt.Sprintf("process %d on %s", t.PID, t.Host)
			if t.Job != "" {
				by += ", task " + t.Job
			}
			fmt.Fprintf(w, "trial %d\t%s\t%s\tattempt %d, %s\t%s\n", t.N, t.Status, f.Plan.Line(t.Trial), t.Attempts, by,
				t.Detail)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if shown > most {
		fmt.Fprintf(s.Out, "and %d more; --json lists them all\n", shown-most)
	}
	return nil
}

// bestLine describes settings and their objective.
func bestLine(r *sweep.Results, b sweep.Settings) string {
	var parts []string
	for i, v := range r.Varied {
		parts = append(parts, v.Key+"="+b.Values[i])
	}
	return fmt.Sprintf("%s: %s %s, n = %d", strings.Join(parts, " "), r.Objective.Measure, r.Spread(b), b.Trained)
}

func newSweepResultsCmd(s *Streams) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:   "results DIR",
		Short: "Write and show the tables and figures of a sweep",
		Long: `Write into the folder DIR of a sweep what follows from its trials so far: trials.csv, a line a trial;
results.md, the best settings with their number of seeds and spread, how much each varied setting matters (Spearman's
rank correlation with the objective), and the cost of what early stopping left out; figures/parallel and
figures/scatter, as PNG and SVG.`,
		Example: "  dla sweep results sweeps/lr\n  dla sweep results sweeps/lr --json\n" +
			"  dla sweep results sweeps/lr --format latex",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, states, err := openSweep(args[0])
			if err != nil {
				return err
			}
			if o.asText() || o.asJSON() {
				return showResults(s, f, states, o.asJSON())
			}
			r, _, _, err := writeSweep(f, states)
			if err != nil {
				return err
			}
			return o.write(s.Out, r.Tables())
		},
	}
	o.add(cmd)
	cmd.Flags().Lookup("json").Usage = "print JSON"
	return cmd
}

// writeSweep writes the tables and figures of a sweep into its folder.
func writeSweep(f *sweep.Folder, states []sweep.State) (r *sweep.Results, files []string, warning string, err error) {
	r = f.Plan.Results(states)
	r.Outside = f.Outside(states)
	name := ""
	if i := slices.IndexFunc(states, func(t sweep.State) bool { return t.Run != "" }); i >= 0 {
		if rec, err := run.Examine(f.Dir, states[i].Run); err == nil && rec.Damage() == nil {
			if name = data.Title(rec.Env.Data.Name); rec.Env.Data.Synthetic {
				warning = report.SyntheticNote(rec.Env.Data.Name)
			}
		}
	}
	files, err = r.Write(f.Dir, name, warning)
	return r, files, warning, err
}

// showResults writes the tables and figures of a sweep into its folder and prints the tables.
func showResults(s *Streams, f *sweep.Folder, states []sweep.State, asJSON bool) error {
	r, files, warning, err := writeSweep(f, states)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.Out, struct {
			Settings   []sweep.Settings   `json:"settings"`
			Importance []sweep.Importance `json:"importance"`
			Cost       sweep.Cost         `json:"cost"`
			Files      []string           `json:"files"`
		}{r.Settings, r.Importance, r.Cost, files})
	}
	if warning != "" {
		fmt.Fprintf(s.Out, "NOTE: %s\n", warning)
	}
	fmt.Fprintf(s.Out, "%s in %s\n\n", summary(states), f.Dir)
	if err := table.Write(s.Out, table.Text, r.Tables()); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s\n", strings.Join(files, " "))
	best := r.Winner()
	switch {
	case summaryOfLeft(states) != "":
		next(s.Out, sweepCommand("run", f.Dir))
	case best != nil && len(best.Test) < best.Trained:
		fmt.Fprintf(s.Out, "the best is settings %d, %s\n", best.N, bestLine(r, *best))
		next(s.Out, sweepCommand("test", f.Dir))
	}
	return nil
}

func newSweepTestCmd(s *Streams) *cobra.Command {
	var o trainingFlags
	var again bool
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "Evaluate the winner of a sweep on the test set",
		Long: `Evaluate the best settings of the sweep in the folder DIR, all of their seeds, once on the test set. Until then
no trial has been. The winner's runs are finished by it: their records are those of ordinary runs. A sweep that has
trials left to make is refused. If it went on after a test and has another winner now, that is refused as well, since
the best of two by test is no fair estimate any more; --again evaluates it, and the tables say so.`,
		Example: "  dla sweep test sweeps/lr",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			o.out = args[0]
			o.setThreads()
			return testWinner(cmd, s, o, again)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	f.BoolVar(&again, "again", false, "evaluate a second winner")
	addOtherKernels(cmd, &o.kernels)
	addDataAt(cmd, &o.dataAt)
	return cmd
}

// testWinner evaluates the winner of the sweep in o.out on the test set.
func testWinner(cmd *cobra.Command, s *Streams, o trainingFlags, again bool) error {
	f, states, err := openSweep(o.out)
	if err != nil {
		return err
	}
	if left := summaryOfLeft(states); left != "" {
		return fmt.Errorf("the winner of %s is not known yet: %s; make them first with `%s`", f.Dir, left,
			sweepCommand("run", f.Dir))
	}
	r := f.Plan.Results(states)
	best := r.Winner()
	if best == nil {
		return fmt.Errorf("no trial of %s was trained to its end, so there is no winner", f.Dir)
	}
	if i := slices.IndexFunc(r.Tested(), func(t sweep.Settings) bool { return t.N != best.N }); i >= 0 && !again {
		return fmt.Errorf("settings %d of %s were evaluated on the test set already, and the winner is now settings %d; "+
			"add --again to evaluate these as well", r.Tested()[i].N, f.Dir, best.N)
	}
	fmt.Fprintf(s.Err, "the winner: settings %d, %s\n", best.N, bestLine(r, *best))
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	m := &trialMaker{s: s, session: x, folder: f}
	w := m.worker(0)
	w.Ended = func(t sweep.State, err error) {
		x.progress.Flush()
		what := string(t.Status)
		switch {
		case err != nil:
			what += ": " + inOneLine(err)
		case t.Test != nil:
			what = t.Test.Reached
		}
		fmt.Fprintf(s.Err, "trial %d  %s: %s\n", t.N, f.Plan.Line(t.Trial), what)
	}
	for _, t := range states {
		if t.Settings != best.N || !t.Done() {
			continue
		}
		var at sweep.State
		if at, err = w.Test(x.ctx, t.N); err != nil || at.Status != sweep.Tested {
			break
		}
	}
	if err = errors.Join(err, x.close()); x.code() != 0 {
		fmt.Fprintf(s.Err, "\nstopped; continue with: %s\n", sweepCommand("test", f.Dir))
		return &ExitError{Code: x.code()}
	}
	if err != nil {
		return err
	}
	if states, err = f.Look(); err != nil {
		return err
	}
	return showResults(s, f, states, false)
}
