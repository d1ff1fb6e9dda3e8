package kernel

// Convolution, directly. Images are NHWC, weights [K, K, IC, OC]. In a row of the image the K·IC
// inputs of a window stand side by side and the windows of neighbouring pixels Stride·IC apart: a
// tile of output pixels is a matrix product of K segments, one for each row of the window, whose A is
// the image itself, without copying windows out (Georganas et al. 2018, https://arxiv.org/abs/1808.05567).
// What is copied is the image, once, into scratch with a margin of zeros.
//
// The gradient of the input is the same with the weights turned round, in Stride² classes of input
// pixels, each with its own taps. The gradient of the weights is a product over pixels, summed image
// by image into a fixed number of parts, which are then added in order.

// Conv is a convolution with a square window of K x K. It pads by K/2 zeros, with an odd K, so that at Stride 1 the
// output is as large as the input; or, where Valid, not at all, with any K. Its methods allocate nothing once the
// workspace has grown. One Conv must not be used by two goroutines at once.
type Conv struct {
	N, H, W, IC int // images and their input
	OC          int // output channels
	K, Stride   int
	Valid       bool // no padding: every window lies inside the image

	// CropH and CropW, where above 0, are the size of the output: its first rows and columns alone, no more than there
	// are. The rest is not computed, and gives nothing to the gradients: a floor pooling would throw it away.
	CropH, CropW int

	// AnyShape asks for Winograd's algorithm for a 3x3 window at Stride 1 on images of all sizes, with any numbers of
	// channels from 8 on, and with a bias. Without it that serves sides that are multiples of 4, channels that are whole
	// vectors and no bias alone: networks that were trained before there was more keep their bits.
	AnyShape bool

	// After is a pass over every image of the result of Forward, ForwardPooled or BackwardData, and Before makes the
	// images of dy, [OutH, OutW, OC], that BackwardData takes in place of those it is given: each while the image is in
	// the cache. The results have the bits that they have one after the other.
	Before, After Pass

	x, y, w, bias []float32 // of the call in progress: images of input size, of output size, weights
	sums          []float32 // [N][2][OC], see Norm; nil: not wanted
	add           bool      // BackwardData adds to x
	pool          *MaxPool  // takes the outputs; nil: they go to y
	packed, parts []float32
	partCount     int
	pass          winoPass
	turned        []float32 // weights as the pass takes them, [3, 3, from, to]
	phase         phase[Conv]
}

// pad is the width of the zeros around an image.
func (c *Conv) pad() int {
	if c.Valid {
		return 0
	}
	return c.K / 2
}

// OutH returns the height of the output.
func (c *Conv) OutH() int { return c.out(c.H, c.CropH) }

// OutW returns the width of the output.
func (c *Conv) OutW() int { return c.out(c.W, c.CropW) }

func (c *Conv) out(side, crop int) int {
	if crop > 0 {
		return crop
	}
	return (side+2*c.pad()-c.K)/c.Stride + 1
}

// check panics where a slice is too short for its tensor, since the microkernels do not, and clears
// what the call before left.
func (c *Conv) check(x, y, w []float32) {
	_, _ = x[c.N*c.H*c.W*c.IC-1], w[c.K*c.K*c.IC*c.OC-1]
	if c.Before.of == nil {
		_ = y[c.N*c.OutH()*c.OutW()*c.OC-1]
	}
	c.x, c.y, c.w, c.bias, c.sums, c.pool, c.add = x, y, w, nil, nil, nil, false
}

