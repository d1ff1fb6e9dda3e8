package report

import (
	"cmp"
	"encoding/json"
	"errors"
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

// oodOf reads the result of an evaluation of detectors.
func oodOf(r run.Record) (record.OOD, error) {
	var res record.OOD
	return res, record.Read(r, &res)
}

// only returns the one record of recs; more or fewer are an error.
func only(recs []run.Record) (run.Record, error) {
	if len(recs) != 1 {
		return run.Record{}, fmt.Errorf("the section has %d runs but shows one; choose it by its id with select", len(recs))
	}
	return recs[0], nil
}

// oodTable returns a function that makes the table of one set of outliers.
func oodTable(set string) func([]run.Record) (table.Tables, error) {
	return func(recs []run.Record) (table.Tables, error) {
		rec, err := only(recs)
		if err != nil {
			return nil, err
		}
		return OODTable(rec, set)
	}
}

// The two conventions of FPR95 by their names in tables.
const (
	fpr95In  = "FPR95 (ID positive)"
	fpr95Out = "FPR95 (OOD positive)"

	fpr95Note = "FPR95: false-positive rate at 95 % true-positive rate, with in-distribution images as positives " +
		"(ID positive, as in Liang et al. 2018) or with outliers as positives (OOD positive, as in OpenOOD and on its " +
		"leaderboards)."

	absent = "–" // stands for a value that the record of an earlier version lacks
)

// oodOverview returns AUROC and both kinds of FPR95 for every detector and set of the only record of recs, as a
// table sorted by AUROC on the first set.
func oodOverview(recs []run.Record) (table.Tables, error) {
	rec, err := only(recs)
	if err != nil {
		return nil, err
	}
	res, err := oodOf(rec)
	if err != nil {
		return nil, err
	}
	if len(res.Sets) == 0 {
		return nil, fmt.Errorf("run %s: no set was evaluated", rec.ID)
	}
	heads := []string{"detector"}
	for _, s := range res.Sets {
		heads = append(heads, short(s)+": AUROC", fpr95In, fpr95Out)
	}
	t := table.New("l"+strings.Repeat("rrr", len(res.Sets)), heads...)
	for _, x := range scoresOn(res, res.Sets[0].Name) {
		row := []any{detectorOf(res, x.Detector).Label}
		for _, s := range res.Sets {
			i := slices.IndexFunc(res.Scores, func(y record.OODScore) bool {
				return y.Set == s.Name &&
					y.Detector == x.Detector
			})
			if i < 0 {
				return nil, fmt.Errorf("run %s: there is no score of %s on %s", rec.ID, x.Detector, s.Name)
			}
			y := res.Scores[i]
			out := table.Cell{Text: absent}
			if y.FPR95Out.Known {
				out = table.Number("%.1f", 100*y.FPR95Out.Value)
			}
			row = append(row, table.Number("%.1f", 100*y.AUROC), table.Number("%.1f", 100*y.FPR95), out)
		}
		t.Row(row...)
	}
	for _, s := range res.Sets {
		t.Mark(table.Largest, false, short(s)+": AUROC")
	}
	ts := table.Of(t.Mark(table.Least, false, fpr95In, fpr95Out))
	if res.Note != "" {
		ts.Say("NOTE: %s.", res.Note)
	}
	return ts, nil
}

// OODTable returns the detectors of rec on the set called set, or on all sets if that is empty, as tables with
// the best detector first: each measure in percent with its 95 % interval.
func OODTable(rec run.Record, set string) (ts table.Tables, err error) {
	res, err := oodOf(rec)
	if err != nil {
		return nil, err
	}
	found := false
	for _, s := range res.Sets {
		if set != "" && s.Name != set {
			continue
		}
		found = true
		scores := scoresOn(res, s.Name)
		if len(scores) == 0 {
			return nil, fmt.Errorf("there are no scores of the set %s", s.Name)
		}
		altered := ""
		if s.Shift {
			altered = ": the same images altered, so a detector that judges content alone reaches an AUROC of 50"
		}
		ts.Say("%s (%d images) against %s (%d)%s. Classifier %s, test accuracy %.2f %%.", res.In.About, res.In.N,
			today.Replace(s.About), s.N, altered, res.Network, 100*res.TestAccuracy)
		if left := s.Copies(); left != "" {
			ts.Say("Of the set %s %s.", s.Name, left)
		}
		if res.Note != "" {
			ts.Say("NOTE: %s.", res.Note)
		}
		t := table.New("lrrrrrrl", "detector", "AUROC", fmt.Sprintf("AUPR in (chance %.1f)", 100*scores[0].BaseIn),
			fmt.Sprintf("AUPR out (chance %.1f)",
				100*scores[0].BaseOut), fpr95In, fpr95Out, "detection accuracy", "hyperparameter")
		for _, x := range scores {
			d := detectorOf(res, x.Detector)
			setting := ""
			if d.Parameter != "" {
				setting = fmt.Sprintf("%s %g", d.Parameter, d.Value.Value)
			}
			if d.File != "" {
				setting = "scores of " + d.File
			}
			out := table.Cell{Text: absent}
			if x.FPR95Out.Known {
				out = interval(x.FPR95Out.Value, x.CI95.FPR95Out.Value)
			}
			t.Row(d.Label, interval(x.AUROC, x.CI95.AUROC), interval(x.AUPRIn, x.CI95.AUPRIn),
				interval(x.AUPROut, x.CI95.AUPROut), interval(x.FPR95, x.CI95.FPR95), out,
				interval(x.Accuracy, x.CI95.Accuracy), setting)
		}
		t.Mark(table.Largest, false, "AUROC", t.Columns[2].Head, t.Columns[3].Head, "detection accuracy")
		ts.Add(t.Mark(table.Least, false, fpr95In, fpr95Out))
	}
	if !found {
		return nil, fmt.Errorf("the set %s was not evaluated", set)
	}
	ts.Say("Values are percentages, with 95 %% bootstrap intervals from %d resamples in brackets. %s "+
		"Detection accuracy is that of the best threshold, with both kinds of image weighted equally. "+
		"Hyperparameters were chosen on %d %s; none of these is evaluated. "+
		"Sign check: the AUROC of a perfect detector is %g, of its negation %g, of a constant %g.",
		res.Resamples, fpr95Note, res.Tuning.In, res.Tuning.About, res.Signs.Perfect, res.Signs.Negated, res.Signs.Constant)
	return ts, nil
}

func interval(v float64, ci [2]float64) table.Cell {
	return table.Interval(fmt.Sprintf("%.2f (%.2f–%.2f)", 100*v, 100*ci[0], 100*ci[1]), 100*v, 100*ci[0], 100*ci[1])
}

// scoresOn returns the scores on a set, the best AUROC first.
func scoresOn(res record.OOD, set string) []record.OODScore {
	scores := slices.DeleteFunc(slices.Clone(res.Scores), func(x record.OODScore) bool { return x.Set != set })
	slices.SortStableFunc(scores, func(a, b record.OODScore) int { return cmp.Compare(b.AUROC, a.AUROC) })
	return scores
}

func detectorOf(res record.OOD, name string) record.OODDetector {
	if i := slices.IndexFunc(res.Detectors, func(d record.OODDetector) bool { return d.Name == name }); i >= 0 {
		d := res.Detectors[i]
		d.Parameter = today.Replace(d.Parameter)
		return d
	}
	return record.OODDetector{Name: name, Label: name}
}

// today replaces words in texts of older records by those in use today.
var today = strings.NewReplacer("training part", "training split", "share of ", "fraction of ")

// oodFolders are the folders of figures that the lab names.
var oodFolders = map[string]string{"fake": "FakeData", "cifar100-people": "CIFAR100 OOD"}

// OODFigures draws the figures of every set of rec into a folder of its own under dir.
func OODFigures(rec run.Record, dir string) ([]string, error) {
	res, err := oodOf(rec)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, s := range res.Sets {
		at, err := below(dir, cmp.Or(oodFolders[s.Name], s.Name))
		if err != nil {
			return nil, err
		}
		names, err := oodSetFigures(rec, s.Name, at)
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	return files, nil
}

// labFigures are the detectors that the lab draws, with the lab's names of their figures.
var labFigures = []struct{ detector, name, score string }{
	{"max-softmax", "soft", "1 - max softmax"},
	{"mse", "mse", "mean squared error of the reconstruction"},
}

// oodFigures returns a function that draws the figures of one set.
func oodFigures(set string) func(run.Record, string) ([]string, error) {
	return func(rec run.Record, dir string) ([]string, error) { return oodSetFigures(rec, set, dir) }
}

// oodSetFigures draws the figures of the set called name into dir: sorted scores, histogram and ROC curve of the lab's
// two detectors; ROC curves, histograms and sorted scores of all detectors; and the images with the worst scores.
func oodSetFigures(rec run.Record, name, dir string) ([]string, error) {
	res, err := oodOf(rec)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(res.Sets, func(s record.OODSet) bool { return s.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("run %s: the set %s was not evaluated", rec.ID, name)
	}
	b, err := rec.Attached(res.Curves)
	if err != nil {
		return nil, err
	}
	o := oodDrawing{res: res, set: res.Sets[i], dir: dir}
	if err := json.Unmarshal(b, &o.curves); err != nil {
		return nil, fmt.Errorf("run %s: %s: %w", rec.ID, res.Curves.File, err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("run %s: %s: %w; put back a good copy of the run", rec.ID, res.Curves.File, err)
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	for _, draw := range []func() error{o.lab, o.rocs, o.panels, o.misses} {
		if err := draw(); err != nil {
			return nil, err
		}
	}
	traces, err := writeTraces([]run.Record{rec}, dir)
	return append(o.files, traces), err
}

// oodDrawing draws the figures of a set.
type oodDrawing struct {
	res    record.OOD
	set    record.OODSet
	curves record.OODCurves
	dir    string
	files  []string
}

// check returns an error if the curves cannot be drawn.
func (o *oodDrawing) check() error {
	for _, c := range o.curves.Curves {
		if len(c.ROCIn) != len(c.ROCOut) || len(c.ROCIn) == 0 || len(c.HistIn) != len(c.HistOut) {
			return fmt.Errorf("the curves of detector %s on %s are incomplete", c.Detector, c.Set)
		}
	}
	return nil
}

// saver is a figure of any kind.
type saver interface {
	Save(base string) ([]string, error)
}

func (o *oodDrawing) save(name string, f saver) error {
	files, err := f.Save(filepath.Join(o.dir, name))
	o.files = append(o.files, files...)
	return err
}

// names returns the names of both kinds of image.
func (o *oodDrawing) names() (in, out string) {
	return short(o.res.In), short(o.set)
}

// short returns the name of a set in figures.
func short(s record.OODSet) string {
	about, _, _ := strings.Cut(s.About, ":")
	switch s.Name {
	case "fake":
		return "FakeData noise"
	case "cifar100-people":
		return "CIFAR-100 people"
	case "cifar10-jpeg":
		return "CIFAR-10 as JPEG"
	}
	return strings.ReplaceAll(about, ", test set", " test")
}

// sub returns the grey line of every figure.
func (o *oodDrawing) sub() string {
	in, out := o.names()
	return fmt.Sprintf("%s (%d) against %s (%d)", in, o.res.In.N, out, o.set.N)
}

// curve returns the curve and the score of a detector; false if there is none.
func (o *oodDrawing) curve(detector string) (record.OODCurve, record.OODScore, bool) {
	i := slices.IndexFunc(o.curves.Curves, func(c record.OODCurve) bool {
		return c.Set == o.set.Name &&
			c.Detector == detector
	})
	k := slices.IndexFunc(o.res.Scores, func(x record.OODScore) bool {
		return x.Set == o.set.Name &&
			x.Detector == detector
	})
	if i < 0 || k < 0 {
		return record.OODCurve{}, record.OODScore{}, false
	}
	return o.curves.Curves[i], o.res.Scores[k], true
}

// lab draws the lab's figures of its two detectors.
func (o *oodDrawing) lab() error {
	in, out := o.names()
	for _, l := range labFigures {
		c, x, ok := o.curve(l.detector)
		if !ok {
			continue
		}
		label := detectorOf(o.res, l.detector).Label
		sorted := plot.Figure{Title: "Sorted scores: " + label, Subtitle: o.sub(), Warning: o.res.Note,
			XLabel: "images in order of score, %", YLabel: l.score,
			Curves: []plot.Curve{rising(in, c.SortedIn, 0), rising(out, c.SortedOut, 4)}}
		hist := plot.Panels{Title: "Histogram: " + label, YLabel: "fraction of images", Subtitle: o.sub(),
			Warning: o.res.Note, XLabel: l.score + " (higher: more out-of-distribution)", Panels: []plot.Panel{o.panel(c, "")}}
		roc := plot.ROC{Title: "ROC: " + label, Subtitle: o.sub(), Warning: o.res.Note, XLabel: rocX(out), YLabel: rocY(in),
			Curves: []plot.Curve{o.roc(c, x, label)}}
		if err := errors.Join(o.save(l.name+"_plot", sorted), o.save(l.name+"_hist", hist),
			o.save(l.name+"_roc", roc)); err != nil {
			return err
		}
	}
	return nil
}

// rocX and rocY label the axes of ROC curves, with in-distribution images as positives.
func rocX(out string) string { return "false-positive rate: " + out + " accepted" }
func rocY(in string) string  { return "true-positive rate: " + in + " accepted" }

// rising returns the curve of sorted scores, which are given at even steps of rank.
func rising(label string, scores []float32, colour int) plot.Curve {
	c := plot.Curve{Label: label, Colour: colour}
	for i, v := range scores {
		c.X, c.Mean = append(c.X, 100*float64(i)/float64(max(1, len(scores)-1))), append(c.Mean, float64(v))
	}
	return c
}

// panel returns a detector's histogram.
func (o *oodDrawing) panel(c record.OODCurve, title string) plot.Panel {
	in, out := o.names()
	return plot.Panel{Title: title, Lo: c.Lo, Hi: c.Hi, Bars: []plot.Bars{{Label: in, Counts: c.HistIn, Of: o.res.In.N},
		{Label: out, Counts: c.HistOut, Of: o.set.N, Colour: 4}}}
}

// roc returns a detector's ROC curve.
func (o *oodDrawing) roc(c record.OODCurve, x record.OODScore, label string) plot.Curve {
	v := plot.Curve{Label: fmt.Sprintf("%s %.3f", label, x.AUROC)}
	for i := range c.ROCIn {
		v.X, v.Mean = append(v.X, float64(c.ROCOut[i])/float64(o.set.N)), append(v.Mean,
			float64(c.ROCIn[i])/float64(o.res.In.N))
	}
	return v
}

// rocs draws the ROC curves of all detectors, the best first.
func (o *oodDrawing) rocs() error {
	in, out := o.names()
	fig := plot.ROC{Title: "ROC of all detectors, with AUROC", Subtitle: o.sub(), Warning: o.res.Note, XLabel: rocX(out),
		YLabel: rocY(in)}
	for i, s := range scoresOn(o.res, o.set.Name) {
		c, x, ok := o.curve(s.Detector)
		if !ok {
			continue
		}
		v := o.roc(c, x, detectorOf(o.res, s.Detector).Label)
		v.Colour, v.Dashed = i, i >= 8
		fig.Curves = append(fig.Curves, v)
	}
	return o.save("roc_all", fig)
}

// panels draws the histograms and the sorted scores of all detectors, the best first.
func (o *oodDrawing) panels() error {
	in, out := o.names()
	hist := plot.Panels{Title: "Scores of all detectors (higher: more out-of-distribution)", Subtitle: o.sub(),
		Warning: o.res.Note, YLabel: "fraction of images", Columns: 3}
	sorted := plot.Panels{Title: "Sorted scores of all detectors", Subtitle: o.sub(), Warning: o.res.Note,
		YLabel: "score, against images in order of score, %", Columns: 3}
	for _, s := range scoresOn(o.res, o.set.Name) {
		c, x, ok := o.curve(s.Detector)
		if !ok {
			continue
		}
		title := fmt.Sprintf("%s  AUROC %.3f", detectorOf(o.res, s.Detector).Label, x.AUROC)
		hist.Panels = append(hist.Panels, o.panel(c, title))
		sorted.Panels = append(sorted.Panels, plot.Panel{Title: title,
			Curves: []plot.Curve{rising(in, c.SortedIn, 0), rising(out, c.SortedOut, 4)}})
	}
	return errors.Join(o.save("hist_all", hist), o.save("sorted_all", sorted))
}

// misses draws the images with the worst scores of the first detector.
func (o *oodDrawing) misses() error {
	in, out := o.names()
	fig := plot.Grid{Title: "Worst errors: " + o.res.Detectors[0].Label,
		Subtitle: "each with its class, the predicted class and its score", Warning: o.res.Note}
	for i, m := range o.curves.Misses {
		label := in + ",\nscored most\nout-of-distribution"
		if i > 0 { // after those in distribution
			label = out + ",\nscored most\nin-distribution"
			if m.Set != o.set.Name {
				continue
			}
		}
		row := plot.GridRow{Label: label}
		for _, i := range m.Images {
			row.Cells = append(row.Cells, plot.Cell{Picture: plot.Picture{H: i.H, W: i.W, Pixels: i.Pixels},
				Caption: fmt.Sprintf("%s\n→ %s\n%.3g", i.Class, i.Predicted, i.Score)})
		}
		fig.Rows = append(fig.Rows, row)
	}
	return o.save("misses", fig)
}
