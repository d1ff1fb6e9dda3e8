package kernel

import "sync"

// elements is how many elements a chunk of an element-wise kernel has.
const elements = 16 << 10

// Add computes dst = a + b. dst may be a or b.
func Add(dst, a, b []float32) { runElementwise(dst, a, b, (*elementwise).add) }

// ReLUGrad computes dx = dy where y > 0, else 0, for y = relu(x). dx may be dy.
func ReLUGrad(dx, dy, y []float32) { runElementwise(dx, dy, y, (*elementwise).reluGrad) }

// elementwise is an element-wise kernel of two inputs.
type elementwise struct {
	dst, a, b []float32
	phase     phase[elementwise]
}

var elementwisePool = sync.Pool{New: func() any { return new(elementwise) }}

func runElementwise(dst, a, b []float32, do func(*elementwise, *lane, int)) {
	if len(dst) == 0 {
		return
	}
	e := elementwisePool.Get().(*elementwise)
	e.dst, e.a, e.b = dst, a[:len(dst)], b[:len(dst)]
	e.phase.run(e, do, tiles(len(dst), elements))
	*e = elementwise{}
	elementwisePool.Put(e)
}

// part is chunk i of the three.
func (e *elementwise) part(i int) (dst, a, b []float32) {
	lo, hi := i*elements, min(len(e.dst), (i+1)*elements)
	return e.dst[lo:hi], e.a[lo:hi], e.b[lo:hi]
}

func (e *elementwise) add(_ *lane, i int) {
	dst, a, b := e.part(i)
	n := len(dst) / simd.floats
	if n > 0 {
		simd.add(&dst[0], &a[0], &b[0], n)
	}
	for j := n * simd.floats; j < len(dst); j++ {
		dst[j] = a[j] + b[j]
	}
}

func (e *elementwise) reluGrad(_ *lane, i int) {
	dx, dy, y := e.part(i)
	n := len(dx) / simd.floats
	if n > 0 {
		simd.reluGrad(&dx[0], &dy[0], &y[0], n)
	}
	for j := n * simd.floats; j < len(dx); j++ {
		if y[j] > 0 {
			dx[j] = dy[j]
		} else {
			dx[j] = 0
		}
	}
}

// BytesToFloats computes dst = src/255, rounded once: pixels in [0,1].
func BytesToFloats(dst []float32, src []byte) {
	n := len(src) / simd.floats
	_ = dst[:len(src)]
	if n > 0 {
		simd.bytesToFloats(&dst[0], &src[0], n, &full[0])
	}
	for i := n * simd.floats; i < len(src); i++ {
		dst[i] = float32(src[i]) / 255
	}
}

var full = []float32{255}

// colSum is ColSum as a task: each chunk sums some rows into its own part.
type colSum struct {
	x, parts   []float32
	rows, cols int
}

// colSumRows is how many rows a part has.
const colSumRows = 2048

var colSumPool = sync.Pool{New: func() any { return new(colSum) }}

// ColSum computes dst[c] = the sum over r of x[r, c], for x [rows, cols]: the gradient of a bias.
func ColSum(dst, x []float32, rows, cols int) {
	clear(dst[:cols])
	if rows == 0 || cols == 0 {
		return
	}
	_ = x[rows*cols-1]
	n := tiles(rows, colSumRows)
	s := colSumPool.Get().(*colSum)
	*s = colSum{x, borrow(n * 2 * cols), rows, cols}
	run(s, n)
	for p := range n {
		addTo(dst[:cols], s.parts[p*2*cols:])
	}
	giveBack()
	*s = colSum{}
	colSumPool.Put(s)
}

func (s *colSum) chunk(_ *lane, i int) {
	lo, hi := i*colSumRows, min(s.rows, (i+1)*colSumRows)
	imageSums(s.parts[i*2*s.cols:][:2*s.cols], s.x[lo*s.cols:hi*s.cols], hi-lo, s.cols)
}

// SumSquares returns the sum of x[i]², added in ascending order in float64.
func SumSquares(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
