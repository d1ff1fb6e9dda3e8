package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
)

// Architecture builds a classifier's logits [rows, classes] from x [rows, …]; the values of images are in [0,1].
type Architecture interface {
	Logits(g *Graph, x *G.Node, classes int) *G.Node
}

// Program is a compiled graph of a network with inputs x [rows, …], of which a batch may have fewer than there is room
// for. It shares the memory of the network's parameters.
type Program struct {
	*engine.Program
	x      *engine.Tensor
	inputs []float32
	shape  []int
}

// Compile builds a graph on g, for up to rows inputs of shape rowShape, and compiles it with the outputs that build
// gives, which are returned in that order.
func Compile(g *Graph, rowShape []int, rows int, build func(x *G.Node) ([]*G.Node, error)) (*Program, []*engine.Tensor,
	error) {
	p := &Program{shape: append([]int{rows}, rowShape...)}
	x := g.Input("x", p.shape...)
	outputs, err := build(x)
	if g.Err() != nil {
		err = g.Err()
	}
	if err != nil {
		return nil, nil, err
	}
	if p.Program, err = engine.Compile(g.ExprGraph, outputs...); err != nil {
		return nil, nil, fmt.Errorf("compiling the graph: %w", err)
	}
	var read []*engine.Tensor
	for _, o := range outputs {
		read = append(read, p.Read(o))
	}
	p.x = p.Read(x)
	p.inputs = p.x.F32
	return p, read, nil
}

// Inputs are those of a whole batch [rows, …], row-major.
func (p *Program) Inputs() []float32 { return p.inputs }

// Resize makes the first rows inputs count.
func (p *Program) Resize(rows int) error {
	p.shape[0] = rows
	if err := p.x.Resize(p.shape...); err != nil {
		return fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	return nil
}
