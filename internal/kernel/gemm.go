package kernel

// Matrix product. op(B) is packed into panels of nr columns, laid out along k, so that a microkernel
// reads one stream; op(A) is read where it lies, with strides. The microkernel keeps an mr x nr tile
// of C in registers over the whole of k, and adds bias and applies ReLU as it stores.
//
// A chunk of the pool is a block of rows of C: which thread computes it does not change the order
// (k ascending) in which an element is summed.

//go:generate go run -C asm . -out ../tile_amd64.s -stubs ../tile_amd64.go -pkg kernel

// maxTile is the size of the largest tile of any level.
const maxTile = 8 * 32

// Gemm is C[M,N] = op(A)·op(B), plus C where Accumulate, plus Bias[N] where not nil, and then
// max(0, ·) where ReLU (NaN stays NaN). Matrices are row-major with leading dimensions LDA, LDB,
// LDC; op(A) [M,K] is A, or Aᵀ of a [K,M] matrix where TransA; likewise op(B) [K,N].
//
// A Gemm keeps its workspace: used again for sizes no larger, Do allocates nothing. It is not safe
// for concurrent use. Slices that are too short panic.
type Gemm struct {
	M, N, K    int
	A          []float32
	LDA        int
	TransA     bool
	B          []float32
	LDB        int
	TransB     bool
	C          []float32
	LDC        int
	Accumulate bool
	Bias       []float32
	ReLU       bool

	packed         []float32 // op(B) as [ceil(N/nr)][K][nr], zeros beyond N
	packB, product gemmTask
}

// gemmTask is one of the two phases of a product as a Task.
type gemmTask struct {
	g       *Gemm
	packing bool
}

// Chunk packs some panels of B, or computes one block of rows.
func (t *gemmTask) Chunk(i int) {
	if t.packing {
		t.g.pack(i)
	} else {
		t.g.rows(i)
	}
}

// Do computes the product.
func (g *Gemm) Do() {
	if g.M == 0 || g.N == 0 {
		return
	}
	g.check()
	panels := (g.N + tile.nr - 1) / tile.nr
	if n := panels * g.K * tile.nr; cap(g.packed) < n {
		g.packed = Alloc(n)
	} else {
		g.packed = g.packed[:n]
	}
	g.packB, g.product = gemmTask{g, true}, gemmTask{g, false}
	if g.K > 0 {
		Run(&g.packB, panels)
	}
	Run(&g.product, (g.M+tile.block-1)/tile.block)
}

// check panics where a slice is too short for its matrix: the microkernels do not.
func (g *Gemm) check() {
	last := func(rows, cols, ld int) int { return (rows-1)*ld + cols - 1 }
	if g.K > 0 {
		if g.TransA {
			_ = g.A[last(g.K, g.M, g.LDA)]
		} else {
			_ = g.A[last(g.M, g.K, g.LDA)]
		}
		if g.TransB {
			_ = g.B[last(g.N, g.K, g.LDB)]
		} else {
			_ = g.B[last(g.K, g.N, g.LDB)]
		}
	}
	_ = g.C[last(g.M, g.N, g.LDC)]
	if g.Bias != nil {
		_ = g.Bias[g.N-1]
	}
}

// pack packs one panel of op(B).
func (g *Gemm) pack(panel int) {
	nr, j0 := tile.nr, panel*tile.nr
	dst := g.packed[panel*g.K*nr : (panel+1)*g.K*nr]
	cols := min(nr, g.N-j0)
	if cols < nr {
		clear(dst)
	}
	if !g.TransB {
		for k := range g.K {
			copy(dst[k*nr:k*nr+cols], g.B[k*g.LDB+j0:k*g.LDB+j0+cols])
		}
		return
	}
	j := 0
	for ; j+4 <= cols; j += 4 { // four rows of B at a time: stores of 16 bytes to a line, not of 4
		r0, r1 := g.B[(j0+j)*g.LDB:][:g.K], g.B[(j0+j+1)*g.LDB:][:g.K]
		r2, r3 := g.B[(j0+j+2)*g.LDB:][:g.K], g.B[(j0+j+3)*g.LDB:][:g.K]
		d := dst[j:]
		for k := range r0 {
			q := d[k*nr : k*nr+4 : k*nr+4]
			q[0], q[1], q[2], q[3] = r0[k], r1[k], r2[k], r3[k]
		}
	}
	for ; j < cols; j++ {
		for k, v := range g.B[(j0+j)*g.LDB:][:g.K] {
			dst[k*nr+j] = v
		}
	}
}

// rows computes one block of rows of C.
func (g *Gemm) rows(block int) {
	lo, hi := block*tile.block, min(g.M, (block+1)*tile.block)
	rowStride, kStride := g.LDA, 1
	if g.TransA {
		rowStride, kStride = 1, g.LDA
	}
	var edge [maxTile]float32
	for j := 0; j < g.N; j += tile.nr {
		b := g.packed[j*g.K : j*g.K+g.K*tile.nr]
		for i := lo; i < hi; i += tile.mr {
			n := min(tile.mr, hi-i)
			t := tileArgs{rows: n, k: g.K, rowStride: rowStride, kStride: kStride, b: b}
			if g.K > 0 {
				t.a = g.A[i*rowStride:]
			}
			if j+tile.nr <= g.N { // a whole tile goes straight to C
				t.c, t.ldc, t.accumulate, t.relu = g.C[i*g.LDC+j:], g.LDC, g.Accumulate, g.ReLU
				if g.Bias != nil {
					t.bias = g.Bias[j:]
				}
				t.run()
				continue
			}
			t.c, t.ldc = edge[:], tile.nr
			t.run()
			for r := range n {
				g.store(g.C[(i+r)*g.LDC+j:(i+r)*g.LDC+g.N], edge[r*tile.nr:], j)
			}
		}
	}
}

// store finishes the part of a row that lies beyond the last whole tile.
func (g *Gemm) store(c, acc []float32, j int) {
	for q := range c {
		v := acc[q]
		if g.Accumulate {
			v += c[q]
		}
		if g.Bias != nil {
			v += g.Bias[j+q]
		}
		if g.ReLU && v < 0 {
			v = 0
		}
		c[q] = v
	}
}
