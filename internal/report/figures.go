// Package report makes figures and tables from run records, and from nothing else.
package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/plainfile"
	"dla/internal/plot"
	"dla/internal/run"
	"dla/internal/table"
)

// group is the runs of one variant with the same settings, which differ by seed only.
type group struct {
	variant string
	run.Label
	alone       bool // no other group has the same network with another recipe
	settings    map[string]string
	differences []string // from other groups of the variant: see nameSettings
	runs        []run.Record
}

// Values of Label.Skips and Label.Method.
const (
	residual               = "residual"
	distilled              = "distilled"
	adversariallyFineTuned = "adversarially fine-tuned"
	adversariallyTrained   = "adversarially trained" // from initial weights
)

// robust reports whether g was trained by lab4 robust.
func (g *group) robust() bool {
	return g.Method == adversariallyFineTuned || g.Method == adversariallyTrained
}

// groups sorts records by variant: by network, then plain before residual.
func groups(recs []run.Record) []*group {
	var all []*group
	for _, r := range recs {
		settings := settingsOf(r)
		i := slices.IndexFunc(all, func(g *group) bool {
			return g.variant == r.Variant && maps.Equal(g.settings, settings)
		})
		if i < 0 {
			all = append(all, &group{variant: r.Variant, Label: LabelOf(r), settings: settings})
			i = len(all) - 1
		}
		all[i].runs = append(all[i].runs, r)
	}
	nameSettings(all)
	skips := func(g *group) int {
		if g.Skips == residual {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Network, b.Network), skips(a)-skips(b),
			strings.Compare(a.Recipe, b.Recipe), len(a.differences)-len(b.differences))
	})
	for _, g := range all {
		g.alone = !slices.ContainsFunc(all, func(o *group) bool {
			return o.Network == g.Network && o.Skips == g.Skips && o.Recipe != "" && o.Recipe != g.Recipe
		})
		slices.SortStableFunc(g.runs, func(a, b run.Record) int { return cmp.Compare(a.Seed, b.Seed) })
	}
	return all
}

// kind is one of the figures that every training has.
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

// measured says what a figure of k shows of g.
func (g *group) measured(k kind) string {
	switch {
	case k.name == "loss" && g.Method == distilled:
		return "cross-entropy; distilled: with the soft-label loss"
	case k.name == "loss" && g.robust():
		return "cross-entropy with the outlier loss"
	case g.robust():
		return k.label + ", mean of clean and attacked images"
	}
	return k.label
}

// trace is an entry of figures.json: a run that a figure was made from.
type trace struct {
	Run           string `json:"run"`
	Variant       string `json:"variant"`
	Seed          uint64 `json:"seed"`
	Revision      string `json:"revision"`
	MetricsSHA256 string `json:"metrics_sha256,omitempty"` // for a training
	ResultSHA256  string `json:"result_sha256,omitempty"`  // for an evaluation
}

// own are the experiments that train nothing: how a single record of one is drawn, and its table.
var own = map[string]struct {
	figures func(run.Record, string) ([]string, error)
	table   func([]run.Record) (table.Tables, error)
}{"lab4/fgsm": {AttackFigures, Attacks}, "lab4/ood": {OODFigures, oodTable("")}}

// OwnTable returns the tables of the record of an evaluation; ok is false for a training.
func OwnTable(r run.Record) (ts table.Tables, ok bool, err error) {
	o, ok := own[r.Experiment]
	if !ok || r.Result == nil {
		return nil, ok, nil
	}
	ts, err = o.table([]run.Record{r})
	return ts, true, err
}

// Tables returns Table of the trainings among recs, then the tables of every other record.
func Tables(recs []run.Record) (table.Tables, error) {
	var trainings []run.Record
	var all table.Tables
	for _, r := range recs {
		t, ok, err := OwnTable(r)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, t...)
		} else {
			trainings = append(trainings, r)
		}
	}
	if len(trainings) > 0 {
		t, err := Table(trainings)
		if err != nil {
			return nil, err
		}
		all = append(t, all...)
	}
	return all, nil
}

