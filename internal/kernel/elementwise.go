package kernel

import "sync"

// elements is how many elements a chunk of an element-wise kernel has.
const elements = 16 << 10

// Add is dst = a + b. dst may be a or b.
func Add(dst, a, b []float32) {
	e := elementwisePool.Get().(*elementwise)
	e.dst, e.a, e.b, e.do = dst, a, b, addChunk
	e.run()
}

// ReLUGrad is dx = dy where y > 0, else 0, for y = relu(x). dx may be dy.
func ReLUGrad(dx, dy, y []float32) {
	e := elementwisePool.Get().(*elementwise)
	e.dst, e.a, e.b, e.do = dx, dy, y, reluGradChunk
	e.run()
}

// elementwise is an element-wise kernel of two inputs as a Task.
type elementwise struct {
	dst, a, b []float32
	do        func(dst, a, b []float32)
}

var elementwisePool = sync.Pool{New: func() any { return new(elementwise) }}

func (e *elementwise) run() {
	Run(e, (len(e.dst)+elements-1)/elements)
	*e = elementwise{}
	elementwisePool.Put(e)
}

// Chunk computes one stretch of elements.
func (e *elementwise) Chunk(i int) {
	lo, hi := i*elements, min(len(e.dst), (i+1)*elements)
	e.do(e.dst[lo:hi], e.a[lo:hi], e.b[lo:hi])
}

func addChunk(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func reluGradChunk(dx, dy, y []float32) {
	for i := range dx {
		if y[i] > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = 0
		}
	}
}

// ColSum is dst[c] = the sum over r of x[r, c], for x [rows, cols]: the gradient of a bias. Rows are
// added in ascending order.
func ColSum(dst, x []float32, rows, cols int) {
	clear(dst[:cols])
	for r := range rows {
		for c, v := range x[r*cols : (r+1)*cols] {
			dst[c] += v
		}
	}
}

// SumSquares is the sum of x[i]², added in ascending order in float64.
func SumSquares(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
