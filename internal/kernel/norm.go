package kernel

import "math"

// Batch normalisation (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167) over images
// [N, Pixels, C]. Channel sums are kept for each image, as float32 [N, 2, C], and added over the
// images in float64, in order; so they are the same whoever computes them: Norm.Sums in a pass of its
// own, or a convolution while it has the image in the cache.

// Norm holds the size of what is normalised. Its methods allocate nothing.
type Norm struct {
	N, Pixels, C int

	phase                    phase[Norm]
	y, x, res, dy, g, sums   []float32
	scale, shift, mean, a, b []float32
	low                      [1]float32
	act                      Activation
	scaled                   bool
}

// run runs a pass, of which a chunk is an image.
func (m *Norm) run(pass func(*Norm, *lane, int)) {
	m.phase.run(m, pass, m.N)
	m.y, m.x, m.res, m.dy, m.g, m.sums = nil, nil, nil, nil, nil, nil
}

// Pass is a pass of a normalisation over one image after the other, for a convolution to take while it has the image in
// the cache: see Conv. The Norm must not be used for anything else until then. The zero Pass does nothing.
type Pass struct {
	of *Norm
	do func(m *Norm, l *lane, image []float32, n int)
}

// over takes the pass over image n.
func (p *Pass) over(l *lane, image []float32, n int) {
	if p.of != nil {
		p.do(p.of, l, image, n)
	}
}

// check panics where a slice is too short.
func (m *Norm) check(tensors, channels [][]float32) {
	for _, t := range tensors {
		if len(t) < m.N*m.Pixels*m.C {
			panic("kernel: a tensor is too short to be normalised")
		}
	}
	for _, t := range channels {
		if len(t) < m.C {
			panic("kernel: a vector of channels is too short")
		}
	}
}

// image is image n of t, nil where t is.
func (m *Norm) image(t []float32, n int) []float32 {
	if t == nil {
		return nil
	}
	size := m.Pixels * m.C
	return t[n*size:][:size]
}

// Sums computes sums [N, 2, C] = for each image the sum of each channel of x, and of its square.
func (m *Norm) Sums(sums, x []float32) {
	m.check([][]float32{x}, nil)
	_ = sums[:m.N*2*m.C]
	m.sums, m.x = sums, x
	m.run((*Norm).sumsImage)
}

// Moments computes the mean and the biased variance of each channel from sums over N images.
func (m *Norm) Moments(mean, variance, sums []float32) {
	count := float64(m.N * m.Pixels)
	for c := range m.C {
		var s, q float64
		for n := range m.N {
			s += float64(sums[n*2*m.C+c])
			q += float64(sums[(n*2+1)*m.C+c])
		}
		s /= count
		mean[c] = float32(s)
		v := q/count - s*s
		if v < 0 { // rounding; NaN stays NaN
			v = 0
		}
		variance[c] = float32(v)
	}
}

// Apply computes y = act(x·scale + shift), plus res inside if that is not nil.
func (m *Norm) Apply(y, x, res, scale, shift []float32, act Activation) {
	m.check([][]float32{y, x}, nil)
	m.applies(res, scale, shift, act)
	m.y, m.x = y, x
	m.run((*Norm).applyImage)
}

// ApplyPass is Apply in place.
func (m *Norm) ApplyPass(res, scale, shift []float32, act Activation) Pass {
	m.applies(res, scale, shift, act)
	return Pass{m, func(m *Norm, _ *lane, image []float32, n int) { m.apply(image, image, m.image(m.res, n)) }}
}

// applies keeps what apply needs.
func (m *Norm) applies(res, scale, shift []float32, act Activation) {
	m.check(nil, [][]float32{scale, shift})
	if res != nil {
		m.check([][]float32{res}, nil)
	}
	m.res, m.scale, m.shift, m.act = res, scale, shift, act
	m.low[0] = float32(math.Inf(-1))
	if act == ActReLU {
		m.low[0] = 0
	}
}

