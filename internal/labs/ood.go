package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/ood"
	"dla/internal/record"
	"dla/internal/run"
)

// OODExperiment is the name of the experiment in records.
const OODExperiment = "lab4/ood"

// oodDetection evaluates detectors of out-of-distribution images on a classifier: it computes the features of all
// images once, tunes hyper-parameters on distorted validation images, and measures each detector on each set, with
// intervals.
func oodDetection() Experiment {
	e := newExperiment[config.OOD, record.OOD](OODExperiment, config.DefaultOOD, openOOD, planOOD)
	return checked(e, func(cfg config.OOD, opt Options) error {
		if _, err := detectorsOf(cfg); err != nil {
			return err
		}
		_, err := oodNetwork(cfg, opt)
		return err
	})
}

// oodJob is the job of oodDetection.
type oodJob struct {
	cfg   config.OOD
	net   *Network
	auto  *Autoencoder // nil: the reconstruction error is left out
	data  *data.Dataset
	parts *oodData
	given []givenScores
}

// oodNetwork loads the classifier that cfg names.
func oodNetwork(cfg config.OOD, opt Options) (*Network, error) {
	n, err := once(opt, "network "+cfg.Checkpoint,
		func() (*Network, error) { return FindNetwork(opt.Root, cfg.Checkpoint) })
	if err != nil {
		return nil, err
	}
	if w := cfg.Weights; w != "" && w != n.Weights {
		return nil, fmt.Errorf("the classifier %s has weights with fingerprint %.12s…, want %.12s… (weights); make "+
			"the original weights available again", n.Source, n.Weights, w)
	}
	return n, nil
}

// openOOD loads the networks and reads all images.
func openOOD(ctx context.Context, cfg config.OOD, opt Options) (Job, error) {
	n, err := oodNetwork(cfg, opt)
	if err != nil {
		return nil, err
	}
	cfg.Weights = n.Weights
	opt.Say("classifier: %s of %s, test accuracy %.2f %%", n.Name, n.Source, 100*n.Result.Test.Accuracy)
	j := &oodJob{cfg: cfg, net: n}
	if cfg.Autoencoder != "" {
		if j.auto, err = FindAutoencoder(opt.Root, cfg.Autoencoder); err != nil {
			return nil, fmt.Errorf("the autoencoder: %w; or leave that detector out: --autoencoder \"\"", err)
		}
		if a := j.auto; a.Data.Fingerprint != n.Data.Fingerprint {
			return nil, fmt.Errorf("the autoencoder %s was trained on %s with fingerprint %.12s…, the classifier on "+
				"%s with %.12s…; name an autoencoder of the same data", a.Source, a.Data.Name, a.Data.Fingerprint, n.Data.Name, n.Data.Fingerprint)
		}
		opt.Say("autoencoder: %s of %s, mean squared error %.5f", j.auto.Name, j.auto.Source, j.auto.Result.Test.MSE)
	}
	if j.data, err = dataOfNetwork(ctx, n, opt); err != nil {
		return nil, err
	}
	if j.parts, err = readOOD(ctx, n, j.data, cfg, opt); err != nil || cfg.Scores == "" {
		return j, err
	}
	j.given, j.cfg.ScoresSHA256, err = readScores(cfg.Scores, cfg.ScoresSHA256, j.parts)
	return j, err
}

// detectorsOf returns the detectors that cfg names, in the order of ood.Methods.
func detectorsOf(cfg config.OOD) ([]ood.Method, error) {
	if len(cfg.Detectors) == 0 {
		return ood.Methods, nil
	}
	var those []ood.Method
	for _, m := range ood.Methods {
		if slices.Contains(cfg.Detectors, m.Name) {
			those = append(those, m)
		}
	}
	for _, name := range cfg.Detectors {
		if !slices.ContainsFunc(those, func(m ood.Method) bool { return m.Name == name }) {
			return nil, fmt.Errorf("detectors: unknown detector %q: known are %s", name,
				strings.Join(ood.Names(), ", "))
		}
	}
	if len(those) == 1 && those[0].Name == ood.Reconstruction && cfg.Autoencoder == "" {
		return nil, fmt.Errorf("detectors: %s needs an autoencoder", ood.Reconstruction)
	}
	return those, nil
}

// Spec returns what a run of j records when it begins.
func (j *oodJob) Spec() run.Spec {
	return run.Spec{Experiment: OODExperiment, Variant: "ood-" + j.net.Name, Seed: j.cfg.Seed, Config: marshal(j.cfg),
		Env: run.Env{Data: imagesInfo(j.data)}}
}

// begun returns true: an interrupted evaluation can always continue, since the cache holds its features.
func (j *oodJob) begun(run.Record) bool { return true }

