package ood

import (
	"slices"

	"dla/internal/metrics"
)

// dice is DICE of Sun and Li 2022 (https://arxiv.org/abs/2111.09805): the energy of a head without the given fraction
// of weights that contribute least. A weight contributes its value times the mean of its feature over the training set.
func dice(n *Network, share float64) (Detector, error) {
	mean := make([]float64, n.Width)
	for i := range n.Train.N {
		for j, v := range n.pooled(n.Train, i) {
			mean[j] += float64(v) / float64(n.Train.N)
		}
	}
	contribution := make([]float32, len(n.Weight))
	for i, w := range n.Weight {
		contribution[i] = float32(float64(w) * mean[i%n.Width])
	}
	sorted := slices.Clone(contribution)
	slices.Sort(sorted)
	limit := metrics.Quantile(sorted, share)
	kept := slices.Clone(n.Weight)
	for i, c := range contribution {
		if float64(c) <= limit {
			kept[i] = 0
		}
	}
	return func(f *Features) []float64 { return n.energyOf(n.headOf(f.Pooled, kept)) }, nil
}
