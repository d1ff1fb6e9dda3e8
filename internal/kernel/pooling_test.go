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

// TestMaxPool compares both passes with the definition, to the bit: whole vectors of channels and odd ones, rows and
// columns that fill no window, equals, NaN and infinities.
func TestMaxPool(t *testing.T) {
	inf := float32(math.Inf(1))
	levels(t, func(level string) {
		for _, p := range []MaxPool{{N: 2, H: 4, W: 6, C: 16, Window: 2}, {N: 1, H: 5, W: 7, C: 37, Window: 2},
			{N: 2, H: 7, W: 8, C: 8, Window: 3}, {N: 1, H: 3, W: 3, C: 5, Window: 3}, {N: 1, H: 17, W: 16, C: 9, Window: 16},
			{N: 3, H: 2, W: 3, C: 1, Window: 1}} {
			h, w, size := p.H/p.Window, p.W/p.Window, p.Size()
			x, dy := normals(p.N*p.H*p.W*p.C, 1), normals(size, 2)
			for i := range x {
				x[i] = float32(math.Round(float64(x[i]))) // equals
			}
			for i, v := range []float32{float32(math.NaN()), -inf, inf, -inf, float32(math.NaN())} {
				x[i*len(x)/5] = v
			}
			want, wantDX, wantSums := make([]float32, size), make([]float32, len(x)), make([]float32, p.N*2*p.C)
			for i := range want {
				c, q, r, n := i%p.C, i/p.C%w, i/p.C/w%h, i/p.C/w/h
				best, at := -inf, -1
				for a := range p.Window {
					for b := range p.Window {
						j := ((n*p.H+r*p.Window+a)*p.W+q*p.Window+b)*p.C + c
						if at < 0 || x[j] > best || x[j] != x[j] {
							best, at = x[j], j
						}
					}
				}
				want[i], wantDX[at] = best, dy[i]
			}
			y, dx, sums, index := make([]float32, size), normals(len(x), 3), make([]float32, p.N*2*p.C), make([]byte, size)
			p.Forward(y, index, x, sums)
			p.Backward(dx, dy, index)
			(&Norm{N: p.N, Pixels: h * w, C: p.C}).Sums(wantSums, want)
			for what, pair := range map[string][2][]float32{"y": {y, want}, "dx": {dx, wantDX}, "sums": {sums, wantSums}} {
				for i, v := range pair[0] {
					if v != pair[1][i] && (v == v || pair[1][i] == pair[1][i]) {
						t.Fatalf("%s, %dx%dx%d by %d: %s[%d] = %g, want %g", level, p.H, p.W, p.C, p.Window, what, i, v, pair[1][i])
					}
				}
			}
		}
	})
}

func TestPool2(t *testing.T) {
	p := Pool2{N: 1, H: 2, W: 4, C: 2}
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
	s = Subsample{N: 1, H: 1, W: 1, C: 1, OC: 3, Stride: 2, Front: 1}
	s.Forward(y[:3], []float32{7})
	if want := []float32{0, 7, 0}; !slices.Equal(y[:3], want) {
		t.Errorf("padded on both sides %v, want %v", y[:3], want)
	}
	s.Backward(x[:1], []float32{1, 2, 3})
	if x[0] != 2 {
		t.Errorf("gradient of what is padded on both sides %v, want 2", x[0])
	}
}

// TestForwardPooled: a convolution that pools its outputs has the bits of one that writes them and a pooling that reads
// them, with any number of threads, and takes no memory.
func TestForwardPooled(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	levels(t, func(level string) {
		for _, tc := range []struct {
			c      Conv
			window int
		}{
			{Conv{N: 5, H: 7, W: 9, IC: 8, OC: 20, K: 3, Stride: 1, AnyShape: true, CropH: 6, CropW: 8}, 2},
			{Conv{N: 30, H: 4, W: 4, IC: 16, OC: 16, K: 3, Stride: 1}, 2},
			{Conv{N: 3, H: 10, W: 7, IC: 9, OC: 33, K: 3, Stride: 1, AnyShape: true}, 3},
		} {
			c := tc.c
			pool := MaxPool{N: c.N, H: c.OutH(), W: c.OutW(), C: c.OC, Window: tc.window}
			x, w := normals(c.N*c.H*c.W*c.IC, 1), normals(9*c.IC*c.OC, 2)
			unpooled, want, wantSums := make([]float32, c.N*c.OutH()*c.OutW()*c.OC), make([]float32, pool.Size()),
				make([]float32, c.N*2*c.OC)
			wantIndex, index := make([]byte, pool.Size()), make([]byte, pool.Size())
			c.Forward(unpooled, x, w, nil, nil)
			pool.Forward(want, wantIndex, unpooled, wantSums)
			for _, threads := range []int{1, 2, 3} {
				SetThreads(threads)
				y, sums := make([]float32, pool.Size()), make([]float32, c.N*2*c.OC)
				clear(index)
				c.ForwardPooled(&pool, y, index, x, w, sums)
				if !slices.Equal(y, want) || !slices.Equal(index, wantIndex) || !slices.Equal(sums, wantSums) {
					t.Errorf("%s, %+v, %d threads: other bits", level, tc, threads)
				}
				if n := testing.AllocsPerRun(5, func() { c.ForwardPooled(&pool, y, index, x, w, nil) }); n != 0 {
					t.Errorf("%s, %+v, %d threads: %v allocations", level, tc, threads, n)
				}
			}
		}
	})
}