// matches reports whether the finished run rec used the same sets of outliers.
func (j *oodJob) matches(rec run.Record) (bool, error) {
	var res record.OOD
	if err := record.Read(rec, &res); err != nil {
		return false, err
	}
	return slices.EqualFunc(res.Sets, j.parts.out, func(a record.OODSet, b images) bool {
		return a.Name == b.Name && a.Fingerprint == b.Fingerprint
	}), nil
}

// Run evaluates all detectors on all sets.
func (j *oodJob) Run(ctx context.Context, r *run.Run, opt Options) (record.Result, error) {
	began := time.Now()
	if _, err := r.Restore(); err != nil {
		return nil, err
	}
	methods, err := detectorsOf(j.cfg)
	if err != nil {
		return nil, err
	}
	found, err := detect(ctx, j.net, j.auto, methods, j.parts, opt)
	if err != nil {
		return nil, err
	}
	for _, g := range j.given {
		if err := found.add(g.OODDetector, g.in, g.out); err != nil {
			return nil, fmt.Errorf("%s: %w", j.cfg.Scores, err)
		}
	}
	all, err := found.result(j.parts, j.cfg, opt)
	if err != nil {
		return nil, err
	}
	res := &all
	n := j.net
	res.Network, res.Checkpoint, res.WeightsSHA256, res.TestAccuracy = n.Name, n.Source, n.Weights, n.Result.Test.Accuracy
	if j.auto != nil {
		res.Autoencoder = j.auto.Source
	}
	res.Note = syntheticNote(j.data.Name, j.data.Synthetic)
	if limit := j.cfg.Limit; limit > 0 {
		res.Note = strings.TrimPrefix(fmt.Sprintf("%s; ONLY %d images of each split", res.Note, limit), "; ")
	}
	if res.Curves, err = attachJSON(r, oodCurvesName, found.curves(j.parts)); err != nil {
		return nil, err
	}
	res.WallSeconds = time.Since(began).Seconds()
	return res, nil
}

// oodCurvesName is the name of the file that figures are drawn from.
const oodCurvesName = "ood_curves.json"

// dataOfNetwork reads the data set that n was trained on.
func dataOfNetwork(ctx context.Context, n *Network, opt Options) (*data.Dataset, error) {
	ds, err := readImages(ctx, n.TrainingData(), opt)
	if err != nil && n.Data.Own != nil && opt.goesOn == nil {
		return nil, moved(err)
	}
	if err != nil {
		return nil, err
	}
	if ds.Fingerprint != n.Data.Fingerprint {
		return nil, fmt.Errorf("the classifier %s was trained on %s with fingerprint %.12s…, the data found now has "+
			"%.12s…; make the original data available again (dla data verify)", n.Source, n.Data.Name, n.Data.Fingerprint, ds.Fingerprint)
	}
	return ds, nil
}

// peopleName is the set whose training split is evaluated, since it has only 500 test images.
const peopleName = "cifar100-people"

// detection holds the detectors of a network and their scores of all images.
type detection struct {
	detectors  []record.OODDetector
	in         [][]float64               // [detector][image]
	out        [][][]float64             // [set][detector][image]
	rankings   [][]*metrics.Ranking      // [set][detector]
	features   map[*images]*ood.Features // of in and the sets
	train, val *ood.Features
}

// add adds the scores of a detector: of the images in distribution and of each set.
func (d *detection) add(about record.OODDetector, in []float64, out [][]float64) error {
	d.detectors, d.in = append(d.detectors, about), append(d.in, in)
	for i, scores := range out {
		d.out[i] = append(d.out[i], scores)
		r, err := metrics.Rank(about.Name, in, scores)
		if err != nil {
			return err
		}
		d.rankings[i] = append(d.rankings[i], r)
	}
	return nil
}

