package ood

import "dla/internal/metrics"

// she is the simplified Hopfield energy of Zhang et al. 2023 (ICLR, "Out-of-Distribution Detection based on
// In-Distribution Data Patterns Memorization with Modern Hopfield Energy"): the negated product of the
// features with the mean features of the training images correctly predicted as the same class. A class without correct
// predictions uses the mean of all its images.
func she(n *Network, _ float64) (Detector, error) {
	patterns, count := n.classMeans(), make([]float64, n.Classes)
	right := func(i int) bool { return metrics.Argmax(n.logits(n.Train, i)) == int(n.Train.Labels[i]) }
	for i, l := range n.Train.Labels {
		if right(i) {
			if count[l] == 0 {
				clear(patterns[l])
			}
			count[l]++
			for j, v := range n.pooled(n.Train, i) {
				patterns[l][j] += float64(v)
			}
		}
	}
	for c, k := range count {
		if k > 0 {
			for j := range patterns[c] {
				patterns[c][j] /= k
			}
		}
	}
	return func(f *Features) []float64 {
		return perImage(f.N, func(i int) float64 {
			dot := 0.0
			pattern := patterns[metrics.Argmax(n.logits(f, i))]
			for j, v := range n.pooled(f, i) {
				dot += float64(v) * pattern[j]
			}
			return -dot
		})
	}, nil
}
