package labs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// readImages reads the data set that dc names. For a continued run it must be the data the run began with.
func readImages(ctx context.Context, dc config.Data, opt Options) (*data.Dataset, error) {
	name := dc.Name
	rec := opt.goesOn
	switch {
	case rec != nil && rec.Env.Data.Synthetic:
		name = rec.Env.Data.Name // never the real set, even where it has become reachable
	case opt.DataAt != "":
		name = opt.DataAt
	case rec != nil && rec.Env.Data.Own != nil:
		name = rec.Env.Data.Own.Path
	}
	as, key := readingOf(dc), "images "+name
	if as != (data.Reading{}) {
		key += fmt.Sprintf(" as %+v", as)
	}
	return once(opt, key, func() (*data.Dataset, error) {
		ds, err := data.Read(ctx, name, as, opt.Data)
		if err != nil && rec != nil && data.IsOwn(name) {
			return nil, moved(err)
		}
		if err != nil {
			return nil, err
		}
		if ds.Synthetic && ds.Name != name {
			opt.Say("SYNTHETIC DIGITS, not %s: %s", name, ds.Source)
		} else {
			validation := ""
			if ds.Val != nil {
				validation = fmt.Sprintf(" + %d validation", ds.Val.N)
			}
			opt.Say("data: %s, %d train%s + %d test images, from %s", ds.Name, ds.Train.N, validation, ds.Test.N, ds.Source)
			if ds.Own != nil {
				s := ds.Train
				opt.Say("%dx%d pixels in %d channels, %d classes: %s", s.W, s.H, s.C, len(s.Classes), few(s.Classes))
			}
		}
		return ds, nil
	})
}

// few lists the first of names.
func few(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}

// standardized returns imagesInfo of ds with the mean and standard deviation by which the network m standardizes its
// pixels. Values that are computed, not published, are shown to the user.
func standardized(ds *data.Dataset, m config.Model, opt Options) (run.DataInfo, error) {
	info := imagesInfo(ds)
	if m.Name == "mlp" && (ds.Name == "mnist" || ds.Name == data.SyntheticDigits) { // lab 1 takes these as they are
		return info, nil
	}
	p, err := once(opt, "moments of "+ds.Fingerprint, func() (p model.Pixels, err error) {
		var published bool
		if p.Mean, p.Std, published = ds.Moments(); !published && opt.goesOn == nil {
			opt.Say("standardized with the mean %.4f and the standard deviation %.4f of the %d training images of %s",
				p.Mean, p.Std, ds.Train.N, ds.Name)
		}
		return p, nil
	})
	info.Mean, info.Std = p.Mean, p.Std
	return info, err
}

// pixelsOf returns the standardization of the network m for images of the given number of channels, from the record of
// its data.
func pixelsOf(m config.Model, info run.DataInfo, channels int) model.Pixels {
	if len(info.Mean) == 0 {
		return model.PixelsFor(m.Name, channels)
	}
	return model.Pixels{Mean: info.Mean, Std: info.Std}
}

// standardizedAlike reports whether networks trained on a and on b standardize alike.
func standardizedAlike(a, b run.DataInfo) bool {
	channels := max(len(a.Mean), len(b.Mean))
	any := config.Model{} // no set that mlp took as it is has constants now
	x, y := pixelsOf(any, a, channels), pixelsOf(any, b, channels)
	return channels == 0 || slices.Equal(x.Mean, y.Mean) && slices.Equal(x.Std, y.Std)
}

// imagesInfo returns the description of ds in records.
func imagesInfo(ds *data.Dataset) run.DataInfo {
	return run.DataInfo{Name: ds.Name, Source: ds.Source, Fingerprint: ds.Fingerprint, Synthetic: ds.Synthetic,
		Own: ownInfo(ds)}
}

// splits holds the splits of a data set. The validation split is drawn from the training set, class by class; it may be
// empty.
type splits struct{ train, val, test data.Subset }

// split splits ds by the settings cfg.
func split(ds *data.Dataset, cfg config.Training) splits {
	var p splits
	p.train, p.val = ds.Split(cfg.Data.Val, cfg.Seed)
	p.test = data.All(ds.Test)
	if n := cfg.Data.Limit; n > 0 {
		p.train, p.val, p.test = p.train.First(n), p.val.First(n), p.test.First(n)
	}
	return p
}

