package nn

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// WhiteningFilters returns the weights [k, k, c, 2·k·k·c] of a convolution whose outputs on patches of the images
// [n, h, w, c] are uncorrelated and of about unit variance, twice: filter i is an eigenvector of the second moments of
// the k x k patches, divided by sqrt(eigenvalue + eps), and filter k·k·c + i is its negative (K. Jordan 2024,
// https://arxiv.org/abs/2404.00498, section 3.1). Values that are not finite are an error.
func WhiteningFilters(images []float32, n, h, w, c, k int, eps float64) ([]float32, error) {
	size := k * k * c
	moments := mat.NewSymDense(size, nil)
	sums := moments.RawSymmetric().Data // upper triangle [size, size]
	patch := make([]float64, size)
	for at := range n {
		image := images[at*h*w*c:][:h*w*c]
		for y := range h - k + 1 {
			for x := range w - k + 1 {
				for r := range k {
					for i, v := range image[((y+r)*w+x)*c:][:k*c] {
						patch[r*k*c+i] = float64(v)
					}
				}
				for i, v := range patch {
					row := sums[i*size:]
					for j := i; j < size; j++ {
						row[j] += v * patch[j]
					}
				}
			}
		}
	}
	for i := range sums {
		sums[i] /= float64(n * (h - k + 1) * (w - k + 1))
	}
	var e mat.EigenSym
	if !e.Factorize(moments, true) {
		return nil, errors.New("the patches of the images have no eigenvectors: their values are not finite")
	}
	values := e.Values(nil)
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	filters := make([]float32, size*2*size)
	for i, v := range values {
		scale := 1 / math.Sqrt(math.Max(v, 0)+eps)
		for tap := range size {
			f := float32(vectors.At(tap, i) * scale)
			filters[tap*2*size+i], filters[tap*2*size+size+i] = f, -f
		}
	}
	return filters, nil
}
