package metrics

import (
	"math"
	"testing"
)

// TestStudent: with the quantiles of printed tables of the t distribution.
func TestStudent(t *testing.T) {
	for _, c := range []struct {
		x        []float64
		quantile float64
	}{
		{[]float64{1, 3}, 12.7062}, {[]float64{91.2, 91.5, 90.9}, 4.30265}, {[]float64{1, 2, 3, 4, 5}, 2.77645},
	} {
		mean, sd := MeanStd(c.x)
		half := c.quantile * sd / math.Sqrt(float64(len(c.x)))
		lower, upper := Student(c.x)
		if math.Abs(lower-(mean-half)) > 1e-4 || math.Abs(upper-(mean+half)) > 1e-4 {
			t.Errorf("%v: %g to %g, want %g to %g", c.x, lower, upper, mean-half, mean+half)
		}
	}
	if lower, upper := Student([]float64{2, 2, 2}); lower != 2 || upper != 2 {
		t.Errorf("of equal values: %g to %g", lower, upper)
	}
	if lower, upper := Student([]float64{2}); !math.IsNaN(lower) || !math.IsNaN(upper) {
		t.Errorf("of one value: %g to %g", lower, upper)
	}
}
