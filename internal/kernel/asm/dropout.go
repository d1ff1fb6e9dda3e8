package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dropout generates dst = src·scale where a word of Philox4x32-10 is above a bound, else 0, for groups of 64
// elements; the Go side's type dropoutArgs has the arguments and says which word is whose.
//
// The state of a block is four 32-bit words, each kept in the low half of a 64-bit lane, for that is what
// VPMULUDQ multiplies: its product's halves are the round's two words, and what lies in the high halves does
// not matter. Two sets of registers hold the even and the odd blocks; at the end a set is moved up and
// blended in.
func dropout(l level) {
	begin(l, "dropout", "func(dst, src *float32, groups int, a *byte)", "drops elements of groups of 64; a are the arguments, see dropoutArgs.")
	dst, src, groups, a := param("dst"), param("src"), param("groups"), param("a")
	const keys, block, ctr, under, scale, lanes, factor = 0, 80, 84, 96, 100, 112, 176
	p := newPool(l)
	f0, f1 := p.get(), p.get()
	VPBROADCASTD(at(a, factor), f0)
	VPBROADCASTD(at(a, factor+4), f1)
	counter := GP32()
	MOVL(at(a, block), counter)
	if l.bytes == 64 {
		odds := GP32()
		MOVL(U32(0xAAAA), odds)
		KMOVW(odds, reg.K2)
	}
	Label("loop")
	for half := range 64 / l.bytes { // a vector of blocks, all four words
		var set [2][4]vec
		for s := range set {
			c := &set[s]
			for w := range c {
				c[w] = p.get()
			}
			VMOVD(counter, c[0].AsX())
			VPBROADCASTD(c[0].AsX(), c[0])
			VPADDD(at(a, lanes+half*l.bytes), c[0], c[0])
			if s == 1 {
				VPSRLQ(Imm(32), c[0], c[0])
			}
			for w := range 3 {
				VPBROADCASTD(at(a, ctr+4*w), c[w+1])
			}
		}
		for round := range 10 {
			for s := range set {
				c := &set[s]
				VPMULUDQ(f0, c[0], c[0]) // hi0, lo0
				VPMULUDQ(f1, c[2], c[2]) // hi1, lo1
				for _, w := range []struct{ product, other, key int }{{2, 1, 0}, {0, 3, 4}} {
					t := p.get()
					VPSRLQ(Imm(32), c[w.product], t)
					xor(l, c[w.other], t)
					VPBROADCASTD(at(a, keys+8*round+w.key), c[w.other])
					xor(l, c[w.other], t)
					p.put(c[w.other])
					c[w.other] = t
				}
				c[0], c[1], c[2], c[3] = c[1], c[2], c[3], c[0] // hi1^c1^k0, lo1, hi0^c3^k1, lo0
			}
		}
		t, u := p.get(), p.get()
		for w := range 4 {
			even, odd := set[0][w], set[1][w]
			place := 64*w + half*l.bytes
			VPSLLQ(Imm(32), odd, odd)
			VPBROADCASTD(at(a, under), t)
			VBROADCASTSS(at(a, scale), u)
			if l.bytes == 64 {
				VPBLENDMD(odd, even, reg.K2, even)
				VPCMPUD(Imm(6), t, even, reg.K1) // above
				VMULPS_Z(at(src, place), u, reg.K1, u)
			} else { // no comparison of unsigned numbers: both signs are turned
				VPBLENDD(Imm(0xAA), odd, even, even)
				VPCMPEQD(odd, odd, odd)
				VPSLLD(Imm(31), odd, odd)
				VPXOR(odd, even, even)
				VPXOR(odd, t, t)
				VPCMPGTD(t, even, even)
				VMULPS(at(src, place), u, u)
				VANDPS(even, u, u)
			}
			VMOVUPS(u, at(dst, place))
		}
		p.put(t, u)
		p.put(set[0][:]...)
		p.put(set[1][:]...)
	}
	ADDL(Imm(16), counter)
	ADDQ(U32(256), src)
	ADDQ(U32(256), dst)
	DECQ(groups)
	JNZ(LabelRef("loop"))
	end()
}

// xor is dst ^= v.
func xor(l level, v, dst vec) {
	if l.bytes == 64 {
		VPXORD(v, dst, dst)
	} else {
		VPXOR(v, dst, dst)
	}
}
