package labs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/record"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// RobustExperiment is the name of adversarial fine-tuning in records.
const RobustExperiment = "lab4/robust"

// robust fine-tunes a trained classifier adversarially: a fraction of each batch is attacked, and outliers follow. The
// fine-tuned network and the original are then compared under the same attacks and on the same sets of outliers, none
// of which was trained on.
func robust() Experiment {
	defaults := func() config.Robust { return config.DefaultRobust(false) }
	e := newExperiment[config.Robust, record.Classifier](RobustExperiment, defaults, openRobust, planRobust)
	return checked(e, func(cfg config.Robust, opt Options) error {
		_, err := findOriginal(cfg, opt)
		return err
	})
}

// openRobust loads the original network, its data and all outliers.
func openRobust(ctx context.Context, cfg config.Robust, opt Options) (Job, error) {
	original, err := findOriginal(cfg, opt)
	if err != nil {
		return nil, err
	}
	of := opt
	if data.IsOwn(cfg.Data.Name) && of.DataAt == "" {
		of.DataAt = cfg.Data.Name
	}
	ds, err := dataOfNetwork(ctx, original, of)
	if err != nil {
		return nil, err
	}
	if ds.Own != nil {
		cfg.Data.Name = ds.Own.Path
	}
	return robustOn(ctx, ds, original, cfg, opt)
}

// findOriginal loads the original network once for all runs of a study.
func findOriginal(cfg config.Robust, opt Options) (*Network, error) {
	return once(opt, "original "+cfg.Original.From, func() (*Network, error) {
		n, err := FindNetwork(opt.Root, cfg.Original.From)
		if err != nil {
			return nil, fmt.Errorf("the original: %w", err)
		}
		opt.Say("original: %s of %s, test accuracy %.2f %%", n.Name, n.Source, 100*n.Result.Test.Accuracy)
		return n, nil
	})
}

// RobustSettings returns cfg with data, split and network of the original. Other weights than cfg names, and other data
// or another network than cfg says, are errors.
func RobustSettings(root string, cfg config.Robust) (config.Robust, error) {
	n, err := FindNetwork(root, cfg.Original.From)
	if err != nil {
		return cfg, fmt.Errorf("the original: %w", err)
	}
	return adopt(cfg, n)
}

func adopt(cfg config.Robust, n *Network) (config.Robust, error) {
	if m, err := attack.Find(cfg.Attack.Kind); err != nil || !attack.InTraining(m) {
		return cfg, fmt.Errorf("attack.kind is %q, want one of %s", cfg.Attack.Kind,
			strings.Join(attack.Names(attack.InTraining), ", "))
	}
	if w := cfg.Original.Weights; w != "" && w != n.Weights {
		return cfg, fmt.Errorf("the original %s has weights with fingerprint %.12s…, want %.12s… "+
			"(original.weights); make the original network available again", n.Source, n.Weights, w)
	}
	other := func(key string, given, has any) error {
		return fmt.Errorf("%s is %v, but the original %s has %v; leave it out", key, given, n.Source, has)
	}
	was := n.Config
	switch {
	case cfg.Data.Name != "" && cfg.Data.Name != n.Data.Name && !(n.Data.Own != nil && data.IsOwn(cfg.Data.Name)):
		return cfg, other("data.name", cfg.Data.Name, n.Data.Name)
	case cfg.Data.Val != 0 && cfg.Data.Val != was.Data.Val:
		return cfg, other("data.val", cfg.Data.Val, was.Data.Val)
	}
	if m := cfg.Model; m != (config.Model{}) {
		for _, s := range []struct {
			key        string
			given, has any
		}{{"name", m.Name, was.Model.Name}, {"depth", m.Depth, was.Model.Depth}, {"width", m.Width, was.Model.Width},
			{"res", m.Res, was.Model.Res}, {"init", m.Init, was.Model.Init}} {
			if s.given != s.has {
				return cfg, other("model."+s.key, s.given, s.has)
			}
		}
	}
	cfg.Original.Weights, cfg.Original.Seed = n.Weights, was.Seed
	like, at := n.TrainingData(), cfg.Data.Name
	like.Limit, like.Augment = cfg.Data.Limit, cfg.Data.Augment
	if n.Data.Own != nil && at != "" && at != n.Data.Name { // where they lie now
		like.Name = at
	}
	cfg.Data, cfg.Model = like, was.Model
	if err := cfg.Validate(); err != nil {
		return cfg, err
	}
	return cfg, cfg.Classifier().Validate()
}