// GradSums is the first pass backward for y = act(x·scale + shift + res): it computes g = dy·act'(·), and sums [N, 2,
// C] = for each image the sums of g and of g·(x - mean). ReLU needs y for it, GELU and SiLU need scale, shift and res,
// and compute anew what they were applied to; what an activation does not need may be nil. g may be dy.
func (m *Norm) GradSums(g, sums, dy, y, x, res, mean, scale, shift []float32, act Activation) {
	m.check([][]float32{g, dy}, nil)
	m.sumsGrad(sums, y, x, res, mean, scale, shift, act)
	m.g, m.dy = g, dy
	m.run((*Norm).gradSumsImage)
}

// GradSumsPass is GradSums in place, over images of dy.
func (m *Norm) GradSumsPass(sums, y, x, res, mean, scale, shift []float32, act Activation) Pass {
	m.sumsGrad(sums, y, x, res, mean, scale, shift, act)
	return Pass{m, func(m *Norm, _ *lane, image []float32, n int) { m.gradSums(image, image, n) }}
}

// sumsGrad keeps what gradSums needs.
func (m *Norm) sumsGrad(sums, y, x, res, mean, scale, shift []float32, act Activation) {
	m.check([][]float32{x}, [][]float32{mean})
	m.needs(y, res, scale, shift, act)
	_ = sums[:m.N*2*m.C]
	m.sums, m.x, m.mean = sums, x, mean
}

// needs keeps what the gradient of the activation needs.
func (m *Norm) needs(y, res, scale, shift []float32, act Activation) {
	m.y, m.res, m.scale, m.shift, m.act = nil, nil, nil, nil, act
	switch {
	case act == ActReLU:
		m.check([][]float32{y}, nil)
		m.y = y
	case act.Smooth():
		m.check(nil, [][]float32{scale, shift})
		if res != nil {
			m.check([][]float32{res}, nil)
		}
		m.res, m.scale, m.shift = res, scale, shift
	}
}

// GradFixed computes dx = dy·act'(x·scale + shift + res), times scale where scaled, for act of GELU or SiLU: the
// gradient where scale and shift do not hang on x. res may be nil. dx may be dy.
func (m *Norm) GradFixed(dx, dy, x, res, scale, shift []float32, act Activation, scaled bool) {
	m.check([][]float32{dx}, nil)
	m.fixedGrad(dy, x, res, scale, shift, act, scaled)
	m.g = dx
	m.run((*Norm).gradFixedImage)
}

// GradFixedPass is GradFixed, which makes images of dx.
func (m *Norm) GradFixedPass(dy, x, res, scale, shift []float32, act Activation, scaled bool) Pass {
	m.fixedGrad(dy, x, res, scale, shift, act, scaled)
	return Pass{m, (*Norm).gradFixed}
}

// fixedGrad keeps what gradFixed needs.
func (m *Norm) fixedGrad(dy, x, res, scale, shift []float32, act Activation, scaled bool) {
	m.check([][]float32{dy, x}, nil)
	m.needs(nil, res, scale, shift, act)
	m.dy, m.x, m.mean, m.scaled = dy, x, shift, scaled // its sums are of no use, whatever the mean
	m.low[0] = float32(math.Inf(-1))
}

// MaskPass sets to 0 where y is not above 0: the gradient of ReLU, in place, over images of dy.
func (m *Norm) MaskPass(y []float32) Pass {
	m.check([][]float32{y}, nil)
	m.y = y
	return Pass{m, func(m *Norm, _ *lane, image []float32, n int) { maskTo(image, image, m.image(m.y, n)) }}
}

// GradScale computes dx = dy·scale, where y > 0 if that is not nil, else 0: the gradient for y = x·scale + shift, or
// its ReLU, where scale and shift do not hang on x. zero [C] is zeros. dx may be dy.
func (m *Norm) GradScale(dx, dy, y, scale, zero []float32) {
	m.check([][]float32{dx}, nil)
	m.scaleGrad(dy, y, scale, zero)
	m.g = dx
	m.run((*Norm).gradScaleImage)
}

