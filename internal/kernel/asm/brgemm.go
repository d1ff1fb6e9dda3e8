package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// brgemmName names the microkernel of a size.
func brgemmName(l level, rows, vectors int, transposed bool) string {
	t := ""
	if transposed {
		t = "T"
	}
	return fmt.Sprintf("brgemm%s%s_%dx%d", t, l.name, rows, vectors)
}

// brgemm generates the batch-reduce microkernel of rows x vectors accumulators, one register each:
//
//	C[r][j] = sum over segments s and k of A_s(r, k) · B_s[k][j]
//
// with A_s(r, k) at a + s·segA + r·lda + 4·k, or, transposed, at a + s·segA + 4·r + k·lda, and
// B_s[k] at b + s·segB + k·ldb. Flag 1 adds what C holds, bias is added to each row where it is not
// nil, flag 2 applies ReLU at the end. k and segs are at least 1. It goes on to the next rows of A and C until as many
// tiles are done as the block says, at least one. The argument block is Go's kernel.brgemm; its offsets are spelled out
// below.
func brgemm(l level, rows, vectors int, transposed bool) {
	name, layout := brgemmName(l, rows, vectors, transposed), "row by row"
	if transposed {
		layout = "transposed"
	}
	doc := fmt.Sprintf("%s computes %d rows of %d columns, A %s.", name, rows, vectors*l.floats(), layout)
	TEXT(name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	Doc(doc)
	p := param("p")
	arg := func(offset int) Mem { return at(p, offset) }
	load := func(offset int) reg.GPVirtual {
		g := GP64()
		MOVQ(arg(offset), g)
		return g
	}

	acc := func(r, j int) reg.VecPhysical { return l.regs[r*vectors+j] }
	used := rows * vectors
	bv := func(j int) reg.VecPhysical { return l.regs[used+j] }
	spare := l.regs[used+vectors:]
	spare = spare[:min(2, len(spare))]

	// What does not fit the registers: where the tile and its segment begin, and how many of both are left.
	local := AllocLocal(48)
	aTile, cTile, tiles := local.Offset(0), local.Offset(8), local.Offset(16)
	aSeg, bSeg, segs := local.Offset(24), local.Offset(32), local.Offset(40)
	MOVQ(load(0), aTile)
	MOVQ(load(32), cTile)
	MOVQ(load(96), tiles)

	// Start: zero or C, then bias.
	Label("tile")
	flags, c, ldc := load(88), GP64(), load(40)
	MOVQ(cTile, c)
	BTQ(Imm(0), flags)
	JCS(LabelRef("accumulate"))
	for i := range used {
		zero(l.regs[i])
	}
	JMP(LabelRef("bias"))
	Label("accumulate")
	eachRow(rows, c, ldc, func(r int, m Mem) {
		for j := range vectors {
			m.Disp = j * l.bytes
			VMOVUPS(m, acc(r, j))
		}
	})
	Label("bias")
	bias := load(80)
	TESTQ(bias, bias)
	JZ(LabelRef("start"))
	for j := range vectors {
		VMOVUPS(at(bias, j*l.bytes), bv(j))
	}
	for r := range rows {
		for j := range vectors {
			VADDPS(bv(j), acc(r, j), acc(r, j))
		}
	}

	Label("start")
	lda, ldb := load(8), load(24)
	ldb3 := GP64()
	LEAQ(Mem{Base: ldb, Index: ldb, Scale: 2}, ldb3)
	first := GP64()
	MOVQ(aTile, first)
	MOVQ(first, aSeg)
	MOVQ(load(16), bSeg)
	MOVQ(load(56), segs)

	Label("segment")
	a, b, k, lda3 := GP64(), GP64(), GP64(), GP64()
	MOVQ(aSeg, a)
	MOVQ(bSeg, b)
	MOVQ(arg(48), k)
	LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, lda3)
	// Row r of an A that is not transposed stands at bases[r/3] + (r%3)·lda.
	bases := []reg.GPVirtual{a}
	if !transposed {
		for r := 3; r < rows; r += 3 {
			g := GP64()
			LEAQ(Mem{Base: bases[len(bases)-1], Index: lda3, Scale: 1}, g)
			bases = append(bases, g)
		}
	}
	indexed := func(base, one, three reg.GPVirtual, times int) Mem {
		switch times {
		case 0:
			return Mem{Base: base}
		case 3:
			return Mem{Base: base, Index: three, Scale: 1}
		}
		return Mem{Base: base, Index: one, Scale: uint8(times)}
	}
	step := func(u int) {
		for j := range vectors {
			m := indexed(b, ldb, ldb3, u)
			m.Disp = j * l.bytes
			VMOVUPS(m, bv(j))
		}
		for r := range rows {
			var m Mem
			if transposed {
				m = indexed(a, lda, lda3, u)
				m.Disp = 4 * r
			} else {
				m = indexed(bases[r/3], lda, lda3, r%3)
				m.Disp = 4 * u
			}
			if vectors == 1 && l.bytes == 64 { // one instruction for the element's one use
				VFMADD231PS_BCST(m, bv(0), acc(r, 0))
				continue
			}
			x := spare[r%len(spare)]
			VBROADCASTSS(m, x)
			for j := range vectors {
				VFMADD231PS(bv(j), x, acc(r, j))
			}
		}
	}
	advance := func(n int) {
		if transposed {
			if n == 4 {
				LEAQ(Mem{Base: a, Index: lda, Scale: 4}, a)
			} else {
				ADDQ(lda, a)
			}
		} else {
			for _, g := range bases {
				ADDQ(Imm(uint64(4*n)), g)
			}
		}
		if n == 4 {
			LEAQ(Mem{Base: b, Index: ldb, Scale: 4}, b)
		} else {
			ADDQ(ldb, b)
		}
	}
	SUBQ(Imm(4), k)
	JLT(LabelRef("tail"))
	Label("loop")
	for u := range 4 {
		step(u)
	}
	advance(4)
	SUBQ(Imm(4), k)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(4), k)
	JZ(LabelRef("next"))
	Label("one")
	step(0)
	advance(1)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("next")
	step64, step72 := load(64), load(72)
	ADDQ(step64, aSeg)
	ADDQ(step72, bSeg)
	DECQ(segs)
	JNZ(LabelRef("segment"))

	// VMAXPS returns its second source where either is NaN, so a NaN stays.
	flags, ldc = load(88), load(40)
	MOVQ(cTile, c)
	BTQ(Imm(1), flags)
	JCC(LabelRef("store"))
	zero(bv(0))
	for i := range used {
		VMAXPS(l.regs[i], bv(0), l.regs[i])
	}
	Label("store")
	eachRow(rows, c, ldc, func(r int, m Mem) {
		for j := range vectors {
			m.Disp = j * l.bytes
			VMOVUPS(acc(r, j), m)
		}
		if r == rows-1 { // c is at the tile's last row
			ADDQ(ldc, m.Base.(reg.GPVirtual))
			MOVQ(m.Base, cTile)
		}
	})
	if transposed {
		ADDQ(Imm(uint64(4*rows)), aTile)
	} else {
		next := load(8)
		IMUL3Q(Imm(uint64(rows)), next, next)
		ADDQ(next, aTile)
	}
	DECQ(tiles)
	JG(LabelRef("tile"))
	end()
}

