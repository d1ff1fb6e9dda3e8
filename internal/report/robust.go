package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// robustOf reads the comparison in r's result; nil if r is not a finished run of lab4 robust.
func robustOf(r run.Record) (*record.Robust, error) {
	if r.Result == nil {
		return nil, nil
	}
	res, err := resultOf(r)
	if err != nil {
		return nil, err
	}
	if c := res.Robust; c != nil && (len(c.Before) != len(c.After) || len(c.Before) == 0) {
		return nil, fmt.Errorf("run %s: result.json: the original and the adversarially trained network were not attacked alike; "+
			"put back a good copy of the run", r.ID)
	}
	return res.Robust, nil
}

// compared returns the comparisons in g's runs.
func (g *group) compared() (all []*record.Robust, err error) {
	for _, r := range g.runs {
		c, err := robustOf(r)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if len(all) > 0 && comparedOn(c) != comparedOn(all[0]) {
			return nil, fmt.Errorf("runs %s and %s were compared on different attacks or sets and cannot share a table",
				g.runs[0].ID, r.ID)
		}
		all = append(all, c)
	}
	return all, nil
}

// comparedOn lists the attacks and sets that the networks of c were compared on.
func comparedOn(c *record.Robust) string {
	var b strings.Builder
	fmt.Fprintln(&b, c.Clean.N, c.PGDSteps)
	for _, o := range c.Before {
		fmt.Fprintln(&b, o.Attack, o.Eps, o.N)
	}
	for _, s := range c.Sets {
		fmt.Fprintln(&b, s.Name, s.N)
		for _, d := range s.Scores {
			fmt.Fprintln(&b, d.Detector)
		}
	}
	return b.String()
}

// change is a measure before and after adversarial training, and the difference, each with its interval if it has one.
type change struct{ before, after, difference estimate }

// estimate is a number, NaN if the record lacks it, and its interval, nil if it has none.
type estimate struct {
	v  float64
	ci *[2]float64
}

// cell returns the numbers of several runs as mean and standard deviation, and the number of one run with its interval.
func cell(all []estimate, scale float64, format string) table.Cell {
	var vs []float64
	for _, e := range all {
		vs = append(vs, scale*e.v)
	}
	c := table.Spread(format, vs)
	if c.Value == nil || math.IsNaN(c.Value.Mean) {
		return table.Cell{Text: absent}
	}
	if ci := all[0].ci; ci != nil && len(all) == 1 {
		lo, hi := scale*ci[0], scale*ci[1]
		c = c.Within(lo, hi)
		c.Text += fmt.Sprintf(" ("+format+" to "+format+")", lo, hi)
	}
	return c
}

// Robust returns the finished runs of lab4 robust among recs as tables, one per variant: every measure before
// and after adversarial training, and the self-checks.
func Robust(recs []run.Record) (ts table.Tables, err error) {
	for _, g := range groups(recs) {
		all, err := g.compared()
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			continue
		}
		ts = append(ts, g.robustTables(all)...)
	}
	if len(ts) == 0 {
		return nil, fmt.Errorf("none of the runs is a finished one of lab4 robust")
	}
	return ts, nil
}

