package cli

import (
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// comparison is one run's column in `dla runs compare`.
type comparison struct {
	ID           string         `json:"id"`
	Variant      string         `json:"variant"`
	Seed         uint64         `json:"seed"`
	Status       run.Status     `json:"status"`
	Differs      map[string]any `json:"differs"` // settings that differ between the runs
	Epochs       int            `json:"epochs"`
	BestValAcc   *float64       `json:"best_val_accuracy,omitempty"` // nil for a run without accuracy
	BestEpoch    int            `json:"best_epoch"`                  // whose weights are kept: without validation the last
	LastLoss     float64        `json:"last_loss"`
	LastValLoss  *float64       `json:"last_val_loss"` // nil without validation
	TestAccuracy *float64       `json:"test_accuracy,omitempty"`
	TestMSE      *float64       `json:"test_mse,omitempty"` // of an autoencoder
	TestCI95     []float64      `json:"test_ci95,omitempty"`
	TestViews    *record.Views  `json:"test_views,omitempty"`   // with test-time augmentation, where it was measured
	TestLast     *record.Test   `json:"test_last,omitempty"`    // of the last epoch's weights, where it was measured
	WallSeconds  *float64       `json:"wall_seconds,omitempty"` // nil until it is finished
	Data         string         `json:"data"`
	Fingerprint  string         `json:"data_fingerprint"`
	Synthetic    bool           `json:"synthetic"`
	Metrics      []run.Epoch    `json:"metrics"`
}

func newRunsCompareCmd(s *Streams, root *string) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:   "compare ID ID…",
		Short: "Compare the settings and results of runs",
		Example: "  dla runs compare 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0\n  dla " +
			"runs compare 20261124-0930 20261124-0935 --json\n  dla runs compare 20261124-0930 20261124-0935 --format csv",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			var cols []comparison
			var settings []map[string]any
			for _, id := range args {
				r, err := run.Find(*root, id)
				if err != nil {
					return err
				}
				c, err := compareOne(r)
				if err != nil {
					return err
				}
				flat := map[string]any{}
				var tree map[string]any
				if err := yaml.Unmarshal(r.Config, &tree); err != nil {
					return fmt.Errorf("run %s: config.yaml: %w", r.ID, err)
				}
				flatten(flat, "", tree)
				cols, settings = append(cols, c), append(settings, flat)
			}
			keys := differing(settings)
			for i := range cols {
				cols[i].Differs = map[string]any{}
				for _, k := range keys {
					cols[i].Differs[k] = settings[i][k]
				}
			}
			switch {
			case o.asJSON():
				return writeJSON(s.Out, cols)
			case o.format == table.CSV:
				return o.write(s.Out, table.Of(comparisonRows(cols, keys)))
			}
			ts := comparisonTable(cols, keys)
			if slices.ContainsFunc(cols, func(c comparison) bool { return c.Fingerprint != cols[0].Fingerprint }) {
				ts.Say("NOTE: these runs used different data; their accuracies are not comparable")
			}
			return o.write(s.Out, ts)
		},
	}
	o.add(cmd)
	return cmd
}

func compareOne(r run.Record) (comparison, error) {
	c := comparison{ID: r.ID, Variant: r.Variant, Seed: r.Seed, Status: r.Status, Epochs: r.Epochs,
		TestAccuracy: r.TestAccuracy,
		Data:         r.Env.Data.Name, Fingerprint: r.Fingerprint, Synthetic: r.Env.Data.Synthetic, Metrics: append([]run.Epoch{}, r.Metrics...)}
	var best run.Measure
	if len(r.Metrics) > 0 {
		c.BestValAcc = &best.Accuracy
	}
	for i, m := range r.Metrics {
		scored := !math.IsNaN(m.Val.Accuracy)
		if i == 0 || !validated(m) || scored && m.Val.Accuracy > best.Accuracy || !scored && m.Val.Loss < best.Loss {
			best, c.BestEpoch = m.Val, m.Epoch
		}
		if !scored {
			c.BestValAcc = nil
		}
		if c.LastLoss, c.LastValLoss = m.Train.Loss, nil; validated(m) {
			c.LastValLoss = &r.Metrics[i].Val.Loss
		}
	}
	res, err := resultOf(r)
	if err != nil || res == nil {
		return c, err
	}
	seconds := res.Seconds()
	c.WallSeconds = &seconds
	switch res := res.(type) {
	case *record.Autoencoder:
		c.TestMSE, c.TestCI95 = &res.Test.MSE, res.Test.CI95[:]
	case *record.Classifier:
		c.TestLast = res.LastTested()
		c.TestViews = res.TestViews
		if res.Test.CI95 != [2]float64{} {
			c.TestCI95 = res.Test.CI95[:]
		}
	}
	return c, nil
}

func flatten(dst map[string]any, prefix string, tree map[string]any) {
	for k, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			flatten(dst, prefix+k+".", sub)
		} else {
			dst[prefix+k] = v
		}
	}
}

