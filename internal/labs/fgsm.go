package labs

import (
	"bytes"
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
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
)

// FGSMExperiment is the name of the attacks in records.
const FGSMExperiment = "lab4/fgsm"

// examplesName is the file of a run that holds the images its figures show.
const examplesName = "examples.json"

// AttackResult is what result.json holds of the attacks on a network.
type AttackResult struct {
	Test        TestResult        `json:"test"` // of the images as they are
	Network     string            `json:"network"`
	Source      string            `json:"source"` // run or folder of the weights
	Weights     string            `json:"weights_sha256"`
	Params      int               `json:"params"`
	Classes     []string          `json:"classes"`
	Attacks     []attack.Outcome  `json:"attacks"`
	Transfer    []attack.Transfer `json:"transfer,omitempty"`
	Checks      []Check           `json:"checks"`
	Examples    run.Attachment    `json:"examples"` // []attack.Example
	WallSeconds float64           `json:"wall_seconds"`
	Note        string            `json:"note,omitempty"`
}

// Attacked is a run of the attacks.
type Attacked struct {
	ID, Dir string
	Config  config.FGSM
	Reason  train.Reason
	Result  AttackResult // when Done
	Reused  bool         // an earlier, finished run of the same settings and weights
	Figures []string
}

// Done says that all attacks have been made.
func (a Attacked) Done() bool { return a.Reason == train.Finished }

// Failed are the self-checks that did not hold.
func (r AttackResult) Failed() []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return !c.Failed() })
}

// FGSM attacks a trained network on the test set it was made for: FGSM, targeted and not, over a sweep of
// radii beside noise of the same size; PGD; the Square attack; and with several networks a matrix of what
// images made for the one do to the others. The figures' examples and the self-checks are part of the
// record.
func FGSM(ctx context.Context, cfg config.FGSM, opt Options) (Attacked, error) {
	nets, ds, err := victims(ctx, &cfg, opt)
	if err != nil {
		return Attacked{Config: cfg}, err
	}
	return fgsmOn(ctx, nets, ds, cfg, opt)
}

// fgsmOn attacks nets, whose weights cfg names, on the test set of ds.
func fgsmOn(ctx context.Context, nets []*Network, ds *data.Dataset, cfg config.FGSM, opt Options) (a Attacked, err error) {
	began := time.Now()
	a.Config = cfg
	goal, err := goals(cfg.Target, ds.Test.Classes, cfg.Seed)
	if err != nil {
		return a, fmt.Errorf("target: %w", err)
	}

	// The record, or the one there is.
	n := nets[0]
	yaml, err := config.Marshal(cfg)
	if err != nil {
		return a, err
	}
	env := opt.Env
	env.Data = run.DataInfo{Name: ds.Name, Source: ds.Source, Fingerprint: ds.Fingerprint, Synthetic: ds.Synthetic}
	spec := run.Spec{Experiment: FGSMExperiment, Variant: "fgsm-" + n.Name, Seed: cfg.Seed, Config: yaml, Env: env}
	var r *run.Run
	if opt.Resume {
		rec, err := earlier(opt.Root, spec)
		if err != nil {
			return a, err
		}
		switch {
		case rec == nil:
		case rec.Status == run.StatusFinished:
			a.ID, a.Dir, a.Reused, a.Reason = rec.ID, rec.Dir, true, train.Finished
			if a.Result, err = attackResultOf(*rec); err == nil {
				a.Figures, err = CompleteFigures(*rec)
			}
			return a, err
		default:
			if r, err = opt.takeOverAnew(*rec); err != nil {
				return a, err
			}
		}
	}
	if r == nil {
		if r, err = run.Create(opt.Root, spec); err != nil {
			return a, err
		}
	}
	done := false
	defer func() {
		if err != nil && !done {
			err = errors.Join(err, r.SetStatus(run.StatusFailed, err.Error()))
		}
		err = errors.Join(err, r.Close())
	}()
	a.ID, a.Dir = r.ID(), r.Dir()

	v, err := newVictim(n, firstImages(ds, cfg.Limit))
	if err != nil {
		return a, err
	}
	made := attacksMade{r: r, Kernel: kernel.Level()}
	made.read(opt)
	before := made.Seconds
	if a.Result, err = assault(ctx, v, nets, goal, cfg, &made, opt); err != nil {
		if interrupted(ctx) {
			a.Reason = train.Interrupted
			return a, r.SetStatus(run.StatusInterrupted, "by a signal")
		}
		return a, err
	}
	if ds.Synthetic {
		a.Result.Note = report.SyntheticNote(ds.Name)
	}
	a.Result.WallSeconds = before + time.Since(began).Seconds()
	if err = made.forget(); err != nil {
		return a, err
	}
	if err = r.Finish(a.Result); err != nil {
		return a, err
	}
	done = true
	a.Reason = train.Finished

	// Figures, from the record alone.
	rec, err := run.Find(opt.Root, r.ID())
	if err != nil {
		return a, err
	}
	a.Figures, err = draw(rec)
	return a, err
}

