package kernel

// Matrix product. op(B) is packed into panels of nr columns and each block of rows of op(A) into
// panels of mr rows, both laid out along k, so that the microkernel reads two streams and keeps an
// mr x nr tile of C in registers over the whole of k. A chunk of the pool is a block of rowBlock
// rows of C: who computes it does not change in which order its elements are summed (k ascending).

const (
	mr, nr   = 4, 4
	rowBlock = 16
)

// Gemm is C[M,N] = op(A)·op(B), plus C where Accumulate, plus Bias[N] where not nil, and then
// max(0, ·) where ReLU (NaN stays NaN). Matrices are row-major with leading dimensions LDA, LDB,
// LDC; op(A) [M,K] is A, or Aᵀ of a [K,M] matrix where TransA; likewise op(B) [K,N].
//
// A Gemm keeps its workspace: reused for the same sizes, Do allocates nothing. It is not safe for
// concurrent use.
type Gemm struct {
	M, N, K        int
	A              []float32
	LDA            int
	TransA         bool
	B              []float32
	LDB            int
	TransB         bool
	C              []float32
	LDC            int
	Accumulate     bool
	Bias           []float32
	ReLU           bool
	packedA        []float32 // [ceil(M/mr)][K][mr]
	packedB        []float32 // [ceil(N/nr)][K][nr]
	packB, product gemmTask
}

// gemmTask is one of the two phases of a product as a Task.
type gemmTask struct {
	g       *Gemm
	packing bool
}

// Chunk packs one panel of B, or computes one block of rows.
func (t *gemmTask) Chunk(i int) {
	if t.packing {
		t.g.packPanelB(i)
	} else {
		t.g.rows(i)
	}
}

// Do computes the product.
func (g *Gemm) Do() {
	if g.M == 0 || g.N == 0 {
		return
	}
	mp, np := (g.M+mr-1)/mr, (g.N+nr-1)/nr
	g.packedA = grow(g.packedA, mp*g.K*mr)
	g.packedB = grow(g.packedB, np*g.K*nr)
	g.packB, g.product = gemmTask{g, true}, gemmTask{g, false}
	Run(&g.packB, (np+panelsPerChunk-1)/panelsPerChunk)
	Run(&g.product, (g.M+rowBlock-1)/rowBlock)
}

const panelsPerChunk = 8

func grow(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return Alloc(n)
	}
	return buf[:n]
}

func (g *Gemm) packPanelB(chunk int) {
	np := (g.N + nr - 1) / nr
	for p := chunk * panelsPerChunk; p < min(np, (chunk+1)*panelsPerChunk); p++ {
		dst := g.packedB[p*g.K*nr : (p+1)*g.K*nr]
		cols := min(nr, g.N-p*nr)
		if cols < nr {
			clear(dst)
		}
		if g.TransB {
			for j := range cols {
				src := g.B[(p*nr+j)*g.LDB:][:g.K]
				for k, v := range src {
					dst[k*nr+j] = v
				}
			}
		} else {
			for k := range g.K {
				copy(dst[k*nr:k*nr+cols], g.B[k*g.LDB+p*nr:])
			}
		}
	}
}

func (g *Gemm) rows(block int) {
	lo, hi := block*rowBlock, min(g.M, (block+1)*rowBlock)
	for i := lo; i < hi; i += mr {
		pa := g.packedA[i*g.K : i*g.K+g.K*mr]
		n := min(mr, g.M-i)
		if n < mr {
			clear(pa)
		}
		if g.TransA {
			for k := range g.K {
				copy(pa[k*mr:k*mr+n], g.A[k*g.LDA+i:])
			}
		} else {
			for r := range n {
				src := g.A[(i+r)*g.LDA:][:g.K]
				for k, v := range src {
					pa[k*mr+r] = v
				}
			}
		}
	}
	var acc [mr * nr]float32
	for j := 0; j < g.N; j += nr {
		pb := g.packedB[j*g.K : j*g.K+g.K*nr]
		for i := lo; i < hi; i += mr {
			tile(&acc, g.packedA[i*g.K:i*g.K+g.K*mr], pb)
			for r := range min(mr, g.M-i) {
				g.store(g.C[(i+r)*g.LDC+j:][:min(nr, g.N-j)], acc[r*nr:], j)
			}
		}
	}
}

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

// tile is acc[4][4] = a[K][4]ᵀ·b[K][4].
func tile(acc *[mr * nr]float32, a, b []float32) {
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	var c20, c21, c22, c23, c30, c31, c32, c33 float32
	for len(a) >= mr && len(b) >= nr {
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		a0, a1 := a[0], a[1]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		a2, a3 := a[2], a[3]
		c20 += a2 * b0
		c21 += a2 * b1
		c22 += a2 * b2
		c23 += a2 * b3
		c30 += a3 * b0
		c31 += a3 * b1
		c32 += a3 * b2
		c33 += a3 * b3
		a, b = a[mr:], b[nr:]
	}
	*acc = [mr * nr]float32{c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33}
}
