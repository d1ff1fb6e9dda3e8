package kernel

import (
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"unsafe"

	"dla/internal/rng"
)

// counter counts how often each chunk is run.
type counter struct{ runs []atomic.Int32 }

func (c *counter) Chunk(i int) { c.runs[i].Add(1) }

// TestRunDoesEachChunkOnce, for more and fewer chunks than threads, while the number of threads changes.
func TestRunDoesEachChunkOnce(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	for round := range 300 {
		SetThreads(1 + round%5)
		for _, n := range []int{0, 1, 2, 3, 7, 64} {
			c := counter{make([]atomic.Int32, n)}
			Run(&c, n)
			for i := range c.runs {
				if got := c.runs[i].Load(); got != 1 {
					t.Fatalf("%d threads: chunk %d of %d was run %d times", Threads(), i, n, got)
				}
			}
		}
	}
}

// TestPhasesAllocateNothing: to choose a phase and to run it takes no memory, with one thread and with several. The
// kernels that have a test of this of their own are not here.
func TestPhasesAllocateNothing(t *testing.T) {
	before := Threads()
	defer SetThreads(before)
	const n, h, w, c = 3, 4, 4, 5
	x, y := make([]float32, n*h*w*c), make([]float32, n*h*w*c)
	avg := AvgPool{N: n, Pixels: h * w, C: c}
	pool2 := Pool2{N: n, H: h, W: w, C: c}
	maxPool, index := MaxPool{N: n, H: h, W: w, C: c, Window: 2}, make([]byte, n*h*w*c)
	sub := Subsample{N: n, H: h, W: w, C: c, OC: c, Stride: 2}
	var e Embedding
	ids, labels := []int32{2, 0, 2}, make([]int32, 20)
	for _, threads := range []int{1, 3} {
		SetThreads(threads)
		for name, f := range map[string]func(){
			"Add":      func() { Add(y, x, x) },
			"ReLUGrad": func() { ReLUGrad(y, x, x) },
			"GELU":     func() { GELU(y, x) },
			"GELUGrad": func() { GELUGrad(y, x, x) },
			"SiLU":     func() { SiLU(y, x) },
			"SiLUGrad": func() { SiLUGrad(y, x, x) },
			"Tanh":     func() { Tanh(y, x) },
			"TanhGrad": func() { TanhGrad(y, x, x) },
			"SoftmaxCrossEntropy": func() {
				SoftmaxCrossEntropy(x, labels, 20, 7, 0.1)
				SoftmaxCrossEntropyGrad(y, x, labels, 20, 7, 0.1, 1)
			},
			"SquaredErrorGrad":   func() { SquaredErrorGrad(y, x, x, n, h, 2) },
			"AvgPool.Forward":    func() { avg.Forward(y, x) },
			"AvgPool.Backward":   func() { avg.Backward(y, x) },
			"MaxPool.Forward":    func() { maxPool.Forward(y, index, x, y) },
			"MaxPool.Backward":   func() { maxPool.Backward(y, x, index) },
			"Pool2.Spread":       func() { pool2.Spread(y, x) },
			"Pool2.Sum":          func() { pool2.Sum(y, x) },
			"Subsample.Forward":  func() { sub.Forward(y, x) },
			"Subsample.Backward": func() { sub.Backward(y, x) },
			"Embedding.Gather":   func() { e.Gather(y, ids, x, c, true) },
		} {
			if got := testing.AllocsPerRun(10, f); got != 0 {
				t.Errorf("%s with %d threads: %v allocations", name, threads, got)
			}
		}
	}
}

func TestAllocIsAligned(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 1000} {
		b := Alloc(n)
		if len(b) != n || cap(b) != n {
			t.Errorf("Alloc(%d): len %d, cap %d", n, len(b), cap(b))
		}
		if n > 0 && uintptr(unsafe.Pointer(&b[0]))%64 != 0 {
			t.Errorf("Alloc(%d) is not on a 64-byte boundary", n)
		}
	}
}

func normals(n int, seed uint64) []float32 {
	s := rng.New(seed, "normals", 0, 0)
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.Normal())
	}
	return x
}

