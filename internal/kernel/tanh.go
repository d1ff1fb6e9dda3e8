package kernel

import "math"

// Tanh computes y = tanh(x), element by element, rounded to float32 from float64. y may be x. It is plain Go, since
// the heads of classifiers apply it to one vector a sentence only.
func Tanh(y, x []float32) { runElementwise(y, x, x, (*elementwise).tanh) }

// TanhGrad computes dx = dy·(1 - tanh²(x)). dx may be dy.
func TanhGrad(dx, dy, x []float32) { runElementwise(dx, dy, x, (*elementwise).tanhGrad) }

func (e *elementwise) tanh(_ *lane, i int) {
	y, x, _ := e.part(i)
	for j, v := range x {
		y[j] = float32(math.Tanh(float64(v)))
	}
}

func (e *elementwise) tanhGrad(_ *lane, i int) {
	dx, dy, x := e.part(i)
	for j, v := range x {
		y := math.Tanh(float64(v))
		dx[j] = float32(float64(dy[j]) * (1 - y*y))
	}
}