// Forward computes y [N, OutH, OutW, OC] = x [N, H, W, IC] * w [K, K, IC, OC], plus bias [OC] if that is not nil. If
// sums [N, 2, OC] is not nil, it gets the channel sums of each image, as Norm.Sums computes them, taken while the
// image is in the cache.
func (c *Conv) Forward(y, x, w, bias, sums []float32) {
	if c.N == 0 {
		return
	}
	c.check(x, y, w)
	if bias != nil {
		_ = bias[c.OC-1]
	}
	if sums != nil {
		_ = sums[c.N*2*c.OC-1]
	}
	c.bias, c.sums = bias, sums
	if c.winograd() {
		c.winoForward()
		return
	}
	wide := simd.width(2)
	panels := tiles(c.OC, wide)
	c.packed = borrow(panels * wide * c.K * c.K * c.IC)
	defer giveBack()
	c.phase.run(c, (*Conv).packForward, panels)
	c.phase.run(c, (*Conv).forwardImage, c.N)
}

// BackwardData computes dx [N, H, W, IC], the gradient by the input, from dy [N, OutH, OutW, OC] and w. dy may be nil
// where Before makes it. With add, it adds it to what dx holds.
func (c *Conv) BackwardData(dx, dy, w []float32, add bool) {
	if c.N == 0 {
		return
	}
	c.check(dx, dy, w)
	c.add = add
	if c.winograd() {
		c.winoBackwardData()
		return
	}
	if c.colours() {
		c.packed = borrow(c.K * c.K * c.OC * c.IC)
		defer giveBack()
		c.phase.run(c, (*Conv).packColours, c.K*c.K)
		c.phase.run(c, (*Conv).backwardColours, c.N)
		return
	}
	wide := simd.width(2)
	panels := tiles(c.IC, wide)
	c.packed = borrow(panels * wide * c.K * c.K * c.OC)
	defer giveBack()
	c.phase.run(c, (*Conv).packBackward, panels)
	c.phase.run(c, (*Conv).backwardDataImage, c.N)
}

// BackwardWeight computes dw [K, K, IC, OC], the gradient by the weights, from dy [N, OutH, OutW, OC] and x.
func (c *Conv) BackwardWeight(dw, dy, x []float32) {
	if c.N == 0 {
		clear(dw[:c.K*c.K*c.IC*c.OC])
		return
	}
	c.check(x, dy, dw)
	if c.winograd() {
		c.winoBackwardWeight()
		return
	}
	size := c.K * c.K * c.IC * wholeVectors(c.OC)
	c.partCount = partsFor(size, c.N)
	c.parts = borrow(c.partCount * size)
	defer giveBack()
	c.phase.run(c, (*Conv).backwardWeightPart, c.partCount)
	c.phase.run(c, (*Conv).addWeightParts, tiles(c.K*c.K*c.IC, 16))
}

// gradients is images n0 to n1 of dy. Those that Before makes lie in memory of the lane, which floats does not give to
// others.
func (c *Conv) gradients(l *lane, n0, n1 int) []float32 {
	size := c.OutH() * c.OutW() * c.OC
	if c.Before.of == nil {
		return c.y[n0*size : n1*size]
	}
	if n := (n1 - n0) * size; n > len(l.inputs) {
		l.inputs = Alloc(n)
	}
	for n := n0; n < n1; n++ {
		c.Before.over(l, l.inputs[(n-n0)*size:][:size], n)
	}
	return l.inputs[:(n1-n0)*size]
}

// partsFor is into how many parts a sum over n images, of size floats each, is cut: 8, 4 or 2, enough
// to share out evenly, not so many that adding them costs more than it gives.
func partsFor(size, n int) int {
	parts := 8
	for parts > 2 && parts*size > 1<<22 {
		parts /= 2
	}
	return min(n, parts)
}

// packForward packs one panel of the weights as [K·K·IC][width].
func (c *Conv) packForward(_ *lane, panel int) {
	rows, j0 := c.K*c.K*c.IC, panel*simd.width(2)
	cols := min(simd.width(2), c.OC-j0)
	width := simd.width(vectorsFor(cols))
	dst := c.packed[rows*j0:][:rows*width]
	if cols < width {
		clear(dst)
	}
	for r := range rows {
		copy(dst[r*width:][:cols], c.w[r*c.OC+j0:])
	}
}

