package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"dla/internal/rng"
)

// closeTo says whether got is want to the given relative and absolute error.
func closeTo(got float32, want, relative, absolute float64) bool {
	return math.Abs(float64(got)-want) <= relative*math.Abs(want)+absolute
}

// TestTanh compares the function and its slope with math's, to the last rounding.
func TestTanh(t *testing.T) {
	x := append(normals(elements+37, 3), 0, 20, -20, 1e30, -1e30, 1e-30)
	dy := normals(len(x), 4)
	y, dx := make([]float32, len(x)), make([]float32, len(x))
	Tanh(y, x)
	TanhGrad(dx, dy, x)
	for i, v := range x {
		want := math.Tanh(float64(v))
		if y[i] != float32(want) {
			t.Fatalf("tanh(%g) = %g, want %g", v, y[i], want)
		}
		if slope := float64(dy[i]) * (1 - want*want); !closeTo(dx[i], slope, 1e-7, 1e-12) {
			t.Fatalf("tanh'(%g)·dy = %g, want %g", v, dx[i], slope)
		}
	}
	TanhGrad(dy, dy, x) // in place
	if !slices.Equal(dy, dx) {
		t.Error("in place, the gradient is another one")
	}
	bad := []float32{float32(math.NaN())}
	if Tanh(bad, bad); !math.IsNaN(float64(bad[0])) {
		t.Errorf("tanh(NaN) = %g", bad[0])
	}
}

// TestSmoothActivations compares the functions and their slopes with their definitions by erf and exp, everywhere that
// matters and far beyond.
func TestSmoothActivations(t *testing.T) {
	var x []float32
	for v := -14.0; v <= 14; v += 1.0 / 1024 {
		x = append(x, float32(v))
	}
	x = append(x, 0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 90, -90, 1e4, -1e4, 1e30, -1e30)
	dy := normals(len(x), 1)
	levels(t, func(level string) {
		for _, a := range []struct {
			act   Activation
			value func(y, x []float32)
			grad  func(dx, dy, x []float32)
		}{{ActGELU, GELU, GELUGrad}, {ActSiLU, SiLU, SiLUGrad}} {
			y, dx := make([]float32, len(x)), make([]float32, len(x))
			a.value(y, x)
			a.grad(dx, dy, x)
			for i, v := range x {
				want, slope := activation64(a.act, float64(v))
				if !closeTo(y[i], want, 3e-7, 2e-7) {
					t.Fatalf("%s: %s(%g) = %g, want %g", level, a.act, v, y[i], want)
				}
				if want := float64(dy[i]) * slope; !closeTo(dx[i], want, 1e-6, 1e-6) {
					t.Fatalf("%s: %s'(%g)·dy = %g, want %g", level, a.act, v, dx[i], want)
				}
			}
			nan := float32(math.NaN())
			bad := slices.Repeat([]float32{nan}, 19)
			a.value(bad, bad)
			for i, v := range bad {
				if v == v {
					t.Fatalf("%s: %s(NaN) = %g at %d", level, a.act, v, i)
				}
			}
		}
	})
}

