package ood

import (
	"math"

	"dla/internal/metrics"
)

// maxSoftmax is the baseline of Hendrycks and Gimpel 2017 (https://arxiv.org/abs/1610.02136): one minus the
// largest probability. It is computed as the sum over the other classes, which keeps confident predictions distinct.
func maxSoftmax(n *Network, _ float64) (Detector, error) {
	return func(f *Features) []float64 {
		return perImage(f.N, func(i int) float64 { return unsure(n.logits(f, i), 1) })
	}, nil
}

// unsure returns 1 - max softmax(logits/T).
func unsure(logits []float32, temperature float64) float64 {
	best := metrics.Argmax(logits)
	others := 0.0
	for j, v := range logits {
		if j != best {
			others += math.Exp(float64(v-logits[best]) / temperature)
		}
	}
	return others / (1 + others)
}

// softmax writes the probabilities of logits to p.
func softmax(p []float64, logits []float32) {
	m, z := logits[metrics.Argmax(logits)], 0.0
	for j, v := range logits {
		p[j] = math.Exp(float64(v - m))
		z += p[j]
	}
	for j := range p {
		p[j] /= z
	}
}

// logSumExp returns log Σ exp(logits).
func logSumExp(logits []float32) float64 {
	m, z := logits[metrics.Argmax(logits)], 0.0
	for _, v := range logits {
		z += math.Exp(float64(v - m))
	}
	return float64(m) + math.Log(z)
}