// victims loads the networks of cfg and the data they were all trained on.
func victims(ctx context.Context, cfg *config.FGSM, opt Options) ([]*Network, *data.Dataset, error) {
	nets, err := networksOf(cfg, opt)
	if err != nil {
		return nil, nil, err
	}
	ds, err := loadData(ctx, config.Data{Name: nets[0].Data.Name}, opt)
	if err != nil {
		return nil, nil, err
	}
	if ds.Fingerprint != nets[0].Data.Fingerprint {
		return nil, nil, fmt.Errorf("%s was trained on %s with fingerprint %.12s…, the data found has %.12s…; make the original data available again (dla data verify)", nets[0].Source, nets[0].Data.Name, nets[0].Data.Fingerprint, ds.Fingerprint)
	}
	for _, n := range nets {
		opt.Say("network: %s of %s, %d parameters, test accuracy %.2f %%", n.Name, n.Source, n.Params.Count(), 100*n.Result.Test.Accuracy)
	}
	return nets, ds, nil
}

// networksOf loads the networks of cfg, which then names their weights. They must be of one data set.
func networksOf(cfg *config.FGSM, opt Options) ([]*Network, error) {
	var nets []*Network
	for i, from := range cfg.Checkpoints {
		n, err := findVictim(opt.Root, from)
		if err != nil {
			return nil, err
		}
		if len(cfg.Weights) > 0 && cfg.Weights[i] != n.Weights {
			return nil, fmt.Errorf("%s has weights with fingerprint %.12s…, wanted are %.12s… (weights); make the original network available again", n.Source, n.Weights, cfg.Weights[i])
		}
		nets = append(nets, n)
	}
	cfg.Weights = nil
	for _, n := range nets {
		cfg.Weights = append(cfg.Weights, n.Weights)
		if n.Data.Fingerprint != nets[0].Data.Fingerprint {
			return nil, fmt.Errorf("%s was trained on %s, %s on %s with other images; name networks of one data set", nets[0].Source, nets[0].Data.Name, n.Source, n.Data.Name)
		}
	}
	return nets, nil
}

// firstImages is the first n of the test set, or all for 0. Its order is that of the images' hashes where it
// was read from files, so they are a fair sample.
func firstImages(ds *data.Dataset, n int) data.Subset {
	all := data.All(ds.Test)
	if n > 0 {
		return all.First(n)
	}
	return all
}

// attacksMade are the attacks that a run has behind it, kept on the disk so that one that is stopped goes on
// from there. What comes of an attack depends on nothing that came before it.
type attacksMade struct {
	r       *run.Run
	Kernel  string           `json:"kernel"`
	Seconds float64          `json:"seconds"` // of all processes so far
	Attacks []attack.Outcome `json:"attacks"`
}

// madeName is their file while the run is not finished.
const madeName = "attacks.json"

