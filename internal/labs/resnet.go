// Package labs holds one file per experiment: the story from data to figure.
package labs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// ResnetExperiment is the name of the residual study in records.
const ResnetExperiment = "lab1/resnet"

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
	Resume  bool                                        // reuse finished runs of the same configuration and data, continue interrupted ones
	Data    data.Options
	Env     run.Env // version, machine and command; the lab adds the data
	Sink    train.Sink
	Say     func(format string, args ...any) // one line to the user
}

// Result is what result.json holds of a classifier's training.
type Result struct {
	Test              TestResult   `json:"test"`       // of the epoch with the best validation accuracy; touched once
	BestEpoch         int          `json:"best_epoch"` // 1-based
	Val               run.Measure  `json:"val"`        // of the best epoch
	LastVal           run.Measure  `json:"last_val"`   // of the last epoch
	Epochs            int          `json:"epochs"`
	Reason            train.Reason `json:"reason"`
	WallSeconds       float64      `json:"wall_seconds"` // training and validation, all processes of the run
	Params            int          `json:"params"`
	MACs              int          `json:"macs"`       // multiply-adds of one sample's forward pass
	PeakBytes         int64        `json:"peak_bytes"` // planned memory of a training step's intermediates and gradients
	WeightsSHA256     string       `json:"weights_sha256"`
	LastWeightsSHA256 string       `json:"last_weights_sha256"`
	Note              string       `json:"note,omitempty"`
}

