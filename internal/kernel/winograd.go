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
// are whole vectors, without bias; where AnyShape is set, all sides, from minChannels channels on, and a bias as well.
// Everything else, and everything where ConvDirect is set, is convolved directly.
//
// A side that is no multiple of 4 ends in tiles of 3 outputs. The point infinity serves a tile's fourth output alone,
// so such a tile needs 30 products, or 25 where it is low and narrow. The transforms mask what is not in the image.
// Tiles of fewer than 3 outputs, and channels that are no whole vectors, go through scratch: patch, output and dy.

const (
	winoA, winoB = 0.75, 1.5
	winoPoints   = 36
	// minChannels is how many channels it takes on both sides: with fewer, most of a vector would be padding.
	minChannels = 8
	// pointPad keeps the strides between points off multiples of 4 KB, where the 36 streams of a
	// transform would all fall into one set of the cache.
	pointPad = 16
)

// Bits of a transform's edges, for what it neither reads nor writes: pixels of each row of a patch of 6x6; the last
// row, and the last pixel of each row, of a tile of 4x4.
const (
	noPixel0 = 1 << iota
	noPixel3
	noPixel4
	noPixel5

	noLastRow, noLastPixel = 1, 2
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
	if convDirect || c.K != 3 || c.Stride != 1 || c.Valid {
		return false
	}
	if c.AnyShape {
		return min(c.IC, c.OC) >= minChannels
	}
	n := simd.floats
	return c.bias == nil && c.H%4 == 0 && c.W%4 == 0 && c.CropH == 0 && c.CropW == 0 && c.IC%n == 0 && c.OC%n == 0
}

// winoPass is a pass over images: in [n, inH, inW, from] convolved with the transformed weights u to out
// [n, outH, outW, to]. The gradient of the weights has x as in and dy as out.
type winoPass struct {
	in, out, u              []float32
	inH, inW, outH, outW    int
	from, to                int
	rows, cols              winoSide
	classes                 [4]int // of tiles, see below
	perImage, images, block int
	group                   int        // of output channels whose values are held at once
	set                     winoValues // of the images n0 to n1, that all threads share
	n0, n1                  int
}

// winoSide is a side of an image of outputs, cut into tiles: the first whole ones have 4 outputs, the rest 3, the last
// perhaps fewer.
type winoSide struct{ whole, all int }

func cutSide(outputs int) winoSide {
	all := tiles(outputs, 4)
	return winoSide{all - min(all, 4*all-outputs), all}
}

// start is the first output of tile t.
func (s winoSide) start(t int) int { return 4*t - max(0, t-s.whole) }

// size is how many outputs tile t has, if the side does not end before.
func (s winoSide) size(t int) int {
	if t < s.whole {
		return 4
	}
	return 3
}

// newPass says how many tiles an image has, how many images a chunk takes, and how many tiles are transformed at once:
// so many that the product has rows enough for the weights it reads, and no more. 48 are whole tiles of the
// microkernels at every point of the maps of 3x3 to 15x15; 64 are an image of 32x32, whose channels are few. The
// gradient of the weights keeps the numbers that it had before there were those maps, since the order of its sums hangs
// on them in plain Go. The columns of the outputs are taken in groups where the values then fit the second-level cache,
// and all at once where they would not.
func (c *Conv) newPass(in, out, u []float32, backward bool) {
	p := &c.pass
	*p = winoPass{in: in, out: out, u: u, inH: c.H, inW: c.W, outH: c.OutH(), outW: c.OutW(), from: c.IC, to: c.OC}
	if backward {
		p.inH, p.inW, p.outH, p.outW, p.from, p.to = p.outH, p.outW, p.inH, p.inW, p.to, p.from
	}
	p.rows, p.cols = cutSide(p.outH), cutSide(p.outW)
	p.perImage = p.rows.all * p.cols.all
	p.classes = p.countClasses()
	p.block = 32
	switch {
	case c.AnyShape && u != nil && p.from*p.to >= 1<<14: // more weights than values: they are read half as often
		p.block = 96
	case c.AnyShape:
		p.block = 48
	case p.from <= 16 && u != nil:
		p.block = 64
	case p.from <= 32:
		p.block = 42
	}
	p.images = min(c.N, max(1, p.block/p.perImage))
	p.block = min(p.block, p.images*p.perImage)
	const cache = 1 << 17 / winoPoints // floats for each point
	wide := simd.width(2)
	if p.group = p.to; p.block*(p.from+wide) <= cache {
		p.group = min(p.to, (cache/p.block-p.from)/wide*wide)
	}
}

