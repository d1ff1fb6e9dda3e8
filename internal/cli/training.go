package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
)

// trainingFlags are those that every command that trains has.
type trainingFlags struct {
	experimentFlags
	seeds   int
	data    string
	epochs  int
	maxTime time.Duration
	profile bool
	keep    bool
}

// add gives cmd the flags, with the defaults of def.
func (o *trainingFlags) add(cmd *cobra.Command, lab string, def config.Resnet) {
	o.experimentFlags.add(cmd, lab, def.Seed)
	f := cmd.Flags()
	f.Lookup("json").Usage = "with --dry-run: print JSON"
	f.IntVar(&o.seeds, "seeds", 1, "train each variant from this many seeds: seed, seed+1, …")
	f.StringVar(&o.data, "data", def.Data.Name, "data set: mnist, cifar10, synthetic-digits, synthetic-shapes; default cifar10 for all models but mlp")
	f.IntVar(&o.epochs, "epochs", def.Train.Epochs, "passes over the training set")
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this long, as 90s or 2h; exit code 3")
	addKeepCheckpoints(cmd, &o.keep)
	f.BoolVar(&o.profile, "profile", false, "time every op of the training steps and print what each took; write OUT/cpu.pprof, for go tool pprof")
	completeWords(cmd, "data", data.Names())
}

// addKeepCheckpoints gives cmd the flag that keeps what finished trainings need no more.
func addKeepCheckpoints(cmd *cobra.Command, keep *bool) {
	cmd.Flags().BoolVar(keep, "keep-checkpoints", false,
		"keep the checkpoints of finished runs, weights and optimiser; else the best weights alone stay")
}

// check names a flag that cannot be.
func (o trainingFlags) check() error {
	if o.seeds < 1 {
		return usageError(fmt.Errorf("--seeds %d: want at least 1", o.seeds))
	}
	return o.experimentFlags.check()
}

// eachSeed is the settings c from each of the seeds asked for, with the assignments of --set made and checked;
// seed is where settings have their seed. --set seed= leaves one.
func eachSeed[C any](o trainingFlags, c C, seed func(*C) *uint64, check func(C) error) ([]C, error) {
	var all distinct[C]
	for i := range o.seeds {
		one := c
		*seed(&one) += uint64(i)
		if err := o.assign(&one); err != nil {
			return nil, err
		}
		if err := check(one); err != nil {
			return nil, err
		}
		all.add(one)
	}
	return all.list, nil
}

// distinct are settings, each once, in the order in which they came.
type distinct[C any] struct {
	list []C
	seen map[string]bool // as they are written in Go, which is many times faster than YAML and loses nothing
}

// add appends those of more that are not there yet.
func (d *distinct[C]) add(more ...C) {
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	for _, c := range more {
		if key := fmt.Sprintf("%#v", c); !d.seen[key] {
			d.seen[key] = true
			d.list = append(d.list, c)
		}
	}
}

// begin starts a training's session. close ends it.
func (o trainingFlags) begin(cmd *cobra.Command, s *Streams) (*session, error) {
	stopProfile := func() error { return nil }
	if o.profile {
		file := filepath.Join(o.out, "cpu.pprof")
		if err := os.MkdirAll(o.out, 0o777); err != nil {
			return nil, fmt.Errorf("--profile: %w; choose another folder with --out", err)
		}
		stop, err := startCPUProfile(file)
		if err != nil {
			return nil, fmt.Errorf("--profile: %w", err)
		}
		stopProfile = func() error {
			err := stop()
			if err == nil {
				fmt.Fprintf(s.Err, "\nCPU profile: %s\n", run.Quote("go", "tool", "pprof", "-top", file))
			}
			return err
		}
	}
	x := o.experimentFlags.begin(cmd, s)
	x.opt.MaxTime, x.opt.KeepCheckpoints = o.maxTime, o.keep
	if o.profile {
		x.opt.Profile = func(variant string, costs []engine.OpCost) {
			x.progress.Flush()
			fmt.Fprintf(s.Err, "\n%s, training steps:\n%s", variant, costTable(costs))
		}
	}
	end := x.close
	x.close = func() error { return errors.Join(end(), stopProfile()) }
	return x, nil
}

