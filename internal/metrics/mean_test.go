package metrics

import (
	"math"
	"slices"
	"testing"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// TestBootstrapMean: the interval is about as wide as that of Student's, whatever the number of threads.
func TestBootstrapMean(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	x := make([]float64, 400)
	r := rng.New(1, "test", 0, 0)
	for i := range x {
		x[i] = 3 + 2*r.Normal()
	}
	kernel.SetThreads(1)
	mean, ci := BootstrapMean(x, 2000, 7)
	want, sd := MeanStd(x)
	half := 1.96 * sd / math.Sqrt(float64(len(x)))
	if mean != want || math.Abs(ci[0]-(want-half)) > 0.1*half || math.Abs(ci[1]-(want+half)) > 0.1*half {
		t.Errorf("%g in %v, want %g ± %g", mean, ci, want, half)
	}
	kernel.SetThreads(3)
	if _, again := BootstrapMean(x, 2000, 7); again != ci {
		t.Errorf("%v on three threads, %v on one", again, ci)
	}
	if _, other := BootstrapMean(x, 2000, 8); other == ci {
		t.Error("another seed drew the same")
	}
	if mean, ci := BootstrapMean([]float64{5, 5}, 10, 0); mean != 5 || ci != [2]float64{5, 5} {
		t.Errorf("of one value: %g in %v", mean, ci)
	}
	if mean, _ := BootstrapMean(nil, 10, 0); !math.IsNaN(mean) {
		t.Errorf("of none: %g", mean)
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		v    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		before := slices.Clone(tc.v)
		if got := Median(tc.v); got != tc.want || !slices.Equal(tc.v, before) {
			t.Errorf("median of %v: %g, want %g", before, got, tc.want)
		}
	}
}

// TestQuantile: as numpy.quantile gives them.
func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		x       []float64
		q, want float64
	}{
		{[]float64{1, 2, 4, 8}, 0, 1}, {[]float64{1, 2, 4, 8}, 1, 8}, {[]float64{1, 2, 4, 8}, 0.5, 3},
		{[]float64{1, 2, 4, 8}, 0.025, 1.075}, {[]float64{1, 2, 4, 8}, 0.975, 7.7}, {[]float64{5}, 0.3, 5},
	} {
		if got := Quantile(c.x, c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("quantile %g of %v is %g, want %g", c.q, c.x, got, c.want)
		}
	}
}
