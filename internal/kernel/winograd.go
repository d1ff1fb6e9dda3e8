package kernel

// Winograd convolution F(4x4, 3x3) (Lavin and Gray 2015, https://arxiv.org/abs/1509.09308): a tile of
// 4x4 output pixels needs 36 products for each pair of channels where the window needs 144. With
// patches d of 6x6 input pixels,
//
//	y = Aᵀ [ Σ over channels (G g Gᵀ) ⊙ (Bᵀ d B) ] A
//
// and at each of the 36 points the sum over channels is a matrix product of [tiles, IC] by [IC, OC].
// The points are 0, ±3/4, ±3/2 and infinity: exact in float32, and two to four times as accurate as
// the usual 0, ±1, ±2 at the same cost. The input's gradient is the same convolution of dy with the
// weights turned round; the weights' gradient is the exact adjoint: with dU = Σ over tiles
// (Bᵀ d B) (A dy Aᵀ), dg = Gᵀ dU G, transformed back once for the whole batch.
//
// It serves windows of 3x3 at stride 1 on images whose sides are multiples of 4 and whose channels
// are whole vectors. Everything else, and everything where ConvDirect is set, is convolved directly.

const (
	winoA, winoB = 0.75, 1.5
	winoPoints   = 36
	// pointPad keeps the strides between points off multiples of 4 KB, where the 36 streams of a
	// transform would all fall into one set of the cache.
	pointPad = 16
)

// winogradConstants is the table the transforms read, each constant repeated over 16 floats.
var winogradConstants = func() []float32 {
	const a, b = winoA, winoB
	na, nb := 2*a*a*(a*a-b*b), 2*b*b*(b*b-a*a)
	t := Alloc(15 * 16)
	for i, v := range []float64{a, a * a, a * a * a, b, b * b, b * b * b, a * a * b * b, a*a + b*b,
		1 / (a * a * b * b), 1 / na, a / na, a * a / na, 1 / nb, b / nb, b * b / nb} {
		for j := range 16 {
			t[16*i+j] = float32(v)
		}
	}
	return t
}()

// convDirect says that no convolution is to use Winograd's algorithm.
var convDirect bool

// ConvDirect reports whether every convolution is computed directly. The direct and the Winograd algorithm differ in
// the last bits.
func ConvDirect() bool { return convDirect }

// SetConvDirect turns Winograd's algorithm off or on again. It must be called before any kernel runs.
func SetConvDirect(direct bool) { convDirect = direct }

// winograd says whether the convolution is computed by Winograd's algorithm.
func (c *Conv) winograd() bool {
	n := simd.floats
	return !convDirect && c.K == 3 && c.Stride == 1 && c.H%4 == 0 && c.W%4 == 0 && c.IC%n == 0 && c.OC%n == 0
}

// winoPass is a pass over images: in [n, h, w, from] convolved with the transformed weights u to out
// [n, h, w, to].
type winoPass struct {
	in, out, u []float32
	from, to   int
}

// winoLayout says how many tiles an image has, how many images a chunk takes (some 32 tiles, so that
// the product has rows enough), and how many tiles are transformed at once: they and what becomes of
// them fit the second-level cache.
func (c *Conv) winoLayout(channels int) (perImage, images, block int) {
	perImage = c.H / 4 * (c.W / 4)
	images = min(c.N, max(1, 32/perImage))
	block = 32
	if channels <= 32 {
		block = 42
	}
	return perImage, images, min(block, images*perImage)
}

func (c *Conv) winoForward() {
	u := borrow(winoPoints * c.IC * c.OC)
	defer giveBack()
	c.pass = winoPass{c.x, c.y, u, c.IC, c.OC}
	c.turned = c.w
	c.phase.run(c, (*Conv).winoWeights, tiles(c.IC, 8))
	_, images, _ := c.winoLayout(c.IC)
	c.phase.run(c, (*Conv).winoTiles, tiles(c.N, images))
}

func (c *Conv) winoBackwardData() {
	size := c.IC * c.OC
	buf := borrow((winoPoints + 9) * size)
	defer giveBack()
	c.pass = winoPass{c.y, c.x, buf[:winoPoints*size], c.OC, c.IC}
	c.turned = buf[winoPoints*size:]
	c.phase.run(c, (*Conv).winoTurn, 9)
	c.phase.run(c, (*Conv).winoWeights, tiles(c.OC, 8))
	_, images, _ := c.winoLayout(c.OC)
	c.phase.run(c, (*Conv).winoTiles, tiles(c.N, images))
}

