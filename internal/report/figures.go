// Package report makes figures and tables of run records, and of nothing else.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/run"
)

// group is the runs of one variant, which differ by seed only.
type group struct {
	variant string
	depth   int
	res     bool
	runs    []run.Record
}

// groups sorts records into variants, by depth, then plain before residual.
func groups(recs []run.Record) []*group {
	var all []*group
	for _, r := range recs {
		i := slices.IndexFunc(all, func(g *group) bool { return g.variant == r.Variant })
		if i < 0 {
			g := &group{variant: r.Variant, res: strings.HasSuffix(r.Variant, "-res")}
			for _, part := range strings.Split(r.Variant, "-") {
				if n, err := fmt.Sscanf(part, "d%d", &g.depth); n == 1 && err == nil {
					break
				}
			}
			all = append(all, g)
			i = len(all) - 1
		}
		all[i].runs = append(all[i].runs, r)
	}
	slices.SortStableFunc(all, func(a, b *group) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		if a.res != b.res {
			if a.res {
				return 1
			}
			return -1
		}
		return strings.Compare(a.variant, b.variant)
	})
	for _, g := range all {
		slices.SortStableFunc(g.runs, func(a, b run.Record) int { return int(int64(a.Seed) - int64(b.Seed)) })
	}
	return all
}

// kind is one of the figures every training has.
type kind struct {
	name, title, label string
	percent, log       bool
	value              func(run.Epoch) float64
}

var kinds = []kind{
	{"loss", "Training loss", "cross-entropy", false, true, func(e run.Epoch) float64 { return e.Train.Loss }},
	{"val_loss", "Validation loss", "cross-entropy", false, true, func(e run.Epoch) float64 { return e.Val.Loss }},
	{"accuracy", "Validation accuracy", "accuracy", true, false, func(e run.Epoch) float64 { return e.Val.Accuracy }},
}

// trace is one entry of figures.json: a run a figure was made of.
type trace struct {
	Run           string `json:"run"`
	Variant       string `json:"variant"`
	Seed          uint64 `json:"seed"`
	Revision      string `json:"revision"`
	MetricsSHA256 string `json:"metrics_sha256"`
}

