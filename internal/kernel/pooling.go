package kernel

import "math"

// AvgPool is the global average of images [N, Pixels, C].
type AvgPool struct {
	N, Pixels, C int

	y, x  []float32
	phase phase[AvgPool]
}

// Forward computes y [N, C] = the mean over the pixels of x [N, Pixels, C].
func (a *AvgPool) Forward(y, x []float32) { a.run(y, x, (*AvgPool).forward) }

// Backward computes dx [N, Pixels, C] = dy [N, C] / Pixels, at every pixel.
func (a *AvgPool) Backward(dx, dy []float32) { a.run(dy, dx, (*AvgPool).backward) }

// run runs a pass, of which a chunk is an image.
func (a *AvgPool) run(y, x []float32, pass func(*AvgPool, *lane, int)) {
	a.y, a.x = y[:a.N*a.C], x[:a.N*a.Pixels*a.C]
	a.phase.run(a, pass, a.N)
}

// image is image n of both sides: y [C] and x [Pixels, C].
func (a *AvgPool) image(n int) (y, x []float32) {
	return a.y[n*a.C:][:a.C], a.x[n*a.Pixels*a.C:][:a.Pixels*a.C]
}

func (a *AvgPool) forward(l *lane, n int) {
	y, x := a.image(n)
	part := 1 / float32(a.Pixels)
	sums := l.floats(2 * a.C)
	imageSums(sums, x, a.Pixels, a.C)
	for c := range y {
		y[c] = sums[c] * part
	}
}

func (a *AvgPool) backward(_ *lane, n int) {
	dy, dx := a.image(n)
	part := 1 / float32(a.Pixels)
	for c, v := range dy {
		dx[c] = v * part
	}
	for done := a.C; done < len(dx); done *= 2 {
		copy(dx[done:], dx[:done])
	}
}

// MaxPool takes the largest of each window of Window x Window pixels, which lie side by side, Window at most 16; rows
// and columns that fill no window are dropped. H and W are the size of the larger image. Its methods allocate nothing.
type MaxPool struct {
	N, H, W, C, Window int

	small, large, sums []float32
	index              []byte
	phase              phase[MaxPool]
}

// Size is the number of elements of the smaller images, [N, H/Window, W/Window, C].
func (p *MaxPool) Size() int { return p.N * (p.H / p.Window) * (p.W / p.Window) * p.C }

// run runs a pass, of which a chunk is an image.
func (p *MaxPool) run(small, large []float32, index []byte, pass func(*MaxPool, *lane, int)) {
	p.small, p.large, p.index = small[:p.Size()], large[:p.N*p.H*p.W*p.C], index[:p.Size()]
	p.phase.run(p, pass, p.N)
	p.small, p.large, p.index, p.sums = nil, nil, nil, nil
}

// Forward computes y [N, H/Window, W/Window, C] = the largest pixel of each window of x, and index, of the same shape,
// its place in the window, in reading order. It is the first of equals, as PyTorch has it, and the last NaN where there
// is one. Where sums is not nil, it becomes the channel sums of y, as Norm.Sums computes them.
func (p *MaxPool) Forward(y []float32, index []byte, x, sums []float32) {
	p.sums = sums
	p.run(y, x, index, (*MaxPool).forward)
}

// Backward computes dx [N, H, W, C] = dy where index says, and 0 elsewhere.
func (p *MaxPool) Backward(dx, dy []float32, index []byte) { p.run(dy, dx, index, (*MaxPool).backward) }

// rows calls f with each row of image n, of which large is the larger one: its outputs and their indices, and the rows
// of the larger image they are made of; then rest with the rows that fill no window.
func (p *MaxPool) rows(n int, large []float32, f func(small []float32, index []byte, large []float32),
	rest func(large []float32)) {
	h, w, row := p.H/p.Window, p.W/p.Window, p.Window*p.W*p.C
	for r := range h {
		at := (n*h + r) * w * p.C
		f(p.small[at:][:w*p.C], p.index[at:][:w*p.C], large[:row])
		large = large[row:]
	}
	rest(large)
}

// image is image n of the larger ones.
func (p *MaxPool) image(n int) []float32 { return p.large[n*p.H*p.W*p.C:][:p.H*p.W*p.C] }

func (p *MaxPool) forward(_ *lane, n int) { p.pool(n, p.image(n)) }

// pool pools image n, which is large.
func (p *MaxPool) pool(n int, large []float32) {
	vectors, row := p.C/simd.floats, p.W*p.C
	p.rows(n, large, func(y []float32, index []byte, x []float32) {
		if vectors > 0 {
			simd.maxPool(&y[0], &index[0], &x[0], len(y)/p.C, vectors, p.Window, uintptr(4*row), uintptr(4*p.C))
		}
		for at := 0; at < len(y); at += p.C {
			for c := vectors * simd.floats; c < p.C; c++ {
				y[at+c], index[at+c] = largest(x[p.Window*at+c:], p.Window, row, p.C)
			}
		}
	}, func([]float32) {})
	if p.sums != nil {
		size := len(p.small) / p.N
		imageSums(p.sums[n*2*p.C:][:2*p.C], p.small[n*size:][:size], size/p.C, p.C)
	}
}

