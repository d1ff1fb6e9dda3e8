package nn

import (
	"math"

	"dla/internal/rng"
)

// Init fills w from the stream s.
type Init func(w []float32, s *rng.Stream)

// FanIn is the initialiser of torch.nn.Linear and torch.nn.Conv2d, for weights and biases alike:
// uniform in [-1/sqrt(fanIn), 1/sqrt(fanIn)] (Kaiming-uniform with a = sqrt 5).
func FanIn(fanIn int) Init {
	bound := 1 / math.Sqrt(float64(fanIn))
	return func(w []float32, s *rng.Stream) {
		for i := range w {
			w[i] = float32((2*s.Float64() - 1) * bound)
		}
	}
}

// HeNormal is normal of mean 0 and variance 2/fanIn (He et al. 2015, https://arxiv.org/abs/1502.01852):
// for layers followed by ReLU.
func HeNormal(fanIn int) Init {
	return Normal(math.Sqrt(2 / float64(fanIn)))
}

// Normal is normal of mean 0.
func Normal(std float64) Init {
	return func(w []float32, s *rng.Stream) {
		for i := range w {
			w[i] = float32(s.Normal() * std)
		}
	}
}

// Dirac makes the first in filters of a convolution's weights [k, k, in, out], k odd, pass one input channel each
// (Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1706.00388, as torch.nn.init.dirac_). The other filters are as
// rest draws them.
func Dirac(k, in, out int, rest Init) Init {
	return func(w []float32, s *rng.Stream) {
		rest(w, s)
		for at := 0; at < len(w); at += out {
			clear(w[at : at+min(in, out)])
		}
		centre := w[(k*k/2)*in*out:]
		for c := range min(in, out) {
			centre[c*out+c] = 1
		}
	}
}

// Constant fills with v.
func Constant(v float32) Init {
	return func(w []float32, _ *rng.Stream) {
		for i := range w {
			w[i] = v
		}
	}
}