// detect computes the features of all images, fits every detector to n and scores all images. The reconstruction error
// needs auto.
func detect(ctx context.Context, n *Network, auto *Autoencoder, methods []ood.Method, p *oodData,
	opt Options) (*detection, error) {
	e, err := newExtractor(n)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	count := 0
	features := func(s images) *ood.Features {
		if err != nil {
			return nil
		}
		var f *ood.Features
		f, err = e.features(ctx, s.Subset, s.Fingerprint, opt)
		count += s.N
		return f
	}
	trained, val, tuneOut, in := features(p.train), features(p.val), features(p.tuneOut), features(p.in)
	var out []*ood.Features
	for _, s := range p.out {
		out = append(out, features(s))
	}
	if err != nil {
		return nil, err
	}
	opt.Say("features of %d images: %.1f s", count, time.Since(began).Seconds())
	tuneIn := first(val, p.tuneIn.N)
	network, err := ood.NewNetwork(n.head(), trained, val)
	for _, f := range append([]*ood.Features{tuneIn, tuneOut, in}, out...) {
		if err == nil {
			err = network.Check(f)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the classifier %s: %w", n.Source, err)
	}

	d := &detection{out: make([][][]float64, len(out)), rankings: make([][]*metrics.Ranking, len(out)),
		features: map[*images]*ood.Features{&p.in: in}, train: trained, val: val}
	for i, f := range out {
		d.features[&p.out[i]] = f
	}
	for _, m := range methods {
		if m.Name == ood.Reconstruction && auto == nil {
			continue
		}
		if interrupted(ctx) {
			return nil, context.Cause(ctx)
		}
		began := time.Now()
		if m.Name == ood.Reconstruction {
			r, err := auto.Reconstructor(evalBatch)
			if err == nil {
				in.Errors, err = e.errors(ctx, auto, r, p.in, opt)
			}
			for i, s := range p.out {
				if err == nil {
					out[i].Errors, err = e.errors(ctx, auto, r, s, opt)
				}
			}
			if err != nil {
				return nil, fmt.Errorf("the autoencoder %s: %w", auto.Source, err)
			}
		}
		if m.Name == ood.ODIN {
			err = errors.Join(e.step(ctx, tuneIn, p.tuneIn.Subset, p.tuneIn.Fingerprint, m.Values, opt),
				e.step(ctx, tuneOut, p.tuneOut.Subset, p.tuneOut.Fingerprint, m.Values, opt))
			if err != nil {
				return nil, err
			}
		}
		score, value, tried, err := m.Choose(network, tuneIn, tuneOut)
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", m.Name, err)
		}
		if m.Name == ood.ODIN {
			err := e.step(ctx, in, p.in.Subset, p.in.Fingerprint, []float64{value}, opt)
			for i, s := range p.out {
				err = errors.Join(err, e.step(ctx, out[i], s.Subset, s.Fingerprint, []float64{value}, opt))
			}
			if err != nil {
				return nil, err
			}
		}
		about := record.OODDetector{Name: m.Name, Label: m.Label, Source: m.Source, Parameter: m.Parameter,
			Value: metrics.Later[float64]{Value: value, Known: m.Parameter != ""}}
		for _, t := range tried {
			about.Tried = append(about.Tried, record.OODTried(t))
		}
		var scores [][]float64
		for _, f := range out {
			scores = append(scores, score(f))
		}
		if err := d.add(about, score(in), scores); err != nil {
			return nil, err
		}
		chosen := ""
		if m.Parameter != "" {
			chosen = fmt.Sprintf(", %s %g", m.Parameter, value)
		}
		opt.Say("%s%s: %.1f s", m.Label, chosen, time.Since(began).Seconds())
	}
	return d, nil
}

// first returns the features of the first n images of f.
func first(f *ood.Features, n int) *ood.Features {
	width, classes := len(f.Pooled)/f.N, len(f.Logits)/f.N
	return &ood.Features{N: n, Pooled: f.Pooled[:n*width], Logits: f.Logits[:n*classes], Labels: f.Labels[:n],
		Stepped: map[float64][]float32{}}
}

// result returns the measures of all detectors on all sets.
func (d *detection) result(p *oodData, cfg config.OOD, opt Options) (record.OOD, error) {
	res := record.OOD{In: p.in.OODSet, Detectors: d.detectors, Resamples: cfg.Resamples,
		Tuning: record.OODTuning{In: p.tuneIn.N, Out: p.tuneOut.N,
			About: fmt.Sprintf("%s, and the same distorted (%s)", p.tuneIn.About,
				strings.Join(p.tuneOut.Set.Classes, ", "))}}
	began := time.Now()
	for i, s := range p.out {
		res.Sets = append(res.Sets, s.OODSet)
		signs, err := metrics.CheckSigns(p.in.N, s.N)
		if err != nil {
			return res, err
		}
		res.Signs = signs
		intervals := metrics.Bootstrap(d.rankings[i], cfg.Resamples, cfg.Seed)
		for k, r := range d.rankings[i] {
			score := record.OODScore{Set: s.Name, Detector: d.detectors[k].Name, Detection: r.Detection(),
				CI95: intervals[k]}
			score.BaseIn, score.BaseOut = r.BaseRates()
			res.Scores = append(res.Scores, score)
		}
	}
	opt.Say("intervals from %d resamples: %.1f s", cfg.Resamples, time.Since(began).Seconds())
	return res, nil
}

// Sizes of the curves that a record keeps.
const (
	rocPoints     = 200
	sortedPoints  = 101
	histogramBins = 50
	missedImages  = 8
)