// winoValues are the values at the points of some tiles: of their inputs, v, and of a group of their outputs, m, both
// [36][tiles][channels]. From a tile to the next it is rowV and rowM floats, from a point to the next strideV and
// strideM.
type winoValues struct {
	v, m                         []float32
	rowV, rowM, strideV, strideM int
	tmp, stage                   []float32 // scratch of the transforms
}

// rowFloats is how far apart the channels of two tiles lie. At multiples of 512 bytes the rows of a product would share
// few sets of the first-level cache.
func rowFloats(channels int) int {
	n := wholeVectors(channels)
	if n%128 == 0 {
		n += pointPad
	}
	return n
}

// sizes sets how far apart values lie for so many tiles, and returns how many floats v and m take.
func (s *winoValues) sizes(p *winoPass, tiles int) (v, m int) {
	s.rowV, s.rowM = rowFloats(p.from), rowFloats(p.group)
	s.strideV, s.strideM = tiles*s.rowV+pointPad, tiles*s.rowM+pointPad
	return winoPoints * s.strideV, winoPoints * s.strideM
}

// scratch sets tmp and stage to memory of the lane, and returns n floats more of it.
func (s *winoValues) scratch(l *lane, p *winoPass, n int) []float32 {
	tmp, stage := (winoPoints+2)*simd.floats, max(36*wholeVectors(p.from), 16*wholeVectors(p.group))
	all := l.floats(tmp + stage + n)
	s.tmp, s.stage = all[:tmp], all[tmp:][:stage]
	return all[tmp+stage:]
}

// values is memory of the lane for the values of so many tiles.
func (p *winoPass) values(l *lane, tiles int) (s winoValues) {
	v, m := s.sizes(p, tiles)
	all := s.scratch(l, p, v+m)
	s.v, s.m = all[:v], all[v:]
	return s
}

// countClasses returns how many tiles of an image are whole by height but not by width, whole, whole by width but not
// by height, and neither.
func (p *winoPass) countClasses() [4]int {
	r, q := p.rows, p.cols
	return [4]int{r.whole * (q.all - q.whole), r.whole * q.whole, (r.all - r.whole) * q.whole,
		(r.all - r.whole) * (q.all - q.whole)}
}

// allWhole says that all tiles have 4x4 outputs.
func (p *winoPass) allWhole() bool { return p.classes[1] == p.perImage }

// needing is at which places tiles of so many images have a product at a point.
func (p *winoPass) needing(point, images int) (from, to int) {
	n := &p.classes
	from, to = 0, images*p.perImage
	if point/6 == 5 { // a fourth row of outputs
		to = images * (n[0] + n[1])
	}
	if point%6 == 5 {
		from, to = images*n[0], min(to, images*(n[0]+n[1]+n[2]))
	}
	return from, to
}

// winoTile is a tile of the outputs of image n: its first row and column, and its size.
type winoTile struct{ n, row, col, rows, cols int }

