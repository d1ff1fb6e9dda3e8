package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// baselineExperiment is lab3 baseline's name in records.
const baselineExperiment = "lab3/baseline"

// sentenceEncoders are the encoders of lab 3, by the names of commands and of readers, in the order of tables.
var sentenceEncoders = []struct{ short, name string }{{"distilbert", "DistilBERT"}, {"minilm", "MiniLM"},
	{"mpnet", "MPNet"}}

// EncoderName returns the display name of the encoder of a variant such as minilm-mlp256, and its position in tables.
func EncoderName(variant string) (name string, order int) {
	short, _, _ := strings.Cut(variant, "-")
	for i, e := range sentenceEncoders {
		if e.short == short {
			return e.name, i
		}
	}
	return short, len(sentenceEncoders)
}

// baselineFigures draws accuracy and loss of heads on frozen encoders, in training and validation, against the epoch,
// as PNG and SVG into dir, with figures.json. Training values are measured during training, with dropout.
func baselineFigures(recs []run.Record, dir string) ([]string, error) {
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	gs := baselineGroups(recs)
	var files []string
	for _, f := range []struct {
		name, title, label string
		percent            bool
		of                 func(run.Measure) float64
	}{
		{"baseline_accuracy", "Accuracy of a head on frozen features", "accuracy", true,
			func(m run.Measure) float64 { return m.Accuracy }},
		{"baseline_loss", "Loss of a head on frozen features", "cross-entropy", false,
			func(m run.Measure) float64 { return m.Loss }},
	} {
		fig := plot.Figure{Title: f.title, Subtitle: subtitle(recs, gs, "mean and range"), Warning: warning(recs),
			XLabel: "epoch", YLabel: f.label, Percent: f.percent}
		for i, g := range gs {
			for _, k := range []kind{
				{label: "training", value: func(e run.Epoch) float64 { return f.of(e.Train) }},
				{label: "validation", value: func(e run.Epoch) float64 { return f.of(e.Val) }},
			} {
				c := g.curve(k, gs)
				name, _ := EncoderName(g.variant)
				c.Label, c.Colour, c.Dashed = name+", "+k.label, i, k.label == "training"
				fig.Curves = append(fig.Curves, c)
			}
		}
		names, err := fig.Save(filepath.Join(dir, f.name))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

// baselineGroups returns the variants of recs in the order of the table.
func baselineGroups(recs []run.Record) []*group {
	gs := groups(recs)
	slices.SortStableFunc(gs, func(a, b *group) int {
		_, i := EncoderName(a.variant)
		_, j := EncoderName(b.variant)
		return i - j
	})
	return gs
}

// Baseline returns the finished runs of recs as a table, one row per encoder: means and sample standard
// deviations over seeds, and the Wilson interval of the mean test accuracy. An encoder of the lab without a run has a
// row that says so.
func Baseline(recs []run.Record) (table.Tables, error) {
	t := table.New("lrrrrrrrl", "frozen encoder", "size (parameters)", "trained in the head", "seeds", "train_acc %",
		"val_acc %", testHead, "95 % interval", tagsHead)
	t.Mark(table.Largest, false, "val_acc %", testHead)
	var seen []string
	gs := baselineGroups(recs)
	row := func(g *group) error {
		var train, val, test []float64
		var last record.Classifier
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			var err error
			if last, err = resultOf(r); err != nil {
				return err
			}
			if last.Train == nil || last.Encoder == nil {
				return fmt.Errorf("run %s does not record its accuracy on the training split; train it again", r.ID)
			}
			train, val, test = append(train, 100*last.Train.Accuracy), append(val, 100*last.Val.Accuracy), append(test,
				100*last.Test.Accuracy)
		}
		if len(test) == 0 {
			return nil
		}
		name, _ := EncoderName(g.variant)
		t.Row(name, last.Encoder.Params, last.Params, len(test), spread(train), spread(val), spread(test),
			wilson(test, last.Test.N), g.tags())
		seen = append(seen, name)
		return nil
	}
	for i, e := range sentenceEncoders {
		for _, g := range gs {
			if _, at := EncoderName(g.variant); at == i {
				if err := row(g); err != nil {
					return nil, err
				}
			}
		}
		if !slices.Contains(seen, e.name) {
			t.Row(e.name, fmt.Sprintf("not run here: `dla models pull %s`, `dla lab3 baseline --encoder %s`", e.short, e.short))
		}
	}
	for _, g := range gs {
		if _, at := EncoderName(g.variant); at == len(sentenceEncoders) {
			if err := row(g); err != nil {
				return nil, err
			}
		}
	}
	return table.Of(t.DropEmpty(tagsHead)), nil
}
