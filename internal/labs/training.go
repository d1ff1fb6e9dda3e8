// Package labs holds one file per experiment: the story from data to figure. What the trainings of
// classifiers share is in training.go, trained networks to build on in network.go.
package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// evalBatch is how many samples the evaluation graph takes at once. It changes speed and memory, not
// results.
const evalBatch = 250

// batchesAhead is how many batches are prepared while a step runs.
const batchesAhead = 2

// Options are what of a run does not change its results.
type Options struct {
	Root    string                                      // where run directories go
	MaxTime time.Duration                               // of this process; 0: none
	Profile func(variant string, costs []engine.OpCost) // gets what each op of the training steps took; nil: not timed
	Resume  bool                                        // reuse finished runs of the same configuration and data, continue interrupted and failed ones
	Data    data.Options
	Env     run.Env // version, machine and command; the lab adds the data
	Sink    train.Sink
	Say     func(format string, args ...any) // one line to the user

	KeepCheckpoints bool // of finished trainings too, which need their best weights alone

	OtherKernels bool // go on with runs that other kernels began: in other bits, as their records then say
}

// Result is what result.json holds of a classifier's training.
type Result struct {
	Test              TestResult     `json:"test"`       // of the epoch that validation selected; touched once
	BestEpoch         int            `json:"best_epoch"` // 1-based
	Val               run.Measure    `json:"val"`        // of the best epoch
	LastVal           run.Measure    `json:"last_val"`   // of the last epoch
	Epochs            int            `json:"epochs"`
	Reason            train.Reason   `json:"reason"`
	WallSeconds       float64        `json:"wall_seconds"` // training and validation, all processes of the run
	Params            int            `json:"params"`
	MACs              int            `json:"macs"`       // multiply-adds of one sample's forward pass
	PeakBytes         int64          `json:"peak_bytes"` // planned memory of a training step's intermediates and gradients
	WeightsSHA256     string         `json:"weights_sha256"`
	LastWeightsSHA256 string         `json:"last_weights_sha256"`
	Predictions       run.Attachment `json:"predictions"` // of the test set: metrics.Predictions

	TestIndex *run.Attachment `json:"test_index,omitempty"` // of images in another order than the published one: data.WritePlaces
	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // where train.grad_norms asks for them
	Train     *run.Measure    `json:"train,omitempty"`      // of lab3: of the best epoch, on the training part as in evaluation
	Encoder   *Encoded        `json:"encoder,omitempty"`    // of lab3: the frozen encoder
	Robust    *run.Robust     `json:"robust,omitempty"`     // of lab4 robust: the comparison with the original
	Finetuned *Finetuned      `json:"finetuned,omitempty"`  // of lab3 finetune
	Note      string          `json:"note,omitempty"`
}

