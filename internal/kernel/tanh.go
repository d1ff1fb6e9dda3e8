package kernel

import (
	"math"
	"sync"
)

// Tanh is y = tanh(x), element by element, rounded to float32 from float64. y may be x. It is plain Go: heads of
// classifiers apply it to one vector a sentence.
func Tanh(y, x []float32) { runTanh(y, nil, x) }

// TanhGrad is dx = dy·(1 - tanh²(x)). dx may be dy.
func TanhGrad(dx, dy, x []float32) { runTanh(dx, dy, x) }

// tanh is either of the two as a task; without dy it is the function.
type tanh struct{ dst, dy, x []float32 }

var tanhPool = sync.Pool{New: func() any { return new(tanh) }}

func runTanh(dst, dy, x []float32) {
	if len(dst) == 0 {
		return
	}
	t := tanhPool.Get().(*tanh)
	*t = tanh{dst, dy, x}
	run(t, tiles(len(dst), elements))
	*t = tanh{}
	tanhPool.Put(t)
}

func (t *tanh) chunk(_ *lane, i int) {
	for j := i * elements; j < min(len(t.dst), (i+1)*elements); j++ {
		y := math.Tanh(float64(t.x[j]))
		if t.dy == nil {
			t.dst[j] = float32(y)
		} else {
			t.dst[j] = float32(float64(t.dy[j]) * (1 - y*y))
		}
	}
}
