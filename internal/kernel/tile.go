package kernel

import (
	"os"
	"slices"
)

// tileShape is the tile of C that the level's microkernel keeps in registers, and how many rows a
// chunk has (a multiple of mr).
type tileShape struct{ mr, nr, block int }

// tileArgs is one call of a microkernel: C[rows, nr] = A·b (+ C) (+ bias), then ReLU. Element (r, k)
// of A stands at a[r·rowStride + k·kStride], b is a packed panel [k][nr].
type tileArgs struct {
	rows, k            int
	a                  []float32
	rowStride, kStride int
	b                  []float32
	c                  []float32
	ldc                int
	bias               []float32
	accumulate, relu   bool
}

const portable = "portable"

// level is the instruction set in use and tile its shape. They are set once, at start, from what the
// processor has and DLA_KERNEL allows.
var (
	level = portable
	tile  = tileShape{4, 4, 16}
)

func init() { setLevel(os.Getenv("DLA_KERNEL")) }

// Level names the instruction set the kernels use: avx512, avx2 or portable.
func Level() string { return level }

// setLevel takes the best level there is that is no better than limit; an empty or unknown limit is
// none.
func setLevel(limit string) {
	order := []string{"avx512", "avx2", portable} // best first
	for _, l := range order[max(0, slices.Index(order, limit)):] {
		if shape, ok := shapeOf(l); ok {
			level, tile = l, shape
			return
		}
	}
}

// runPortable computes the tile in plain Go.
func (t *tileArgs) runPortable() {
	var acc [16]float32
	if t.rows == 4 {
		t.four(&acc)
	} else {
		for r := range t.rows {
			for k := range t.k {
				v := t.a[r*t.rowStride+k*t.kStride]
				for j, w := range t.b[k*4 : k*4+4] {
					acc[r*4+j] += v * w
				}
			}
		}
	}
	for r := range t.rows {
		c := t.c[r*t.ldc:][:4]
		for j := range c {
			v := acc[r*4+j]
			if t.accumulate {
				v += c[j]
			}
			if t.bias != nil {
				v += t.bias[j]
			}
			if t.relu && v < 0 {
				v = 0
			}
			c[j] = v
		}
	}
}

// four is acc[4][4] = A·b for four rows, its sums in registers.
func (t *tileArgs) four(acc *[16]float32) {
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	var c20, c21, c22, c23, c30, c31, c32, c33 float32
	a, b, at, rs := t.a, t.b, 0, t.rowStride
	for range t.k {
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		a0, a1 := a[at], a[at+rs]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		a2, a3 := a[at+2*rs], a[at+3*rs]
		c20 += a2 * b0
		c21 += a2 * b1
		c22 += a2 * b2
		c23 += a2 * b3
		c30 += a3 * b0
		c31 += a3 * b1
		c32 += a3 * b2
		c33 += a3 * b3
		at, b = at+t.kStride, b[4:]
	}
	*acc = [16]float32{c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33}
}