// differing returns the keys whose values differ between the settings, sorted.
func differing(settings []map[string]any) []string {
	all := map[string]bool{}
	for _, s := range settings {
		for k := range s {
			all[k] = true
		}
	}
	var keys []string
	for k := range all {
		if slices.ContainsFunc(settings,
			func(s map[string]any) bool { return fmt.Sprint(s[k]) != fmt.Sprint(settings[0][k]) }) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// comparisonRows returns a row for each run, for programs.
func comparisonRows(cols []comparison, keys []string) *table.Table {
	heads := slices.Concat([]string{"run", "variant", "seed", "status", "data", "synthetic"}, keys, []string{"epochs",
		"best epoch", "last loss", "last val_loss", "best val_accuracy", "test accuracy", "test mse", "wall seconds"})
	t := table.New("", heads...)
	number := func(v *float64) table.Cell {
		if v == nil {
			return table.Cell{}
		}
		return table.Number("%g", *v)
	}
	within := func(v *float64, ci []float64) table.Cell {
		c := number(v)
		if v != nil && len(ci) == 2 {
			c = table.Interval(c.Text, *v, ci[0], ci[1])
		}
		return c
	}
	for _, c := range cols {
		row := []any{c.ID, c.Variant, c.Seed, string(c.Status), c.Data, c.Synthetic}
		for _, k := range keys {
			row = append(row, fmt.Sprint(c.Differs[k]))
		}
		row = append(row, c.Epochs, c.BestEpoch)
		if c.Epochs > 0 {
			row = append(row, c.LastLoss, number(c.LastValLoss), number(c.BestValAcc))
		} else {
			row = append(row, nil, nil, nil)
		}
		accuracy, mse := within(c.TestAccuracy, c.TestCI95), table.Cell{}
		if c.TestMSE != nil {
			accuracy, mse = table.Cell{}, within(c.TestMSE, c.TestCI95)
		}
		t.Row(append(row, accuracy, mse, number(c.WallSeconds))...)
	}
	return t
}

// comparisonTable returns a column for each run, for readers.
func comparisonTable(cols []comparison, keys []string) table.Tables {
	heads := []string{"run"}
	for _, c := range cols {
		heads = append(heads, c.ID)
	}
	t := table.New("", heads...)
	row := func(name string, cell func(comparison) string) {
		all := []any{name}
		for _, c := range cols {
			all = append(all, cell(c))
		}
		t.Row(all...)
	}
	row("status", func(c comparison) string { return string(c.Status) })
	row("data", func(c comparison) string {
		if c.Synthetic {
			return c.Data + ", SYNTHETIC"
		}
		return c.Data
	})
	for _, k := range keys {
		row(k, func(c comparison) string { return fmt.Sprint(c.Differs[k]) })
	}
	row("epochs", func(c comparison) string { return fmt.Sprint(c.Epochs) })
	measured := func(f func(comparison) string) func(comparison) string { // "-" before the first epoch
		return func(c comparison) string {
			if c.Epochs == 0 {
				return "-"
			}
			return f(c)
		}
	}
	lastOf := func(part func(run.Epoch) run.Measure) func(comparison) string {
		return measured(func(c comparison) string { return loss(part(c.Metrics[len(c.Metrics)-1])) })
	}
	row("last loss", lastOf(func(e run.Epoch) run.Measure { return e.Train }))
	longest, unvalidated := 0, 0 // epochs of runs with validation, runs without
	for _, c := range cols {
		if len(c.Metrics) > 0 && !slices.ContainsFunc(c.Metrics, validated) {
			unvalidated++
		} else {
			longest = max(longest, len(c.Metrics))
		}
	}
	if unvalidated < len(cols) {
		row("last val_loss", lastOf(func(e run.Epoch) run.Measure { return e.Val }))
		row("best val_acc", measured(func(c comparison) string {
			switch {
			case c.LastValLoss == nil:
				return "-"
			case c.BestValAcc == nil:
				return fmt.Sprintf("- (epoch %d)", c.BestEpoch)
			}
			return fmt.Sprintf("%.2f %% (epoch %d)", 100**c.BestValAcc, c.BestEpoch)
		}))
	}
	row("test accuracy (95 %)", func(c comparison) string {
		if c.TestAccuracy == nil {
			return "-"
		}
		return accuracy(*c.TestAccuracy, c.TestCI95)
	})
	if slices.ContainsFunc(cols, func(c comparison) bool { return c.TestViews != nil }) {
		row("test accuracy, views", func(c comparison) string {
			if c.TestViews == nil {
				return "-"
			}
			return fmt.Sprintf("%s, %s", accuracy(c.TestViews.Accuracy, c.TestViews.CI95[:]), c.TestViews.Views)
		})
	}
	if slices.ContainsFunc(cols, func(c comparison) bool { return c.TestLast != nil && c.BestEpoch < c.Epochs }) {
		row("test accuracy, last epoch", func(c comparison) string {
			if c.TestLast == nil {
				return "-"
			}
			return accuracy(c.TestLast.Accuracy, c.TestLast.CI95[:])
		})
	}
	if slices.ContainsFunc(cols, func(c comparison) bool { return c.TestMSE != nil }) {
		row("test squared error (95 %)", func(c comparison) string {
			if c.TestMSE == nil {
				return "-"
			}
			return squaredError(*c.TestMSE, c.TestCI95)
		})
	}
	row("wall time", func(c comparison) string {
		if c.WallSeconds == nil {
			return "-"
		}
		return fmt.Sprintf("%.1f s", *c.WallSeconds)
	})
	for i := range longest {
		row(fmt.Sprintf("val_acc, epoch %d", i+1), func(c comparison) string {
			if i >= len(c.Metrics) {
				return "-"
			}
			if p := percent(c.Metrics[i].Val); p != "-" {
				return p + " %"
			}
			return "-"
		})
	}
	return table.Of(t)
}
