package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"dla/internal/rng"
)

// naive is the convolution and its gradients by the definition, in float64.
type naive struct {
	Conv
	x, w, dy []float32
}

// each calls f with every pair of an input and an output pixel's places that a tap joins.
func (c *naive) each(f func(x, y, tap int)) {
	m, oh, ow := c.pad(), c.OutH(), c.OutW()
	for n := range c.N {
		for r := range oh {
			for q := range ow {
				for kh := range c.K {
					for kw := range c.K {
						h, w := r*c.Stride+kh-m, q*c.Stride+kw-m
						if h >= 0 && h < c.H && w >= 0 && w < c.W {
							f((n*c.H+h)*c.W+w, (n*oh+r)*ow+q, kh*c.K+kw)
						}
					}
				}
			}
		}
	}
}

// all computes y, dx and dw, each with the sum of the absolute values of its terms.
func (c *naive) all() (y, dx, dw, yAbs, dxAbs, dwAbs []float64) {
	y, dx, dw = make([]float64, len(c.dy)), make([]float64, len(c.x)), make([]float64, len(c.w))
	yAbs, dxAbs, dwAbs = slices.Clone(y), slices.Clone(dx), slices.Clone(dw)
	c.each(func(px, py, tap int) {
		for i := range c.IC {
			for o := range c.OC {
				xv, wv, g := float64(c.x[px*c.IC+i]), float64(c.w[(tap*c.IC+i)*c.OC+o]), float64(c.dy[py*c.OC+o])
				y[py*c.OC+o] += xv * wv
				yAbs[py*c.OC+o] += math.Abs(xv * wv)
				dx[px*c.IC+i] += g * wv
				dxAbs[px*c.IC+i] += math.Abs(g * wv)
				dw[(tap*c.IC+i)*c.OC+o] += xv * g
				dwAbs[(tap*c.IC+i)*c.OC+o] += math.Abs(xv * g)
			}
		}
	})
	return
}

// checkConv runs all three passes of one shape and compares them with the definition. The tolerance
// is a part of the sum of the terms' sizes, for Winograd of the largest of them.
func checkConv(c Conv, seed uint64) error {
	s := rng.New(seed, "conv", 0, 0)
	x := newGuarded(1, c.N*c.H*c.W*c.IC, c.N*c.H*c.W*c.IC, &s)
	w := newGuarded(1, c.K*c.K*c.IC*c.OC, c.K*c.K*c.IC*c.OC, &s)
	dy := newGuarded(1, c.N*c.OutH()*c.OutW()*c.OC, c.N*c.OutH()*c.OutW()*c.OC, &s)
	bias := newGuarded(1, c.OC, c.OC, &s)
	y, dx, dw := newGuarded(1, dy.cols, dy.cols, &s), newGuarded(1, x.cols, x.cols, &s), newGuarded(1, w.cols, w.cols, &s)
	before := slices.Clone(dx.m)
	sums := newGuarded(1, c.N*2*c.OC, c.N*2*c.OC, &s)
	n := naive{c, x.m, w.m, dy.m}
	wantY, wantDX, wantDW, absY, absDX, absDW := n.all()

	compare := func(what string, got []float32, want, abs []float64) error {
		largest := slices.Max(abs)
		for i := range want {
			tolerance := 2e-6*abs[i] + 1e-7
			if c.winograd() {
				tolerance = 3e-6*largest + 1e-7
			}
			if !(math.Abs(float64(got[i])-want[i]) <= tolerance) {
				return fmt.Errorf("%s[%d] = %g, want %g (winograd %v)", what, i, got[i], want[i], c.winograd())
			}
		}
		return nil
	}
	c.Forward(y.m, x.m, w.m, nil, sums.m)
	if err := compare("y", y.m, wantY, absY); err != nil {
		return err
	}
	px := c.OutH() * c.OutW()
	alone, norm := make([]float32, c.N*2*c.OC), Norm{N: c.N, Pixels: px, C: c.OC}
	if norm.Sums(alone, y.m); !slices.Equal(alone, sums.m) {
		return fmt.Errorf("channel sums taken on the way differ from those taken afterwards")
	}
	c.Forward(y.m, x.m, w.m, bias.m, nil)
	for i := range wantY {
		wantY[i] += float64(bias.m[i%c.OC])
		absY[i] += math.Abs(float64(bias.m[i%c.OC]))
	}
	if err := compare("y + bias", y.m, wantY, absY); err != nil {
		return err
	}
	c.BackwardData(dx.m, dy.m, w.m, true)
	sum, absSum := slices.Clone(wantDX), slices.Clone(absDX)
	for i, b := range before { // what was there is a term as any other
		sum[i] += float64(b)
		absSum[i] += math.Abs(float64(b))
	}
	if err := compare("dx + before", dx.m, sum, absSum); err != nil {
		return err
	}
	c.BackwardData(dx.m, dy.m, w.m, false)
	if err := compare("dx", dx.m, wantDX, absDX); err != nil {
		return err
	}
	c.BackwardWeight(dw.m, dy.m, x.m)
	if err := compare("dw", dw.m, wantDW, absDW); err != nil {
		return err
	}
	for name, m := range map[string]guarded{"x": x, "w": w, "dy": dy, "bias": bias, "y": y, "dx": dx, "dw": dw,
		"sums": sums} {
		if !m.whole() {
			return fmt.Errorf("something was written outside of %s", name)
		}
	}
	return nil
}