// eachRow calls f with the address of each of rows rows; it changes neither register.
func eachRow(rows int, base, stride reg.GPVirtual, f func(r int, m Mem)) {
	p := GP64()
	MOVQ(base, p)
	for r := range rows {
		f(r, Mem{Base: p})
		if r < rows-1 {
			ADDQ(stride, p)
		}
	}
}

// transpose generates dst[j][i] = src[i][j] for one square of a vector's width.
func transpose(l level) {
	begin(l, "transpose", "func(dst, src *float32, ldd, lds uintptr)",
		fmt.Sprintf("writes the transpose of a square of %d at src to dst; ldd and lds are the rows' strides in bytes.", l.floats()))
	d, s, ldd, lds := param("dst"), param("src"), param("ldd"), param("lds")
	n := l.floats()
	z := l.regs
	if n == 8 { // 8x8: unpack pairs, then quadruples, then swap halves; 16 registers
		for i := range 8 {
			VMOVUPS(Mem{Base: s}, z[i])
			if i < 7 {
				ADDQ(lds, s)
			}
		}
		for i := 0; i < 8; i += 2 {
			VUNPCKLPS(z[i+1], z[i], z[8+i])
			VUNPCKHPS(z[i+1], z[i], z[8+i+1])
		}
		for g := 0; g < 8; g += 4 {
			VUNPCKLPD(z[8+g+2], z[8+g], z[g])
			VUNPCKHPD(z[8+g+2], z[8+g], z[g+1])
			VUNPCKLPD(z[8+g+3], z[8+g+1], z[g+2])
			VUNPCKHPD(z[8+g+3], z[8+g+1], z[g+3])
		}
		for c := range 4 {
			VPERM2F128(Imm(0x20), z[4+c], z[c], z[8+c])
			VPERM2F128(Imm(0x31), z[4+c], z[c], z[12+c])
		}
		for i := range 8 {
			VMOVUPS(z[8+i], Mem{Base: d})
			if i < 7 {
				ADDQ(ldd, d)
			}
		}
		end()
		return
	}
	for i := range 16 {
		VMOVUPS(Mem{Base: s}, z[i])
		if i < 15 {
			ADDQ(lds, s)
		}
	}
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(z[i+1], z[i], z[16+i])
		VUNPCKHPS(z[i+1], z[i], z[16+i+1])
	}
	for g := 0; g < 16; g += 4 {
		VUNPCKLPD(z[16+g+2], z[16+g], z[g])
		VUNPCKHPD(z[16+g+2], z[16+g], z[g+1])
		VUNPCKLPD(z[16+g+3], z[16+g+1], z[g+2])
		VUNPCKHPD(z[16+g+3], z[16+g+1], z[g+3])
	}
	// z[4g+c] holds, for rows 4g … 4g+3, in lane q column 4q+c: for each c a 4x4 transpose of lanes.
	for c := range 4 {
		a, b, e, f := z[c], z[4+c], z[8+c], z[12+c]
		t0, t1, t2, t3 := z[16+4*c], z[16+4*c+1], z[16+4*c+2], z[16+4*c+3]
		VSHUFF32X4(Imm(0x44), b, a, t0)
		VSHUFF32X4(Imm(0xEE), b, a, t1)
		VSHUFF32X4(Imm(0x44), f, e, t2)
		VSHUFF32X4(Imm(0xEE), f, e, t3)
		VSHUFF32X4(Imm(0x88), t2, t0, a)
		VSHUFF32X4(Imm(0xDD), t2, t0, b)
		VSHUFF32X4(Imm(0x88), t3, t1, e)
		VSHUFF32X4(Imm(0xDD), t3, t1, f)
	}
	for q := range 4 {
		for c := range 4 {
			VMOVUPS(z[4*q+c], Mem{Base: d})
			if 4*q+c < 15 {
				ADDQ(ldd, d)
			}
		}
	}
	end()
}

// probe generates a row of independent multiply-adds without a load: the processor's peak.
func probe(l level) {
	const chains = 12
	begin(l, "probe", "func(n int)", fmt.Sprintf("does n times %d multiply-adds of whole vectors, to measure the peak.", chains))
	n := param("n")
	for i := range chains + 2 {
		zero(l.regs[i])
	}
	Label("loop")
	for i := range chains {
		VFMADD231PS(l.regs[chains], l.regs[chains+1], l.regs[i])
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}
