package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// norm generates the passes of batch normalisation over px pixels of one or two vectors of channels;
// stride is the bytes from a pixel to the next.
func norm(l level) {
	for vectors := 1; vectors <= 2; vectors++ {
		n := &normer{l, vectors}
		n.sums()
		n.apply()
		n.gradSums()
		n.gradInput()
		n.activate()
		n.activateGrad()
	}
}

type normer struct {
	l       level
	vectors int
}

func (n *normer) start(name, signature, doc string) {
	begin(n.l, fmt.Sprintf("%s%d", name, n.vectors), signature, doc)
}

// vecs is vectors registers from the pool.
func (n *normer) vecs(p *pool) []vec {
	v := make([]vec, n.vectors)
	for j := range v {
		v[j] = p.get()
	}
	return v
}

func (n *normer) load(base reg.Register, into []vec) {
	for j, v := range into {
		VMOVUPS(at(base, j*n.l.bytes), v)
	}
}

func (n *normer) addTo(base reg.Register, v []vec) {
	for j := range v {
		VADDPS(at(base, j*n.l.bytes), v[j], v[j])
		VMOVUPS(v[j], at(base, j*n.l.bytes))
	}
}

// pixels loops over px pixels, advancing the pointers.
func pixels(px, stride reg.GPVirtual, label string, pointers []reg.GPVirtual, body func()) {
	Label(label)
	body()
	for _, p := range pointers {
		ADDQ(stride, p)
	}
	DECQ(px)
	JNZ(LabelRef(label))
}

// sums: sum += x and squares += x² over the pixels, in two chains of every other pixel.
func (n *normer) sums() {
	n.start("sums", "func(x *float32, px int, stride uintptr, sum, squares *float32)", "adds x and its square, summed over px pixels, to sum and squares.")
	x, px, stride := param("x"), param("px"), param("stride")
	p := newPool(n.l)
	var s, q [2][]vec
	for u := range 2 {
		s[u], q[u] = n.vecs(p), n.vecs(p)
		for j := range n.vectors {
			zero(s[u][j])
			zero(q[u][j])
		}
	}
	one := func(u int) {
		for j := range n.vectors {
			m := at(x, j*n.l.bytes)
			if u == 1 {
				m.Index, m.Scale = stride, 1
			}
			t := p.get()
			VMOVUPS(m, t)
			VADDPS(t, s[u][j], s[u][j])
			VFMADD231PS(t, t, q[u][j])
			p.put(t)
		}
	}
	SUBQ(Imm(2), px)
	JLT(LabelRef("last"))
	Label("loop")
	one(0)
	one(1)
	LEAQ(Mem{Base: x, Index: stride, Scale: 2}, x)
	SUBQ(Imm(2), px)
	JGE(LabelRef("loop"))
	Label("last")
	ADDQ(Imm(2), px)
	JZ(LabelRef("done"))
	one(0)
	Label("done")
	for j := range n.vectors {
		VADDPS(s[1][j], s[0][j], s[0][j])
		VADDPS(q[1][j], q[0][j], q[0][j])
	}
	n.addTo(param("sum"), s[0])
	n.addTo(param("squares"), q[0])
	end()
}

// apply: y = max(low, x·scale + shift (+ res)). VMAXPS returns its second source where either is NaN,
// so a NaN stays.
func (n *normer) apply() {
	n.start("normApply", "func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32)",
		"is y = max(low, x*scale + shift + res) over px pixels; res may be nil, low is one number.")
	y, x, res, px, stride := param("y"), param("x"), param("res"), param("px"), param("stride")
	p := newPool(n.l)
	scale, shift, low := n.vecs(p), n.vecs(p), p.get()
	n.load(param("scale"), scale)
	n.load(param("shift"), shift)
	VBROADCASTSS(at(param("low"), 0), low)
	body := func(withRes bool) func() {
		return func() {
			for j := range n.vectors {
				t := p.get()
				VMOVUPS(at(x, j*n.l.bytes), t)
				VFMADD213PS(shift[j], scale[j], t)
				if withRes {
					VADDPS(at(res, j*n.l.bytes), t, t)
				}
				VMAXPS(t, low, t)
				VMOVUPS(t, at(y, j*n.l.bytes))
				p.put(t)
			}
		}
	}
	TESTQ(res, res)
	JZ(LabelRef("alone"))
	pixels(px, stride, "loop", []reg.GPVirtual{y, x, res}, body(true))
	JMP(LabelRef("done"))
	pixels(px, stride, "alone", []reg.GPVirtual{y, x}, body(false))
	Label("done")
	end()
}