// robustness holds what a run has beside an ordinary training: the adversarial settings, the original network, and the
// sets of outliers.
type robustness struct {
	train.RobustConfig
	cfg      config.Robust
	original *Network
	trained  []images // sets of training outliers
	sets     []images // sets of the comparison
}

// robustOn reads all outliers and ensures that none is both trained on and evaluated.
func robustOn(ctx context.Context, ds *data.Dataset, original *Network, cfg config.Robust, opt Options) (Job, error) {
	cfg, err := adopt(cfg, original)
	if err != nil {
		return nil, err
	}
	h := &robustness{cfg: cfg, original: original}
	if h.trained, err = outliersToTrain(ctx, cfg, ds.Train, opt); err != nil {
		return nil, err
	}
	if h.sets, err = outlierSets(ctx, "test.sets", cfg.Test.Sets, cfg.Seed, ds.Train, opt); err != nil {
		return nil, err
	}
	for _, s := range slices.Concat(h.trained, h.sets) {
		if err := s.sizedLike(ds, "name others (outliers.sources, test.sets)"); err != nil {
			return nil, err
		}
	}
	var known, evaluated pictures
	known.addData(ds)
	evaluated.addData(ds)
	if err := known.addExposure(original); err != nil {
		return nil, err
	}
	for i, s := range h.sets {
		if s, err = known.leaveOut(s, opt); err != nil {
			return nil, err
		}
		h.sets[i] = s.atMost(cfg.Data.Limit)
		evaluated.add(s.Name, s.Subset)
		opt.Say("compared on: %s, %d images%s", s.About, h.sets[i].N, converted(s.Set, s.Converted))
	}
	for i, s := range h.trained {
		if s, err = evaluated.leaveOut(s, opt); err != nil {
			return nil, err
		}
		h.trained[i] = s.atMost(cfg.Data.Limit)
		opt.Say("outliers to train on: %s, %d images%s", s.About, h.trained[i].N, converted(s.Set, s.Converted))
	}
	h.RobustConfig = robustConfigOf(cfg, h.trained)
	if h.cfg.Images, err = imagesOf(h, cfg.Images); err != nil {
		return nil, err
	}
	name, err := RobustVariant(cfg)
	info := imagesInfo(ds)
	info.Mean, info.Std = original.Data.Mean, original.Data.Std
	build := func(_ context.Context, opt Options) (trainable, error) {
		b, err := newImageBatches(ds, h.cfg.Training(), h.cfg.Classifier().Training)
		if err != nil {
			return nil, err
		}
		sz := sizeOf(ds, original.Config.Model, info, opt)
		d, err := newRobustClassifier(h, sz, b.train.Steps())
		if err == nil && h.cfg.Scratch {
			err = b.whiten(d.classifier, sz)
		}
		if err != nil {
			b.close()
			return nil, err
		}
		d.imageBatches = b
		return d, nil
	}
	return &training{experiment: RobustExperiment, variant: name, settings: h.cfg, cfg: h.cfg.Training(),
		label: robustLabel(h.cfg), data: info, build: build}, err
}

// robustClassifier is a classifier in adversarial fine-tuning, to be compared with the original.
type robustClassifier struct {
	imageClassifier
	h *robustness
}

// newRobustClassifier makes the network, with the original's weights and running statistics unless cfg.Scratch is set.
func newRobustClassifier(h *robustness, sz size, steps int) (*robustClassifier, error) {
	cfg := config.Classifier{Training: h.cfg.Training(), Model: h.cfg.Model}
	c, err := buildClassifier(cfg, sz, steps, func(m model.Model, p *nn.Params,
		row []int) (*train.Classifier, train.Program, error) {
		r, err := train.NewRobust(m, p, row, sz.classes, cfg.Train.BatchSize, evalBatch, h.RobustConfig)
		if err != nil {
			return nil, nil, err
		}
		if h.original != nil && !h.cfg.Scratch {
			if err := weights.Copy(r.State(), h.original.state()); err != nil {
				return nil, nil, fmt.Errorf("the original %s does not fit: %w", h.original.Source, err)
			}
		}
		return r.Classifier, r, nil
	})
	return &robustClassifier{imageClassifier{classifier: c, views: h.cfg.Test.Views}, h}, err
}

// evaluate evaluates the classifier on the test set and compares it with the original.
func (d *robustClassifier) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	res, err := d.evaluated(ctx, e)
	if err != nil {
		return nil, err
	}
	n := *d.h.original
	n.Source, n.Params, n.Weights, n.Config, n.Result = e.run.ID(), d.params, res.WeightsSHA256, d.h.cfg.Classifier(), *res
	res.Robust, err = d.h.compare(ctx, &n, d.imageBatches, e)
	return res, err
}

