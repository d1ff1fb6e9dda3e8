package kernel

import "sync"

// GELU is y = x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016,
// https://arxiv.org/abs/1606.08415): the exact form by erf, not its approximation by tanh. y may be x.
func GELU(y, x []float32) { runGELU(y, nil, x) }

// GELUGrad is dx = dy·(Φ(x) + x·φ(x)), φ the normal density. dx may be dy.
func GELUGrad(dx, dy, x []float32) { runGELU(dx, dy, x) }

// gelu is either of the two as a task; without dy it is the function.
type gelu struct{ dst, dy, x []float32 }

var geluPool = sync.Pool{New: func() any { return new(gelu) }}

func runGELU(dst, dy, x []float32) {
	if len(dst) == 0 {
		return
	}
	x = x[:len(dst)]
	if dy != nil {
		dy = dy[:len(dst)]
	}
	t := geluPool.Get().(*gelu)
	*t = gelu{dst, dy, x}
	run(t, tiles(len(dst), elements))
	*t = gelu{}
	geluPool.Put(t)
}

func (t *gelu) chunk(_ *lane, i int) {
	lo, hi := i*elements, min(len(t.dst), (i+1)*elements)
	if t.dy == nil {
		geluRow(t.dst[lo:hi], t.x[lo:hi])
		return
	}
	dst, dy, x := t.dst[lo:hi], t.dy[lo:hi], t.x[lo:hi]
	n := len(dst) / simd.floats
	if n > 0 {
		simd.geluGrad(&dst[0], &dy[0], &x[0], n, &functionConstants[0])
	}
	for j := n * simd.floats; j < len(dst); j++ {
		dst[j] = dy[j] * geluSlope(x[j])
	}
}

func geluRow(y, x []float32) {
	n := len(y) / simd.floats
	if n > 0 {
		simd.gelu(&y[0], &x[0], n, &functionConstants[0])
	}
	for j := n * simd.floats; j < len(y); j++ {
		y[j] = geluOne(x[j])
	}
}