// TestResult is accuracy on the test set with its 95 % Wilson interval.
type TestResult struct {
	N        int        `json:"n"`
	Correct  int        `json:"correct"`
	Loss     float64    `json:"loss"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
}

// Files of a run beside its record.
const (
	predictionsName = "test_predictions.bin"
	testIndexName   = "test_index.csv"
	gradNormsName   = "grad_norms.jsonl"
)

// Trained is one run of a classifier, or of an autoencoder.
type Trained struct {
	ID, Dir string
	Variant string
	Config  config.Resnet // seed, data, model (a classifier's), training
	Reason  train.Reason
	Result  Result // when Done
	Reused  bool   // an earlier, finished run of the same configuration
	Figures []string

	Autoencoder *AutoencoderResult // when Done, instead of Result, where an autoencoder was trained
}

// Done says that the training came to its end.
func (t Trained) Done() bool { return t.Reason == train.Finished || t.Reason == train.EarlyStop }

// Note is what must be said wherever the result is shown, where there is something.
func (t Trained) Note() string {
	if t.Autoencoder != nil {
		return t.Autoencoder.Note
	}
	return t.Result.Note
}

// training is one run to be made: an ordinary training of a classifier, and what its experiment adds.
type training struct {
	experiment string
	variant    string
	settings   any           // all of them, as config.yaml holds them
	cfg        config.Resnet // those of an ordinary training

	before    func() ([]any, error) // the same settings as older records may have them; nil: there are none
	lesson    *lesson               // nil: from the labels alone
	encoder   *Network              // whose features a decoder is trained on; nil: a classifier is trained
	head      config.Head           // of a training on features
	hardening *hardening            // of a classifier against attacks and outliers; nil: none
}

// parts are the settings by which the data is split.
func (tr training) parts() config.Resnet {
	if tr.hardening != nil {
		return tr.hardening.parts()
	}
	return tr.cfg
}

// lesson is what a student is taught beside the labels.
type lesson struct {
	loss kernel.Distillation
	// logits writes the teacher's logits [rows, classes] for a batch of the given epoch of the subset
	// trained on, the batch's Index being places in it, to dst.
	logits func(dst []float32, b *data.Batch, epoch int) error
}

// loadData reads the data set dc names.
func loadData(ctx context.Context, dc config.Data, opt Options) (*data.Dataset, error) {
	ds, err := data.Load(ctx, dc.Name, opt.Data)
	if err != nil {
		return nil, err
	}
	if ds.Synthetic && ds.Name != dc.Name {
		opt.Say("SYNTHETIC DIGITS, not %s: %s", dc.Name, ds.Source)
	} else {
		opt.Say("data: %s, %d train + %d test images, from %s", ds.Name, ds.Train.N, ds.Test.N, ds.Source)
	}
	return ds, nil
}

// dataOf reads the data that rec began with.
func dataOf(ctx context.Context, rec run.Record, dc config.Data, opt Options) (*data.Dataset, error) {
	if rec.Env.Data.Synthetic {
		dc.Name = rec.Env.Data.Name // never the real set, even where it has become reachable
	}
	ds, err := loadData(ctx, dc, opt)
	if err != nil {
		return nil, err
	}
	return ds, sameFingerprint(rec, ds.Fingerprint)
}

// parts are a data set's images as a training uses them. The validation part is drawn from the training
// set, class by class.
type parts struct{ train, val, test data.Subset }

func split(ds *data.Dataset, cfg config.Resnet) parts {
	var p parts
	p.train, p.val = ds.Split(cfg.Data.Val, cfg.Seed)
	p.test = data.All(ds.Test)
	if n := cfg.Data.Limit; n > 0 {
		p.train, p.val, p.test = p.train.First(n), p.val.First(n), p.test.First(n)
	}
	return p
}

// spec is what a new run of tr on m begins with.
func (tr training) spec(m material, opt Options) (run.Spec, error) {
	yaml, err := config.Marshal(tr.settings)
	env := opt.Env
	env.Data = m.info()
	return run.Spec{Experiment: tr.experiment, Variant: tr.variant, Seed: tr.cfg.Seed, Config: yaml, Env: env}, err
}

// start makes a run of tr, or finds the one that Resume asks to reuse, and trains it.
func start(ctx context.Context, m material, tr training, opt Options) (Trained, error) {
	spec, err := tr.spec(m, opt)
	if err != nil {
		return Trained{}, err
	}
	if opt.Resume {
		if t, found, err := reuse(ctx, m, tr, spec, opt); found || err != nil {
			return t, err
		}
	}
	r, err := run.Create(opt.Root, spec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, m, tr, opt)
}

// network is the network cfg names, for images of the given number of channels.
func network(m config.Model, channels int) (model.Model, error) {
	return model.New(model.Spec{Name: m.Name, Depth: m.Depth, Width: m.Width, Res: m.Res}, model.PixelsFor(channels))
}

// size is what of a data set the network depends on.
type size struct{ h, w, channels, classes int }

func sizeOf(ds *data.Dataset) size {
	return size{ds.Train.H, ds.Train.W, ds.Train.C, len(ds.Train.Classes)}
}

// built is a network ready to be trained.
type built struct {
	name      string // of the network
	params    *nn.Params
	net       *train.Classifier
	program   train.Program // net, or the student it is a part of
	optimizer optim.Optimizer
	schedule  optim.Schedule
	macs      int // of one image's forward pass
}

// build makes the network, its optimiser and its schedule. Pixels are in [0,1]. With a lesson the
// network is a student.
func build(cfg config.Resnet, sz size, steps int, l *lesson) (*built, error) {
	setConv(cfg.Train)
	m, err := network(cfg.Model, sz.channels)
	if err != nil {
		return nil, err
	}
	b := &built{name: m.Name(), params: nn.NewParams(cfg.Seed)}
	t := cfg.Train
	row := m.Input(sz.h, sz.w, sz.channels)
	if l == nil {
		if b.net, err = train.NewClassifier(m, b.params, row, sz.classes, t.BatchSize, evalBatch, t.LabelSmoothing); err != nil {
			return nil, err
		}
		b.program = b.net
	} else {
		student, err := train.NewStudent(m, b.params, row, sz.classes, t.BatchSize, evalBatch, l.loss)
		if err != nil {
			return nil, err
		}
		student.Teacher = l.logits
		b.net, b.program = student.Classifier, student
	}
	b.macs = b.net.Eval().MACs() / evalBatch
	b.optimizer, b.schedule, err = optimise(t, b.net.Params(), steps)
	return b, err
}

// optimise makes the optimiser of params and its schedule, for epochs of so many steps.
func optimise(t config.Train, params []optim.Param, steps int) (optim.Optimizer, optim.Schedule, error) {
	o, err := optim.New(optim.Config{Name: t.Optimizer, Momentum: t.Momentum, Nesterov: t.Nesterov, WeightDecay: t.WeightDecay,
		Decoupled: t.Decoupled, Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps}, params)
	if err != nil {
		return nil, optim.Schedule{}, err
	}
	milestones := make([]int, len(t.Milestones))
	for i, epoch := range t.Milestones {
		milestones[i] = epoch * steps
	}
	s, err := optim.NewSchedule(optim.ScheduleConfig{Name: t.Schedule, Warmup: t.WarmupSteps, Milestones: milestones, Gamma: t.Gamma}, t.LR, t.Epochs*steps)
	return o, s, err
}

// setConv chooses the algorithm of the convolutions, for the whole process.
func setConv(t config.Train) { kernel.SetConvDirect(t.Conv == "direct") }

// augment is how training images are changed.
func augment(a config.Augment) data.Augment {
	return data.Augment{Flip: a.Flip, Crop: a.Crop, Cutout: a.Cutout, Copies: a.Copies}
}

// learner is what fit trains, a network with its optimiser, and what is to be recorded of it then.
type learner interface {
	// job is the training's program, optimiser and schedule.
	job() train.Job
	// steps is the compiled training graph.
	steps() *engine.Program
	// conclude tests the network, which has the weights that validation selected, once. It sets what t
	// says of the result and returns it.
	conclude(ctx context.Context, e ended, t *Trained) (result any, err error)
}

// ended is a training at its end.
type ended struct {
	train.Outcome
	tested
	run  *run.Run
	last string // fingerprint of the last epoch's weights
	sink train.Sink
}

// tested is what a learner of images is tested on.
type tested struct {
	data *data.Dataset
	test data.Subset
}

// material is what is trained on: images, or features of sentences.
type material interface {
	// info is what a record says of it.
	info() run.DataInfo
	// prepare makes what tr trains, and its batches.
	prepare(tr training) (prepared, error)
}

// prepared is a training ready to begin.
type prepared struct {
	learner
	tested
	train, val train.Batches
	close      func() // when it is over
}

// imageMaterial is a data set of images as material.
type imageMaterial struct{ *data.Dataset }

func (m imageMaterial) info() run.DataInfo {
	return run.DataInfo{Name: m.Name, Source: m.Source, Fingerprint: m.Fingerprint, Synthetic: m.Synthetic}
}

func (m imageMaterial) prepare(tr training) (prepared, error) {
	cfg := tr.cfg
	p := split(m.Dataset, tr.parts())
	trainer := data.NewPrefetch(data.NewAugmentedLoader(p.train, cfg.Train.BatchSize, cfg.Seed, augment(cfg.Data.Augment)), batchesAhead)
	l, err := tr.learner(m.Dataset, trainer.Steps())
	if err != nil {
		trainer.Close()
		return prepared{}, err
	}
	return prepared{l, tested{m.Dataset, p.test}, trainer, data.NewLoader(p.val, evalBatch, false, 0), trainer.Close}, nil
}

// learner makes what tr trains on images, for epochs of so many steps.
func (tr training) learner(ds *data.Dataset, steps int) (learner, error) {
	if tr.encoder != nil {
		return newDecoder(tr.cfg, tr.encoder, steps)
	}
	if tr.hardening != nil {
		return newHardened(tr.cfg, tr.hardening, sizeOf(ds), steps)
	}
	return build(tr.cfg, sizeOf(ds), steps, tr.lesson)
}

// fit trains r to its end, or to where it is stopped, and closes it.
func fit(ctx context.Context, r *run.Run, m material, tr training, opt Options) (t Trained, err error) {
	finished := false
	defer func() {
		if err != nil && !finished {
			err = errors.Join(err, r.SetStatus(run.StatusFailed, err.Error()))
		}
		err = errors.Join(err, r.Close())
	}()
	cfg := tr.cfg
	t = Trained{ID: r.ID(), Dir: r.Dir(), Variant: tr.variant, Config: cfg}

	// Data and model, and its training.
	b, err := m.prepare(tr)
	if err != nil {
		return t, err
	}
	defer b.close()
	if opt.Profile != nil {
		b.steps().Profile(true)
		defer func() { opt.Profile(tr.variant, b.steps().Costs()) }()
	}
	job := b.job()
	job.Train, job.Val = b.train, b.val
	job.Epochs, job.Patience, job.ClipNorm, job.GradNorms = cfg.Train.Epochs, cfg.Train.Patience, cfg.Train.ClipNorm, cfg.Train.GradNorms
	job.MaxTime, job.CheckpointEvery, job.Run, job.Sink = opt.MaxTime, time.Minute, r, opt.Sink
	out, err := job.Fit(ctx)
	if err != nil {
		return t, err
	}
	t.Reason = out.Reason
	switch out.Reason {
	case train.Interrupted:
		return t, r.SetStatus(run.StatusInterrupted, "by a signal")
	case train.OutOfTime:
		return t, r.SetStatus(run.StatusPaused, "by --max-time")
	}

	// Test, once, with the weights of the epoch that validation selected.
	live := job.Program.State()
	e := ended{out, b.tested, r, weights.Fingerprint(live), opt.Sink}
	best, _, err := r.BestWeights()
	if err != nil {
		return t, err
	}
	if err := weights.Copy(live, best.Tensors); err != nil {
		return t, fmt.Errorf("run %s: best weights do not fit the model: %w", r.ID(), err)
	}
	result, err := b.conclude(ctx, e, &t)
	if ctx.Err() != nil {
		t.Reason = train.Interrupted // the test has not been seen whole: nothing is recorded of it
		return t, r.SetStatus(run.StatusInterrupted, "by a signal, before the test")
	}
	if err != nil {
		return t, err
	}
	if err := r.Finish(result); err != nil {
		return t, err
	}
	finished = true
	if !opt.KeepCheckpoints {
		r.DropCheckpoints()
	}

	// Figures, from the record alone.
	rec, err := run.Find(opt.Root, r.ID())
	if err != nil {
		return t, err
	}
	t.Figures, err = draw(rec)
	return t, err
}

func (b *built) job() train.Job {
	return train.Job{Program: b.program, Optimizer: b.optimizer, Schedule: b.schedule}
}

func (b *built) steps() *engine.Program { return b.net.Train() }

// conclude is the test of a classifier.
func (b *built) conclude(ctx context.Context, e ended, t *Trained) (any, error) {
	test, predictions, err := testOnce(ctx, b.net.Scorer, e.test, e.sink)
	if err != nil {
		return nil, err
	}
	if err := b.record(e, t, test, predictions); err != nil {
		return nil, err
	}
	if t.Result.TestIndex, err = attachTestIndex(e); err != nil {
		return nil, err
	}
	t.Result.Note = noteOf(e.data)
	return t.Result, nil
}

// record makes t's result, but for its note, and keeps the predictions.
func (b *built) record(e ended, t *Trained, test TestResult, predictions metrics.Predictions) (err error) {
	t.Result = Result{
		Test: test, BestEpoch: e.BestEpoch, Epochs: e.Epochs, Reason: e.Reason, WallSeconds: e.Seconds,
		Val: measured(e.BestVal), LastVal: measured(e.LastVal),
		Params: b.params.Count(), MACs: b.macs, PeakBytes: b.net.PeakBytes(),
		WeightsSHA256: weights.Fingerprint(b.net.State()), LastWeightsSHA256: e.last,
	}
	if t.Result.Predictions, err = e.run.Attach(predictionsName, predictions); err != nil {
		return err
	}
	t.Result.GradNorms, err = attachGradNorms(e)
	return err
}

func measured(s train.Stats) run.Measure { return run.Measure{Loss: s.Loss(), Accuracy: s.Accuracy()} }

// noteOf is what must be said of results on ds.
func noteOf(ds *data.Dataset) string {
	if ds.Synthetic {
		return report.SyntheticNote(ds.Name)
	}
	return ""
}

// attachGradNorms keeps the gradient norms of a training that measured them; nil of another.
func attachGradNorms(e ended) (*run.Attachment, error) {
	if len(e.GradNorms) == 0 {
		return nil, nil
	}
	a, err := attachLines(e.run, gradNormsName, e.GradNorms)
	return &a, err
}

// attachTestIndex keeps where each image of the test set was published, so that the predictions can be laid
// beside others'; nil where the order is the published one, or the set was drawn.
func attachTestIndex(e ended) (*run.Attachment, error) {
	if !e.test.Set.Reordered() {
		return nil, nil
	}
	var b bytes.Buffer
	if err := data.WritePlaces(&b, e.test.Places()); err != nil {
		return nil, fmt.Errorf("%s: %w", testIndexName, err)
	}
	a, err := e.run.Attach(testIndexName, b.Bytes())
	return &a, err
}

// attachLines writes each of all as a line of JSON to the file name of r.
func attachLines[T any](r *run.Run, name string, all []T) (run.Attachment, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, v := range all {
		if err := e.Encode(v); err != nil {
			return run.Attachment{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r.Attach(name, b.Bytes())
}

// testOnce evaluates s on the test set.
func testOnce(ctx context.Context, s *train.Scorer, test data.Subset, sink train.Sink) (TestResult, metrics.Predictions, error) {
	labels := make([]int32, len(test.Index))
	for i, at := range test.Index {
		labels[i] = test.Set.Labels[at]
	}
	return testOn(ctx, s, data.NewLoader(test, evalBatch, false, 0), labels, sink)
}

// testOn evaluates s on all of b, whose labels in order are given.
func testOn(ctx context.Context, s train.Predictor, b train.Batches, labels []int32, sink train.Sink) (TestResult, metrics.Predictions, error) {
	stats, classes, err := train.Predict(ctx, s, b, sink)
	if err != nil {
		return TestResult{}, nil, err
	}
	predictions, err := metrics.NewPredictions(classes, labels)
	lo, hi := metrics.Wilson(stats.Correct, stats.N)
	return TestResult{N: stats.N, Correct: stats.Correct, Loss: stats.Loss(), Accuracy: stats.Accuracy(), CI95: [2]float64{lo, hi}}, predictions, err
}

// budget is the time that the runs of a study have together.
type budget struct {
	limit time.Duration // 0: none
	began time.Time
}

// left is what remains for the next run, as Options.MaxTime takes it.
func (b budget) left() time.Duration {
	if b.limit == 0 {
		return 0
	}
	return max(time.Nanosecond, b.limit-time.Since(b.began))
}
