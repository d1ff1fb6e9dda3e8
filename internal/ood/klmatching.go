package ood

import (
	"math"

	"dla/internal/metrics"
)

// klMatching is Hendrycks et al. 2022 (https://arxiv.org/abs/1911.11132): the divergence KL(p || d) of the
// probabilities p from the nearest template d. The template of a class is the mean of the probabilities of the
// validation images predicted as that class.
func klMatching(n *Network, _ float64) (Detector, error) {
	typical, count := make([][]float64, n.Classes), make([]float64, n.Classes)
	p := make([]float64, n.Classes)
	for i := range n.Val.N {
		l := n.logits(n.Val, i)
		c := metrics.Argmax(l)
		if typical[c] == nil {
			typical[c] = make([]float64, n.Classes)
		}
		softmax(p, l)
		count[c]++
		for j, v := range p {
			typical[c][j] += v
		}
	}
	var logs [][]float64
	for c, d := range typical {
		if d == nil {
			continue
		}
		for j := range d {
			d[j] = math.Log(max(d[j]/count[c], math.SmallestNonzeroFloat64))
		}
		logs = append(logs, d)
	}
	return func(f *Features) []float64 {
		scores := make([]float64, f.N)
		overRows(f.N, func(lo, hi int) {
			p := make([]float64, n.Classes)
			for i := lo; i < hi; i++ {
				softmax(p, n.logits(f, i))
				scores[i] = math.Inf(1)
				for _, log := range logs {
					kl := 0.0
					for j, v := range p {
						if v > 0 {
							kl += v * (math.Log(v) - log[j])
						}
					}
					scores[i] = min(scores[i], kl)
				}
			}
		})
		return scores
	}, nil
}
