package kernel

import (
	"math"
	"sync"
)

// SoftmaxCrossEntropy returns the mean over rows of -Σ q·log softmax(logits), for logits [rows, classes] and the
// target q = (1-smoothing)·onehot(label) + smoothing/classes (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).
// The maximum of each row is subtracted first, so that no logit is too large.
func SoftmaxCrossEntropy(logits []float32, labels []int32, rows, classes int, smoothing float64) float32 {
	e := crossEntropyPool.Get().(*crossEntropy)
	for len(e.terms) < rows {
		e.terms = append(e.terms, [2]float64{})
	}
	e.logits, e.labels, e.rows, e.classes, e.smoothing = logits, labels, rows, classes, smoothing
	e.phase.run(e, (*crossEntropy).loss, tiles(rows, crossEntropyRows))
	total := 0.0
	for _, t := range e.terms[:rows] {
		total += t[0]
		if smoothing > 0 {
			total -= t[1]
		}
	}
	e.giveBack()
	return float32(total / float64(rows))
}

// SoftmaxCrossEntropyGrad computes dst = (softmax(logits) - q) · scale, both [rows, classes], for the q of
// SoftmaxCrossEntropy; scale includes the 1/rows of the mean.
func SoftmaxCrossEntropyGrad(dst, logits []float32, labels []int32, rows, classes int, smoothing float64,
	scale float32) {
	e := crossEntropyPool.Get().(*crossEntropy)
	e.logits, e.labels, e.rows, e.classes, e.smoothing, e.dst, e.scale = logits, labels, rows, classes, smoothing, dst, scale
	e.phase.run(e, (*crossEntropy).grad, tiles(rows, crossEntropyRows))
	e.giveBack()
}

// crossEntropyRows is how many rows a chunk has.
const crossEntropyRows = 16

type crossEntropy struct {
	logits, dst   []float32
	labels        []int32
	rows, classes int
	smoothing     float64
	scale         float32
	terms         [][2]float64 // of each row's loss: without smoothing, and what smoothing takes off
	phase         phase[crossEntropy]
}

var crossEntropyPool = sync.Pool{New: func() any { return new(crossEntropy) }}

func (e *crossEntropy) giveBack() {
	e.logits, e.dst, e.labels = nil, nil, nil
	crossEntropyPool.Put(e)
}

func (e *crossEntropy) loss(_ *lane, chunk int) {
	for r := chunk * crossEntropyRows; r < min(e.rows, (chunk+1)*crossEntropyRows); r++ {
		row := e.logits[r*e.classes : (r+1)*e.classes]
		m, z := rowMax(row), 0.0
		sum := 0.0
		for _, v := range row {
			z += math.Exp(float64(v - m))
			sum += float64(v - m)
		}
		e.terms[r] = [2]float64{math.Log(z) - (1-e.smoothing)*float64(row[e.labels[r]]-m),
			e.smoothing / float64(e.classes) * sum}
	}
}

func (e *crossEntropy) grad(_ *lane, chunk int) {
	smoothing := float32(e.smoothing / float64(e.classes))
	for r := chunk * crossEntropyRows; r < min(e.rows, (chunk+1)*crossEntropyRows); r++ {
		row, out := e.logits[r*e.classes:(r+1)*e.classes], e.dst[r*e.classes:(r+1)*e.classes]
		m, z := rowMax(row), 0.0
		for i, v := range row {
			e := math.Exp(float64(v - m))
			z += e
			out[i] = float32(e)
		}
		s, rest := float32(float64(e.scale)/z), e.scale*smoothing
		for i := range out {
			out[i] = out[i]*s - rest
		}
		out[e.labels[r]] -= e.scale * float32(1-e.smoothing)
	}
}

func rowMax(row []float32) float32 {
	m := row[0]
	for _, v := range row[1:] {
		m = max(m, v) // NaN if any is
	}
	return m
}
