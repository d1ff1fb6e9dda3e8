package ood

// relativeMahalanobis is Ren et al. 2021 (https://arxiv.org/abs/2106.09022): mahalanobis minus the squared
// distance under one Gaussian of all training features, which cancels what all images have in common.
func relativeMahalanobis(n *Network, _ float64) (Detector, error) {
	means := n.classMeans()
	classes, err := n.fitGaussian(means)
	if err != nil {
		return nil, err
	}
	mean, count := make([]float64, n.Width), 1/float64(n.Train.N)
	for i := range n.Train.N {
		for j, v := range n.pooled(n.Train, i) {
			mean[j] += float64(v) * count
		}
	}
	all, err := n.fitGaussian([][]float64{mean})
	if err != nil {
		return nil, err
	}
	return func(f *Features) []float64 {
		scores := classes.distances(n, f)
		for i, d := range all.distances(n, f) {
			scores[i] -= d
		}
		return scores
	}, nil
}
