package kernel

import "math"

// SoftmaxCrossEntropy returns the mean over rows of -Σ q·log softmax(logits), for logits [rows, classes] and the
// target q = (1-smoothing)·onehot(label) + smoothing/classes (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).
// The maximum of each row is subtracted first, so that no logit is too large.
func SoftmaxCrossEntropy(logits []float32, labels []int32, rows, classes int, smoothing float64) float32 {
	total := 0.0
	for r := range rows {
		row := logits[r*classes : (r+1)*classes]
		m, z := rowMax(row), 0.0
		sum := 0.0
		for _, v := range row {
			z += math.Exp(float64(v - m))
			sum += float64(v - m)
		}
		total += math.Log(z) - (1-smoothing)*float64(row[labels[r]]-m)
		if smoothing > 0 {
			total -= smoothing / float64(classes) * sum
		}
	}
	return float32(total / float64(rows))
}

// SoftmaxCrossEntropyGrad computes dst = (softmax(logits) - q) · scale, both [rows, classes], for the q of
// SoftmaxCrossEntropy; scale includes the 1/rows of the mean.
func SoftmaxCrossEntropyGrad(dst, logits []float32, labels []int32, rows, classes int, smoothing float64,
	scale float32) {
	for r := range rows {
		row, out := logits[r*classes:(r+1)*classes], dst[r*classes:(r+1)*classes]
		m, z := rowMax(row), 0.0
		for i, v := range row {
			e := math.Exp(float64(v - m))
			z += e
			out[i] = float32(e)
		}
		s, rest := float32(float64(scale)/z), scale*float32(smoothing/float64(classes))
		for i := range out {
			out[i] = out[i]*s - rest
		}
		out[labels[r]] -= scale * float32(1-smoothing)
	}
}

func rowMax(row []float32) float32 {
	m := row[0]
	for _, v := range row[1:] {
		m = max(m, v) // NaN if any is
	}
	return m
}
