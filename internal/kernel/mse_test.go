package kernel

import (
	"math"
	"slices"
	"testing"
)

// TestSquaredErrors against the definition in float64, on any number of threads to the bit.
func TestSquaredErrors(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	const rows, cols = 5, 37
	a, b := normals(rows*cols, 1), normals(rows*cols, 2)
	var wantErrors, wantGrad []float32
	for _, threads := range []int{1, 3} {
		SetThreads(threads)
		errors, grad := make([]float32, rows), slices.Clone(a)
		SquaredErrors(errors, a, b, rows, cols)
		SquaredErrorGrad(grad, grad, b, rows, cols, 0.5)
		for r, got := range errors {
			want := 0.0
			for i := range cols {
				d := float64(a[r*cols+i]) - float64(b[r*cols+i])
				want += d * d / cols
				if g := grad[r*cols+i]; math.Abs(float64(g)-d/2) > 1e-6 {
					t.Fatalf("gradient %g, want %g", g, d/2)
				}
			}
			if math.Abs(float64(got)-want) > 1e-6*want {
				t.Errorf("row %d: %g, want %g", r, got, want)
			}
		}
		if wantErrors == nil {
			wantErrors, wantGrad = errors, grad
		}
		if !slices.Equal(errors, wantErrors) || !slices.Equal(grad, wantGrad) {
			t.Error("other bits on other threads")
		}
		if n := testing.AllocsPerRun(10, func() { SquaredErrors(errors, a, b, rows, cols) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
