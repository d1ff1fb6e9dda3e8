package ops

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Tanh returns y = tanh(x), element by element.
func Tanh(x *G.Node) (*G.Node, error) {
	o := &tanh{}
	o.base = newBase("tanh", o, x.Dims(), x.Dims())
	return G.ApplyOp(o, x)
}

type tanh struct{ base }

// InPlace lets y be written over x, where no gradient needs it.
func (o *tanh) InPlace() int { return 0 }

func (o *tanh) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes y.
func (o *tanh) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.Tanh(out.F32, in[0].F32)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *tanh) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives dx = dy·(1 - tanh²(x)).
func (o *tanh) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	d := dy.Dims()
	g := &tanhGrad{}
	g.base = newBase("tanh-dx", g, d, d, d)
	dx, err := apply(g, dy, in[0])
	return G.Nodes{dx}, err
}

type tanhGrad struct{ base }

// InPlace lets dx be written over dy.
func (o *tanhGrad) InPlace() int { return 0 }

func (o *tanhGrad) shape(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }

// Run computes dx from dy and x.
func (o *tanhGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.TanhGrad(out.F32, in[0].F32, in[1].F32)
	return nil
}
