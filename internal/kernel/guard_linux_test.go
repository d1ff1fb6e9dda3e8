package kernel

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dla/internal/rng"
)

// guarded by pages: n floats that end (or, atStart, begin) where memory ends that may be touched.
func paged(t *testing.T, n int, atStart bool, s *rng.Stream) []float32 {
	t.Helper()
	page := unix.Getpagesize()
	size := (4*n+page-1)/page*page + 2*page
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	for _, guard := range [][]byte{b[:page], b[size-page:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := size - page - 4*n
	if atStart {
		at = page
	}
	x := unsafe.Slice((*float32)(unsafe.Pointer(&b[at])), n)
	for i := range x {
		x[i] = float32(s.Normal())
	}
	return x
}

// TestNothingOutsideIsRead: the kernels read and write nothing in front of their tensors and nothing
// behind. Canaries would show a write; here a read faults as well.
func TestNothingOutsideIsRead(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer SetConvDirect(ConvDirect())
	before := Threads()
	defer SetThreads(before)
	SetThreads(1) // a fault in another goroutine could not be caught
	levels(t, func(level string) {
		for _, atStart := range []bool{false, true} {
			s := rng.New(1, "paged", 0, 0)
			mem := func(n int) []float32 { return paged(t, n, atStart, &s) }
			check := func(what string, args any, f func()) {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s, at start %v: %s %+v: %v", level, atStart, what, args, r)
					}
				}()
				f()
			}
			for _, c := range []Conv{
				{N: 2, H: 8, W: 8, IC: 16, OC: 16, K: 3, Stride: 1}, {N: 1, H: 4, W: 12, IC: 32, OC: 48, K: 3, Stride: 1}, {N: 2,
					H: 5, W: 7, IC: 3, OC: 10, K: 3, Stride: 2},
				{N: 1, H: 6, W: 5, IC: 17, OC: 33, K: 3, Stride: 1}, {N: 2, H: 5, W: 5, IC: 16, OC: 20, K: 1, Stride: 2}, {N: 1,
					H: 1, W: 1, IC: 1, OC: 1, K: 1, Stride: 1},
				{N: 2, H: 6, W: 7, IC: 3, OC: 24, K: 2, Stride: 1, Valid: true},
				{N: 2, H: 7, W: 9, IC: 10, OC: 8, K: 3, Stride: 1, CropH: 6, CropW: 8},
				{N: 2, H: 7, W: 10, IC: 16, OC: 24, K: 3, Stride: 1, CropH: 6, CropW: 9, AnyShape: true},
				{N: 3, H: 3, W: 5, IC: 10, OC: 33, K: 3, Stride: 1, AnyShape: true},
				{N: 1, H: 3, W: 3, IC: 16, OC: 32, K: 3, Stride: 1, AnyShape: true}, // edges that the transforms mask
				{N: 1, H: 6, W: 6, IC: 32, OC: 16, K: 3, Stride: 1, AnyShape: true},
				{N: 1, H: 7, W: 7, IC: 16, OC: 16, K: 3, Stride: 1, CropH: 6, CropW: 6, AnyShape: true},
				{N: 1, H: 9, W: 10, IC: 16, OC: 16, K: 3, Stride: 1, AnyShape: true},
			} {
				for _, direct := range []bool{false, true} {
					SetConvDirect(direct)
					x, w, y := mem(c.N*c.H*c.W*c.IC), mem(c.K*c.K*c.IC*c.OC), mem(c.N*c.OutH()*c.OutW()*c.OC)
					bias, sums := mem(c.OC), mem(c.N*2*c.OC)
					check("convolution", c, func() {
						c.Forward(y, x, w, bias, nil)
						c.Forward(y, x, w, nil, sums)
						c.BackwardData(x, y, w, true)
						c.BackwardData(x, y, w, false)
						c.BackwardWeight(w, y, x)
					})
				}
			}
			for _, p := range []product{{m: 5, n: 70, k: 9}, {m: 33, n: 16, k: 600, transA: true},
				{m: 17, n: 33, k: 512, transB: true}, {m: 1, n: 1, k: 1, transA: true, transB: true}} {
				g := Gemm{M: p.m, N: p.n, K: p.k, A: mem(p.m * p.k), LDA: p.k, TransA: p.transA, B: mem(p.k * p.n), LDB: p.n,
					TransB: p.transB, C: mem(p.m * p.n), LDC: p.n, Bias: mem(p.n)}
				if p.transA {
					g.LDA = p.m
				}
				if p.transB {
					g.LDB = p.k
				}
				check("product", p, g.Do)
			}
			for _, c := range [][3]int{{1, 1, 5}, {2, 2, 8}, {17, 1, 32}, {31, 2, 16}} {
				n, hidden := c[0]+3, c[1]*c[2]
				a := Attention{Tokens: n, Heads: c[1], HeadSize: c[2], Offsets: []int32{0, 3, int32(n)}, Drop: 0.1,
					Table: mem(c[1]), Bucket: make([]int32, 2*n-1), Span: n}
				l := LayerNorm{Rows: n, Width: hidden, Eps: 1, Stats: mem(2 * n)}
				e, d, p := Embedding{}, Dropout{}, SentencePool{Offsets: a.Offsets, Width: hidden}
				x, y, z, u, v, pooled, ids := mem(n*hidden), mem(n*hidden), mem(n*hidden), mem(n*hidden), mem(hidden), mem(2*hidden), make([]int32, n)
				check("an encoder", c, func() {
					a.Forward(y, x, x, x)
					a.Backward(y, z, u, a.Table, x, x, x, x)
					l.Forward(y, x, x, v, v)
					l.Forward(y, x, nil, v, v)
					l.BackwardInput(y, x, x, x, v)
					l.BackwardInput(y, x, x, nil, v)
					l.BackwardParams(v, v, x, x, x)
					l.BackwardParams(v, v, x, x, nil)
					GELU(y, x)
					GELUGrad(y, x, x)
					SiLU(y, x)
					SiLUGrad(y, x, x)
					d.Run(y, x, s, 0.1)
					e.Gather(y, ids, v, hidden, true)
					e.Scatter(v, ids, y, hidden)
					p.Mean(pooled, x)
					p.MeanGrad(y, pooled)
					p.First(pooled, x)
					p.FirstGrad(y, pooled)
				})
			}
			for _, p := range []MaxPool{{N: 2, H: 5, W: 4, C: 16, Window: 2}, {N: 1, H: 3, W: 7, C: 21, Window: 3}} {
				x, y, sums := mem(p.N*p.H*p.W*p.C), mem(p.Size()), mem(p.N*2*p.C)
				places := mem((p.Size() + 3) / 4)
				index := unsafe.Slice((*byte)(unsafe.Pointer(&places[0])), 4*len(places))
				if !atStart {
					index = index[4*len(places)-p.Size():]
				}
				check("max pooling", p, func() {
					p.Forward(y, index, x, sums)
					p.Backward(x, y, index)
				})
			}
			colours, standardized, three := mem(37*3), mem(37*3), mem(3)
			check("colours", 3, func() { new(Affine).Run(standardized, colours, three, three) })
			for _, c := range []int{5, 16, 48, 61} {
				m := Norm{N: 2, Pixels: 3, C: c}
				x, y, v, sums := mem(2*3*c), mem(2*3*c), mem(c), mem(2*2*c)
				check("normalisation", c, func() {
					m.Sums(sums, x)
					for _, act := range []Activation{ActReLU, ActGELU, ActSiLU} {
						m.Apply(y, x, x, v, v, act)
						m.GradSums(y, sums, x, x, x, x, v, v, v, act)
						m.Apply(y, x, nil, v, v, act)
						m.GradSums(y, sums, x, x, x, nil, v, v, v, act)
					}
					m.GradFixed(y, x, x, nil, v, v, ActGELU, true)
					m.GradInput(y, x, x, v, v, v, v)
					Add(y, x, x)
					ReLUGrad(y, x, x)
					(&ColumnSum{Dst: v, X: x, Rows: 6, Cols: c}).Do()
					SGD(x, y, y, SGDParams{LR: 1})
					AdamW(x, y, y, y, AdamWParams{LR: 1, Bias1: 1, Bias2: 1, Eps: 1})
				})
			}
		}
	})
}
