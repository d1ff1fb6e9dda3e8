package ops

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// GELU returns y = x·Φ(x), element by element, with Φ the normal distribution function by erf: as torch.nn.GELU.
func GELU(x *G.Node) (*G.Node, error) {
	o := &gelu{}
	o.base = newBase("gelu", o, x.Dims(), x.Dims())
	return G.ApplyOp(o, x)
}

type gelu struct{ base }

// InPlace lets y be written over x, where no gradient needs it.
func (o *gelu) InPlace() int { return 0 }

func (o *gelu) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes y.
func (o *gelu) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.GELU(out.F32, in[0].F32)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *gelu) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives dx = dy·(Φ(x) + x·φ(x)), φ the normal density.
func (o *gelu) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	d := dy.Dims()
	g := &geluGrad{}
	g.base = newBase("gelu-dx", g, d, d, d)
	dx, err := apply(g, dy, in[0])
	return G.Nodes{dx}, err
}

type geluGrad struct{ base }

// InPlace lets dx be written over dy.
func (o *geluGrad) InPlace() int { return 0 }

func (o *geluGrad) shape(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }

// Run computes dx from dy and x.
func (o *geluGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.GELUGrad(out.F32, in[0].F32, in[1].F32)
	return nil
}