// kindOfTraining is an experiment whose runs share figures and a table of their own.
type kindOfTraining struct {
	experiment, folder string
	figures            func([]run.Record, string) ([]string, error)
	table              func([]run.Record) (table.Tables, error)
}

var kindsOfTraining = []kindOfTraining{
	{"lab4/autoencoder", "autoencoder", autoencoderFigures, autoencoderTable},
	{"lab3/baseline", "baseline", baselineFigures, Baseline},
	{"lab3/finetune", "finetune", trainingFigures, Finetuning},
}

// separate divides recs into the runs of k and the others.
func (k kindOfTraining) separate(recs []run.Record) (its, others []run.Record) {
	for _, r := range recs {
		if r.Experiment == k.experiment {
			its = append(its, r)
		} else {
			others = append(others, r)
		}
	}
	return its, others
}

// Figures draws loss, val_loss and accuracy against the epoch, one line per variant (mean and range over its seeds),
// as PNG and SVG into dir, with figures.json, which names the runs they were made from. What no run measured is not
// drawn. Runs on different data are an error. The record of an evaluation has its own figures, in a folder named after
// it if recs has other runs; the kindsOfTraining have theirs, all runs of one together.
func Figures(recs []run.Record, dir string) ([]string, error) {
	var files []string
	var trainings []run.Record
	rest := recs
	for _, k := range kindsOfTraining {
		its, others := k.separate(rest)
		if rest = others; len(its) == 0 {
			continue
		}
		at := dir
		if len(recs) > len(its) {
			at = filepath.Join(dir, k.folder)
		}
		names, err := k.figures(its, at)
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	for _, r := range rest {
		o, ok := own[r.Experiment]
		if !ok {
			trainings = append(trainings, r)
			continue
		}
		at := dir
		if len(recs) > 1 {
			var err error
			if at, err = below(dir, r.ID); err != nil {
				return nil, err
			}
		}
		names, err := o.figures(r, at)
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	if len(trainings) == 0 && len(files) > 0 {
		return files, nil
	}
	names, err := trainingFigures(trainings, dir)
	return append(files, names...), err
}

// trainingFigures draws the figures of trainings of classifiers.
func trainingFigures(recs []run.Record, dir string) ([]string, error) {
	var files []string
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	gs := groups(recs)
	for _, k := range kinds {
		fig := plot.Figure{Title: k.title, Subtitle: subtitle(recs, gs, "mean and range"), Warning: warning(recs),
			XLabel: "epoch", YLabel: k.label, Percent: k.percent, Log: k.log}
		for _, g := range gs {
			curve := g.curve(k, gs)
			if len(curve.X) == 0 {
				continue // without validation images
			}
			fig.Curves = append(fig.Curves, curve)
			if label := g.measured(k); label != k.label {
				fig.YLabel = label
			}
		}
		if len(fig.Curves) == 0 {
			continue
		}
		names, err := fig.Save(filepath.Join(dir, k.name))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	names, err := gradNorms(recs, dir)
	if err != nil {
		return nil, err
	}
	files = append(files, names...)
	if names, err = robustFigures(gs, dir); err != nil {
		return nil, err
	}
	files = append(files, names...)
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

// below creates the folder name in dir, and dir, and returns its path. The name comes from a record, so a link that
// leads out of dir is not followed.
func below(dir, name string) (path string, err error) {
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	_, missing := root.Stat(name)
	err = root.MkdirAll(name, 0o777)
	for in := name; err == nil && missing != nil && in != "."; { // durable, one by one
		in = filepath.Dir(in)
		err = atomicfile.SyncDir(filepath.Join(dir, in))
	}
	if err == nil {
		var at *os.File
		if at, err = root.Open(name); err == nil { // it may be a link that existed before
			err = at.Close()
		}
	}
	if err = errors.Join(err, root.Close()); err != nil {
		return "", fmt.Errorf("figures in %s: %w", dir, err)
	}
	return filepath.Join(dir, filepath.FromSlash(name)), nil
}

// SyntheticNote returns the note that accompanies every result on the synthetic set called name.
func SyntheticNote(name string) string {
	switch name {
	case "synthetic-digits":
		return "synthetic digits, not MNIST"
	case "synthetic-sentences":
		return "synthetic sentences, not reviews"
	}
	return "synthetic images, not photographs"
}

// warning returns the text that a figure of recs shows in red.
func warning(recs []run.Record) string {
	if d := recs[0].Env.Data; d.Synthetic {
		return SyntheticNote(d.Name)
	}
	return ""
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
			return fmt.Errorf("runs %s and %s are on different data (%s, %s) and cannot share a figure", recs[0].ID, r.ID,
				recs[0].Env.Data.Name, r.Env.Data.Name)
		}
	}
	return nil
}

// subtitle names the data of recs, the number of seeds, and what is shown of several seeds.
func subtitle(recs []run.Record, gs []*group, shown string) string {
	low, high := len(gs[0].runs), len(gs[0].runs)
	for _, g := range gs {
		low, high = min(low, len(g.runs)), max(high, len(g.runs))
	}
	seeds := fmt.Sprintf("%d seeds each: %s", low, shown)
	switch {
	case low != high:
		seeds = fmt.Sprintf("%d to %d seeds each: %s", low, high, shown)
	case low == 1:
		seeds = "1 seed"
	}
	return setName(recs[0]) + " · " + seeds
}

// setName returns the display name of r's data set.
func setName(r run.Record) string { return data.Title(r.Env.Data.Name) }

// curve returns the group's line: at each epoch the mean and the range over the seeds that reached it and measured k.
func (g *group) curve(k kind, all []*group) plot.Curve {
	c := g.style(all)
	for e := 1; ; e++ {
		var vs []float64
		for _, r := range g.runs {
			for _, m := range r.Metrics {
				if v := k.value(m); m.Epoch == e && !math.IsNaN(v) {
					vs = append(vs, v)
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

// style returns a line of g without points: one colour per network and recipe in all, dashed for a network without
// skips among networks with skips.
func (g *group) style(all []*group) plot.Curve {
	c := plot.Curve{Label: g.label(),
		Dashed: g.Skips != residual && slices.ContainsFunc(all, func(o *group) bool { return o.Skips == residual })}
	var networks []string // with their methods and recipes
	for _, o := range all {
		if !slices.Contains(networks, o.hue()) {
			networks = append(networks, o.hue())
		}
	}
	c.Colour = slices.Index(networks, g.hue())
	return c
}

// label returns the variant in readers' words.
func (g *group) label() string {
	label := g.Network
	if g.Skips != "" {
		label += " " + g.Skips
	}
	if g.Method != "" {
		label += ", " + g.Method
		if g.Recipe != "" && !g.alone {
			label += " (" + g.Recipe + ")"
		}
	}
	return strings.Join(append([]string{label}, g.differences...), ", ")
}

// tags returns the tags of g's runs in words.
func (g *group) tags() string {
	var all []string
	for _, r := range g.runs {
		for _, t := range r.Tags {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return strings.Join(all, ", ")
}

// writeTraces writes figures.json.
func writeTraces(recs []run.Record, dir string) (string, error) {
	var ts []trace
	for _, g := range groups(recs) {
		for _, r := range g.runs {
			t := trace{Run: r.ID, Variant: r.Variant, Seed: r.Seed, Revision: r.Env.Revision}
			name, sha := "metrics.jsonl", &t.MetricsSHA256
			if len(r.Metrics) == 0 {
				name, sha = "result.json", &t.ResultSHA256
			}
			b, err := plainfile.Read(filepath.Join(r.Dir, name), run.MaxFile)
			if err != nil {
				return "", fmt.Errorf("figures: %w", err)
			}
			sum := sha256.Sum256(b)
			*sha = hex.EncodeToString(sum[:])
			ts = append(ts, t)
		}
	}
	b, err := json.MarshalIndent(ts, "", "  ")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "figures.json")
	return name, atomicfile.WriteBytes(name, append(b, '\n'))
}
