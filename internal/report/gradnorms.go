package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/run"
	"dla/internal/table"
)

// gradNorms draws the norm of the gradient against the layer, from input to output, in the first and in the last
// epoch, one figure each, of the runs that recorded it. A line is the mean over a variant's seeds. Networks of
// different depth are drawn over the same width. If no run recorded norms there is no figure.
func gradNorms(recs []run.Record, dir string) ([]string, error) {
	recs, err := withGradNorms(recs)
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	gs := groups(recs)
	var curves [2][]plot.Curve // of the first and of the last epoch
	sameDepth := true
	for _, g := range gs {
		first, last, err := g.gradNorms()
		if err != nil {
			return nil, err
		}
		for i, norms := range [][]float64{first, last} {
			c := g.style(gs)
			c.Mean = norms
			curves[i] = append(curves[i], c)
		}
		sameDepth = sameDepth && len(first) == len(curves[0][0].Mean)
	}
	fig := plot.Figure{Subtitle: subtitle(recs, gs, "mean"),
		XLabel: "layer, from input to output", YLabel: "norm of the gradient of its weights, mean over the epoch", Log: true}
	if !sameDepth {
		fig.XLabel += ", in percent of the depth"
	}
	var files []string
	for i, epoch := range []struct{ file, name string }{{"grad_norms", "first"}, {"grad_norms_last", "last"}} {
		var missing []string // gradients of 0, which a logarithmic axis cannot show
		for j := range curves[i] {
			c := &curves[i][j]
			if slices.Max(c.Mean) == 0 {
				missing = append(missing, c.Label)
			}
			for l := range c.Mean {
				x := float64(l + 1)
				if !sameDepth {
					x = 100 * float64(l) / float64(max(1, len(c.Mean)-1))
				}
				c.X = append(c.X, x)
			}
		}
		fig.Title, fig.Curves = "Gradient by layer, "+epoch.name+" epoch", curves[i]
		fig.Warning = warning(recs)
		if missing != nil {
			fig.Warning = strings.TrimPrefix(fig.Warning+"; 0 in every layer: "+strings.Join(missing, ", "), "; ")
		}
		names, err := fig.Save(filepath.Join(dir, epoch.file))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	return files, nil
}

// withGradNorms returns the runs of recs that recorded gradient norms.
func withGradNorms(recs []run.Record) (those []run.Record, err error) {
	for _, r := range recs {
		norms, err := gradNormsOf(r)
		if err != nil {
			return nil, err
		}
		if len(norms) > 0 {
			those = append(those, r)
		}
	}
	return those, nil
}

// gradientFigure draws only the gradients by layer; it is an error if no run recorded them.
func gradientFigure(recs []run.Record, dir string) ([]string, error) {
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	files, err := gradNorms(recs, dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no run recorded gradient norms; train with --grad-norms")
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

// gradientTable returns both ends of that figure's lines as a table, one row per variant.
func gradientTable(recs []run.Record) (table.Tables, error) {
	recs, err := withGradNorms(recs)
	if err != nil {
		return nil, err
	}
	t := table.New("lrrrrrr", "network", "layers", "seeds", "first epoch: first layer", "last layer",
		"last epoch: first layer", "last layer")
	norm := func(v float64) table.Cell { return table.Number("%.2g", v) }
	for _, g := range groups(recs) {
		first, last, err := g.gradNorms()
		if err != nil {
			return nil, err
		}
		n := len(first)
		t.Row(g.label(), n, len(g.runs), norm(first[0]), norm(first[n-1]), norm(last[0]), norm(last[n-1]))
	}
	return table.Of(t), nil
}

// gradNorms returns the norms of the first and of the last epoch by layer, as means over g's seeds. All of these must
// have recorded norms.
func (g *group) gradNorms() (first, last []float64, err error) {
	var firsts, lasts [][]float64
	for _, r := range g.runs {
		all, err := gradNormsOf(r)
		if err != nil {
			return nil, nil, err
		}
		firsts, lasts = append(firsts, all[0].Norms), append(lasts, all[len(all)-1].Norms)
	}
	return meanByLayer(firsts), meanByLayer(lasts), nil
}

// meanByLayer averages norms, which have one row per run.
func meanByLayer(norms [][]float64) []float64 {
	mean := make([]float64, len(norms[0]))
	for i := range mean {
		var vs []float64
		for _, n := range norms {
			if i < len(n) {
				vs = append(vs, n[i])
			}
		}
		mean[i], _ = metrics.MeanStd(vs)
	}
	return mean
}

// gradNormsOf reads the norms that r recorded, by epoch; none if it recorded none or is not finished.
func gradNormsOf(r run.Record) ([]run.GradNorms, error) {
	if r.Result == nil {
		return nil, nil
	}
	res, err := resultOf(r)
	if err != nil || res.GradNorms == nil {
		return nil, err
	}
	b, err := r.Attached(*res.GradNorms)
	if err != nil {
		return nil, err
	}
	var all []run.GradNorms
	for line := range bytes.Lines(b) {
		var n run.GradNorms
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, fmt.Errorf("run %s: %s: %w", r.ID, res.GradNorms.File, err)
		}
		if len(n.Norms) == 0 || len(all) > 0 && len(n.Norms) != len(all[0].Norms) {
			return nil, fmt.Errorf("run %s: %s: epoch %d has %d norms; put back a good copy of the run", r.ID,
				res.GradNorms.File, n.Epoch, len(n.Norms))
		}
		all = append(all, n)
	}
	return slices.Clip(all), nil
}
