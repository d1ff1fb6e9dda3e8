package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// layerNorms generates layer normalisation and its gradients. Rows of n vectors lie one after the other;
// stats has mean and 1/deviation of each row, consts are one over the width, epsilon, and one.
func layerNorms(l level) {
	f := &function{l: l}
	f.layerNorm()
	f.layerNormGrad()
	for vectors := 1; vectors <= 2; vectors++ {
		f.layerNormSums(vectors)
	}
}

// layerNorm goes over a row three times: the sum of x + res, which y keeps; the sum of squares from the
// mean; and what y is.
func (f *function) layerNorm() {
	f.start("layerNorm", "func(y, x, res *float32, rows, n int, stats, gamma, beta, consts *float32)",
		"normalises rows rows of n vectors of x + res and leaves their mean and 1/deviation in stats; res may be nil.")
	y, x, res, rows, n, stats := param("y"), param("x"), param("res"), param("rows"), param("n"), param("stats")
	gamma, beta := param("gamma"), param("beta")
	step := Imm(uint64(f.l.bytes))
	mean, total, t := f.get(), f.get(), f.get()
	over, eps, one := f.get(), f.get(), f.get()
	consts := param("consts")
	VBROADCASTSS(at(consts, 0), over)
	VBROADCASTSS(at(consts, 4), eps)
	VBROADCASTSS(at(consts, 8), one)
	p, g, b, i := GP64(), GP64(), GP64(), GP64()
	Label("row")
	MOVQ(y, p)
	MOVQ(n, i)
	zero(mean)
	TESTQ(res, res)
	JZ(LabelRef("alone"))
	Label("both")
	VMOVUPS(at(x, 0), t)
	VADDPS(at(res, 0), t, t)
	VMOVUPS(t, at(p, 0))
	VADDPS(t, mean, mean)
	ADDQ(step, x)
	ADDQ(step, res)
	ADDQ(step, p)
	DECQ(i)
	JNZ(LabelRef("both"))
	JMP(LabelRef("summed"))
	Label("alone")
	VMOVUPS(at(x, 0), t)
	VMOVUPS(t, at(p, 0))
	VADDPS(t, mean, mean)
	ADDQ(step, x)
	ADDQ(step, p)
	DECQ(i)
	JNZ(LabelRef("alone"))
	Label("summed")
	f.sum(mean)
	VMULPS(over, mean, mean)
	MOVQ(y, p)
	MOVQ(n, i)
	zero(total)
	Label("squares")
	VMOVUPS(at(p, 0), t)
	VSUBPS(mean, t, t)
	VFMADD231PS(t, t, total)
	ADDQ(step, p)
	DECQ(i)
	JNZ(LabelRef("squares"))
	f.sum(total)
	VFMADD213PS(eps, over, total)
	VSQRTPS(total, total)
	VDIVPS(total, one, total)
	VMOVSS(mean.AsX(), at(stats, 0))
	VMOVSS(total.AsX(), at(stats, 4))
	ADDQ(Imm(8), stats)
	MOVQ(gamma, g)
	MOVQ(beta, b)
	MOVQ(n, i)
	Label("output")
	VMOVUPS(at(y, 0), t)
	VSUBPS(mean, t, t)
	VMULPS(total, t, t)
	VMULPS(at(g, 0), t, t)
	VADDPS(at(b, 0), t, t)
	VMOVUPS(t, at(y, 0))
	for _, q := range []reg.GPVirtual{y, g, b} {
		ADDQ(step, q)
	}
	DECQ(i)
	JNZ(LabelRef("output"))
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}