// TestResult is accuracy on the test set with its 95 % Wilson interval.
type TestResult struct {
	N        int        `json:"n"`
	Correct  int        `json:"correct"`
	Loss     float64    `json:"loss"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
}

// Trained is one run of the study.
type Trained struct {
	ID, Dir string
	Config  config.Resnet
	Reason  train.Reason
	Result  Result // when Reason is Finished or EarlyStop
	Reused  bool   // an earlier, finished run of the same configuration
	Figures []string
}

// Resnet trains one variant from one seed: data, split, model, training, the best epoch's weights
// on the test set once, record and figures.
func Resnet(ctx context.Context, cfg config.Resnet, opt Options) (Trained, error) {
	ds, err := loadData(ctx, cfg.Data, opt)
	if err != nil {
		return Trained{}, err
	}
	return resnetOn(ctx, ds, cfg, opt)
}

// ResnetStudy trains every configuration in turn, loading the data once, and stops at the first
// that is interrupted or runs out of time (its Reason says so).
func ResnetStudy(ctx context.Context, cfgs []config.Resnet, opt Options, each func(i int, t Trained)) ([]Trained, error) {
	ds, err := loadData(ctx, cfgs[0].Data, opt)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	limit := opt.MaxTime
	var all []Trained
	for i, cfg := range cfgs {
		if limit > 0 {
			opt.MaxTime = max(time.Nanosecond, limit-time.Since(began))
		}
		t, err := resnetOn(ctx, ds, cfg, opt)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if each != nil {
			each(i, t)
		}
		if t.Reason == train.Interrupted || t.Reason == train.OutOfTime {
			break
		}
	}
	return all, nil
}

// ResumeResnet continues the interrupted run id, on the data it began with.
func ResumeResnet(ctx context.Context, id string, opt Options) (Trained, error) {
	rec, err := run.Find(opt.Root, id)
	if err != nil {
		return Trained{}, err
	}
	if rec.Status == run.StatusFinished {
		return Trained{}, fmt.Errorf("run %s is finished and stays as it is; see it with `dla runs show %s`", rec.ID, rec.ID)
	}
	cfg, err := resnetConfig(rec)
	if err != nil {
		return Trained{}, err
	}
	dc := cfg.Data
	if rec.Env.Data.Synthetic {
		dc.Name = rec.Env.Data.Name // never the real set, even where it has become reachable
	}
	ds, err := loadData(ctx, dc, opt)
	if err != nil {
		return Trained{}, err
	}
	if ds.Fingerprint != rec.Env.Data.Fingerprint {
		return Trained{}, fmt.Errorf("run %s began on %s with fingerprint %.12s…, the data found now has %.12s…; make the original data available again (dla data verify)", rec.ID, rec.Env.Data.Name, rec.Env.Data.Fingerprint, ds.Fingerprint)
	}
	r, err := run.Resume(opt.Root, rec.ID)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, ds, cfg, opt)
}

func resnetConfig(rec run.Record) (config.Resnet, error) {
	cfg := config.DefaultResnet()
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

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

// resnetOn starts a run of cfg, or finds the one that Resume asks to reuse.
func resnetOn(ctx context.Context, ds *data.Dataset, cfg config.Resnet, opt Options) (Trained, error) {
	yaml, err := config.Marshal(cfg)
	if err != nil {
		return Trained{}, err
	}
	env := opt.Env
	env.Data = run.DataInfo{Name: ds.Name, Source: ds.Source, Fingerprint: ds.Fingerprint, Synthetic: ds.Synthetic}
	name, err := ResnetVariant(cfg)
	if err != nil {
		return Trained{}, err
	}
	spec := run.Spec{Experiment: ResnetExperiment, Variant: name, Seed: cfg.Seed, Config: yaml, ConfigHash: config.Hash(yaml), Env: env}
	if opt.Resume {
		if t, found, err := reuse(ctx, ds, cfg, spec, opt); found || err != nil {
			return t, err
		}
	}
	r, err := run.Create(opt.Root, spec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, ds, cfg, opt)
}

// reuse looks for the newest run of the same configuration on the same data: a finished one is
// returned as it is, an interrupted one is continued.
func reuse(ctx context.Context, ds *data.Dataset, cfg config.Resnet, spec run.Spec, opt Options) (Trained, bool, error) {
	list, err := run.List(opt.Root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Trained{}, false, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if s.ConfigHash != spec.ConfigHash || s.Experiment != spec.Experiment || s.Fingerprint != ds.Fingerprint {
			continue
		}
		switch s.Status {
		case run.StatusFinished:
			rec, err := run.Find(opt.Root, s.ID)
			if err != nil {
				return Trained{}, true, err
			}
			t := Trained{ID: rec.ID, Dir: filepath.Join(opt.Root, rec.ID), Config: cfg, Reused: true}
			if err := json.Unmarshal(rec.Result, &t.Result); err != nil {
				return Trained{}, true, fmt.Errorf("run %s: result.json: %w; remove it with `dla runs rm %s`", rec.ID, err, rec.ID)
			}
			t.Reason = t.Result.Reason
			return t, true, nil
		case run.StatusInterrupted, run.StatusPaused:
			r, err := run.Resume(opt.Root, s.ID)
			if err != nil {
				return Trained{}, true, err
			}
			t, err := fit(ctx, r, ds, cfg, opt)
			return t, true, err
		}
	}
	return Trained{}, false, nil
}

// ResnetVariant is the name of the network cfg describes: mlp-d5-res. An unknown network is an error.
func ResnetVariant(cfg config.Resnet) (string, error) {
	m, err := network(cfg, 1)
	if err != nil {
		return "", err
	}
	return m.Name(), nil
}

// network is the network cfg names, for images of the given number of channels.
func network(cfg config.Resnet, channels int) (model.Model, error) {
	m := cfg.Model
	return model.New(model.Spec{Name: m.Name, Depth: m.Depth, Width: m.Width, Res: m.Res}, model.PixelsFor(channels))
}

// size is what of a data set the network depends on.
type size struct{ h, w, channels, classes int }

func sizeOf(ds *data.Dataset) size {
	return size{ds.Train.H, ds.Train.W, ds.Train.C, len(ds.Train.Classes)}
}

// built is a network ready to be trained.
type built struct {
	name      string // of the variant
	params    *nn.Params
	prog      *train.Classifier
	optimizer optim.Optimizer
	schedule  optim.Schedule
	macs      int // of one image's forward pass
}

// build makes the network, its optimiser and its schedule. Pixels are in [0,1].
func build(cfg config.Resnet, sz size, steps int) (*built, error) {
	kernel.SetConvDirect(cfg.Train.Conv == "direct")
	m, err := network(cfg, sz.channels)
	if err != nil {
		return nil, err
	}
	b := &built{name: m.Name(), params: nn.NewParams(cfg.Seed)}
	t := cfg.Train
	if b.prog, err = train.NewClassifier(m, b.params, m.Input(sz.h, sz.w, sz.channels), sz.classes, t.BatchSize, evalBatch, t.LabelSmoothing); err != nil {
		return nil, err
	}
	b.macs = b.prog.Eval().MACs() / evalBatch
	if b.optimizer, err = optim.New(optim.Config{Name: t.Optimizer, Momentum: t.Momentum, Nesterov: t.Nesterov, WeightDecay: t.WeightDecay,
		Decoupled: t.Decoupled, Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps}, b.prog.Params()); err != nil {
		return nil, err
	}
	milestones := make([]int, len(t.Milestones))
	for i, epoch := range t.Milestones {
		milestones[i] = epoch * steps
	}
	b.schedule, err = optim.NewSchedule(optim.ScheduleConfig{Name: t.Schedule, Warmup: t.WarmupSteps, Milestones: milestones, Gamma: t.Gamma}, t.LR, t.Epochs*steps)
	return b, err
}

// fit trains r to its end, or to where it is stopped, and closes it.
func fit(ctx context.Context, r *run.Run, ds *data.Dataset, cfg config.Resnet, opt Options) (t Trained, err error) {
	finished := false
	defer func() {
		if err != nil && !finished {
			err = errors.Join(err, r.SetStatus(run.StatusFailed, err.Error()))
		}
		err = errors.Join(err, r.Close())
	}()
	t = Trained{ID: r.ID(), Dir: r.Dir(), Config: cfg}

	// Data: the validation part is drawn from the training set, class by class.
	trainSet, valSet := ds.Split(cfg.Data.Val, cfg.Seed)
	testSet := data.All(ds.Test)
	if n := cfg.Data.Limit; n > 0 {
		trainSet, valSet, testSet = trainSet.First(n), valSet.First(n), testSet.First(n)
	}
	aug := cfg.Data.Augment
	trainer := data.NewPrefetch(data.NewAugmentedLoader(trainSet, cfg.Train.BatchSize, cfg.Seed, data.Augment{Flip: aug.Flip, Crop: aug.Crop, Cutout: aug.Cutout}), batchesAhead)
	defer trainer.Close()
	val := data.NewLoader(valSet, evalBatch, false, 0)
	test := data.NewLoader(testSet, evalBatch, false, 0)

	// Model, and its training.
	b, err := build(cfg, sizeOf(ds), trainer.Steps())
	if err != nil {
		return t, err
	}
	if opt.Profile != nil {
		b.prog.Train().Profile(true)
		defer func() { opt.Profile(b.name, b.prog.Train().Costs()) }()
	}
	job := train.Job{Program: b.prog, Optimizer: b.optimizer, Schedule: b.schedule, Train: trainer, Val: val,
		Epochs: cfg.Train.Epochs, Patience: cfg.Train.Patience, ClipNorm: cfg.Train.ClipNorm,
		MaxTime: opt.MaxTime, CheckpointEvery: time.Minute, Run: r, Sink: opt.Sink}
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
	live := b.prog.State()
	last := weights.Fingerprint(live)
	best, _, err := r.BestWeights()
	if err != nil {
		return t, err
	}
	if err := weights.Copy(live, best.Tensors); err != nil {
		return t, fmt.Errorf("run %s: best weights do not fit the model: %w", r.ID(), err)
	}
	s, err := train.Evaluate(ctx, b.prog, test, opt.Sink)
	if ctx.Err() != nil {
		t.Reason = train.Interrupted // the test has not been seen whole: nothing is recorded of it
		return t, r.SetStatus(run.StatusInterrupted, "by a signal, before the test")
	}
	if err != nil {
		return t, err
	}
	lo, hi := metrics.Wilson(s.Correct, s.N)
	t.Result = Result{
		Test:      TestResult{N: s.N, Correct: s.Correct, Loss: s.Loss(), Accuracy: s.Accuracy(), CI95: [2]float64{lo, hi}},
		BestEpoch: out.BestEpoch, Epochs: out.Epochs, Reason: out.Reason, WallSeconds: out.Seconds,
		Val:     run.Measure{Loss: out.BestVal.Loss(), Accuracy: out.BestVal.Accuracy()},
		LastVal: run.Measure{Loss: out.LastVal.Loss(), Accuracy: out.LastVal.Accuracy()},
		Params:  b.params.Count(), MACs: b.macs, PeakBytes: b.prog.PeakBytes(),
		WeightsSHA256: weights.Fingerprint(live), LastWeightsSHA256: last,
	}
	if ds.Synthetic {
		t.Result.Note = report.SyntheticNote(ds.Name)
	}
	if err := r.Finish(t.Result); err != nil {
		return t, err
	}
	finished = true

	// Figures, from the record alone.
	rec, err := run.Find(opt.Root, r.ID())
	if err != nil {
		return t, err
	}
	t.Figures, err = report.Figures([]run.Record{rec}, filepath.Join(r.Dir(), "figures"))
	return t, err
}

// Cost is what a run of a configuration will take, for --dry-run.
type Cost struct {
	Params       int     `json:"params"`
	MACs         int     `json:"macs"`          // one sample, forward
	TrainFLOPs   float64 `json:"train_flops"`   // whole training: two a multiply-add, backward twice the forward
	PeakBytes    int64   `json:"peak_bytes"`    // intermediates and gradients of a training step
	StepSeconds  float64 `json:"step_seconds"`  // measured here on blank images
	TotalSeconds float64 `json:"total_seconds"` // steps of all epochs at that rate
	Steps        int     `json:"steps"`         // of all epochs
	Threads      int     `json:"threads"`       //
	Kernel       string  `json:"kernel"`        // instruction set
}

// ResnetCost builds cfg's network for its data set, less the validation part, times some steps on blank
// images and says what the whole training would take. It reads no data.
func ResnetCost(cfg config.Resnet) (Cost, error) {
	set, err := data.Describe(cfg.Data.Name)
	if err != nil {
		return Cost{}, err
	}
	n := set.Train - cfg.Data.Val
	if cfg.Data.Limit > 0 {
		n = min(n, cfg.Data.Limit)
	}
	steps := (n + cfg.Train.BatchSize - 1) / cfg.Train.BatchSize
	b, err := build(cfg, size{set.H, set.W, set.C, set.Classes}, steps)
	if err != nil {
		return Cost{}, err
	}
	c := Cost{Params: b.params.Count(), MACs: b.macs, PeakBytes: b.prog.PeakBytes(), Steps: steps * cfg.Train.Epochs,
		Threads: kernel.Threads(), Kernel: kernel.Level()}
	c.TrainFLOPs = 6 * float64(c.MACs) * float64(n) * float64(cfg.Train.Epochs)
	best := time.Duration(1<<63 - 1)
	for range 5 {
		start := time.Now()
		if _, err := b.prog.TrainStep(cfg.Train.BatchSize); err != nil {
			return c, err
		}
		b.optimizer.Step(0)
		best = min(best, time.Since(start))
	}
	c.StepSeconds = best.Seconds()
	c.TotalSeconds = c.StepSeconds * float64(c.Steps)
	return c, nil
}
