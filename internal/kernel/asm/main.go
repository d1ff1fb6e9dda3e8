// Command asm generates the vector microkernels of the matrix product: go generate in the folder
// above. It is a module of its own so that the product does not depend on avo.
//
// A microkernel computes R rows by two or more vectors of columns of C = A·B over all of k, one
// accumulator register for each vector of each row:
//
//	C[r][j] = sum over k of A(r, k) · B[k][j]
//
// A is read where it lies, one element broadcast at a time: A(r, k) stands at a + r·ars + k·aks
// bytes, so a transposed A is a matter of strides. B is a packed panel of k rows of one tile's
// columns. There is one function for every number of rows, so the rows at a matrix's end need no
// masking.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// level is an instruction set with the tile that fills its registers.
type level struct {
	name    string
	rows    int // of the largest tile
	vectors int // of its columns
	bytes   int // of a vector
	regs    []reg.VecPhysical
}

var levels = []level{
	// 8 x 2 accumulators, 2 of B, 1 broadcast, of 32 registers
	{"AVX512", 8, 2, 64, []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21}},
	// 6 x 2 accumulators, 2 of B, 2 broadcasts, of 16 registers
	{"AVX2", 6, 2, 32, []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}},
}

func main() {
	ConstraintExpr("amd64")
	for _, l := range levels {
		for rows := 1; rows <= l.rows; rows++ {
			tile(l, rows)
		}
	}
	Generate()
}

// tile generates the microkernel of the given number of rows.
func tile(l level, rows int) {
	TEXT(fmt.Sprintf("tile%s_%d", l.name, rows), NOSPLIT, "func(k int, a *float32, ars, aks int, b, c *float32, ldc int, bias *float32, flags int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("tile%s_%d computes %d rows by %d columns; see package asm.", l.name, rows, rows, l.vectors*l.bytes/4))
	k := Load(Param("k"), GP64())
	ars, aks := Load(Param("ars"), GP64()), Load(Param("aks"), GP64())
	b, c, ldc := Load(Param("b"), GP64()), Load(Param("c"), GP64()), Load(Param("ldc"), GP64())

	acc := func(r, j int) reg.VecPhysical { return l.regs[r*l.vectors+j] }
	bv := func(j int) reg.VecPhysical { return l.regs[rows*l.vectors+j] }
	spare := l.regs[(rows+1)*l.vectors:]
	for r := range rows {
		for j := range l.vectors {
			zero(acc(r, j))
		}
	}

	// Row r stands at bases[r/3] + (r%3)·ars: an address takes an index times 1, 2, 4 or 8.
	bases := []reg.GPVirtual{Load(Param("a"), GP64()).(reg.GPVirtual)}
	if rows > 3 {
		ars3 := GP64()
		LEAQ(Mem{Base: ars, Index: ars, Scale: 2}, ars3)
		for r := 3; r < rows; r += 3 {
			g := GP64()
			LEAQ(Mem{Base: bases[len(bases)-1], Index: ars3, Scale: 1}, g)
			bases = append(bases, g)
		}
	}
	TESTQ(k, k)
	JZ(LabelRef("store"))
	Label("loop")
	for j := range l.vectors {
		VMOVUPS(Mem{Base: b, Disp: j * l.bytes}, bv(j))
	}
	for r := range rows {
		m := Mem{Base: bases[r/3]}
		if r%3 > 0 {
			m.Index, m.Scale = ars, uint8(r%3)
		}
		x := spare[r%min(2, len(spare))]
		VBROADCASTSS(m, x)
		for j := range l.vectors {
			VFMADD231PS(bv(j), x, acc(r, j))
		}
	}
	for _, g := range bases {
		ADDQ(aks, g)
	}
	ADDQ(Imm(uint64(l.vectors*l.bytes)), b)
	DECQ(k)
	JNZ(LabelRef("loop"))

	// The end: + C where flag 1, + bias where there is one, max(0, ·) where flag 2. VMAXPS returns its
	// second source where either is NaN, so a NaN stays.
	Label("store")
	flags, bias := Load(Param("flags"), GP64()), Load(Param("bias"), GP64())
	cp := GP64()
	BTQ(Imm(0), flags)
	JCC(LabelRef("bias"))
	MOVQ(c, cp)
	for r := range rows {
		for j := range l.vectors {
			VADDPS(Mem{Base: cp, Disp: j * l.bytes}, acc(r, j), acc(r, j))
		}
		if r < rows-1 {
			ADDQ(ldc, cp)
		}
	}
	Label("bias")
	TESTQ(bias, bias)
	JZ(LabelRef("relu"))
	for j := range l.vectors {
		VMOVUPS(Mem{Base: bias, Disp: j * l.bytes}, bv(j))
	}
	for r := range rows {
		for j := range l.vectors {
			VADDPS(bv(j), acc(r, j), acc(r, j))
		}
	}
	Label("relu")
	BTQ(Imm(1), flags)
	JCC(LabelRef("write"))
	zero(bv(0))
	for r := range rows {
		for j := range l.vectors {
			VMAXPS(acc(r, j), bv(0), acc(r, j))
		}
	}
	Label("write")
	for r := range rows {
		for j := range l.vectors {
			VMOVUPS(acc(r, j), Mem{Base: c, Disp: j * l.bytes})
		}
		if r < rows-1 {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

func zero(v reg.VecPhysical) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}
