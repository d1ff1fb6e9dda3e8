package kernel

import "sync"

// squares is SquaredErrors and SquaredErrorGrad; a chunk is a row.
type squares struct {
	dst, a, b []float32
	cols      int
	scale     float32
	phase     phase[squares]
}

var squaresPool = sync.Pool{New: func() any { return new(squares) }}

// SquaredErrors computes dst[r] = the mean over row r of (a - b)², for a and b [rows, cols]. Each row is summed in
// order, in float64.
func SquaredErrors(dst, a, b []float32, rows, cols int) {
	runSquares(squares{dst: dst[:rows], a: a, b: b, cols: cols}, (*squares).errors, rows)
}

// SquaredErrorGrad computes dst = scale·(a - b), all [rows, cols]. dst may be a.
func SquaredErrorGrad(dst, a, b []float32, rows, cols int, scale float32) {
	runSquares(squares{dst: dst[:rows*cols], a: a, b: b, cols: cols, scale: scale}, (*squares).gradient, rows)
}

func runSquares(s squares, do func(*squares, *lane, int), rows int) {
	_, _ = s.a[:rows*s.cols], s.b[:rows*s.cols]
	t := squaresPool.Get().(*squares)
	*t = s
	t.phase.run(t, do, rows)
	*t = squares{}
	squaresPool.Put(t)
}

// row is row r of a and b.
func (s *squares) row(r int) (a, b []float32) {
	return s.a[r*s.cols:][:s.cols], s.b[r*s.cols:][:s.cols]
}

func (s *squares) errors(_ *lane, r int) {
	a, b := s.row(r)
	var sum float64
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += d * d
	}
	s.dst[r] = float32(sum / float64(s.cols))
}

func (s *squares) gradient(_ *lane, r int) {
	a, b := s.row(r)
	dst := s.dst[r*s.cols:][:s.cols]
	for i := range dst {
		dst[i] = s.scale * (a[i] - b[i])
	}
}
