package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The transforms of Winograd convolution F(4x4, 3x3) at the points 0, ±a, ±b, infinity, each applied
// to the columns of a patch and then to its rows, a vector of channels at a time:
//
//	input   6x6 pixels -> 36 points   V = Bᵀ d B
//	output  36 points  -> 4x4 pixels  y = Aᵀ m A
//	dy      4x4 pixels -> 36 points   A dy Aᵀ, output's adjoint
//	weight  3x3 taps   -> 36 points   U = G g Gᵀ
//	dweight 36 points  -> 3x3 taps    Gᵀ dU G, weight's adjoint
//
// Between the two passes the 36 values lie in registers where there are 32 of them, and in memory at
// tmp where there are 16; there is room for the constants of the larger transforms then. Constants are read from the
// table winogradConstants of the Go side, each repeated over a vector of 16.

type vec = reg.VecPhysical

// wino is the state of generating one transform.
type wino struct {
	l level
	*pool
	konst reg.GPVirtual
	tmp   reg.GPVirtual
	spill bool
	kept  [6][6]vec
	held  map[int]vec // constants in registers
}

// The constants, in the order of winogradConstants.
const (
	cA, cA2, cA3, cB, cB2, cB3, cA2B2, cA2plusB2 = 0, 1, 2, 3, 4, 5, 6, 7
	cG0, cGa0, cGa1, cGa2, cGb0, cGb1, cGb2      = 8, 9, 10, 11, 12, 13, 14
)

// k is constant i.
func (w *wino) k(i int) Op {
	if v, ok := w.held[i]; ok {
		return v
	}
	return at(w.konst, 64*i)
}

// hold loads constants into registers for the whole transform, where its values do not lie there.
func (w *wino) hold(constants ...int) {
	w.held = map[int]vec{}
	if !w.spill {
		return
	}
	for _, i := range constants {
		v := w.get()
		VMOVUPS(w.k(i), v)
		w.held[i] = v
	}
}

// keep puts v away as the value (i, j) between the passes; take gets it back.
func (w *wino) keep(i, j int, v vec) {
	if w.spill {
		VMOVUPS(v, at(w.tmp, (6*i+j)*w.l.bytes))
		w.put(v)
		return
	}
	w.kept[i][j] = v
}

func (w *wino) take(i, j int) vec {
	if w.spill {
		v := w.get()
		VMOVUPS(at(w.tmp, (6*i+j)*w.l.bytes), v)
		return v
	}
	return w.kept[i][j]
}

func (w *wino) takeRow(i, n int) []vec {
	r := make([]vec, n)
	for j := range r {
		r[j] = w.take(i, j)
	}
	return r
}

// inputOuter overwrites d0 and d5 by points 0 and infinity:
// x0 = a²b²·d0 - (a²+b²)·d2 + d4, x5 = a²b²·d1 - (a²+b²)·d3 + d5.
func (w *wino) inputOuter(d []vec) {
	VFMADD132PS(w.k(cA2B2), d[4], d[0])
	VFNMADD231PS(w.k(cA2plusB2), d[2], d[0])
	VFMADD231PS(w.k(cA2B2), d[1], d[5])
	VFNMADD231PS(w.k(cA2plusB2), d[3], d[5])
}

// inputInner turns d1 … d4 into the points ±a, ±b:
// x(±a) = (d4 - b²·d2) ± a·(d3 - b²·d1), x(±b) = (d4 - a²·d2) ± b·(d3 - a²·d1).
func (w *wino) inputInner(d1, d2, d3, d4 vec) []vec {
	t1, t2 := w.get(), w.get()
	VMOVAPS(d2, t1)
	VFNMADD132PS(w.k(cB2), d4, t1)
	VFNMADD132PS(w.k(cA2), d4, d2)
	VMOVAPS(d1, t2)
	VFNMADD132PS(w.k(cB2), d3, t2)
	VFNMADD132PS(w.k(cA2), d3, d1)
	VMOVAPS(t1, d4)
	VFMADD231PS(w.k(cA), t2, d4)
	VFNMADD231PS(w.k(cA), t2, t1)
	VMOVAPS(d2, d3)
	VFMADD231PS(w.k(cB), d1, d3)
	VFNMADD231PS(w.k(cB), d1, d2)
	w.put(d1, t2)
	return []vec{d4, t1, d3, d2}
}

func (w *wino) input1(d []vec) []vec {
	w.inputOuter(d)
	r := w.inputInner(d[1], d[2], d[3], d[4])
	return []vec{d[0], r[0], r[1], r[2], r[3], d[5]}
}

