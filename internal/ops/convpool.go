package ops

import (
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// convPool is a convolution without bias and the max pooling of its outputs, in one pass: y [N, H'/window, W'/window,
// out] from x [N, H, W, in] and w [k, k, in, out]. It is made by the engine alone, of two ops, whose gradients stay as
// they are.
type convPool struct {
	base
	convForm
	conv kernel.Conv
	pool *maxPool
}

func newConvPool(f convForm, pool *maxPool) *convPool {
	o := &convPool{convForm: f, pool: pool}
	o.base = newBase("conv2d+max-pool", o, 4, 4, 4)
	return o
}

func (o *convPool) shape(in []tensor.Shape) (tensor.Shape, error) {
	return o.pool.shape([]tensor.Shape{o.output(in[0], in[1])})
}

// GivesSums says that Run fills its output's channel sums where asked.
func (o *convPool) GivesSums() {}

// Absorb takes in a normalisation by given statistics.
func (o *convPool) Absorb(next engine.Op) (engine.Op, bool) {
	if norm, ok := next.(*fixedNorm); ok {
		return newConvNorm(o, o.convForm, false, o.pool, norm), true
	}
	return nil, false
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *convPool) MACs(in [][]int) int { return o.macs(in) }

// Run computes y, and leaves in the pooling what its gradient needs.
func (o *convPool) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, w := in[0], in[1]
	o.describe(&o.conv, x.Shape, w.Shape)
	o.pool.setSize([]int{o.conv.N, o.conv.OutH(), o.conv.OutW(), o.conv.OC})
	if err := o.pool.grow(out); err != nil {
		return err
	}
	p := &o.pool.pool
	o.conv.ForwardPooled(p, out.F32, o.pool.index, x.F32, w.F32, out.SumsFor(p.N, p.C))
	return nil
}
