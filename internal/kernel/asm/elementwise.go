package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// elementwise generates kernels over n whole vectors; the Go side does what is left.
func elementwise(l level) {
	binary(l, "add", "is dst = a + b.", func(p *pool, a, b Mem) vec {
		t := p.get()
		VMOVUPS(a, t)
		VADDPS(b, t, t)
		return t
	})
	z := l.regs[len(l.regs)-1]
	binary(l, "reluGrad", "is dst = a where b > 0, else 0.", func(p *pool, a, b Mem) vec {
		t := p.get()
		VMOVUPS(b, t)
		if l.bytes == 64 {
			VCMPPS(Imm(30), z, t, reg.K1)
			VMOVUPS_Z(a, reg.K1, t)
		} else {
			VCMPPS(Imm(30), z, t, t)
			VANDPS(a, t, t)
		}
		return t
	})
	affine(l)
	bytesToFloats(l)
	sgd(l)
	adamw(l)
}

// vectors loops over n vectors, advancing the pointers.
func (l level) vectors(n reg.GPVirtual, pointers []reg.GPVirtual, body func()) {
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(uint64(l.bytes)), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}

func binary(l level, name, doc string, f func(p *pool, a, b Mem) vec) {
	begin(l, name, "func(dst, a, b *float32, n int)", doc+" n counts vectors.")
	dst, a, b, n := param("dst"), param("a"), param("b"), param("n")
	zero(l.regs[len(l.regs)-1])
	l.vectors(n, []reg.GPVirtual{dst, a, b}, func() {
		p := newPool(l)
		VMOVUPS(f(p, at(a, 0), at(b, 0)), at(dst, 0))
	})
}

// affine rounds the product and the sum, as Go does.
func affine(l level) {
	begin(l, "affine", "func(y, x, scale, shift *float32, n, period int)",
		"is y = x*scale + shift for n times period vectors; scale and shift have period vectors.")
	y, x, scale, shift, n, period := param("y"), param("x"), param("scale"), param("shift"), param("n"), param("period")
	t, offset := l.regs[0], GP64()
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(l.bytes)))), period)
	Label("group")
	XORQ(offset, offset)
	Label("loop")
	of := func(base reg.GPVirtual) Mem { return Mem{Base: base, Index: offset, Scale: 1} }
	VMOVUPS(of(x), t)
	VMULPS(of(scale), t, t)
	VADDPS(of(shift), t, t)
	VMOVUPS(t, of(y))
	ADDQ(Imm(uint64(l.bytes)), offset)
	CMPQ(offset, period)
	JLT(LabelRef("loop"))
	ADDQ(period, x)
	ADDQ(period, y)
	DECQ(n)
	JNZ(LabelRef("group"))
	end()
}

// bytesToFloats divides, as float32(b)/255 does: a product with 1/255 rounds differently.
func bytesToFloats(l level) {
	begin(l, "bytesToFloats", "func(dst *float32, src *byte, n int, divisor *float32)", "is dst = src / divisor. n counts vectors.")
	dst, src, n := param("dst"), param("src"), param("n")
	d, t := l.regs[0], l.regs[1]
	VBROADCASTSS(at(param("divisor"), 0), d)
	Label("loop")
	VPMOVZXBD(at(src, 0), t)
	VCVTDQ2PS(t, t)
	VDIVPS(d, t, t)
	VMOVUPS(t, at(dst, 0))
	ADDQ(Imm(uint64(l.bytes)), dst)
	ADDQ(Imm(uint64(l.floats())), src)
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}

// broadcast loads count numbers from the parameter, each into a register of its own.
func broadcast(p *pool, name string, count int) []vec {
	base := param(name)
	v := make([]vec, count)
	for i := range v {
		v[i] = p.get()
		VBROADCASTSS(at(base, 4*i), v[i])
	}
	return v
}

// sgd adds and multiplies one by one, without fusing, so that it rounds as the portable form does.
func sgd(l level) {
	begin(l, "sgd", "func(w, grad, v *float32, n int, consts *float32, nesterov int)",
		"updates n vectors of weights; consts are shrink, decay, mu, momentum, lr as in SGD.")
	w, g, v, n, nesterov := param("w"), param("grad"), param("v"), param("n"), param("nesterov")
	p := newPool(l)
	c := broadcast(p, "consts", 5)
	shrink, decay, mu, momentum, lr := c[0], c[1], c[2], c[3], c[4]
	x, d, vel, t := p.get(), p.get(), p.get(), p.get()
	Label("loop")
	VMULPS(at(w, 0), shrink, x)
	VMULPS(x, decay, d)
	VADDPS(at(g, 0), d, d)
	VMULPS(at(v, 0), mu, vel)
	VADDPS(d, vel, vel)
	VMOVUPS(vel, at(v, 0))
	TESTQ(nesterov, nesterov)
	JZ(LabelRef("plain"))
	VMULPS(vel, momentum, t)
	VADDPS(t, d, vel)
	Label("plain")
	VMULPS(vel, lr, vel)
	VSUBPS(vel, x, x)
	VMOVUPS(x, at(w, 0))
	for _, q := range []reg.GPVirtual{w, g, v} {
		ADDQ(Imm(uint64(l.bytes)), q)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}

// adamw rounds as the portable form does, too.
func adamw(l level) {
	begin(l, "adamw", "func(w, grad, m, v *float32, n int, consts *float32)",
		"updates n vectors of weights; consts are shrink, 1-beta1, beta2, 1-beta2, step, root, eps as in AdamW.")
	w, g, m, v, n := param("w"), param("grad"), param("m"), param("v"), param("n")
	p := newPool(l)
	c := broadcast(p, "consts", 7)
	shrink, oneBeta1, beta2, oneBeta2, step, root, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6]
	gi, mi, vi, t := p.get(), p.get(), p.get(), p.get()
	l.vectors(n, []reg.GPVirtual{w, g, m, v}, func() {
		VMOVUPS(at(g, 0), gi)
		VMOVUPS(at(m, 0), mi)
		VSUBPS(mi, gi, t)
		VMULPS(t, oneBeta1, t)
		VADDPS(t, mi, mi)
		VMOVUPS(mi, at(m, 0))
		VMULPS(at(v, 0), beta2, vi)
		VMULPS(gi, oneBeta2, t)
		VMULPS(gi, t, t)
		VADDPS(t, vi, vi)
		VMOVUPS(vi, at(v, 0))
		VSQRTPS(vi, vi)
		VDIVPS(root, vi, vi)
		VADDPS(eps, vi, vi)
		VMULPS(step, mi, mi)
		VDIVPS(vi, mi, mi)
		VMULPS(at(w, 0), shrink, t)
		VSUBPS(mi, t, t)
		VMOVUPS(t, at(w, 0))
	})
}
