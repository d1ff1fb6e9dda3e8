package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"dla/internal/report"
	"dla/internal/run"
)

func newRunsCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "Run records: list, show, compare, resume, remove",
		Example: `  dla runs ls
  dla runs compare 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var root string
	cmd.PersistentFlags().StringVar(&root, "out", "runs", "directory of run records")
	cmd.AddCommand(newRunsLsCmd(s, &root), newRunsShowCmd(s, &root), newRunsCompareCmd(s, &root), newRunsResumeCmd(s, &root), newRunsRmCmd(s, &root))
	return cmd
}

func newRunsLsCmd(s *Streams, root *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the runs, oldest first",
		Example: "  dla runs ls\n  dla runs ls --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := run.List(*root)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.Out, append([]run.Summary{}, all...)) // [], not null, where there are none
			}
			if len(all) == 0 {
				fmt.Fprintf(s.Out, "no runs under %s; begin with: dla lab1 resnet --depth 5 --res\n", *root)
				return nil
			}
			w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tEXPERIMENT\tVARIANT\tSEED\tSTATUS\tEPOCHS\tTEST ACC")
			for _, r := range all {
				acc := "-"
				if r.TestAccuracy != nil {
					acc = fmt.Sprintf("%.2f %%", 100**r.TestAccuracy)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", r.ID, dash(r.Experiment), dash(r.Variant), r.Seed, r.Status, r.Epochs, acc)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			for _, r := range all {
				if r.Status == run.StatusBroken {
					fmt.Fprintf(s.Out, "%s is broken: %s\n", r.ID, r.Detail)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// completeRuns completes run ids on the shell's command line.
func completeRuns(root *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := run.List(*root)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var ids []string
		for _, r := range all {
			ids = append(ids, r.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

func newRunsShowCmd(s *Streams, root *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show one run: settings, environment, metrics, result",
		Long:              "Show one run. An id may be shortened as long as it stays unique.",
		Example:           "  dla runs show 20261124-093015-mlp-d5-res-s0\n  dla runs show 20261124-0930 --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := run.Find(*root, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.Out, struct {
					run.Record
					Config string `json:"config"`
				}{r, string(r.Config)})
			}
			return show(s, r, *root)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// outcome is what commands show of result.json.
type outcome struct {
	Test struct {
		N        int
		Accuracy float64
		MSE      *float64  `json:"mse"` // of an autoencoder, which has no accuracy
		CI95     []float64 `json:"ci95"`
	} `json:"test"`
	BestEpoch     int         `json:"best_epoch"`
	Val           run.Measure `json:"val"`
	WallSeconds   float64     `json:"wall_seconds"`
	Params        int         `json:"params"`
	WeightsSHA256 string      `json:"weights_sha256"`
	Note          string      `json:"note"`

	// Finetuned is not nil where the validation's loss selected the epoch, not its accuracy.
	Finetuned *struct{} `json:"finetuned"`
}

// outcomeOf reads r's result; ok is false while there is none.
func outcomeOf(r run.Record) (o outcome, ok bool, err error) {
	if r.Result == nil {
		return o, false, nil
	}
	if err := json.Unmarshal(r.Result, &o); err != nil {
		return o, false, fmt.Errorf("%s: result.json: %w; put back a good copy or remove the run with `dla runs rm %s`", r.Dir, err, r.ID)
	}
	return o, true, nil
}

// accuracy is a share of n right answers with its 95 % interval, where there is one.
func accuracy(share float64, ci []float64) string {
	if len(ci) != 2 {
		return fmt.Sprintf("%.2f %%", 100*share)
	}
	return fmt.Sprintf("%.2f %% (%.2f-%.2f)", 100*share, 100*ci[0], 100*ci[1])
}

// squaredError is a mean squared error with its 95 % interval, where there is one.
func squaredError(mse float64, ci []float64) string {
	if len(ci) != 2 {
		return fmt.Sprintf("%.6f", mse)
	}
	return fmt.Sprintf("%.6f (%.6f-%.6f)", mse, ci[0], ci[1])
}

// loss is m's, to the digits it is worth: squared errors are small.
func loss(m run.Measure) string {
	if math.IsNaN(m.Accuracy) {
		return fmt.Sprintf("%.6f", m.Loss)
	}
	return fmt.Sprintf("%.4f", m.Loss)
}

// percent is m's accuracy, "-" where it has none.
func percent(m run.Measure) string {
	if math.IsNaN(m.Accuracy) {
		return "-"
	}
	return fmt.Sprintf("%.2f", 100*m.Accuracy)
}

func show(s *Streams, r run.Record, root string) error {
	w := s.Out
	fmt.Fprintf(w, "run       %s\nstatus    %s", r.ID, r.Status)
	if r.Detail != "" {
		fmt.Fprintf(w, " (%s)", r.Detail)
	}
	fmt.Fprintf(w, "\nfolder    %s\n", r.Dir)
	if r.Status == run.StatusBroken {
		return nil
	}
	res, done, err := outcomeOf(r)
	if err != nil {
		return err
	}
	e := r.Env
	synthetic := ""
	if e.Data.Synthetic {
		synthetic = "SYNTHETIC, "
	}
	fmt.Fprintf(w, "data      %s, %s%s (fingerprint %.12s)\n", e.Data.Name, synthetic, e.Data.Source, e.Data.Fingerprint)
	fmt.Fprintf(w, "program   dla %s, revision %.12s, %s, %s kernels, %d threads, %s\n", e.Version, e.Revision, e.GoVersion, e.Kernel, e.Threads, e.CPU)
	fmt.Fprintf(w, "started   %s\ncommand   %s\n\n%s\n", e.Started.Format(time.RFC3339), strings.Join(e.Command, " "), r.Config)
	table, own, err := report.OwnTable(r)
	switch {
	case err != nil:
		return err
	case own && done:
		fmt.Fprintln(w, table)
		fmt.Fprintf(w, "wall time %.1f s\n", res.WallSeconds)
		return nil
	case own:
		fmt.Fprintln(w, "next: the command above once more, with --resume")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "epoch\tloss\tacc %\tval_loss\tval_acc %\tlr\t")
	for _, m := range r.Metrics {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%.4g\t\n", m.Epoch, loss(m.Train), percent(m.Train), loss(m.Val), percent(m.Val), m.LR)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case done:
		if res.Note != "" {
			fmt.Fprintf(w, "\nNOTE      %s", res.Note)
		}
		if mse := res.Test.MSE; mse != nil {
			fmt.Fprintf(w, "\ntest      mean squared error %s, n = %d\n", squaredError(*mse, res.Test.CI95), res.Test.N)
			fmt.Fprintf(w, "selected  epoch %d, by its validation loss of %s\n", res.BestEpoch, loss(res.Val))
		} else {
			fmt.Fprintf(w, "\ntest      %s, n = %d\n", accuracy(res.Test.Accuracy, res.Test.CI95), res.Test.N)
			by := fmt.Sprintf("accuracy of %.2f %%", 100*res.Val.Accuracy)
			if res.Finetuned != nil {
				by = "loss of " + loss(res.Val)
			}
			fmt.Fprintf(w, "selected  epoch %d, by its validation %s\n", res.BestEpoch, by)
		}
		fmt.Fprintf(w, "weights   %d parameters, sha256 %s\nwall time %.1f s\n", res.Params, res.WeightsSHA256, res.WallSeconds)
	case r.Status != run.StatusRunning:
		fmt.Fprintf(w, "\nnext: dla runs resume %s%s\n", r.ID, outFlag(root))
	}
	return nil
}

// comparison is one run's column in `dla runs compare`.
type comparison struct {
	ID           string         `json:"id"`
	Variant      string         `json:"variant"`
	Seed         uint64         `json:"seed"`
	Status       run.Status     `json:"status"`
	Differs      map[string]any `json:"differs"` // settings that are not the same in all runs
	Epochs       int            `json:"epochs"`
	BestValAcc   *float64       `json:"best_val_accuracy,omitempty"` // nil where there is none
	BestEpoch    int            `json:"best_epoch"`
	LastLoss     float64        `json:"last_loss"`
	LastValLoss  float64        `json:"last_val_loss"`
	TestAccuracy *float64       `json:"test_accuracy,omitempty"`
	TestMSE      *float64       `json:"test_mse,omitempty"` // of an autoencoder
	TestCI95     []float64      `json:"test_ci95,omitempty"`
	WallSeconds  float64        `json:"wall_seconds,omitempty"`
	Data         string         `json:"data"`
	Fingerprint  string         `json:"data_fingerprint"`
	Synthetic    bool           `json:"synthetic"`
	Metrics      []run.Epoch    `json:"metrics"`
}

func newRunsCompareCmd(s *Streams, root *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "compare ID ID…",
		Short:             "Compare runs: where their settings differ and what they reached",
		Example:           "  dla runs compare 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0\n  dla runs compare 20261124-0930 20261124-0935 --json",
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
				if r.Status == run.StatusBroken {
					return fmt.Errorf("run %s: %s", r.ID, r.Detail)
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
			if asJSON {
				return writeJSON(s.Out, cols)
			}
			return printComparison(s, cols, keys)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func compareOne(r run.Record) (comparison, error) {
	c := comparison{ID: r.ID, Variant: r.Variant, Seed: r.Seed, Status: r.Status, Epochs: r.Epochs, TestAccuracy: r.TestAccuracy,
		Data: r.Env.Data.Name, Fingerprint: r.Fingerprint, Synthetic: r.Env.Data.Synthetic, Metrics: append([]run.Epoch{}, r.Metrics...)}
	var best run.Measure
	c.BestValAcc = &best.Accuracy
	for i, m := range r.Metrics {
		scored := !math.IsNaN(m.Val.Accuracy)
		if i == 0 || scored && m.Val.Accuracy > best.Accuracy || !scored && m.Val.Loss < best.Loss {
			best, c.BestEpoch = m.Val, m.Epoch
		}
		if !scored {
			c.BestValAcc = nil
		}
		c.LastLoss, c.LastValLoss = m.Train.Loss, m.Val.Loss
	}
	res, _, err := outcomeOf(r)
	c.TestMSE, c.TestCI95, c.WallSeconds = res.Test.MSE, res.Test.CI95, res.WallSeconds
	return c, err
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

// differing are the keys whose values are not the same in all of settings, sorted.
func differing(settings []map[string]any) []string {
	all := map[string]bool{}
	for _, s := range settings {
		for k := range s {
			all[k] = true
		}
	}
	var keys []string
	for k := range all {
		if slices.ContainsFunc(settings, func(s map[string]any) bool { return fmt.Sprint(s[k]) != fmt.Sprint(settings[0][k]) }) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func printComparison(s *Streams, cols []comparison, keys []string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	row := func(name string, cell func(comparison) string) {
		fmt.Fprint(w, name)
		for _, c := range cols {
			fmt.Fprint(w, "\t", cell(c))
		}
		fmt.Fprintln(w)
	}
	row("run", func(c comparison) string { return c.ID })
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
	row("last val_loss", lastOf(func(e run.Epoch) run.Measure { return e.Val }))
	row("best val_acc", measured(func(c comparison) string {
		if c.BestValAcc == nil {
			return fmt.Sprintf("- (epoch %d)", c.BestEpoch)
		}
		return fmt.Sprintf("%.2f %% (epoch %d)", 100**c.BestValAcc, c.BestEpoch)
	}))
	row("test accuracy (95 %)", func(c comparison) string {
		if c.TestAccuracy == nil {
			return "-"
		}
		return accuracy(*c.TestAccuracy, c.TestCI95)
	})
	if slices.ContainsFunc(cols, func(c comparison) bool { return c.TestMSE != nil }) {
		row("test squared error (95 %)", func(c comparison) string {
			if c.TestMSE == nil {
				return "-"
			}
			return squaredError(*c.TestMSE, c.TestCI95)
		})
	}
	row("wall time", func(c comparison) string {
		if c.TestAccuracy == nil && c.TestMSE == nil {
			return "-"
		}
		return fmt.Sprintf("%.1f s", c.WallSeconds)
	})
	longest := 0
	for _, c := range cols {
		longest = max(longest, len(c.Metrics))
	}
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
	if err := w.Flush(); err != nil {
		return err
	}
	if slices.ContainsFunc(cols, func(c comparison) bool { return c.Fingerprint != cols[0].Fingerprint }) {
		fmt.Fprintln(s.Out, "\nNOTE: these runs did not use the same data; their accuracies do not compare")
	}
	return nil
}

func newRunsResumeCmd(s *Streams, root *string) *cobra.Command {
	var maxTime time.Duration
	cmd := &cobra.Command{
		Use:               "resume ID",
		Short:             "Continue an interrupted run, to the same bits as if it had never stopped",
		Example:           "  dla runs resume 20261124-093015-mlp-d5-res-s0\n  dla runs resume 20261124-0930 --max-time 10m",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(cmd *cobra.Command, args []string) error {
			return resumeRun(cmd, s, *root, args[0], maxTime)
		},
	}
	cmd.Flags().DurationVar(&maxTime, "max-time", 0, "stop with a checkpoint after this long; exit code 3")
	return cmd
}

func newRunsRmCmd(s *Streams, root *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "rm ID…",
		Short:             "Delete runs, records and checkpoints and all",
		Long:              "Delete runs for good. Ids are given whole; on a terminal it asks, elsewhere it needs --yes.",
		Example:           "  dla runs rm 20261124-093015-mlp-d5-res-s0\n  dla runs rm 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0 --yes",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, ids []string) error {
			for _, id := range ids { // before anything is asked or removed
				r, err := run.Find(*root, id)
				if err != nil {
					return err
				}
				if r.ID != id {
					return fmt.Errorf("%q is the beginning of %s; to remove that run give its whole id", id, r.ID)
				}
			}
			if !yes {
				if !s.InTTY {
					return usageError(errors.New("nothing is removed without being asked for: add --yes"))
				}
				fmt.Fprintf(s.Err, "delete %s? [y/N] ", strings.Join(ids, ", "))
				answer, err := bufio.NewReader(s.In).ReadString('\n')
				if err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
					return errors.New("nothing was removed")
				}
			}
			for _, id := range ids {
				if err := run.Remove(*root, id); err != nil {
					return err
				}
				fmt.Fprintf(s.Out, "removed %s\n", id)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
