package nn

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// whiteningEps is that of Jordan 2024.
const whiteningEps = 5e-4

// WhiteningFilters returns the weights [k, k, c, 2·half] of a convolution whose outputs on patches of the images
// [n, h, w, c] are uncorrelated and of about unit variance, twice: filter i is the eigenvector of the i-th largest
// eigenvalue of the second moments of the k x k patches, divided by sqrt(eigenvalue + eps), and filter half + i is its
// negative (K. Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.1). half is at most k·k·c. Values that are not
// finite and images smaller than a patch are errors.
func WhiteningFilters(images []float32, n, h, w, c, k, half int, eps float64) ([]float32, error) {
	if h < k || w < k {
		return nil, fmt.Errorf("images of %dx%d pixels have no patches of %dx%d to whiten", w, h, k, k)
	}
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
	filters := make([]float32, size*2*half)
	for i := range half {
		at := size - 1 - i // values ascend
		scale := 1 / math.Sqrt(math.Max(values[at], 0)+eps)
		for tap := range size {
			f := float32(vectors.At(tap, at) * scale)
			filters[tap*2*half+i], filters[tap*2*half+half+i] = f, -f
		}
	}
	return filters, nil
}