// augment returns the augmentation of training images.
func augment(a config.Augment) data.Augment {
	return data.Augment{Flip: a.Flip, Crop: a.Crop, Cutout: a.Cutout, Copies: a.Copies, Alternate: a.Alternate,
		Reflect: a.Reflect}
}

// imageBatches holds the batches of a training on images.
type imageBatches struct {
	set   *data.Dataset
	first data.Subset // of the training split: whitening filters are made from them
	test  data.Subset
	train *data.Prefetch
	val   *data.Loader // nil: no image is held out
}

// newImageBatches makes the batches of cfg's training on ds, split by the settings by. The caller must close them.
// Batches that do not fit into the memory are an error.
func newImageBatches(ds *data.Dataset, cfg, by config.Training) (imageBatches, error) {
	t := ds.Train
	n := int64(batchesAhead+2) * int64(cfg.Train.BatchSize) // and the network's own
	what := fmt.Sprintf("batches of %d images of %dx%d pixels in %d channels", cfg.Train.BatchSize, t.W, t.H, t.C)
	if err := engine.Fits(what, 4*n*int64(t.H*t.W*t.C)); err != nil {
		return imageBatches{}, err
	}
	s := split(ds, by)
	loader := data.NewAugmentedLoader(s.train, cfg.Train.BatchSize, cfg.Seed, augment(cfg.Data.Augment))
	b := imageBatches{ds, s.train.First(whiteningImages), s.test, data.NewPrefetch(loader, batchesAhead), nil}
	if len(s.val.Index) > 0 {
		b.val = data.NewLoader(s.val, evalBatch, false, 0)
	}
	return b, nil
}

func (b imageBatches) close() { b.train.Close() }

// whiteningImages is how many images whitening filters are made from, as in Jordan 2024.
const whiteningImages = 5000

// whiten makes the first filters of c from training images, where its network begins so. The pixels are standardized as
// the network does.
func (b imageBatches) whiten(c *classifier, sz size) error {
	if !c.initial.Whiten {
		return nil
	}
	n := len(b.first.Index)
	images := data.Batch{X: make([]float32, n*sz.h*sz.w*sz.channels), Y: make([]int32, n)}
	data.NewLoader(b.first, n, false, 0).Batch(0, 0, &images)
	for i, v := range images.X {
		channel := i % sz.channels
		images.X[i] = (v - float32(sz.pixels.Mean[channel])) / float32(sz.pixels.Std[channel])
	}
	return c.params.Whiten(images.X, n, sz.h, sz.w, sz.channels)
}