// winoTurn turns tap i round: turned[i] [OC, IC] = the transpose of w[8-i] [IC, OC].
func (c *Conv) winoTurn(_ *lane, i int) {
	size := c.IC * c.OC
	transposeInto(c.turned[i*size:][:size], c.IC, c.w[(8-i)*size:][:size], c.OC, c.IC, c.OC)
}

// winoWeights transforms the weights of eight input channels. Panel j of u is [36][from][width].
func (c *Conv) winoWeights(l *lane, chunk int) {
	p, wide := &c.pass, simd.width(2)
	tmp := l.floats(36 * simd.floats)
	tap := p.from * p.to
	for i := chunk * 8; i < min(p.from, chunk*8+8); i++ {
		for j := 0; j < p.to; j += wide {
			vectors := vectorsFor(p.to - j)
			width := simd.width(vectors)
			simd.winoWeight(&c.turned[i*p.to+j], uintptr(4*3*tap), uintptr(4*tap), &p.u[winoPoints*p.from*j+i*width],
				uintptr(4*p.from*width),
				vectors, &winogradConstants[0], &tmp[0])
		}
	}
}

// tile is the place of tile t of the batch: image, row and column of its first output pixel.
func (c *Conv) tile(t int) (n, row, col int) {
	w := c.W / 4
	perImage := c.H / 4 * w
	n, t = t/perImage, t%perImage
	return n, t / w * 4, t % w * 4
}

// zeros stand for the rows above and below an image.
var zeros = Alloc(6 * 4096)

// winoPatches transforms the patches of count tiles from t0 on into v: point p of tile i at
// v[p·stride + i·channels].
func (c *Conv) winoPatches(v, tmp []float32, stride int, in []float32, channels, t0, count int) {
	row := c.W * channels
	none := zeros
	if len(none) < 6*channels {
		none = make([]float32, 6*channels)
	}
	for i := range count {
		n, r, q := c.tile(t0 + i)
		first := (n*c.H+r)*row + q*channels
		top, bottom, edges := &none[channels], &none[channels], 0
		if r > 0 {
			top = &in[first-row]
		}
		if r+4 < c.H {
			bottom = &in[first+4*row]
		}
		if q == 0 {
			edges |= 1
		}
		if q+4 == c.W {
			edges |= 2
		}
		simd.winoInput(top, &in[first], bottom, uintptr(4*row), uintptr(4*channels), &v[i*channels], uintptr(4*stride),
			channels/simd.floats,
			&winogradConstants[0], &tmp[0], edges)
	}
}

// winoTiles convolves the images of one chunk.
func (c *Conv) winoTiles(l *lane, chunk int) {
	p, wide := &c.pass, simd.width(2)
	perImage, images, block := c.winoLayout(p.from)
	t0, t1 := chunk*images*perImage, min(c.N, (chunk+1)*images)*perImage
	strideV, strideM := block*p.from+pointPad, block*wide+pointPad
	scratch := l.floats(winoPoints*(strideV+strideM) + 36*simd.floats)
	v, m, tmp := scratch[:winoPoints*strideV], scratch[winoPoints*strideV:][:winoPoints*strideM], scratch[winoPoints*(strideV+strideM):]
	output := simd.winoOutput
	if c.add {
		output = simd.winoOutputAdd
	}
	l.brgemm = brgemm{lda: uintptr(4 * p.from), k: p.from, segs: 1}
	blocks := tiles(t1-t0, block)
	for b := range blocks {
		b0, b1 := t0+cut(t1-t0, b, blocks), t0+cut(t1-t0, b+1, blocks)
		count := b1 - b0
		c.winoPatches(v, tmp, strideV, p.in, p.from, b0, count)
		for j := 0; j < p.to; j += wide {
			vectors := vectorsFor(p.to - j)
			width := simd.width(vectors)
			rowTiles := tiles(count, simd.rows[vectors])
			l.ldb, l.ldc = uintptr(4*width), uintptr(4*width)
			for point := range winoPoints {
				l.b = at(p.u, winoPoints*p.from*j+point*p.from*width)
				for t := range rowTiles {
					i, next := cut(count, t, rowTiles), cut(count, t+1, rowTiles)
					l.a, l.c = at(v, point*strideV+i*p.from), at(m, point*strideM+i*width)
					l.brgemm.run(false, vectors, next-i)
				}
			}
			for i := range count {
				n, r, q := c.tile(b0 + i)
				output(&p.out[((n*c.H+r)*c.W+q)*p.to+j], uintptr(4*c.W*p.to), uintptr(4*p.to), &m[i*width], uintptr(4*strideM),
					vectors,
					&winogradConstants[0], &tmp[0])
			}
		}
	}
	if c.sums != nil {
		px := c.H * c.W
		for n := t0 / perImage; n < t1/perImage; n++ {
			imageSums(c.sums[n*2*c.OC:][:2*c.OC], c.y[n*px*c.OC:][:px*c.OC], px, c.OC)
		}
	}
}

