// Package train holds the training loop of all experiments. The loop takes a Program (the model), batches, an optimiser
// with its schedule and a run (the record), and emits events for the progress bar.
//
// A run that is killed at any instant and resumed ends with the same bits, in its weights and in metrics.jsonl, as a
// run that was never stopped. All that a step depends on is either in the checkpoint (weights, optimiser state, sums of
// the current epoch, best epoch so far) or a pure function of (seed, epoch, step): data order and learning rate.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"dla/internal/kernel"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/weights"
)

// Job holds all that one training needs.
type Job struct {
	Program   Program
	Optimizer optim.Optimizer
	Schedule  optim.Schedule
	Average   optim.AverageConfig // of the model's state; no Name: none
	Train     Batches
	Val       Batches // selects the epoch whose weights are kept; nil: the last epoch's are kept

	Epochs          int
	Steps           int           // optimiser steps at most, in all; 0: those of all epochs
	Patience        int           // epochs without a better validation before stopping; 0: never
	SelectByLoss    bool          // select the epoch by smallest validation loss, not by highest accuracy
	ClipNorm        float64       // bound on the global gradient norm; 0: off
	GradNorms       bool          // measure the gradient of each weight tensor
	MaxTime         time.Duration // of this process; 0: none
	CheckpointEvery time.Duration // interval within an epoch; 0: at the end of each epoch only

	// Halt is asked before each epoch but the first, with the number of those that are done, whether the training ends
	// here for now. The checkpoint is that of the last epoch, and the training can go on from it. nil: never.
	Halt func(epochs int) bool

	Run  *run.Run
	Sink Sink
}

// Reason says why Fit returned.
type Reason string

// The reasons. A run that was interrupted, halted or out of time can be resumed.
const (
	Finished    Reason = "finished"
	EarlyStop   Reason = "early stop"
	OutOfTime   Reason = "max time"
	Interrupted Reason = "interrupted"
	Halted      Reason = "halted" // by Job.Halt
)

// Outcome is the result of Fit.
type Outcome struct {
	Reason    Reason
	Epochs    int   // epochs completed
	BestEpoch int   // from 1; best by validation accuracy (or loss: see SelectByLoss), ties to the earliest; or the last
	BestVal   Stats // of that epoch; no samples without validation
	LastVal   Stats // of the last epoch
	Seconds   float64
	GradNorms []run.GradNorms // one per epoch, where measured
}

// ErrDiverged is wrapped by the errors of losses, weights and gradients that are not finite.
var ErrDiverged = errors.New("training diverged")

// state is the part of a checkpoint that is not tensors.
type state struct {
	Epoch    int     `json:"epoch"` // current epoch, from 0
	Step     int     `json:"step"`  // steps done in it
	Sums     Stats   `json:"sums"`  // over those steps
	NormSum  float64 `json:"norm_sum"`
	OptSteps uint64  `json:"opt_steps"`
	Best     int     `json:"best"` // 1-based, 0: none yet
	BestVal  Stats   `json:"best_val"`
	LastVal  Stats   `json:"last_val"`
	Stopped  bool    `json:"stopped"` // early stop reached
	Seconds  float64 `json:"seconds"`

	LayerSums []float64       `json:"layer_sums,omitempty"` // of the gradient norms of this epoch's steps
	GradNorms []run.GradNorms `json:"grad_norms,omitempty"` // of the epochs before
}

type loop struct {
	*Job
	params  []optim.Param
	layers  []optim.Param // with measured gradients: matrices and filters
	total   int           // steps in all
	epochs  int           // the last may have fewer steps than the others
	clip    *optim.Clipper
	average *optim.Average // nil: none
	st      state
	began   time.Time // of this process
	saved   time.Time
	model   []weights.Tensor // live views: the model's state
	kept    []weights.Tensor // what validation evaluates and the best epoch keeps: the model's state or its average
	tensors []weights.Tensor // the model's state, the optimiser's and the average
}

