package ops

import (
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// convNorm is a convolution, perhaps the max pooling of its outputs, and their normalisation by given statistics, in
// one pass: y [N, H', W', out] or [N, H'/window, W'/window, out] from the inputs of the convolution and those of the
// normalisation but its first. It is made by the engine alone, of two or three ops, whose gradients stay as they are.
type convNorm struct {
	base
	convForm
	conv kernel.Conv
	bias bool
	pool *maxPool // nil: none
	norm *fixedNorm
}

// newConvNorm is what computes first, which gives the convolution's form, and then norm.
func newConvNorm(first op, f convForm, bias bool, pool *maxPool, norm *fixedNorm) *convNorm {
	o := &convNorm{convForm: f, bias: bias, pool: pool, norm: norm}
	dims := make([]int, first.Arity()+norm.Arity())
	o.base = newBase(first.String()+"+"+norm.String(), o, dims...)
	return o
}

func (o *convNorm) shape(in []tensor.Shape) (tensor.Shape, error) {
	y := o.output(in[0], in[1])
	if o.pool != nil {
		return o.pool.shape([]tensor.Shape{y})
	}
	return y, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *convNorm) MACs(in [][]int) int { return o.macs(in) }

// Run computes y, and leaves in the pooling what its gradient needs.
func (o *convNorm) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, w, rest := in[0], in[1], in[2:]
	c := &o.conv
	o.describe(c, x.Shape, w.Shape)
	var b []float32
	if o.bias {
		b, rest = rest[0].F32, rest[1:]
	}
	var err error
	if o.pool != nil {
		o.pool.setSize([]int{c.N, c.OutH(), c.OutW(), c.OC})
		err = o.pool.grow(out)
	} else {
		err = out.Resize(c.N, c.OutH(), c.OutW(), c.OC)
	}
	if err != nil {
		return err
	}
	res := o.norm.setUp(out.Shape, rest)
	c.After = o.norm.norm.ApplyPass(res, o.norm.scale, o.norm.shift, o.norm.act)
	if o.pool != nil {
		c.ForwardPooled(&o.pool.pool, out.F32, o.pool.index, x.F32, w.F32, nil)
	} else {
		c.Forward(out.F32, x.F32, w.F32, b, nil)
	}
	return nil
}
