package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// MSE returns the mean over all elements of (y - target)², a scalar: y and target have one shape [rows, …]. The
// target has no gradient. As torch.nn.functional.mse_loss.
func MSE(y, target *G.Node) (*G.Node, error) {
	o := &mse{}
	o.base = newBase("mse", o, y.Dims(), y.Dims(), 0)
	return G.ApplyOp(o, y, target)
}

type mse struct {
	base
	rows []float32 // the mean of each
}

func rowsOfOneShape(in []tensor.Shape) error {
	if in[0].Dims() < 2 || !in[0].Eq(in[1]) {
		return fmt.Errorf("y and target must be [rows, …] of one shape")
	}
	return nil
}

func (o *mse) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), rowsOfOneShape(in)
}

// Run computes the scalar loss.
func (o *mse) Run(out *engine.Tensor, in []*engine.Tensor) error {
	y, target := in[0], in[1]
	rows := y.Rows()
	if rows == 0 || len(y.F32) != len(target.F32) {
		return fmt.Errorf("%d rows, %d of the target", rows, target.Rows())
	}
	if rows > len(o.rows) {
		o.rows = make([]float32, rows)
	}
	kernel.SquaredErrors(o.rows, y.F32, target.F32, rows, y.Cols())
	sum := 0.0
	for _, e := range o.rows[:rows] {
		sum += float64(e)
	}
	out.F32[0] = float32(sum / float64(rows))
	return nil
}

// DiffWRT says that y has a gradient.
func (o *mse) DiffWRT(int) []bool { return []bool{true, false} }

// SymDiff gives dy = 2·(y - target) · dloss / elements.
func (o *mse) SymDiff(in G.Nodes, _, dloss *G.Node) (G.Nodes, error) {
	d := in[0].Dims()
	g := &mseGrad{}
	g.base = newBase("mse-grad", g, d, d, 0, d)
	dy, err := apply(g, in[0], in[1], dloss)
	return G.Nodes{dy, nil}, err
}

type mseGrad struct{ base }

// InPlace lets dy be written over y.
func (o *mseGrad) InPlace() int { return 0 }

func (o *mseGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0].Clone(), rowsOfOneShape(in)
}

// Run computes dy from y, target and the scalar dloss.
func (o *mseGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	y, target, dloss := in[0], in[1], in[2]
	if err := out.Resize(y.Shape...); err != nil {
		return err
	}
	kernel.SquaredErrorGrad(out.F32, y.F32, target.F32, y.Rows(), y.Cols(), 2*dloss.Scalar()/float32(len(y.F32)))
	return nil
}

// SquaredErrors returns the mean of (y - target)² of each row, [rows]; MSE is the mean of these. It is a measurement
// and has no gradient.
func SquaredErrors(y, target *G.Node) (*G.Node, error) {
	o := &squaredErrors{}
	o.base = newBase("squared-errors", o, y.Dims(), y.Dims(), 1)
	return G.ApplyOp(o, y, target)
}

type squaredErrors struct{ base }

func (o *squaredErrors) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := rowsOfOneShape(in); err != nil {
		return nil, err
	}
	return tensor.Shape{in[0][0]}, nil
}

// Run computes the error of each row.
func (o *squaredErrors) Run(out *engine.Tensor, in []*engine.Tensor) error {
	y, target := in[0], in[1]
	if len(y.F32) != len(target.F32) {
		return fmt.Errorf("%d rows, %d of the target", y.Rows(), target.Rows())
	}
	if err := out.Resize(y.Rows()); err != nil {
		return err
	}
	kernel.SquaredErrors(out.F32, y.F32, target.F32, y.Rows(), y.Cols())
	return nil
}
