package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/table"
)

func newRunsTableCmd(s *Streams, root *string) *cobra.Command {
	var o tableFlags
	var tags []string
	cmd := &cobra.Command{
		Use:   "table [RUN|FOLDER…]",
		Short: "The results of finished runs as tables, grouped over seeds",
		Long: `Show the results of finished runs: one row for runs that differ by their seed alone, with the mean and the
sample standard deviation over seeds. Runs on other data, and other kinds of experiments, have tables of their
own. RUN is an id, the beginning of one or a pattern; FOLDER is the folder of a run or of runs. Without any, all
runs under --out are taken.

The 95 % interval is Student's interval of the mean over seeds; of one seed it is Wilson's, over the test set. The
best value of a column is marked: bold in markdown and latex, a star in text. latex needs the package booktabs.
csv and json hold numbers in full precision: n, mean, sd, lower and upper of each statistic. n is the number of
seeds. Several tables in csv have a first column with the number of the table.`,
		Example: `  dla runs table
  dla runs table results/lab1/cnn --format markdown
  dla runs table '*-resnet20-*' --format latex > table.tex
  dla runs table --tag final --format csv > results.csv`,
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			recs, left, err := selectRuns(*root, args, tags)
			if err != nil {
				return err
			}
			recs, twice := onlyOnce(recs)
			sayLeft(s, append(left, twice...))
			done, others := finished(recs)
			if len(done) == 0 {
				return fmt.Errorf("none of the %d runs is finished; `%s` says what they are", len(recs),
					run.Command(*root, "runs", "ls"))
			}
			ts, err := report.Results(done)
			if err != nil {
				return err
			}
			if o.asText() {
				ts = starred(ts)
			}
			if err := o.write(s.Out, ts); err != nil {
				return err
			}
			if len(others) > 0 {
				var all []string
				for _, r := range others {
					all = append(all, fmt.Sprintf("%s (%s)", r.ID, r.Status))
				}
				fmt.Fprintf(s.Err, "not finished, so not in the table: %s\n", strings.Join(all, ", "))
			}
			return nil
		},
	}
	o.add(cmd)
	addTags(cmd, root, &tags)
	return cmd
}

// starred adds to tables as text what a star means, where there is one.
func starred(ts table.Tables) table.Tables {
	for _, t := range ts.All() {
		_, rows := t.Grid()
		for _, r := range rows {
			for _, c := range r {
				if c.Best {
					ts.Say("* best of its column")
					return ts
				}
			}
		}
	}
	return ts
}
