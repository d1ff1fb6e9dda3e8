package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
)

// closing shows self-checks and tables of finished runs; for a single run also its result, the path of its record and
// the next commands, for several their figures. Then it returns an error for failed self-checks.
func closing(s *Streams, all []labs.Outcome, root string, asJSON bool) error {
	var recs []run.Record
	for _, t := range all {
		rec, err := run.Find(root, t.ID)
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	if asJSON {
		if err := writeResults(s.Out, all); err != nil {
			return err
		}
		return failedChecks(all)
	}
	fmt.Fprintln(s.Out)
	for _, t := range all {
		printChecks(s.Out, t, len(all) > 1)
	}
	if ts, err := report.StudyTable(recs); err != nil {
		return err
	} else if ts != nil {
		fmt.Fprintf(s.Out, "%s\n", ts.Page())
	}
	if len(all) > 1 {
		if err := drawStudy(s, all, recs, root); err != nil {
			return err
		}
		return failedChecks(all)
	}
	const most = 20 // runs show has them all
	classes, err := report.ClassTable(recs[0], most)
	if err != nil {
		return err
	}
	if classes != nil {
		fmt.Fprintf(s.Out, "%s\n", classes.Page())
	}
	closingOne(s, all[0], recs[0], root)
	return failedChecks(all)
}

// writeResults prints the result of one run as JSON, or those of several with the ids of their runs.
func writeResults(w io.Writer, all []labs.Outcome) error {
	if len(all) == 1 {
		return writeJSON(w, all[0].Result)
	}
	type result struct {
		ID      string        `json:"id"`
		Variant string        `json:"variant"`
		Seed    uint64        `json:"seed"`
		Result  record.Result `json:"result"`
	}
	var results []result
	for _, t := range all {
		results = append(results, result{t.ID, t.Variant, t.Seed, t.Result})
	}
	return writeJSON(w, results)
}

// failedChecks returns an error that names the failed self-checks.
func failedChecks(all []labs.Outcome) error {
	for _, t := range all {
		if err := record.Failed(t.Result.SelfChecks()); err != nil {
			return fmt.Errorf("run %s: %w; the record is kept", t.ID, err)
		}
	}
	return nil
}

// printChecks prints the self-checks of a run, with its name if named.
func printChecks(w io.Writer, t labs.Outcome, named bool) {
	checks := t.Result.SelfChecks()
	if len(checks) == 0 {
		return
	}
	count := map[string]int{}
	for _, c := range checks {
		count[c.Word()]++
	}
	var counts []string
	for _, word := range []struct{ is, one, many string }{{"holds", "holds", "hold"},
		{"does not apply", "does not apply", "do not apply"}, {"FAILS", "FAILS", "FAIL"}} {
		switch n := count[word.is]; {
		case n == 1:
			counts = append(counts, "1 "+word.one)
		case n > 1:
			counts = append(counts, fmt.Sprintf("%d %s", n, word.many))
		}
	}
	whose := ""
	if named {
		whose = fmt.Sprintf("%s seed %d, ", t.Variant, t.Seed)
	}
	fmt.Fprintf(w, "%sself-checks: %s\n", whose, strings.Join(counts, ", "))
	for _, c := range checks {
		word := ""
		if c.Word() != "holds" {
			word = c.Word() + ": "
		}
		fmt.Fprintf(w, "  %s%s: %s\n", word, c.What, c.Found)
	}
	fmt.Fprintln(w)
}

// closingOne prints the result of a finished run, the path of its record and the next commands.
func closingOne(s *Streams, t labs.Outcome, rec run.Record, root string) {
	w := s.Out
	field := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	if note := t.Result.Remark(); note != "" {
		field("NOTE", "%s", note)
	}
	if note := limitNote(rec); note != "" {
		field("NOTE", "%s", note)
	}
	also := [][]string{{"runs", "compare", "ID", "ID"}}
	switch r := t.Result.(type) {
	case *record.Classifier:
		closingClassifier(field, t.Variant, r)
		if r.Finetuned != nil {
			also = append(also, []string{"lab3", "predict", t.ID, "a film to remember"})
		}
	case *record.Autoencoder:
		closingAutoencoder(field, t.Variant, r)
	case *record.Attacks:
		field("network", "%s of %s, accuracy %.2f %% without attack", r.Network, r.Source, 100*r.Test.Accuracy)
		also = [][]string{{"lab4", "fgsm", "--checkpoint", r.Source, "--save", "FOLDER"}}
	case *record.OOD:
		also = [][]string{oodCommand(r)}
	}
	again := ""
	if t.Reused {
		again = ", finished before"
	}
	field("wall time", "%s%s", time.Duration(t.Result.Seconds()*float64(time.Second)).Round(100*time.Millisecond),
		again)
	field("record", "%s", t.Dir)
	if len(t.Figures) > 0 || t.Reused {
		field("figures", "%s", filepath.Join(t.Dir, "figures"))
	}
	commands := []string{run.Command(root, "runs", "show", t.ID)}
	for _, c := range also {
		commands = append(commands, run.Command(root, c...))
	}
	next(w, commands...)
}

// closingClassifier prints the result of a classifier.
func closingClassifier(field func(name, format string, args ...any), variant string, r *record.Classifier) {
	field("test accuracy", "%.2f %%  (95 %% interval %.2f-%.2f, n = %d)", 100*r.Test.Accuracy, 100*r.Test.CI95[0],
		100*r.Test.CI95[1], r.Test.N)
	if v := r.TestViews; v != nil {
		field("with views", "%.2f %%  (95 %% interval %.2f-%.2f), by test-time augmentation (%s)", 100*v.Accuracy,
			100*v.CI95[0], 100*v.CI95[1], v.Views)
	}
	if v := r.TestLast; v != nil {
		field("last epoch", "%.2f %%  (95 %% interval %.2f-%.2f) in test, with the weights of epoch %d", 100*v.Accuracy,
			100*v.CI95[0], 100*v.CI95[1], r.Epochs)
	}
	what, selected := "", "which"
	if r.Finetuned != nil {
		selected = "whose loss"
	}
	if r.Robust != nil {
		what = ", the mean of clean and attacked images,"
	}
	if r.Val.Measured() {
		field("validation", "%.2f %%%s at epoch %d of %d, %s selected the weights; %.2f %% at the last",
			100*r.Val.Accuracy, what, r.BestEpoch, r.Epochs, selected, 100*r.LastVal.Accuracy)
	} else {
		field("validation", "none: trained on all training images; the weights are those of the last epoch, %d",
			r.BestEpoch)
	}
	of := ""
	if r.Finetuned != nil {
		of = fmt.Sprintf(" trained of %d", r.Finetuned.Total)
	}
	field("network", "%s, %d parameters%s", variant, r.Params, of)
}

// closingAutoencoder prints the result of an autoencoder.
func closingAutoencoder(field func(name, format string, args ...any), variant string, r *record.Autoencoder) {
	field("test MSE", "%s, n = %d", squaredError(r.Test.MSE, r.Test.CI95[:]), r.Test.N)
	field("validation", "%.6f at epoch %d of %d, which selected the weights; %.6f at the last", r.Val.Loss, r.BestEpoch,
		r.Epochs, r.LastVal.Loss)
	before, after := 0.0, 0.0
	for _, e := range r.Examples.Images {
		before, after = before+e.MSEBefore/float64(len(r.Examples.Images)), after+e.MSE/float64(len(r.Examples.Images))
	}
	field("reconstructions", "%d test images: MSE %.6f before training, %.6f after", len(r.Examples.Images), before,
		after)
	field("encoder", "%s of %s, %d parameters, unchanged, bit for bit (sha256 %.12s…)", r.Encoder.Network,
		r.Encoder.Source, r.Encoder.Params, r.Encoder.WeightsSHA256)
	field("network", "%s, %d parameters trained", variant, r.Params)
}

// limitNote says that a run used only a fraction of its data; "" if it used all.
func limitNote(rec run.Record) string {
	c, err := labs.Settings(rec)
	if err != nil {
		return ""
	}
	if limit, err := config.Get(c, "data.limit"); err == nil && limit.(int) > 0 {
		return fmt.Sprintf("trained and evaluated on %d %s of each split only", limit, itemsOf(rec))
	}
	if limit, err := config.Get(c, "limit"); err == nil && limit.(int) > 0 && rec.Experiment == labs.FGSMExperiment {
		return fmt.Sprintf("attacked on %d test images only", limit)
	}
	return ""
}

// next prints commands to type next, as run.Command quotes them.
func next(w io.Writer, commands ...string) {
	fmt.Fprintf(w, "\nnext: %s\n", strings.Join(commands, "\n      "))
}
