package report

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// attackResult holds what figures and tables use from the result of lab4 fgsm.
type attackResult struct {
	record.Attacks

	steps int // of PGD
	shown []attack.Example
}

// attacksOf reads r's result and examples, and checks what figures need.
func attacksOf(r run.Record) (attackResult, error) {
	var res attackResult
	if err := record.Read(r, &res.Attacks); err != nil {
		return res, err
	}
	b, err := r.Attached(res.Examples)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(b, &res.shown); err != nil {
		return res, fmt.Errorf("run %s: %s: %w", r.ID, res.Examples.File, err)
	}
	for _, e := range res.shown {
		px := e.H * e.W * e.C
		for _, class := range []int{int(e.Label), int(e.Goal), e.Before.Class, e.After.Class} {
			if class < 0 || class >= len(res.Classes) {
				return res, fmt.Errorf("run %s: %s has an image of class %d, of %d; put back a good copy of the run", r.ID,
					res.Examples.File, class, len(res.Classes))
			}
		}
		if len(e.Image) != px || len(e.Changed) != px || e.C != 1 && e.C != 3 {
			return res, fmt.Errorf("run %s: %s has an image of the wrong size; put back a good copy of the run", r.ID,
				res.Examples.File)
		}
	}
	var c struct {
		PGD struct {
			Steps int `yaml:"steps"`
		} `yaml:"pgd"`
	}
	if err := yaml.Unmarshal(r.Config, &c); err != nil {
		return res, fmt.Errorf("run %s: config.yaml: %w", r.ID, err)
	}
	res.steps = c.PGD.Steps
	return res, nil
}

// of returns the outcomes of one attack in L-infinity.
func (r attackResult) of(kind string, targeted bool) []attack.Outcome {
	return slices.DeleteFunc(slices.Clone(r.Attacks.Attacks), func(o attack.Outcome) bool {
		return o.Attack != kind || o.Targeted != targeted || o.Norm != attack.Linf
	})
}