func (c *Conv) winoBackwardWeight() {
	size := winoPoints * c.IC * c.OC
	c.partCount = partsFor(size, c.N)
	c.parts = borrow(c.partCount * size)
	defer giveBack()
	c.phase.run(c, (*Conv).winoWeightPart, c.partCount)
	c.phase.run(c, (*Conv).winoAddWeightParts, tiles(c.IC, 4))
}

// winoWeightPart sums dU over the images of one part; panel j of it is [36][IC][width].
func (c *Conv) winoWeightPart(l *lane, part int) {
	wide := simd.width(2)
	perImage, _, block := c.winoLayout(c.IC)
	size := winoPoints * c.IC * c.OC
	du := c.parts[part*size:][:size]
	t0, t1 := cut(c.N, part, c.partCount)*perImage, cut(c.N, part+1, c.partCount)*perImage
	strideV, strideM := block*c.IC+pointPad, block*wide+pointPad
	scratch := l.floats(winoPoints*(strideV+strideM) + 36*simd.floats)
	v, m, tmp := scratch[:winoPoints*strideV], scratch[winoPoints*strideV:][:winoPoints*strideM], scratch[winoPoints*(strideV+strideM):]
	l.brgemm = brgemm{lda: uintptr(4 * c.IC), segs: 1}
	blocks := tiles(t1-t0, block)
	for b := range blocks {
		b0, b1 := t0+cut(t1-t0, b, blocks), t0+cut(t1-t0, b+1, blocks)
		count := b1 - b0
		c.winoPatches(v, tmp, strideV, c.x, c.IC, b0, count)
		l.k, l.flags = count, accumulate
		if b == 0 {
			l.flags = 0
		}
		for j := 0; j < c.OC; j += wide {
			vectors := vectorsFor(c.OC - j)
			width := simd.width(vectors)
			for i := range count {
				n, r, q := c.tile(b0 + i)
				simd.winoDY(&c.y[((n*c.H+r)*c.W+q)*c.OC+j], uintptr(4*c.W*c.OC), uintptr(4*c.OC), &m[i*width], uintptr(4*strideM),
					vectors,
					&winogradConstants[0], &tmp[0])
			}
			l.ldb, l.ldc = uintptr(4*width), uintptr(4*width)
			rowTiles := tiles(c.IC, simd.rows[vectors])
			for point := range winoPoints {
				l.b = at(m, point*strideM)
				for t := range rowTiles {
					i, next := cut(c.IC, t, rowTiles), cut(c.IC, t+1, rowTiles)
					l.a, l.c = at(v, point*strideV+i), at(du, winoPoints*c.IC*j+(point*c.IC+i)*width)
					l.brgemm.run(true, vectors, next-i)
				}
			}
		}
	}
}

// winoAddWeightParts adds the parts of four input channels, in order, and transforms the sum into dw.
func (c *Conv) winoAddWeightParts(l *lane, chunk int) {
	wide, tap := simd.width(2), c.IC*c.OC
	size := winoPoints * tap
	tmp := l.floats(36 * simd.floats)
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
			simd.winoDWeight(&c.w[i*c.OC+j], uintptr(4*3*tap), uintptr(4*tap), &c.parts[at], uintptr(4*c.IC*width), vectors,
				&winogradConstants[0], &tmp[0])
		}
	}
}