func (p *MaxPool) backward(_ *lane, n int) {
	vectors, row := p.C/simd.floats, p.W*p.C
	p.rows(n, p.image(n), func(dy []float32, index []byte, dx []float32) {
		if vectors > 0 {
			simd.maxPoolGrad(&dx[0], &dy[0], &index[0], len(dy)/p.C, vectors, p.Window, uintptr(4*row), uintptr(4*p.C))
		}
		for at := 0; at < len(dy); at += p.C {
			for c := vectors * simd.floats; c < p.C; c++ {
				toLargest(dx[p.Window*at+c:], dy[at+c], index[at+c], p.Window, row, p.C)
			}
		}
		if over := p.W % p.Window * p.C; over > 0 {
			for end := row; end <= len(dx); end += row {
				clear(dx[end-over : end])
			}
		}
	}, func(dx []float32) { clear(dx) })
}

// largest is the largest of a window's pixels of one channel, from x[0] on, and its place.
func largest(x []float32, window, row, pixel int) (y float32, place byte) {
	y = float32(math.Inf(-1))
	for i := range window {
		for j := range window {
			if v := x[i*row+j*pixel]; v > y || v != v {
				y, place = v, byte(i*window+j)
			}
		}
	}
	return y, place
}

// toLargest gives dy to the pixel of a window at place, and 0 to the others.
func toLargest(dx []float32, dy float32, place byte, window, row, pixel int) {
	for i := range window {
		for j := range window {
			v := float32(0)
			if int(place) == i*window+j {
				v = dy
			}
			dx[i*row+j*pixel] = v
		}
	}
}

// Pool2 upsamples by squares of 2x2 pixels; H and W are the size of the larger image, and even.
type Pool2 struct {
	N, H, W, C int

	small, large []float32 // [N, H/2, W/2, C], [N, H, W, C]
	phase        phase[Pool2]
}

// run runs a pass, of which a chunk is an image.
func (p *Pool2) run(small, large []float32, pass func(*Pool2, *lane, int)) {
	p.small, p.large = small[:p.N*(p.H/2)*(p.W/2)*p.C], large[:p.N*p.H*p.W*p.C]
	p.phase.run(p, pass, p.N)
}

// Spread computes y (large) = each pixel of x (small) four times.
func (p *Pool2) Spread(y, x []float32) { p.run(x, y, (*Pool2).spread) }

// Sum computes dx (small) = the sum of each four pixels of dy (large).
func (p *Pool2) Sum(dx, dy []float32) { p.run(dx, dy, (*Pool2).sum) }

// squares calls f with each pixel of image n of small and with its four of large, which lie two side by side.
func (p *Pool2) squares(n int, f func(small, top, bottom []float32)) {
	h, w, c := p.H/2, p.W/2, p.C
	row := p.W * c
	large := p.large[n*p.H*row:][:p.H*row]
	for r := range h {
		for q := range w {
			f(p.small[((n*h+r)*w+q)*c:][:c], large[2*r*row+2*q*c:][:2*c], large[(2*r+1)*row+2*q*c:][:2*c])
		}
	}
}

func (p *Pool2) spread(_ *lane, n int) {
	p.squares(n, func(x, top, bottom []float32) {
		copy(top, x)
		copy(top[len(x):], x)
		copy(bottom, top)
	})
}

func (p *Pool2) sum(_ *lane, n int) {
	p.squares(n, func(dx, top, bottom []float32) {
		c := len(dx)
		for i := range dx {
			dx[i] = top[i] + top[c+i] + (bottom[i] + bottom[c+i])
		}
	})
}

// Subsample takes every Stride-th pixel of [N, H, W, C] and pads its channels with zeros to OC, Front of them before
// the channels.
type Subsample struct {
	N, H, W, C, OC, Stride, Front int

	y, x  []float32
	phase phase[Subsample]
}

// Forward computes y [N, ceil(H/Stride), ceil(W/Stride), OC] from x [N, H, W, C].
func (s *Subsample) Forward(y, x []float32) {
	s.y, s.x = y, x
	s.phase.run(s, (*Subsample).forward, s.N)
}

// Backward computes dx [N, H, W, C] from dy.
func (s *Subsample) Backward(dx, dy []float32) {
	s.y, s.x = dy, dx
	s.phase.run(s, (*Subsample).backward, s.N)
}

// image is image n of both sides: y [h, w, OC] and x [H, W, C].
func (s *Subsample) image(n int) (h, w int, y, x []float32) {
	h, w = (s.H-1)/s.Stride+1, (s.W-1)/s.Stride+1
	return h, w, s.y[n*h*w*s.OC:][:h*w*s.OC], s.x[n*s.H*s.W*s.C:][:s.H*s.W*s.C]
}

func (s *Subsample) forward(_ *lane, n int) {
	h, w, y, x := s.image(n)
	for r := range h {
		for q := range w {
			small := y[(r*w+q)*s.OC:][:s.OC]
			clear(small[:s.Front])
			copy(small[s.Front:], x[(r*s.Stride*s.W+q*s.Stride)*s.C:][:s.C])
			clear(small[s.Front+s.C:])
		}
	}
}

func (s *Subsample) backward(_ *lane, n int) {
	h, w, dy, dx := s.image(n)
	clear(dx)
	for r := range h {
		for q := range w {
			copy(dx[(r*s.Stride*s.W+q*s.Stride)*s.C:][:s.C], dy[(r*w+q)*s.OC+s.Front:][:s.C])
		}
	}
}
