package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// colourPixels is how many pixels colours computes at once: kernel.colourPixels.
const colourPixels = 32

// colours generates the gradient of a row of pixels with three channels: as many sums for each as there are registers
// beside the three weights and the vector of dy that all three take.
func colours(l level) {
	begin(l, "colours", "func(dst, w, dy *float32, k, cols, rows int, ldd, row uintptr)", fmt.Sprintf(
		"computes the gradients of %d pixels of three channels, dst[3][%[1]d] = Σ over rows r, columns q and outputs k of "+
			"w[r][q][k][3] · dy, which stands at r·row + k·ldd + 4·q and has a float for each pixel.", colourPixels))
	w, first := param("w"), param("dy")
	rows, ldd, row := param("rows"), param("ldd"), param("row")
	vectors := colourPixels / l.floats()
	p := newPool(l)
	var acc [3][]reg.VecPhysical
	for c := range acc {
		for range vectors {
			v := p.get()
			zero(v)
			acc[c] = append(acc[c], v)
		}
	}
	weights, pixels := []reg.VecPhysical{p.get(), p.get(), p.get()}, p.get()
	column, dy, cols, k := GP64(), GP64(), GP64(), GP64()
	Label("row")
	MOVQ(first, column)
	Load(Param("cols"), cols)
	Label("column")
	MOVQ(column, dy)
	Load(Param("k"), k)
	Label("output")
	for c, x := range weights {
		VBROADCASTSS(at(w, 4*c), x)
	}
	for v := range vectors {
		VMOVUPS(at(dy, v*l.bytes), pixels)
		for c, x := range weights {
			VFMADD231PS(pixels, x, acc[c][v])
		}
	}
	ADDQ(Imm(12), w)
	ADDQ(ldd, dy)
	DECQ(k)
	JNZ(LabelRef("output"))
	ADDQ(Imm(4), column)
	DECQ(cols)
	JNZ(LabelRef("column"))
	ADDQ(row, first)
	DECQ(rows)
	JNZ(LabelRef("row"))
	dst := param("dst")
	for c := range acc {
		for v, sum := range acc[c] {
			VMOVUPS(sum, at(dst, 4*c*colourPixels+v*l.bytes))
		}
	}
	end()
}
