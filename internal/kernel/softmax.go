package kernel

import "math"

// SoftmaxCrossEntropy is the mean over rows of -log softmax(logits)[label], for logits
// [rows, classes]. Each row's own maximum is subtracted first, so no logit is too large.
func SoftmaxCrossEntropy(logits []float32, labels []int32, rows, classes int) float32 {
	total := 0.0
	for r := range rows {
		row := logits[r*classes : (r+1)*classes]
		m, z := rowMax(row), 0.0
		for _, v := range row {
			z += math.Exp(float64(v - m))
		}
		total += math.Log(z) - float64(row[labels[r]]-m)
	}
	return float32(total / float64(rows))
}

// SoftmaxCrossEntropyGrad is dst = (softmax(logits) - onehot(labels)) · scale, both [rows, classes];
// scale holds the 1/rows of the mean.
func SoftmaxCrossEntropyGrad(dst, logits []float32, labels []int32, rows, classes int, scale float32) {
	for r := range rows {
		row, out := logits[r*classes:(r+1)*classes], dst[r*classes:(r+1)*classes]
		m, z := rowMax(row), 0.0
		for i, v := range row {
			e := math.Exp(float64(v - m))
			z += e
			out[i] = float32(e)
		}
		s := float32(float64(scale) / z)
		for i := range out {
			out[i] *= s
		}
		out[labels[r]] -= scale
	}
}

func rowMax(row []float32) float32 {
	m := row[0]
	for _, v := range row[1:] {
		m = max(m, v) // NaN if any is
	}
	return m
}
