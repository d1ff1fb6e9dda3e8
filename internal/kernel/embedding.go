package kernel

// Embedding looks rows of a table up by index. Its methods allocate nothing.
type Embedding struct {
	First int // added to every index: the row that index 0 means

	dst, src []float32
	ids      []int32
	width    int
	phase    phase[Embedding]
}

const (
	gatherRows     = 64  // a chunk of Gather
	scatterColumns = 128 // a chunk of Scatter
)

// Gather computes dst[r] = table[First + ids[r]], or with add dst[r] += it, for dst [rows, width] and table [·,
// width]. An index outside the table panics.
func (e *Embedding) Gather(dst []float32, ids []int32, table []float32, width int, add bool) {
	e.dst, e.src, e.ids, e.width = dst[:len(ids)*width], table, ids, width
	pass := (*Embedding).gather
	if add {
		pass = (*Embedding).gatherAdd
	}
	e.phase.run(e, pass, tiles(len(ids), gatherRows))
	e.dst, e.src, e.ids = nil, nil, nil
}

// Scatter computes the gradient by the table: dtable[i] = the sum of dy[r] over the rows r with First + ids[r] = i,
// in ascending order of r; dy [rows, width]. Each chunk takes some columns of all rows, so that no two write to the
// same element.
func (e *Embedding) Scatter(dtable []float32, ids []int32, dy []float32, width int) {
	e.dst, e.src, e.ids, e.width = dtable, dy[:len(ids)*width], ids, width
	e.phase.run(e, (*Embedding).clearTable, tiles(len(dtable), 4*elements))
	e.phase.run(e, (*Embedding).scatter, tiles(width, scatterColumns))
	e.dst, e.src, e.ids = nil, nil, nil
}

// row is the row of the table of index r.
func (e *Embedding) row(r int) []float32 { return e.src[(e.First+int(e.ids[r]))*e.width:][:e.width] }

func (e *Embedding) gather(_ *lane, i int) {
	for r := i * gatherRows; r < min(len(e.ids), (i+1)*gatherRows); r++ {
		copy(e.dst[r*e.width:], e.row(r))
	}
}

func (e *Embedding) gatherAdd(_ *lane, i int) {
	for r := i * gatherRows; r < min(len(e.ids), (i+1)*gatherRows); r++ {
		addTo(e.dst[r*e.width:][:e.width], e.row(r))
	}
}

func (e *Embedding) clearTable(_ *lane, i int) {
	clear(e.dst[i*4*elements : min(len(e.dst), (i+1)*4*elements)])
}

func (e *Embedding) scatter(_ *lane, i int) {
	w := e.width
	c0, c1 := i*scatterColumns, min(w, (i+1)*scatterColumns)
	for r, id := range e.ids {
		row := e.First + int(id)
		addTo(e.dst[row*w+c0:row*w+c1], e.src[r*w+c0:])
	}
}
