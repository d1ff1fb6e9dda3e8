package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Embeddings is the first layer of an encoder: y[t] = word[ids[t]] + kind[0] + position[first + positions[t]],
// for word [vocabulary, width], position [·, width], ids and positions [tokens], y [tokens, width]. kind
// [kinds, width] are a BERT's token types, of which a single text has the first only; it may be nil. first is
// the row of position 0.
func Embeddings(word, position, kind, ids, positions *G.Node, first int) (*G.Node, error) {
	o := &embeddings{}
	o.positions.First = first
	if kind == nil {
		o.base = newBase("embeddings", o, 2, 2, ints, ints, 2)
		return G.ApplyOp(o, word, position, ids, positions)
	}
	o.base = newBase("embeddings", o, 2, 2, ints, ints, 2, 2)
	return G.ApplyOp(o, word, position, ids, positions, kind)
}

type embeddings struct {
	base
	words, positions, kinds kernel.Embedding
	zeros                   []int32
}

func (o *embeddings) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 2); err != nil {
		return nil, err
	}
	word, position, ids, positions := in[0], in[1], in[2], in[3]
	if word[1] != position[1] || len(in) > 4 && (in[4].Dims() != 2 || in[4][1] != word[1]) {
		return nil, fmt.Errorf("the tables [·, width] must agree in width")
	}
	if ids.TotalSize() != positions.TotalSize() {
		return nil, fmt.Errorf("ids [tokens] and positions [tokens] must agree")
	}
	return tensor.Shape{ids.TotalSize(), word[1]}, nil
}

// Run computes y. An index outside its table is an error.
func (o *embeddings) Run(out *engine.Tensor, in []*engine.Tensor) error {
	word, position, ids, positions := in[0], in[1], in[2].I32, in[3].I32
	tokens, width := len(ids), word.Shape[1]
	if len(positions) != tokens || tokens == 0 {
		return fmt.Errorf("%d token ids, %d positions", tokens, len(positions))
	}
	if err := inTable("id", ids, word.Shape[0]); err != nil {
		return err
	}
	if err := inTable("position", positions, position.Shape[0]-o.positions.First); err != nil {
		return err
	}
	if err := out.Resize(tokens, width); err != nil {
		return err
	}
	o.words.Gather(out.F32, ids, word.F32, width, false)
	if len(in) > 4 {
		if len(o.zeros) < tokens {
			o.zeros = make([]int32, tokens)
		}
		o.kinds.Gather(out.F32, o.zeros[:tokens], in[4].F32, width, true)
	}
	o.positions.Gather(out.F32, positions, position.F32, width, true)
	return nil
}

func inTable(what string, idx []int32, rows int) error {
	for t, i := range idx {
		if i < 0 || int(i) >= rows {
			return fmt.Errorf("%s %d of token %d is not in [0, %d)", what, i, t, rows)
		}
	}
	return nil
}

// DiffWRT says that the tables have gradients and the indices none.
func (o *embeddings) DiffWRT(n int) []bool { return []bool{true, true, false, false, true}[:n] }

// SymDiff gives each table's row the sum of dy over the tokens that looked it up.
func (o *embeddings) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	dword, err := scatter(dy, in[2], in[0].Shape()[0], 0)
	if err != nil {
		return nil, err
	}
	dposition, err := scatter(dy, in[3], in[1].Shape()[0], o.positions.First)
	if err != nil {
		return nil, err
	}
	grads := G.Nodes{dword, dposition, nil, nil}
	if len(in) > 4 {
		k := &firstRow{rows: in[4].Shape()[0]}
		k.base = newBase("embeddings-dkind", k, 2, 2)
		dkind, err := apply(k, dy)
		if err != nil {
			return nil, err
		}
		grads = append(grads, dkind)
	}
	return grads, nil
}

// scatter is dtable [rows, width] from dy [tokens, width] and the indices [tokens].
func scatter(dy, idx *G.Node, rows, first int) (*G.Node, error) {
	o := &scatterOp{rows: rows}
	o.embedding.First = first
	o.base = newBase("embeddings-dtable", o, 2, ints, 2)
	return apply(o, dy, idx)
}

type scatterOp struct {
	base
	rows      int
	embedding kernel.Embedding
}

func (o *scatterOp) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.rows, in[0][1]}, nil
}

// Run computes dtable; the indices were in it when the table was read.
func (o *scatterOp) Run(out *engine.Tensor, in []*engine.Tensor) error {
	width := in[0].Shape[1]
	if err := out.Resize(o.rows, width); err != nil {
		return err
	}
	o.embedding.Scatter(out.F32, in[1].I32, in[0].F32, width)
	return nil
}

// firstRow is dkind [rows, width], the column sums of dy in its first row.
type firstRow struct {
	base
	rows int
	sum  kernel.ColumnSum
}

func (o *firstRow) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.rows, in[0][1]}, nil
}

// Run computes dkind.
func (o *firstRow) Run(out *engine.Tensor, in []*engine.Tensor) error {
	tokens, width := in[0].Shape[0], in[0].Shape[1]
	if err := out.Resize(o.rows, width); err != nil {
		return err
	}
	clear(out.F32)
	o.sum.Dst, o.sum.X, o.sum.Rows, o.sum.Cols = out.F32[:width], in[0].F32, tokens, width
	o.sum.Do()
	return nil
}