// hasAttacks says whether rec has attacks behind it to go on from.
func hasAttacks(rec run.Record) bool {
	_, err := os.Lstat(filepath.Join(rec.Dir, madeName))
	return err == nil
}

// read takes what an earlier process has kept. Of other kernels, whose last bits are others, and where
// it cannot be read, everything is made anew.
func (m *attacksMade) read(opt Options) {
	var old attacksMade
	b, err := plainfile.Read(filepath.Join(m.r.Dir(), madeName), run.MaxFile)
	if err != nil || json.Unmarshal(b, &old) != nil || old.Kernel != m.Kernel {
		return
	}
	m.Attacks, m.Seconds = old.Attacks, old.Seconds
	opt.Say("%d attacks were made before", len(m.Attacks))
}

// next are the outcomes of ways, where they were the next to be made after so many.
func (m *attacksMade) next(after int, ways []*way) bool {
	if len(m.Attacks) < after+len(ways) {
		return false
	}
	for i, w := range ways {
		o := m.Attacks[after+i]
		if o.Attack != w.Attack || o.Targeted != w.Targeted || o.Norm != w.Norm || o.Eps != w.Eps {
			return false
		}
	}
	for i, w := range ways {
		w.Outcome = m.Attacks[after+i]
	}
	return true
}

// keep writes all, made in so many seconds, to the disk.
func (m *attacksMade) keep(all []attack.Outcome, took time.Duration) error {
	m.Attacks = all
	m.Seconds += took.Seconds()
	_, err := attachJSON(m.r, madeName, m)
	return err
}