// TestLayerNorm compares every pass with its definition in float64, for whole vectors and odd widths.
func TestLayerNorm(t *testing.T) {
	levels(t, func(level string) {
		for _, size := range [][2]int{{1, 16}, {3, 32}, {70, 48}, {5, 7}, {33, 37}, {2, 384}, {1, 1}} {
			for _, withRes := range []bool{false, true} {
				m := LayerNorm{Rows: size[0], Width: size[1], Eps: 1e-5, Stats: make([]float32, 2*size[0])}
				n, w := m.Rows*m.Width, m.Width
				x, res, dy := normals(n, 1), normals(n, 2), normals(n, 3)
				gamma, beta := normals(w, 4), normals(w, 5)
				for i := range x {
					x[i] += 3 // a mean to take off
				}
				if !withRes {
					res = nil
				}
				y, dx, dgamma, dbeta := make([]float32, n), make([]float32, n), make([]float32, w), make([]float32, w)
				m.Forward(y, x, res, gamma, beta)
				m.BackwardInput(dx, dy, x, res, gamma)
				m.BackwardParams(dgamma, dbeta, dy, x, res)
				wantGamma, wantBeta := make([]float64, w), make([]float64, w)
				near := func(what string, i int, got float32, want float64) {
					t.Helper()
					if !closeTo(got, want, 1e-5, 1e-5) {
						t.Fatalf("%s, %d x %d, residual %v: %s[%d] = %g, want %g", level, m.Rows, w, withRes, what, i, got, want)
					}
				}
				for r := range m.Rows {
					s, mean, variance := make([]float64, w), 0.0, 0.0
					for c := range s {
						s[c] = float64(x[r*w+c])
						if withRes {
							s[c] += float64(res[r*w+c])
						}
						mean += s[c] / float64(w)
					}
					for _, v := range s {
						variance += (v - mean) * (v - mean) / float64(w)
					}
					inv := 1 / math.Sqrt(variance+m.Eps)
					var sum, sumHat float64
					for c := range s {
						s[c] = (s[c] - mean) * inv
						g := float64(dy[r*w+c]) * float64(gamma[c])
						sum += g / float64(w)
						sumHat += g * s[c] / float64(w)
						wantGamma[c] += float64(dy[r*w+c]) * s[c]
						wantBeta[c] += float64(dy[r*w+c])
					}
					if w == 1 {
						continue // a row of one has no deviation: all is rounding
					}
					for c, hat := range s {
						near("y", r*w+c, y[r*w+c], hat*float64(gamma[c])+float64(beta[c]))
						near("dx", r*w+c, dx[r*w+c], inv*(float64(dy[r*w+c])*float64(gamma[c])-sum-hat*sumHat))
					}
				}
				for c := range w {
					if w > 1 {
						near("dgamma", c, dgamma[c], wantGamma[c])
					}
					near("dbeta", c, dbeta[c], wantBeta[c])
				}
			}
		}
	})
}

// TestDropout: what is kept is a function of the stream and the index alone, at every level and in every
// cut; as many are kept as should be; and what is kept is scaled.
func TestDropout(t *testing.T) {
	const n = 2*elements + 71
	x := slices.Repeat([]float32{1}, n)
	var want []float32
	levels(t, func(level string) {
		for _, p := range []float64{0.1, 0.5} {
			y := make([]float32, n)
			var d Dropout
			d.Run(y, x, rng.New(1, "dropout", 2, 3), p)
			kept := 0
			for i, v := range y {
				if v != 0 && v != float32(1/(1-p)) {
					t.Fatalf("%s, p = %g: y[%d] = %g", level, p, i, v)
				}
				if v != 0 {
					kept++
				}
			}
			if off := math.Abs(float64(kept) - n*(1-p)); off > 4*math.Sqrt(n*p*(1-p)) {
				t.Errorf("%s: %d of %d kept with p = %g", level, kept, n, p)
			}
			if p != 0.5 {
				continue
			}
			if want == nil {
				want = slices.Clone(y)
				for i := range y { // by the definition
					s := rng.New(1, "dropout", 2, 3)
					key, ctr := s.Counter()
					g, w, b := i/64, i/16%4, i%16
					ctr[0] = uint32(16*g + b)
					if (rng.Philox(ctr, key)[w] >= 1<<31) != (y[i] != 0) {
						t.Fatalf("element %d is not its word's", i)
					}
				}
			}
			if !slices.Equal(y, want) {
				t.Errorf("%s drops other elements than portable", level)
			}
			short := make([]float32, 37)
			d.Run(short, x, rng.New(1, "dropout", 2, 3), p)
			if !slices.Equal(short, want[:37]) {
				t.Errorf("%s: fewer elements drop otherwise", level)
			}
			d.Run(y, x, rng.New(1, "dropout", 2, 4), p)
			if slices.Equal(y, want) {
				t.Errorf("%s: another stream drops the same", level)
			}
		}
	})
}

