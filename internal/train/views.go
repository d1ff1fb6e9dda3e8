package train

import (
	"context"
	"fmt"
	"math"

	"dla/internal/metrics"
)

// View is one view of the samples of a set in test-time augmentation: its batches, and the weight of its logits.
type View struct {
	Batches
	Weight float64
}

// Views holds an evaluation over several views of the same samples.
type Views struct {
	First   Stats     // of the first view alone
	Classes []int32   // predicted from the first view alone, in order
	Mean    Stats     // of the weighted sum of all views' logits
	Logits  []float64 // [samples, classes], that sum
}

// EvaluateViews evaluates s on every view in turn. All views must hold the same samples in the same order, and their
// weights should add up to 1. The sum is taken in float64.
func EvaluateViews(ctx context.Context, s *Scorer, views []View, sink Sink) (Views, error) {
	var v Views
	var labels []int32
	for i, view := range views {
		if n := views[0].Len(); view.Len() != n {
			return v, fmt.Errorf("view %d has %d samples, the first %d", i+1, view.Len(), n)
		}
		at := 0
		stats, err := EvaluateEach(ctx, s, view, sink, func() {
			y := s.eval.y.I32
			if i == 0 {
				labels, v.Classes = append(labels, y...), s.appendPredictions(v.Classes)
				v.Logits = append(v.Logits, make([]float64, len(s.Logits()))...)
			}
			for _, x := range s.Logits() {
				v.Logits[at] += view.Weight * float64(x)
				at++
			}
		})
		if err != nil {
			return Views{}, err
		}
		if i == 0 {
			v.First = stats
		}
	}
	classes := len(v.Logits) / max(1, len(labels))
	for i, label := range labels {
		row := v.Logits[i*classes : (i+1)*classes]
		v.Mean.Add(scoredRow(row, label))
	}
	return v, nil
}

// scoredRow returns the statistics of one sample from its logits.
func scoredRow(logits []float64, label int32) Stats {
	best := metrics.Argmax(logits)
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(x - logits[best])
	}
	s := Stats{N: 1, LossSum: math.Log(sum) + logits[best] - logits[label]}
	if int32(best) == label {
		s.Correct = 1
	}
	return s
}
