package kernel

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

// Pool2 pools and upsamples by squares of 2x2 pixels; H and W are the size of the larger image.
type Pool2 struct {
	N, H, W, C int

	small, large []float32 // [N, H/2, W/2, C], [N, H, W, C]
	y, x         []float32 // of MaxGrad: the output and the input of Max; small and large are the gradients
	phase        phase[Pool2]
}

// run runs a pass, of which a chunk is an image.
func (p *Pool2) run(small, large []float32, pass func(*Pool2, *lane, int)) {
	p.small, p.large = small[:p.N*(p.H/2)*(p.W/2)*p.C], large[:p.N*p.H*p.W*p.C]
	p.phase.run(p, pass, p.N)
}

// Max computes y = the largest of each four pixels of x; NaN if any of them is.
func (p *Pool2) Max(y, x []float32) { p.run(y, x, (*Pool2).max) }

// MaxGrad computes dx = dy at the first of each four pixels of x that equals y, and 0 elsewhere.
func (p *Pool2) MaxGrad(dx, dy, x, y []float32) {
	p.y, p.x = y[:p.N*(p.H/2)*(p.W/2)*p.C], x[:p.N*p.H*p.W*p.C]
	p.run(dy, dx, (*Pool2).maxGrad)
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

func (p *Pool2) max(_ *lane, n int) {
	p.squares(n, func(y, top, bottom []float32) {
		c := len(y)
		for i := range y {
			y[i] = max(top[i], top[c+i], bottom[i], bottom[c+i])
		}
	})
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

func (p *Pool2) maxGrad(_ *lane, n int) {
	h, w, c := p.H/2, p.W/2, p.C
	row := p.W * c
	dx, x := p.large[n*p.H*row:][:p.H*row], p.x[n*p.H*row:][:p.H*row]
	clear(dx)
	for r := range h {
		for q := range w {
			at := ((n*h+r)*w + q) * c
			dy, y := p.small[at:][:c], p.y[at:][:c]
			first := 2*r*row + 2*q*c
			for i := range y {
				for _, j := range [4]int{first + i, first + c + i, first + row + i, first + row + c + i} {
					if x[j] == y[i] {
						dx[j] = dy[i]
						break
					}
				}
			}
		}
	}
}

// Subsample takes every Stride-th pixel of [N, H, W, C] and pads its channels with zeros to OC.
type Subsample struct {
	N, H, W, C, OC, Stride int

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
			copy(small, x[(r*s.Stride*s.W+q*s.Stride)*s.C:][:s.C])
			clear(small[s.C:])
		}
	}
}

func (s *Subsample) backward(_ *lane, n int) {
	h, w, dy, dx := s.image(n)
	clear(dx)
	for r := range h {
		for q := range w {
			copy(dx[(r*s.Stride*s.W+q*s.Stride)*s.C:][:s.C], dy[(r*w+q)*s.OC:][:s.OC])
		}
	}
}