// resumeRun is `dla runs resume`: it continues one interrupted run to its end.
func resumeRun(cmd *cobra.Command, s *Streams, o trainingFlags, id string) (err error) {
	root := o.out
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	if rec, err := run.Find(root, id); err == nil { // else it is what Resume says
		x.progress.items = itemsOf(rec.Env.Data.Name)
		if rec.Status == run.StatusFinished {
			files, err := labs.CompleteFigures(rec)
			if err == nil && files != nil {
				fmt.Fprintf(s.Out, "run %s was finished but for its figures, which are drawn now: %s\n", rec.ID,
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
	if t.Result.Robust != nil {
		return closingRobust(s, []labs.Trained{t}, root)
	}
	closing(s, t, root)
	return nil
}

// reached says in a line what a finished run of a study reached.
func reached(t labs.Trained) string {
	note := ""
	if t.Reused {
		note = ", finished before"
	}
	if t.Autoencoder != nil {
		return fmt.Sprintf("%s seed %d: test MSE %.6f%s", t.Variant, t.Config.Seed, t.Autoencoder.Test.MSE, note)
	}
	return fmt.Sprintf("%s seed %d: test accuracy %.2f %%%s", t.Variant, t.Config.Seed, 100*t.Result.Test.Accuracy, note)
}

// closing says what a finished run reached, where its record is and what to type next.
func closing(s *Streams, t labs.Trained, root string) {
	w := s.Out
	fmt.Fprintln(w)
	if note := t.Note(); note != "" {
		fmt.Fprintf(w, "  NOTE            %s\n", note)
	}
	if t.Config.Data.Limit > 0 {
		fmt.Fprintf(w, "  NOTE            trained and tested on %d %s of each split only\n", t.Config.Data.Limit, itemsOf(t.Config.Data.Name))
	}
	seconds := t.Result.WallSeconds
	if t.Autoencoder != nil {
		seconds = t.Autoencoder.WallSeconds
		closingAutoencoder(s, t)
	} else {
		r := t.Result
		fmt.Fprintf(w, "  test accuracy   %.2f %%  (95 %% interval %.2f-%.2f, n = %d)\n", 100*r.Test.Accuracy, 100*r.Test.CI95[0], 100*r.Test.CI95[1], r.Test.N)
		what, selected := "", "which"
		if r.Finetuned != nil {
			selected = "whose loss"
		}
		if t.Result.Robust != nil {
			what = ", the mean of images as they are and attacked,"
		}
		fmt.Fprintf(w, "  validation      %.2f %%%s at epoch %d of %d, %s selected the weights; %.2f %% at the last\n", 100*r.Val.Accuracy, what, r.BestEpoch, r.Epochs, selected, 100*r.LastVal.Accuracy)
		fmt.Fprintf(w, "  network         %s, %d parameters", t.Variant, r.Params)
		if r.Finetuned != nil {
			fmt.Fprintf(w, " trained of %d", r.Finetuned.Total)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "  wall time       %s\n", time.Duration(seconds*float64(time.Second)).Round(100*time.Millisecond))
	fmt.Fprintf(w, "  record          %s\n", t.Dir)
	if len(t.Figures) > 0 {
		fmt.Fprintf(w, "  figures         %s\n", filepath.Join(t.Dir, "figures"))
	}
	next(w, run.Command(root, "runs", "show", t.ID), run.Command(root, "runs", "compare", "ID", "ID"))
}

// printChecks prints the self-checks of a run, which all passed: one that fails is an error.
func printChecks(w io.Writer, checks []labs.Check) {
	fmt.Fprintln(w, "self-checks, all passed:")
	for _, c := range checks {
		fmt.Fprintf(w, "  %s: %s\n", c.What, c.Found)
	}
}

// next says what may be typed next, as run.Command writes it.
func next(w io.Writer, commands ...string) {
	fmt.Fprintf(w, "\nnext: %s\n", strings.Join(commands, "\n      "))
}

// stopped says how to go on with a run that was interrupted or ran out of time.
func stopped(s *Streams, t labs.Trained, code int, root string, study bool) error {
	if t.ID == "" { // between the runs of a study
		fmt.Fprintf(s.Err, "\nstopped (%s). Go on with the same command and --resume\n", t.Reason)
	} else {
		fmt.Fprintf(s.Err, "\nstopped (%s); the state is saved. Go on with: %s\n", t.Reason,
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

// plan is a run that --dry-run tells of.
type plan struct {
	Variant string    `json:"variant"`
	Seed    uint64    `json:"seed"`
	Config  any       `json:"config"`
	Cost    labs.Cost `json:"cost"`
	cost    func() (labs.Cost, error)
}

// planned is the plan of a classifier's training, within an experiment's settings.
func planned(variant string, seed uint64, settings any, c config.Resnet) plan {
	return plan{Variant: variant, Seed: seed, Config: settings, cost: func() (labs.Cost, error) { return labs.CostOf(c) }}
}

// dryRun prints the settings of the first of plans, and what each training will cost.
func dryRun(s *Streams, head string, plans []plan, asJSON bool) error {
	costs := map[string]labs.Cost{} // seeds of a variant cost the same
	total := 0.0
	for i, p := range plans {
		if _, ok := costs[p.Variant]; !ok {
			cost, err := p.cost()
			if err != nil {
				return err
			}
			costs[p.Variant] = cost
		}
		plans[i].Cost = costs[p.Variant]
		total += costs[p.Variant].TotalSeconds
	}
	if asJSON {
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		return e.Encode(plans)
	}
	yaml, err := config.Marshal(plans[0].Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s\n%s\n", head, yaml)
	for _, p := range plans {
		fmt.Fprintf(s.Out, "%-16s seed %-3d %9d parameters  %6.1f MFLOP/sample forward  %8.1f GFLOP in all  %5.1f MB step memory  about %s\n", p.Variant, p.Seed,
			p.Cost.Params, 2*float64(p.Cost.MACs)/1e6, p.Cost.TrainFLOPs/1e9, float64(p.Cost.PeakBytes)/1e6, roundSeconds(p.Cost.TotalSeconds))
	}
	if len(plans) > 1 {
		fmt.Fprintf(s.Out, "%d runs, about %s\n", len(plans), roundSeconds(total))
	}
	return nil
}

// itemsOf is what the data set called name is of.
func itemsOf(name string) string {
	if data.IsText(name) {
		return "sentences"
	}
	return "images"
}

func roundSeconds(sec float64) time.Duration {
	return time.Duration(sec * float64(time.Second)).Round(time.Second)
}

// conclude says how a command's trainings, so many in all, came out: where the last of them was stopped, which is
// an error; what the one reached; or a study's table and figures.
func (x *session) conclude(s *Streams, all []labs.Trained, runs int, out string, tabulate func([]run.Record) (string, error), study string) error {
	last := all[len(all)-1]
	if !last.Done() {
		return stopped(s, last, x.code(), out, runs > 1)
	}
	if len(all) == 1 {
		closing(s, last, out)
		return nil
	}
	return closingStudy(s, all, out, tabulate, study)
}

// closingStudy prints a study's table and draws its figures into the folder name under root.
func closingStudy(s *Streams, all []labs.Trained, root string, tabulate func([]run.Record) (string, error), name string) error {
	recs, err := recordsOf(all, root)
	if err != nil {
		return err
	}
	table, err := tabulate(recs)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s\n", table)
	return drawStudy(s, all, recs, root, name)
}

// recordsOf are the records of runs under root.
func recordsOf(all []labs.Trained, root string) ([]run.Record, error) {
	var recs []run.Record
	for _, t := range all {
		rec, err := run.Find(root, t.ID)
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// drawStudy draws the figures of a study's runs into the folder name under root, and says where all is.
func drawStudy(s *Streams, all []labs.Trained, recs []run.Record, root, name string) error {
	dir := filepath.Join(root, "figures", name)
	files, err := report.Figures(recs, dir)
	if err != nil {
		return err
	}
	if n := all[0].Note(); n != "" {
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
