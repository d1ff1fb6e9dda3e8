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

const winoArgs = "ps uintptr, pts *float32, ptst uintptr, n int, konst, tmp *float32, down uintptr, edges int"

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

// columns gives the address of pixel j of a row: j·ps from its base, of which p3 is 3·ps where j may be 3.
func columns(ps, p3 reg.GPVirtual, count int) func(base reg.GPVirtual, j int) Mem {
	var p5 reg.GPVirtual
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

// times3 is 3·x.
func times3(x reg.GPVirtual) reg.GPVirtual {
	g := GP64()
	LEAQ(Mem{Base: x, Index: x, Scale: 2}, g)
	return g
}

// there is 0 where bit i of edges is set, and all ones where it is not: what a mask is made of.
func there(edges reg.GPVirtual, i int) reg.GPVirtual {
	g := GP64()
	MOVQ(edges, g)
	if i > 0 {
		SHRQ(Imm(uint64(i)), g)
	}
	ANDQ(Imm(1), g)
	DECQ(g)
	return g
}

// spread fills v, of the 16 registers, with the low half of g.
func spread(g reg.GPVirtual, v vec) {
	VMOVQ(g, v.(reg.Vec).AsX())
	VPBROADCASTD(v.(reg.Vec).AsX(), v)
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

// loop closes the loop over vectors of channels that begins at label.
func (w *wino) loop(label string, n reg.GPVirtual, pointers ...reg.GPVirtual) {
	for _, p := range pointers {
		ADDQ(Imm(uint64(w.l.bytes)), p)
	}
	DECQ(n)
	JNZ(LabelRef(label))
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

// genInput: rows 1 and 2 of the patch stand at mid, rs apart; the others each for itself, as zeros where the image
// ends. All point to the second pixel of their row, which is in the image, as the third is; pixels 0, 3, 4 and 5 are
// not read but taken as zero where edges has bit 1, 2, 4 or 8. Pixels 3 and 4 are missing in few patches, which have a
// loop of their own: a masked load takes longer.
func (w *wino) genInput() {
	ps, pts, ptst, n := w.start("winoInput", "func(top, mid, third, fourth, bottom *float32, rs, "+winoArgs+")",
		"transforms a patch of 6x6 pixels of n vectors of channels into 36 points, ptst bytes apart.",
		cA, cB, cA2, cB2, cA2B2, cA2plusB2)
	rs, mid := param("rs"), param("mid")
	rows := append([]reg.GPVirtual{param("top")}, rowsBelow(mid, rs, 2)...)
	rows = append(rows, param("third"), param("fourth"), param("bottom"))
	for _, r := range rows {
		SUBQ(ps, r)
	}
	col := columns(ps, times3(ps), 6)
	q, edges := GP64(), param("edges")
	// load is how a pixel is read, where by a mask.
	load := map[int]func(Mem, vec){0: w.masked(there(edges, 0), reg.K1), 5: w.masked(there(edges, 3), reg.K2)}
	// column is pixel j of rows i0 to i1.
	column := func(j, i0, i1 int) (loaded []vec) {
		for i := i0; i <= i1; i++ {
			v := w.get()
			if f := load[j]; f != nil {
				f(col(rows[i], j), v)
			} else {
				VMOVUPS(col(rows[i], j), v)
			}
			loaded = append(loaded, v)
		}
		return loaded
	}
	store := func(row []vec) {
		for _, v := range w.input1(row) {
			VMOVUPS(v, Mem{Base: q})
			PREFETCHT0(at(q, ahead))
			ADDQ(ptst, q)
			w.put(v)
		}
	}
	body := func(label string) {
		down := param("down")
		Label(label)
		w.below(rows[1:5], down)
		if w.spill {
			for j := range 6 {
				for i, v := range w.input1(column(j, 0, 5)) {
					w.keep(i, j, v)
				}
			}
			MOVQ(pts, q)
			for i := range 6 {
				store(w.takeRow(i, 6))
			}
			w.loop(label, n, append(rows, pts)...)
			return
		}
		// 36 values do not fit 32 registers: rows 0 and 5 first, then rows 1 to 4.
		for j := range 6 {
			d := column(j, 0, 5)
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
			d := column(j, 1, 4)
			for i, v := range w.inputInner(d[0], d[1], d[2], d[3]) {
				w.keep(i+1, j, v)
			}
		}
		LEAQ(Mem{Base: pts, Index: ptst, Scale: 4}, q)
		LEAQ(Mem{Base: q, Index: ptst, Scale: 2}, q)
		for i := 1; i < 5; i++ {
			store(w.takeRow(i, 6))
		}
		w.loop(label, n, append(rows, pts)...)
	}
	TESTQ(U32(2|4), edges)
	JNE(LabelRef("few"))
	body("loop")
	Label("few")
	load[3], load[4] = w.maskedInTmp(there(edges, 1), reg.K3, 0), w.maskedInTmp(there(edges, 2), reg.K4, 1)
	body("narrow")
}

// masked returns what loads a vector, of zeros where present is 0, by a mask in k or in a register of its own.
func (w *wino) masked(present reg.GPVirtual, k reg.OpmaskPhysical) func(from Mem, v vec) {
	if w.l.bytes == 64 {
		KMOVW(present.As32(), k)
		return func(from Mem, v vec) { VMOVUPS_Z(from, k, v) }
	}
	mask := w.get()
	spread(present, mask)
	return func(from Mem, v vec) { VMASKMOVPS(from, mask, v) }
}

// maskedInTmp is as masked, but for the mask in tmp, at place i behind the 36 values, where registers are few.
func (w *wino) maskedInTmp(present reg.GPVirtual, k reg.OpmaskPhysical, i int) func(from Mem, v vec) {
	if !w.spill {
		return w.masked(present, k)
	}
	place, mask := at(w.tmp, (36+i)*w.l.bytes), w.get()
	spread(present, mask)
	VMOVUPS(mask, place)
	w.put(mask)
	return func(from Mem, v vec) {
		VMOVUPS(place, v)
		VMASKMOVPS(from, v, v)
	}
}

// fromPoints generates a transform of 36 points to size x size pixels. Of 4x4 pixels that are not added, the last row
// is not written where edges has bit 1, and the last pixel of each row not where it has bit 2: they are written before
// their neighbours, and to the same place.
func (w *wino) fromPoints(name, doc string, size int, one func([]vec) []vec, add bool, constants ...int) {
	ps, pts, ptst, n := w.start(name, "func(img *float32, rs, "+winoArgs+")", doc, constants...)
	rows := rowsBelow(param("img"), param("rs"), size)
	p3 := times3(ps)
	order := []int{0, 1, 2}
	switch {
	case size == 4 && add:
		order = []int{0, 1, 2, 3}
	case size == 4:
		order = []int{0, 1, 3, 2}
		edges, p2 := param("edges"), GP64()
		TESTQ(U32(1), edges)
		CMOVQNE(rows[2], rows[3])
		LEAQ(Mem{Base: ps, Index: ps, Scale: 1}, p2)
		TESTQ(U32(2), edges)
		CMOVQNE(p2, p3)
	}
	col := columns(ps, p3, size)
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
	for _, i := range order {
		row := one(w.takeRow(i, 6))
		for _, j := range order {
			if add {
				VADDPS(col(rows[i], j), row[j], row[j])
			}
			VMOVUPS(row[j], col(rows[i], j))
		}
		w.put(row...)
	}
	w.loop("loop", n, append(rows, pts)...)
}

// toPoints generates a transform of size x size pixels to 36 points. Of 4x4 pixels the last row is not read but taken
// as zeros where edges has bit 1, and the last pixel of each row where it has bit 2: such tiles have a loop of their
// own.
func (w *wino) toPoints(name, doc string, size int, one func([]vec) []vec, constants ...int) {
	ps, pts, ptst, n := w.start(name, "func(img *float32, rs, "+winoArgs+")", doc, constants...)
	rows := rowsBelow(param("img"), param("rs"), size)
	col := columns(ps, times3(ps), size)
	down, q := param("down"), GP64()
	body := func(label string, load func(from Mem, i, j int, v vec)) {
		Label(label)
		if size == 4 { // pixels, not weights
			w.below(rows, down)
		}
		for j := range size {
			var d []vec
			for i := range size {
				v := w.get()
				load(col(rows[i], j), i, j, v)
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
		w.loop(label, n, append(rows, pts)...)
	}
	whole := func(from Mem, _, _ int, v vec) { VMOVUPS(from, v) }
	if size < 4 {
		body("loop", whole)
		return
	}
	edges := param("edges")
	TESTQ(edges, edges)
	JNE(LabelRef("few"))
	body("loop", whole)
	Label("few")
	rows4, pixel4 := there(edges, 0), there(edges, 1)
	row, pixel := w.masked(rows4, reg.K1), w.masked(pixel4, reg.K2)
	ANDQ(rows4, pixel4)
	corner := w.maskedInTmp(pixel4, reg.K3, 0)
	body("short", func(from Mem, i, j int, v vec) {
		switch {
		case i == 3 && j == 3:
			corner(from, v)
		case i == 3:
			row(from, v)
		case j == 3:
			pixel(from, v)
		default:
			VMOVUPS(from, v)
		}
	})
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
