package ood

import "dla/internal/metrics"

// maxLogit is Hendrycks et al. 2022 (https://arxiv.org/abs/1911.11132): the negated largest logit.
func maxLogit(n *Network, _ float64) (Detector, error) {
	return func(f *Features) []float64 {
		return perImage(f.N, func(i int) float64 {
			l := n.logits(f, i)
			return -float64(l[metrics.Argmax(l)])
		})
	}, nil
}
