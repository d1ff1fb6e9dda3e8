package kernel

import "sync"

// squares is SquaredErrors and SquaredErrorGrad as a task; a chunk is a row.
type squares struct {
	dst, a, b []float32
	cols      int
	scale     float32
	grad      bool
}

var squaresPool = sync.Pool{New: func() any { return new(squares) }}

// SquaredErrors is dst[r] = the mean over row r of (a - b)², for a and b [rows, cols]. A row is added in
// float64, in order.
func SquaredErrors(dst, a, b []float32, rows, cols int) {
	_ = dst[:rows]
	runSquares(squares{dst: dst, a: a, b: b, cols: cols}, rows)
}

// SquaredErrorGrad is dst = scale·(a - b), all [rows, cols]. dst may be a.
func SquaredErrorGrad(dst, a, b []float32, rows, cols int, scale float32) {
	_ = dst[:rows*cols]
	runSquares(squares{dst: dst, a: a, b: b, cols: cols, scale: scale, grad: true}, rows)
}

func runSquares(s squares, rows int) {
	_, _ = s.a[:rows*s.cols], s.b[:rows*s.cols]
	t := squaresPool.Get().(*squares)
	*t = s
	run(t, rows)
	*t = squares{}
	squaresPool.Put(t)
}

func (s *squares) chunk(_ *lane, r int) {
	a, b := s.a[r*s.cols:][:s.cols], s.b[r*s.cols:][:s.cols]
	if s.grad {
		dst := s.dst[r*s.cols:][:s.cols]
		for i := range dst {
			dst[i] = s.scale * (a[i] - b[i])
		}
		return
	}
	var sum float64
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += d * d
	}
	s.dst[r] = float32(sum / float64(s.cols))
}