// tile is tile t of the images from n0 on, so many of them, in the order image, class, row; and the place of its
// values, in the order class, image, row, so that the rows of a product lie together.
func (p *winoPass) tile(t, n0, images int) (place int, tile winoTile) {
	n := int(uint32(t) / uint32(p.perImage))
	k := t - n*p.perImage
	n0 += n
	if p.allWhole() {
		i, cols := uint32(k), uint32(p.cols.all)
		return t, winoTile{n0, int(4 * (i / cols)), int(4 * (i % cols)), 4, 4}
	}
	var r, q int
	for class, size := range &p.classes {
		if k >= size {
			k, place = k-size, place+images*size
			continue
		}
		r0, q0, cols := 0, 0, p.cols.whole
		if class >= 2 {
			r0 = p.rows.whole
		}
		if class == 0 || class == 3 {
			q0, cols = p.cols.whole, p.cols.all-p.cols.whole
		}
		place += n*size + k
		r, q = r0+k/cols, q0+k%cols
		break
	}
	row, col := p.rows.start(r), p.cols.start(q)
	return place, winoTile{n0, row, col, min(p.rows.size(r), p.outH-row), min(p.cols.size(q), p.outW-col)}
}

// wholeVectors is a number of channels rounded up to whole vectors.
func wholeVectors(channels int) int { return tiles(channels, simd.floats) * simd.floats }

func (c *Conv) winoForward() {
	u := borrow(winoPoints * c.IC * wholeVectors(c.OC))
	defer giveBack()
	c.newPass(c.x, c.y, u, false)
	c.turned = c.w
	c.phase.run(c, (*Conv).winoWeights, tiles(c.IC, 8))
	c.phase.run(c, (*Conv).winoTiles, tiles(c.N, c.pass.images))
}

func (c *Conv) winoBackwardData() {
	size := winoPoints * c.OC * wholeVectors(c.IC)
	buf := borrow(size + 9*c.IC*c.OC)
	defer giveBack()
	c.newPass(c.y, c.x, buf[:size], true)
	c.turned = buf[size:]
	c.phase.run(c, (*Conv).winoTurn, 9)
	c.phase.run(c, (*Conv).winoWeights, tiles(c.OC, 8))
	c.phase.run(c, (*Conv).winoTiles, tiles(c.N, c.pass.images))
}

// winoTurn turns tap i round: turned[i] [OC, IC] = the transpose of w[8-i] [IC, OC].
func (c *Conv) winoTurn(_ *lane, i int) {
	size := c.IC * c.OC
	transposeInto(c.turned[i*size:][:size], c.IC, c.w[(8-i)*size:][:size], c.OC, c.IC, c.OC)
}

// winoWeights transforms the weights of eight input channels. Panel j of u is [36][from][width].
func (c *Conv) winoWeights(l *lane, chunk int) {
	p, wide := &c.pass, simd.width(2)
	scratch := l.floats(36*simd.floats + 9*wide)
	tmp, stage := scratch[:36*simd.floats], scratch[36*simd.floats:]
	tap := p.from * p.to
	for i := chunk * 8; i < min(p.from, chunk*8+8); i++ {
		for j := 0; j < p.to; j += wide {
			vectors := vectorsFor(p.to - j)
			width := simd.width(vectors)
			taps, row, step := c.turned[i*p.to+j:], 3*tap, tap
			if valid := p.to - j; valid < width {
				for t := range 9 {
					padTo(stage[t*width:][:width], taps[t*tap:][:valid])
				}
				taps, row, step = stage, 3*width, width
			}
			simd.winoWeight(&taps[0], uintptr(4*row), uintptr(4*step), &p.u[winoPoints*p.from*j+i*width],
				uintptr(4*p.from*width), vectors, &winogradConstants[0], &tmp[0], 0, 0)
		}
	}
}

// padTo copies src to the beginning of dst and sets the rest to 0.
func padTo(dst, src []float32) { clear(dst[copy(dst, src):]) }

// zeros stand for the rows above and below an image.
var zeros = Alloc(6 * 4096)

