package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/table"
)

func newRunsDiffCmd(s *Streams, root *string) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "In what two runs differ: settings, data, program, machine, metrics, result",
		Long: `Show in what two runs differ, and only that: settings (those of an older record are completed by their
defaults), data, program with its revision and kernels, machine, the first epoch with other metrics, the last one,
and every value of the result. Of numbers the difference B - A is shown. A and B are ids, beginnings of ids, or folders
of runs. ` + "`dla runs compare`" + ` shows results side by side, also equal ones.`,
		Example: `  dla runs diff 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0
  dla runs diff 20261124-0930 runs/reproduced/20261125-101500-mlp-d5-res-s0
  dla runs diff 20261124-0930 20261124-0935 --format csv`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			var two [2]run.Record
			for i, a := range args {
				r, err := oneRun(*root, a)
				if err != nil {
					return err
				}
				two[i] = completed(r)
			}
			ds, err := report.Diff(two[0], two[1])
			if err != nil {
				return err
			}
			t := report.DiffTable(two[0], two[1], ds)
			if len(ds) == 0 && o.asText() {
				fmt.Fprintf(s.Out, "runs %s and %s do not differ in settings, data, program, machine, metrics and result\n",
					two[0].ID, two[1].ID)
				return nil
			}
			return o.write(s.Out, table.Of(t))
		},
	}
	o.add(cmd)
	return cmd
}

// oneRun returns the run that arg names, which must be whole.
func oneRun(root, arg string) (run.Record, error) {
	recs, _, err := selectRuns(root, []string{arg}, nil)
	if err != nil {
		return run.Record{}, err
	}
	if len(recs) != 1 {
		return run.Record{}, usageError(fmt.Errorf("%q names %d runs; want one", arg, len(recs)))
	}
	return recs[0], nil
}

// completed returns r with all settings of this version: an older record lacks those added later.
func completed(r run.Record) run.Record {
	c, err := labs.Settings(r)
	if err != nil {
		return r // of another version; its settings are compared as they are
	}
	if yaml, err := config.Marshal(c); err == nil {
		r.Config = yaml
	}
	return r
}
