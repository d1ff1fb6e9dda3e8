package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"dla/internal/rng"
)

// levels runs f once for each level this machine has.
func levels(t testing.TB, f func(level string)) {
	defer setLevel("")
	for _, l := range []string{"portable", "avx2", "avx512"} {
		if setLevel(l); Level() == l {
			f(l)
		} else {
			t.Logf("this processor has no %s", l)
		}
	}
}

const canary = 12345.75

// guarded is a matrix of rows x cols with leading dimension ld, inside memory full of canaries: in
// front, behind, and between the rows.
type guarded struct {
	all        []float32
	m          []float32
	rows, cols int
	ld         int
}

func newGuarded(rows, cols, ld int, s *rng.Stream) guarded {
	const guard = 64
	size := 0
	if rows > 0 {
		size = (rows-1)*ld + cols
	}
	g := guarded{all: make([]float32, size+2*guard), rows: rows, cols: cols, ld: ld}
	for i := range g.all {
		g.all[i] = canary
	}
	g.m = g.all[guard : guard+size : guard+size]
	for r := range rows {
		for c := range cols {
			g.m[r*ld+c] = float32(s.Normal())
		}
	}
	return g
}

func (g guarded) at(r, c int) float64 { return float64(g.m[r*g.ld+c]) }

// whole says whether every canary is alive.
func (g guarded) whole() bool {
	inside := 0
	for _, v := range g.all {
		if v == canary {
			inside++
		}
	}
	return inside == len(g.all)-g.rows*g.cols
}

// product is one case: sizes and flags.
type product struct {
	m, n, k                        int
	transA, transB, acc, bias, rel bool
	gelu                           bool
	pad                            int // of the leading dimensions
}

// run computes p and compares it with the sum in float64.
func (p product) run(seed uint64) error {
	s := rng.New(seed, "gemm", 0, 0)
	ar, ac, br, bc := p.m, p.k, p.k, p.n
	if p.transA {
		ar, ac = ac, ar
	}
	if p.transB {
		br, bc = bc, br
	}
	a, b, c := newGuarded(ar, ac, ac+p.pad, &s), newGuarded(br, bc, bc+p.pad, &s), newGuarded(p.m, p.n, p.n+p.pad, &s)
	bias := newGuarded(1, p.n, p.n, &s)
	before := guarded{m: slices.Clone(c.m), ld: c.ld}
	g := Gemm{M: p.m, N: p.n, K: p.k, A: a.m, LDA: a.ld, TransA: p.transA, B: b.m, LDB: b.ld, TransB: p.transB, C: c.m,
		LDC: c.ld, Accumulate: p.acc, ReLU: p.rel, GELU: p.gelu}
	if p.bias {
		g.Bias = bias.m
	}
	g.Do()
	for i := range p.m {
		for j := range p.n {
			want, size := 0.0, 1.0
			for k := range p.k {
				var x, y float64
				if x = a.m64(i, k, p.transA); p.transB {
					y = b.at(j, k)
				} else {
					y = b.at(k, j)
				}
				want += x * y
				size += math.Abs(x * y)
			}
			if p.acc {
				want += before.at(i, j)
				size += math.Abs(before.at(i, j))
			}
			if p.bias {
				want += float64(bias.m[j])
				size += math.Abs(float64(bias.m[j]))
			}
			if p.rel {
				want = max(0, want)
			}
			if p.gelu {
				want *= math.Erfc(-want/math.Sqrt2) / 2
			}
			if got := c.at(i, j); !(math.Abs(got-want) <= 1e-6*size) {
				return fmt.Errorf("C[%d,%d] = %g, want %g", i, j, got, want)
			}
		}
	}
	for name, m := range map[string]guarded{"A": a, "B": b, "C": c, "bias": bias} {
		if !m.whole() {
			return fmt.Errorf("something was written outside of %s", name)
		}
	}
	return nil
}

func (g guarded) m64(i, k int, trans bool) float64 {
	if trans {
		return g.at(k, i)
	}
	return g.at(i, k)
}

