package ops

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Activation is a function that a layer applies to its result, element by element: see package kernel.
type Activation = kernel.Activation

// The activations.
const (
	ActNone = kernel.ActNone
	ActReLU = kernel.ActReLU
	ActGELU = kernel.ActGELU
	ActSiLU = kernel.ActSiLU
)

// GELU returns y = x·Φ(x), element by element, with Φ the normal distribution function by erf: as torch.nn.GELU.
func GELU(x *G.Node) (*G.Node, error) { return activate(x, ActGELU) }

// SiLU returns y = x·sigmoid(x), element by element: as torch.nn.SiLU.
func SiLU(x *G.Node) (*G.Node, error) { return activate(x, ActSiLU) }

func activate(x *G.Node, act Activation) (*G.Node, error) {
	o := &activation{act: act}
	o.base = newBase(act.String(), o, x.Dims(), x.Dims())
	return G.ApplyOp(o, x)
}

// activation is GELU or SiLU.
type activation struct {
	base
	act Activation
}

// InPlace lets y be written over x, where no gradient needs it.
func (o *activation) InPlace() int { return 0 }

func (o *activation) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes y.
func (o *activation) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	if o.act == ActSiLU {
		kernel.SiLU(out.F32, in[0].F32)
	} else {
		kernel.GELU(out.F32, in[0].F32)
	}
	return nil
}

// DiffWRT says that x has a gradient.
func (o *activation) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives dx = dy times the slope at x: Φ(x) + x·φ(x) of GELU, φ the normal density, and s·(1 + x·(1-s)) of SiLU,
// s = sigmoid(x).
func (o *activation) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	d := dy.Dims()
	g := &activationGrad{act: o.act}
	g.base = newBase(o.act.String()+"-dx", g, d, d, d)
	dx, err := apply(g, dy, in[0])
	return G.Nodes{dx}, err
}

type activationGrad struct {
	base
	act Activation
}

// InPlace lets dx be written over dy.
func (o *activationGrad) InPlace() int { return 0 }

func (o *activationGrad) shape(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }

// Run computes dx from dy and x.
func (o *activationGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	if o.act == ActSiLU {
		kernel.SiLUGrad(out.F32, in[0].F32, in[1].F32)
	} else {
		kernel.GELUGrad(out.F32, in[0].F32, in[1].F32)
	}
	return nil
}
