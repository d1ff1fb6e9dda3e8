package report

import (
	"fmt"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/run"
	"dla/internal/table"
)

// part is a part of the recipe of Jordan 2024 (https://arxiv.org/abs/2404.00498) that an ablation leaves out.
type part struct {
	name    string
	missing func(settings map[string]string) bool // as settingsOf returns them
}

// has returns a predicate: whether the setting key has one of the JSON values.
func has(key string, values ...string) func(map[string]string) bool {
	return func(settings map[string]string) bool {
		for _, v := range values {
			if settings[key] == v {
				return true
			}
		}
		return false
	}
}

// parts are in the order in which the paper adds them.
var parts = []part{
	{"whitening", has("model.init", `"random"`, `"dirac"`)},
	{"identity initialisation (dirac)", has("model.init", `"random"`, `"whiten"`)},
	{"larger rate of biases", has("train.groups.bias_lr", "1")},
	{"average of the weights", has("train.average.kind", `"none"`)},
	{"alternating flip", has("data.augment.alternate", "false")},
}

// ablated is the runs of a recipe with all parts, or without one.
type ablated struct {
	label        string
	plain, views []float64 // test accuracy without and with test-time augmentation, of each seed
	steps        []int
}

// ablation sorts recs into the runs with all parts, first, and those without each part. Runs without several parts, and
// runs without test-time augmentation, are errors.
func ablation(recs []run.Record) ([]ablated, error) {
	rows := []ablated{{label: "all parts"}}
	for _, p := range parts {
		rows = append(rows, ablated{label: "without " + p.name})
	}
	for _, r := range recs {
		if r.Result == nil {
			continue
		}
		res, err := resultOf(r)
		if err != nil {
			return nil, err
		}
		if res.TestViews == nil {
			return nil, fmt.Errorf("run %s has no accuracy with test-time augmentation; an ablation is of runs with --views",
				r.ID)
		}
		at := 0
		settings := settingsOf(r)
		for i, p := range parts {
			if !p.missing(settings) {
				continue
			}
			if at > 0 {
				return nil, fmt.Errorf("run %s lacks %s and %s; an ablation leaves out one part at a time", r.ID,
					parts[at-1].name, p.name)
			}
			at = i + 1
		}
		if len(r.Metrics) == 0 {
			return nil, fmt.Errorf("run %s has no metrics; an ablation is of runs of equal length", r.ID)
		}
		a := &rows[at]
		a.plain, a.views = append(a.plain, res.Test.Accuracy), append(a.views, res.TestViews.Accuracy)
		a.steps = append(a.steps, r.Metrics[len(r.Metrics)-1].Step)
	}
	if len(rows[0].views) == 0 {
		return nil, fmt.Errorf("no run has all parts of the recipe; an ablation compares with one")
	}
	kept := rows[:1]
	for _, a := range rows[1:] {
		if len(a.views) == 0 {
			continue
		}
		kept = append(kept, a)
	}
	for _, a := range kept {
		for _, n := range a.steps {
			if n != rows[0].steps[0] {
				return nil, fmt.Errorf("%s: a run has %d steps, the first with all parts %d; an ablation is of equal length",
					a.label, n, rows[0].steps[0])
			}
		}
	}
	// The plain accuracy of the runs with all parts is that without the views.
	return append(kept, ablated{label: "without test-time augmentation", views: rows[0].plain}), nil
}

// ablationTable returns the accuracies of ablation as a table, with the difference from all parts in points.
func ablationTable(recs []run.Record) (table.Tables, error) {
	rows, err := ablation(recs)
	if err != nil {
		return nil, err
	}
	t := table.New("lrrrr", "recipe", "seeds", "test accuracy %, test-time augmentation", "difference, points",
		"test accuracy %")
	whole, _ := metrics.MeanStd(rows[0].views)
	for i, a := range rows {
		mean, _ := metrics.MeanStd(a.views)
		var difference table.Cell
		if i > 0 {
			difference = table.Number("%+.2f", 100*(mean-whole))
		}
		plain := spread(percent(a.plain))
		views := spread(percent(a.views))
		if len(a.plain) == 0 { // the last row is of plain accuracies
			plain, views = views, table.Cell{}
		}
		t.Row(a.label, len(a.views), views, difference, plain)
	}
	return table.Of(t.Mark(table.Largest, false, viewsHead, testHead)), nil
}

func percent(fractions []float64) []float64 {
	var all []float64
	for _, f := range fractions {
		all = append(all, 100*f)
	}
	return all
}

// ablationFigure draws the accuracies of ablation into dir as ablation.png and .svg, with figures.json.
func ablationFigure(recs []run.Record, dir string) ([]string, error) {
	rows, err := ablation(recs)
	if err != nil {
		return nil, err
	}
	d := plot.Dots{Title: "What each part of the recipe is worth",
		Subtitle: setName(recs[0]) + fmt.Sprintf(" · %d steps · a dot for each seed, a line at the mean", rows[0].steps[0]),
		Warning:  warning(recs), XLabel: "test accuracy with test-time augmentation", Percent: true}
	for i, a := range rows {
		d.Rows = append(d.Rows, plot.DotRow{Label: a.label, Values: a.views, Accent: i == 0})
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	files, err := d.Save(filepath.Join(dir, "ablation"))
	if err != nil {
		return nil, err
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}