// imagesOf returns the fingerprint of all outliers. If want is not empty, any other fingerprint is an error.
func imagesOf(h *robustness, want string) (string, error) {
	var all []string
	for _, s := range slices.Concat(h.trained, h.sets) {
		all = append(all, s.Fingerprint)
	}
	sum := config.Hash([]byte(strings.Join(all, "\n")))
	if want != "" && want != sum {
		return "", fmt.Errorf("the images of the outliers have changed since the run began: fingerprint %.12s…, "+
			"want %.12s… (images); make the original folders available again", sum, want)
	}
	return sum, nil
}

// robustConfigOf returns the adversarial settings of cfg with the outliers.
func robustConfigOf(cfg config.Robust, outliers []images) train.RobustConfig {
	h := train.RobustConfig{Seed: cfg.Seed, Smoothing: cfg.Train.LabelSmoothing, Attack: trainingAttack(cfg),
		Fraction: cfg.Attack.Fraction,
		Share:    cfg.Outliers.Share, Weight: cfg.Outliers.Weight}
	for _, s := range outliers {
		h.Outliers = append(h.Outliers, s.Subset)
	}
	return h
}

// trainingAttack returns the attack of each epoch.
func trainingAttack(cfg config.Robust) func(epoch int) attack.Attack {
	m, s := attackOfTraining(cfg)
	return func(epoch int) attack.Attack {
		r := rng.New(cfg.Seed, "random starts", uint64(epoch), 0)
		s.Seed = r.Uint64()
		return m.New(s)
	}
}

// attackOfTraining returns the attack that cfg names, which adopt has checked, with its settings.
func attackOfTraining(cfg config.Robust) (attack.Method, attack.Settings) {
	m, err := attack.Find(cfg.Attack.Kind)
	if err != nil {
		panic(err)
	}
	return m, attack.Settings{Norm: attack.Linf, Eps: cfg.Attack.Eps / 255, Steps: cfg.Attack.Steps, Restarts: 1}
}

// outliersToTrain reads the sets of training outliers of cfg. Noise and the images of folders get the size of like.
func outliersToTrain(ctx context.Context, cfg config.Robust, like *data.Set, opt Options) ([]images, error) {
	if cfg.Outliers.Share == 0 {
		return nil, nil
	}
	var all []images
	for _, source := range cfg.Outliers.Sources {
		name, folder := config.Source(source)
		var s data.Subset
		about, from, changed := "", folder, ""
		switch {
		case folder != "":
			ds, err := data.Folder(ctx, name, folder, like, opt.Data)
			if err != nil {
				return nil, fmt.Errorf("the outliers %s: %w", name, err)
			}
			s, about, changed = data.All(ds.Train), name+", a folder of images", ds.Converted
		case name == config.NoiseSource:
			r := rng.New(cfg.Seed, "noise to train on", 0, 0) // independent of the evaluated noise
			s, about, from = data.All(data.Fake(cfg.Outliers.Noise, r.Uint64(), like)), "uniform noise", "drawn"
		default:
			ds, err := data.Load(ctx, name, opt.Data)
			if err != nil {
				return nil, fmt.Errorf("the outliers %s: %w", name, err)
			}
			s, about, from = data.All(ds.Train), data.Title(name)+", training part", ds.Source
		}
		if folder != "" || name != peopleName && name != config.NoiseSource { // these are chosen explicitly
			var left []string
			s, left = without(s, cfg.Outliers.Without)
			if len(left) > 0 {
				about += " without " + strings.Join(left, ", ")
			}
			if len(s.Index) == 0 {
				return nil, fmt.Errorf("the outliers %s: %s has images of %s only, which are left out "+
					"(outliers.without)", name, from, strings.Join(left, ", "))
			}
		}
		set := named(name, about, from, s)
		set.Converted = changed
		all = append(all, set)
	}
	return all, nil
}

// without returns the images of s outside the named classes, and the named classes that s has. An image that is in a
// named class and in another one is left out of both.
func without(s data.Subset, classes []string) (data.Subset, []string) {
	var left []string
	out := map[[sha256.Size]byte]bool{}
	name := func(i int32) string { return s.Set.Classes[s.Set.Labels[i]] }
	for _, i := range s.Index {
		if n := name(i); slices.Contains(classes, n) {
			out[s.Set.Hash(int(i))] = true
			if !slices.Contains(left, n) {
				left = append(left, n)
			}
		}
	}
	slices.Sort(left)
	kept := data.Subset{Set: s.Set}
	for _, i := range s.Index {
		if len(out) == 0 || !out[s.Set.Hash(int(i))] {
			kept.Index = append(kept.Index, i)
		}
	}
	return kept, left
}

