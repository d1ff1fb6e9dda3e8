package ood

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// mahalanobis is Lee et al. 2018 (https://arxiv.org/abs/1807.03888) on the last features: the squared
// distance to the nearest class mean, min (z-μ)ᵀ Σ⁻¹ (z-μ), with one covariance Σ of all classes around their means.
func mahalanobis(n *Network, _ float64) (Detector, error) {
	g, err := n.fitGaussian(n.classMeans())
	if err != nil {
		return nil, err
	}
	return func(f *Features) []float64 { return g.distances(n, f) }, nil
}

// classMeans returns the mean [classes][width] of the training features of each label.
func (n *Network) classMeans() [][]float64 {
	means, count := make([][]float64, n.Classes), make([]float64, n.Classes)
	for c := range means {
		means[c] = make([]float64, n.Width)
	}
	for i, l := range n.Train.Labels {
		count[l]++
		for j, v := range n.pooled(n.Train, i) {
			means[l][j] += float64(v)
		}
	}
	for c, m := range means {
		for j := range m {
			m[j] /= count[c]
		}
	}
	return means
}

// gaussian holds Gaussians with a common covariance, in whitened coordinates.
type gaussian struct {
	whiten [][]float64 // [rank][width]
	means  [][]float64 // [means][rank]
}

// fitGaussian fits the covariance of the training features around means, one per class or a single one for all. It
// drops directions without variance (pseudo-inverse).
func (n *Network) fitGaussian(means [][]float64) (*gaussian, error) {
	centred := mat.NewDense(n.Train.N, n.Width, nil)
	for i, l := range n.Train.Labels {
		m := means[int(l)%len(means)]
		row := centred.RawRowView(i)
		for j, v := range n.pooled(n.Train, i) {
			row[j] = float64(v) - m[j]
		}
	}
	var cov mat.SymDense
	cov.SymOuterK(1/float64(n.Train.N), centred.T())
	values, vectors, err := eigen(&cov)
	if err != nil {
		return nil, err
	}
	g := &gaussian{}
	for k, v := range values {
		if v <= 1e-10*values[len(values)-1] {
			continue
		}
		w := mat.Col(nil, k, vectors)
		for j := range w {
			w[j] /= math.Sqrt(v)
		}
		g.whiten = append(g.whiten, w)
	}
	for _, m := range means {
		g.means = append(g.means, make([]float64, len(g.whiten)))
		for k, w := range g.whiten {
			for j, v := range m {
				g.means[len(g.means)-1][k] += w[j] * v
			}
		}
	}
	return g, nil
}

// eigen returns the eigenvalues of cov in ascending order, and its eigenvectors as columns.
func eigen(cov *mat.SymDense) ([]float64, *mat.Dense, error) {
	var e mat.EigenSym
	if !e.Factorize(cov, true) {
		return nil, nil, fmt.Errorf("the covariance of the training features has no eigenvalues; are all features " +
			"finite?")
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	return e.Values(nil), &vectors, nil
}

// distances returns the squared distance of each of f's images to the nearest mean.
func (g *gaussian) distances(n *Network, f *Features) []float64 {
	scores := make([]float64, f.N)
	overRows(f.N, func(lo, hi int) {
		y := make([]float64, len(g.whiten))
		for i := lo; i < hi; i++ {
			z := n.pooled(f, i)
			for k, w := range g.whiten {
				y[k] = 0
				for j, v := range z {
					y[k] += w[j] * float64(v)
				}
			}
			scores[i] = math.Inf(1)
			for _, m := range g.means {
				d := 0.0
				for k, v := range y {
					d += (v - m[k]) * (v - m[k])
				}
				scores[i] = min(scores[i], d)
			}
		}
	})
	return scores
}