// TestConv covers windows, strides, odd channels, single rows and columns, and Winograd's shapes.
func TestConv(t *testing.T) {
	shapes := []Conv{
		{N: 2, H: 8, W: 8, IC: 16, OC: 16, K: 3, Stride: 1}, {N: 3, H: 4, W: 12, IC: 32, OC: 48, K: 3, Stride: 1}, {N: 9,
			H: 4, W: 4, IC: 48, OC: 16, K: 3, Stride: 1},
		{N: 2, H: 8, W: 4, IC: 16, OC: 64, K: 3, Stride: 1}, {N: 1, H: 16, W: 20, IC: 80, OC: 32, K: 3, Stride: 1},
		{N: 2, H: 8, W: 8, IC: 3, OC: 16, K: 3, Stride: 1}, {N: 2, H: 9, W: 7, IC: 16, OC: 32, K: 3, Stride: 2}, {N: 2, H: 8,
			W: 8, IC: 16, OC: 32, K: 1, Stride: 2},
		{N: 2, H: 5, W: 6, IC: 32, OC: 10, K: 1, Stride: 1}, {N: 1, H: 1, W: 1, IC: 1, OC: 1, K: 3, Stride: 1}, {N: 1, H: 1,
			W: 9, IC: 5, OC: 33, K: 3, Stride: 2},
		{N: 1, H: 20, W: 31, IC: 7, OC: 17, K: 3, Stride: 1}, {N: 1, H: 6, W: 6, IC: 4, OC: 4, K: 5, Stride: 1}, {N: 1, H: 7,
			W: 7, IC: 4, OC: 20, K: 5, Stride: 3},
	}
	for seed := range uint64(40) {
		s := rng.New(seed, "conv shapes", 0, 0)
		shapes = append(shapes, Conv{N: 1 + s.IntN(4), H: 1 + s.IntN(11), W: 1 + s.IntN(18), IC: 1 + s.IntN(36),
			OC: 1 + s.IntN(36), K: 1 + 2*s.IntN(2), Stride: 1 + s.IntN(2)})
	}
	shapes = append(shapes, Conv{N: 2, H: 32, W: 32, IC: 3, OC: 24, K: 2, Stride: 1, Valid: true}, Conv{N: 1, H: 5, W: 5,
		IC: 2, OC: 3, K: 5, Stride: 1, Valid: true}, Conv{N: 1, H: 9, W: 12, IC: 5, OC: 8, K: 4, Stride: 3, Valid: true},
		Conv{N: 2, H: 31, W: 31, IC: 24, OC: 8, K: 3, Stride: 1, CropH: 30, CropW: 30})
	for seed := range uint64(40) {
		s := rng.New(seed, "conv shapes", 1, 0)
		c := Conv{N: 1 + s.IntN(3), H: 5 + s.IntN(7), W: 5 + s.IntN(12), IC: 1 + s.IntN(20), OC: 1 + s.IntN(20),
			K: 1 + s.IntN(5), Stride: 1 + s.IntN(2), Valid: true}
		if c.K%2 == 1 && s.IntN(2) == 0 {
			c.Valid = false
		}
		c.CropH, c.CropW = 1+s.IntN(c.OutH()), 1+s.IntN(c.OutW())
		shapes = append(shapes, c)
	}
	for _, side := range []int{31, 30, 15, 14, 7, 6, 5, 3, 2, 1} {
		c := Conv{N: 1 + 8/side, H: side, W: side, IC: 16, OC: 8, K: 3, Stride: 1, AnyShape: true}
		cropped := c
		cropped.CropH, cropped.CropW = max(1, side-1), max(1, side-1)
		shapes = append(shapes, c, cropped)
	}
	// So many channels that all threads share a sum of the weights' gradients, and so many tiles that it takes two sets.
	shapes = append(shapes, Conv{N: 29, H: 7, W: 1, IC: 16, OC: 240, K: 3, Stride: 1, AnyShape: true},
		Conv{N: 2, H: 7, W: 6,
			IC: 60, OC: 68, K: 3, Stride: 1, AnyShape: true, CropH: 6, CropW: 6})
	for seed := range uint64(40) {
		s := rng.New(seed, "conv shapes", 2, 0)
		c := Conv{N: 1 + s.IntN(6), H: 1 + s.IntN(11), W: 1 + s.IntN(14), IC: 8 + s.IntN(28), OC: 8 + s.IntN(28), K: 3,
			Stride: 1, AnyShape: true}
		if s.IntN(2) == 0 {
			c.CropH, c.CropW = 1+s.IntN(c.H), 1+s.IntN(c.W)
		}
		shapes = append(shapes, c)
	}
	defer SetConvDirect(ConvDirect())
	levels(t, func(level string) {
		for _, direct := range []bool{false, true} {
			SetConvDirect(direct)
			for i, c := range shapes {
				if err := checkConv(c, uint64(i)); err != nil {
					t.Errorf("%s, direct %v, %s: %v", level, direct, c.shape(), err)
				}
			}
		}
	})
}

