package labs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/plainfile"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// FGSMExperiment is the name of the experiment in records.
const FGSMExperiment = "lab4/fgsm"

// examplesName is the file of a run with the images of its figures.
const examplesName = "examples.json"

// fgsm attacks a trained network on its test set: FGSM, untargeted and targeted, and noise of the same size over a
// sweep of radii; PGD; the Square attack; and for several networks the transfer matrix. The record includes the
// figures' examples and the self-checks.
func fgsm() Experiment {
	e := newExperiment[config.FGSM, record.Attacks](FGSMExperiment, config.DefaultFGSM, openFGSM, planFGSM)
	return checked(e, func(cfg config.FGSM, opt Options) error {
		for _, name := range cfg.Attacks {
			if _, err := attack.Find(name); err != nil {
				return fmt.Errorf("attacks: %w", err)
			}
		}
		_, err := networksOf(&cfg, opt)
		return err
	})
}

// openFGSM loads the networks and their common data set.
func openFGSM(ctx context.Context, cfg config.FGSM, opt Options) (Job, error) {
	nets, ds, err := attacked(ctx, &cfg, opt)
	if err != nil {
		return nil, err
	}
	return attackJobOn(nets, ds, cfg)
}

// attackJob is the Job of fgsm.
type attackJob struct {
	cfg    config.FGSM
	nets   []*Network // their weights are named in cfg
	data   *data.Dataset
	target targetOf
}