// GradScalePass is GradScale, which makes images of dx.
func (m *Norm) GradScalePass(dy, y, scale, zero []float32) Pass {
	m.scaleGrad(dy, y, scale, zero)
	return Pass{m, (*Norm).gradScale}
}

// scaleGrad keeps what gradScale needs.
func (m *Norm) scaleGrad(dy, y, scale, zero []float32) {
	m.check([][]float32{dy}, nil)
	if y != nil {
		m.check([][]float32{y}, nil)
	}
	m.applies(nil, scale, zero, ActNone)
	m.dy, m.y = dy, y
}

// GradInput is the second pass backward: it computes dx = a·g + b·(x - mean) + c. dx may be g.
func (m *Norm) GradInput(dx, g, x, mean, a, b, c []float32) {
	m.check([][]float32{dx, g, x}, [][]float32{mean, a, b, c})
	m.y, m.g, m.x, m.mean, m.a, m.b, m.shift = dx, g, x, mean, a, b, c
	m.run((*Norm).gradInputImage)
}

// blocks calls f for each block of one or two vectors of c channels, then rest with where what is
// left of them begins.
func blocks(c int, f func(j, vectors int), rest func(j int)) {
	j := 0
	for c-j >= simd.floats {
		vectors := min(2, (c-j)/simd.floats)
		f(j, vectors)
		j += vectors * simd.floats
	}
	if j < c {
		rest(j)
	}
}

// imageSums is sums [2, channels] = the channel sums of one image x [pixels, channels] and of x².
func imageSums(sums, x []float32, pixels, channels int) {
	clear(sums)
	blocks(channels, func(j, vectors int) {
		simd.sums[vectors](&x[j], pixels, uintptr(4*channels), &sums[j], &sums[channels+j])
	}, func(j int) {
		for p := range pixels {
			for c := j; c < channels; c++ {
				v := x[p*channels+c]
				sums[c] += v
				sums[channels+c] += v * v
			}
		}
	})
}

func (m *Norm) sumsImage(_ *lane, n int) {
	imageSums(m.sums[n*2*m.C:][:2*m.C], m.image(m.x, n), m.Pixels, m.C)
}

func (m *Norm) applyImage(_ *lane, n int) {
	m.apply(m.image(m.y, n), m.image(m.x, n), m.image(m.res, n))
}

// apply computes an image y from x and res.
func (m *Norm) apply(y, x, res []float32) {
	stride := uintptr(4 * m.C)
	blocks(m.C, func(j, vectors int) {
		var r *float32
		if res != nil {
			r = &res[j]
		}
		if m.act.Smooth() {
			simd.normActivate[vectors](&y[j], &x[j], r, m.Pixels, stride, &m.scale[j], &m.shift[j], &functionConstants[0],
				m.silu())
			return
		}
		simd.normApply[vectors](&y[j], &x[j], r, m.Pixels, stride, &m.scale[j], &m.shift[j], &m.low[0])
	}, func(j int) {
		for p := range m.Pixels {
			for c := j; c < m.C; c++ {
				i := p*m.C + c
				y[i] = m.act.value(m.affine(x, res, i, c))
			}
		}
	})
}

// silu says to a kernel whether the smooth activation is SiLU.
func (m *Norm) silu() int {
	if m.act == ActSiLU {
		return 1
	}
	return 0
}

// affine is element i of x·scale + shift + res, of channel c.
func (m *Norm) affine(x, res []float32, i, c int) float32 {
	v := x[i]*m.scale[c] + m.shift[c]
	if res != nil {
		v += res[i]
	}
	return v
}

func (m *Norm) gradSumsImage(_ *lane, n int) { m.gradSums(m.image(m.g, n), m.image(m.dy, n), n) }