// gradSums: g = dy where y > 0 (everywhere if y is nil); sum += g, sumX += g·(x - mean).
func (n *normer) gradSums() {
	n.start("normGradSums", "func(grad, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32)",
		"is g = dy where y > 0, or all of dy if y is nil, and adds g and g*(x-mean), summed over px pixels, to sum and sumX.")
	g, dy, y, x, px, stride := param("grad"), param("dy"), param("y"), param("x"), param("px"), param("stride")
	p := newPool(n.l)
	mean, s, sx, z := n.vecs(p), n.vecs(p), n.vecs(p), p.get()
	n.load(param("mean"), mean)
	for j := range n.vectors {
		zero(s[j])
		zero(sx[j])
	}
	zero(z)
	body := func(masked bool) func() {
		return func() {
			for j := range n.vectors {
				t, d := p.get(), p.get()
				switch {
				case !masked:
					VMOVUPS(at(dy, j*n.l.bytes), t)
				case n.l.bytes == 64:
					VMOVUPS(at(y, j*n.l.bytes), t)
					VCMPPS(Imm(30), z, t, reg.K1) // t > 0, false for NaN
					VMOVUPS_Z(at(dy, j*n.l.bytes), reg.K1, t)
				default:
					VMOVUPS(at(y, j*n.l.bytes), t)
					VCMPPS(Imm(30), z, t, t)
					VANDPS(at(dy, j*n.l.bytes), t, t)
				}
				VMOVUPS(at(x, j*n.l.bytes), d)
				VSUBPS(mean[j], d, d)
				VADDPS(t, s[j], s[j])
				VFMADD231PS(d, t, sx[j])
				VMOVUPS(t, at(g, j*n.l.bytes))
				p.put(t, d)
			}
		}
	}
	TESTQ(y, y)
	JZ(LabelRef("unmasked"))
	pixels(px, stride, "loop", []reg.GPVirtual{g, dy, y, x}, body(true))
	JMP(LabelRef("done"))
	pixels(px, stride, "unmasked", []reg.GPVirtual{g, dy, x}, body(false))
	Label("done")
	n.addTo(param("sum"), s)
	n.addTo(param("sumX"), sx)
	end()
}

// gradInput: dx = a·g + b·(x - mean) + c.
func (n *normer) gradInput() {
	n.start("normGradInput", "func(dx, grad, x *float32, px int, stride uintptr, mean, a, b, c *float32)", "is dx = a*g + b*(x-mean) + c over px pixels.")
	dx, g, x, px, stride := param("dx"), param("grad"), param("x"), param("px"), param("stride")
	p := newPool(n.l)
	mean, a, b, c := n.vecs(p), n.vecs(p), n.vecs(p), n.vecs(p)
	n.load(param("mean"), mean)
	n.load(param("a"), a)
	n.load(param("b"), b)
	n.load(param("c"), c)
	pixels(px, stride, "loop", []reg.GPVirtual{dx, g, x}, func() {
		for j := range n.vectors {
			t := p.get()
			VMOVUPS(at(x, j*n.l.bytes), t)
			VSUBPS(mean[j], t, t)
			VFMADD213PS(c[j], b[j], t)
			VFMADD231PS(at(g, j*n.l.bytes), a[j], t)
			VMOVUPS(t, at(dx, j*n.l.bytes))
			p.put(t)
		}
	})
	end()
}

// activation is what of a smooth activation a kernel applies: its functions, or their slopes.
func (n *normer) activation(p *pool, slopes bool) (gelu, silu func(x vec)) {
	f := &function{l: n.l, pool: p, konst: param("konst")}
	if slopes {
		return f.geluSlope, f.siluSlope
	}
	return f.geluOf, f.siluOf
}