// TestElementwise covers one chunk and several, with and without the output over an input.
func TestElementwise(t *testing.T) {
	levels(t, func(level string) {
		for _, n := range []int{1, 16, 1000, elements + 1, 3*elements + 5} {
			a, b := normals(n, 1), normals(n, 2)
			b[0] = float32(math.NaN()) // not above 0
			sum, masked := make([]float32, n), make([]float32, n)
			for i := range a {
				sum[i] = a[i] + b[i]
				if b[i] > 0 {
					masked[i] = a[i]
				}
			}
			for _, inPlace := range []bool{false, true} {
				dst, dst2 := make([]float32, n), make([]float32, n)
				x, y := a, a
				if inPlace {
					copy(dst, a)
					copy(dst2, a)
					x, y = dst, dst2
				}
				Add(dst, x, b)
				ReLUGrad(dst2, y, b)
				if !slices.Equal(dst[1:], sum[1:]) || dst[0] == dst[0] {
					t.Errorf("%s: Add of %d elements, in place %v", level, n, inPlace)
				}
				if !slices.Equal(dst2, masked) {
					t.Errorf("%s: ReLUGrad of %d elements, in place %v", level, n, inPlace)
				}
			}
		}
	})
}

// TestColumnSum covers whole vectors of columns and odd ones, and more rows than a part has.
func TestColumnSum(t *testing.T) {
	levels(t, func(level string) {
		for _, size := range [][2]int{{7, 5}, {1, 16}, {300, 40}, {colSumRows + 3, 33}} {
			rows, cols := size[0], size[1]
			x, dst := normals(rows*cols, 1), make([]float32, cols)
			for i := range dst {
				dst[i] = 99 // overwritten, not added to
			}
			(&ColumnSum{Dst: dst, X: x, Rows: rows, Cols: cols}).Do()
			for c := range dst {
				want := 0.0
				for r := range rows {
					want += float64(x[r*cols+c])
				}
				if math.Abs(float64(dst[c])-want) > 1e-4 {
					t.Errorf("%s: %d rows, column %d: %g, want %g", level, rows, c, dst[c], want)
				}
			}
		}
	})
}

// TestSoftmaxCrossEntropy against the definition in float64, on ordinary and on huge logits.
func TestSoftmaxCrossEntropy(t *testing.T) {
	const rows, classes = 38, 5
	before := Threads()
	defer SetThreads(before)
	for _, tc := range []struct {
		size      float32
		smoothing float64
	}{{1, 0}, {1e4, 0}, {1, 0.1}, {1e3, 0.2}} {
		size, smoothing := tc.size, tc.smoothing
		x, labels := normals(rows*classes, 3), make([]int32, rows)
		for i := range labels {
			labels[i] = int32(i % classes)
		}
		for i := range x {
			x[i] *= size
		}
		want, grad := 0.0, make([]float64, rows*classes)
		for r := range rows {
			row, z := x[r*classes:(r+1)*classes], 0.0
			m := float64(slices.Max(row))
			for _, v := range row {
				z += math.Exp(float64(v) - m)
			}
			for c, v := range row {
				q := smoothing / classes
				if c == int(labels[r]) {
					q += 1 - smoothing
				}
				want += q * (math.Log(z) + m - float64(v)) / rows
				grad[r*classes+c] = (math.Exp(float64(v)-m)/z - q) / rows
			}
		}
		if got := float64(SoftmaxCrossEntropy(x, labels, rows, classes, smoothing)); math.Abs(got-want) > 1e-6*max(1, want) {
			t.Errorf("logits of size %g: loss %g, want %g", size, got, want)
		}
		dst := make([]float32, rows*classes)
		SoftmaxCrossEntropyGrad(dst, x, labels, rows, classes, smoothing, 1.0/rows)
		for i := range dst {
			if math.Abs(float64(dst[i])-grad[i]) > 1e-7 {
				t.Errorf("logits of size %g: gradient[%d] = %g, want %g", size, i, dst[i], grad[i])
			}
		}
		loss, again := SoftmaxCrossEntropy(x, labels, rows, classes, smoothing), make([]float32, rows*classes)
		for _, threads := range []int{1, 2, 3} {
			SetThreads(threads)
			SoftmaxCrossEntropyGrad(again, x, labels, rows, classes, smoothing, 1.0/rows)
			if SoftmaxCrossEntropy(x, labels, rows, classes, smoothing) != loss || !slices.Equal(again, dst) {
				t.Errorf("logits of size %g: %d threads give other bits", size, threads)
			}
		}
	}
}

// TestLevels: a lower level can be forced, an unknown one changes nothing.
func TestLevels(t *testing.T) {
	defer setLevel("")
	setLevel("")
	best := Level()
	setLevel("portable")
	if Level() != "portable" {
		t.Errorf("forced to portable, got %s", Level())
	}
	setLevel("no such thing")
	if Level() != best {
		t.Errorf("an unknown level gave %s, want the best, %s", Level(), best)
	}
}