// Fit trains until the last epoch or step, an early stop, the time limit or the end of ctx. It continues from the run's
// checkpoint, if any, and saves the state before it returns an interruption. Afterwards the Program holds the weights
// of the last step, not those of the best epoch; where there is an average, those of the average.
func (j *Job) Fit(ctx context.Context) (Outcome, error) {
	l := &loop{Job: j, params: j.Program.Params(), began: time.Now(), saved: time.Now()}
	if j.Sink == nil {
		j.Sink = func(Event) {}
	}
	l.total = j.Epochs * j.Train.Steps()
	if j.Steps > 0 {
		l.total = min(l.total, j.Steps)
	}
	l.epochs = (l.total + j.Train.Steps() - 1) / max(1, j.Train.Steps())
	l.clip = optim.NewClipper(l.params)
	l.model = j.Program.State()
	l.kept = l.model
	l.tensors = append(l.tensors, l.model...)
	for _, s := range j.Optimizer.Slots() {
		l.tensors = append(l.tensors, weights.Tensor{Name: run.OptimPrefix + s.Name, Shape: s.Shape, Data: s.Data})
	}
	if err := l.averaged(); err != nil {
		return Outcome{}, err
	}
	if err := l.restore(); err != nil {
		return Outcome{}, err
	}
	if j.GradNorms {
		l.layers = slices.DeleteFunc(slices.Clone(l.params), func(p optim.Param) bool { return len(p.Shape) < 2 })
		if len(l.st.LayerSums) != len(l.layers) {
			l.st.LayerSums = make([]float64, len(l.layers))
		}
	}
	before := l.st.Seconds
	reason := Finished
	for l.st.Epoch < l.epochs && !l.st.Stopped {
		if j.Halt != nil && l.st.Epoch > 0 && l.st.Step == 0 && j.Halt(l.st.Epoch) {
			reason = Halted
			break
		}
		var err error
		if reason, err = l.epoch(ctx, before); err != nil {
			return Outcome{}, err
		}
		if reason != Finished {
			break
		}
	}
	if l.st.Stopped {
		reason = EarlyStop
	}
	if l.average != nil && (reason == Finished || reason == EarlyStop) {
		l.average.Swap()
	}
	l.st.Seconds = before + time.Since(l.began).Seconds()
	return Outcome{Reason: reason, Epochs: l.st.Epoch, BestEpoch: l.st.Best, BestVal: l.st.BestVal,
		LastVal: l.st.LastVal, Seconds: l.st.Seconds, GradNorms: l.st.GradNorms}, nil
}

// averaged makes the average of the model's state, if there is to be one.
func (l *loop) averaged() (err error) {
	if l.Average.Name == "" {
		return nil
	}
	state := make([]optim.Param, len(l.model))
	for i, t := range l.model {
		state[i] = optim.Param{Name: t.Name, Shape: t.Shape, Value: t.Data}
	}
	if l.average, err = optim.NewAverage(l.Average, state, l.total); err != nil {
		return err
	}
	l.kept = nil
	for i, s := range l.average.Slots() {
		name := l.model[i].Name
		l.kept = append(l.kept, weights.Tensor{Name: name, Shape: s.Shape, Data: s.Data})
		l.tensors = append(l.tensors, weights.Tensor{Name: run.AveragePrefix + name, Shape: s.Shape, Data: s.Data})
	}
	return nil
}

// validate evaluates the model, with the average of its state if there is one.
func (l *loop) validate(ctx context.Context) (Stats, error) {
	if l.average != nil {
		l.average.Swap()
		defer l.average.Swap()
	}
	return Evaluate(ctx, l.Program, l.Val, l.Sink)
}

