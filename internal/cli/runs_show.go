package cli

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/labs"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/table"
)

func newRunsShowCmd(s *Streams, root *string) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show one run: settings, environment, metrics, result",
		Long:              "Show one run. A unique beginning of the id is enough.",
		Example:           "  dla runs show 20261124-093015-mlp-d5-res-s0\n  dla runs show 20261124-0930 --json\n  dla runs show 20261124-0930 --format csv",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := run.Examine(*root, args[0])
			if err != nil {
				return err
			}
			if o.asJSON() {
				return writeJSON(s.Out, struct {
					run.Record
					Config string `json:"config"`
				}{r, string(r.Config)})
			}
			if !o.asText() {
				ts, err := shownTables(r)
				if err != nil {
					return err
				}
				return o.write(s.Out, ts)
			}
			return show(s, r, *root)
		},
	}
	o.add(cmd)
	return cmd
}

// resultOf returns the result of a run, nil before it is finished. The result of an unknown experiment is read as a
// classifier's.
func resultOf(r run.Record) (record.Result, error) {
	if r.Result == nil {
		return nil, nil
	}
	if res, err := labs.ResultOf(r); err == nil || labs.Known(r.Experiment) {
		return res, err
	}
	res := new(record.Classifier)
	return res, record.Read(r, res)
}

// accuracy formats an accuracy with its 95 % interval, if any.
func accuracy(share float64, ci []float64) string {
	if len(ci) != 2 {
		return fmt.Sprintf("%.2f %%", 100*share)
	}
	return fmt.Sprintf("%.2f %% (%.2f-%.2f)", 100*share, 100*ci[0], 100*ci[1])
}

// squaredError formats a mean squared error with its 95 % interval, if any.
func squaredError(mse float64, ci []float64) string {
	if len(ci) != 2 {
		return fmt.Sprintf("%.6f", mse)
	}
	return fmt.Sprintf("%.6f (%.6f-%.6f)", mse, ci[0], ci[1])
}

// validated reports whether a validation was made after the epoch.
func validated(e run.Epoch) bool { return e.Val.Measured() }

// loss formats m's loss, "-" if nothing was measured; squared errors are small and get more digits.
func loss(m run.Measure) string {
	switch {
	case !m.Measured():
		return "-"
	case math.IsNaN(m.Accuracy):
		return fmt.Sprintf("%.6f", m.Loss)
	}
	return fmt.Sprintf("%.4f", m.Loss)
}

// percent formats m's accuracy, "-" if it has none.
func percent(m run.Measure) string {
	if math.IsNaN(m.Accuracy) {
		return "-"
	}
	return fmt.Sprintf("%.2f", 100*m.Accuracy)
}

// programOf formats the program and machine of a run.
func programOf(e run.Env) string {
	return fmt.Sprintf("dla %s, revision %.12s, %s, %s kernels, %d threads, %s", e.Version, e.Revision, e.GoVersion,
		e.Kernel, e.Threads, e.CPU)
}

// showTests prints the test accuracies of res beside the plain one, where they were measured: with test-time
// augmentation, and of the last epoch's weights.
func showTests(w io.Writer, res *record.Classifier) {
	if v := res.TestViews; v != nil {
		fmt.Fprintf(w, "views     %s by test-time augmentation (%s)\n", accuracy(v.Accuracy, v.CI95[:]), v.Views)
	}
	if v := res.TestLast; v != nil {
		fmt.Fprintf(w, "last      %s with the weights of epoch %d, the last\n", accuracy(v.Accuracy, v.CI95[:]), res.Epochs)
	}
}

// epochTable returns the metrics of each epoch. Those of validation are left out where there was none.
func epochTable(metrics []run.Epoch) *table.Table {
	t := table.New("rrrrrr", "epoch", "loss", "acc %", "val_loss", "val_acc %", "lr")
	if len(metrics) > 0 && !slices.ContainsFunc(metrics, validated) {
		t = table.New("rrrr", "epoch", "loss", "acc %", "lr")
	}
	for _, m := range metrics {
		row := []any{m.Epoch, shownAs(loss(m.Train), m.Train.Loss), shownAs(percent(m.Train), 100*m.Train.Accuracy)}
		if len(t.Columns) == 6 {
			row = append(row, shownAs(loss(m.Val), m.Val.Loss), shownAs(percent(m.Val), 100*m.Val.Accuracy))
		}
		t.Row(append(row, table.Number("%.4g", m.LR))...)
	}
	return t
}

