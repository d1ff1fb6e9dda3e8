package kernel

import (
	"math"
	"slices"
	"testing"
)

// TestUpdatesAgreeToTheBit: every level rounds an optimiser's step alike.
func TestUpdatesAgreeToTheBit(t *testing.T) {
	const n = 77
	var want []float32
	levels(t, func(level string) {
		var all []float32
		for _, p := range []SGDParams{{LR: 0.1}, {LR: 0.1, Momentum: 0.9, WeightDecay: 0.01},
			{LR: 0.1, Momentum: 0.9, Nesterov: true}, {LR: 0.2, Momentum: 0.9, WeightDecay: 0.1, Decoupled: true},
			{LR: 0.1, Momentum: 0.9, First: true}} {
			w, g, v := normals(n, 1), normals(n, 2), normals(n, 3)
			SGD(w, g, v, p)
			all = append(append(all, w...), v...)
		}
		w, g, m, v := normals(n, 1), normals(n, 2), normals(n, 3), normals(n, 4)
		for i := range v {
			v[i] *= v[i]
		}
		AdamW(w, g, m, v, AdamWParams{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Bias1: 0.1,
			Bias2: 0.001})
		all = append(append(append(all, w...), m...), v...)
		if want == nil {
			want = all
		}
		if !slices.Equal(all, want) {
			t.Errorf("%s gives other bits than portable", level)
		}
	})
}

// TestAffine: every level gives the bits of plain Go, with any number of threads, and takes no memory.
func TestAffine(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	levels(t, func(level string) {
		for _, c := range []int{1, 3, 7} {
			scale, shift := normals(c, 1), normals(c, 2)
			for _, pixels := range []int{0, 5, 64, affinePixels + 21} {
				x, y := normals(pixels*c, 3), make([]float32, pixels*c)
				var a Affine
				for _, threads := range []int{1, 3} {
					SetThreads(threads)
					clear(y)
					a.Run(y, x, scale, shift)
					for i, v := range y {
						if want := float32(x[i]*scale[i%c]) + shift[i%c]; v != want {
							t.Fatalf("%s, %d pixels of %d channels: y[%d] = %g, want %g", level, pixels, c, i, v, want)
						}
					}
					if n := testing.AllocsPerRun(5, func() { a.Run(y, x, scale, shift) }); n != 0 {
						t.Errorf("%s: %v allocations", level, n)
					}
				}
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	levels(t, func(level string) {
		for _, size := range [][2]int{{1, 1}, {8, 16}, {17, 33}, {50, 7}} {
			rows, cols := size[0], size[1]
			src, dst := normals(rows*cols, 1), make([]float32, rows*cols)
			transposeInto(dst, rows, src, cols, rows, cols)
			for r := range rows {
				for c := range cols {
					if dst[c*rows+r] != src[r*cols+c] {
						t.Fatalf("%s, %d x %d: element (%d, %d)", level, rows, cols, r, c)
					}
				}
			}
		}
	})
}

func TestBytesToFloats(t *testing.T) {
	src := make([]byte, 256+5)
	for i := range src {
		src[i] = byte(i)
	}
	levels(t, func(level string) {
		dst := make([]float32, len(src))
		BytesToFloats(dst, src)
		for i, v := range dst {
			if v != float32(src[i])/255 {
				t.Fatalf("%s: %d becomes %g", level, src[i], v)
			}
		}
	})
}

// TestWinogradPoints: the transforms' identity Aᵀ[(G g) ⊙ (Bᵀ d)] is a convolution, in one dimension.
func TestWinogradPoints(t *testing.T) {
	d, g := normals(6, 1), normals(3, 2)
	u, v := winoWeight1([6]float32(append(g, 0, 0, 0))), winoInput1([6]float32(d))
	var m [6]float32
	for i := range m {
		m[i] = u[i] * v[i]
	}
	y := winoOutput1(m)
	for i := range 4 {
		want := float64(d[i])*float64(g[0]) + float64(d[i+1])*float64(g[1]) + float64(d[i+2])*float64(g[2])
		if math.Abs(float64(y[i])-want) > 1e-5 {
			t.Errorf("y[%d] = %g, want %g", i, y[i], want)
		}
	}
}
