package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/table"
	"dla/internal/train"
)

// study holds the runs of one experiment's command.
type study struct {
	line  string      // the resolved settings in a line
	small string      // the settings that --fast-dev-run changed
	tasks []labs.Task // the first without Reuse is a run of the experiment itself
	items string      // images or sentences
	after func(all []labs.Outcome) error
}

// tasksOf returns the runs of the settings.
func tasksOf[C any](all []C) []labs.Task {
	var tasks []labs.Task
	for _, c := range all {
		tasks = append(tasks, labs.Task{Settings: c})
	}
	return tasks
}

// run makes the runs of st and shows their results, or with --dry-run their cost. Every experiment's command calls it.
func (o trainingFlags) run(cmd *cobra.Command, s *Streams, st study) (err error) {
	if s.planned != nil {
		s.planned(st.tasks, o.out)
		return nil
	}
	if w := sweepOf(cmd); w != nil {
		return w.begin(cmd, s, o, st)
	}
	if o.dryRun {
		return o.plan(s, st)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	if st.items != "" {
		x.progress.items = st.items
	}
	if o.fastDevRun {
		fmt.Fprintln(s.Err, st.small)
	}
	fmt.Fprintln(s.Err, st.line)
	n := len(st.tasks)
	x.progress.rest.start(kindsOf(st.tasks), time.Now())
	all, err := labs.Study(x.ctx, st.tasks, x.opt, func(i int, t labs.Outcome) {
		x.progress.Ended(t.Reused)
		if n > 1 && t.Done() {
			left := ""
			if i+1 < n {
				left = x.progress.leftText("; left: ")
			}
			fmt.Fprintf(s.Err, "[%d/%d] %s%s\n", i+1, n, reached(t), left)
		}
	})
	x.progress.Close()
	if err != nil {
		if len(all) > 0 {
			fmt.Fprintf(s.Err, "%d of %d runs are finished; repeat the command with --resume to continue\n", len(all),
				n)
		}
		return err
	}
	if last := all[len(all)-1]; !last.Done() {
		return stopped(s, last, x.code(), o.out, n > 1)
	}
	if o.format != "" && !o.json {
		if err := writeResultTables(s, all, o.out, o.format); err != nil {
			return err
		}
		rest := *s
		rest.Out = s.Err
		s = &rest
	}
	if err := closing(s, all, o.out, o.json); err != nil {
		return err
	}
	if st.after != nil {
		return st.after(all)
	}
	return nil
}

// writeResultTables prints the results of finished runs as `dla runs table` does.
func writeResultTables(s *Streams, all []labs.Outcome, root string, format formatName) error {
	var recs []run.Record
	for _, t := range all {
		rec, err := run.Find(root, t.ID)
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	ts, err := report.Results(recs)
	if err != nil {
		return err
	}
	return table.Write(s.Out, string(format), ts)
}

// reached summarises the result of a finished run of a study in one line.
func reached(t labs.Outcome) string {
	note := ""
	if t.Reused {
		note = ", finished before"
	}
	return fmt.Sprintf("%s seed %d: %s%s", t.Variant, t.Seed, t.Result.Reached(), note)
}

// stopped prints how to continue a run that was interrupted or ran out of time.
func stopped(s *Streams, t labs.Outcome, code int, root string, study bool) error {
	if t.ID == "" { // stopped before the run was made
		fmt.Fprintf(s.Err, "\nstopped (%s). Continue with the same command and --resume\n", t.Reason)
	} else {
		fmt.Fprintf(s.Err, "\nstopped (%s); the state is saved. Continue with: %s\n", t.Reason,
			run.Command(root, "runs", "resume", t.ID))
		if study {
			fmt.Fprintln(s.Err, "or with the whole study: the same command with --resume")
		}
	}
	if t.Reason == train.OutOfTime {
		code = exitMaxTime
	}
	if code == 0 {
		code = 130
	}
	return &ExitError{Code: code}
}

// plan prints the settings of the experiment's first run and the cost of each run. It reads no data.
func (o trainingFlags) plan(s *Streams, st study) error {
	tasks := slices.Clone(st.tasks) // runs of the experiment itself first
	slices.SortStableFunc(tasks, func(a, b labs.Task) int {
		switch {
		case a.Reuse == b.Reuse:
			return 0
		case b.Reuse:
			return -1
		}
		return 1
	})
	plans, err := labs.PlanAll(tasks, labs.Options{Root: o.out, Say: func(string, ...any) {}})
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.Out, plans)
	}
	yaml, err := config.Marshal(plans[0].Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s\n%s\n", st.line, yaml)
	total := 0.0
	for _, p := range plans {
		total += p.Cost.Total()
		fmt.Fprintf(s.Out, "%-16s seed %-3d %s  about %s\n", p.Variant, p.Seed, p.Cost.Line(),
			roundSeconds(p.Cost.Total()))
	}
	if len(plans) > 1 {
		fmt.Fprintf(s.Out, "%d runs, about %s\n", len(plans), roundSeconds(total))
	}
	return nil
}

// resumeRun is `dla runs resume`: it continues one interrupted run to its end.
func resumeRun(cmd *cobra.Command, s *Streams, o trainingFlags, id string) (err error) {
	root := o.out
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	if rec, err := run.Find(root, id); err == nil { // else Resume reports the error
		x.progress.items = itemsOf(rec)
		if rec.Status == run.StatusFinished {
			labs.CompleteEvents(rec, x.opt)
			files, err := labs.CompleteFigures(rec)
			if err == nil && files != nil {
				fmt.Fprintf(s.Out, "run %s was finished without its figures; they are drawn now: %s\n", rec.ID,
					filepath.Join(rec.Dir, "figures"))
			}
			if err != nil || files != nil {
				return err
			}
		}
	}
	t, err := labs.Resume(x.ctx, id, x.opt)
	x.progress.Close()
	if err != nil {
		return err
	}
	if !t.Done() {
		return stopped(s, t, x.code(), root, false)
	}
	return closing(s, []labs.Outcome{t}, root, false)
}

// drawStudy draws the figures of a study's runs into the experiment's folder under root and prints the paths.
func drawStudy(s *Streams, all []labs.Outcome, recs []run.Record, root string) error {
	dir := filepath.Join(root, "figures", strings.ReplaceAll(ownRecord(recs).Experiment, "/", "-"))
	files, err := report.Figures(recs, dir)
	if err != nil {
		return err
	}
	if n := all[0].Result.Remark(); n != "" {
		fmt.Fprintf(s.Out, "NOTE: %s\n", n)
	}
	fmt.Fprintf(s.Out, "%d runs in %s, %d figure files in %s\n", len(all), root, len(files), dir)
	plot := []string{"plot", "--all"}
	if filepath.Clean(root) != run.DefaultRoot {
		plot = append(plot, "--runs", root)
	}
	next(s.Out, run.Command(root, "runs", "ls"), run.Command("", plot...))
	return nil
}

// ownRecord returns the first record of a study that belongs to the experiment itself, not to a teacher for example.
func ownRecord(recs []run.Record) run.Record {
	for _, r := range recs {
		if r.Experiment != labs.ResnetExperiment {
			return r
		}
	}
	return recs[0]
}