// TestGemm covers every number of rows and columns around the tiles' edges, and all flags.
func TestGemm(t *testing.T) {
	levels(t, func(level string) {
		for seed := range uint64(400) {
			s := rng.New(seed, "shapes", 0, 0)
			p := product{m: 1 + s.IntN(40), n: 1 + s.IntN(70), k: s.IntN(50), pad: s.IntN(3) * 5, transA: s.IntN(2) == 0,
				transB: s.IntN(2) == 0,
				acc:    s.IntN(2) == 0, bias: s.IntN(2) == 0}
			if seed%100 == 7 { // several blocks
				p.k += 2 * blockK
			}
			act := s.IntN(3)
			p.rel, p.gelu = act == 1, act == 2
			if err := p.run(seed); err != nil {
				t.Fatalf("%s: %+v: %v", level, p, err)
			}
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(8), uint8(32), uint8(16), uint8(0), uint8(0))
	f.Add(uint8(1), uint8(1), uint8(0), uint8(31), uint8(3))
	f.Fuzz(func(t *testing.T, m, n, k, flags, pad uint8) {
		p := product{m: int(m)%100 + 1, n: int(n)%100 + 1, k: int(k), pad: int(pad % 20), transA: flags&1 > 0,
			transB: flags&2 > 0, acc: flags&4 > 0, bias: flags&8 > 0, rel: flags&16 > 0}
		levels(t, func(level string) {
			if err := p.run(uint64(m)<<16 | uint64(n)<<8 | uint64(k)); err != nil {
				t.Fatalf("%s: %+v: %v", level, p, err)
			}
		})
	})
}

// TestGemmKeepsNaN: a network that diverges must show it, ReLU or not.
func TestGemmKeepsNaN(t *testing.T) {
	nan := float32(math.NaN())
	levels(t, func(level string) {
		for _, n := range []int{5, 64} {
			a, b, c := make([]float32, 12*3), make([]float32, 3*n), make([]float32, 12*n)
			a[3*2+1] = nan
			g := Gemm{M: 12, N: n, K: 3, A: a, LDA: 3, B: b, LDB: n, C: c, LDC: n, ReLU: true}
			g.Do()
			for i, v := range c {
				if (v != v) != (i/n == 2) {
					t.Fatalf("%s, %d columns: C[%d,%d] = %g", level, n, i/n, i%n, v)
				}
			}
		}
	})
}

// TestThreadsDoNotMatter: the same bits from one thread and from several.
func TestThreadsDoNotMatter(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	levels(t, func(level string) {
		s := rng.New(1, "threads", 0, 0)
		x, w := newGuarded(130, 97, 97, &s), newGuarded(65, 97, 97, &s)
		var want []float32
		for _, threads := range []int{1, 2, 3, 4} {
			SetThreads(threads)
			c := make([]float32, 130*65)
			g := Gemm{M: 130, N: 65, K: 97, A: x.m, LDA: 97, B: w.m, LDB: 97, TransB: true, C: c, LDC: 65, ReLU: true}
			for range 20 { // several times: a race need not show at once
				g.Do()
				if want == nil {
					want = slices.Clone(c)
				}
				if !slices.Equal(c, want) {
					t.Fatalf("%s: %d threads give other bits than one", level, threads)
				}
			}
		}
	})
}

// TestTogether: products and a sum that run as one phase have the bits that they have one after the other, and take no
// memory. A product that must pack an operand first is no part.
func TestTogether(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	levels(t, func(level string) {
		const n = 96
		dz, w, x := normals(n*n, 1), normals(n*n, 2), normals(n*n, 3)
		dx, dw, db := make([]float32, n*n), make([]float32, n*n), make([]float32, n)
		p := Gemm{M: n, N: n, K: n, A: dz, LDA: n, B: w, LDB: n, C: dx, LDC: n}
		q := Gemm{M: n, N: n, K: n, A: dz, LDA: n, TransA: true, B: x, LDB: n, C: dw, LDC: n}
		s := ColumnSum{Dst: db, X: dz, Rows: n, Cols: n}
		p.Do()
		q.Do()
		s.Do()
		want := slices.Concat(dx, dw, db)
		var together Together
		run := func() {
			for _, k := range []interface{ Part() (Part, bool) }{&p, &q, &s} {
				part, ok := k.Part()
				if !ok {
					t.Fatalf("%s: no part", level)
				}
				together.Add(part)
			}
			together.Run()
		}
		for _, threads := range []int{1, 2, 3} {
			SetThreads(threads)
			clear(dx)
			clear(dw)
			clear(db)
			if run(); !slices.Equal(slices.Concat(dx, dw, db), want) {
				t.Errorf("%s, %d threads: other bits", level, threads)
			}
			if n := testing.AllocsPerRun(5, run); n != 0 {
				t.Errorf("%s, %d threads: %v allocations", level, threads, n)
			}
		}
		large := Gemm{M: 40 * simd.rows[2], N: n, K: 1, A: make([]float32, 40*simd.rows[2]), LDA: 1, B: w, LDB: n,
			C: make([]float32, 40*simd.rows[2]*n), LDC: n}
		if _, ok := large.Part(); ok {
			t.Errorf("%s: a product that packs is a part", level)
		}
	})
}

func TestGemmAllocatesNothing(t *testing.T) {
	levels(t, func(level string) {
		a, b, c := make([]float32, 64*64), make([]float32, 64*64), make([]float32, 64*64)
		g := Gemm{M: 64, N: 60, K: 64, A: a, LDA: 64, B: b, LDB: 64, C: c, LDC: 64}
		if n := testing.AllocsPerRun(10, g.Do); n != 0 {
			t.Errorf("%s: %v allocations", level, n)
		}
	})
}

// BenchmarkGemm times the shapes of an MLP step: forward, gradient of the input, of the weights.
func BenchmarkGemm(b *testing.B) {
	shapes := []struct {
		name           string
		m, n, k        int
		transA, transB bool
	}{{"stem", 128, 128, 784, false, true}, {"forward", 128, 128, 128, false, true}, {"dx", 128, 128, 128, false,
		false}, {"dw", 128, 128, 128, true, false}, {"stem-dw", 128, 784, 128, true, false}}
	levels(b, func(level string) {
		for _, s := range shapes {
			b.Run(level+"/"+s.name, func(b *testing.B) {
				x, w, c := Alloc(s.m*s.k), Alloc(s.k*s.n), Alloc(s.m*s.n)
				g := Gemm{M: s.m, N: s.n, K: s.k, A: x, LDA: s.k, TransA: s.transA, B: w, LDB: s.n, TransB: s.transB, C: c,
					LDC: s.n}
				if s.transA {
					g.LDA = s.m
				}
				if s.transB {
					g.LDB = s.k
				}
				for b.Loop() {
					g.Do()
				}
				b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	})
}