// newImageClassifier makes the batches of cfg's training on ds and, by build, its network, for images of the size sz.
// views are those of test-time augmentation.
func newImageClassifier(ds *data.Dataset, cfg config.Training, sz size, views config.Views,
	build func(steps int) (*classifier, error)) (*imageClassifier, error) {
	b, err := newImageBatches(ds, cfg, cfg)
	if err != nil {
		return nil, err
	}
	c, err := build(b.train.Steps())
	if err == nil {
		err = b.whiten(c, sz)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return &imageClassifier{c, b, views}, nil
}

// network returns the network that cfg names, for images that it standardizes with px.
func network(m config.Model, px model.Pixels) (model.Model, error) {
	return model.New(networkSpec(m), px)
}

// networkSpec is the network that m names.
func networkSpec(m config.Model) model.Spec {
	return model.Spec{Name: m.Name, Depth: m.Depth, Width: m.Width, Res: m.Res, Init: m.Init,
		Shortcut: m.Shortcut}
}

// labelOf returns the label of the network that cfg names; nil for an unknown network.
func labelOf(cfg config.Model) *run.Label {
	m, err := network(cfg, model.CIFAR10)
	if err != nil {
		return nil
	}
	l := &run.Label{Skips: m.Skips()}
	l.Network, l.Order = m.Label()
	return l
}

// trainedBy returns l with the method and recipe of a training.
func trainedBy(l *run.Label, method, recipe string) *run.Label {
	if l != nil {
		l.Method, l.Recipe = method, recipe
	}
	return l
}

// size holds the properties of a data set that a network depends on.
type size struct {
	h, w, channels, classes int
	pixels                  model.Pixels
}

// sizeOf returns the size of ds for the network m. Pixels are standardized as info says, or as the record of a
// continued run does.
func sizeOf(ds *data.Dataset, m config.Model, info run.DataInfo, opt Options) size {
	if opt.goesOn != nil {
		info = opt.goesOn.Env.Data
	}
	return size{ds.Train.H, ds.Train.W, ds.Train.C, len(ds.Train.Classes), pixelsOf(m, info, ds.Train.C)}
}

// classifier is a network in training with its optimiser.
type classifier struct {
	params    *nn.Params
	initial   model.Initial // how its weights begin
	net       *train.Classifier
	program   train.Program // net, or the program that contains it
	optimizer optim.Optimizer
	schedule  optim.Schedule
	macs      int // of one sample's forward pass
}

// newClassifier makes the network of cfg. steps is the number of steps per epoch.
func newClassifier(cfg config.Classifier, sz size, steps int) (*classifier, error) {
	return buildClassifier(cfg, sz, steps, func(m model.Model, p *nn.Params,
		row []int) (*train.Classifier, train.Program, error) {
		net, err := train.NewClassifier(m, p, row, sz.classes, cfg.Train.BatchSize, evalBatch, cfg.Train.LabelSmoothing)
		return net, net, err
	})
}

// newStudent is newClassifier for a network that also learns from a teacher's logits, which logits writes.
func newStudent(cfg config.Classifier, sz size, steps int, loss kernel.Distillation,
	logits logitsOf) (*classifier, error) {
	return buildClassifier(cfg, sz, steps, func(m model.Model, p *nn.Params,
		row []int) (*train.Classifier, train.Program, error) {
		s, err := train.NewStudent(m, p, row, sz.classes, cfg.Train.BatchSize, evalBatch, loss)
		if err != nil {
			return nil, nil, err
		}
		s.Teacher = logits
		return s.Classifier, s, nil
	})
}

// buildClassifier makes the network of cfg by compile, and its optimiser and schedule. Input pixels are in [0,1].
func buildClassifier(cfg config.Classifier, sz size, steps int,
	compile func(m model.Model, p *nn.Params, row []int) (*train.Classifier, train.Program,
		error)) (*classifier, error) {
	setConv(cfg.Train)
	m, err := network(cfg.Model, sz.pixels)
	if err != nil {
		return nil, err
	}
	c := &classifier{params: nn.NewParams(cfg.Seed)}
	if c.initial, err = networkSpec(cfg.Model).Initial(); err != nil {
		return nil, err
	}
	c.params.Dirac = c.initial.Dirac
	if c.net, c.program, err = compile(m, c.params, m.Input(sz.h, sz.w, sz.channels)); err != nil {
		return nil, err
	}
	c.macs = c.net.Eval().MACs() / evalBatch
	c.optimizer, c.schedule, err = optimise(cfg.Train, c.net.Params(), steps)
	return c, err
}

func (c *classifier) job() train.Job {
	return train.Job{Program: c.program, Optimizer: c.optimizer, Schedule: c.schedule}
}

// trainBatches feeds the batches of l to the program; nil if l is nil.
func (c *classifier) trainBatches(l *data.Prefetch) train.Batches {
	if l == nil {
		return nil
	}
	return c.net.TrainBatches(l)
}

func (c *classifier) graph() *engine.Program { return c.net.Train() }

func (c *classifier) close() {}

// cost returns the cost of c's training before timing.
func (c *classifier) cost() TrainingCost {
	return TrainingCost{Params: c.params.Count(), MACs: c.macs, PeakBytes: c.net.PeakBytes(),
		TrainFLOPs: 6 * float64(c.macs)}
}

// result returns the result of a finished training, without the fields of its experiment, and attaches the predictions.
// labels are those of the test set, of the classes called names.
func (c *classifier) result(e finishedTraining, test record.Test, predictions metrics.Predictions, labels []int32,
	names []string) (*record.Classifier, error) {
	res := &record.Classifier{
		Test: test, BestEpoch: e.BestEpoch, Epochs: e.Epochs, Reason: string(e.Reason), WallSeconds: e.Seconds,
		ElapsedSeconds: e.elapsed(),
		Val:            e.BestVal.Measure(), LastVal: e.LastVal.Measure(),
		Params: c.params.Count(), MACs: c.macs, PeakBytes: c.net.PeakBytes(),
		WeightsSHA256: weights.Fingerprint(c.net.State()), LastWeightsSHA256: e.last,
	}
	err := attachPredictions(e.run, res, predictions, labels, names)
	if err != nil {
		return nil, err
	}
	res.GradNorms, err = attachGradNorms(e)
	return res, err
}

// imageClassifier is a classifier in training on images.
type imageClassifier struct {
	*classifier
	imageBatches
	views config.Views // of the test images, for test-time augmentation
}

func (c *imageClassifier) job() train.Job {
	j := c.classifier.job()
	j.Train = c.trainBatches(c.imageBatches.train)
	if c.val != nil {
		j.Val = c.net.Batches(c.val)
	}
	return j
}

func (c *imageClassifier) close() { c.imageBatches.close() }

func (c *imageClassifier) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	return c.evaluated(ctx, e)
}

