package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// passes runs every kernel that goes over memory once, on tensors of n images of px pixels of c
// channels, and returns all results, one after the other.
func passes(n, px, c int, seed uint64) []float32 {
	size := n * px * c
	m := Norm{N: n, Pixels: px, C: c}
	x, res, dy := normals(size, seed), normals(size, seed+1), normals(size, seed+2)
	v1, v2, v3, v4 := normals(c, seed+3), normals(c, seed+4), normals(c, seed+5), normals(c, seed+6)
	sums, gsums := make([]float32, n*2*c), make([]float32, n*2*c)
	y, z, g, dx := make([]float32, size), make([]float32, size), make([]float32, size), make([]float32, size)
	m.Sums(sums, x)
	m.Apply(y, x, res, v1, v2, ActReLU)
	m.Apply(z, x, nil, v1, v2, ActNone)
	for i := range y { // a mask that does not hang on the last bit
		if math.Abs(float64(y[i])) < 1e-4 {
			y[i] = 0
		}
	}
	m.GradSums(g, gsums, dy, y, x, nil, v3, nil, nil, ActReLU)
	m.GradInput(dx, g, x, v3, v1, v2, v4)
	var smooth []float32
	for _, act := range []Activation{ActGELU, ActSiLU} {
		for _, r := range [][]float32{nil, res} {
			y, g, sums := make([]float32, size), make([]float32, size), make([]float32, n*2*c)
			m.Apply(y, x, r, v1, v2, act)
			m.GradSums(g, sums, dy, nil, x, r, v3, v1, v2, act)
			smooth = slices.Concat(smooth, y, g, sums)
		}
	}
	sum, masked, cols := make([]float32, size), make([]float32, size), make([]float32, c)
	Add(sum, x, res)
	ReLUGrad(masked, dy, x)
	(&ColumnSum{Dst: cols, X: x, Rows: n * px, Cols: c}).Do()
	pool := AvgPool{N: n, Pixels: px, C: c}
	mean, spread := make([]float32, n*c), make([]float32, size)
	pool.Forward(mean, x)
	pool.Backward(spread, mean)
	t := make([]float32, size)
	transposeInto(t, n*px, x, c, n*px, c)
	return slices.Concat(sums, y, z, gsums, g, dx, smooth, sum, masked, cols, mean, spread, t)
}

// samePasses compares a level with the portable twin.
func samePasses(n, px, c int, seed uint64) error {
	defer setLevel("")
	setLevel("portable")
	want := passes(n, px, c, seed)
	for _, l := range []string{"avx2", "avx512"} {
		if setLevel(l); Level() != l {
			continue
		}
		for i, v := range passes(n, px, c, seed) {
			if !(math.Abs(float64(v-want[i])) <= 1e-4*(1+math.Abs(float64(want[i])))) {
				return fmt.Errorf("%s: value %d of the passes' results is %g, portable %g", l, i, v, want[i])
			}
		}
	}
	return nil
}

func TestPassesAgree(t *testing.T) {
	for c := 1; c <= 67; c++ {
		if err := samePasses(1+c%3, 1+c%7, c, uint64(c)); err != nil {
			t.Errorf("%d channels: %v", c, err)
		}
	}
}

func FuzzPasses(f *testing.F) {
	f.Add(uint8(2), uint8(9), uint8(48), uint64(1))
	f.Add(uint8(1), uint8(1), uint8(7), uint64(2))
	f.Fuzz(func(t *testing.T, n, px, c uint8, seed uint64) {
		if err := samePasses(1+int(n%4), 1+int(px%40), 1+int(c%100), seed); err != nil {
			t.Error(err)
		}
	})
}
