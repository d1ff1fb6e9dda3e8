package kernel

import (
	"os"
	"slices"
)

// kernels are the inner loops at one level: the same functions in vector code and in plain Go. They take bare pointers
// and sizes, check nothing, and are called by the code in this package alone, which does. Strides are in bytes. Sizes
// that count vectors are in units of floats. The tables of vector code are generated; see asm/tables.go.
type kernels struct {
	name   string
	floats int    // in a vector
	rows   [3]int // largest tile of a microkernel of one and of two vectors of columns

	brgemm    brgemmTable
	transpose transposeFunc
	colours   coloursFunc

	winoInput                                                  winoInputFunc
	winoOutput, winoOutputAdd, winoDY, winoWeight, winoDWeight winoFunc

	sums          sumsTable
	normApply     normApplyTable
	normGradSums  normGradSumsTable
	normGradInput normGradInputTable

	normActivate     normActivateTable
	normActivateGrad normActivateGradTable

	maxPool     maxPoolFunc
	maxPoolGrad maxPoolGradFunc

	softmax     softmaxFunc
	softmaxGrad softmaxGradFunc

	layerNorm     layerNormFunc
	layerNormGrad layerNormGradFunc
	layerNormSums layerNormSumsTable

	dropout dropoutFunc

	gelu, silu         geluFunc
	geluGrad, siluGrad geluGradFunc
	add, reluGrad      binaryFunc
	affine             affineFunc
	bytesToFloats      bytesToFloatsFunc
	sgd                sgdFunc
	adamw              adamwFunc

	probe probeFunc
}

// The types of the inner loops. A type that ends in Table has one of them for one and one for two vectors of columns
// or channels, by that number.
type (
	// microkernel is a microkernel of one size; p points to a brgemm.
	microkernel func(p *byte)
	// brgemmTable has the microkernels by [1 where A is transposed][vectors of columns][rows].
	brgemmTable [2][3][17]microkernel

	// transposeFunc writes dst[j][i] = src[i][j] for one square of floats x floats.
	transposeFunc func(dst, src *float32, ldd, lds uintptr)

	// coloursFunc is the gradient of colourPixels pixels of three channels; see colours.go.
	coloursFunc func(dst, w, dy *float32, k, cols, rows int, ldd, row uintptr)

	// winoInputFunc and winoFunc are the transforms of Winograd convolution, of n vectors of channels; see
	// winograd.go. The pixels down bytes below those of the tile are fetched into the cache, those of weights are not.
	winoInputFunc func(top, mid, third, fourth, bottom *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int,
		konst, tmp *float32, down uintptr, edges int)
	winoFunc func(img *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int, konst, tmp *float32, down uintptr,
		edges int)

	// The passes of batch normalisation over px pixels; see norm.go.
	sumsFunc           func(x *float32, px int, stride uintptr, sum, squares *float32)
	sumsTable          [3]sumsFunc
	normApplyFunc      func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32)
	normApplyTable     [3]normApplyFunc
	normGradSumsFunc   func(g, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32)
	normGradSumsTable  [3]normGradSumsFunc
	normGradInputFunc  func(dx, g, x *float32, px int, stride uintptr, mean, a, b, c *float32)
	normGradInputTable [3]normGradInputFunc

	// The same with GELU, or SiLU where silu is not 0: y = act(z) of z = x·scale + shift, plus res where not nil; and
	// g = dy·act'(z), with its sums.
	normActivateFunc     func(y, x, res *float32, px int, stride uintptr, scale, shift, konst *float32, silu int)
	normActivateTable    [3]normActivateFunc
	normActivateGradFunc func(g, dy, x, res *float32, px int, stride uintptr, scale, shift, mean, sum, sumX,
		konst *float32,
		silu int)
	normActivateGradTable [3]normActivateGradFunc

	affineFunc func(y, x, scale, shift *float32, n, period int)

	// maxPoolFunc and maxPoolGradFunc go over one row of px outputs of n vectors of channels; see pooling.go.
	maxPoolFunc     func(y *float32, index *byte, x *float32, px, n, window int, row, pixel uintptr)
	maxPoolGradFunc func(dx, dy *float32, index *byte, px, n, window int, row, pixel uintptr)

	// softmaxFunc is the softmax of each of rows rows of n vectors, in place, of scale·s, plus bias where not nil
	// (which begins a float earlier for each row), plus end in the last vector.
	softmaxFunc func(s *float32, rows, n int, stride uintptr, scale, end, bias, konst *float32)
	// softmaxGradFunc is d = p·(d - Σ p·d)·scale, row by row.
	softmaxGradFunc func(d, p *float32, rows, n int, stride uintptr, scale *float32)

	// The passes of layer normalisation over rows of n vectors; see layernorm.go.
	layerNormFunc      func(y, x, res *float32, rows, n int, stats, gamma, beta, consts *float32)
	layerNormGradFunc  func(dx, dy, x, res *float32, rows, n int, stats, gamma, consts *float32)
	layerNormSumsFunc  func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32)
	layerNormSumsTable [3]layerNormSumsFunc

	// dropoutFunc drops elements of whole groups; a points to a dropoutArgs.
	dropoutFunc func(dst, src *float32, groups int, a *byte)

	// These go element by element over n vectors.
	geluFunc          func(y, x *float32, n int, konst *float32)
	geluGradFunc      func(dx, dy, x *float32, n int, konst *float32)
	binaryFunc        func(dst, a, b *float32, n int)
	bytesToFloatsFunc func(dst *float32, src *byte, n int, divisor *float32)
	sgdFunc           func(w, g, v *float32, n int, consts *float32, nesterov int)
	adamwFunc         func(w, g, m, v *float32, n int, consts *float32)

	// probeFunc does n times 12 multiply-adds of whole vectors.
	probeFunc func(n int)
)

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