// epoch runs the remaining steps of the current epoch, validates, records and saves.
func (l *loop) epoch(ctx context.Context, before float64) (Reason, error) {
	start, first := time.Now(), l.st.Epoch*l.Train.Steps()
	steps := min(l.Train.Steps(), l.total-first)
	seen := 0
	l.Sink(Event{Kind: EpochStart, Epoch: l.st.Epoch + 1, Epochs: l.epochs, Step: l.st.Step, Steps: steps})
	for l.st.Step < steps {
		n, err := l.step()
		if err != nil {
			return "", err
		}
		seen += n
		l.Sink(Event{Kind: Step, Epoch: l.st.Epoch + 1, Epochs: l.epochs, Step: l.st.Step, Steps: steps, Items: n,
			Loss: l.st.Sums.Loss(), Accuracy: l.st.Sums.Accuracy()})
		if reason := l.mustStop(ctx); reason != "" {
			return reason, l.save(nil, before)
		}
		if l.CheckpointEvery > 0 && time.Since(l.saved) > l.CheckpointEvery {
			if err := l.save(nil, before); err != nil {
				return "", err
			}
		}
	}
	trained := time.Since(start).Seconds()

	var val Stats
	best := l.st.Epoch+1 == l.epochs // without validation
	if l.Val != nil {
		var err error
		val, err = l.validate(ctx)
		if ctx.Err() != nil {
			return Interrupted, l.save(nil, before) // all steps done, validation to be repeated
		}
		if errors.Is(err, ErrDiverged) {
			return "", l.diverged("the loss of the validation", "after")
		}
		if err != nil {
			return "", err
		}
		best = l.st.Best == 0 || val.better(l.st.BestVal, l.SelectByLoss)
	}
	if err := l.finite("after"); err != nil {
		return "", err
	}
	if best {
		l.st.Best, l.st.BestVal = l.st.Epoch+1, val
	}
	lr := l.lr(steps - 1)
	rec := run.Epoch{Epoch: l.st.Epoch + 1, Step: first + steps, LR: lr, Train: l.st.Sums.Measure(),
		Val: val.Measure()}
	if l.ClipNorm > 0 {
		norm := l.st.NormSum / float64(steps)
		rec.GradNorm = &norm
	}
	if err := l.Run.AppendMetrics(rec); err != nil {
		return "", err
	}
	if l.GradNorms {
		l.st.GradNorms = append(l.st.GradNorms, l.meanGradNorms(steps))
	}
	sums := l.st.Sums
	l.st.Epoch, l.st.Step, l.st.Sums, l.st.NormSum, l.st.LastVal = l.st.Epoch+1, 0, Stats{}, 0, val
	l.st.Stopped = l.Patience > 0 && l.st.Epoch-l.st.Best >= l.Patience
	var bw *run.Best
	if best {
		bw = &run.Best{Epoch: l.st.Best, Tensors: l.kept}
	}
	if err := l.save(bw, before); err != nil {
		return "", err
	}
	seconds := time.Since(start).Seconds()
	l.Sink(Event{Kind: EpochEnd, Epoch: l.st.Epoch, Epochs: l.epochs, Step: steps, Steps: steps, TrainLoss: sums.Loss(),
		TrainAcc: sums.Accuracy(),
		ValLoss:  rec.Val.Loss, ValAcc: rec.Val.Accuracy, Best: best && l.Val != nil, LR: lr, Seconds: seconds,
		Throughput: float64(seen) / trained})
	l.Run.Logger().Info("epoch", "epoch", l.st.Epoch, "seconds", seconds, "train_seconds", trained, "items_per_s",
		float64(seen)/trained, "best", best)
	return Finished, nil
}