// output1 is Aᵀ m: four values of six points.
func (w *wino) output1(m []vec) []vec {
	ta := w.get()
	VSUBPS(m[2], m[1], ta)
	VADDPS(m[2], m[1], m[1]) // sa
	VSUBPS(m[4], m[3], m[2]) // tb
	VADDPS(m[4], m[3], m[3]) // sb
	w.put(m[4])
	tb, sa, sb := m[2], m[1], m[3]
	VADDPS(sa, m[0], m[0])
	VADDPS(sb, m[0], m[0])
	VFMADD231PS(w.k(cA3), ta, m[5])
	VFMADD231PS(w.k(cB3), tb, m[5])
	VMULPS(w.k(cA), ta, ta)
	VFMADD231PS(w.k(cB), tb, ta)
	VMULPS(w.k(cA2), sa, sa)
	VFMADD231PS(w.k(cB2), sb, sa)
	w.put(tb, sb)
	return []vec{m[0], ta, sa, m[5]}
}

// dy1 is A y: six points of four values.
func (w *wino) dy1(y []vec) []vec {
	e, f, g, h := w.get(), w.get(), w.get(), w.get()
	VMOVAPS(y[2], e)
	VFMADD132PS(w.k(cA2), y[0], e)
	VFMADD132PS(w.k(cB2), y[0], y[2])
	VMULPS(w.k(cA), y[1], f)
	VFMADD231PS(w.k(cA3), y[3], f)
	VMULPS(w.k(cB), y[1], g)
	VFMADD231PS(w.k(cB3), y[3], g)
	VADDPS(f, e, h)
	VSUBPS(f, e, e)
	VADDPS(g, y[2], f)
	VSUBPS(g, y[2], g)
	w.put(y[1], y[2])
	return []vec{y[0], h, e, f, g, y[3]}
}

// weight1 is G g: six points of three taps.
func (w *wino) weight1(g []vec) []vec {
	e, o, f, p, m := w.get(), w.get(), w.get(), w.get(), w.get()
	VMULPS(w.k(cGa0), g[0], e)
	VFMADD231PS(w.k(cGa2), g[2], e)
	VMULPS(w.k(cGa1), g[1], o)
	VMULPS(w.k(cGb0), g[0], f)
	VFMADD231PS(w.k(cGb2), g[2], f)
	VMULPS(w.k(cGb1), g[1], p)
	VMULPS(w.k(cG0), g[0], m)
	VADDPS(o, e, g[0])
	VSUBPS(o, e, e)
	VADDPS(p, f, g[1])
	VSUBPS(p, f, f)
	w.put(o, p)
	return []vec{m, g[0], e, g[1], f, g[2]}
}

// dweight1 is Gᵀ m: three taps of six points.
func (w *wino) dweight1(m []vec) []vec {
	s, t := w.get(), w.get()
	VADDPS(m[2], m[1], s)
	VSUBPS(m[2], m[1], m[1])
	VADDPS(m[4], m[3], t)
	VSUBPS(m[4], m[3], m[3])
	VMULPS(w.k(cG0), m[0], m[0])
	VFMADD231PS(w.k(cGa0), s, m[0])
	VFMADD231PS(w.k(cGb0), t, m[0])
	VMULPS(w.k(cGa1), m[1], m[1])
	VFMADD231PS(w.k(cGb1), m[3], m[1])
	VFMADD231PS(w.k(cGa2), s, m[5])
	VFMADD231PS(w.k(cGb2), t, m[5])
	w.put(s, t, m[2], m[3], m[4])
	return []vec{m[0], m[1], m[5]}
}

// ahead is how many bytes ahead of a point its row is fetched: 36 rows are more than the processor follows by itself.
const ahead = 128

const winoArgs = "ps uintptr, pts *float32, ptst uintptr, n int, konst, tmp *float32, down uintptr"

// below fetches the pixels of the tile that lies down bytes below, four rows of four, vector by vector: from the end of
// a row of tiles to the next the processor does not follow. Each vector fetches its share of the tile, which lies
// together, and not its own pixels, of which a line of the cache has more than one.
func (w *wino) below(rows []reg.GPVirtual, down reg.GPVirtual) {
	for _, r := range rows {
		for line := 0; line < 4*w.l.bytes; line += 64 {
			PREFETCHT0(Mem{Base: r, Index: down, Scale: 1, Disp: line})
		}
	}
	ADDQ(Imm(uint64(3*w.l.bytes)), down) // the rows move on by one vector more
}

func (w *wino) start(name, signature, doc string, constants ...int) (ps, pts, ptst, n reg.GPVirtual) {
	w.pool = newPool(w.l)
	w.kept = [6][6]vec{}
	begin(w.l, name, signature, doc)
	ps, pts, ptst, n = param("ps"), param("pts"), param("ptst"), param("n")
	w.konst = param("konst")
	if w.spill {
		w.tmp = param("tmp")
	}
	w.hold(constants...)
	return ps, pts, ptst, n
}

