package sweep

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"dla/internal/atomicfile"
	"dla/internal/plot"
)

// figuresDir is the folder of a sweep's figures, and tableName and resultsName are its tables.
const (
	figuresDir  = "figures"
	tableName   = "trials.csv"
	resultsName = "results.md"
)

// mostAxes bounds the axes of a figure: the most important settings are drawn.
const mostAxes = 8

// Search returns what the figures of r show: a point for each of the settings, after as many epochs as it has come to.
// data names the data, warning is what a reader must not miss.
func (r *Results) Search(data, warning string) plot.Search {
	seeds := 0
	for _, s := range r.Settings {
		seeds = max(seeds, s.Seeds)
	}
	f := plot.Search{Title: "Sweep of " + r.Experiment, Warning: warning, Smaller: r.Objective.Measure == ValLoss,
		Best: -1, Subtitle: fmt.Sprintf("%s · %d settings of %d seeds: mean", data, len(r.Settings), seeds)}
	if seeds == 1 {
		f.Subtitle = fmt.Sprintf("%s · %d settings of 1 seed", data, len(r.Settings))
	}
	f.Objective = plot.Variable{Label: r.Objective.Measure, Percent: r.Objective.Measure == ValAccuracy}
	for _, s := range r.Settings {
		f.Objective.Values = append(f.Objective.Values, s.Mean)
	}
	if w := r.Winner(); w != nil && !math.IsNaN(w.Mean) {
		f.Best = 0
	}
	for _, im := range r.Importance[:min(mostAxes, len(r.Importance))] {
		at := slices.IndexFunc(r.Varied, func(v Varied) bool { return v.Key == im.Key })
		var values []string
		for _, s := range r.Settings {
			values = append(values, s.Values[at])
		}
		f.Settings = append(f.Settings, variable(im.Key, values))
	}
	return f
}

// fewValues is the largest number of different numbers that an axis shows one by one, as it shows words.
const fewValues = 6

// variable returns the axis of a setting. Many numbers above 0 that span a factor of 30 are on a logarithmic axis.
func variable(key string, values []string) plot.Variable {
	v := plot.Variable{Label: key}
	for _, s := range values {
		if !slices.Contains(v.Names, s) {
			v.Names = append(v.Names, s)
		}
	}
	x, numbers := ordered(values)
	if numbers && len(v.Names) > fewValues {
		return plot.Variable{Label: key, Values: x, Log: slices.Min(x) > 0 && slices.Max(x) >= 30*slices.Min(x)}
	}
	slices.SortFunc(v.Names, func(a, b string) int {
		if numbers {
			return cmp.Compare(x[slices.Index(values, a)], x[slices.Index(values, b)])
		}
		return cmp.Compare(a, b)
	})
	for _, s := range values {
		v.Values = append(v.Values, float64(slices.Index(v.Names, s)))
	}
	return v
}

// Figures draws the parallel coordinates and the scatter chart of r into the folder dir and returns the files' names;
// none where nothing was varied or measured.
func (r *Results) Figures(dir, data, warning string) ([]string, error) {
	s := r.Search(data, warning)
	if len(s.Settings) == 0 || !slices.ContainsFunc(s.Objective.Values, func(v float64) bool { return !math.IsNaN(v) }) {
		return nil, nil
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	files, err := s.SaveParallel(filepath.Join(dir, "parallel"))
	if err != nil {
		return nil, err
	}
	more, err := s.SaveScatter(filepath.Join(dir, "scatter"))
	return append(files, more...), err
}

// Write writes the tables and figures of r into the folder dir of the sweep and returns the files' names.
func (r *Results) Write(dir, data, warning string) ([]string, error) {
	table, err := r.CSV()
	if err != nil {
		return nil, err
	}
	var files []string
	for name, text := range map[string]string{tableName: table, resultsName: "# Sweep of " + r.Experiment + "\n\n" +
		r.Tables().Page()} {
		path := filepath.Join(dir, name)
		if err := atomicfile.WriteBytes(path, []byte(text)); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	slices.Sort(files)
	figures, err := r.Figures(filepath.Join(dir, figuresDir), data, warning)
	return append(files, figures...), err
}