// AttackFigures draws a run of lab4 fgsm into dir: curves against epsilon, and examples.
func AttackFigures(r run.Record, dir string) ([]string, error) {
	var files []string
	for _, draw := range []func(run.Record, string) ([]string, error){attackCurves, attackExamples(false, "untargeted"),
		attackExamples(true, "targeted")} {
		names, err := draw(r, dir)
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil // figures.json is written by each
}

// one turns a function that draws one record into one that draws the only record of a section.
func one(draw func(run.Record, string) ([]string, error)) func([]run.Record, string) ([]string, error) {
	return func(recs []run.Record, dir string) ([]string, error) {
		if len(recs) != 1 {
			return nil, fmt.Errorf("the section has %d runs but shows one; choose it by its id with select", len(recs))
		}
		return draw(recs[0], dir)
	}
}

// attackCurves draws accuracy, success of targeted attacks and confidence against epsilon.
func attackCurves(r run.Record, dir string) ([]string, error) {
	res, err := attacksOf(r)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	sweep := res.of("fgsm", false)
	var names []string
	for _, o := range sweep {
		names = append(names, fmt.Sprint(o.Eps))
	}
	curve := func(label, kind string, targeted bool, colour int, value func(attack.Outcome) float64) plot.Curve {
		c := plot.Curve{Label: label, Colour: colour}
		list := res.of(kind, targeted)
		if still := res.of("fgsm", targeted); kind == "pgd" && len(list) > 0 && list[0].Eps > 0 && len(still) > 0 &&
			still[0].Eps == 0 {
			list = append(still[:1], list...) // at 0 no attack changes anything, which a self-check verifies
		}
		for _, o := range list {
			if at := slices.IndexFunc(sweep, func(s attack.Outcome) bool { return s.Eps == o.Eps }); at >= 0 {
				c.X, c.Mean = append(c.X, float64(at)), append(c.Mean, value(o))
			}
		}
		return c
	}
	accuracy := func(o attack.Outcome) float64 { return o.Accuracy }
	success := func(o attack.Outcome) float64 { return o.Success.Value }
	confidence := func(o attack.Outcome) float64 { return o.Confidence }
	chance := plot.Curve{Label: "chance", Colour: 6, Dashed: true}
	for i := range sweep {
		chance.X, chance.Mean = append(chance.X, float64(i)), append(chance.Mean, 1/float64(len(res.Classes)))
	}
	kinds := append(slices.Clone(attackColours), res.further()...)
	var accuracies, successes, confidences []plot.Curve
	for _, k := range kinds {
		accuracies = append(accuracies, curve(res.label(k.name), k.name, false, k.colour, accuracy))
		if len(res.of(k.name, true)) > 0 {
			successes = append(successes, curve(res.label(k.name)+", targeted", k.name, true, k.colour, success))
		}
		if k.name != "square" { // a single point, of other images
			confidences = append(confidences, curve(res.label(k.name), k.name, false, k.colour, confidence))
		}
	}
	var files []string
	for _, f := range []struct {
		name, title, label string
		curves             []plot.Curve
	}{
		{"accuracy", "Accuracy under attack", "accuracy", append(accuracies, chance)},
		{"success", "Targeted attacks", "images classified as the target class", successes},
		{"confidence", "Confidence under attack", "mean probability of the predicted class", confidences},
	} {
		fig := plot.Figure{Title: f.title, Subtitle: res.about(r), Warning: warning([]run.Record{r}),
			XLabel: "epsilon (L-infinity), in steps of 1/255",
			XNames: names, YLabel: f.label, Percent: true, Curves: f.curves}
		made, err := fig.Save(filepath.Join(dir, f.name))
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
	}
	name, err := writeTraces([]run.Record{r}, dir)
	return append(files, name), err
}

// attackColour is an attack with the colour of its curves.
type attackColour struct {
	name   string
	colour int
}

// attackColours are the attacks of the default settings, in the order of their curves. Colour 6 is that of chance.
var attackColours = []attackColour{{"noise", 2}, {"fgsm", 0}, {"pgd", 1}, {"square", 3}}

// further returns the attacks in r that attackColours does not have.
func (r attackResult) further() (all []attackColour) {
	for _, o := range r.Attacks.Attacks {
		same := func(k attackColour) bool { return k.name == o.Attack }
		if slices.ContainsFunc(attackColours, same) || slices.ContainsFunc(all, same) {
			continue
		}
		all = append(all, attackColour{o.Attack, 7 + len(all)})
	}
	return all
}

// about returns a figure's subtitle.
func (r attackResult) about(rec run.Record) string {
	return fmt.Sprintf("%s on %s · %d test images, accuracy %.1f %%", r.Network, setName(rec), r.Test.N,
		100*r.Test.Accuracy)
}

// attackExamples draws the recorded examples, targeted or untargeted: the image, the change and the changed image,
// with the network's predictions.
func attackExamples(targeted bool, name string) func(run.Record, string) ([]string, error) {
	return func(r run.Record, dir string) ([]string, error) {
		res, err := attacksOf(r)
		if err != nil {
			return nil, err
		}
		if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
			return nil, fmt.Errorf("figures: %w", err)
		}
		rows := []plot.GridRow{{Label: "image"}, {Label: "change,\nscaled"}, {Label: "image\n+ change"}}
		eps := 0.0
		for _, e := range res.shown {
			if e.Targeted != targeted {
				continue
			}
			eps = e.Eps
			says := func(p attack.Prediction) string { return fmt.Sprintf("%s\n%.1f %%", res.Classes[p.Class], 100*p.P) }
			picture := func(b []byte) plot.Picture { return plot.Picture{H: e.H, W: e.W, Pixels: b} }
			rows[0].Cells = append(rows[0].Cells, plot.Cell{Picture: picture(e.Image), Caption: says(e.Before)})
			change := plot.Cell{Picture: picture(e.Contrast())}
			if targeted {
				change.Caption = "target: " + res.Classes[e.Goal]
			}
			rows[1].Cells = append(rows[1].Cells, change)
			rows[2].Cells = append(rows[2].Cells, plot.Cell{Picture: picture(e.Changed), Caption: says(e.After),
				Alert: e.After.Class != int(e.Label)})
		}
		var files []string
		if len(rows[0].Cells) > 0 {
			title := fmt.Sprintf("FGSM, epsilon %g/255", eps)
			if targeted {
				title = fmt.Sprintf("Targeted FGSM, epsilon %g/255", eps)
			}
			g := plot.Grid{Title: title, Subtitle: fmt.Sprintf("%s on %s · predictions with probability; %s", res.Network,
				setName(r), res.rate(targeted, eps)),
				Warning: warning([]run.Record{r}), Rows: rows}
			if files, err = g.Save(filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
		trace, err := writeTraces([]run.Record{r}, dir)
		return append(files, trace), err
	}
}

// rate returns how often the attack of the examples succeeds, if that was measured.
func (r attackResult) rate(targeted bool, eps float64) string {
	for _, o := range r.of("fgsm", targeted) {
		if o.Eps == eps && targeted {
			return fmt.Sprintf("success on %.1f %% of all images", 100*o.Success.Value)
		}
		if o.Eps == eps {
			return fmt.Sprintf("accuracy falls from %.1f %% to %.1f %%", 100*r.Test.Accuracy, 100*o.Accuracy)
		}
	}
	return fmt.Sprintf("accuracy without attack %.1f %%", 100*r.Test.Accuracy)
}

// Attacks returns the runs of lab4 fgsm as tables: the sweep over epsilon, other attacks, the transfer matrix
// and the self-checks.
func Attacks(recs []run.Record) (ts table.Tables, err error) {
	for _, r := range recs {
		res, err := attacksOf(r)
		if err != nil {
			return nil, err
		}
		ts = append(ts, res.tables()...)
		ts.Say("%s on %s, %d test images, accuracy %.2f %%; seed %d, %s kernels. "+
			"Epsilon is in steps of 1/255; confidence is the mean probability of the predicted class.",
			res.Network, setName(r), res.Test.N, 100*res.Test.Accuracy, r.Seed, r.Env.Kernel)
	}
	return ts, nil
}

func (r attackResult) tables() table.Tables {
	percent := func(list []attack.Outcome, eps float64, value func(attack.Outcome) float64) table.Cell {
		if i := slices.IndexFunc(list, func(o attack.Outcome) bool { return o.Eps == eps }); i >= 0 {
			return table.Number("%.2f", 100*value(list[i]))
		}
		return table.Cell{Text: absent}
	}
	accuracy := func(o attack.Outcome) float64 { return o.Accuracy }
	success := func(o attack.Outcome) float64 { return o.Success.Value }
	rounded := func(o attack.Outcome) float64 { return o.Rounded }
	confidence := func(o attack.Outcome) float64 { return o.Confidence }
	noise, fgsm, pgd := r.of("noise", false), r.of("fgsm", false), r.of("pgd", false)
	targeted, targetedPGD := r.of("fgsm", true), r.of("pgd", true)
	sweep := table.New("rrrrrrrr", "epsilon", "noise: accuracy %", "FGSM: accuracy %",
		"FGSM, rounded to 8 bits: accuracy %", "FGSM: confidence %",
		fmt.Sprintf("PGD-%d: accuracy %%", r.steps), "targeted FGSM: success %", fmt.Sprintf("targeted PGD-%d: success %%",
			r.steps))
	for _, o := range fgsm {
		sweep.Row(o.Eps, percent(noise, o.Eps, accuracy), percent(fgsm, o.Eps, accuracy), percent(fgsm, o.Eps, rounded),
			percent(fgsm, o.Eps, confidence), percent(pgd, o.Eps, accuracy), percent(targeted, o.Eps, success),
			percent(targetedPGD, o.Eps, success))
	}
	ts := table.Of(sweep)
	r.others(&ts)
	r.matrix(&ts)
	checks := table.New("lll", "self-check", "result", "found")
	for _, c := range r.Checks {
		checks.Row(c.What, c.Word(), c.Found)
	}
	ts.Add(checks)
	return ts
}

// inSweep are the attacks that have columns in the table of the sweep.
var inSweep = []string{"fgsm", "noise", "pgd"}

// others adds the attacks that have no column in the sweep: those in L2, and those by other methods.
func (r attackResult) others(ts *table.Tables) {
	others := slices.DeleteFunc(slices.Clone(r.Attacks.Attacks), func(o attack.Outcome) bool {
		return o.Norm != attack.L2 && slices.Contains(inSweep, o.Attack)
	})
	if len(others) == 0 {
		return
	}
	heads, align := []string{"attack", "radius", "images", "accuracy %", "95 % interval"}, "llrrr"
	if slices.ContainsFunc(others, func(o attack.Outcome) bool { return o.Targeted }) {
		heads, align = append(heads, "success %"), align+"r"
	}
	t := table.New(align, heads...)
	for _, o := range others {
		label, radius := r.label(o.Attack), fmt.Sprintf("%g/255", o.Eps)
		if o.Norm == attack.L2 {
			label, radius = label+", L2", fmt.Sprint(o.Eps)
		}
		var success table.Cell
		if o.Targeted {
			label, success = label+", targeted", table.Number("%.2f", 100*o.Success.Value)
		}
		lo, hi := 100*o.CI95[0], 100*o.CI95[1]
		bounds := table.Interval(fmt.Sprintf("%.2f-%.2f", lo, hi), 100*o.Accuracy, lo, hi)
		bounds.Value.N = o.N
		t.Row(label, radius, o.N, table.Number("%.2f", 100*o.Accuracy), bounds, success)
	}
	ts.Add(t)
}

// label returns the display name of an attack, with the steps of PGD.
func (r attackResult) label(name string) string {
	switch m, err := attack.Find(name); {
	case name == "pgd":
		return attackName(attack.Outcome{Attack: name}, r.steps)
	case err == nil && m.Blind:
		return m.Label + ", no gradients"
	}
	return attack.Label(name)
}

// matrix adds the accuracy of each network on images crafted on another one.
func (r attackResult) matrix(ts *table.Tables) {
	var on []string
	for _, t := range r.Transfer {
		if !slices.Contains(on, t.On) {
			on = append(on, t.On)
		}
	}
	if len(on) == 0 {
		return
	}
	heads := []string{"crafted on, by"}
	for _, network := range on {
		heads = append(heads, network+": accuracy %")
	}
	m := table.New("l"+strings.Repeat("r", len(on)), heads...)
	for list := range slices.Chunk(r.Transfer, len(on)) {
		row := []any{fmt.Sprintf("%s, %s at %g/255", list[0].For, attack.Label(list[0].Attack), list[0].Eps)}
		for _, t := range list {
			row = append(row, table.Number("%.2f", 100*t.Accuracy()))
		}
		m.Row(row...)
	}
	ts.Add(m)
	ts.Say("On the first %d test images.", r.Transfer[0].N)
}

// examplesTable returns the predictions in a figure of examples as a table.
func examplesTable(targeted bool) func([]run.Record) (table.Tables, error) {
	return func(recs []run.Record) (table.Tables, error) {
		t := table.New("rlll", "test image", "class", "before", "after")
		if targeted {
			t = table.New("rllll", "test image", "class", "target class", "before", "after")
		}
		for _, r := range recs {
			res, err := attacksOf(r)
			if err != nil {
				return nil, err
			}
			for _, e := range res.shown {
				if e.Targeted != targeted {
					continue
				}
				predicted := func(p attack.Prediction) string { return fmt.Sprintf("%s, %.1f %%", res.Classes[p.Class], 100*p.P) }
				row := []any{e.Index, res.Classes[e.Label]}
				if targeted {
					row = append(row, res.Classes[e.Goal])
				}
				t.Row(append(row, predicted(e.Before), predicted(e.After))...)
			}
		}
		return table.Of(t), nil
	}
}
