package optim

import (
	"math"

	"dla/internal/kernel"
)

// Muon holds the constants of muon for filters.
type Muon struct {
	LR       float64 // factor on the learning rate
	Momentum float64
}

// muon trains filters by steps that are nearly orthogonal matrices, and all other parameters by SGD. It is the float32
// form of the optimiser by Jordan et al. (https://kellerjordan.github.io/posts/muon) in the variant for CIFAR-10: the
// momentum is Nesterov's, weights have no decay, and before each step a filter is scaled to the norm sqrt(out).
type muon struct {
	*sgd // of the other parameters
	cfg  Config

	filters []Param // [k, k, in, out]: matrices [k·k·in, out], whose transposes are PyTorch's
	v       []Slot  // their momentum
	parts   [][]stretch
	rules   []rule

	x, y    []float32    // a step, and what orthogonal makes of it
	squares [4][]float32 // square matrices
	sums    [][2]float64 // squares of weights and step, per range
	product kernel.Gemm

	// What Chunk does, and where.
	do           func(o *muon, w, g, v, x []float32, chunk int)
	at           int
	scale, shift float32
}

// isFilter reports whether p is the filters of a convolution.
func isFilter(p Param) bool { return len(p.Shape) == 4 }

func newMuon(cfg Config, params []Param) *muon {
	o := &muon{cfg: cfg}
	var others []Param
	largest, side, chunks := 0, 0, 0
	for _, p := range params {
		if !isFilter(p) {
			others = append(others, p)
			continue
		}
		part := partition([]Param{p})
		o.filters, o.parts = append(o.filters, p), append(o.parts, part)
		rows, out := matrix(p)
		largest, side, chunks = max(largest, len(p.Value)), max(side, min(rows, out)), max(chunks, len(part))
	}
	o.sgd, o.v, o.rules = newSGD(cfg, others), slots("momentum", o.filters), rulesOf(cfg, o.filters)
	o.x, o.y = kernel.Alloc(largest), kernel.Alloc(largest)
	for i := range o.squares {
		o.squares[i] = kernel.Alloc(side * side)
	}
	o.sums = make([][2]float64, chunks)
	return o
}

// matrix returns the rows and columns of a filter as a matrix [k·k·in, out].
func matrix(p Param) (rows, out int) {
	out = p.Shape[3]
	return len(p.Value) / out, out
}

// Step makes one update.
func (o *muon) Step(lr float64) {
	for i, r := range o.rules {
		if o.steps < r.steps {
			o.filter(i, lr*o.cfg.Muon.LR*r.LR)
		}
	}
	o.sgd.Step(lr)
}

// filter updates filter i.
func (o *muon) filter(i int, lr float64) {
	o.at = i
	o.scale = float32(o.cfg.Muon.Momentum)
	o.run(func(o *muon, w, g, v, x []float32, chunk int) {
		for j, d := range g {
			v[j] = float32(v[j]*o.scale) + d
			x[j] = float32(v[j]*o.scale) + d
		}
		o.sums[chunk] = [2]float64{kernel.SumSquares(w), kernel.SumSquares(x)}
	})
	var weights, step float64
	for _, s := range o.sums[:len(o.parts[i])] {
		weights, step = weights+s[0], step+s[1]
	}
	o.scale = float32(1 / (math.Sqrt(step) + 1e-7))
	o.run(func(o *muon, _, _, _, x []float32, _ int) {
		for j := range x {
			x[j] *= o.scale
		}
	})
	rows, out := matrix(o.filters[i])
	o.orthogonal(rows, out)
	o.scale, o.shift = 1, float32(lr)
	if weights > 0 {
		o.scale = float32(math.Sqrt(float64(out) / weights))
	}
	o.run(func(o *muon, w, _, _, x []float32, _ int) {
		for j, d := range x {
			w[j] = float32(w[j]*o.scale) - float32(d*o.shift)
		}
	})
}

// orthogonal moves the singular values of x [rows, cols], which are at most 1, to about 1, by three Newton-Schulz
// iterations X ← aX + b(XXᵀ)X + c(XXᵀ)²X, or with XᵀX on the other side, whichever is smaller. Each is the product of X
// with a polynomial P of that square matrix A, which the iteration makes PAP. So x itself is multiplied twice in all,
// for the first A and by the product of all P.
func (o *muon) orthogonal(rows, cols int) {
	n := min(rows, cols)
	left := rows < cols
	a, poly, all, s := o.squares[0][:n*n], o.squares[1][:n*n], o.squares[2][:n*n], o.squares[3][:n*n]
	square := func(dst, x, y []float32) {
		o.multiply(kernel.Gemm{M: n, N: n, K: n, A: x, LDA: n, B: y, LDB: n, C: dst, LDC: n})
	}
	o.multiply(kernel.Gemm{M: n, N: n, K: max(rows, cols), A: o.x, LDA: cols, TransA: !left, B: o.x, LDB: cols,
		TransB: left, C: a, LDC: n})
	for i := range 3 {
		if i > 0 {
			square(s, poly, a)
			square(a, s, poly)
		}
		square(poly, a, a)
		for j, v := range a {
			poly[j] = float32(-4.7750*v) + float32(2.0315*poly[j])
		}
		for j := 0; j < n*n; j += n + 1 {
			poly[j] += 3.4445
		}
		if i == 0 {
			copy(all, poly)
			continue
		}
		square(s, poly, all)
		all, s = s, all
	}
	g := kernel.Gemm{M: rows, N: cols, K: n, A: o.x, LDA: cols, B: all, LDB: n, C: o.y, LDC: cols}
	if left {
		g.A, g.LDA, g.B, g.LDB = all, n, o.x, cols
	}
	o.multiply(g)
	o.x, o.y = o.y, o.x
}

// multiply computes a product.
func (o *muon) multiply(g kernel.Gemm) {
	o.product = g // where it lies in memory already
	o.product.Do()
}

// run performs do on all ranges of the filter at hand.
func (o *muon) run(do func(o *muon, w, g, v, x []float32, chunk int)) {
	o.do = do
	kernel.Run(o, len(o.parts[o.at]))
}

// Chunk performs do on one range: of the weights, the gradient, the momentum and the step.
func (o *muon) Chunk(i int) {
	s, p := o.parts[o.at][i], o.filters[o.at]
	o.do(o, p.Value[s.lo:s.hi], p.Grad[s.lo:s.hi], o.v[o.at].Data[s.lo:s.hi], o.x[s.lo:s.hi], i)
}

// Slots returns the momentum of the filters and of the other parameters.
func (o *muon) Slots() []Slot { return append(append([]Slot(nil), o.v...), o.sgd.Slots()...) }
