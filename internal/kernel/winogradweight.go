package kernel

// The gradient of the weights by Winograd's algorithm: see winograd.go.

// adjoint transforms channels j0 to j1 of a tile of dy into the points of place i of s.
func (p *winoPass) adjoint(s *winoValues, i int, t winoTile, j0, j1 int) {
	vectors := tiles(j1-j0, simd.floats)
	width := vectors * simd.floats
	dy, row, px := p.out[((t.n*p.outH+t.row)*p.outW+t.col)*p.to+j0:], p.outW*p.to, p.to
	edges, ok := t.edges()
	if !ok || width != j1-j0 {
		edges = 0
		clear(s.stage[:16*width])
		for r := range t.rows {
			for q := range t.cols {
				copy(s.stage[(4*r+q)*width:][:j1-j0], dy[r*row+q*px:])
			}
		}
		dy, row, px = s.stage, 4*width, width
	}
	simd.winoDY(&dy[0], uintptr(4*row), uintptr(4*px), &s.m[i*s.rowM], uintptr(4*s.strideM), vectors,
		&winogradConstants[0], &s.tmp[0], uintptr(4*4*row), edges)
}

// winoBackwardWeight sums dU, [36][IC][width] for each panel of columns. A small sum fits the caches once for each part
// of the images: each part is a chunk. A large one would go to memory and back for every few tiles: there all threads
// transform a set of images, then all add to the one sum, each at points of its own.
func (c *Conv) winoBackwardWeight() {
	c.newPass(c.x, c.y, nil, false)
	size := winoPoints * c.IC * wholeVectors(c.OC)
	if c.AnyShape && size > sharedFrom {
		c.winoSharedSum(size)
		return
	}
	c.partCount = partsFor(size, c.N)
	c.parts = borrow(c.partCount * size)
	defer giveBack()
	c.phase.run(c, (*Conv).winoWeightPart, c.partCount)
	c.phase.run(c, (*Conv).winoAddWeightParts, tiles(c.IC, 4))
}

// winoWeightPart sums dU over the images of one part: all at once where their tiles lie image by image, else some.
func (c *Conv) winoWeightPart(l *lane, part int) {
	p := &c.pass
	size := winoPoints * c.IC * wholeVectors(c.OC)
	du := c.parts[part*size:][:size]
	s := p.values(l, p.block)
	first, last := cut(c.N, part, c.partCount), cut(c.N, part+1, c.partCount)
	sets := 1
	if !p.allWhole() {
		sets = tiles(last-first, p.images)
	}
	for set := range sets {
		n0, n1 := first+cut(last-first, set, sets), first+cut(last-first, set+1, sets)
		images := n1 - n0
		blocks := tiles(images*p.perImage, p.block)
		for b := range blocks {
			b0, b1 := cut(images*p.perImage, b, blocks), cut(images*p.perImage, b+1, blocks)
			for i := b0; i < b1; i++ {
				place, t := p.tile(i, n0, images)
				p.patch(&s, place-b0, t)
			}
			for j0 := 0; j0 < p.to; j0 += p.group {
				j1 := min(p.to, j0+p.group)
				for i := b0; i < b1; i++ {
					place, t := p.tile(i, n0, images)
					p.adjoint(&s, place-b0, t, j0, j1)
				}
				for point := range winoPoints {
					t0, t1 := p.needing(point, images)
					p.products(l, du, &s, point, max(t0, b0)-b0, min(t1, b1)-b0, j0, j0, j1, set == 0 && b == 0)
				}
			}
		}
	}
}

// products adds to du, at a point and for the output channels from j0 to j1, the products of tiles t0 to t1 of s, if
// there are any. The first time it sets du to them. The m of s begin with channel at0.
func (p *winoPass) products(l *lane, du []float32, s *winoValues, point, t0, t1, at0, j0, j1 int, first bool) {
	wide := simd.width(2)
	l.brgemm = brgemm{lda: uintptr(4 * s.rowV), ldb: uintptr(4 * s.rowM), k: t1 - t0, segs: 1, flags: accumulate}
	if first {
		l.flags = 0
	}
	for j := j0; j < j1; j += wide {
		vectors := vectorsFor(p.to - j)
		width := simd.width(vectors)
		sum := du[winoPoints*p.from*j+point*p.from*width:][:p.from*width]
		if t0 >= t1 {
			if first {
				clear(sum)
			}
			continue
		}
		l.ldc, l.b = uintptr(4*width), at(s.m, point*s.strideM+t0*s.rowM+j-at0)
		l.a, l.c = at(s.v, point*s.strideV+t0*s.rowV), at(sum, 0)
		l.brgemm.run(true, vectors, p.from)
	}
}