func (g *group) robustTables(all []*record.Robust) table.Tables {
	first := all[0]
	seeds := ""
	if len(all) > 1 {
		seeds = fmt.Sprintf(", %d seeds", len(all))
	}
	t := table.New("lrrr", g.label()+seeds, "before", "after", "change")
	line := func(label string, scale float64, format string, of func(*record.Robust) change) {
		var before, after, difference []estimate
		for _, r := range all {
			c := of(r)
			before, after, difference = append(before, c.before), append(after, c.after), append(difference, c.difference)
		}
		t.Row(label, cell(before, scale, format), cell(after, scale, format), cell(difference, scale, "%+"+format[1:]))
	}
	line(fmt.Sprintf("test accuracy %%, %d images", first.Clean.N), 100, "%.2f", func(r *record.Robust) change {
		c := &r.Clean
		return change{estimate{c.Before, &c.BeforeCI95}, estimate{c.After, &c.AfterCI95}, estimate{v: c.After - c.Before}}
	})
	for i, o := range first.Before {
		if o.Eps == 0 {
			continue
		}
		line(fmt.Sprintf("accuracy %% under %s, epsilon %g/255, %d images", attackName(o, first.PGDSteps), o.Eps, o.N), 100,
			"%.2f", func(r *record.Robust) change {
				x, y := &r.Before[i], &r.After[i]
				return change{estimate{x.Accuracy, &x.CI95}, estimate{y.Accuracy, &y.CI95}, estimate{v: y.Accuracy - x.Accuracy}}
			})
	}
	mean := func(label string, of func(*record.Robust) *record.ConfidencePair) {
		line("mean max softmax, "+label, 1, "%.4f", func(r *record.Robust) change {
			p := of(r)
			return change{estimate{v: p.Before}, estimate{v: p.After}, estimate{p.Shift, &p.CI95}}
		})
	}
	mean(fmt.Sprintf("test set, %d images", first.In.N), func(r *record.Robust) *record.ConfidencePair { return &r.In })
	for k, s := range first.Sets {
		mean(fmt.Sprintf("%s, %d images", short(s.OODSet), s.N),
			func(r *record.Robust) *record.ConfidencePair { return &r.Sets[k] })
	}
	for k, s := range first.Sets {
		for d, pair := range s.Scores {
			for _, m := range []struct {
				name string
				of   func(*record.Detected) estimate
			}{
				{"AUROC", func(x *record.Detected) estimate { return estimate{x.AUROC, &x.CI95.AUROC} }},
				{fpr95In, func(x *record.Detected) estimate { return estimate{x.FPR95, &x.CI95.FPR95} }},
				{fpr95Out, func(x *record.Detected) estimate {
					if !x.FPR95Out.Known {
						return estimate{v: math.NaN()}
					}
					return estimate{x.FPR95Out.Value, &x.CI95.FPR95Out.Value}
				}},
			} {
				if m.name == fpr95Out && !pair.Before.FPR95Out.Known {
					continue // a record of an earlier version
				}
				line(fmt.Sprintf("%s %% of %s, %s", m.name, pair.Label, short(s.OODSet)), 100, "%.2f",
					func(r *record.Robust) change {
						p := &r.Sets[k].Scores[d]
						x, y := m.of(&p.Before), m.of(&p.After)
						return change{x, y, estimate{v: y.v - x.v}}
					})
			}
		}
	}
	var b strings.Builder
	for i, c := range all {
		exact := ""
		if c.Clean.Exact {
			exact = ", exact"
		}
		fmt.Fprintf(&b, "McNemar's test of clean accuracy, seed %d: %d test images are correct only before, %d only after, "+
			"p = %.2g%s.\n",
			g.runs[i].Seed, c.Clean.OnlyBefore, c.Clean.OnlyAfter, c.Clean.P, exact)
	}
	var trained []string
	for _, s := range first.Trained {
		trained = append(trained, fmt.Sprintf("%s, %d images", s.About, s.N))
	}
	if len(trained) > 0 {
		fmt.Fprintf(&b, "Training outliers, none of which is evaluated: %s.\n", strings.Join(trained, "; "))
	}
	left := slices.Clone(first.Trained)
	for _, s := range first.Sets {
		left = append(left, s.OODSet)
	}
	for _, s := range left {
		if text := s.Copies(); text != "" {
			fmt.Fprintf(&b, "Of the set %s %s.\n", s.Name, text)
		}
	}
	fmt.Fprintf(&b, "Intervals are 95 %% intervals: Wilson's for accuracies; from %d bootstrap resamples for AUROC, FPR95 and "+
		"changes of max softmax, the last of differences per image. %s\n", first.Resamples, fpr95Note)
	checks := table.New("lrll", "self-check", "seed", "result", "found")
	for i, c := range all {
		for _, k := range c.Checks {
			checks.Row(k.What, g.runs[i].Seed, k.Word(), k.Found)
		}
	}
	ts := table.Of(t)
	ts.Say("%s", b.String())
	ts.Add(checks)
	return ts
}

// attackName returns the display name of the attack of o.
func attackName(o attack.Outcome, pgdSteps int) string {
	if o.Attack == "pgd" {
		return fmt.Sprintf("PGD-%d", pgdSteps)
	}
	return attack.Label(o.Attack)
}

