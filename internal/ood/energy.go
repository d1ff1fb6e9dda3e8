package ood

// energy is Liu et al. 2020 (https://arxiv.org/abs/2010.03759), at temperature 1: -log Σ exp(logits).
func energy(n *Network, _ float64) (Detector, error) {
	return func(f *Features) []float64 { return n.energyOf(f.Logits) }, nil
}

// energyOf returns the energy of each row of logits [rows, classes].
func (n *Network) energyOf(logits []float32) []float64 {
	return perImage(len(logits)/n.Classes, func(i int) float64 { return -logSumExp(logits[i*n.Classes:][:n.Classes]) })
}