// withMargin copies an image [h, w, channels] into scratch with zeros around it: before rows and columns of them in
// front, below rows behind, and right columns behind.
func withMargin(dst, src []float32, h, w, channels, before, below, right int) {
	row := (before + w + right) * channels
	clear(dst[:before*row+before*channels])
	for r := range h {
		at := (r+before)*row + before*channels
		copy(dst[at:][:w*channels], src[r*w*channels:])
		clear(dst[at+w*channels : min(at+row, (h+before)*row)])
	}
	clear(dst[(h+before)*row : (h+before+below)*row])
}

// forwardImage computes one image.
func (c *Conv) forwardImage(l *lane, n int) {
	m, oh, ow, wide := c.pad(), c.OutH(), c.OutW(), simd.width(2)
	x, y := c.x[n*c.H*c.W*c.IC:][:c.H*c.W*c.IC], c.y[n*oh*ow*c.OC:][:oh*ow*c.OC]
	row := (c.W + 2*m) * c.IC
	margin := 0
	if m > 0 {
		margin = (c.H + 2*m) * row
	}
	scratch := l.floats(margin + simd.rows[1]*wide)
	edge := scratch[margin:]
	if m > 0 {
		withMargin(scratch, x, c.H, c.W, c.IC, m, m, m)
		x = scratch[:margin]
	}
	rows, cols := oh, ow
	if c.K == 1 && c.Stride == 1 && ow == c.W { // one long row
		rows, cols = 1, oh*ow
	}
	l.brgemm = brgemm{lda: uintptr(4 * c.Stride * c.IC), k: c.K * c.IC, segA: uintptr(4 * row)}
	for j := 0; j < c.OC; j += wide {
		valid := min(wide, c.OC-j)
		vectors := vectorsFor(valid)
		width := simd.width(vectors)
		whole := valid == width
		l.ldb, l.ldc, l.segB = uintptr(4*width), uintptr(4*c.OC), uintptr(4*c.K*c.IC*width)
		if !whole {
			l.ldc = uintptr(4 * width)
		}
		l.bias = nil
		if c.bias != nil && whole {
			l.bias = at(c.bias, j)
		}
		tileCount := tiles(cols, simd.rows[vectors])
		for r := range rows {
			// Rows of the window that lie wholly in the margin are left out.
			s0, s1 := max(0, m-r*c.Stride), min(c.K, c.H+m-r*c.Stride)
			l.segs = s1 - s0
			l.b = at(c.packed, c.K*c.K*c.IC*j+s0*c.K*c.IC*width)
			if whole {
				l.a, l.c = at(x, (r*c.Stride+s0)*row), at(y, r*cols*c.OC+j)
				l.brgemm.run(false, vectors, cols)
				continue
			}
			for t := range tileCount {
				q, next := cut(cols, t, tileCount), cut(cols, t+1, tileCount)
				l.a, l.c = at(x, (r*c.Stride+s0)*row+q*c.Stride*c.IC), at(edge, 0)
				l.brgemm.run(false, vectors, next-q)
				for i := range next - q {
					dst := y[(r*cols+q+i)*c.OC+j:][:valid]
					copy(dst, edge[i*width:])
					if c.bias != nil {
						for b := range dst {
							dst[b] += c.bias[j+b]
						}
					}
				}
			}
		}
	}
	if c.sums != nil {
		imageSums(c.sums[n*2*c.OC:][:2*c.OC], y, oh*ow, c.OC)
	}
	c.After.over(l, y, n)
}

// taps are the window's rows (or columns) that reach the input pixels of class a, those at
// Stride·r + a: first, first-Stride, …, count of them, reaching output pixels r+start, r+start+1, ….
func (c *Conv) taps(a int) (first, count, start int) {
	m := c.pad()
	for first = c.K - 1; first >= 0 && (a+m-first)%c.Stride != 0; first-- {
	}
	if first < 0 {
		return 0, 0, 0
	}
	return first, first/c.Stride + 1, (a + m - first) / c.Stride
}

