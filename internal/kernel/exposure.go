package kernel

import "math"

// UniformDivergence returns the mean over rows of KL(uniform ‖ softmax(logits)) = -log C - (1/C)·Σ log
// softmax(logits), for logits [rows, classes] and C classes: how far the predictions are from uniform. It is the
// cross-entropy against the uniform distribution less the entropy of that, log C, so that the smallest value is 0.
func UniformDivergence(logits []float32, rows, classes int) float32 {
	total := 0.0
	for r := range rows {
		row := logits[r*classes : (r+1)*classes]
		m, z, sum := float64(rowMax(row)), 0.0, 0.0
		for _, v := range row {
			d := float64(v) - m
			z += math.Exp(d)
			sum += d
		}
		total += math.Log(z/float64(classes)) - sum/float64(classes)
	}
	return float32(total / float64(rows))
}

// UniformDivergenceGrad computes dst = (softmax(logits) - 1/C) · scale, both [rows, classes]; scale includes the
// 1/rows of the mean.
func UniformDivergenceGrad(dst, logits []float32, rows, classes int, scale float32) {
	for r := range rows {
		row, out := logits[r*classes:(r+1)*classes], dst[r*classes:(r+1)*classes]
		m, z := float64(rowMax(row)), 0.0
		for _, v := range row {
			z += math.Exp(float64(v) - m)
		}
		for i, v := range row {
			out[i] = scale * float32(math.Exp(float64(v)-m)/z-1/float64(classes))
		}
	}
}
