package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The constants, in the order of the table functionConstants of the Go side, each repeated over a vector
// of 16.
const (
	cLog2E, cRound, cLn2High, cLn2Low, cLowest, cOne = 0, 1, 2, 3, 4, 5
	cExp0                                            = 6 // to 11
	cAbs, cMinusHalf, cTailB                         = 12, 13, 14
	cTail0                                           = 15 // to 22
	cDensity, cMinusInf, cSign                       = 23, 24, 25
)

// functions generates what the encoders need element by element and row by row.
func functions(l level) {
	f := &function{l: l}
	f.gelu()
	f.geluGrad()
	f.silu()
	f.siluGrad()
	f.softmax()
	f.softmaxGrad()
}

type function struct {
	l level
	*pool
	konst reg.GPVirtual
}

func (f *function) k(i int) Mem { return at(f.konst, 64*i) }

// start begins a kernel; with konst, constants are read from the parameter of that name.
func (f *function) start(name, signature, doc string) {
	begin(f.l, name, signature, doc)
	f.pool = newPool(f.l)
}

// exp overwrites x by its exponential, for x <= 0; see functions.go of the Go side.
func (f *function) exp(x vec) {
	t, n, q := f.get(), f.get(), f.get()
	VMOVUPS(f.k(cLowest), q)
	VMAXPS(x, q, x) // NaN stays
	VMOVUPS(f.k(cRound), t)
	VFMADD231PS(f.k(cLog2E), x, t)
	VSUBPS(f.k(cRound), t, n)
	VFNMADD231PS(f.k(cLn2High), n, x)
	VFNMADD231PS(f.k(cLn2Low), n, x)
	VMOVUPS(f.k(cExp0), q)
	for i := 1; i < 6; i++ {
		VFMADD213PS(f.k(cExp0+i), x, q)
	}
	VMULPS(x, x, n)
	VFMADD213PS(x, n, q)
	VADDPS(f.k(cOne), q, q)
	VPSLLD(Imm(23), t, t)
	VPADDD(t, q, x)
	f.put(t, n, q)
}

// tail is |x|, Φ(-|x|) and exp(-x²/2).
func (f *function) tail(x vec) (u, h, e vec) {
	e = f.get()
	VMULPS(x, x, e)
	VMULPS(f.k(cMinusHalf), e, e)
	f.exp(e)
	u, h = f.get(), f.get()
	VANDPS(f.k(cAbs), x, u)
	t, d := f.get(), f.get()
	VMOVUPS(f.k(cOne), d)
	VMOVUPS(d, t)
	VFMADD231PS(f.k(cTailB), u, d)
	VDIVPS(d, t, t)
	VMOVUPS(f.k(cTail0), h)
	for i := 1; i < 8; i++ {
		VFMADD213PS(f.k(cTail0+i), t, h)
	}
	VMULPS(t, h, h)
	VMULPS(e, h, h)
	f.put(t, d)
	return u, h, e
}

// geluOf overwrites x by max(0, x) - |x|·Φ(-|x|).
func (f *function) geluOf(x vec) {
	u, h, e := f.tail(x)
	zero(e)
	VMAXPS(x, e, x) // NaN stays
	VFNMADD231PS(h, u, x)
	f.put(u, h, e)
}

// geluSlope overwrites x by the slope of gelu, Φ(x) + x·φ(x).
func (f *function) geluSlope(x vec) {
	u, h, e := f.tail(x)
	VMOVUPS(f.k(cOne), u)
	VSUBPS(h, u, u)
	f.whereNegative(x, h, u) // Φ(x) is h where x is negative, 1 - h where not.
	VMULPS(f.k(cDensity), x, x)
	VFMADD213PS(u, e, x)
	f.put(u, h, e)
}

// whereNegative is v = a where x is negative.
func (f *function) whereNegative(x, a, v vec) {
	if f.l.bytes == 64 {
		VPMOVD2M(x, reg.K1)
		VMOVUPS(a, reg.K1, v)
	} else {
		VBLENDVPS(x, a, v, v)
	}
}

