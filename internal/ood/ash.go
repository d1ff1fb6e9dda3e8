package ood

import (
	"math"
	"slices"
)

// ash is ASH-S of Djurisic et al. 2023 (https://arxiv.org/abs/2209.09858): it sets the given fraction of
// each image's features, the smallest, to 0, multiplies the others by exp(sum before / sum after) and returns the
// energy. Features follow a ReLU, so they are at least 0; an image with features of 0 only does not change.
func ash(n *Network, share float64) (Detector, error) {
	keep := n.Width - int(math.Round(share*float64(n.Width)))
	return func(f *Features) []float64 {
		shaped := make([]float32, len(f.Pooled))
		overRows(f.N, func(lo, hi int) {
			order := make([]int32, n.Width)
			for i := lo; i < hi; i++ {
				z, out := n.pooled(f, i), shaped[i*n.Width:][:n.Width]
				for j := range order {
					order[j] = int32(j)
				}
				slices.SortFunc(order, func(a, b int32) int {
					if z[a] > z[b] || z[a] == z[b] && a < b {
						return -1
					}
					return 1
				})
				before, after := 0.0, 0.0
				for _, v := range z {
					before += float64(v)
				}
				for _, j := range order[:keep] {
					after += float64(z[j])
				}
				if after == 0 {
					continue
				}
				for _, j := range order[:keep] {
					out[j] = float32(float64(z[j]) * math.Exp(before/after))
				}
			}
		})
		return n.energyOf(n.headOf(shaped, n.Weight))
	}, nil
}