func attackJobOn(nets []*Network, ds *data.Dataset, cfg config.FGSM) (*attackJob, error) {
	target, err := targets(cfg.Target, ds.Test.Classes, cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	return &attackJob{cfg, nets, ds, target}, nil
}

// Spec returns what a run of j records when it begins.
func (j *attackJob) Spec() run.Spec {
	return run.Spec{Experiment: FGSMExperiment, Variant: "fgsm-" + j.nets[0].Name, Seed: j.cfg.Seed,
		Config: marshal(j.cfg),
		Env:    run.Env{Data: imagesInfo(j.data)}}
}

// begun reports whether rec has finished attacks to continue from.
func (j *attackJob) begun(rec run.Record) bool {
	_, err := os.Lstat(filepath.Join(rec.Dir, madeName))
	return err == nil
}

// Run makes all attacks that r lacks.
func (j *attackJob) Run(ctx context.Context, r *run.Run, opt Options) (record.Result, error) {
	began := time.Now()
	if _, err := r.Restore(); err != nil {
		return nil, err
	}
	v, err := newTarget(j.nets[0], firstImages(j.data, j.cfg.Limit))
	if err != nil {
		return nil, err
	}
	made := attacksMade{r: r, Kernel: kernel.Level()}
	made.read(opt)
	before := made.Seconds
	res, err := j.attack(ctx, v, &made, opt)
	if err != nil {
		return nil, err
	}
	res.Note = syntheticNote(j.data.Name, j.data.Synthetic)
	res.WallSeconds = before + time.Since(began).Seconds()
	return res, made.forget()
}

// attacked loads the networks of cfg and their common data set.
func attacked(ctx context.Context, cfg *config.FGSM, opt Options) ([]*Network, *data.Dataset, error) {
	opt = opt.begun()
	nets, err := networksOf(cfg, opt)
	if err != nil {
		return nil, nil, err
	}
	ds, err := dataOfNetwork(ctx, nets[0], opt)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range nets {
		opt.Say("network: %s of %s, %d parameters, test accuracy %.2f %%", n.Name, n.Source, n.Params.Count(),
			100*n.Result.Test.Accuracy)
	}
	return nets, ds, nil
}

// networksOf loads the networks of cfg and enters their weights in cfg. Networks of different data sets are an error.
func networksOf(cfg *config.FGSM, opt Options) ([]*Network, error) {
	var nets []*Network
	for i, from := range cfg.Checkpoints {
		n, err := once(opt, "network "+from, func() (*Network, error) { return FindNetwork(opt.Root, from) })
		if err != nil {
			return nil, err
		}
		if len(cfg.Weights) > 0 && cfg.Weights[i] != n.Weights {
			return nil, fmt.Errorf("%s has weights with fingerprint %.12s…, want %.12s… (weights); make the "+
				"original network available again", n.Source, n.Weights, cfg.Weights[i])
		}
		nets = append(nets, n)
	}
	cfg.Weights = nil
	for _, n := range nets {
		cfg.Weights = append(cfg.Weights, n.Weights)
		if n.Data.Fingerprint != nets[0].Data.Fingerprint {
			return nil, fmt.Errorf("%s was trained on %s, but %s on %s with other images; name networks of one data set",
				nets[0].Source, nets[0].Data.Name, n.Source, n.Data.Name)
		}
	}
	return nets, nil
}

// firstImages returns the first n images of the test set, or all for 0. Images read from files are in the order of
// their hashes, so the first n are a random sample.
func firstImages(ds *data.Dataset, n int) data.Subset {
	all := data.All(ds.Test)
	if n > 0 {
		return all.First(n)
	}
	return all
}

// attacksMade holds the finished attacks of a run, saved so that a stopped run can continue. The result of an attack
// does not depend on earlier attacks.
type attacksMade struct {
	r       *run.Run
	Kernel  string           `json:"kernel"`
	Seconds float64          `json:"seconds"` // of all processes so far
	Attacks []attack.Outcome `json:"attacks"`
}

// madeName is the file of attacksMade while the run is not finished.
const madeName = "attacks.json"

// read reads the attacks that an earlier process saved. If they cannot be read, or were made with other kernels, whose
// results differ in the last bits, all attacks are made again.
func (m *attacksMade) read(opt Options) {
	var old attacksMade
	b, err := plainfile.Read(filepath.Join(m.r.Dir(), madeName), run.MaxFile)
	if err != nil || json.Unmarshal(b, &old) != nil || old.Kernel != m.Kernel {
		return
	}
	m.Attacks, m.Seconds = old.Attacks, old.Seconds
	opt.Say("%d attacks were made before", len(m.Attacks))
}

// next fills attacks with the saved outcomes, if these follow the first after ones.
func (m *attacksMade) next(after int, attacks []*attackRun) bool {
	if len(m.Attacks) < after+len(attacks) {
		return false
	}
	for i, w := range attacks {
		o := m.Attacks[after+i]
		if o.Attack != w.Attack || o.Targeted != w.Targeted || o.Norm != w.Norm || o.Eps != w.Eps {
			return false
		}
	}
	for i, w := range attacks {
		w.Outcome = m.Attacks[after+i]
	}
	return true
}

// keep saves all outcomes, and the time that they took.
func (m *attacksMade) keep(all []attack.Outcome, took time.Duration) error {
	m.Attacks = all
	m.Seconds += took.Seconds()
	_, err := attachJSON(m.r, madeName, m)
	return err
}

// forget removes the file, since the result will hold its content.
func (m *attacksMade) forget() error {
	err := os.Remove(filepath.Join(m.r.Dir(), madeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// attack makes all attacks.
func (j *attackJob) attack(ctx context.Context, v *target, made *attacksMade, opt Options) (*record.Attacks, error) {
	cfg := j.cfg
	res := &record.Attacks{Network: v.net.Name, Source: v.net.Source, Weights: v.net.Weights,
		Params: v.net.Params.Count(), Classes: v.images.Set.Classes}
	scorer, err := v.net.Scorer(evalBatch)
	if err != nil {
		return res, err
	}
	if res.Test, _, err = testOnce(ctx, scorer, v.images, opt.Sink); err != nil {
		return res, err
	}
	opt.Say("%-30s accuracy %6.2f %% of %d images", "no attack", 100*res.Test.Accuracy, res.Test.N)
	attempt := func(on *target, name string, attacks ...*attackRun) error {
		began := time.Now()
		before := made.next(len(res.Attacks), attacks)
		if !before {
			if err := on.evaluate(ctx, name, attacks, j.target, opt.Sink); err != nil {
				return err
			}
		}
		for _, a := range attacks {
			res.Attacks = append(res.Attacks, a.Outcome)
			if !before {
				opt.Say("%s", outcomeLine(a.Outcome))
			}
		}
		if before {
			return nil
		}
		return made.keep(res.Attacks, time.Since(began))
	}

	// FGSM, and noise of the same size.
	if err := attempt(v, "fgsm", v.sweep(cfg.Sweep.Eps, false)...); err != nil {
		return res, err
	}
	if err := attempt(v, "fgsm, targeted", v.sweep(cfg.Sweep.Eps, true)...); err != nil {
		return res, err
	}
	var noise []*attackRun
	for _, e := range cfg.Sweep.Eps {
		noise = append(noise, v.attackOf("noise", attack.Noise{Eps: e / 255, Seed: cfg.Seed}, attack.Linf, e, false))
	}
	if err := attempt(v, "noise", noise...); err != nil {
		return res, err
	}

	// The other attacks.
	for _, name := range otherAttacks(cfg) {
		m, err := attack.Find(name)
		if err != nil {
			return res, err
		}
		on := v
		if m.Blind {
			few := *v
			few.images = v.images.First(cfg.Square.Images)
			on = &few
		}
		for _, at := range radiiOf(m, cfg) {
			w := on.attackOf(name, m.New(settingsAt(cfg, v.net.Images, at)), at.norm, at.eps, at.targeted)
			title := outcomeName(w.Outcome)
			if m.Blind {
				title = name
			}
			if err := attempt(on, title, w); err != nil {
				return res, err
			}
		}
	}

	// The transfer matrix.
	if len(j.nets) > 1 {
		if res.Transfer, err = transfer(ctx, j.nets, v.images.First(cfg.Transfer.Images), cfg, opt); err != nil {
			return res, err
		}
	}

	shown, err := examples(ctx, v, j.target, cfg, opt.Sink)
	if err != nil {
		return res, err
	}
	if res.Examples, err = attachJSON(made.r, examplesName, shown); err != nil {
		return res, err
	}
	res.Checks, err = attackChecks(ctx, v, *res, cfg.PGD.Steps)
	return res, err
}

// otherAttacks returns the names of the attacks beside FGSM and noise.
func otherAttacks(cfg config.FGSM) []string {
	if len(cfg.Attacks) == 0 {
		return []string{"pgd", "square"}
	}
	return cfg.Attacks
}

// attackRadius is the radius of an attack in the units of records, with norm and target.
type attackRadius struct {
	eps      float64 // L-infinity: in units of 1/255; L2: in pixel values
	norm     attack.Norm
	targeted bool
}

// radiiOf returns the radii of cfg for the attack m: those of PGD, or that of Square for an attack without gradients.
func radiiOf(m attack.Method, cfg config.FGSM) (all []attackRadius) {
	if m.Blind {
		if cfg.Square.Images == 0 {
			return nil
		}
		return []attackRadius{{cfg.Square.Eps, attack.Linf, false}}
	}
	for _, e := range cfg.PGD.Eps {
		all = append(all, attackRadius{e, attack.Linf, false})
	}
	if m.Targeted {
		for _, e := range cfg.PGD.EpsTargeted {
			all = append(all, attackRadius{e, attack.Linf, true})
		}
	}
	if m.L2 {
		for _, e := range cfg.PGD.EpsL2 {
			all = append(all, attackRadius{e, attack.L2, false})
		}
	}
	return all
}

// settingsAt returns the settings of cfg for an attack on images at a radius.
func settingsAt(cfg config.FGSM, images data.Description, at attackRadius) attack.Settings {
	eps := at.eps
	if at.norm == attack.Linf {
		eps /= 255
	}
	return attack.Settings{Norm: at.norm, Eps: eps, Steps: cfg.PGD.Steps, Restarts: cfg.PGD.Restarts,
		Queries:  cfg.Square.Queries,
		Targeted: at.targeted, Seed: cfg.Seed, H: images.H, W: images.W, C: images.C}
}

// outcomeName returns the name of an outcome's attack: pgd l2 0.5.
func outcomeName(o attack.Outcome) string {
	s := o.Attack
	if o.Targeted {
		s += ", targeted"
	}
	if o.Norm == attack.L2 {
		return fmt.Sprintf("%s, L2 %g", s, o.Eps)
	}
	return fmt.Sprintf("%s, %g/255", s, o.Eps)
}

// outcomeLine formats the outcome of an attack in one line.
func outcomeLine(o attack.Outcome) string {
	line := fmt.Sprintf("%-30s accuracy %6.2f %%  confidence %6.2f %%", outcomeName(o), 100*o.Accuracy,
		100*o.Confidence)
	if o.Targeted {
		line += fmt.Sprintf("  success %6.2f %%", 100*o.Success.Value)
	}
	return line + fmt.Sprintf("  %7.1f s", o.Seconds)
}

// transfer attacks each network by FGSM and PGD and evaluates all networks on the adversarial images.
func transfer(ctx context.Context, nets []*Network, images data.Subset, cfg config.FGSM,
	opt Options) ([]attack.Transfer, error) {
	var all []*target
	for _, n := range nets {
		v, err := newTarget(n, images)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	var matrix []attack.Transfer
	eps := cfg.Transfer.Eps
	none := func(_, _ int32) int32 { return 0 }
	for _, name := range []string{"fgsm", "pgd"} {
		m, err := attack.Find(name)
		if err != nil {
			return nil, err
		}
		a := m.New(settingsAt(cfg, nets[0].Images, attackRadius{eps, attack.Linf, false}))
		for i, v := range all {
			row := make([]attack.Transfer, len(all))
			w := v.attackOf(name, a, attack.Linf, eps, false)
			w.each = func(_ attack.Batch, y []int32, adv, _, _ []float32) error {
				for j, o := range all {
					z, err := o.graph.Logits(adv)
					if err != nil {
						return err
					}
					row[j].Add(z, y)
				}
				return nil
			}
			title := fmt.Sprintf("%s, %g/255, made for %s", name, eps, cfg.Checkpoints[i])
			if err := v.evaluate(ctx, title, []*attackRun{w}, none, opt.Sink); err != nil {
				return nil, err
			}
			var seen []string
			for j := range row {
				row[j].Attack, row[j].Eps, row[j].For, row[j].On = name, eps, cfg.Checkpoints[i], cfg.Checkpoints[j]
				seen = append(seen, fmt.Sprintf("%s %.2f %%", row[j].On, 100*row[j].Accuracy()))
			}
			opt.Say("%s: accuracy of %s", title, strings.Join(seen, ", "))
			matrix = append(matrix, row...)
		}
	}
	return matrix, nil
}

// examples returns the images of the figures, rounded to 8 bits. For untargeted and for targeted FGSM it prefers the
// first success of every class, then other successes, then failures. The network classifies all of them correctly
// without attack.
func examples(ctx context.Context, v *target, class targetOf, cfg config.FGSM,
	sink train.Sink) ([]attack.Example, error) {
	var all []attack.Example
	for _, targeted := range []bool{false, true} {
		var best [3][]attack.Example // in order of preference
		seen := map[int32]bool{}
		w := v.attackOf("fgsm", attack.FGSM{Eps: cfg.Examples.Eps / 255, Targeted: targeted}, attack.Linf,
			cfg.Examples.Eps, targeted)
		enough := errors.New("enough")
		px, classes := v.graph.Values(), v.graph.Classes()
		w.each = func(b attack.Batch, y []int32, _, rounded, logits []float32) error {
			logits = slices.Clone(logits)
			clean, err := v.graph.Logits(b.X)
			if err != nil {
				return err
			}
			for i, label := range y {
				e := attack.Example{Targeted: targeted, Eps: cfg.Examples.Eps, Index: b.Index[i], Label: label,
					Goal: b.Y[i],
					H:    v.net.Images.H, W: v.net.Images.W, C: v.net.Images.C, Image: levels(b.X[i*px : (i+1)*px]), Changed: levels(rounded[i*px : (i+1)*px])}
				e.Before.Class, e.Before.P = attack.Top(clean[i*classes : (i+1)*classes])
				e.After.Class, e.After.P = attack.Top(logits[i*classes : (i+1)*classes])
				if e.Before.Class != int(label) {
					continue
				}
				at := 2
				switch success := e.Success(); {
				case success && !seen[label]:
					at, seen[label] = 0, true
				case success:
					at = 1
				}
				if best[at] = append(best[at], e); len(best[0]) == cfg.Examples.Images {
					return enough
				}
			}
			return nil
		}
		if err := v.evaluate(ctx, "examples", []*attackRun{w}, class, sink); err != nil && !errors.Is(err, enough) {
			return nil, err
		}
		chosen := slices.Concat(best[0], best[1], best[2])
		all = append(all, chosen[:min(len(chosen), cfg.Examples.Images)]...)
	}
	return all, nil
}

// levels returns x, whose values are multiples of 1/255, as bytes.
func levels(x []float32) []byte {
	b := make([]byte, len(x))
	for i, v := range x {
		b[i] = byte(math.Round(255 * float64(v)))
	}
	return b
}
