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
	"dla/internal/optim"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// evalBatch is the batch size of evaluations. It affects speed and memory, not results.
const evalBatch = 250

// batchesAhead is the number of batches read ahead while a step runs.
const batchesAhead = 2

// training is the Job of an experiment that trains a model.
type training struct {
	experiment string
	variant    string
	settings   any             // all settings, as config.yaml holds them
	cfg        config.Training // the settings that every training has
	data       run.DataInfo
	label      *run.Label // nil: tables show the variant's name

	// build makes the model and its batches when the run starts or resumes.
	build func(ctx context.Context, opt Options) (trainable, error)
	// old returns the forms of the same settings in older records; nil: there are none.
	old func() ([]any, error)
}

// trainable is a model with its optimiser and its batches.
type trainable interface {
	// job returns the program, optimiser, schedule and batches of the training.
	job() train.Job
	// graph returns the compiled training graph.
	graph() *engine.Program
	// evaluate evaluates the model once on the test set and returns the result of the training. The model has the
	// weights that validation selected.
	evaluate(ctx context.Context, e finishedTraining) (record.Result, error)
	// close stops the loaders.
	close()
}

// lastTested is a trainable that evaluates its weights on the test set without recording them: those of the last epoch,
// where validation selected others.
type lastTested interface {
	testLast(ctx context.Context, sink train.Sink) (record.Test, error)
}

// finishedTraining is a training after its last epoch, before the evaluation on the test set.
type finishedTraining struct {
	train.Outcome
	run      *run.Run
	last     string       // fingerprint of the last epoch's weights
	lastTest *record.Test // of these; nil where validation selected them or the model is not lastTested
	sink     train.Sink

	elapsed func() *float64 // of Options
}

// Spec returns what a run of t records when it begins.
func (t *training) Spec() run.Spec {
	return run.Spec{Experiment: t.experiment, Variant: t.variant, Seed: t.cfg.Seed, Config: marshal(t.settings),
		Label: t.label,
		Env:   run.Env{Data: t.data}}
}

// marshal returns the settings as YAML, as config.yaml holds them.
func marshal(settings any) []byte {
	yaml, err := config.Marshal(settings)
	if err != nil {
		panic(err) // unreachable: the tests of internal/config marshal all settings
	}
	return yaml
}

func (t *training) olderSettings() ([]any, error) {
	if t.old == nil {
		return nil, nil
	}
	return t.old()
}

// Run trains, selects the epoch by validation (the last one where there is none) and evaluates its weights on the test
// set once. Those of the last epoch are evaluated beside them where the model is lastTested; this selects nothing.
func (t *training) Run(ctx context.Context, r *run.Run, opt Options) (record.Result, error) {
	m, err := t.build(ctx, opt)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if opt.Profile != nil {
		m.graph().Profile(true)
		defer func() { opt.Profile(t.variant, m.graph().Costs()) }()
	}
	job, c := m.job(), t.cfg.Train
	job.Epochs, job.Patience, job.ClipNorm, job.GradNorms = c.Epochs, c.Patience, c.ClipNorm, c.GradNorms
	job.Average = averageOf(c.Average)
	job.Steps, job.MaxTime, job.CheckpointEvery, job.Run, job.Sink = c.Steps, opt.timeLeft(), time.Minute, r, opt.Sink
	job.Halt = opt.part.Halt
	out, err := job.Fit(ctx)
	switch {
	case err != nil:
		return nil, err
	case out.Reason == train.Interrupted:
		return nil, &stopped{out.Reason, "by a signal", out.Seconds}
	case out.Reason == train.OutOfTime:
		return nil, &stopped{out.Reason, "by --max-time", out.Seconds}
	case out.Reason == train.Halted:
		return nil, &stopped{out.Reason, fmt.Sprintf("by the sweep's early stopping, after %d epochs", out.Epochs),
			out.Seconds}
	case opt.part.Untested:
		return nil, &stopped{Trained, "a trial of a sweep; it is not evaluated on the test set", out.Seconds}
	}

	live := job.Program.State()
	res, err := evaluate(ctx, m, live, finishedTraining{out, r, weights.Fingerprint(live), nil, opt.Sink, opt.elapsed})
	if interrupted(ctx) { // an incomplete evaluation is not recorded
		return nil, &stopped{train.Interrupted, "by a signal, before the end of the evaluation on the test set",
			out.Seconds}
	}
	if errors.Is(err, train.ErrDiverged) { // without validation nothing has evaluated the weights before
		err = fmt.Errorf("%w on the test set; %s", err, train.Remedy)
	}
	return res, err
}