// step makes one optimiser step and returns its number of rows.
func (l *loop) step() (int, error) {
	s, err := l.Program.TrainStep(l.st.Epoch, l.st.Step, l.Train.Lay(l.st.Epoch, l.st.Step))
	if err != nil {
		return 0, fmt.Errorf("epoch %d, step %d: %w", l.st.Epoch+1, l.st.Step+1, err)
	}
	if math.IsNaN(s.LossSum) || math.IsInf(s.LossSum, 0) {
		if err := l.finite("at"); err != nil {
			return 0, err
		}
		return 0, l.diverged("the loss", "at")
	}
	for _, p := range l.params {
		if p.Epochs > 0 && l.st.Epoch >= p.Epochs { // not trained any more: must not count in the clipped norm
			clear(p.Grad)
		}
	}
	for i, p := range l.layers {
		l.st.LayerSums[i] += math.Sqrt(kernel.SumSquares(p.Grad))
	}
	if l.ClipNorm > 0 {
		l.st.NormSum += l.clip.Clip(l.ClipNorm)
	}
	l.Optimizer.Step(l.lr(l.st.Step))
	l.st.Sums.Add(s)
	l.st.Step++
	if l.average != nil {
		l.average.Update(l.st.Epoch*l.Train.Steps() + l.st.Step)
	}
	return s.N, nil
}

// meanGradNorms averages the gradient norms over the steps of an epoch.
func (l *loop) meanGradNorms(steps int) run.GradNorms {
	n := run.GradNorms{Epoch: l.st.Epoch + 1}
	for i, p := range l.layers {
		n.Layers, n.Norms = append(n.Layers, p.Name), append(n.Norms, l.st.LayerSums[i]/float64(steps))
	}
	clear(l.st.LayerSums)
	return n
}

func (l *loop) lr(step int) float64 { return l.Schedule.LR(l.st.Epoch*l.Train.Steps() + step) }

func (l *loop) mustStop(ctx context.Context) Reason {
	select {
	case <-ctx.Done():
		return Interrupted
	default:
	}
	if l.MaxTime > 0 && time.Since(l.began) > l.MaxTime {
		return OutOfTime
	}
	return ""
}

// finite checks every weight and gradient, so that an error can name the first bad one.
func (l *loop) finite(when string) error {
	for _, p := range l.params {
		for _, t := range []struct {
			name string
			data []float32
		}{{p.Name, p.Value}, {"the gradient of " + p.Name, p.Grad}} {
			for _, v := range t.data {
				if v-v != 0 { // NaN or infinite
					return l.diverged(t.name, when)
				}
			}
		}
	}
	return nil
}

// diverged returns the error of what is not finite, at the step that is not done yet or after the last one.
func (l *loop) diverged(what, when string) error {
	step := l.st.Step // from 0
	if when == "after" {
		step--
	}
	return fmt.Errorf("%w: %s is not finite %s epoch %d, step %d (lr %g); nothing was saved since the last "+
		"checkpoint; %s", ErrDiverged, what, when, l.st.Epoch+1, step+1, l.lr(step), Remedy)
}

// Remedy says what to do about ErrDiverged in a training.
const Remedy = "try a smaller train.lr (for muon's filters train.muon.lr), or train.clip_norm"

// save writes a checkpoint. If best is not nil, the current weights become the best ones.
func (l *loop) save(best *run.Best, before float64) error {
	l.st.OptSteps = l.Optimizer.Steps()
	l.st.Seconds = before + time.Since(l.began).Seconds()
	js, err := json.Marshal(l.st)
	if err != nil {
		return fmt.Errorf("encoding the training state: %w", err)
	}
	if err := l.Run.Save(run.Checkpoint{Epoch: l.st.Epoch, Step: l.st.Step, State: js, Tensors: l.tensors,
		Best: best}); err != nil {
		return err
	}
	l.saved = time.Now()
	return nil
}

// restore loads the run's checkpoint, if it has one.
func (l *loop) restore() error {
	c, err := l.Run.Restore()
	if err != nil || c == nil {
		return err
	}
	if err := json.Unmarshal(c.State, &l.st); err != nil {
		return fmt.Errorf("run %s: training state of the checkpoint: %w", l.Run.ID(), err)
	}
	if err := weights.Copy(l.tensors, c.Tensors); err != nil {
		return fmt.Errorf("run %s: checkpoint does not fit the model: %w", l.Run.ID(), err)
	}
	l.Optimizer.SetSteps(l.st.OptSteps)
	return nil
}
