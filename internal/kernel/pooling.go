package kernel

// AvgPool is the global average of images [N, Pixels, C].
type AvgPool struct {
	N, Pixels, C int

	y, x     []float32
	backward bool
}

// Forward is y [N, C] = the mean over the pixels of x [N, Pixels, C].
func (a *AvgPool) Forward(y, x []float32) {
	_, _ = y[:a.N*a.C], x[:a.N*a.Pixels*a.C]
	a.y, a.x, a.backward = y, x, false
	run(a, a.N)
}

// Backward is dx [N, Pixels, C] = dy [N, C] / Pixels, at every pixel.
func (a *AvgPool) Backward(dx, dy []float32) {
	_, _ = dy[:a.N*a.C], dx[:a.N*a.Pixels*a.C]
	a.y, a.x, a.backward = dy, dx, true
	run(a, a.N)
}

func (a *AvgPool) chunk(l *lane, n int) {
	y, x := a.y[n*a.C:][:a.C], a.x[n*a.Pixels*a.C:][:a.Pixels*a.C]
	part := 1 / float32(a.Pixels)
	if a.backward {
		for c, v := range y {
			x[c] = v * part
		}
		for done := a.C; done < len(x); done *= 2 {
			copy(x[done:], x[:done])
		}
		return
	}
	sums := l.floats(2 * a.C)
	imageSums(sums, x, a.Pixels, a.C)
	for c := range y {
		y[c] = sums[c] * part
	}
}

// Pool2 joins and spreads squares of 2x2 pixels; H and W are the size of the larger image.
type Pool2 struct {
	N, H, W, C int

	op              pool2Op
	small, large    []float32 // [N, H/2, W/2, C], [N, H, W, C]
	smallIn, winner []float32 // MaxGrad: dy and y
}

type pool2Op int

const (
	pool2Max pool2Op = iota
	pool2MaxGrad
	pool2Spread
	pool2Sum
)

func (p *Pool2) run(op pool2Op, small, large []float32) {
	_, _ = small[:p.N*(p.H/2)*(p.W/2)*p.C], large[:p.N*p.H*p.W*p.C]
	p.op, p.small, p.large = op, small, large
	run(p, p.N)
}

// Max is y = the largest of each four pixels of x; NaN where any is.
func (p *Pool2) Max(y, x []float32) { p.run(pool2Max, y, x) }

// MaxGrad is dx = dy at the first of each four pixels of x that equals y, and 0 elsewhere.
func (p *Pool2) MaxGrad(dx, dy, x, y []float32) {
	_ = y[:p.N*(p.H/2)*(p.W/2)*p.C]
	_ = dx[:p.N*p.H*p.W*p.C]
	p.smallIn, p.winner = dy, y
	p.op, p.small, p.large = pool2MaxGrad, dx, x
	run(p, p.N)
}

// Spread is y (large) = each pixel of x (small) four times.
func (p *Pool2) Spread(y, x []float32) { p.run(pool2Spread, x, y) }

// Sum is dx (small) = the sum of each four pixels of dy (large).
func (p *Pool2) Sum(dx, dy []float32) { p.run(pool2Sum, dx, dy) }

func (p *Pool2) chunk(_ *lane, n int) {
	h, w, c := p.H/2, p.W/2, p.C
	row := p.W * c
	large := p.large[n*p.H*row:][:p.H*row]
	if p.op == pool2MaxGrad {
		p.maxGrad(n, large)
		return
	}
	for r := range h {
		for q := range w {
			small := p.small[((n*h+r)*w+q)*c:][:c]
			top, bottom := large[2*r*row+2*q*c:][:2*c], large[(2*r+1)*row+2*q*c:][:2*c]
			switch p.op {
			case pool2Max:
				for i := range small {
					small[i] = max(top[i], top[c+i], bottom[i], bottom[c+i])
				}
			case pool2Spread:
				copy(top, small)
				copy(top[c:], small)
				copy(bottom, top)
			case pool2Sum:
				for i := range small {
					small[i] = top[i] + top[c+i] + (bottom[i] + bottom[c+i])
				}
			}
		}
	}
}

func (p *Pool2) maxGrad(n int, x []float32) {
	h, w, c := p.H/2, p.W/2, p.C
	row := p.W * c
	dx := p.small[n*p.H*row:][:p.H*row]
	clear(dx)
	for r := range h {
		for q := range w {
			at := ((n*h+r)*w + q) * c
			dy, y := p.smallIn[at:][:c], p.winner[at:][:c]
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

	y, x     []float32
	backward bool
}

// Forward is y [N, ceil(H/Stride), ceil(W/Stride), OC] from x [N, H, W, C].
func (s *Subsample) Forward(y, x []float32) {
	s.y, s.x, s.backward = y, x, false
	run(s, s.N)
}

// Backward is dx [N, H, W, C] from dy.
func (s *Subsample) Backward(dx, dy []float32) {
	s.y, s.x, s.backward = dy, dx, true
	run(s, s.N)
}

func (s *Subsample) chunk(_ *lane, n int) {
	h, w := (s.H-1)/s.Stride+1, (s.W-1)/s.Stride+1
	y, x := s.y[n*h*w*s.OC:][:h*w*s.OC], s.x[n*s.H*s.W*s.C:][:s.H*s.W*s.C]
	if s.backward {
		clear(x)
	}
	for r := range h {
		for q := range w {
			small, large := y[(r*w+q)*s.OC:][:s.OC], x[(r*s.Stride*s.W+q*s.Stride)*s.C:][:s.C]
			if s.backward {
				copy(large, small)
			} else {
				copy(small, large)
				clear(small[s.C:])
			}
		}
	}
}
