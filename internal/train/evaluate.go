package train

import (
	"context"
	"fmt"
	"math"
)

// Evaluate runs p over all batches of b and sums up their statistics. A cancelled ctx is an error.
func Evaluate(ctx context.Context, p Evaluable, b Batches, sink Sink) (Stats, error) {
	return EvaluateEach(ctx, p, b, sink, func() {})
}

// EvaluateEach is Evaluate with a call of each after every batch, while p still holds its results.
func EvaluateEach(ctx context.Context, p Evaluable, b Batches, sink Sink, each func()) (Stats, error) {
	sum, err := EachBatch(ctx, "", b.Steps(), sink, func(step int) (Stats, error) {
		s, err := p.EvalStep(b.Lay(0, step))
		if err == nil {
			each()
		}
		return s, err
	})
	if err != nil {
		return sum, err
	}
	if l := sum.Loss(); math.IsNaN(l) || math.IsInf(l, 0) {
		return sum, fmt.Errorf("%w: the evaluation's loss is not finite", ErrDiverged)
	}
	return sum, nil
}

// EachBatch is the loop of every evaluation: it calls do for each of steps batches, sums up their statistics and
// reports progress to sink under name. A cancelled ctx is an error, with its cause.
func EachBatch(ctx context.Context, name string, steps int, sink Sink, do func(step int) (Stats,
	error)) (Stats, error) {
	var sum Stats
	if sink == nil {
		sink = func(Event) {}
	}
	sink(Event{Kind: EvalStart, Steps: steps, Message: name})
	for step := range steps {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		s, err := do(step)
		if err != nil {
			if name == "" {
				name = "evaluation"
			}
			return sum, fmt.Errorf("%s, batch %d: %w", name, step+1, err)
		}
		sum.Add(s)
		sink(Event{Kind: EvalStep, Step: step + 1, Steps: steps, Items: s.N, Loss: sum.Loss(),
			Accuracy: sum.Accuracy()})
	}
	return sum, nil
}

// Counted returns statistics of n samples without loss or accuracy, to show progress alone.
func Counted(n int) Stats { return Stats{N: n, LossSum: math.NaN(), NoAccuracy: true} }

// Predictor is an Evaluable that classifies: a Scorer or a SentenceScorer.
type Predictor interface {
	Evaluable
	// appendPredictions adds the classes with the largest logits of the last EvalStep to dst.
	appendPredictions(dst []int32) []int32
}

// Predict is Evaluate and also returns the predicted class of each sample, in the order of b.
func Predict(ctx context.Context, s Predictor, b Batches, sink Sink) (Stats, []int32, error) {
	classes := make([]int32, 0, b.Len())
	stats, err := EvaluateEach(ctx, s, b, sink, func() { classes = s.appendPredictions(classes) })
	return stats, classes, err
}
