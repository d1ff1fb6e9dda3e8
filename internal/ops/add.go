package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Add returns z = a + b for two tensors of one shape: the skip connection.
func Add(a, b *G.Node) (*G.Node, error) {
	d := a.Dims()
	o := &add{}
	o.base = newBase("add", o, d, d, d)
	return G.ApplyOp(o, a, b)
}

type add struct{ base }

// InPlace lets z be written over a.
func (o *add) InPlace() int { return 0 }

func (o *add) shape(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }

func sameShape(in []tensor.Shape) (tensor.Shape, error) {
	if !in[0].Eq(in[1]) {
		return nil, fmt.Errorf("shapes must be equal")
	}
	return in[0].Clone(), nil
}

// Run computes z from a and b.
func (o *add) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if len(in[0].F32) != len(in[1].F32) {
		return fmt.Errorf("shapes must be equal")
	}
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.Add(out.F32, in[0].F32, in[1].F32)
	return nil
}

// DiffWRT says that both inputs have gradients.
func (o *add) DiffWRT(int) []bool { return []bool{true, true} }

// SymDiff hands dz to both inputs.
func (o *add) SymDiff(_ G.Nodes, _, dz *G.Node) (G.Nodes, error) { return G.Nodes{dz, dz}, nil }