// layerNormGrad goes over a row twice: the sums of g = dy·gamma and of g·x̂, and then
// dx = (g - mean(g) - x̂·mean(g·x̂))/deviation.
func (f *function) layerNormGrad() {
	f.start("layerNormGrad", "func(dx, dy, x, res *float32, rows, n int, stats, gamma, consts *float32)",
		"is the gradient by x of layerNorm from that by y.")
	dx, dy, x, res, rows, n := param("dx"), param("dy"), param("x"), param("res"), param("rows"), param("n")
	stats, gamma := param("stats"), param("gamma")
	step := f.l.bytes
	mean, inv, sum, sumHat, over := f.get(), f.get(), f.get(), f.get(), f.get()
	g, hat := f.get(), f.get()
	VBROADCASTSS(at(param("consts"), 0), over)
	i := GP64()
	element := func(base reg.GPVirtual) Mem { return Mem{Base: base, Index: i, Scale: 1} }
	bytes := GP64()
	MOVQ(n, bytes)
	shift := map[int]uint64{64: 6, 32: 5}[step]
	SHLQ(Imm(shift), bytes)
	// load is g and x̂ of the vector at i.
	load := func(label string) {
		VMOVUPS(element(x), hat)
		TESTQ(res, res)
		JZ(LabelRef(label))
		VADDPS(element(res), hat, hat)
		Label(label)
		VSUBPS(mean, hat, hat)
		VMULPS(inv, hat, hat)
		VMOVUPS(element(dy), g)
		VMULPS(element(gamma), g, g)
	}
	Label("row")
	VBROADCASTSS(at(stats, 0), mean)
	VBROADCASTSS(at(stats, 4), inv)
	zero(sum)
	zero(sumHat)
	XORQ(i, i)
	Label("sums")
	load("alone")
	VADDPS(g, sum, sum)
	VFMADD231PS(g, hat, sumHat)
	ADDQ(Imm(uint64(step)), i)
	CMPQ(i, bytes)
	JNE(LabelRef("sums"))
	f.sum(sum)
	f.sum(sumHat)
	VMULPS(over, sum, sum)
	VMULPS(over, sumHat, sumHat)
	XORQ(i, i)
	Label("output")
	load("alone2")
	VSUBPS(sum, g, g)
	VFNMADD231PS(hat, sumHat, g)
	VMULPS(inv, g, g)
	VMOVUPS(g, element(dx))
	ADDQ(Imm(uint64(step)), i)
	CMPQ(i, bytes)
	JNE(LabelRef("output"))
	for _, q := range []reg.GPVirtual{dx, dy, x} {
		ADDQ(bytes, q)
	}
	TESTQ(res, res)
	JZ(LabelRef("next"))
	ADDQ(bytes, res)
	Label("next")
	ADDQ(Imm(8), stats)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}

// layerNormSums: dgamma += dy·x̂ and dbeta += dy over the rows, for one or two vectors of columns.
func (f *function) layerNormSums(vectors int) {
	f.start(fmt.Sprintf("layerNormSums%d", vectors), "func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32)",
		"adds dy times the normalised x + res, and dy, summed over rows, to dgamma and dbeta; res may be nil.")
	dy, x, res, rows, stride, stats := param("dy"), param("x"), param("res"), param("rows"), param("stride"), param("stats")
	n := &normer{f.l, vectors}
	dg, db := n.vecs(f.pool), n.vecs(f.pool)
	for j := range vectors {
		zero(dg[j])
		zero(db[j])
	}
	mean, inv, hat, d := f.get(), f.get(), f.get(), f.get()
	body := func(both bool) func() {
		return func() {
			VBROADCASTSS(at(stats, 0), mean)
			VBROADCASTSS(at(stats, 4), inv)
			ADDQ(Imm(8), stats)
			for j := range vectors {
				VMOVUPS(at(x, j*f.l.bytes), hat)
				if both {
					VADDPS(at(res, j*f.l.bytes), hat, hat)
				}
				VSUBPS(mean, hat, hat)
				VMULPS(inv, hat, hat)
				VMOVUPS(at(dy, j*f.l.bytes), d)
				VADDPS(d, db[j], db[j])
				VFMADD231PS(d, hat, dg[j])
			}
		}
	}
	TESTQ(res, res)
	JZ(LabelRef("alone"))
	pixels(rows, stride, "loop", []reg.GPVirtual{dy, x, res}, body(true))
	JMP(LabelRef("done"))
	pixels(rows, stride, "alone", []reg.GPVirtual{dy, x}, body(false))
	Label("done")
	n.addTo(param("dgamma"), dg)
	n.addTo(param("dbeta"), db)
	end()
}
