package ood

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"dla/internal/metrics"
)

// vim is Wang et al. 2022 (https://arxiv.org/abs/2203.10807): a virtual logit is α times the length of
// the features' residual outside the principal subspace of the training features; the score is that logit minus
// log Σ exp(logits). Features are relative to the origin -W⁺b, where all logits are 0. α makes the mean of the virtual
// logit over the training set equal to that of the largest logit.
func vim(n *Network, share float64) (Detector, error) {
	origin, err := n.origin()
	if err != nil {
		return nil, err
	}
	moved := mat.NewDense(n.Train.N, n.Width, nil)
	for i := range n.Train.N {
		row := moved.RawRowView(i)
		for j, v := range n.pooled(n.Train, i) {
			row[j] = float64(v) - origin[j]
		}
	}
	var cov mat.SymDense
	cov.SymOuterK(1/float64(n.Train.N), moved.T())
	_, vectors, err := eigen(&cov)
	if err != nil {
		return nil, err
	}
	// eigenvectors of the smallest eigenvalues
	rest := make([][]float64, n.Width-int(math.Round(share*float64(n.Width))))
	for k := range rest {
		rest[k] = mat.Col(nil, k, vectors)
	}
	residual := func(f *Features) []float64 {
		return perImage(f.N, func(i int) float64 {
			z, sum := n.pooled(f, i), 0.0
			for _, u := range rest {
				dot := 0.0
				for j, v := range z {
					dot += u[j] * (float64(v) - origin[j])
				}
				sum += dot * dot
			}
			return math.Sqrt(sum)
		})
	}
	lengths, logits := 0.0, 0.0
	for i, r := range residual(n.Train) {
		l := n.logits(n.Train, i)
		lengths, logits = lengths+r, logits+float64(l[metrics.Argmax(l)])
	}
	if lengths == 0 {
		return nil, fmt.Errorf("vim: the training features lie in %d of %d dimensions, which leaves no residual for "+
			"a virtual logit", n.Width-len(rest), n.Width)
	}
	alpha := logits / lengths
	return func(f *Features) []float64 {
		scores := residual(f)
		for i, e := range n.energyOf(f.Logits) {
			scores[i] = alpha*scores[i] + e
		}
		return scores
	}, nil
}

// origin returns -W⁺b, the shortest feature vector whose logits are all 0 or as close to 0 as possible.
func (n *Network) origin() ([]float64, error) {
	w, b := mat.NewDense(n.Classes, n.Width, nil), mat.NewVecDense(n.Classes, nil)
	for c := range n.Classes {
		b.SetVec(c, -float64(n.Bias[c]))
		for j, v := range n.Weight[c*n.Width:][:n.Width] {
			w.Set(c, j, float64(v))
		}
	}
	var svd mat.SVD
	if !svd.Factorize(w, mat.SVDThin) {
		return nil, fmt.Errorf("vim: the singular values of the head's weights cannot be computed; the weights may " +
			"be damaged")
	}
	rank := svd.Rank(1e-6)
	if rank == 0 {
		return make([]float64, n.Width), nil
	}
	var x mat.VecDense
	svd.SolveVecTo(&x, b, rank)
	return x.RawVector().Data, nil
}