// packBackward packs one panel of input channels: class by class, tap by tap, as [OC][width].
func (c *Conv) packBackward(_ *lane, panel int) {
	j0 := panel * simd.width(2)
	valid := min(simd.width(2), c.IC-j0)
	width := simd.width(vectorsFor(valid))
	dst := c.packed[c.K*c.K*c.OC*j0:][:c.K*c.K*c.OC*width]
	if valid < width {
		clear(dst)
	}
	for a := range c.Stride {
		kh, rows, _ := c.taps(a)
		for b := range c.Stride {
			kw, cols, _ := c.taps(b)
			for i := range rows {
				for j := range cols {
					tap := (kh-i*c.Stride)*c.K + kw - j*c.Stride
					transposeInto(dst, width, c.w[(tap*c.IC+j0)*c.OC:], c.OC, valid, c.OC)
					dst = dst[c.OC*width:]
				}
			}
		}
	}
}

// backwardDataImage computes the gradient of one input image.
func (c *Conv) backwardDataImage(l *lane, n int) {
	m, oh, ow, wide := c.pad(), c.OutH(), c.OutW(), simd.width(2)
	dx, dy := c.x[n*c.H*c.W*c.IC:][:c.H*c.W*c.IC], c.gradients(l, n, n+1)
	// Zeros stand for outputs that the input's outermost pixels would reach if there were any.
	before, below, right := (c.K-1-m)/c.Stride, (c.H-1+m)/c.Stride-(oh-1), (c.W-1+m)/c.Stride-(ow-1)
	row := (before + ow + right) * c.OC
	margin := 0
	if before+below+right > 0 {
		margin = (before + oh + below) * row
	}
	scratch := l.floats(margin + simd.rows[1]*wide)
	edge := scratch[margin:]
	if margin > 0 {
		withMargin(scratch, dy, oh, ow, c.OC, before, below, right)
		dy = scratch[:margin]
	}
	for j := 0; j < c.IC; j += wide {
		valid := min(wide, c.IC-j)
		vectors := vectorsFor(valid)
		width := simd.width(vectors)
		whole := valid == width
		packed := c.packed[c.K*c.K*c.OC*j:]
		l.brgemm = brgemm{lda: uintptr(4 * c.OC), ldb: uintptr(4 * width), ldc: uintptr(4 * c.Stride * c.IC),
			segA: uintptr(4 * row)}
		if !whole {
			l.ldc = uintptr(4 * width)
		} else if c.add {
			l.flags = accumulate
		}
		for a := range c.Stride {
			_, tapRows, startRow := c.taps(a)
			for b := range c.Stride {
				_, tapCols, startCol := c.taps(b)
				rows, cols := (c.H-a+c.Stride-1)/c.Stride, (c.W-b+c.Stride-1)/c.Stride
				tileCount := tiles(cols, simd.rows[vectors])
				l.k, l.segs, l.segB = tapCols*c.OC, tapRows, uintptr(4*tapCols*c.OC*width)
				for r := range rows {
					to := ((r*c.Stride+a)*c.W+b)*c.IC + j
					if tapRows*tapCols == 0 {
						for q := 0; !c.add && q < cols; q++ {
							clear(dx[to+q*c.Stride*c.IC:][:valid])
						}
						continue
					}
					l.b = at(packed, 0)
					if whole {
						l.a, l.c = at(dy, (r+startRow+before)*row+(startCol+before)*c.OC), at(dx, to)
						l.brgemm.run(false, vectors, cols)
						continue
					}
					for t := range tileCount {
						q, next := cut(cols, t, tileCount), cut(cols, t+1, tileCount)
						l.a, l.c = at(dy, (r+startRow+before)*row+(q+startCol+before)*c.OC), at(edge, 0)
						l.brgemm.run(false, vectors, next-q)
						for i := range next - q {
							dst, src := dx[to+(q+i)*c.Stride*c.IC:][:valid], edge[i*width:]
							if c.add {
								addTo(dst, src)
							} else {
								copy(dst, src)
							}
						}
					}
				}
				packed = packed[tapRows*tapCols*c.OC*width:]
			}
		}
	}
	c.After.over(l, dx, n)
}

