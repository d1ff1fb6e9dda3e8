package kernel

// Embedding looks rows of a table up by index. Its methods allocate nothing.
type Embedding struct {
	First int // added to every index: the row that index 0 means

	dst, src []float32
	ids      []int32
	width    int
	op       embeddingOp
}

type embeddingOp int

const (
	gather embeddingOp = iota
	gatherAdd
	clearTable
	scatter
)

const (
	gatherRows     = 64  // a chunk of Gather
	scatterColumns = 128 // a chunk of Scatter
)

// Gather is dst[r] = table[First + ids[r]], or plus that where add, for dst [rows, width] and table [·, width].
// An index outside the table panics.
func (e *Embedding) Gather(dst []float32, ids []int32, table []float32, width int, add bool) {
	e.dst, e.src, e.ids, e.width, e.op = dst[:len(ids)*width], table, ids, width, gather
	if add {
		e.op = gatherAdd
	}
	run(e, tiles(len(ids), gatherRows))
	e.dst, e.src, e.ids = nil, nil, nil
}

// Scatter is the gradient by the table: dtable[i] = the sum of dy[r] over the rows r with First + ids[r] = i,
// in ascending order of r; dy [rows, width]. A chunk has some columns of all rows, so no two meet.
func (e *Embedding) Scatter(dtable []float32, ids []int32, dy []float32, width int) {
	e.dst, e.src, e.ids, e.width = dtable, dy[:len(ids)*width], ids, width
	e.op = clearTable
	run(e, tiles(len(dtable), 4*elements))
	e.op = scatter
	run(e, tiles(width, scatterColumns))
	e.dst, e.src, e.ids = nil, nil, nil
}

func (e *Embedding) chunk(_ *lane, i int) {
	w := e.width
	switch e.op {
	case clearTable:
		clear(e.dst[i*4*elements : min(len(e.dst), (i+1)*4*elements)])
	case scatter:
		c0, c1 := i*scatterColumns, min(w, (i+1)*scatterColumns)
		for r, id := range e.ids {
			row := e.First + int(id)
			addTo(e.dst[row*w+c0:row*w+c1], e.src[r*w+c0:])
		}
	default:
		for r := i * gatherRows; r < min(len(e.ids), (i+1)*gatherRows); r++ {
			row := e.src[(e.First+int(e.ids[r]))*w:][:w]
			if e.op == gather {
				copy(e.dst[r*w:], row)
			} else {
				addTo(e.dst[r*w:][:w], row)
			}
		}
	}
}