// patch transforms the patch of inputs of a tile into place i of s.
func (p *winoPass) patch(s *winoValues, i int, t winoTile) {
	v, tmp, stage, stride := s.v[i*s.rowV:], s.tmp, s.stage, s.strideV
	channels, vectors := p.from, tiles(p.from, simd.floats)
	row := p.inW * channels
	if channels%simd.floats != 0 || t.row+2 > p.inH || t.col+2 > p.inW {
		width := vectors * simd.floats
		p.stagePatch(stage, width, t)
		simd.winoInput(&stage[width], &stage[7*width], &stage[19*width], &stage[25*width], &stage[31*width],
			uintptr(4*6*width), uintptr(4*width), &v[0], uintptr(4*stride), vectors, &winogradConstants[0], &tmp[0], 0, 0)
		return
	}
	none := zeros
	if len(none) < 6*channels {
		none = make([]float32, 6*channels)
	}
	first := (t.n*p.inH+t.row)*row + t.col*channels
	top, edges := &none[channels], 0
	if t.row > 0 {
		top = &p.in[first-row]
	}
	third, fourth, bottom := &none[channels], &none[channels], &none[channels]
	switch left := p.inH - t.row; {
	case left > 4:
		bottom = &p.in[first+4*row]
		fallthrough
	case left > 3:
		fourth = &p.in[first+3*row]
		fallthrough
	case left > 2:
		third = &p.in[first+2*row]
	}
	if t.col == 0 {
		edges |= noPixel0
	}
	switch p.inW - t.col {
	case 2:
		edges |= noPixel3 | noPixel4 | noPixel5
	case 3:
		edges |= noPixel4 | noPixel5
	case 4:
		edges |= noPixel5
	}
	simd.winoInput(top, &p.in[first], third, fourth, bottom, uintptr(4*row), uintptr(4*channels), &v[0], uintptr(4*stride),
		vectors, &winogradConstants[0], &tmp[0], uintptr(4*4*row), edges)
}

// edges says which tiles the transforms read and write as they are, and what of 4x4 pixels such a tile lacks.
func (t winoTile) edges() (edges int, ok bool) {
	if t.rows == 3 {
		edges |= noLastRow
	}
	if t.cols == 3 {
		edges |= noLastPixel
	}
	return edges, t.rows >= 3 && t.cols >= 3
}

// stagePatch copies the patch of a tile to [6][6][width], with zeros outside the image and beyond the channels.
func (p *winoPass) stagePatch(dst []float32, width int, t winoTile) {
	q0, q1 := max(0, t.col-1), min(p.inW, t.col+5)
	for i := range 6 {
		r, line := t.row-1+i, dst[i*6*width:][:6*width]
		if r < 0 || r >= p.inH || q0 >= q1 { // a gradient may have no output near by
			clear(line)
			continue
		}
		src, before := p.in[((t.n*p.inH+r)*p.inW+q0)*p.from:][:(q1-q0)*p.from], (q0-(t.col-1))*width
		clear(line[:before])
		copyPixels(line[before:], width, src, p.from, p.from)
		clear(line[before+(q1-q0)*width:])
	}
}

// copyPixels copies pixels, as many as src has, of channels floats each, step apart, to pixels of width, with zeros
// beyond the channels.
func copyPixels(dst []float32, width int, src []float32, step, channels int) {
	if width == step && width == channels {
		copy(dst, src)
		return
	}
	for i := 0; i < len(src); i, dst = i+step, dst[width:] {
		padTo(dst[:width], src[i:][:channels])
	}
}