// addTo is dst += src.
func addTo(dst, src []float32) {
	n := len(dst) / simd.floats
	src = src[:len(dst)]
	if n > 0 {
		simd.add(&dst[0], &dst[0], &src[0], n)
	}
	for i := n * simd.floats; i < len(dst); i++ {
		dst[i] += src[i]
	}
}

// rowsAtOnce is how many rows of pixels the gradient of the weights takes at once: they stay in the
// first-level cache while all rows of the result pass over them.
const rowsAtOnce = 8

// backwardWeightPart sums the images of one part into its own [K·K·IC][padded OC].
func (c *Conv) backwardWeightPart(l *lane, part int) {
	m, oh, ow, wide := c.pad(), c.OutH(), c.OutW(), simd.width(2)
	padded, perRow := wholeVectors(c.OC), c.K*c.IC
	sum := c.parts[part*c.K*perRow*padded:][:c.K*perRow*padded]
	clear(sum)
	row := (c.W + 2*m) * c.IC
	margin, dyCopy := 0, 0
	if m > 0 {
		margin = (c.H + 2*m) * row
	}
	if padded != c.OC {
		dyCopy = oh * ow * padded
	}
	scratch := l.floats(margin + dyCopy)
	for n := cut(c.N, part, c.partCount); n < cut(c.N, part+1, c.partCount); n++ {
		x, dy := c.x[n*c.H*c.W*c.IC:][:c.H*c.W*c.IC], c.y[n*oh*ow*c.OC:][:oh*ow*c.OC]
		if m > 0 {
			withMargin(scratch, x, c.H, c.W, c.IC, m, m, m)
			x = scratch[:margin]
		}
		if dyCopy > 0 { // whole blocks, zeros beyond OC
			dst := scratch[margin:]
			for p := range oh * ow {
				copy(dst[p*padded:], dy[p*c.OC:(p+1)*c.OC])
				clear(dst[p*padded+c.OC : (p+1)*padded])
			}
			dy = dst
		}
		l.brgemm = brgemm{lda: uintptr(4 * c.Stride * c.IC), ldb: uintptr(4 * padded), ldc: uintptr(4 * padded), k: ow,
			segA: uintptr(4 * c.Stride * row), segB: uintptr(4 * ow * padded), flags: accumulate}
		for r := 0; r < oh; r += rowsAtOnce {
			for j := 0; j < padded; j += wide {
				vectors := vectorsFor(padded - j)
				for kh := range c.K {
					// Output rows whose window has its row kh inside the image.
					r0, r1 := r, min(r+rowsAtOnce, oh)
					for r0 < r1 && r0*c.Stride+kh < m {
						r0++
					}
					for r1 > r0 && (r1-1)*c.Stride+kh >= c.H+m {
						r1--
					}
					if r0 == r1 {
						continue
					}
					l.segs, l.b = r1-r0, at(dy, r0*ow*padded+j)
					l.a, l.c = at(x, (r0*c.Stride+kh)*row), at(sum, kh*perRow*padded+j)
					l.brgemm.run(true, vectors, perRow)
				}
			}
		}
	}
}

// addWeightParts adds 16 rows of the parts, in order, into dw.
func (c *Conv) addWeightParts(_ *lane, chunk int) {
	padded, rows := wholeVectors(c.OC), c.K*c.K*c.IC
	for r := chunk * 16; r < min(rows, chunk*16+16); r++ {
		dst := c.w[r*c.OC:][:c.OC]
		copy(dst, c.parts[r*padded:])
		for p := 1; p < c.partCount; p++ {
			addTo(dst, c.parts[(p*rows+r)*padded:])
		}
	}
}
