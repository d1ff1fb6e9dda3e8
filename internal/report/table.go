package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// resultOf reads the result of a classifier's training.
func resultOf(r run.Record) (record.Classifier, error) {
	var res record.Classifier
	return res, record.Read(r, &res)
}

// row is one variant in the table.
type row struct {
	label                   string
	layers                  model.Layers
	result                  record.Classifier // of its last seed, for values that all seeds share
	tests, vals, last, wall []float64
	tags                    string
	views                   viewed
	lastTests               []float64 // of the last epoch's weights, of the runs where they were tested
}

// Table returns the finished runs of recs as a table, one row per variant: mean and sample standard deviation over
// seeds. The column of convolution layers is left out if no network has any; so are columns of what was measured for
// none of them, such as the validation accuracy of trainings on all images. The kindsOfTraining have tables of their
// own.
func Table(recs []run.Record) (table.Tables, error) {
	for _, k := range kindsOfTraining {
		its, others := k.separate(recs)
		if len(its) == 0 {
			continue
		}
		own, err := k.table(its)
		if err != nil || len(others) == 0 {
			return own, err
		}
		rest, err := Table(others)
		return append(rest, own...), err
	}
	var rows []row
	lastTested := false // beside other weights that were selected
	for _, g := range groups(recs) {
		w := row{label: g.label(), tags: g.tags(), views: viewed{}}
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			res, err := resultOf(r)
			if err != nil {
				return nil, err
			}
			if w.layers, err = layersOf(r); err != nil {
				return nil, err
			}
			w.result = res
			w.tests, w.wall = append(w.tests, 100*res.Test.Accuracy), append(w.wall, res.WallSeconds)
			w.vals, w.last = addMeasured(w.vals, res.Val), addMeasured(w.last, res.LastVal)
			w.views.add(res.TestViews)
			if last := res.LastTested(); last != nil {
				w.lastTests = append(w.lastTests, 100*last.Accuracy)
			}
			lastTested = lastTested || res.TestLast != nil
		}
		if len(w.tests) > 0 {
			rows = append(rows, w)
		}
	}
	columns := []struct {
		head string
		cell func(row) any
	}{
		{"network", func(r row) any { return r.label }},
		{"blocks", func(r row) any { return r.layers.Blocks }},
		{"conv layers", func(r row) any { return r.layers.Convs }},
		{"parameters", func(r row) any { return r.result.Params }},
		{"MFLOP per image", func(r row) any { return table.Number("%.1f", 2*float64(r.result.MACs)/1e6) }},
		{"seeds", func(r row) any { return len(r.tests) }},
		{valBest, func(r row) any { return spread(r.vals) }},
		{valLast, func(r row) any { return spread(r.last) }},
		{testHead, func(r row) any { return accuracyCell(r.tests, r.result.Test.N) }},
		{viewsHead, func(r row) any { return r.views.cell() }},
		{testLast, func(r row) any {
			if !lastTested || len(r.lastTests) < len(r.tests) {
				return ""
			}
			return spread(r.lastTests)
		}},
		{"wall time, s", func(r row) any { return meanOf("%.1f", r.wall) }},
		{tagsHead, func(r row) any { return r.tags }},
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return r.layers.Convs > 0 }) {
		columns = slices.Delete(columns, 2, 3)
	}
	var heads []string
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	t := table.New("l"+strings.Repeat("r", len(heads)-2)+"l", heads...)
	for _, r := range rows {
		var cells []any
		for _, c := range columns {
			cells = append(cells, c.cell(r))
		}
		t.Row(cells...)
	}
	t.DropEmpty(heads...) // measured for none of the networks
	if len(rows) == 0 {
		t = table.New(strings.Repeat("r", len(heads)-1), heads[:len(heads)-1]...)
	}
	t.Mark(table.Largest, false, valBest, valLast, viewsHead, testLast).Mark(table.Largest, true, testHead)
	return table.Of(t), nil
}

// Heads of columns.
const (
	valBest   = "val_acc %, best epoch"
	valLast   = "val_acc %, last epoch"
	testHead  = "test accuracy %"
	testLast  = "test accuracy %, last epoch"
	viewsHead = "test accuracy %, test-time augmentation"
	tagsHead  = "tags"
)

// layersOf counts the layers of r's network.
func layersOf(r run.Record) (model.Layers, error) {
	var c struct {
		Model config.Model `yaml:"model"`
	}
	if err := yaml.Unmarshal(r.Config, &c); err != nil {
		return model.Layers{}, fmt.Errorf("run %s: config.yaml: %w", r.ID, err)
	}
	m, err := model.New(model.Spec{Name: c.Model.Name, Depth: c.Model.Depth, Width: c.Model.Width, Res: c.Model.Res,
		Init: c.Model.Init, Shortcut: c.Model.Shortcut},
		model.CIFAR10)
	if err != nil {
		return model.Layers{}, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return m.Layers(), nil
}

// wilson returns the 95 % Wilson interval of the mean of accuracies, given in percent, on n examples.
func wilson(accuracies []float64, n int) table.Cell {
	mean, _ := metrics.MeanStd(accuracies)
	lo, hi := metrics.WilsonMean(mean/100, n)
	c := table.Interval(fmt.Sprintf("%.2f–%.2f, n = %d", 100*lo, 100*hi, n), mean, 100*lo, 100*hi)
	c.Value.N = n
	return c
}

// accuracyCell returns spread of accuracies in percent, with the Wilson interval on n examples where there is one seed.
func accuracyCell(accuracies []float64, n int) table.Cell {
	c := spread(accuracies)
	if len(accuracies) != 1 || n == 0 {
		return c
	}
	lo, hi := metrics.WilsonMean(accuracies[0]/100, n)
	return c.Within(100*lo, 100*hi)
}

// addMeasured appends the accuracy of m in percent to all, if there is one.
func addMeasured(all []float64, m run.Measure) []float64 {
	if !m.Measured() {
		return all
	}
	return append(all, 100*m.Accuracy)
}

// viewed collects the test accuracies with test-time augmentation of runs, in percent, by the name of the views.
type viewed map[string][]float64

// add adds that of a run; nil: it has none.
func (a viewed) add(v *record.Views) {
	if v != nil {
		a[v.Views] = append(a[v.Views], 100*v.Accuracy)
	}
}

// cell returns "94.01 ± 0.12 (shift)", and an empty cell where there is none.
func (a viewed) cell() table.Cell {
	var all []string
	var only *table.Value
	for _, name := range slices.Sorted(maps.Keys(a)) {
		c := spread(a[name])
		only = c.Value
		all = append(all, fmt.Sprintf("%s (%s)", c.Text, name))
	}
	if len(all) != 1 {
		only = nil // numbers of different views
	}
	return table.Cell{Text: strings.Join(all, ", "), Value: only}
}

// spread returns mean ± standard deviation, the value alone if there is only one, or an empty cell if there is none.
func spread(x []float64) table.Cell { return table.Spread("%.2f", x) }

// meanOf returns the cell of a mean that is shown alone.
func meanOf(format string, x []float64) table.Cell {
	c := table.Spread(format, x)
	if c.Value != nil {
		c.Text = fmt.Sprintf(format, c.Value.Mean)
	}
	return c
}
