package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// LayerNorm is y = x̂·gamma + beta, x̂ the rows of x + res [rows, width] less their mean and over their
// deviation (kernel.LayerNorm has the formulas); gamma, beta [width]. res, of x's shape, may be nil. As
// torch.nn.LayerNorm.
func LayerNorm(x, res, gamma, beta *G.Node, eps float64) (*G.Node, error) {
	o := &layerNorm{}
	o.norm.Eps = eps
	if res == nil {
		o.base = newBase("layernorm", o, 2, 1, 1, 2)
		return G.ApplyOp(o, x, gamma, beta)
	}
	o.base = newBase("add+layernorm", o, 2, 1, 1, 2, 2)
	return G.ApplyOp(o, x, gamma, beta, res)
}

type layerNorm struct {
	base
	norm  kernel.LayerNorm // its Stats serve the gradients, which run after y and before its next Run
	dbeta []float32        // what the node of dgamma leaves for that of dbeta
}

func (o *layerNorm) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 1); err != nil {
		return nil, err
	}
	return normShape(in, 2)
}

// Run computes y.
func (o *layerNorm) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x := in[0]
	res := residual(in, 3)
	if res != nil && len(res) != len(x.F32) {
		return fmt.Errorf("x and the residual must have one shape")
	}
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	o.norm.Rows, o.norm.Width = x.Shape[0], x.Shape[1]
	if len(o.norm.Stats) < 2*o.norm.Rows {
		o.norm.Stats = kernel.Alloc(2 * o.norm.Rows)
	}
	o.norm.Forward(out.F32, x.F32, res, in[1].F32, in[2].F32)
	return nil
}

// DiffWRT says that all inputs have gradients.
func (o *layerNorm) DiffWRT(n int) []bool { return []bool{true, true, true, true}[:n] }

// SymDiff gives dx, which is dres too, dgamma = Σ dy·x̂ and dbeta = Σ dy.
func (o *layerNorm) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	x, gamma := in[0], in[1]
	input, params := &layerNormInput{ln: o}, &layerNormGamma{ln: o}
	inputs, sums := G.Nodes{dy, x, gamma}, G.Nodes{dy, x}
	if len(in) > 3 {
		inputs, sums = append(inputs, in[3]), append(sums, in[3])
		input.base, params.base = newBase("layernorm-dx", input, 2, 2, 1, 2, 2), newBase("layernorm-dgamma", params, 2, 2, 2,
			1)
	} else {
		input.base, params.base = newBase("layernorm-dx", input, 2, 2, 1, 2), newBase("layernorm-dgamma", params, 2, 2, 1)
	}
	dx, err := apply(input, inputs...)
	if err != nil {
		return nil, err
	}
	dgamma, err := apply(params, sums...)
	if err != nil {
		return nil, err
	}
	beta := &layerNormBeta{ln: o}
	beta.base = newBase("layernorm-dbeta", beta, 1, 1)
	dbeta, err := apply(beta, dgamma)
	return G.Nodes{dx, dgamma, dbeta, dx}[:len(in)], err
}

// layerNormInput is dx from dy, x [rows, width], gamma [width] and the residual.
type layerNormInput struct {
	base
	ln *layerNorm
}

// InPlace lets dx be written over dy.
func (o *layerNormInput) InPlace() int { return 0 }

func (o *layerNormInput) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes dx.
func (o *layerNormInput) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	o.ln.norm.BackwardInput(out.F32, in[0].F32, in[1].F32, residual(in, 3), in[2].F32)
	return nil
}

// layerNormGamma is dgamma [width] from dy, x and the residual; it leaves dbeta in ln.
type layerNormGamma struct {
	base
	ln *layerNorm
}

func (o *layerNormGamma) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][1]}, nil
}

// Run computes dgamma.
func (o *layerNormGamma) Run(out *engine.Tensor, in []*engine.Tensor) error {
	width := in[0].Shape[1]
	if err := out.Resize(width); err != nil {
		return err
	}
	if o.ln.dbeta == nil {
		o.ln.dbeta = kernel.Alloc(width)
	}
	o.ln.norm.BackwardParams(out.F32, o.ln.dbeta, in[0].F32, in[1].F32, residual(in, 2))
	return nil
}

// layerNormBeta is dbeta [width]; it takes dgamma so as to run after it.
type layerNormBeta struct {
	base
	ln *layerNorm
}

func (o *layerNormBeta) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run copies dbeta.
func (o *layerNormBeta) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	copy(out.F32, o.ln.dbeta)
	return nil
}
