package kernel

// FewChannels is how many channels it takes until a pixel fills a vector of some level.
const FewChannels = 8

// affinePixels is how many pixels a chunk has.
const affinePixels = 4 << 10

// Affine is y = x·scale + shift by channel, for images of few channels: colours. Vectors then hold several pixels, and
// repeat scale and shift. Every element is rounded twice, as in plain Go.
type Affine struct {
	y, x, scale, shift []float32 // the latter repeated until they fill whole vectors of any level
	channels           int
	phase              phase[Affine]
}

// Run computes y = x·scale + shift for x [pixels, channels], scale and shift [channels], fewer than FewChannels. y may
// be x. It allocates nothing but the first time.
func (a *Affine) Run(y, x, scale, shift []float32) {
	const vector = 16
	c := len(scale)
	if c == 0 || c >= FewChannels || len(shift) != c {
		panic("kernel: few channels are 1 to 7, with as many scales as shifts")
	}
	if len(a.scale) != c*vector {
		a.scale, a.shift = Alloc(c*vector), Alloc(c*vector)
	}
	for i := range a.scale {
		a.scale[i], a.shift[i] = scale[i%c], shift[i%c]
	}
	a.y, a.x, a.channels = y[:len(x)], x, c
	a.phase.run(a, (*Affine).part, tiles(len(x), affinePixels*c))
	a.y, a.x = nil, nil
}

func (a *Affine) part(_ *lane, i int) {
	lo, hi := i*affinePixels*a.channels, min(len(a.x), (i+1)*affinePixels*a.channels)
	y, x, period := a.y[lo:hi], a.x[lo:hi], len(a.scale)
	n := len(x) / period
	if n > 0 {
		simd.affine(&y[0], &x[0], &a.scale[0], &a.shift[0], n, period/simd.floats)
	}
	for j := n * period; j < len(x); j++ {
		y[j] = float32(x[j]*a.scale[j%period]) + a.shift[j%period]
	}
}
