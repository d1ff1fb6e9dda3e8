package kernel

import "math"

// LayerNorm normalises each row of x [Rows, Width], to which a residual may be added first (Ba et al. 2016,
// https://arxiv.org/abs/1607.06450):
//
//	s = x (+ res),  x̂ = (s - mean) / sqrt(variance + Eps),  y = x̂·gamma + beta
//
// by the row's own mean and biased variance. Forward leaves both in Stats for the gradients. Its methods
// allocate nothing.
type LayerNorm struct {
	Rows, Width int
	Eps         float64
	Stats       []float32 // [Rows, 2]: mean and 1 / sqrt(variance + Eps)

	phase                            phase[LayerNorm]
	y, dy, x, res, gamma, beta, sums []float32
	consts                           [3]float32 // 1/Width, Eps, 1
}

// layerNormRows is how many rows a chunk has: of the parameters' gradients, a part.
const layerNormRows = 32

// run runs a pass, of which a chunk is layerNormRows rows.
func (m *LayerNorm) run(pass func(*LayerNorm, *lane, int)) {
	m.consts = [3]float32{1 / float32(m.Width), float32(m.Eps), 1}
	m.phase.run(m, pass, tiles(m.Rows, layerNormRows))
	m.y, m.dy, m.x, m.res, m.gamma, m.beta, m.sums = nil, nil, nil, nil, nil, nil, nil
}

// check panics where a slice is too short.
func (m *LayerNorm) check(tensors, vectors [][]float32) {
	for _, t := range tensors {
		if t != nil && len(t) < m.Rows*m.Width {
			panic("kernel: a tensor is too short to be normalised")
		}
	}
	for _, t := range vectors {
		if len(t) < m.Width {
			panic("kernel: a vector is too short for a row")
		}
	}
	_ = m.Stats[:2*m.Rows]
}

// Forward computes y from x and res [Rows, Width], of which res may be nil, and gamma and beta [Width]. y may be x.
func (m *LayerNorm) Forward(y, x, res, gamma, beta []float32) {
	m.check([][]float32{y, x, res}, [][]float32{gamma, beta})
	m.y, m.x, m.res, m.gamma, m.beta = y, x, res, gamma, beta
	m.run((*LayerNorm).forwardRows)
}

// BackwardInput computes the gradient by x, which is also that by res: with g = dy·gamma
//
//	dx = (g - mean(g) - x̂·mean(g·x̂)) / sqrt(variance + Eps)
//
// dx may be dy.
func (m *LayerNorm) BackwardInput(dx, dy, x, res, gamma []float32) {
	m.check([][]float32{dx, dy, x, res}, [][]float32{gamma})
	m.y, m.dy, m.x, m.res, m.gamma = dx, dy, x, res, gamma
	m.run((*LayerNorm).inputRows)
}

// BackwardParams computes dgamma = the sum over rows of dy·x̂, and dbeta = the sum over rows of dy, both [Width].
func (m *LayerNorm) BackwardParams(dgamma, dbeta, dy, x, res []float32) {
	m.check([][]float32{dy, x, res}, [][]float32{dgamma, dbeta})
	n := tiles(m.Rows, layerNormRows)
	clear(dgamma[:m.Width])
	clear(dbeta[:m.Width])
	sums := borrow(n * 2 * m.Width)
	m.dy, m.x, m.res, m.sums = dy, x, res, sums
	m.run((*LayerNorm).paramsRows)
	for p := range n {
		addTo(dgamma[:m.Width], sums[p*2*m.Width:])
		addTo(dbeta[:m.Width], sums[(p*2+1)*m.Width:])
	}
	giveBack()
}

// rows is part i of t, nil where t is.
func (m *LayerNorm) rows(t []float32, i int) []float32 {
	if t == nil {
		return nil
	}
	return t[i*layerNormRows*m.Width : min(m.Rows, (i+1)*layerNormRows)*m.Width]
}

// stats is part i of Stats.
func (m *LayerNorm) stats(i int) []float32 {
	return m.Stats[2*i*layerNormRows : 2*min(m.Rows, (i+1)*layerNormRows)]
}

// first is the address of t's first element, nil where t is.
func first(t []float32) *float32 {
	if t == nil {
		return nil
	}
	return &t[0]
}

func (m *LayerNorm) forwardRows(_ *lane, i int) {
	y, x, res, stats := m.rows(m.y, i), m.rows(m.x, i), m.rows(m.res, i), m.stats(i)
	if w := m.Width; w%simd.floats == 0 {
		simd.layerNorm(&y[0], &x[0], first(res), len(stats)/2, w/simd.floats, &stats[0], &m.gamma[0], &m.beta[0],
			&m.consts[0])
	} else {
		layerNormPlain(y, x, res, stats, m.gamma[:w], m.beta[:w], &m.consts)
	}
}

