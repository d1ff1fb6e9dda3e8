package kernel

// GELU computes y = x·Φ(x), with Φ the normal distribution function (Hendrycks and Gimpel 2016,
// https://arxiv.org/abs/1606.08415): exactly, by erf, not by the approximation with tanh. y may be x.
func GELU(y, x []float32) { runElementwise(y, x, x, (*elementwise).gelu) }

// GELUGrad computes dx = dy·(Φ(x) + x·φ(x)), with φ the normal density. dx may be dy.
func GELUGrad(dx, dy, x []float32) { runElementwise(dx, dy, x, (*elementwise).geluGrad) }

func (e *elementwise) gelu(_ *lane, i int) {
	y, x, _ := e.part(i)
	geluRow(y, x)
}

func (e *elementwise) geluGrad(_ *lane, i int) {
	dx, dy, x := e.part(i)
	n := len(dx) / simd.floats
	if n > 0 {
		simd.geluGrad(&dx[0], &dy[0], &x[0], n, &functionConstants[0])
	}
	for j := n * simd.floats; j < len(dx); j++ {
		dx[j] = dy[j] * geluSlope(x[j])
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
