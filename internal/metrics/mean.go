package metrics

import (
	"slices"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// BootstrapMean is the mean of x with its 95 % percentile interval, from resamples draws of as many values
// with replacement. A draw depends on seed and its number alone. Of no values all three are NaN.
func BootstrapMean(x []float64, resamples int, seed uint64) (mean float64, ci [2]float64) {
	mean, _ = MeanStd(x)
	if len(x) == 0 {
		return mean, [2]float64{mean, mean}
	}
	b := &bootstrapMean{x, seed, make([]float64, resamples)}
	kernel.Run(b, resamples)
	slices.Sort(b.means)
	return mean, [2]float64{Quantile(b.means, 0.025), Quantile(b.means, 0.975)}
}

type bootstrapMean struct {
	x     []float64
	seed  uint64
	means []float64 // of the resamples
}

// Chunk computes resample s.
func (b *bootstrapMean) Chunk(s int) {
	r := rng.New(b.seed, "bootstrap mean", 0, uint64(s))
	sum := 0.0
	for range b.x {
		sum += b.x[r.IntN(len(b.x))]
	}
	b.means[s] = sum / float64(len(b.x))
}