// shownTables returns the tables of a run: those of an evaluation, or the epochs and the classes of a training.
func shownTables(r run.Record) (table.Tables, error) {
	if err := r.Damage(); err != nil {
		return nil, err
	}
	ts, own, err := report.OwnTable(r)
	if err != nil || own {
		return ts, err
	}
	ts = table.Of(epochTable(r.Metrics).Titled("epochs"))
	classes, err := report.ClassTable(r, math.MaxInt)
	if err == nil && classes != nil {
		ts.Add(classes.Titled("classes"))
	}
	return ts, err
}

func show(s *Streams, r run.Record, root string) error {
	w := s.Out
	fmt.Fprintf(w, "run       %s\nstatus    %s", r.ID, r.Status)
	if r.Detail != "" {
		fmt.Fprintf(w, " (%s)", r.Detail)
	}
	fmt.Fprintf(w, "\nfolder    %s\n", r.Dir)
	if len(r.Tags) > 0 {
		fmt.Fprintf(w, "tags      %s\n", strings.Join(r.Tags, ", "))
	}
	if r.Note != "" {
		fmt.Fprintf(w, "note      %s\n", strings.ReplaceAll(r.Note, "\n", "\n          "))
	}
	if r.Status == run.StatusBroken {
		fmt.Fprintf(w, "\nnext: put back a good copy, or %s\n", r.Command("rm"))
		return nil
	}
	res, err := resultOf(r)
	if err != nil {
		return err
	}
	e := r.Env
	synthetic := ""
	if e.Data.Synthetic {
		synthetic = "SYNTHETIC, "
	}
	fmt.Fprintf(w, "data      %s, %s%s (fingerprint %.12s)\n", e.Data.Name, synthetic, e.Data.Source,
		e.Data.Fingerprint)
	fmt.Fprintf(w, "program   %s\n", programOf(e))
	fmt.Fprintf(w, "started   %s\ncommand   %s\n", e.Started.Format(time.RFC3339), run.Quote(e.Command...))
	for _, again := range r.Resumed {
		fmt.Fprintf(w, "resumed   %s, by %s\n", again.Started.Format(time.RFC3339), programOf(again))
	}
	fmt.Fprintf(w, "\n%s\n", r.Config)
	results, own, err := report.OwnTable(r)
	switch {
	case err != nil:
		return err
	case own && res != nil:
		fmt.Fprintln(w, results.Page())
		if c, ok := res.(*record.Classifier); ok {
			showTests(w, c)
		}
		fmt.Fprintf(w, "wall time %.1f s\n", res.Seconds())
		return nil
	case own:
		next(w, run.Command(root, "runs", "resume", r.ID))
		return nil
	}
	fmt.Fprint(w, epochTable(r.Metrics).String())
	if res == nil {
		if r.Status != run.StatusRunning {
			next(w, run.Command(root, "runs", "resume", r.ID))
		}
		return nil
	}
	if note := res.Remark(); note != "" {
		fmt.Fprintf(w, "\nNOTE      %s", note)
	}
	switch res := res.(type) {
	case *record.Autoencoder:
		fmt.Fprintf(w, "\ntest      mean squared error %s, n = %d\n", squaredError(res.Test.MSE, res.Test.CI95[:]),
			res.Test.N)
		fmt.Fprintf(w, "selected  epoch %d, by its validation loss of %s\n", res.BestEpoch, loss(res.Val))
		fmt.Fprintf(w, "weights   %d parameters, sha256 %s\n", res.Params, res.WeightsSHA256)
	case *record.Classifier:
		fmt.Fprintf(w, "\ntest      %s, n = %d\n", accuracy(res.Test.Accuracy, res.Test.CI95[:]), res.Test.N)
		showTests(w, res)
		by := fmt.Sprintf("by its validation accuracy of %.2f %%", 100*res.Val.Accuracy)
		switch {
		case !res.Val.Measured():
			by = "the last: no image was held out for validation"
		case res.Finetuned != nil:
			by = "by its validation loss of " + loss(res.Val)
		}
		fmt.Fprintf(w, "selected  epoch %d, %s\n", res.BestEpoch, by)
		fmt.Fprintf(w, "weights   %d parameters, sha256 %s\n", res.Params, res.WeightsSHA256)
	}
	classes, err := report.ClassTable(r, math.MaxInt)
	if err != nil {
		return err
	}
	if classes != nil {
		fmt.Fprintf(w, "\n%s\n", classes.Page())
	}
	fmt.Fprintf(w, "wall time %.1f s", res.Seconds())
	if c, ok := res.(*record.Classifier); ok && c.ElapsedSeconds != nil {
		fmt.Fprintf(w, ", %.1f s with the reading of data and the test", *c.ElapsedSeconds)
	}
	fmt.Fprintln(w)
	return nil
}
