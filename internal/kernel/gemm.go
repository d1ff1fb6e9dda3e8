package kernel

// Matrix product. op(B) is packed into panels of one or two vectors of columns, laid out along k, so
// that a microkernel reads one stream; op(A) is read where it lies, unless its rows are so far apart
// that they would fight over the cache.
//
// A chunk of the pool is some tiles of rows by some panels of columns. Which thread computes it does
// not change the order (k ascending) in which an element is summed.

// Gemm is C[M,N] = op(A)·op(B), plus C where Accumulate, plus Bias[N] where not nil, and then
// max(0, ·) where ReLU (NaN stays NaN) or GELU's x·Φ(x). Matrices are row-major with leading dimensions LDA, LDB,
// LDC; op(A) [M,K] is A, or Aᵀ of a [K,M] matrix where TransA; likewise op(B) [K,N].
//
// Do allocates nothing once the workspace has grown to its sizes. Slices that are too short panic.
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
	ReLU, GELU bool

	packed                      []float32 // op(B) as panels of [K][width], zeros beyond N; nil: B is read where it lies
	ownPanel                    bool      // a chunk has one panel, and packs it itself
	rowTiles, rowCut, columnCut int       // tiles of rows; groups of tiles and of panels, a pair of them a chunk
	phase                       phase[Gemm]
}

// blockK is how much of K is multiplied before going on to other rows: a panel of it and the rows of
// A that meet it stay in the second-level cache.
const blockK = 512

// groupTiles is how many tiles of rows are multiplied by a panel before going on to the next: as many as
// stay in the second-level cache at blockK, since what is larger than it, all of op(B), is read once for
// each group.
const groupTiles = 14

// leastChunks is how many chunks a product is to have, if there are as many tiles.
const leastChunks = 16

// ownPanels is the least number of chunks of a product whose chunks pack their panels themselves.
const ownPanels = 8

// bestCut is the number of groups of rows, of at most groupTiles, with which the least of A and B is moved:
// all of A once for each group of columns, of which there are leastChunks all told, or three times where it
// is copied, and all of op(B) once for each group of rows.
func (g *Gemm) bestCut(panels int) int {
	first, weight := tiles(g.rowTiles, groupTiles), 1
	if g.copiesA() {
		weight = 3
	}
	best, least := first, 0
	for cut := first; cut <= min(g.rowTiles, max(first, leastChunks)); cut++ {
		moved := min(panels, tiles(leastChunks, cut))*g.M*weight + cut*g.N
		if least == 0 || moved < least {
			best, least = cut, moved
		}
	}
	return best
}

// copiesA says whether rows of A are so far apart that a chunk had better copy its own.
func (g *Gemm) copiesA() bool {
	return g.TransA && g.LDA >= 512 || !g.TransA && g.LDA%512 == 0
}

// Do computes the product.
func (g *Gemm) Do() {
	if part, ok := g.Part(); ok {
		run(part.task, part.chunks)
		return
	}
	switch {
	case g.M == 0 || g.N == 0:
	case g.K == 0:
		g.check()
		g.noProduct()
	default:
		panels := tiles(g.N, simd.width(2))
		g.packed = borrow(panels * g.K * simd.width(2))
		defer giveBack()
		g.phase.run(g, (*Gemm).pack, panels)
		g.share(panels)
		g.phase.run(g, (*Gemm).multiply, g.rowCut*g.columnCut)
	}
}

// Part is Do as a Part, where op(B) need not be packed first.
func (g *Gemm) Part() (Part, bool) {
	if g.M == 0 || g.N == 0 || g.K == 0 {
		return Part{}, false
	}
	g.check()
	panels := tiles(g.N, simd.width(2))
	g.rowTiles = tiles(g.M, simd.rows[2])
	// Packing pays where many tiles of rows read a panel, sooner where rows of B are so far apart that they
	// would fight over the cache, and is needed where rows of B are columns of op(B) or the last panel is
	// cut off.
	pack := g.TransB || g.N%simd.floats != 0 || g.rowTiles > 32 || g.rowTiles > 8 && g.LDB%128 == 0
	g.packed, g.ownPanel = nil, false
	if pack {
		// Of a small product, the threads would wait for the last panel as long as it takes to pack one.
		groups := tiles(ownPanels, panels)
		if g.rowTiles > 32 || groups > 2 || g.copiesA() {
			return Part{}, false
		}
		g.ownPanel, g.rowCut, g.columnCut = true, min(g.rowTiles, groups), panels
	} else {
		g.share(panels)
	}
	return g.phase.part(g, (*Gemm).multiply, g.rowCut*g.columnCut), true
}