// forget removes the file: the result is about to hold all of it.
func (m *attacksMade) forget() error {
	err := os.Remove(filepath.Join(m.r.Dir(), madeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// assault makes all attacks.
func assault(ctx context.Context, v *victim, nets []*Network, goal func(index, label int32) int32, cfg config.FGSM, made *attacksMade, opt Options) (AttackResult, error) {
	res := AttackResult{Network: v.net.Name, Source: v.net.Source, Weights: v.net.Weights, Params: v.net.Params.Count(), Classes: v.images.Set.Classes}
	scorer, err := v.net.Scorer(evalBatch)
	if err != nil {
		return res, err
	}
	if res.Test, _, err = testOnce(ctx, scorer, v.images, opt.Sink); err != nil {
		return res, err
	}
	opt.Say("%-30s accuracy %6.2f %% of %d images", "as they are", 100*res.Test.Accuracy, res.Test.N)
	attempt := func(on *victim, name string, ways ...*way) error {
		began := time.Now()
		before := made.next(len(res.Attacks), ways)
		if !before {
			if err := on.face(ctx, name, ways, goal, opt.Sink); err != nil {
				return err
			}
		}
		for _, w := range ways {
			res.Attacks = append(res.Attacks, w.Outcome)
			if !before {
				opt.Say("%s", outcomeLine(w.Outcome))
			}
		}
		if before {
			return nil
		}
		return made.keep(res.Attacks, time.Since(began))
	}

	// One step, and noise of the same size.
	if err := attempt(v, "fgsm", v.sweep(cfg.Sweep.Eps, false)...); err != nil {
		return res, err
	}
	if err := attempt(v, "fgsm, targeted", v.sweep(cfg.Sweep.Eps, true)...); err != nil {
		return res, err
	}
	var noise []*way
	for _, e := range cfg.Sweep.Eps {
		noise = append(noise, v.wayOf("noise", attack.Noise{Eps: e / 255, Seed: cfg.Seed}, attack.Linf, e, false))
	}
	if err := attempt(v, "noise", noise...); err != nil {
		return res, err
	}

	// Many steps.
	for _, set := range []struct {
		eps      []float64
		norm     attack.Norm
		targeted bool
	}{{cfg.PGD.Eps, attack.Linf, false}, {cfg.PGD.EpsTargeted, attack.Linf, true}, {cfg.PGD.EpsL2, attack.L2, false}} {
		for _, e := range set.eps {
			w := v.wayOf("pgd", pgd(cfg, set.norm, e, set.targeted), set.norm, e, set.targeted)
			if err := attempt(v, outcomeName(w.Outcome), w); err != nil {
				return res, err
			}
		}
	}

	// Without gradients.
	if cfg.Square.Images > 0 {
		few := *v
		few.images = v.images.First(cfg.Square.Images)
		i := v.net.Images
		a := attack.Square{Eps: cfg.Square.Eps / 255, Queries: cfg.Square.Queries, H: i.H, W: i.W, C: i.C, Seed: cfg.Seed}
		if err := attempt(&few, "square", few.wayOf("square", a, attack.Linf, cfg.Square.Eps, false)); err != nil {
			return res, err
		}
	}

	// What images made for one network do to another.
	if len(nets) > 1 {
		if res.Transfer, err = transfer(ctx, nets, v.images.First(cfg.Transfer.Images), cfg, opt); err != nil {
			return res, err
		}
	}

	shown, err := examples(ctx, v, goal, cfg, opt.Sink)
	if err != nil {
		return res, err
	}
	if res.Examples, err = attachJSON(made.r, examplesName, shown); err != nil {
		return res, err
	}
	res.Checks, err = attackChecks(ctx, v, res, cfg.PGD.Steps)
	return res, err
}

// pgd is the attack with the settings of cfg.
func pgd(cfg config.FGSM, norm attack.Norm, eps float64, targeted bool) attack.PGD {
	if norm == attack.Linf {
		eps /= 255
	}
	return attack.PGD{Norm: norm, Eps: eps, Step: 2.5 * eps / float64(cfg.PGD.Steps), Steps: cfg.PGD.Steps, Restarts: cfg.PGD.Restarts, Targeted: targeted, Seed: cfg.Seed}
}

// outcomeName says what an outcome is of: pgd l2 0.5.
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

// outcomeLine says in a line what came of an attack.
func outcomeLine(o attack.Outcome) string {
	line := fmt.Sprintf("%-30s accuracy %6.2f %%  confidence %6.2f %%", outcomeName(o), 100*o.Accuracy, 100*o.Confidence)
	if o.Targeted {
		line += fmt.Sprintf("  success %6.2f %%", 100*o.Success.Value)
	}
	return line + fmt.Sprintf("  %7.1f s", o.Seconds)
}

// transfer attacks each network by FGSM and PGD and shows the images to all of them.
func transfer(ctx context.Context, nets []*Network, images data.Subset, cfg config.FGSM, opt Options) ([]attack.Transfer, error) {
	var all []*victim
	for _, n := range nets {
		v, err := newVictim(n, images)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	var matrix []attack.Transfer
	eps := cfg.Transfer.Eps
	none := func(int32, int32) int32 { return 0 }
	for _, kind := range []struct {
		name string
		attack.Attack
	}{{"fgsm", attack.FGSM{Eps: eps / 255}}, {"pgd", pgd(cfg, attack.Linf, eps, false)}} {
		for i, v := range all {
			row := make([]attack.Transfer, len(all))
			w := v.wayOf(kind.name, kind.Attack, attack.Linf, eps, false)
			w.each = func(_ attack.Batch, y []int32, adv, _, _ []float32) error {
				for j, o := range all {
					z, err := o.target.Logits(adv)
					if err != nil {
						return err
					}
					row[j].Add(z, y)
				}
				return nil
			}
			title := fmt.Sprintf("%s, %g/255, made for %s", kind.name, eps, cfg.Checkpoints[i])
			if err := v.face(ctx, title, []*way{w}, none, opt.Sink); err != nil {
				return nil, err
			}
			var seen []string
			for j := range row {
				row[j].Attack, row[j].Eps, row[j].For, row[j].On = kind.name, eps, cfg.Checkpoints[i], cfg.Checkpoints[j]
				seen = append(seen, fmt.Sprintf("%s %.2f %%", row[j].On, 100*row[j].Accuracy()))
			}
			opt.Say("%s: accuracy of %s", title, strings.Join(seen, ", "))
			matrix = append(matrix, row...)
		}
	}
	return matrix, nil
}

// examples are the images of the figures: of each kind the first of every class on which FGSM succeeds,
// image and change rounded to 8 bits, as they are shown; where these are too few, others on which it
// succeeds, and then such on which it does not. All are images that the network gets right as they are.
func examples(ctx context.Context, v *victim, goal func(index, label int32) int32, cfg config.FGSM, sink train.Sink) ([]attack.Example, error) {
	var all []attack.Example
	for _, targeted := range []bool{false, true} {
		var best [3][]attack.Example // by how well they suit
		seen := map[int32]bool{}
		w := v.wayOf("fgsm", attack.FGSM{Eps: cfg.Examples.Eps / 255, Targeted: targeted}, attack.Linf, cfg.Examples.Eps, targeted)
		enough := errors.New("enough")
		px, classes := v.target.Values(), v.target.Classes()
		w.each = func(b attack.Batch, y []int32, _, rounded, logits []float32) error {
			logits = slices.Clone(logits)
			clean, err := v.target.Logits(b.X)
			if err != nil {
				return err
			}
			for i, label := range y {
				e := attack.Example{Targeted: targeted, Eps: cfg.Examples.Eps, Index: b.Index[i], Label: label, Goal: b.Y[i],
					H: v.net.Images.H, W: v.net.Images.W, C: v.net.Images.C, Image: levels(b.X[i*px : (i+1)*px]), Changed: levels(rounded[i*px : (i+1)*px])}
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
		if err := v.face(ctx, "examples", []*way{w}, goal, sink); err != nil && !errors.Is(err, enough) {
			return nil, err
		}
		chosen := slices.Concat(best[0], best[1], best[2])
		all = append(all, chosen[:min(len(chosen), cfg.Examples.Images)]...)
	}
	return all, nil
}

// levels is x, whose values are multiples of 1/255, as bytes.
func levels(x []float32) []byte {
	b := make([]byte, len(x))
	for i, v := range x {
		b[i] = byte(math.Round(255 * float64(v)))
	}
	return b
}

// attachJSON writes v as JSON to the file name of r.
func attachJSON(r *run.Run, name string, v any) (run.Attachment, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	if err := e.Encode(v); err != nil {
		return run.Attachment{}, fmt.Errorf("%s: %w", name, err)
	}
	return r.Attach(name, b.Bytes())
}

// attackResultOf is the result of a finished run of the attacks.
func attackResultOf(rec run.Record) (AttackResult, error) {
	var r AttackResult
	if err := json.Unmarshal(rec.Result, &r); err != nil {
		return r, fmt.Errorf("run %s: result.json: %w; remove it with `%s`", rec.ID, err, rec.Command("rm"))
	}
	return r, nil
}

func fgsmConfig(rec run.Record) (config.FGSM, error) {
	cfg := config.DefaultFGSM()
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// findVictim is FindNetwork for a network that is to be built on: runs are looked for under root and
// under runs, and the error says how one is got.
func findVictim(root, from string) (*Network, error) {
	n, err := FindNetwork(root, from)
	if err != nil && root != run.DefaultRoot {
		if other, otherErr := FindNetwork(run.DefaultRoot, from); otherErr == nil {
			return other, nil
		}
	}
	if err == nil {
		return n, nil
	}
	if _, statErr := os.Stat(filepath.Join(CheckpointsDir, from)); statErr == nil {
		return nil, err
	}
	return nil, fmt.Errorf("no network to attack: %w; `dla models ls` lists the checkpoints there are, and `dla lab1 resnet --config configs/lab1/resnet-short.yaml` trains one, to be named by its run's id", err)
}