// curves returns the data of the figures.
func (d *detection) curves(p *oodData) (c record.OODCurves) {
	for i, s := range p.out {
		for k, r := range d.rankings[i] {
			v := record.OODCurve{Set: s.Name, Detector: d.detectors[k].Name}
			v.ROCIn, v.ROCOut = r.ROC(rocPoints)
			in, out := r.Quantiles(sortedPoints)
			v.SortedIn, v.SortedOut = toFloat32(in), toFloat32(out)
			v.Lo, v.Hi, v.HistIn, v.HistOut = r.Histogram(histogramBins)
			c.Curves = append(c.Curves, v)
		}
	}
	c.Misses = append(c.Misses, misses(&p.in, d.in[0], d.features[&p.in], p.in.Set.Classes, false))
	for i := range p.out {
		c.Misses = append(c.Misses, misses(&p.out[i], d.out[i][0], d.features[&p.out[i]], p.in.Set.Classes, true))
	}
	return c
}

func toFloat32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// misses returns the images of s with the worst scores: the lowest if s is out of distribution, else the highest.
// classes names the network's classes.
func misses(s *images, scores []float64, f *ood.Features, classes []string, isOut bool) record.OODMisses {
	order := make([]int, s.N)
	for i := range order {
		order[i] = i
	}
	sign := -1.0
	if isOut {
		sign = 1
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sign*scores[a], sign*scores[b]) })
	m := record.OODMisses{Set: s.Name}
	px := s.Set.H * s.Set.W * s.Set.C
	for _, i := range order[:min(missedImages, s.N)] {
		at := int(s.Index[i])
		best, _ := attack.Top(f.Logits[i*len(classes):][:len(classes)])
		m.Images = append(m.Images, record.OODMiss{Index: at, Class: s.Set.Classes[s.Set.Labels[at]],
			Predicted: classes[best],
			Score:     scores[i], H: s.Set.H, W: s.Set.W, Pixels: s.Set.Pixels[at*px:][:px]})
	}
	return m
}

// OODCost is the cost of an evaluation of detectors, for --dry-run.
type OODCost struct {
	Images    int     `json:"images"`    // images to compute features of
	Gradients int     `json:"gradients"` // input gradients, for ODIN
	MACs      int     `json:"macs"`      // one image, forward
	Seconds   float64 `json:"seconds"`   // of both, measured on blank images; the detectors' own time is not included
	Threads   int     `json:"threads"`
	Kernel    string  `json:"kernel"`
}

// Line formats c in one line.
func (c OODCost) Line() string {
	return fmt.Sprintf("%d images forward at %.1f MFLOP, %d input gradients, fewer if the cache has features",
		c.Images, 2*float64(c.MACs)/1e6, c.Gradients)
}

// Total returns the time of all passes, in seconds.
func (c OODCost) Total() float64 { return c.Seconds }

// planOOD estimates the cost of an evaluation. It reads no data, so images of folders are not counted.
func planOOD(cfg config.OOD, opt Options) (Plan, error) {
	n, err := oodNetwork(cfg, opt)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Variant: "ood-" + n.Name, Seed: cfg.Seed, Config: cfg,
		cost: func() (Cost, error) { return oodCost(cfg, n) }}, nil
}

// oodCost times the classifier of cfg on blank images.
func oodCost(cfg config.OOD, n *Network) (Cost, error) {
	limited := func(images int) int {
		if cfg.Limit > 0 {
			return min(images, cfg.Limit)
		}
		return images
	}
	val, _ := heldOut(n)
	tuning := min(cfg.Tuning, limited(val))
	scored := limited(n.Images.Test)
	for _, name := range cfg.Sets.Names {
		images := cfg.Sets.Fake
		if name != data.FakeName {
			d, err := data.Describe(name)
			if err != nil {
				return nil, err
			}
			images = d.Test
			if name == peopleName {
				images = d.Train
			}
		}
		scored += limited(images)
	}
	c := OODCost{Images: limited(n.Images.Train-val) + limited(val) + tuning + scored, Gradients: 2*tuning + scored,
		Threads: kernel.Threads(), Kernel: kernel.Level()}
	e, err := newExtractor(n)
	if err != nil {
		return nil, err
	}
	target, err := e.odin()
	if err != nil {
		return nil, err
	}
	c.MACs = e.prog.MACs() / evalBatch
	forward, gradient := time.Duration(1<<63-1), time.Duration(1<<63-1)
	for range 3 {
		began := time.Now()
		if err := e.prog.Run(); err != nil {
			return nil, err
		}
		forward = min(forward, time.Since(began))
		began = time.Now()
		if _, err := target.Gradient(attack.Batch{X: e.pixels, Y: e.labels}); err != nil {
			return nil, err
		}
		gradient = min(gradient, time.Since(began))
	}
	steps := scored + 2*tuning*len(ood.ODINSteps) // forward passes after ODIN's steps
	c.Seconds = (float64(c.Images+steps)*forward.Seconds() + float64(c.Gradients)*gradient.Seconds()) / evalBatch
	return c, nil
}
