package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/optim"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// evalBatch is how many samples the evaluation graph takes at once. It changes speed and memory, not results.
const evalBatch = 250

// batchesAhead is how many batches are prepared while a step runs.
const batchesAhead = 2

// training is the job of an experiment that trains.
type training struct {
	experiment string
	variant    string
	settings   any             // all of them, as config.yaml holds them
	cfg        config.Training // those that every training has
	data       run.DataInfo
	label      *run.Label // nil: the variant's name will do

	// build makes what is trained and its batches, when the run begins or goes on.
	build func(ctx context.Context, opt Options) (trainable, error)
	// old are the same settings as older records may have them; nil: there are none.
	old func() ([]any, error)
}

// trainable is a model with its optimiser and its batches.
type trainable interface {
	// job is the training's program, optimiser, schedule and batches.
	job() train.Job
	// graph is the compiled training graph.
	graph() *engine.Program
	// evaluate makes the result of a training at its end. The model has the weights that validation selected; it is
	// evaluated on the test set once.
	evaluate(ctx context.Context, e ended) (record.Result, error)
	// close ends what prepares batches.
	close()
}

// ended is a training at its end.
type ended struct {
	train.Outcome
	run  *run.Run
	last string // fingerprint of the last epoch's weights
	sink train.Sink
}

// Spec is what a run of t begins with.
func (t *training) Spec() run.Spec {
	return run.Spec{Experiment: t.experiment, Variant: t.variant, Seed: t.cfg.Seed, Config: marshal(t.settings), Label: t.label,
		Env: run.Env{Data: t.data}}
}

// marshal is settings as config.yaml holds them.
func marshal(settings any) []byte {
	yaml, err := config.Marshal(settings)
	if err != nil {
		panic(err) // a mistake in internal/config: its tests write all of them
	}
	return yaml
}

func (t *training) olderSettings() ([]any, error) {
	if t.old == nil {
		return nil, nil
	}
	return t.old()
}

// Run trains, selects the epoch by validation and evaluates its weights on the test set once.
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
	job.MaxTime, job.CheckpointEvery, job.Run, job.Sink = opt.timeLeft(), time.Minute, r, opt.Sink
	out, err := job.Fit(ctx)
	switch {
	case err != nil:
		return nil, err
	case out.Reason == train.Interrupted:
		return nil, &stopped{out.Reason, "by a signal"}
	case out.Reason == train.OutOfTime:
		return nil, &stopped{out.Reason, "by --max-time"}
	}

	// The test, once, with the weights of the epoch that validation selected.
	live := job.Program.State()
	e := ended{out, r, weights.Fingerprint(live), opt.Sink}
	best, _, err := r.BestWeights()
	if err != nil {
		return nil, err
	}
	if err := weights.Copy(live, best.Tensors); err != nil {
		return nil, fmt.Errorf("run %s: best weights do not fit the model: %w", r.ID(), err)
	}
	res, err := m.evaluate(ctx, e)
	if interrupted(ctx) { // the test has not been seen whole: nothing is recorded of it
		return nil, &stopped{train.Interrupted, "by a signal, before the test"}
	}
	return res, err
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

// measured is the record of s.
func measured(s train.Stats) run.Measure { return run.Measure{Loss: s.Loss(), Accuracy: s.Accuracy()} }

// syntheticNote is the note of results on a data set that may be synthetic; "" of another.
func syntheticNote(name string, synthetic bool) string {
	if synthetic {
		return report.SyntheticNote(name)
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

// Files of a run beside its record.
const (
	predictionsName = "test_predictions.bin"
	testIndexName   = "test_index.csv"
	gradNormsName   = "grad_norms.jsonl"
)

// attachTestIndex keeps where each image of the test set was published, so that the predictions can be laid beside
// others'; nil where the order is the published one, or the set was drawn.
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

// attachJSON writes v as JSON to the file name of r.
func attachJSON(r *run.Run, name string, v any) (run.Attachment, error) {
	return attachLines(r, name, []any{v})
}
