package ood

import (
	"math"

	"dla/internal/metrics"
)

// gen is the generalised entropy of Liu et al. 2023 (CVPR, "GEN: Pushing the Limits of Softmax-Based
// Out-of-Distribution Detection"), Σ p^γ (1-p)^γ over all classes. (For more than a few hundred classes the
// paper sums over the most probable ones.)
func gen(n *Network, gamma float64) (Detector, error) {
	return func(f *Features) []float64 {
		return perImage(f.N, func(i int) float64 {
			l := n.logits(f, i)
			best := metrics.Argmax(l)
			others := 0.0
			for j, v := range l {
				if j != best {
					others += math.Exp(float64(v - l[best]))
				}
			}
			z := 1 + others
			sum := math.Pow(others/z/z, gamma) // p = 1/z, and 1-p from the others, exact where p is nearly 1
			for j, v := range l {
				if j != best {
					p := math.Exp(float64(v-l[best])) / z
					sum += math.Pow(p*(1-p), gamma)
				}
			}
			return sum
		})
	}, nil
}