const (
	// sharedFrom is from how many floats on all threads share one sum of dU: half a megabyte.
	sharedFrom = 1 << 17
	// A set of images has about twice as many values as the sum, within these bounds: then adding to the sum costs
	// little, and both fit the third-level cache.
	leastValues, mostValues = 1 << 19, 1 << 21
	// tilesAtOnce and columnsAtOnce are what a chunk takes of a set.
	tilesAtOnce, columnsAtOnce = 8, 64
)

// winoSharedSum sums dU, of size floats, over all images, set by set.
func (c *Conv) winoSharedSum(size int) {
	p := &c.pass
	p.group = p.to
	ofImage := winoPoints * (p.from + p.to) * p.perImage
	p.images = min(c.N, max(1, min(max(2*size, leastValues), mostValues)/ofImage))
	v, m := p.set.sizes(p, p.images*p.perImage)
	buf := borrow(size + v + m)
	defer giveBack()
	c.partCount, c.parts, p.set.v, p.set.m = 1, buf[:size], buf[size:][:v], buf[size+v:]
	sets := tiles(c.N, p.images)
	for set := range sets {
		p.n0, p.n1 = cut(c.N, set, sets), cut(c.N, set+1, sets)
		c.phase.run(c, (*Conv).winoTransforms, tiles((p.n1-p.n0)*p.perImage, tilesAtOnce))
		c.phase.run(c, (*Conv).winoProducts, winoPoints*tiles(c.OC, columnsAtOnce))
	}
	c.phase.run(c, (*Conv).winoAddWeightParts, tiles(c.IC, 4))
}

// winoTransforms transforms some tiles of the set.
func (c *Conv) winoTransforms(l *lane, chunk int) {
	p, images := &c.pass, c.pass.n1-c.pass.n0
	s := p.set
	s.scratch(l, p, 0)
	for i := chunk * tilesAtOnce; i < min(images*p.perImage, (chunk+1)*tilesAtOnce); i++ {
		place, t := p.tile(i, p.n0, images)
		p.patch(&s, place, t)
		p.adjoint(&s, place, t, 0, p.to)
	}
}

// winoProducts adds the set's products at a point for some columns to dU.
func (c *Conv) winoProducts(l *lane, chunk int) {
	p, groups := &c.pass, tiles(c.OC, columnsAtOnce)
	point, j := chunk/groups, chunk%groups*columnsAtOnce
	t0, t1 := p.needing(point, p.n1-p.n0)
	p.products(l, c.parts, &p.set, point, t0, t1, 0, j, min(c.OC, j+columnsAtOnce), p.n0 == 0)
}

// winoAddWeightParts adds the parts of four input channels, in order, and transforms the sum into dw.
func (c *Conv) winoAddWeightParts(l *lane, chunk int) {
	wide, tap := simd.width(2), c.IC*c.OC
	size := winoPoints * c.IC * wholeVectors(c.OC)
	scratch := l.floats(36*simd.floats + 9*wide)
	tmp, stage := scratch[:36*simd.floats], scratch[36*simd.floats:]
	for i := chunk * 4; i < min(c.IC, chunk*4+4); i++ {
		for j := 0; j < c.OC; j += wide {
			vectors := vectorsFor(c.OC - j)
			width := simd.width(vectors)
			at := winoPoints*c.IC*j + i*width
			for point := range winoPoints {
				sum := &c.parts[at+point*c.IC*width]
				for p := 1; p < c.partCount; p++ {
					simd.add(sum, sum, &c.parts[p*size+at+point*c.IC*width], vectors)
				}
			}
			dw, row, step := c.w[i*c.OC+j:], 3*tap, tap
			valid := min(width, c.OC-j)
			if valid < width {
				dw, row, step = stage, 3*width, width
			}
			simd.winoDWeight(&dw[0], uintptr(4*row), uintptr(4*step), &c.parts[at], uintptr(4*c.IC*width), vectors,
				&winogradConstants[0], &tmp[0], 0, 0)
			if valid < width {
				for t := range 9 {
					copy(c.w[t*tap+i*c.OC+j:][:valid], stage[t*width:])
				}
			}
		}
	}
}