// attend is attention and its gradients by the definition, in float64.
func (a *Attention) attend(q, k, v, dout []float32, mask [][]float64) (out, dq, dk, dv, dtable []float64) {
	hidden := a.Heads * a.HeadSize
	size := a.Tokens * hidden
	out, dq, dk, dv, dtable = make([]float64, size), make([]float64, size), make([]float64, size), make([]float64,
		size), make([]float64, len(a.Table))
	scale := 1 / math.Sqrt(float64(a.HeadSize))
	for s := range len(a.Offsets) - 1 {
		o, n := int(a.Offsets[s]), int(a.Offsets[s+1]-a.Offsets[s])
		for h := range a.Heads {
			el := func(m []float32, i, c int) float64 { return float64(m[(o+i)*hidden+h*a.HeadSize+c]) }
			at := func(i, c int) int { return (o+i)*hidden + h*a.HeadSize + c }
			keep := mask[s*a.Heads+h]
			for i := range n {
				p, high, sum := make([]float64, n), math.Inf(-1), 0.0
				for j := range n {
					for c := range a.HeadSize {
						p[j] += el(q, i, c) * el(k, j, c) * scale
					}
					if a.Table != nil {
						p[j] += float64(a.Table[int(a.Bucket[j-i+a.Span-1])*a.Heads+h])
					}
					high = max(high, p[j])
				}
				for j := range p {
					p[j] = math.Exp(p[j] - high)
					sum += p[j]
				}
				dp, dot := make([]float64, n), 0.0
				for j := range p {
					p[j] /= sum
					kept := 1.0
					if keep != nil {
						kept = keep[i*n+j]
					}
					for c := range a.HeadSize {
						out[at(i, c)] += p[j] * kept * el(v, j, c)
						dv[at(j, c)] += p[j] * kept * el(dout, i, c)
						dp[j] += kept * el(dout, i, c) * el(v, j, c)
					}
					dot += p[j] * dp[j]
				}
				for j := range p {
					ds := p[j] * (dp[j] - dot)
					if a.Table != nil {
						dtable[int(a.Bucket[j-i+a.Span-1])*a.Heads+h] += ds
					}
					for c := range a.HeadSize {
						dq[at(i, c)] += ds * scale * el(k, j, c)
						dk[at(j, c)] += ds * scale * el(q, i, c)
					}
				}
			}
		}
	}
	return out, dq, dk, dv, dtable
}

// TestAttention covers sentences of one token to more than two vectors, heads of whole vectors and odd ones,
// with and without bias and dropout, at every level, against the definition.
func TestAttention(t *testing.T) {
	const span = 70
	bucket := make([]int32, 2*span-1)
	for i := range bucket {
		bucket[i] = int32(min(6, max(0, (i-(span-1))/3+3)))
	}
	for _, headSize := range []int{32, 8, 5, 16, 64} {
		for _, biased := range []bool{false, true} {
			for _, drop := range []float64{0, 0.3} {
				const heads = 3
				offsets := []int32{0, 1, 8, 24, 24, 41, 110}
				a := Attention{Tokens: 110, Heads: heads, HeadSize: headSize, Offsets: offsets, Drop: drop,
					Stream: rng.New(3, "attention", 0, 0)}
				if biased {
					a.Table, a.Bucket, a.Span = normals(7*heads, 9), bucket, span
				}
				size := a.Tokens * heads * headSize
				q, k, v, dout := normals(size, 1), normals(size, 2), normals(size, 3), normals(size, 4)
				mask := make([][]float64, (len(offsets)-1)*heads)
				for pair := range mask {
					n := int(offsets[pair/heads+1] - offsets[pair/heads])
					ld := (n + 15) / 16 * 16
					if drop == 0 || n == 0 {
						continue
					}
					kept, ones := make([]float32, n*ld), slices.Repeat([]float32{1}, n*ld)
					var d Dropout
					d.Run(kept, ones, rng.New(3, "attention", 0, uint64(pair)), drop)
					for i := range n {
						for j := range n {
							mask[pair] = append(mask[pair], float64(kept[i*ld+j]))
						}
					}
				}
				out, dq, dk, dv, dtable := a.attend(q, k, v, dout, mask)
				levels(t, func(level string) {
					gout, gq, gk, gv, gt := make([]float32, size), make([]float32, size), make([]float32, size), make([]float32,
						size), make([]float32, len(a.Table))
					a.Forward(gout, q, k, v)
					a.Backward(gq, gk, gv, gt, dout, q, k, v)
					for _, c := range []struct {
						name string
						got  []float32
						want []float64
					}{{"out", gout, out}, {"dq", gq, dq}, {"dk", gk, dk}, {"dv", gv, dv}, {"dtable", gt, dtable}} {
						for i, v := range c.got {
							if !closeTo(v, c.want[i], 2e-5, 2e-5) {
								t.Fatalf("%s, heads of %d, bias %v, dropout %g: %s[%d] = %g, want %g", level, headSize, biased, drop, c.name, i,
									v, c.want[i])
							}
						}
					}
				})
			}
		}
	}
}

