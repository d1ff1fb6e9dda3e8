package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/record"
	"dla/internal/run"
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
	views                   viewed
	lastTests               []float64 // of the last epoch's weights, of the runs where they were tested
}

// Table returns the finished runs of recs as a Markdown table, one row per variant: mean and sample standard deviation
// over seeds. The column of convolution layers is left out if no network has any; so are columns of what was measured
// for none of them, such as the validation accuracy of trainings on all images. The kindsOfTraining have tables of
// their own.
func Table(recs []run.Record) (string, error) {
	for _, k := range kindsOfTraining {
		its, others := k.separate(recs)
		if len(its) == 0 {
			continue
		}
		table, err := k.table(its)
		if err != nil || len(others) == 0 {
			return table, err
		}
		rest, err := Table(others)
		return rest + "\n" + table, err
	}
	var rows []row
	lastTested := false // beside other weights that were selected
	for _, g := range groups(recs) {
		w := row{label: g.label(), views: viewed{}}
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			res, err := resultOf(r)
			if err != nil {
				return "", err
			}
			if w.layers, err = layersOf(r); err != nil {
				return "", err
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
		cell func(row) string
	}{
		{"network", func(r row) string { return r.label }},
		{"blocks", func(r row) string { return fmt.Sprint(r.layers.Blocks) }},
		{"conv layers", func(r row) string { return fmt.Sprint(r.layers.Convs) }},
		{"parameters", func(r row) string { return fmt.Sprint(r.result.Params) }},
		{"MFLOP per image", func(r row) string { return fmt.Sprintf("%.1f", 2*float64(r.result.MACs)/1e6) }},
		{"seeds", func(r row) string { return fmt.Sprint(len(r.tests)) }},
		{"val_acc %, best epoch", func(r row) string { return spread(r.vals) }},
		{"val_acc %, last epoch", func(r row) string { return spread(r.last) }},
		{"test accuracy %", func(r row) string { return spread(r.tests) }},
		{viewsHead, func(r row) string { return r.views.cell() }},
		{"test accuracy %, last epoch", func(r row) string {
			if !lastTested || len(r.lastTests) < len(r.tests) {
				return ""
			}
			return spread(r.lastTests)
		}},
		{"wall time, s", func(r row) string {
			mean, _ := metrics.MeanStd(r.wall)
			return fmt.Sprintf("%.1f", mean)
		}},
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return r.layers.Convs > 0 }) {
		columns = slices.Delete(columns, 2, 3)
	}
	var heads []string
	cells := make([][]any, len(rows))
	for _, c := range columns {
		var column []string
		for _, r := range rows {
			column = append(column, c.cell(r))
		}
		if len(rows) > 0 && !slices.ContainsFunc(column, func(cell string) bool { return cell != "" }) {
			continue // measured for none of the networks
		}
		heads = append(heads, c.head)
		for i, cell := range column {
			cells[i] = append(cells[i], cell)
		}
	}
	t := newTable("l"+strings.Repeat("r", len(heads)-1), heads...)
	for _, row := range cells {
		t.row(row...)
	}
	return t.String(), nil
}

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
func wilson(accuracies []float64, n int) string {
	mean, _ := metrics.MeanStd(accuracies)
	lo, hi := metrics.WilsonMean(mean/100, n)
	return fmt.Sprintf("%.2f–%.2f, n = %d", 100*lo, 100*hi, n)
}

// addMeasured appends the accuracy of m in percent to all, if there is one.
func addMeasured(all []float64, m run.Measure) []float64 {
	if !m.Measured() {
		return all
	}
	return append(all, 100*m.Accuracy)
}

// viewsHead is the head of the column of viewed.
const viewsHead = "test accuracy %, test-time augmentation"

// viewed collects the test accuracies with test-time augmentation of runs, in percent, by the name of the views.
type viewed map[string][]float64

// add adds that of a run; nil: it has none.
func (a viewed) add(v *record.Views) {
	if v != nil {
		a[v.Views] = append(a[v.Views], 100*v.Accuracy)
	}
}

// cell returns "94.01 ± 0.12 (shift)", and "" where there is none.
func (a viewed) cell() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		all = append(all, fmt.Sprintf("%s (%s)", spread(a[name]), name))
	}
	return strings.Join(all, ", ")
}

// spread returns mean ± standard deviation, the value alone if there is only one, or "" if there is none.
func spread(x []float64) string { return spreadOf("%.2f", x) }

// spreadOf is spread with a number format of its own.
func spreadOf(format string, x []float64) string {
	if len(x) == 0 {
		return ""
	}
	mean, sd := metrics.MeanStd(x)
	if math.IsNaN(sd) {
		return fmt.Sprintf(format, mean)
	}
	return fmt.Sprintf(format+" ± "+format, mean, sd)
}