// sigmoid is e/(1 + e) where x is negative and 1/(1 + e) where not, with e = exp(-|x|); x stays.
func (f *function) sigmoid(x vec) vec {
	e := f.get()
	VORPS(f.k(cSign), x, e)
	f.exp(e)
	s := f.get()
	VMOVUPS(f.k(cOne), s)
	f.whereNegative(x, e, s)
	VADDPS(f.k(cOne), e, e)
	VDIVPS(e, s, s)
	f.put(e)
	return s
}

// siluOf overwrites x by x·sigmoid(x).
func (f *function) siluOf(x vec) {
	s := f.sigmoid(x)
	VMULPS(s, x, x)
	f.put(s)
}

// siluSlope overwrites x by s·(1 + x·(1-s)), with s = sigmoid(x).
func (f *function) siluSlope(x vec) {
	s := f.sigmoid(x)
	t := f.get()
	VMOVUPS(f.k(cOne), t)
	VSUBPS(s, t, t)
	VFMADD213PS(f.k(cOne), t, x)
	VMULPS(s, x, x)
	f.put(s, t)
}

func (f *function) gelu() { f.value("gelu", "x times the normal distribution function of x", f.geluOf) }
func (f *function) silu() { f.value("silu", "x times sigmoid(x)", f.siluOf) }

// value generates a function of one input.
func (f *function) value(name, what string, of func(x vec)) {
	f.start(name, "func(y, x *float32, n int, konst *float32)", "is y = "+what+". n counts vectors.")
	y, src, n := param("y"), param("x"), param("n")
	f.konst = param("konst")
	x := f.get()
	f.l.vectors(n, []reg.GPVirtual{y, src}, func() {
		VMOVUPS(at(src, 0), x)
		of(x)
		VMOVUPS(x, at(y, 0))
	})
}

func (f *function) geluGrad() { f.grad("gelu", f.geluSlope) }
func (f *function) siluGrad() { f.grad("silu", f.siluSlope) }

// grad generates the gradient of a function of one input, dy times its slope.
func (f *function) grad(name string, slope func(x vec)) {
	f.start(name+"Grad", "func(dx, dy, x *float32, n int, konst *float32)",
		"is dx = dy times the slope of "+name+" at x. n counts vectors.")
	dx, dy, src, n := param("dx"), param("dy"), param("x"), param("n")
	f.konst = param("konst")
	x := f.get()
	f.l.vectors(n, []reg.GPVirtual{dx, dy, src}, func() {
		VMOVUPS(at(src, 0), x)
		slope(x)
		VMULPS(at(dy, 0), x, x)
		VMOVUPS(x, at(dx, 0))
	})
}

// across folds the elements of v by op and leaves the result in all of them.
func (f *function) across(v vec, op func(a, b, dst Op)) {
	t := f.get()
	x, tx := v.AsX(), t.AsX()
	if f.l.bytes == 64 {
		y, ty := v.AsY(), t.AsY()
		VEXTRACTF64X4(Imm(1), v, ty)
		op(ty, y, y)
		VEXTRACTF32X4(Imm(1), y, tx)
	} else {
		VEXTRACTF128(Imm(1), v, tx)
	}
	op(tx, x, x)
	VPERMILPS(Imm(0x4E), x, tx) // halves swapped
	op(tx, x, x)
	VPERMILPS(Imm(0xB1), x, tx) // neighbours swapped
	op(tx, x, x)
	VBROADCASTSS(x, v)
	f.put(t)
}

func (f *function) sum(v vec) { f.across(v, func(a, b, dst Op) { VADDPS(a, b, dst) }) }
func (f *function) max(v vec) { f.across(v, func(a, b, dst Op) { VMAXPS(a, b, dst) }) }