// gradSums computes image n of g from that of dy, and its sums.
func (m *Norm) gradSums(g, dy []float32, n int) {
	sums := m.sums[n*2*m.C:][:2*m.C]
	clear(sums)
	if m.act.Smooth() {
		m.smooth(g, dy, n, sums)
		return
	}
	y, x := m.image(m.y, n), m.image(m.x, n)
	stride := uintptr(4 * m.C)
	blocks(m.C, func(j, vectors int) {
		var mask *float32
		if y != nil {
			mask = &y[j]
		}
		simd.normGradSums[vectors](&g[j], &dy[j], mask, &x[j], m.Pixels, stride, &m.mean[j], &sums[j], &sums[m.C+j])
	}, func(j int) {
		for p := range m.Pixels {
			for c := j; c < m.C; c++ {
				i := p*m.C + c
				v := dy[i]
				if y != nil && !(y[i] > 0) {
					v = 0
				}
				g[i] = v
				sums[c] += v
				sums[m.C+c] += v * (x[i] - m.mean[c])
			}
		}
	})
}

// smooth is gradSums for a smooth activation.
func (m *Norm) smooth(g, dy []float32, n int, sums []float32) {
	x, res := m.image(m.x, n), m.image(m.res, n)
	stride := uintptr(4 * m.C)
	blocks(m.C, func(j, vectors int) {
		var r *float32
		if res != nil {
			r = &res[j]
		}
		simd.normActivateGrad[vectors](&g[j], &dy[j], &x[j], r, m.Pixels, stride, &m.scale[j], &m.shift[j], &m.mean[j],
			&sums[j], &sums[m.C+j], &functionConstants[0], m.silu())
	}, func(j int) {
		for p := range m.Pixels {
			for c := j; c < m.C; c++ {
				i := p*m.C + c
				v := dy[i] * m.act.slope(m.affine(x, res, i, c))
				g[i] = v
				sums[c] += v
				sums[m.C+c] += v * (x[i] - m.mean[c])
			}
		}
	})
}

func (m *Norm) gradFixedImage(l *lane, n int) { m.gradFixed(l, m.image(m.g, n), n) }

// gradFixed computes image n of the gradient, which it scales while it is in the cache.
func (m *Norm) gradFixed(l *lane, g []float32, n int) {
	sums := l.floats(3 * m.C)
	clear(sums)
	m.smooth(g, m.image(m.dy, n), n, sums)
	if !m.scaled {
		return
	}
	zeros := sums[2*m.C:]
	blocks(m.C, func(j, vectors int) {
		simd.normApply[vectors](&g[j], &g[j], nil, m.Pixels, uintptr(4*m.C), &m.scale[j], &zeros[j], &m.low[0])
	}, func(j int) {
		for p := range m.Pixels {
			for c := j; c < m.C; c++ {
				g[p*m.C+c] *= m.scale[c]
			}
		}
	})
}

func (m *Norm) gradScaleImage(l *lane, n int) { m.gradScale(l, m.image(m.g, n), n) }

// gradScale computes image n of the gradient.
func (m *Norm) gradScale(_ *lane, dx []float32, n int) {
	dy := m.image(m.dy, n)
	if y := m.image(m.y, n); y != nil {
		maskTo(dx, dy, y)
		dy = dx
	}
	m.apply(dx, dy, nil)
}

func (m *Norm) gradInputImage(_ *lane, n int) {
	dx, g, x := m.image(m.y, n), m.image(m.g, n), m.image(m.x, n)
	stride := uintptr(4 * m.C)
	blocks(m.C, func(j, vectors int) {
		simd.normGradInput[vectors](&dx[j], &g[j], &x[j], m.Pixels, stride, &m.mean[j], &m.a[j], &m.b[j], &m.shift[j])
	}, func(j int) {
		for p := range m.Pixels {
			for c := j; c < m.C; c++ {
				i := p*m.C + c
				dx[i] = m.a[c]*g[i] + m.b[c]*(x[i]-m.mean[c]) + m.shift[c]
			}
		}
	})
}
