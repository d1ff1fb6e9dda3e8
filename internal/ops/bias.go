package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// BiasReLU returns y = max(0, x + b) by channel: x [N, …, C], b [C]. Convolution without bias followed by BiasReLU is
// faster than convolution with bias, which has no Winograd form.
func BiasReLU(x, b *G.Node) (*G.Node, error) {
	o := &biasReLU{}
	o.base = newBase("bias+relu", o, x.Dims(), 1, x.Dims())
	return G.ApplyOp(o, x, b)
}

type biasReLU struct {
	base
	ones []float32
	norm kernel.Norm
}

func (o *biasReLU) shape(in []tensor.Shape) (tensor.Shape, error) {
	x, b := in[0], in[1]
	if x.Dims() < 2 || b.TotalSize() != x[x.Dims()-1] {
		return nil, fmt.Errorf("x [N, …, C] and b [C] must agree in C")
	}
	o.ones = kernel.Alloc(b.TotalSize())
	for i := range o.ones {
		o.ones[i] = 1
	}
	return x.Clone(), nil
}

// InPlace lets y be written over x.
func (o *biasReLU) InPlace() int { return 0 }

// Run computes y.
func (o *biasReLU) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, b := in[0], in[1]
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(x.Shape)
	o.norm.Apply(out.F32, x.F32, nil, o.ones, b.F32, ActReLU)
	return nil
}

// DiffWRT says that both inputs have gradients.
func (o *biasReLU) DiffWRT(int) []bool { return []bool{true, true} }

// SymDiff gives dx = dy where y > 0, else 0, and db = the channel sums of dx.
func (o *biasReLU) SymDiff(_ G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	dx, err := reluGrad(dy, y)
	if err != nil {
		return nil, err
	}
	db, err := apply(newColSum(y.Dims()), dx)
	return G.Nodes{dx, db}, err
}