// share cuts the product into enough chunks to share out, each large enough to be worth it; by shape alone.
func (g *Gemm) share(panels int) {
	g.rowCut = g.rowTiles
	if g.rowTiles > 32 || g.rowTiles > 8 && panels >= 16 {
		g.rowCut = g.bestCut(panels)
	}
	g.columnCut = min(panels, tiles(leastChunks, g.rowCut))
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

// noProduct is Do where K is 0: bias and ReLU alone.
func (g *Gemm) noProduct() {
	zeros := make([]float32, g.N)
	for i := range g.M {
		g.finish(g.C[i*g.LDC:][:g.N], zeros, 0, g.Accumulate, true)
	}
	if g.GELU {
		g.gelu(0, g.M, 0, g.N)
	}
}

// pack packs one panel of op(B).
func (g *Gemm) pack(_ *lane, panel int) { g.packPanel(g.packed[panel*simd.width(2)*g.K:], panel) }

// packPanel packs one panel of op(B) to dst.
func (g *Gemm) packPanel(dst []float32, panel int) {
	j0 := panel * simd.width(2)
	cols := min(simd.width(2), g.N-j0)
	width := simd.width(vectorsFor(cols))
	dst = dst[:g.K*width]
	if cols < width {
		clear(dst)
	}
	if g.TransB {
		transposeInto(dst, width, g.B[j0*g.LDB:], g.LDB, cols, g.K)
		return
	}
	for k := range g.K {
		copy(dst[k*width:][:cols], g.B[k*g.LDB+j0:][:cols])
	}
}

// multiply computes one chunk: some tiles of rows by some panels.
func (g *Gemm) multiply(l *lane, chunk int) {
	wide := simd.width(2)
	panels := tiles(g.N, wide)
	rowGroup, columnGroup := chunk/g.columnCut, chunk%g.columnCut
	t0, t1 := cut(g.rowTiles, rowGroup, g.rowCut), cut(g.rowTiles, rowGroup+1, g.rowCut)
	p0, p1 := cut(panels, columnGroup, g.columnCut), cut(panels, columnGroup+1, g.columnCut)
	blocks := tiles(g.K, blockK)
	largest := (g.K + blocks - 1) / blocks
	row0, row1 := cut(g.M, t0, g.rowTiles), cut(g.M, t1, g.rowTiles)
	copyA := g.copiesA()
	edge := 0 // scratch for a tile that is cut off by the end of a row
	if copyA {
		edge = (row1 - row0) * largest
	}
	own := 0
	if g.ownPanel {
		own = g.K * wide
	}
	scratch := l.floats(own + edge + simd.rows[2]*wide)
	ownPanel, scratch := scratch[:own], scratch[own:]
	if g.ownPanel {
		g.packPanel(ownPanel, p0)
	}
	for block := range blocks {
		k0, k1 := cut(g.K, block, blocks), cut(g.K, block+1, blocks)
		first, last := block == 0, block == blocks-1
		if copyA {
			g.copyA(scratch, row0, row1, k0, k1)
		}
		for panel := p0; panel < p1; panel++ {
			j := panel * wide
			cols := min(wide, g.N-j)
			vectors := vectorsFor(cols)
			width := simd.width(vectors)
			whole := cols == width
			l.brgemm = brgemm{k: k1 - k0, segs: 1}
			switch {
			case g.ownPanel:
				l.b, l.ldb = at(ownPanel, k0*width), uintptr(4*width)
			case g.packed != nil:
				l.b, l.ldb = at(g.packed, j*g.K+k0*width), uintptr(4*width)
			default:
				l.b, l.ldb = at(g.B, k0*g.LDB+j), uintptr(4*g.LDB)
			}
			if whole {
				l.ldc = uintptr(4 * g.LDC)
				if !first || g.Accumulate {
					l.flags |= accumulate
				}
				if first && g.Bias != nil {
					l.bias = at(g.Bias, j)
				}
				if last && g.ReLU {
					l.flags |= relu
				}
			} else {
				l.ldc = uintptr(4 * width)
			}
			rows := func(i, n int) {
				switch {
				case copyA && g.TransA: // as [k][rows]
					l.a, l.lda = at(scratch, i-row0), uintptr(4*(row1-row0))
				case copyA: // as [n][k]
					l.a, l.lda = at(scratch, (i-row0)*(k1-k0)), uintptr(4*(k1-k0))
				case g.TransA:
					l.a, l.lda = at(g.A, k0*g.LDA+i), uintptr(4*g.LDA)
				default:
					l.a, l.lda = at(g.A, i*g.LDA+k0), uintptr(4*g.LDA)
				}
				l.brgemm.run(g.TransA, vectors, n)
			}
			if whole {
				l.c = at(g.C, row0*g.LDC+j)
				rows(row0, row1-row0)
			}
			for t := t0; !whole && t < t1; t++ {
				i, next := cut(g.M, t, g.rowTiles), cut(g.M, t+1, g.rowTiles)
				l.c = at(scratch, edge)
				rows(i, next-i)
				for r := range next - i {
					g.finish(g.C[(i+r)*g.LDC+j:][:cols], scratch[edge+r*width:], j, !first || g.Accumulate, last)
				}
			}
			if last && g.GELU {
				g.gelu(row0, row1, j, cols)
			}
		}
	}
}

// copyA copies rows row0 … row1, columns k0 … k1 of op(A) to dst, in the order in which they lie in A.
func (g *Gemm) copyA(dst []float32, row0, row1, k0, k1 int) {
	if g.TransA {
		for k := k0; k < k1; k++ {
			dst = dst[copy(dst, g.A[k*g.LDA+row0:k*g.LDA+row1]):]
		}
		return
	}
	for i := row0; i < row1; i++ {
		dst = dst[copy(dst, g.A[i*g.LDA+k0:i*g.LDA+k1]):]
	}
}

// gelu applies the function to cols columns of some rows of C, from column j on.
func (g *Gemm) gelu(row0, row1, j, cols int) {
	for i := row0; i < row1; i++ {
		c := g.C[i*g.LDC+j:][:cols]
		geluRow(c, c)
	}
}

// finish adds acc to what the end of a row of C is to start from, and at the last block of K the bias.
func (g *Gemm) finish(c, acc []float32, j int, accumulate, last bool) {
	for q := range c {
		v := acc[q]
		if accumulate {
			v += c[q]
		}
		if last && g.Bias != nil {
			v += g.Bias[j+q]
		}
		if last && g.ReLU && v < 0 {
			v = 0
		}
		c[q] = v
	}
}
