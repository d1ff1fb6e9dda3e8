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
	maskTo(e.part(i))
}

// maskTo computes dx = dy where y > 0, else 0.
func maskTo(dx, dy, y []float32) {
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

// ColumnSum computes Dst[c] = the sum over r of X[r, c], for X [Rows, Cols]: the gradient of a bias. Its methods
// allocate nothing.
type ColumnSum struct {
	Dst, X     []float32
	Rows, Cols int

	parts []float32
	phase phase[ColumnSum]
}

// colSumRows is how many rows a chunk sums.
const colSumRows = 2048

// Do computes the sums.
func (s *ColumnSum) Do() {
	if part, ok := s.Part(); ok {
		run(part.task, part.chunks)
		return
	}
	clear(s.Dst[:s.Cols])
	if s.Rows == 0 || s.Cols == 0 {
		return
	}
	_ = s.X[s.Rows*s.Cols-1]
	n := tiles(s.Rows, colSumRows)
	s.parts = borrow(n * 2 * s.Cols)
	s.phase.run(s, (*ColumnSum).sumPart, n)
	for p := range n {
		addTo(s.Dst[:s.Cols], s.parts[p*2*s.Cols:])
	}
	giveBack()
}

// Part is Do as a Part, where there are few rows.
func (s *ColumnSum) Part() (Part, bool) {
	if s.Rows == 0 || s.Cols == 0 || s.Rows > colSumRows {
		return Part{}, false
	}
	_, _ = s.X[s.Rows*s.Cols-1], s.Dst[s.Cols-1]
	return s.phase.part(s, (*ColumnSum).sumAll, 1), true
}

func (s *ColumnSum) sumPart(_ *lane, i int) {
	lo, hi := i*colSumRows, min(s.Rows, (i+1)*colSumRows)
	imageSums(s.parts[i*2*s.Cols:][:2*s.Cols], s.X[lo*s.Cols:hi*s.Cols], hi-lo, s.Cols)
}

func (s *ColumnSum) sumAll(l *lane, _ int) {
	sums := l.floats(2 * s.Cols)
	imageSums(sums, s.X, s.Rows, s.Cols)
	clear(s.Dst[:s.Cols])
	addTo(s.Dst[:s.Cols], sums)
}

// SumSquares returns the sum of x[i]², added in ascending order in float64.
func SumSquares(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
