package ood

import (
	"slices"

	"dla/internal/metrics"
)

// react is Sun et al. 2021 (https://arxiv.org/abs/2111.12797): the energy after clipping the features at a
// quantile over the training set, since outliers raise a few units far above the others.
func react(n *Network, q float64) (Detector, error) {
	sorted := slices.Clone(n.Train.Pooled)
	slices.Sort(sorted)
	limit := float32(metrics.Quantile(sorted, q))
	return func(f *Features) []float64 {
		cut := make([]float32, len(f.Pooled))
		for i, v := range f.Pooled {
			cut[i] = min(v, limit)
		}
		return n.energyOf(n.headOf(cut, n.Weight))
	}, nil
}