// Figures draws loss, val_loss and accuracy against the epoch, one line a variant (mean and range
// over its seeds), as PNG and SVG into dir, with figures.json, which names the runs they were made
// of. Runs on different data are not drawn together.
func Figures(recs []run.Record, dir string) ([]string, error) {
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	gs := groups(recs)
	var files []string
	for _, k := range kinds {
		fig := plot.Figure{Title: k.title, Subtitle: subtitle(recs, gs), XLabel: "epoch", YLabel: k.label, Percent: k.percent, Log: k.log}
		if d := recs[0].Env.Data; d.Synthetic {
			fig.Warning = "synthetic digits, not MNIST"
		}
		for _, g := range gs {
			fig.Curves = append(fig.Curves, g.curve(k, gs))
		}
		names, err := fig.Save(filepath.Join(dir, k.name))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

func drawable(recs []run.Record) error {
	if len(recs) == 0 {
		return fmt.Errorf("no runs to draw")
	}
	for _, r := range recs {
		if len(r.Metrics) == 0 {
			return fmt.Errorf("run %s has no finished epoch to draw", r.ID)
		}
		if r.Env.Data.Fingerprint != recs[0].Env.Data.Fingerprint {
			return fmt.Errorf("runs %s and %s are of different data (%s, %s) and do not belong in one figure", recs[0].ID, r.ID, recs[0].Env.Data.Name, r.Env.Data.Name)
		}
	}
	return nil
}

func subtitle(recs []run.Record, gs []*group) string {
	low, high := len(gs[0].runs), len(gs[0].runs)
	for _, g := range gs {
		low, high = min(low, len(g.runs)), max(high, len(g.runs))
	}
	seeds := fmt.Sprintf("%d seeds each: mean and range", low)
	switch {
	case low != high:
		seeds = fmt.Sprintf("%d to %d seeds each: mean and range", low, high)
	case low == 1:
		seeds = "1 seed"
	}
	name := recs[0].Env.Data.Name
	if name == "mnist" {
		name = "MNIST"
	}
	return name + " · " + seeds
}

// curve is the group's line: at each epoch the mean and the range over the seeds that have it.
func (g *group) curve(k kind, all []*group) plot.Curve {
	c := plot.Curve{Label: g.label(), Dashed: !g.res && slices.ContainsFunc(all, func(o *group) bool { return o.res })}
	depths := []int{}
	for _, o := range all {
		if !slices.Contains(depths, o.depth) {
			depths = append(depths, o.depth)
		}
	}
	c.Colour = slices.Index(depths, g.depth)
	for e := 1; ; e++ {
		var vs []float64
		for _, r := range g.runs {
			for _, m := range r.Metrics {
				if m.Epoch == e {
					vs = append(vs, k.value(m))
				}
			}
		}
		if len(vs) == 0 {
			return c
		}
		mean, _ := metrics.MeanStd(vs)
		c.X, c.Mean = append(c.X, float64(e)), append(c.Mean, mean)
		c.Lo, c.Hi = append(c.Lo, slices.Min(vs)), append(c.Hi, slices.Max(vs))
	}
}

// label is the variant as a reader would say it.
func (g *group) label() string {
	if !strings.HasPrefix(g.variant, "mlp-d") {
		return g.variant
	}
	kind := "plain"
	if g.res {
		kind = "residual"
	}
	return fmt.Sprintf("d%d %s", g.depth, kind)
}

// writeTraces writes figures.json.
func writeTraces(recs []run.Record, dir string) (string, error) {
	var ts []trace
	for _, g := range groups(recs) {
		for _, r := range g.runs {
			b, err := os.ReadFile(filepath.Join(r.Dir, "metrics.jsonl"))
			if err != nil {
				return "", fmt.Errorf("figures: %w", err)
			}
			sum := sha256.Sum256(b)
			ts = append(ts, trace{r.ID, r.Variant, r.Seed, r.Env.Revision, hex.EncodeToString(sum[:])})
		}
	}
	b, err := json.MarshalIndent(ts, "", "  ")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "figures.json")
	return name, atomicfile.WriteBytes(name, append(b, '\n'))
}

// result is what the table takes of result.json.
type result struct {
	Test struct {
		N        int     `json:"n"`
		Accuracy float64 `json:"accuracy"`
	} `json:"test"`
	Val struct {
		Accuracy float64 `json:"accuracy"`
	} `json:"val"`
	LastVal struct {
		Accuracy float64 `json:"accuracy"`
	} `json:"last_val"`
	Params      int     `json:"params"`
	WallSeconds float64 `json:"wall_seconds"`
}

// Table is the finished runs of recs as a Markdown table, a variant a row: mean and sample standard
// deviation over seeds.
func Table(recs []run.Record) (string, error) {
	var b strings.Builder
	b.WriteString("| network | parameters | seeds | val_acc %, best epoch | val_acc %, last epoch | test accuracy % | wall time, s |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, g := range groups(recs) {
		var test, val, last, wall []float64
		params := 0
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			var res result
			if err := json.Unmarshal(r.Result, &res); err != nil {
				return "", fmt.Errorf("run %s: result.json: %w", r.ID, err)
			}
			params = res.Params
			test, val = append(test, 100*res.Test.Accuracy), append(val, 100*res.Val.Accuracy)
			last, wall = append(last, 100*res.LastVal.Accuracy), append(wall, res.WallSeconds)
		}
		if len(test) == 0 {
			continue
		}
		mean, _ := metrics.MeanStd(wall)
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %.1f |\n", g.label(), params, len(test), spread(val), spread(last), spread(test), mean)
	}
	return b.String(), nil
}

// spread is mean ± standard deviation, the latter where there are two values or more.
func spread(x []float64) string {
	mean, sd := metrics.MeanStd(x)
	if math.IsNaN(sd) {
		return fmt.Sprintf("%.2f", mean)
	}
	return fmt.Sprintf("%.2f ± %.2f", mean, sd)
}