// columns gives the address of pixel j of a row: j·ps from its base.
func columns(ps reg.GPVirtual, count int) func(base reg.GPVirtual, j int) Mem {
	var p3, p5 reg.GPVirtual
	if count > 3 {
		p3 = GP64()
		LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, p3)
	}
	if count > 5 {
		p5 = GP64()
		LEAQ(Mem{Base: ps, Index: ps, Scale: 4}, p5)
	}
	return func(b reg.GPVirtual, j int) Mem {
		switch j {
		case 0:
			return Mem{Base: b}
		case 3:
			return Mem{Base: b, Index: p3, Scale: 1}
		case 5:
			return Mem{Base: b, Index: p5, Scale: 1}
		}
		return Mem{Base: b, Index: ps, Scale: uint8(j)}
	}
}

func rowsBelow(first, stride reg.GPVirtual, count int) []reg.GPVirtual {
	rows := []reg.GPVirtual{first}
	for i := 1; i < count; i++ {
		g := GP64()
		LEAQ(Mem{Base: rows[i-1], Index: stride, Scale: 1}, g)
		rows = append(rows, g)
	}
	return rows
}

// loop closes the loop over vectors of channels.
func (w *wino) loop(n reg.GPVirtual, pointers ...reg.GPVirtual) {
	for _, p := range pointers {
		ADDQ(Imm(uint64(w.l.bytes)), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}

func winograd(l level) {
	w := &wino{l: l, spill: len(l.regs) < 32}
	w.genInput()
	w.genOutput()
	w.genDY()
	w.genWeight()
	w.genDWeight()
}

// genInput: rows 1 … 4 of the patch stand at mid, rs apart; its first and last row at top and bottom,
// which point to zeros where the image ends. The three point to the second pixel of their row, which
// is always in the image; a pixel beyond its left (edges 1) or right (edges 2) end is not read but
// taken as zero.
func (w *wino) genInput() {
	l := w.l
	ps, pts, ptst, n := w.start("winoInput", "func(top, mid, bottom *float32, rs, "+winoArgs+", edges int)",
		"transforms a patch of 6x6 pixels of n vectors of channels into 36 points, ptst bytes apart.",
		cA, cB, cA2, cB2, cA2B2, cA2plusB2)
	rs := param("rs")
	top, mid, bottom := param("top"), param("mid"), param("bottom")
	for _, p := range []reg.GPVirtual{top, mid, bottom} {
		SUBQ(ps, p)
	}
	rows := append([]reg.GPVirtual{top}, rowsBelow(mid, rs, 4)...)
	rows = append(rows, bottom)
	edges := param("edges")
	// The masks are all ones but where the edge is missing: -1 + bit.
	var masks [2]vec
	for i := range masks {
		g := GP64()
		MOVQ(edges, g)
		if i == 1 {
			SHRQ(Imm(1), g)
		}
		ANDQ(Imm(1), g)
		DECQ(g)
		if l.bytes == 64 {
			KMOVW(g.As32(), []reg.OpmaskPhysical{reg.K1, reg.K2}[i])
			continue
		}
		masks[i] = w.get()
		VMOVQ(g, masks[i].(reg.Vec).AsX())
		VPBROADCASTD(masks[i].(reg.Vec).AsX(), masks[i])
	}
	col := columns(ps, 6)
	load := func(i, j int) vec {
		v := w.get()
		m := col(rows[i], j)
		switch {
		case j != 0 && j != 5:
			VMOVUPS(m, v)
		case l.bytes == 64 && j == 0:
			VMOVUPS_Z(m, reg.K1, v)
		case l.bytes == 64:
			VMOVUPS_Z(m, reg.K2, v)
		case j == 0:
			VMASKMOVPS(m, masks[0], v)
		default:
			VMASKMOVPS(m, masks[1], v)
		}
		return v
	}
	q, down := GP64(), param("down")
	store := func(row []vec) {
		for _, v := range w.input1(row) {
			VMOVUPS(v, Mem{Base: q})
			PREFETCHT0(at(q, ahead))
			ADDQ(ptst, q)
			w.put(v)
		}
	}
	Label("loop")
	w.below(rows[1:5], down)
	if w.spill {
		for j := range 6 {
			var d []vec
			for i := range 6 {
				d = append(d, load(i, j))
			}
			for i, v := range w.input1(d) {
				w.keep(i, j, v)
			}
		}
		MOVQ(pts, q)
		for i := range 6 {
			store(w.takeRow(i, 6))
		}
		w.loop(n, append(rows, pts)...)
		return
	}
	// 36 values do not fit 32 registers: rows 0 and 5 first, then rows 1 to 4.
	for j := range 6 {
		var d []vec
		for i := range 6 {
			d = append(d, load(i, j))
		}
		w.inputOuter(d)
		w.keep(0, j, d[0])
		w.keep(5, j, d[5])
		w.put(d[1:5]...)
	}
	MOVQ(pts, q)
	store(w.takeRow(0, 6))
	for range 3 {
		LEAQ(Mem{Base: q, Index: ptst, Scale: 8}, q)
	}
	store(w.takeRow(5, 6))
	for j := range 6 {
		d := []vec{load(1, j), load(2, j), load(3, j), load(4, j)}
		for i, v := range w.inputInner(d[0], d[1], d[2], d[3]) {
			w.keep(i+1, j, v)
		}
	}
	LEAQ(Mem{Base: pts, Index: ptst, Scale: 4}, q)
	LEAQ(Mem{Base: q, Index: ptst, Scale: 2}, q)
	for i := 1; i < 5; i++ {
		store(w.takeRow(i, 6))
	}
	w.loop(n, append(rows, pts)...)
}

// fromPoints generates a transform of 36 points to size x size pixels.
func (w *wino) fromPoints(name, doc string, size int, one func([]vec) []vec, add bool, constants ...int) {
	ps, pts, ptst, n := w.start(name, "func(img *float32, rs, "+winoArgs+")", doc, constants...)
	rows := rowsBelow(param("img"), param("rs"), size)
	col := columns(ps, size)
	down := param("down")
	q, column, six := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: ptst, Index: ptst, Scale: 2}, six)
	ADDQ(six, six)
	Label("loop")
	if size == 4 { // pixels, not weights
		w.below(rows, down)
	}
	MOVQ(pts, column)
	for j := range 6 {
		MOVQ(column, q)
		var m []vec
		for i := range 6 {
			v := w.get()
			VMOVUPS(Mem{Base: q}, v)
			PREFETCHT0(at(q, ahead))
			if i < 5 {
				ADDQ(six, q)
			}
			m = append(m, v)
		}
		ADDQ(ptst, column)
		for i, v := range one(m) {
			w.keep(i, j, v)
		}
	}
	for i := range size {
		for j, v := range one(w.takeRow(i, 6)) {
			if add {
				VADDPS(col(rows[i], j), v, v)
			}
			VMOVUPS(v, col(rows[i], j))
			w.put(v)
		}
	}
	w.loop(n, append(rows, pts)...)
}