// softmax goes over a row three times: scaled and shifted, its maximum; exponentials and their sum; times
// one over the sum.
func (f *function) softmax() {
	f.start("softmax", "func(s *float32, rows, n int, stride uintptr, scale, end, bias, konst *float32)",
		"is s = softmax(scale*s + bias) for rows rows of n vectors; end is added to a row's last vector; bias may be nil and begins a float earlier for each row.")
	s, rows, n, stride := param("s"), param("rows"), param("n"), param("stride")
	bias := param("bias")
	f.konst = param("konst")
	scale, tail := f.get(), f.get()
	VBROADCASTSS(at(param("scale"), 0), scale)
	VMOVUPS(at(param("end"), 0), tail)
	high, total, x := f.get(), f.get(), f.get()
	p, b, i := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(s, p)
	MOVQ(bias, b)
	MOVQ(n, i)
	VMOVUPS(f.k(cMinusInf), high)
	Label("scaled")
	VMULPS(at(p, 0), scale, x)
	TESTQ(b, b)
	JZ(LabelRef("unbiased"))
	VADDPS(at(b, 0), x, x)
	ADDQ(Imm(uint64(f.l.bytes)), b)
	Label("unbiased")
	CMPQ(i, Imm(1))
	JNE(LabelRef("inside"))
	VADDPS(tail, x, x)
	Label("inside")
	VMOVUPS(x, at(p, 0))
	VMAXPS(x, high, high)
	ADDQ(Imm(uint64(f.l.bytes)), p)
	DECQ(i)
	JNZ(LabelRef("scaled"))
	f.max(high)
	MOVQ(s, p)
	MOVQ(n, i)
	zero(total)
	Label("exponentials")
	VMOVUPS(at(p, 0), x)
	VSUBPS(high, x, x)
	f.exp(x)
	VADDPS(x, total, total)
	VMOVUPS(x, at(p, 0))
	ADDQ(Imm(uint64(f.l.bytes)), p)
	DECQ(i)
	JNZ(LabelRef("exponentials"))
	f.sum(total)
	VMOVUPS(f.k(cOne), x)
	VDIVPS(total, x, total)
	MOVQ(s, p)
	MOVQ(n, i)
	Label("normalised")
	VMULPS(at(p, 0), total, x)
	VMOVUPS(x, at(p, 0))
	ADDQ(Imm(uint64(f.l.bytes)), p)
	DECQ(i)
	JNZ(LabelRef("normalised"))
	ADDQ(stride, s)
	TESTQ(bias, bias)
	JZ(LabelRef("next"))
	SUBQ(Imm(4), bias)
	Label("next")
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}

// softmaxGrad: d = p·(d - Σ p·d)·scale.
func (f *function) softmaxGrad() {
	f.start("softmaxGrad", "func(d, p *float32, rows, n int, stride uintptr, scale *float32)",
		"is d = p*(d - sum of p*d)*scale for rows rows of n vectors.")
	d, p, rows, n, stride := param("d"), param("p"), param("rows"), param("n"), param("stride")
	scale, dot, x := f.get(), f.get(), f.get()
	VBROADCASTSS(at(param("scale"), 0), scale)
	a, b, i := GP64(), GP64(), GP64()
	next := func(label string) {
		ADDQ(Imm(uint64(f.l.bytes)), a)
		ADDQ(Imm(uint64(f.l.bytes)), b)
		DECQ(i)
		JNZ(LabelRef(label))
	}
	Label("row")
	MOVQ(d, a)
	MOVQ(p, b)
	MOVQ(n, i)
	zero(dot)
	Label("product")
	VMOVUPS(at(b, 0), x)
	VFMADD231PS(at(a, 0), x, dot)
	next("product")
	f.sum(dot)
	MOVQ(d, a)
	MOVQ(p, b)
	MOVQ(n, i)
	Label("gradient")
	VMOVUPS(at(a, 0), x)
	VSUBPS(dot, x, x)
	VMULPS(at(b, 0), x, x)
	VMULPS(scale, x, x)
	VMOVUPS(x, at(a, 0))
	next("gradient")
	ADDQ(stride, d)
	ADDQ(stride, p)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}
