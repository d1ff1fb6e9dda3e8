package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/table"
	"dla/internal/train"
)

// reproducedName is the folder under that of a run where its reproductions are.
const reproducedName = "reproduced"

// reproduceFlags holds the flags of `dla runs reproduce`.
type reproduceFlags struct {
	trainingFlags
	tableFlags
	into string
}

func newRunsReproduceCmd(s *Streams, root *string) *cobra.Command {
	var o reproduceFlags
	cmd := &cobra.Command{
		Use:   "reproduce ID",
		Short: "Make a finished run again from its record, and say bit for bit whether it is the same",
		Long: `Make a finished run again with the settings, the seed and the data of its record, as a new run in another
folder: the recorded run is not touched. Then compare both bit for bit: the metrics of every epoch, the checksums of
the weights, of the predictions and of the other files of the result, and every value of the result but times. ID may
also be the folder of a run.

Exit code 0: the same; 1: not the same. Other kernels (DLA_KERNEL) round differently, and another revision may
compute differently; that is said before the run begins. Results do not depend on the number of threads. If the command
is stopped, the same command goes on where it was.`,
		Example: `  dla runs reproduce 20261124-093015-mlp-d5-res-s0
  dla runs reproduce results/lab1/mlp/20261124-093015-mlp-d5-res-s0 --into /tmp/again
  dla runs reproduce 20261124-0930 --max-time 1h
  dla runs reproduce 20261124-0930 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(cmd *cobra.Command, args []string) error {
			rec, err := oneRun(*root, args[0])
			if err != nil {
				return err
			}
			if o.into == "" {
				o.into = filepath.Join(filepath.Dir(rec.Dir), reproducedName)
			}
			o.out = filepath.Dir(rec.Dir)
			return o.reproduce(cmd, s, rec)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.into, "into", "", "folder for the new run; default: "+reproducedName+" in the folder of the runs")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	addDataAt(cmd, &o.dataAt)
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this time; exit code 3")
	o.tableFlags.add(cmd)
	return cmd
}

// reproduction is what `dla runs reproduce --json` prints.
type reproduction struct {
	ID      string         `json:"id"`
	Again   string         `json:"again"`
	Dir     string         `json:"dir"` // of the new run
	Same    bool           `json:"same"`
	Differs []string       `json:"differs"`           // what is not the same
	Beside  []string       `json:"beside,omitempty"`  // other program or machine, said beforehand
	Matches []report.Match `json:"matches,omitempty"` // part by part
}

func (o reproduceFlags) reproduce(cmd *cobra.Command, s *Streams, rec run.Record) (err error) {
	if o.threads < 0 {
		return usageError(fmt.Errorf("--threads %d: want 0 or more", o.threads))
	}
	o.setThreads()
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	beside := elsewhere(rec, x.opt.Env)
	for _, b := range beside {
		fmt.Fprintf(s.Err, "note: %s\n", b)
	}
	x.progress.items = itemsOf(rec)
	took := ""
	if res, err := resultOf(rec); err == nil && res != nil && res.Seconds() >= 1 {
		took = fmt.Sprintf("; it took %s", roundSeconds(res.Seconds()))
	}
	fmt.Fprintf(s.Err, "making %s again into %s%s\n", rec.ID, o.into, took)
	t, err := labs.Reproduce(x.ctx, rec, o.into, x.opt)
	x.progress.Close()
	if err != nil {
		return err
	}
	if !t.Done() {
		fmt.Fprintf(s.Err, "\nstopped (%s); the state is saved. Continue with the same command\n", t.Reason)
		code := x.code()
		switch {
		case t.Reason == train.OutOfTime:
			code = exitMaxTime
		case code == 0:
			code = 130
		}
		return &ExitError{Code: code}
	}
	again, err := run.Find(o.into, t.ID)
	if err != nil {
		return err
	}
	matches, err := report.Matches(rec, again)
	if err != nil {
		return err
	}
	r := reproduction{ID: rec.ID, Again: again.ID, Dir: again.Dir, Same: true, Differs: []string{}, Beside: beside,
		Matches: matches}
	for _, m := range matches {
		if !m.Same {
			r.Same, r.Differs = false, append(r.Differs, m.What)
		}
	}
	switch {
	case o.asJSON():
		err = writeJSON(s.Out, r)
	case !o.asText():
		err = o.write(s.Out, table.Of(report.MatchTable(matches)))
	default:
		err = o.write(s.Out, table.Of(report.MatchTable(matches)))
		if err == nil && r.Same {
			fmt.Fprintf(s.Out, "\nthe same, bit for bit: %s and %s\n", rec.ID, again.ID)
		}
	}
	if err != nil || r.Same {
		return err
	}
	return &ExitError{exitFailure, fmt.Errorf("run %s did not come out the same: %s; see `%s`", rec.ID,
		strings.Join(r.Differs, ", "), run.Command("", "runs", "diff", rec.Dir, again.Dir))}
}

// elsewhere says in what the program and machine here differ from those that rec was made with.
func elsewhere(rec run.Record, here run.Env) (all []string) {
	if n := len(rec.Resumed); n > 0 {
		ways := []string{rec.Env.Kernel}
		for _, r := range rec.Resumed {
			if !slices.Contains(ways, r.Kernel) {
				ways = append(ways, r.Kernel)
			}
		}
		if len(ways) > 1 {
			all = append(all, fmt.Sprintf("the run was continued %d times, with the kernels %s in turn: no single process "+
				"makes these bits again", n, strings.Join(ways, " and ")))
		}
	}
	was := rec.Env
	if was.Kernel != here.Kernel || was.Arch != here.Arch {
		remedy := ""
		if was.Arch == here.Arch {
			remedy = fmt.Sprintf("; DLA_KERNEL=%s takes them where the processor has them", was.Kernel)
		}
		all = append(all, fmt.Sprintf("the run was made with %s kernels (%s), this process has %s (%s), which round "+
			"differently: expect other bits%s", was.Kernel, was.Arch, here.Kernel, here.Arch, remedy))
	}
	if was.Revision != here.Revision {
		all = append(all, fmt.Sprintf("the run was made by revision %.12s, this program is revision %.12s, which may "+
			"compute differently", was.Revision, here.Revision))
	}
	if was.Dirty || here.Dirty {
		all = append(all, "the sources had changes that no revision has: what they were cannot be told")
	}
	if was.CPU != here.CPU || was.OS != here.OS {
		all = append(all, fmt.Sprintf("the run was made on another machine: %s (%s); this one is %s (%s). The same kernels "+
			"give the same bits", was.CPU, was.OS, here.CPU, here.OS))
	}
	if was.Started.After(time.Now()) {
		all = append(all, "the run began in the future, by its record: one of the clocks is wrong")
	}
	return all
}
