package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pooling generates max pooling of one row of outputs, px of them, of n vectors of channels each. The windows are
// window x window pixels and lie side by side; row and pixel are the strides of the larger image in bytes, and pixel is
// also that of the smaller one. index has a byte for each output: which pixel of the window was the largest.
func pooling(l level) {
	maxPool(l)
	maxPoolGrad(l)
}

// windows loops over the pixels and their vectors. each is called for a vector of outputs and may call the function it
// gets, which loops over the pixels of that vector's window, with the address of each in the larger image.
func windows(l level, small, large, index reg.GPVirtual, each func(window func(body func(m Mem)))) {
	px, window, row, pixel := param("px"), param("window"), param("row"), param("pixel")
	left := GP64() // what a pixel has beyond its whole vectors, in bytes
	IMUL3Q(Imm(uint64(l.bytes)), Load(Param("n"), left), left)
	NEGQ(left)
	ADDQ(pixel, left)
	Label("pixel")
	corner, n := GP64(), GP64()
	MOVQ(large, corner)
	Load(Param("n"), n)
	Label("vector")
	each(func(body func(m Mem)) {
		first, p, i, j := GP64(), GP64(), GP64(), GP64()
		MOVQ(corner, first)
		MOVQ(window, i)
		Label("row")
		MOVQ(first, p)
		MOVQ(window, j)
		Label("column")
		body(at(p, 0))
		ADDQ(pixel, p)
		DECQ(j)
		JNZ(LabelRef("column"))
		ADDQ(row, first)
		DECQ(i)
		JNZ(LabelRef("row"))
	})
	ADDQ(Imm(uint64(l.bytes)), corner)
	ADDQ(Imm(uint64(l.bytes)), small)
	DECQ(n)
	JNZ(LabelRef("vector"))
	ADDQ(left, small)
	SHRQ(Imm(2), left) // a byte of index for each four of small
	ADDQ(left, index)
	SHLQ(Imm(2), left)
	Load(Param("window"), n)
	IMULQ(pixel, n)
	ADDQ(n, large)
	DECQ(px)
	JNZ(LabelRef("pixel"))
	end()
}

// maxPool takes a pixel where it is larger than the largest so far, or NaN, as PyTorch does.
func maxPool(l level) {
	begin(l, "maxPool", "func(y *float32, index *byte, x *float32, px, n, window int, row, pixel uintptr)",
		"is y = the largest of each window of x, and index its place in the window; index may not be nil.")
	y, index, x := param("y"), param("index"), param("x")
	p := newPool(l)
	lowest, one := p.get(), p.get()
	best, which, place, v := p.get(), p.get(), p.get(), p.get()
	minusInf, t := GP32(), p.get()
	MOVL(U32(0xFF800000), minusInf)
	VMOVD(minusInf, lowest.AsX())
	VPBROADCASTD(lowest.AsX(), lowest)
	MOVL(U32(1), minusInf)
	VMOVD(minusInf, one.AsX())
	VPBROADCASTD(one.AsX(), one)
	windows(l, y, x, index, func(window func(func(Mem))) {
		zero(which)
		zero(place)
		VMOVUPS(lowest, best)
		window(func(m Mem) {
			VMOVUPS(m, v)
			if l.bytes == 64 {
				VCMPPS(Imm(30), best, v, reg.K1) // greater
				VCMPPS(Imm(3), v, v, reg.K2)     // NaN
				KORW(reg.K1, reg.K2, reg.K1)
				VMOVUPS(v, reg.K1, best)
				VMOVDQA32(place, reg.K1, which)
			} else {
				u := p.get()
				VCMPPS(Imm(30), best, v, t)
				VCMPPS(Imm(3), v, v, u)
				VORPS(u, t, t)
				VBLENDVPS(t, v, best, best)
				VBLENDVPS(t, place, which, which)
				p.put(u)
			}
			VPADDD(one, place, place)
		})
		VMOVUPS(best, at(y, 0))
		if l.bytes == 64 {
			VPMOVDB(which, at(index, 0))
		} else {
			VEXTRACTI128(Imm(1), which, t.AsX())
			VPACKSSDW(t.AsX(), which.AsX(), t.AsX())
			VPACKUSWB(t.AsX(), t.AsX(), t.AsX())
			VMOVQ(t.AsX(), at(index, 0))
		}
		ADDQ(Imm(uint64(l.floats())), index)
	})
}

// maxPoolGrad counts the index down as it goes over the window: the pixel where it is 0 has the gradient.
func maxPoolGrad(l level) {
	begin(l, "maxPoolGrad", "func(dx, dy *float32, index *byte, px, n, window int, row, pixel uintptr)",
		"is dx = dy at the pixel of each window that index names, and 0 at its others.")
	dx, dy, index := param("dx"), param("dy"), param("index")
	p := newPool(l)
	zeros, one, d, left, t := p.get(), p.get(), p.get(), p.get(), p.get()
	zero(zeros)
	g := GP32()
	MOVL(U32(1), g)
	VMOVD(g, one.AsX())
	VPBROADCASTD(one.AsX(), one)
	windows(l, dy, dx, index, func(window func(func(Mem))) {
		VMOVUPS(at(dy, 0), d)
		VPMOVZXBD(at(index, 0), left)
		window(func(m Mem) {
			if l.bytes == 64 {
				VPCMPEQD(zeros, left, reg.K1)
				VMOVUPS_Z(d, reg.K1, t)
			} else {
				VPCMPEQD(zeros, left, t)
				VANDPS(d, t, t)
			}
			VMOVUPS(t, m)
			VPSUBD(one, left, left)
		})
		ADDQ(Imm(uint64(l.floats())), index)
	})
}