// winoTiles convolves the images of one chunk.
func (c *Conv) winoTiles(l *lane, chunk int) {
	p, wide, chunks := &c.pass, simd.width(2), tiles(c.N, c.pass.images)
	n0, n1 := cut(c.N, chunk, chunks), cut(c.N, chunk+1, chunks)
	images := n1 - n0
	from, from0 := p, n0 // where the inputs come from
	if c.Before.of != nil {
		l.source = *p
		l.source.in = c.gradients(l, n0, n1)
		from, from0 = &l.source, 0
	}
	s := p.values(l, p.block)
	add := c.add
	if c.bias != nil {
		c.fillBias(n0, n1)
		add = true
	}
	q, q0 := p, n0 // where the outputs go
	if c.pool != nil {
		q, q0 = p.unpooled(l, images), 0
	}
	l.brgemm = brgemm{lda: uintptr(4 * s.rowV), ldc: uintptr(4 * s.rowM), k: p.from, segs: 1}
	blocks := tiles(images*p.perImage, p.block)
	for b := range blocks {
		b0, b1 := cut(images*p.perImage, b, blocks), cut(images*p.perImage, b+1, blocks)
		for i := b0; i < b1; i++ {
			place, t := p.tile(i, from0, images)
			from.patch(&s, place-b0, t)
		}
		for j0 := 0; j0 < p.to; j0 += p.group {
			j1 := min(p.to, j0+p.group)
			for point := range winoPoints {
				t0, t1 := p.needing(point, images)
				t0, t1 = max(t0, b0)-b0, min(t1, b1)-b0
				if t0 >= t1 {
					continue
				}
				for j := j0; j < j1; j += wide {
					vectors := vectorsFor(p.to - j)
					width := simd.width(vectors)
					l.ldb, l.b = uintptr(4*width), at(p.u, winoPoints*p.from*j+point*p.from*width)
					l.a, l.c = at(s.v, point*s.strideV+t0*s.rowV), at(s.m, point*s.strideM+t0*s.rowM+j-j0)
					l.brgemm.run(false, vectors, t1-t0)
				}
			}
			for i := b0; i < b1; i++ {
				place, t := p.tile(i, q0, images)
				q.output(&s, place-b0, t, j0, j1, add)
			}
		}
	}
	if c.pool != nil {
		size := p.outH * p.outW * p.to
		for n := n0; n < n1; n++ {
			c.pool.pool(n, q.out[(n-n0)*size:][:size])
		}
	}
	if c.sums != nil {
		px := p.outH * p.outW
		for n := n0; n < n1; n++ {
			imageSums(c.sums[n*2*c.OC:][:2*c.OC], c.y[n*px*c.OC:][:px*c.OC], px, c.OC)
		}
	}
	if c.After.of != nil {
		result, size := p.out, p.outH*p.outW*p.to
		if c.pool != nil {
			result, size = c.pool.small, c.pool.Size()/c.N
		}
		for n := n0; n < n1; n++ {
			c.After.over(l, result[n*size:][:size], n)
		}
	}
}

// fillBias sets every output pixel of some images to the bias, to which the outputs are added.
func (c *Conv) fillBias(n0, n1 int) {
	px := c.OutH() * c.OutW()
	for i := n0 * px; i < n1*px; i++ {
		copy(c.y[i*c.OC:][:c.OC], c.bias)
	}
}

// output transforms the points of place i of s into the outputs of a tile, channels j0 to j1.
func (p *winoPass) output(s *winoValues, i int, t winoTile, j0, j1 int, add bool) {
	vectors := tiles(j1-j0, simd.floats)
	width := vectors * simd.floats
	transform, m, stride := simd.winoOutput, &s.m[i*s.rowM], uintptr(4*s.strideM)
	out, row := p.out[((t.n*p.outH+t.row)*p.outW+t.col)*p.to+j0:], p.outW*p.to
	if edges, ok := t.edges(); ok && width == j1-j0 && (edges == 0 || !add) {
		if add {
			transform = simd.winoOutputAdd
		}
		transform(&out[0], uintptr(4*row), uintptr(4*p.to), m, stride, vectors, &winogradConstants[0], &s.tmp[0],
			uintptr(4*4*row), edges)
		return
	}
	transform(&s.stage[0], uintptr(4*4*width), uintptr(4*width), m, stride, vectors, &winogradConstants[0], &s.tmp[0],
		0, 0)
	for r := range t.rows {
		for q := range t.cols {
			dst, src := out[r*row+q*p.to:][:j1-j0], s.stage[(4*r+q)*width:]
			if add {
				addTo(dst, src)
			} else {
				copy(dst, src)
			}
		}
	}
}