// toPoints generates a transform of size x size pixels to 36 points.
func (w *wino) toPoints(name, doc string, size int, one func([]vec) []vec, constants ...int) {
	ps, pts, ptst, n := w.start(name, "func(img *float32, rs, "+winoArgs+")", doc, constants...)
	rows := rowsBelow(param("img"), param("rs"), size)
	col := columns(ps, size)
	down := param("down")
	q := GP64()
	Label("loop")
	if size == 4 { // pixels, not weights
		w.below(rows, down)
	}
	for j := range size {
		var d []vec
		for i := range size {
			v := w.get()
			VMOVUPS(col(rows[i], j), v)
			d = append(d, v)
		}
		for i, v := range one(d) {
			w.keep(i, j, v)
		}
	}
	MOVQ(pts, q)
	for i := range 6 {
		for _, v := range one(w.takeRow(i, size)) {
			VMOVUPS(v, Mem{Base: q})
			PREFETCHT0(at(q, ahead))
			ADDQ(ptst, q)
			w.put(v)
		}
	}
	w.loop(n, append(rows, pts)...)
}

func (w *wino) genOutput() {
	w.fromPoints("winoOutput", "transforms 36 points, ptst bytes apart, into 4x4 pixels of n vectors of channels.", 4,
		w.output1, false, cA, cB, cA2, cB2, cA3, cB3)
	w.fromPoints("winoOutputAdd", "adds what winoOutput computes to what img holds.", 4, w.output1, true,
		cA, cB, cA2, cB2, cA3, cB3)
}

func (w *wino) genDY() {
	w.toPoints("winoDY", "transforms 4x4 pixels of n vectors of channels into 36 points, ptst bytes apart: the "+
		"adjoint of winoOutput.", 4, w.dy1, cA, cB, cA2, cB2, cA3, cB3)
}

func (w *wino) genWeight() {
	w.toPoints("winoWeight", fmt.Sprintf("transforms 3x3 taps into 36 points, ptst bytes apart, %d columns at a time.", w.l.floats()), 3, w.weight1)
}

func (w *wino) genDWeight() {
	w.fromPoints("winoDWeight", "transforms 36 points, ptst bytes apart, into 3x3 taps: the adjoint of winoWeight.", 3, w.dweight1, false)
}