// robustFolders are the folders of figures by set.
var robustFolders = map[string]string{"fake": "fake", "cifar100-people": "cifar"}

// robustFigures draws the effect of adversarial training from the finished runs among gs: accuracy under attack against
// epsilon, and for each set of outliers the histograms of max softmax before and after, from the first seed and in a
// folder of its own. Each of several variants has a folder.
func robustFigures(gs []*group, dir string) ([]string, error) {
	var files []string
	robust := slices.DeleteFunc(slices.Clone(gs), func(g *group) bool { return !g.robust() })
	for _, g := range robust {
		all, err := g.compared()
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			continue
		}
		at := dir
		if len(robust) > 1 {
			if at, err = below(dir, g.variant); err != nil {
				return nil, err
			}
		}
		names, err := g.drawRobust(all, at)
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	return files, nil
}

func (g *group) drawRobust(all []*record.Robust, dir string) ([]string, error) {
	i := slices.IndexFunc(g.runs, func(r run.Record) bool { return r.Result != nil })
	rec, first := g.runs[i], all[0]
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	fig := plot.Figure{Title: "Accuracy under attack, before and after adversarial training",
		Subtitle: subtitle(g.runs, []*group{g}, "mean and range"), Warning: warning(g.runs),
		XLabel: "epsilon (L-infinity), in steps of 1/255", YLabel: "accuracy", Percent: true}
	for n, kind := range []string{"fgsm", "pgd"} {
		for _, after := range []bool{false, true} {
			fig.Curves = append(fig.Curves, attackCurve(all, kind, after, n))
		}
	}
	files, err := fig.Save(filepath.Join(dir, "robustness"))
	if err != nil {
		return nil, err
	}
	b, err := rec.Attached(first.Histograms)
	if err != nil {
		return nil, err
	}
	var hs []record.Histogram
	if err := json.Unmarshal(b, &hs); err != nil {
		return nil, fmt.Errorf("run %s: %s: %w; put back a good copy of the run", rec.ID, first.Histograms.File, err)
	}
	if len(hs) != len(first.Sets)+1 {
		return nil, fmt.Errorf("run %s: %s has %d histograms, want %d; put back a good copy of the run", rec.ID,
			first.Histograms.File, len(hs), len(first.Sets)+1)
	}
	for k, s := range first.Sets {
		at, err := below(dir, cmp.Or(robustFolders[s.Name], s.Name))
		if err != nil {
			return nil, err
		}
		in, out := setName(rec)+" test", short(s.OODSet)
		panel := func(title string, a, b []int) plot.Panel {
			return plot.Panel{Title: title, Lo: 0, Hi: 1, Bars: []plot.Bars{{Label: in, Counts: a, Of: first.In.N},
				{Label: out, Counts: b, Of: s.N, Colour: 4}}}
		}
		h := plot.Panels{Title: "Max softmax before and after adversarial training", XLabel: "max softmax",
			YLabel: "fraction of images", Warning: warning(g.runs),
			Subtitle: fmt.Sprintf("mean for %s: %.3f before, %.3f after", out, s.Before, s.After),
			Panels:   []plot.Panel{panel("before", hs[0].Before, hs[k+1].Before), panel("after", hs[0].After, hs[k+1].After)}}
		names, err := h.Save(filepath.Join(at, "histogram"))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	return files, nil
}

// attackCurve returns accuracy against epsilon under one attack, before or after adversarial training: mean and range
// over the seeds.
func attackCurve(all []*record.Robust, kind string, after bool, colour int) plot.Curve {
	c := plot.Curve{Label: attackName(attack.Outcome{Attack: kind}, all[0].PGDSteps), Colour: colour, Dashed: !after}
	if after {
		c.Label += ", after"
	} else {
		c.Label += ", before"
	}
	for i, o := range all[0].Before {
		if o.Attack != kind {
			continue
		}
		var vs []float64
		for _, r := range all {
			list := r.Before
			if after {
				list = r.After
			}
			vs = append(vs, list[i].Accuracy)
		}
		mean, _ := metrics.MeanStd(vs)
		c.X, c.Mean, c.Lo, c.Hi = append(c.X, o.Eps), append(c.Mean, mean), append(c.Lo, slices.Min(vs)), append(c.Hi,
			slices.Max(vs))
	}
	return c
}