// hashesName is the file of a run with the hashes of its network's training outliers, for later evaluations.
const hashesName = "outliers.sha256"

// hashes returns the hashes of the images of sets and those in known, each once, in ascending order.
func hashes(sets []images, known []byte) []byte {
	var all [][record.HashSize]byte
	for len(known) >= record.HashSize {
		all = append(all, [record.HashSize]byte(known))
		known = known[record.HashSize:]
	}
	for _, s := range sets {
		for _, i := range s.Index {
			h := s.Set.Hash(int(i))
			all = append(all, [record.HashSize]byte(h[:]))
		}
	}
	slices.SortFunc(all, func(a, b [record.HashSize]byte) int { return bytes.Compare(a[:], b[:]) })
	var b []byte
	for _, h := range slices.Compact(all) {
		b = append(b, h[:]...)
	}
	return b
}

// exposure returns the hashes of the outliers that n was trained on, none for an ordinary training.
func (n *Network) exposure() ([]byte, error) {
	if n.Result.Robust == nil {
		return nil, nil
	}
	b, err := n.record.Attached(n.Result.Robust.Hashes)
	if err != nil {
		return nil, fmt.Errorf("the training outliers of %s are unknown: %w", n.Source, err)
	}
	return b, nil
}

// RobustVariant returns the name of cfg's network in records: resnet20-robust-fgsm8-f0.1-noise-w0.5.
func RobustVariant(cfg config.Robust) (string, error) {
	name, err := networkName(cfg.Model)
	if err != nil {
		return "", err
	}
	return strings.Join(append([]string{name, "robust"}, robustRecipe(cfg)...), "-"), nil
}

// robustRecipe returns the adversarial settings of cfg as elements of a variant's name.
func robustRecipe(cfg config.Robust) (parts []string) {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	if cfg.Scratch {
		parts = append(parts, "scratch")
	}
	if a := cfg.Attack; a.Fraction > 0 {
		parts = append(parts, a.Kind+number(a.Eps), "f"+number(a.Fraction))
	}
	if o := cfg.Outliers; o.Share > 0 {
		for _, s := range o.Sources {
			source, _ := config.Source(s)
			parts = append(parts, source)
		}
		parts = append(parts, "w"+number(o.Weight))
	}
	return parts
}

// robustLabel returns the label of cfg's network.
func robustLabel(cfg config.Robust) *run.Label {
	method := "adversarially fine-tuned"
	if cfg.Scratch {
		method = "adversarially trained"
	}
	return trainedBy(labelOf(cfg.Model), method, strings.Join(robustRecipe(cfg), ", "))
}

// planRobust estimates the cost of the training, without the comparison after it.
func planRobust(cfg config.Robust, opt Options) (Plan, error) {
	n, err := findOriginal(cfg, opt)
	if err != nil {
		return Plan{}, err
	}
	if cfg, err = adopt(cfg, n); err != nil {
		return Plan{}, err
	}
	name, err := RobustVariant(cfg)
	return Plan{Variant: name, Seed: cfg.Seed, Config: cfg, cost: func() (Cost, error) {
		return imagesCost(cfg.Model, cfg.Training(), opt, func(sz size, steps int) (trainable, TrainingCost, error) {
			black := &data.Set{N: 1, H: sz.h, W: sz.w, C: sz.channels, Pixels: make([]uint8, sz.h*sz.w*sz.channels)}
			h := &robustness{cfg: cfg, RobustConfig: robustConfigOf(cfg, []images{{Subset: data.All(black)}})}
			d, err := newRobustClassifier(h, sz, steps)
			if err != nil {
				return nil, TrainingCost{}, err
			}
			c := d.cost()
			c.TrainFLOPs *= h.passes()
			return d, c, nil
		})
	}}, err
}

// passes returns the cost of a training step of h relative to an ordinary one: outliers beside the images, and for each
// gradient of the attack a forward pass and a backward pass to the images, two thirds of a training step.
func (h *robustness) passes() float64 {
	m, s := attackOfTraining(h.cfg)
	return 1 + h.Share + float64(m.Gradients(s))*h.Fraction*2/3
}