// shape describes the convolution in messages of tests.
func (c *Conv) shape() string {
	return fmt.Sprintf("%d x %dx%d to %dx%d, %d to %d channels, window %d, stride %d, valid %v, any shape %v", c.N, c.H,
		c.W,
		c.OutH(), c.OutW(), c.IC, c.OC, c.K, c.Stride, c.Valid, c.AnyShape)
}

func FuzzConv(f *testing.F) {
	f.Add(uint8(2), uint8(8), uint8(8), uint8(16), uint8(16), uint8(1), uint8(1), uint8(0), uint8(0))
	f.Add(uint8(1), uint8(5), uint8(3), uint8(3), uint8(17), uint8(0), uint8(2), uint8(0), uint8(0))
	f.Add(uint8(1), uint8(9), uint8(54), uint8(17), uint8(0), uint8(1), uint8(1), uint8(0), uint8(0)) // a gradient of few terms, added to a larger value
	f.Add(uint8(1), uint8(7), uint8(7), uint8(2), uint8(23), uint8(0), uint8(0), uint8(1), uint8(0))
	f.Add(uint8(1), uint8(6), uint8(14), uint8(23), uint8(9), uint8(1), uint8(0), uint8(2), uint8(17))
	f.Add(uint8(1), uint8(6), uint8(14), uint8(23), uint8(9), uint8(1), uint8(0), uint8(6), uint8(17))
	f.Add(uint8(2), uint8(2), uint8(9), uint8(15), uint8(39), uint8(1), uint8(0), uint8(4), uint8(0))
	f.Fuzz(func(t *testing.T, n, h, w, ic, oc, k, stride, form, crop uint8) {
		c := Conv{N: 1 + int(n%3), H: 1 + int(h%20), W: 1 + int(w%20), IC: 1 + int(ic%50), OC: 1 + int(oc%50),
			K: 1 + 2*int(k%3), Stride: 1 + int(stride%3), Valid: form%2 == 1, AnyShape: form%8 >= 4}
		if c.Valid {
			c.K = min(1+int(k%6), c.H, c.W)
		}
		if form%4 >= 2 {
			c.CropH, c.CropW = 1+int(crop%16)%c.OutH(), 1+int(crop/16)%c.OutW()
		}
		levels(t, func(level string) {
			if err := checkConv(c, uint64(n)); err != nil {
				t.Errorf("%s, %s: %v", level, c.shape(), err)
			}
		})
	})
}

