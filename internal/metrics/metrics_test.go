package metrics

import (
	"math"
	"testing"
)

// TestWilson: the ends are the proportions from which p is 1.96 standard errors away, p·n whole or not. The
// values are of that equation solved in 40 decimal digits.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		correct float64
		n       int
		lo, hi  float64
	}{
		{879, 1066, 0.80059251565325454, 0.84623229590602482},
		{879.5, 1066, 0.80108377329702719, 0.84667575619803147}, // the mean of 879 and 880: between theirs
		{880, 1066, 0.80157509058692172, 0.84711915684391614},
		{6.5, 10, 0.35367072351116887, 0.86306943652996442},
		{0, 10, 0, 0.27753279986288920},
		{10, 10, 1 - 0.27753279986288920, 1},
		{0, 0, 0, 1},
	} {
		lo, hi := WilsonMean(c.correct/float64(c.n), c.n)
		if math.Abs(lo-c.lo) > 1e-12 || math.Abs(hi-c.hi) > 1e-12 {
			t.Errorf("%g of %d: %.17g to %.17g, want %.17g to %.17g", c.correct, c.n, lo, hi, c.lo, c.hi)
		}
		if whole := int(c.correct); float64(whole) == c.correct {
			if l, h := Wilson(whole, c.n); l != lo || h != hi {
				t.Errorf("%d of %d as a count: %g to %g", whole, c.n, l, h)
			}
		}
	}
}