func (m *LayerNorm) inputRows(_ *lane, i int) {
	dx, dy, x, res, stats := m.rows(m.y, i), m.rows(m.dy, i), m.rows(m.x, i), m.rows(m.res, i), m.stats(i)
	if w := m.Width; w%simd.floats == 0 {
		simd.layerNormGrad(&dx[0], &dy[0], &x[0], first(res), len(stats)/2, w/simd.floats, &stats[0], &m.gamma[0],
			&m.consts[0])
	} else {
		layerNormGradPlain(dx, dy, x, res, stats, m.gamma[:w], &m.consts)
	}
}

// paramsRows is sums [2, Width] = the sums over a part's rows of dy·x̂ and of dy.
func (m *LayerNorm) paramsRows(_ *lane, i int) {
	dy, x, res, stats := m.rows(m.dy, i), m.rows(m.x, i), m.rows(m.res, i), m.stats(i)
	sums := m.sums[i*2*m.Width:][:2*m.Width]
	clear(sums)
	w, rows := m.Width, len(stats)/2
	blocks(w, func(j, vectors int) {
		var r *float32
		if res != nil {
			r = &res[j]
		}
		simd.layerNormSums[vectors](&dy[j], &x[j], r, rows, uintptr(4*w), &stats[0], &sums[j], &sums[w+j])
	}, func(j int) {
		for r := range rows {
			for c := j; c < w; c++ {
				s := x[r*w+c]
				if res != nil {
					s += res[r*w+c]
				}
				sums[c] += dy[r*w+c] * ((s - stats[2*r]) * stats[2*r+1])
				sums[w+c] += dy[r*w+c]
			}
		}
	})
}

// layerNormPlain is the forward pass of rows of any width.
func layerNormPlain(y, x, res, stats, gamma, beta []float32, consts *[3]float32) {
	w := len(gamma)
	for r := range len(stats) / 2 {
		row := y[r*w:][:w]
		sum := float32(0)
		for c := range row {
			v := x[r*w+c]
			if res != nil {
				v += res[r*w+c]
			}
			row[c] = v
			sum += v
		}
		mean, squares := sum*consts[0], float32(0)
		for _, v := range row {
			squares += (v - mean) * (v - mean)
		}
		inv := 1 / float32(math.Sqrt(float64(squares*consts[0]+consts[1])))
		for c, v := range row {
			row[c] = (v-mean)*inv*gamma[c] + beta[c]
		}
		stats[2*r], stats[2*r+1] = mean, inv
	}
}

// layerNormGradPlain is the gradient by the input of rows of any width.
func layerNormGradPlain(dx, dy, x, res, stats, gamma []float32, consts *[3]float32) {
	w := len(gamma)
	for r := range len(stats) / 2 {
		mean, inv := stats[2*r], stats[2*r+1]
		hat := func(c int) float32 {
			v := x[r*w+c]
			if res != nil {
				v += res[r*w+c]
			}
			return (v - mean) * inv
		}
		var sum, sumHat float32
		for c := range w {
			g := dy[r*w+c] * gamma[c]
			sum += g
			sumHat += g * hat(c)
		}
		sum, sumHat = sum*consts[0], sumHat*consts[0]
		for c := range w {
			dx[r*w+c] = (dy[r*w+c]*gamma[c] - sum - hat(c)*sumHat) * inv
		}
	}
}

func portableLayerNorm(y, x, res *float32, rows, n int, stats, gamma, beta, consts *float32) {
	size := rows * 8 * n
	layerNormPlain(floatsAt(y, size), floatsAt(x, size), optional(res, size), floatsAt(stats, 2*rows),
		floatsAt(gamma, 8*n), floatsAt(beta, 8*n), (*[3]float32)(floatsAt(consts, 3)))
}

func portableLayerNormGrad(dx, dy, x, res *float32, rows, n int, stats, gamma, consts *float32) {
	size := rows * 8 * n
	layerNormGradPlain(floatsAt(dx, size), floatsAt(dy, size), floatsAt(x, size), optional(res, size),
		floatsAt(stats, 2*rows), floatsAt(gamma, 8*n), (*[3]float32)(floatsAt(consts, 3)))
}

func portableLayerNormSums(width int) layerNormSumsFunc {
	return func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32) {
		dys, xs, st := strided(dy, rows, stride, width), strided(x, rows, stride, width), floatsAt(stats, 2*rows)
		dg, db := floatsAt(dgamma, width), floatsAt(dbeta, width)
		var rs []float32
		if res != nil {
			rs = strided(res, rows, stride, width)
		}
		for r := range rows {
			i := r * int(stride/4)
			for c := range width {
				s := xs[i+c]
				if rs != nil {
					s += rs[i+c]
				}
				dg[c] += dys[i+c] * ((s - st[2*r]) * st[2*r+1])
				db[c] += dys[i+c]
			}
		}
	}
}

// optional is n floats from p on, or nil.
func optional(p *float32, n int) []float32 {
	if p == nil {
		return nil
	}
	return floatsAt(p, n)
}