// TestCroppedConvIsASlice: a cropped convolution is the plain one of which the first rows and columns are taken, and
// its gradients are the plain one's with zeros for the outputs left out. Few outputs of many are left, so that inputs
// which no output saw must get a gradient of 0.
func TestCroppedConvIsASlice(t *testing.T) {
	levels(t, func(level string) {
		for _, side := range [][2]int{{31, 30}, {15, 14}, {7, 6}, {13, 2}, {4, 4}} {
			full := Conv{N: 2, H: side[0], W: side[0], IC: 8, OC: 12, K: 3, Stride: 1}
			c := full
			c.CropH, c.CropW, c.AnyShape = side[1], side[1], true
			x, w := normals(full.N*full.H*full.W*full.IC, 1), normals(9*full.IC*full.OC, 2)
			dy, allDY := normals(c.N*c.OutH()*c.OutW()*c.OC, 3), make([]float32, full.N*full.H*full.W*full.OC)
			y, allY := make([]float32, len(dy)), make([]float32, len(allDY))
			full.Forward(allY, x, w, nil, nil)
			c.Forward(y, x, w, nil, nil)
			sliced := make([]float32, 0, len(y))
			for n := range c.N {
				for r := range c.OutH() {
					to := (n*full.H + r) * full.W * c.OC
					sliced = append(sliced, allY[to:][:c.OutW()*c.OC]...)
					copy(allDY[to:], dy[(n*c.OutH()+r)*c.OutW()*c.OC:][:c.OutW()*c.OC])
				}
			}
			dx, allDX, dw, allDW := normals(len(x), 4), make([]float32, len(x)), normals(len(w), 5), make([]float32, len(w))
			full.BackwardData(allDX, allDY, w, false)
			c.BackwardData(dx, dy, w, false)
			full.BackwardWeight(allDW, allDY, x)
			c.BackwardWeight(dw, dy, x)
			for _, p := range [][2][]float32{{y, sliced}, {dx, allDX}, {dw, allDW}} {
				largest := max(slices.Max(p[1]), -slices.Min(p[1]))
				for i, want := range p[1] {
					if !(math.Abs(float64(p[0][i]-want)) <= 3e-6*float64(largest)) {
						t.Fatalf("%s, %s: element %d is %g, want %g", level, c.shape(), i, p[0][i], want)
					}
				}
			}
		}
	})
}

// TestColoursKeepTheOrderOfSums: the gradient of images of three channels has the bits of the general algorithm, which
// takes those of four.
func TestColoursKeepTheOrderOfSums(t *testing.T) {
	levels(t, func(level string) {
		for _, c := range []Conv{{N: 2, H: 32, W: 32, OC: 16, K: 3}, {N: 1, H: 9, W: 45, OC: 10, K: 3}, {N: 2, H: 5, W: 4,
			OC: 33, K: 5}, {N: 1, H: 7, W: 33, OC: 24, K: 2, Valid: true}, {N: 2, H: 9, W: 8, OC: 3, K: 3, CropH: 4, CropW: 2}} {
			c.Stride, c.IC = 1, 3
			four := c
			four.IC = 4
			w, dy := normals(c.K*c.K*3*c.OC, 1), normals(c.N*c.OutH()*c.OutW()*c.OC, 2)
			w4 := make([]float32, c.K*c.K*4*c.OC)
			for tap := range c.K * c.K {
				copy(w4[tap*4*c.OC:], w[tap*3*c.OC:][:3*c.OC])
			}
			px := c.N * c.H * c.W
			before := normals(px*4, 3)
			for _, add := range []bool{false, true} {
				dx, dx4 := make([]float32, px*3), slices.Clone(before)
				for i := range px {
					copy(dx[3*i:][:3], before[4*i:])
				}
				c.BackwardData(dx, dy, w, add)
				four.BackwardData(dx4, dy, w4, add)
				for i := range px {
					if !slices.Equal(dx[3*i:][:3], dx4[4*i:][:3]) {
						t.Fatalf("%s, %s, add %v: pixel %d is %v, want %v", level, c.shape(), add, i, dx[3*i:][:3], dx4[4*i:][:3])
					}
				}
			}
		}
	})
}