// eachActivation generates the four loops over the pixels: with and without a residual, of either activation.
func (n *normer) eachActivation(res reg.GPVirtual, p *pool, slopes bool, pointers []reg.GPVirtual,
	body func(withRes bool, of func(x vec))) {
	gelu, silu := n.activation(p, slopes)
	which := param("silu")
	px, stride := param("px"), param("stride")
	with := append([]reg.GPVirtual{res}, pointers...)
	loop := func(label string, pointers []reg.GPVirtual, withRes bool, of func(x vec)) {
		pixels(px, stride, label, pointers, func() { body(withRes, of) })
	}
	TESTQ(res, res)
	JZ(LabelRef("alone"))
	TESTQ(which, which)
	JNZ(LabelRef("siluRes"))
	loop("geluRes", with, true, gelu)
	JMP(LabelRef("done"))
	loop("siluRes", with, true, silu)
	JMP(LabelRef("done"))
	Label("alone")
	TESTQ(which, which)
	JNZ(LabelRef("siluAlone"))
	loop("geluAlone", pointers, false, gelu)
	JMP(LabelRef("done"))
	loop("siluAlone", pointers, false, silu)
	Label("done")
}

// activate: y = act(x·scale + shift (+ res)).
func (n *normer) activate() {
	n.start("normActivate", "func(y, x, res *float32, px int, stride uintptr, scale, shift, konst *float32, silu int)",
		"is y = gelu(x*scale + shift + res) over px pixels, or silu of it; res may be nil.")
	y, x, res := param("y"), param("x"), param("res")
	p := newPool(n.l)
	scale, shift := n.vecs(p), n.vecs(p)
	n.load(param("scale"), scale)
	n.load(param("shift"), shift)
	n.eachActivation(res, p, false, []reg.GPVirtual{y, x}, func(withRes bool, of func(x vec)) {
		for j := range n.vectors {
			t := p.get()
			VMOVUPS(at(x, j*n.l.bytes), t)
			VFMADD213PS(shift[j], scale[j], t)
			if withRes {
				VADDPS(at(res, j*n.l.bytes), t, t)
			}
			of(t)
			VMOVUPS(t, at(y, j*n.l.bytes))
			p.put(t)
		}
	})
	end()
}

// activateGrad: g = dy·act'(x·scale + shift (+ res)); sum += g, sumX += g·(x - mean).
func (n *normer) activateGrad() {
	n.start("normActivateGrad", "func(grad, dy, x, res *float32, px int, stride uintptr, scale, shift, mean, sum, sumX, konst *float32, silu int)",
		"is grad = dy times the slope of gelu, or silu, at x*scale + shift + res, and adds it and grad*(x-mean), summed over px pixels, to sum and sumX; res may be nil.")
	g, dy, x, res := param("grad"), param("dy"), param("x"), param("res")
	p := newPool(n.l)
	scale, shift, mean, s, sx := n.vecs(p), n.vecs(p), n.vecs(p), n.vecs(p), n.vecs(p)
	n.load(param("scale"), scale)
	n.load(param("shift"), shift)
	n.load(param("mean"), mean)
	for j := range n.vectors {
		zero(s[j])
		zero(sx[j])
	}
	n.eachActivation(res, p, true, []reg.GPVirtual{g, dy, x}, func(withRes bool, slope func(x vec)) {
		for j := range n.vectors {
			t := p.get()
			VMOVUPS(at(x, j*n.l.bytes), t)
			VFMADD213PS(shift[j], scale[j], t)
			if withRes {
				VADDPS(at(res, j*n.l.bytes), t, t)
			}
			slope(t)
			d := p.get()
			VMULPS(at(dy, j*n.l.bytes), t, t)
			VMOVUPS(at(x, j*n.l.bytes), d)
			VSUBPS(mean[j], d, d)
			VADDPS(t, s[j], s[j])
			VFMADD231PS(d, t, sx[j])
			VMOVUPS(t, at(g, j*n.l.bytes))
			p.put(t, d)
		}
	})
	n.addTo(param("sum"), s)
	n.addTo(param("sumX"), sx)
	end()
}