func (c *imageClassifier) evaluated(ctx context.Context, e finishedTraining) (*record.Classifier, error) {
	test, views, predictions, err := testViews(ctx, c.net.Scorer, c.test, c.views, e.sink)
	if err != nil {
		return nil, err
	}
	res, err := c.result(e, test, predictions, labelsOf(c.test), c.test.Set.Classes)
	if err != nil {
		return nil, err
	}
	res.TestViews, res.TestLast = views, e.lastTest
	res.TestIndex, err = attachTestIndex(e.run, c.test)
	res.Note = syntheticNote(c.set.Name, c.set.Synthetic)
	return res, err
}

func (c *imageClassifier) testLast(ctx context.Context, sink train.Sink) (record.Test, error) {
	test, _, err := testOnce(ctx, c.net.Scorer, c.test, sink)
	return test, err
}

// testOnce evaluates s on the test set and returns its predictions.
func testOnce(ctx context.Context, s *train.Scorer, test data.Subset,
	sink train.Sink) (record.Test, metrics.Predictions, error) {
	return testOn(ctx, s, s.Batches(data.NewLoader(test, evalBatch, false, 0)), labelsOf(test), sink)
}

// labelsOf returns the labels of s in order.
func labelsOf(s data.Subset) []int32 {
	labels := make([]int32, len(s.Index))
	for i, at := range s.Index {
		labels[i] = s.Set.Labels[at]
	}
	return labels
}

// testViews is testOnce that also evaluates the mean of s's logits over the views v of each image; nil without views.
func testViews(ctx context.Context, s *train.Scorer, test data.Subset, v config.Views,
	sink train.Sink) (record.Test, *record.Views, metrics.Predictions, error) {
	if v.IsZero() {
		plain, predictions, err := testOnce(ctx, s, test, sink)
		return plain, nil, predictions, err
	}
	all, err := train.EvaluateViews(ctx, s, viewsOf(v, s, test), sink)
	if err != nil {
		return record.Test{}, nil, nil, err
	}
	predictions, err := metrics.NewPredictions(all.Classes, labelsOf(test))
	return tested(all.First), &record.Views{Views: string(v), Test: tested(all.Mean)}, predictions, err
}

// viewsOf returns the views called v of the images of test, as Jordan 2024 weighs them
// (https://arxiv.org/abs/2404.00498): an image and its mirror image alike, and where both are shifted as well, half of
// the weight on those that are not. The first view is the image alone, and the only one without test-time augmentation.
func viewsOf(v config.Views, s *train.Scorer, test data.Subset) []train.View {
	if v.IsZero() {
		return []train.View{{Batches: s.Batches(data.NewLoader(test, evalBatch, false, 0)), Weight: 1}}
	}
	shifts := []int{0}
	if v == config.ShiftViews {
		shifts = []int{0, -1, 1}
	}
	var all []train.View
	for _, by := range shifts {
		weight := 1.0
		switch {
		case len(shifts) == 1:
		case by == 0:
			weight = 0.5
		default:
			weight = 0.25
		}
		for _, mirror := range []bool{false, true} {
			l := data.NewViewLoader(test, evalBatch, data.View{Down: by, Right: by, Mirror: mirror})
			all = append(all, train.View{Batches: s.Batches(l), Weight: weight / 2})
		}
	}
	return all
}

// testOn evaluates s on all batches of b. labels holds their labels in order.
func testOn(ctx context.Context, s train.Predictor, b train.Batches, labels []int32,
	sink train.Sink) (record.Test, metrics.Predictions, error) {
	stats, classes, err := train.Predict(ctx, s, b, sink)
	if err != nil {
		return record.Test{}, nil, err
	}
	predictions, err := metrics.NewPredictions(classes, labels)
	return tested(stats), predictions, err
}

// tested returns the recorded form of an evaluation on the test set.
func tested(s train.Stats) record.Test {
	lo, hi := metrics.Wilson(s.Correct, s.N)
	return record.Test{N: s.N, Correct: s.Correct, Loss: s.Loss(), Accuracy: s.Accuracy(), CI95: [2]float64{lo, hi}}
}