// TestAttentionIsSafe: scores far beyond what an exponential can hold.
func TestAttentionIsSafe(t *testing.T) {
	levels(t, func(level string) {
		a := Attention{Tokens: 3, Heads: 1, HeadSize: 4, Offsets: []int32{0, 3}}
		q := []float32{1e4, 0, 0, 0, -1e4, 0, 0, 0, 0, 0, 0, 0}
		k := []float32{1e4, 0, 0, 0, 0, 0, 0, 0, -1e4, 0, 0, 0}
		v := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		out := make([]float32, 12)
		a.Forward(out, q, k, v)
		for i, want := range []float32{1, 2, 3, 4, 9, 10, 11, 12, 5, 6, 7, 8} {
			if !closeTo(out[i], float64(want), 1e-6, 0) {
				t.Errorf("%s: out[%d] = %g, want %g", level, i, out[i], want)
			}
		}
	})
}

// encoderPasses runs every kernel of an encoder once and returns all results, one after the other.
func encoderPasses(lengths []int, heads, headSize int, seed uint64) []float32 {
	offsets := []int32{0}
	for _, n := range lengths {
		offsets = append(offsets, offsets[len(offsets)-1]+int32(n))
	}
	tokens, hidden := int(offsets[len(offsets)-1]), heads*headSize
	size := tokens * hidden
	draw := rng.New(seed, "ids", 0, 0)
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(draw.IntN(9))
	}
	mem := func(n int) []float32 { return make([]float32, n) }
	q, k, v, dout := normals(size, seed), normals(size, seed+1), normals(size, seed+2), normals(size, seed+3)
	a := Attention{Tokens: tokens, Heads: heads, HeadSize: headSize, Offsets: offsets, Drop: 0.1,
		Stream: rng.New(seed, "a", 1, 0)}
	span := slices.Max(lengths)
	a.Table, a.Bucket, a.Span = normals(4*heads, seed+4), make([]int32, 2*span-1), span
	for i := range a.Bucket {
		a.Bucket[i] = int32(i % 4)
	}
	out, dq, dk, dv, dt := mem(size), mem(size), mem(size), mem(size), mem(4*heads)
	a.Forward(out, q, k, v)
	a.Backward(dq, dk, dv, dt, dout, q, k, v)
	m := LayerNorm{Rows: tokens, Width: hidden, Eps: 1e-5, Stats: mem(2 * tokens)}
	y, dx, dg, db := mem(size), mem(size), mem(hidden), mem(hidden)
	m.Forward(y, q, k, normals(hidden, seed+5), normals(hidden, seed+6))
	m.BackwardInput(dx, dout, q, k, normals(hidden, seed+5))
	m.BackwardParams(dg, db, dout, q, k)
	g, dgelu, dropped := mem(size), mem(size), mem(size)
	GELU(g, q)
	GELUGrad(dgelu, dout, q)
	var d Dropout
	d.Run(dropped, q, rng.New(seed, "d", 1, 0), 0.1)
	var e Embedding
	gathered, scattered := mem(size), mem(9*hidden)
	e.Gather(gathered, ids, normals(9*hidden, seed+7), hidden, true)
	e.Scatter(scattered, ids, dout, hidden)
	p := SentencePool{Offsets: offsets, Width: hidden}
	mean, first, dmean, dfirst := mem(len(lengths)*hidden), mem(len(lengths)*hidden), mem(size), mem(size)
	p.Mean(mean, q)
	p.First(first, q)
	p.MeanGrad(dmean, mean)
	p.FirstGrad(dfirst, first)
	return slices.Concat(out, dq, dk, dv, dt, m.Stats, y, dx, dg, db, g, dgelu, dropped, gathered, scattered, mean, first,
		dmean, dfirst)
}

