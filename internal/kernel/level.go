package kernel

import (
	"os"
	"slices"
)

// kernels are the inner loops at one level: the same functions in vector code and in plain Go. They
// take bare pointers and sizes, check nothing, and are called by the code in this package alone,
// which does. Strides are in bytes. Sizes that count vectors are in units of floats.
type kernels struct {
	name   string
	floats int    // in a vector
	rows   [3]int // largest tile of a microkernel of one and of two vectors of columns

	// brgemm[transposed][vectors][rows] are the microkernels; see the type brgemm.
	brgemm [2][3][17]func(*byte)
	// transpose writes dst[j][i] = src[i][j] for one square of floats x floats.
	transpose func(dst, src *float32, ldd, lds uintptr)

	// The transforms of Winograd convolution, n vectors of channels at a time; see winograd.go.
	winoInput                                                  func(top, mid, bottom *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int, konst, tmp *float32, edges int)
	winoOutput, winoOutputAdd, winoDY, winoWeight, winoDWeight func(img *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int, konst, tmp *float32)

	// The passes of batch normalisation over px pixels of one or two vectors of channels; see norm.go.
	sums          [3]func(x *float32, px int, stride uintptr, sum, squares *float32)
	normApply     [3]func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32)
	normGradSums  [3]func(g, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32)
	normGradInput [3]func(dx, g, x *float32, px int, stride uintptr, mean, a, b, c *float32)

	// softmax of each of rows rows of n vectors, in place, of scale·s, plus bias where not nil (which begins a
	// float earlier for each row), plus end in the last vector; softmaxGrad is d = p·(d - Σ p·d)·scale.
	softmax     func(s *float32, rows, n int, stride uintptr, scale, end, bias, konst *float32)
	softmaxGrad func(d, p *float32, rows, n int, stride uintptr, scale *float32)

	// The passes of layer normalisation over rows of n vectors; see layernorm.go.
	layerNorm     func(y, x, res *float32, rows, n int, stats, gamma, beta, consts *float32)
	layerNormGrad func(dx, dy, x, res *float32, rows, n int, stats, gamma, consts *float32)
	layerNormSums [3]func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32)

	// dropout of whole groups of elements; see dropout.go.
	dropout func(dst, src *float32, groups int, a *dropoutArgs)

	// Element by element, over n vectors.
	gelu          func(y, x *float32, n int, konst *float32)
	geluGrad      func(dx, dy, x *float32, n int, konst *float32)
	add, reluGrad func(dst, a, b *float32, n int)
	bytesToFloats func(dst *float32, src *byte, n int, divisor *float32)
	sgd           func(w, g, v *float32, n int, consts *float32, nesterov int)
	adamw         func(w, g, m, v *float32, n int, consts *float32)

	// probe does n times 12 multiply-adds of whole vectors.
	probe func(n int)
}

// simd is the level in use. It is set once, at start, from what the processor has and DLA_KERNEL allows.
var simd *kernels

func init() { setLevel(os.Getenv("DLA_KERNEL")) }

// Level names the instruction set the kernels use: avx512, avx2 or portable.
func Level() string { return simd.name }

// setLevel takes the best level there is that is no better than limit; an empty or unknown limit is
// none.
func setLevel(limit string) {
	order := available() // best first
	names := []string{"avx512", "avx2", "portable"}
	worst := max(0, slices.Index(names, limit))
	for i := range order {
		if slices.Index(names, order[i].name) >= worst {
			simd = &order[i]
			return
		}
	}
}

// width is how many floats a block of vectors columns has.
func (k *kernels) width(vectors int) int { return vectors * k.floats }