// TestConvThreadsDoNotMatter: the same bits from one thread and from several.
func TestConvThreadsDoNotMatter(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	defer SetConvDirect(ConvDirect())
	levels(t, func(level string) {
		for _, c := range []Conv{{N: 20, H: 8, W: 8, IC: 16, OC: 32, K: 3, Stride: 1},
			{N: 20, H: 8, W: 8, IC: 3, OC: 16, K: 3, Stride: 2}, {N: 20, H: 9, W: 7, IC: 3, OC: 16, K: 2, Stride: 1,
				Valid: true},
			{N: 20, H: 7, W: 6, IC: 16, OC: 36, K: 3, Stride: 1, CropH: 6, CropW: 5, AnyShape: true},
			{N: 58, H: 2, W: 1, IC: 16, OC: 240, K: 3, Stride: 1, AnyShape: true}} {
			for _, direct := range []bool{false, true} {
				SetConvDirect(direct)
				x, w, dy := normals(c.N*c.H*c.W*c.IC, 1), normals(c.K*c.K*c.IC*c.OC, 2), normals(c.N*c.OutH()*c.OutW()*c.OC, 3)
				var want []float32
				for _, threads := range []int{1, 2, 3, 5} {
					SetThreads(threads)
					for range 3 {
						y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
						c.Forward(y, x, w, nil, nil)
						c.BackwardData(dx, dy, w, false)
						c.BackwardWeight(dw, dy, x)
						got := slices.Concat(y, dx, dw)
						if want == nil {
							want = got
						}
						if !slices.Equal(got, want) {
							t.Fatalf("%s, direct %v: %d threads give other bits than one", level, direct, threads)
						}
					}
				}
			}
		}
	})
}

func TestConvAllocatesNothing(t *testing.T) {
	defer SetConvDirect(ConvDirect())
	levels(t, func(level string) {
		for _, direct := range []bool{false, true} {
			SetConvDirect(direct)
			for _, c := range []Conv{{N: 4, H: 8, W: 8, IC: 16, OC: 16, K: 3, Stride: 1},
				{N: 4, H: 7, W: 7, IC: 24, OC: 12, K: 3, Stride: 1, CropH: 6, CropW: 6, AnyShape: true},
				{N: 4, H: 3, W: 3, IC: 64, OC: 64, K: 3, Stride: 1, CropH: 2, CropW: 2, AnyShape: true},
				{N: 4, H: 8, W: 8, IC: 3, OC: 24, K: 2, Stride: 1, Valid: true}} {
				x, w, y := make([]float32, c.N*c.H*c.W*c.IC), make([]float32, c.K*c.K*c.IC*c.OC), make([]float32,
					c.N*c.OutH()*c.OutW()*c.OC)
				sums, bias := make([]float32, c.N*2*c.OC), make([]float32, c.OC)
				if n := testing.AllocsPerRun(10, func() {
					c.Forward(y, x, w, nil, sums)
					c.Forward(y, x, w, bias, nil)
					c.BackwardData(x, y, w, false)
					c.BackwardWeight(w, y, x)
				}); n != 0 {
					t.Errorf("%s, direct %v, %s: %v allocations", level, direct, c.shape(), n)
				}
			}
		}
	})
}

// BenchmarkConv times the three passes at the shapes of CIFAR-10 networks; GFLOP/s counts the products
// of the direct algorithm.
func BenchmarkConv(b *testing.B) {
	defer SetConvDirect(ConvDirect())
	for _, shape := range [][3]int{{16, 32, 32}, {32, 32, 32}, {64, 64, 16}, {128, 128, 8}} {
		for _, direct := range []bool{true, false} {
			SetConvDirect(direct)
			c := Conv{N: 128, H: shape[2], W: shape[2], IC: shape[0], OC: shape[1], K: 3, Stride: 1}
			if c.IC == 16 {
				c.OC = 16
			}
			px := c.N * c.H * c.W
			x, w, y := Alloc(px*c.IC), Alloc(9*c.IC*c.OC), Alloc(px*c.OC)
			copy(x, normals(len(x), 1))
			copy(w, normals(len(w), 1))
			copy(y, normals(len(y), 1))
			for name, f := range map[string]func(){
				"forward":         func() { c.Forward(y, x, w, nil, nil) },
				"backward-data":   func() { c.BackwardData(x, y, w, false) },
				"backward-weight": func() { c.BackwardWeight(w, y, x) },
			} {
				b.Run(fmt.Sprintf("%dch/%s/direct=%v", c.IC, name, direct), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(px*9*c.IC*c.OC)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
