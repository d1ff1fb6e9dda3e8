package ood

import "slices"

// react is Sun et al. 2021 (https://arxiv.org/abs/2111.12797): the energy after the features are cut off at a
// quantile of all of the training set's, since outliers drive a few units far up.
func react(n *Network, q float64) (Detector, error) {
	sorted := slices.Clone(n.Train.Pooled)
	slices.Sort(sorted)
	limit := float32(quantile(sorted, q))
	return func(f *Features) []float64 {
		cut := make([]float32, len(f.Pooled))
		for i, v := range f.Pooled {
			cut[i] = min(v, limit)
		}
		return n.energyOf(n.headOf(cut, n.Weight))
	}, nil
}

// quantile of ascending x, linear between neighbours.
func quantile(x []float32, q float64) float64 {
	at := q * float64(len(x)-1)
	i := min(int(at), len(x)-2)
	if i < 0 {
		return float64(x[0])
	}
	return float64(x[i]) + (at-float64(i))*(float64(x[i+1])-float64(x[i]))
}