// evaluate evaluates m once on the test set, with the weights of the epoch that validation selected. Those of the last
// epoch, which live holds, are evaluated first where they are others.
func evaluate(ctx context.Context, m trainable, live []weights.Tensor, e finishedTraining) (record.Result, error) {
	if t, ok := m.(lastTested); ok && e.BestEpoch != e.Epochs {
		last, err := t.testLast(ctx, e.sink)
		if err != nil {
			return nil, err
		}
		e.lastTest = &last
	}
	best, _, err := e.run.BestWeights()
	if err != nil {
		return nil, err
	}
	if err := weights.Copy(live, best.Tensors); err != nil {
		return nil, fmt.Errorf("run %s: best weights do not fit the model: %w", e.run.ID(), err)
	}
	return m.evaluate(ctx, e)
}

// optimise makes the optimiser of params and its schedule. steps is the number of steps per epoch.
func optimise(t config.Train, params []optim.Param, steps int) (optim.Optimizer, optim.Schedule, error) {
	g := t.Groups
	o, err := optim.New(optim.Config{Name: t.Optimizer, Momentum: t.Momentum, Nesterov: t.Nesterov,
		WeightDecay: t.WeightDecay,
		Decoupled:   t.Decoupled, Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps, EpochSteps: steps,
		Muon: optim.Muon{LR: t.Muon.LR / t.LR, Momentum: t.Muon.Momentum},
		Groups: map[optim.Kind]optim.Group{optim.Bias: {LR: g.BiasLR, Decay: g.BiasDecay},
			optim.Norm: {LR: g.NormLR, Decay: g.NormDecay}}}, params)
	if err != nil {
		return nil, optim.Schedule{}, err
	}
	milestones := make([]int, len(t.Milestones))
	for i, epoch := range t.Milestones {
		milestones[i] = epoch * steps
	}
	s, err := optim.NewSchedule(optim.ScheduleConfig{Name: t.Schedule, Warmup: t.WarmupSteps, Milestones: milestones,
		Gamma: t.Gamma, Start: t.Triangle.Start, Peak: t.Triangle.Peak, End: t.Triangle.End}, t.LR, t.TotalSteps(steps))
	return o, s, err
}

// averageOf returns the average of a training's state that a names.
func averageOf(a config.Average) optim.AverageConfig {
	if a.Kind == config.AverageNone {
		return optim.AverageConfig{}
	}
	return optim.AverageConfig{Name: a.Kind, Decay: a.Decay, Every: a.Every, Power: a.Power}
}

// setConv sets the algorithm of convolutions for the whole process.
func setConv(t config.Train) { kernel.SetConvDirect(t.Conv == "direct") }

// syntheticNote returns the note for results on synthetic data, "" for a real data set.
func syntheticNote(name string, synthetic bool) string {
	if synthetic {
		return report.SyntheticNote(name)
	}
	return ""
}

// attachGradNorms attaches the gradient norms of a training that measured them; nil for other trainings.
func attachGradNorms(e finishedTraining) (*run.Attachment, error) {
	if len(e.GradNorms) == 0 {
		return nil, nil
	}
	a, err := attachLines(e.run, gradNormsName, e.GradNorms)
	return &a, err
}

// attachPredictions attaches the predictions of the test set, and the confusion matrix of the named classes, to r, and
// sets both in res.
func attachPredictions(r *run.Run, res *record.Classifier, p metrics.Predictions, labels []int32,
	names []string) error {
	b, wide := p.Bytes()
	name := predictionsName
	if wide {
		name = record.WidePredictions
	}
	var err error
	if res.Predictions, err = r.Attach(name, b); err != nil {
		return err
	}
	c, err := metrics.NewConfusion(len(names), labels, p.Classes())
	if err != nil {
		return err
	}
	var matrix []byte
	if res.ByClass, matrix, err = record.NewByClass(names, c); err != nil {
		return err
	}
	res.ByClass.Confusion, err = r.Attach(confusionName, matrix)
	return err
}

// Names of the files beside a run's record.
const (
	predictionsName = "test_predictions.bin"
	confusionName   = "test_confusion.csv"
	testIndexName   = "test_index.csv"
	gradNormsName   = "grad_norms.jsonl"
)

// attachTestIndex attaches the published position of each test image, so that predictions can be compared with those of
// other programs. It returns nil if the order is the published one or the set is synthetic.
func attachTestIndex(r *run.Run, test data.Subset) (*run.Attachment, error) {
	if !test.Set.Reordered() {
		return nil, nil
	}
	var b bytes.Buffer
	if err := data.WritePlaces(&b, test.Places()); err != nil {
		return nil, fmt.Errorf("%s: %w", testIndexName, err)
	}
	a, err := r.Attach(testIndexName, b.Bytes())
	return &a, err
}

// attachLines attaches all to r as the file name, one line of JSON each.
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

// attachJSON attaches v to r as the JSON file name.
func attachJSON(r *run.Run, name string, v any) (run.Attachment, error) {
	return attachLines(r, name, []any{v})
}
