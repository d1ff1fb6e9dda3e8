package kernel

// Activation is a function that a layer applies to its result, element by element.
type Activation uint8

// The activations. GELU is x·Φ(x), with Φ the normal distribution function (Hendrycks and Gimpel 2016,
// https://arxiv.org/abs/1606.08415): exactly, by erf, not by the approximation with tanh. SiLU is x·sigmoid(x) (the
// same authors; Elfwing et al. 2018, https://arxiv.org/abs/1702.03118). ReLU is max(0, x). All leave NaN as it is.
const (
	ActNone Activation = iota
	ActReLU
	ActGELU
	ActSiLU
)

// String is the activation's name, "" of none.
func (a Activation) String() string { return [...]string{"", "relu", "gelu", "silu"}[a] }

// GELU computes y = x·Φ(x). y may be x.
func GELU(y, x []float32) { runElementwise(y, x, x, (*elementwise).gelu) }

// GELUGrad computes dx = dy·(Φ(x) + x·φ(x)), with φ the normal density. dx may be dy.
func GELUGrad(dx, dy, x []float32) { runElementwise(dx, dy, x, (*elementwise).geluGrad) }

// SiLU computes y = x·sigmoid(x). y may be x.
func SiLU(y, x []float32) { runElementwise(y, x, x, (*elementwise).silu) }

// SiLUGrad computes dx = dy·s·(1 + x·(1-s)), with s = sigmoid(x). dx may be dy.
func SiLUGrad(dx, dy, x []float32) { runElementwise(dx, dy, x, (*elementwise).siluGrad) }

func (e *elementwise) gelu(_ *lane, i int) {
	y, x, _ := e.part(i)
	geluRow(y, x)
}

func geluRow(y, x []float32) { applyRow(y, x, simd.gelu, geluOne) }

func (e *elementwise) geluGrad(_ *lane, i int) {
	dx, dy, x := e.part(i)
	gradRow(dx, dy, x, simd.geluGrad, geluSlope)
}

func (e *elementwise) silu(_ *lane, i int) {
	y, x, _ := e.part(i)
	applyRow(y, x, simd.silu, siluOne)
}

func (e *elementwise) siluGrad(_ *lane, i int) {
	dx, dy, x := e.part(i)
	gradRow(dx, dy, x, simd.siluGrad, siluSlope)
}

// applyRow is y = f(x), by whole vectors and then one at a time.
func applyRow(y, x []float32, vectors geluFunc, one func(float32) float32) {
	n := len(y) / simd.floats
	if n > 0 {
		vectors(&y[0], &x[0], n, &functionConstants[0])
	}
	for j := n * simd.floats; j < len(y); j++ {
		y[j] = one(x[j])
	}
}

// gradRow is dx = dy·f'(x), by whole vectors and then one at a time.
func gradRow(dx, dy, x []float32, vectors geluGradFunc, slope func(float32) float32) {
	n := len(dx) / simd.floats
	if n > 0 {
		vectors(&dx[0], &dy[0], &x[0], n, &functionConstants[0])
	}
	for j := n * simd.floats; j < len(dx); j++ {
		dx[j] = dy[j] * slope(x[j])
	}
}

// value is the activation of x, one element at a time.
func (a Activation) value(x float32) float32 {
	switch {
	case a == ActReLU && x < 0:
		return 0
	case a == ActGELU:
		return geluOne(x)
	case a == ActSiLU:
		return siluOne(x)
	}
	return x
}

// Smooth says whether the gradient of the activation needs what it was applied to: of ReLU, the result tells.
func (a Activation) Smooth() bool { return a == ActGELU || a == ActSiLU }

// slope is the slope of a smooth activation at x.
func (a Activation) slope(x float32) float32 {
	if a == ActSiLU {
		return siluSlope(x)
	}
	return geluSlope(x)
}
