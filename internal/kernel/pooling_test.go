package kernel

import (
	"math"
	"slices"
	"testing"
)

func TestAvgPool(t *testing.T) {
	levels(t, func(level string) {
		a := AvgPool{N: 3, Pixels: 6, C: 21}
		x, y, dx := normals(3*6*21, 1), make([]float32, 3*21), make([]float32, 3*6*21)
		a.Forward(y, x)
		a.Backward(dx, y)
		for n := range 3 {
			for c := range 21 {
				sum := 0.0
				for p := range 6 {
					sum += float64(x[(n*6+p)*21+c])
					if got, want := dx[(n*6+p)*21+c], y[n*21+c]*(1./6); got != want {
						t.Fatalf("%s: dx %g, want %g", level, got, want)
					}
				}
				if got := float64(y[n*21+c]); math.Abs(got-sum/6) > 1e-6 {
					t.Fatalf("%s: mean %g, want %g", level, got, sum/6)
				}
			}
		}
	})
}

// TestPool2 on an image with an odd side: its last column belongs to no square.
func TestPool2(t *testing.T) {
	p := Pool2{N: 1, H: 2, W: 5, C: 1}
	x := []float32{
		1, 4, 7, 7, 9,
		2, 3, 7, 6, 9,
	}
	y, dx := make([]float32, 2), make([]float32, 10)
	p.Max(y, x)
	if !slices.Equal(y, []float32{4, 7}) {
		t.Errorf("largest %v", y)
	}
	p.MaxGrad(dx, []float32{10, 20}, x, y)
	if want := []float32{0, 10, 20, 0, 0, 0, 0, 0, 0, 0}; !slices.Equal(dx, want) {
		t.Errorf("gradient %v, want %v: the first of equals", dx, want)
	}
	x[3] = float32(math.NaN())
	if p.Max(y, x); y[1] == y[1] {
		t.Errorf("largest of NaN and others is %g", y[1])
	}

	p = Pool2{N: 1, H: 2, W: 4, C: 2}
	large, small := make([]float32, 16), []float32{1, 2, 3, 4}
	p.Spread(large, small)
	if want := []float32{1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}; !slices.Equal(large, want) {
		t.Errorf("spread %v, want %v", large, want)
	}
	p.Sum(small, large)
	if want := []float32{4, 8, 12, 16}; !slices.Equal(small, want) {
		t.Errorf("sums %v, want %v", small, want)
	}
}

func TestSubsample(t *testing.T) {
	s := Subsample{N: 1, H: 3, W: 3, C: 1, OC: 2, Stride: 2}
	x, y := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}, make([]float32, 8)
	s.Forward(y, x)
	if want := []float32{1, 0, 3, 0, 7, 0, 9, 0}; !slices.Equal(y, want) {
		t.Errorf("subsampled %v, want %v", y, want)
	}
	s.Backward(x, []float32{1, 5, 2, 5, 3, 5, 4, 5})
	if want := []float32{1, 0, 2, 0, 0, 0, 3, 0, 4}; !slices.Equal(x, want) {
		t.Errorf("gradient %v, want %v", x, want)
	}
}
