package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/run"
)

// gradNorms draws the gradient's norm against the layer, from input to output, in the first and in the
// last epoch, of those runs that recorded it: how far it falls or grows on its way back from the output. A
// line is the mean over a variant's seeds. Where no run recorded it there is no figure.
func gradNorms(recs []run.Record, gs []*group, dir string) ([]string, error) {
	fig := plot.Figure{Title: "Gradient by layer", Warning: warning(recs),
		XLabel: "layer, from input to output", YLabel: "norm of the gradient of its weights, mean over the epoch", Log: true}
	var drawn []*group
	for _, g := range gs {
		first, last, err := g.gradNorms()
		if err != nil {
			return nil, err
		}
		if len(first) == 0 {
			continue
		}
		x := make([]float64, len(first))
		for i := range x {
			x[i] = float64(i + 1)
		}
		colour := len(drawn)
		drawn = append(drawn, g)
		fig.Curves = append(fig.Curves, plot.Curve{Label: g.label() + ", first epoch", X: x, Mean: first, Colour: colour},
			plot.Curve{Label: g.label() + ", last", X: x, Mean: last, Colour: colour, Dashed: true})
	}
	if len(drawn) == 0 {
		return nil, nil
	}
	fig.Subtitle = subtitle(recs, drawn, "mean")
	return fig.Save(filepath.Join(dir, "grad_norms"))
}

// gradientFigure draws the gradients by layer alone, of runs that all recorded them.
func gradientFigure(recs []run.Record, dir string) ([]string, error) {
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	files, err := gradNorms(recs, groups(recs), dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no run recorded gradient norms; train with --grad-norms")
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

// gradientTable is the two ends of that figure's lines as a Markdown table, a variant a row.
func gradientTable(recs []run.Record) (string, error) {
	var b strings.Builder
	b.WriteString("| network | layers | seeds | first epoch: first layer | last layer | last epoch: first layer | last layer |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, g := range groups(recs) {
		first, last, err := g.gradNorms()
		if err != nil {
			return "", err
		}
		if n := len(first); n > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %.2g | %.2g | %.2g | %.2g |\n", g.label(), n, len(g.runs), first[0], first[n-1], last[0], last[n-1])
		}
	}
	return b.String(), nil
}

// gradNorms are the means over g's seeds of the first and of the last epoch's norms, a layer each; empty
// where no run recorded them.
func (g *group) gradNorms() (first, last []float64, err error) {
	var firsts, lasts [][]float64
	for _, r := range g.runs {
		all, err := gradNormsOf(r)
		if err != nil {
			return nil, nil, err
		}
		if len(all) > 0 {
			firsts, lasts = append(firsts, all[0].Norms), append(lasts, all[len(all)-1].Norms)
		}
	}
	return meanByLayer(firsts), meanByLayer(lasts), nil
}

// meanByLayer averages norms, a row a run.
func meanByLayer(norms [][]float64) []float64 {
	if len(norms) == 0 {
		return nil
	}
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

// gradNormsOf reads what r recorded, an epoch each; none where it did not or is not finished.
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
		all = append(all, n)
	}
	return slices.Clip(all), nil
}
