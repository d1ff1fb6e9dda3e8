package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Standardize is y = (x - mean) / std by channel, x [N, …, C]: a network's first layer, so that all
// around it speak in pixels from 0 to 1. mean and std are constants of the data set, C of each.
func Standardize(x *G.Node, mean, std []float64) (*G.Node, error) {
	o := newAffine(len(std))
	if len(mean) != len(std) {
		return nil, fmt.Errorf("standardize: %d means, %d deviations", len(mean), len(std))
	}
	for i, s := range std {
		if !(s > 0) {
			return nil, fmt.Errorf("standardize: deviation %g of channel %d is not positive", s, i)
		}
		o.scale[i], o.shift[i] = float32(1/s), float32(-mean[i]/s)
	}
	o.base = newBase("standardize", o, x.Dims(), x.Dims())
	return G.ApplyOp(o, x)
}

// Scale is y = factor·x, x [N, …, C].
func Scale(x *G.Node, factor float64) (*G.Node, error) {
	shape := x.Shape()
	c := shape[len(shape)-1]
	o := newAffine(c)
	for i := range o.scale {
		o.scale[i] = float32(factor)
	}
	o.base = newBase("scale", o, x.Dims(), x.Dims())
	return G.ApplyOp(o, x)
}

// affine is y = x·scale + shift by channel.
type affine struct {
	base
	scale, shift []float32
	norm         kernel.Norm
	few          kernel.Affine
}

func newAffine(channels int) *affine {
	return &affine{scale: kernel.Alloc(channels), shift: kernel.Alloc(channels)}
}

func (o *affine) shape(in []tensor.Shape) (tensor.Shape, error) {
	if x := in[0]; x.Dims() < 2 || x[x.Dims()-1] != len(o.scale) {
		return nil, fmt.Errorf("x must be [N, …, %d]", len(o.scale))
	}
	return in[0].Clone(), nil
}

// InPlace lets y be written over x.
func (o *affine) InPlace() int { return 0 }

// Run computes y.
func (o *affine) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	if len(o.scale) < kernel.FewChannels {
		o.few.Run(out.F32, in[0].F32, o.scale, o.shift)
		return nil
	}
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(in[0].Shape)
	o.norm.Apply(out.F32, in[0].F32, nil, o.scale, o.shift, ActNone)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *affine) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives dx = dy·scale.
func (o *affine) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	g := newAffine(len(o.scale))
	copy(g.scale, o.scale)
	g.base = newBase(o.String()+"-dx", g, in[0].Dims(), in[0].Dims())
	dx, err := apply(g, dy)
	return G.Nodes{dx}, err
}