// sameEncoderPasses compares every level with the portable twin.
func sameEncoderPasses(lengths []int, heads, headSize int, seed uint64) error {
	defer setLevel("")
	setLevel("portable")
	want := encoderPasses(lengths, heads, headSize, seed)
	for _, l := range []string{"avx2", "avx512"} {
		if setLevel(l); Level() != l {
			continue
		}
		for i, v := range encoderPasses(lengths, heads, headSize, seed) {
			if !closeTo(v, float64(want[i]), 1e-4, 1e-4) {
				return fmt.Errorf("%s: value %d of the passes' results is %g, portable %g", l, i, v, want[i])
			}
		}
	}
	return nil
}

func TestEncoderPassesAgree(t *testing.T) {
	for i, c := range []struct {
		lengths         []int
		heads, headSize int
	}{{[]int{1}, 1, 1}, {[]int{5, 17, 33}, 2, 8}, {[]int{16, 1, 32}, 3, 16}, {[]int{40}, 2, 33}, {[]int{9, 9}, 12,
		32}, {[]int{3, 18}, 2, 64}} {
		if err := sameEncoderPasses(c.lengths, c.heads, c.headSize, uint64(i)); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzEncoderPasses(f *testing.F) {
	f.Add(uint8(5), uint8(17), uint8(2), uint8(8), uint64(1))
	f.Fuzz(func(t *testing.T, a, b, heads, headSize uint8, seed uint64) {
		if err := sameEncoderPasses([]int{1 + int(a%80), 1 + int(b%40)}, 1+int(heads%4), 1+int(headSize%70),
			seed); err != nil {
			t.Error(err)
		}
	})
}

// TestEncoderThreadsDoNotMatter: the same bits from one thread and from several.
func TestEncoderThreadsDoNotMatter(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	levels(t, func(level string) {
		var want []float32
		for _, threads := range []int{1, 2, 3, 4} {
			SetThreads(threads)
			for range 3 {
				got := encoderPasses([]int{7, 30, 2, 19, 51}, 4, 24, 5)
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %d threads give other bits than one", level, threads)
				}
			}
		}
	})
}

func TestEncoderKernelsAllocateNothing(t *testing.T) {
	const tokens, heads, headSize = 20, 2, 16
	size := tokens * heads * headSize
	a := Attention{Tokens: tokens, Heads: heads, HeadSize: headSize, Offsets: []int32{0, 7, 20}, Drop: 0.1,
		Table: make([]float32, heads), Bucket: make([]int32, 2*tokens-1), Span: tokens}
	m := LayerNorm{Rows: tokens, Width: heads * headSize, Eps: 1e-5, Stats: make([]float32, 2*tokens)}
	var d Dropout
	var e Embedding
	p := SentencePool{Offsets: a.Offsets, Width: heads * headSize}
	x, y, v, ids := make([]float32, size), make([]float32, 3*size), make([]float32, heads*headSize), make([]int32, tokens)
	if n := testing.AllocsPerRun(10, func() {
		a.Forward(y, x, x, x)
		a.Backward(y, y[size:], y[2*size:], v, x, x, x, x)
		m.Forward(y, x, x, v, v)
		m.BackwardInput(y, x, x, x, v)
		m.BackwardParams(v, v, x, x, x)
		GELU(y[:size], x)
		GELUGrad(y[:size], x, x)
		Tanh(y[:size], x)
		TanhGrad(y[:size], x, x)
		d.Run(y[:size], x, rng.New(1, "d", 0, 0), 0.1)
		e.Gather(y, ids, v, heads*headSize, false)
		e.Scatter(v, ids, x, heads*headSize)
		p.Mean(y, x)
		p.MeanGrad(y, x)
		p.First(y, x)
		p.FirstGrad(y, x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
