package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// CrossEntropy returns the mean over rows of -log softmax(logits)[label]: logits [rows, classes], labels [rows] int32
// in [0, classes). The fraction smoothing, in [0, 1), of the target is spread evenly over all classes (Szegedy et al.
// 2016, https://arxiv.org/abs/1512.00567). The maximum is subtracted row by row, so that logits of any size are safe
// (Gorgonia's own SoftMax subtracts one maximum for the whole batch). As torch.nn.functional.cross_entropy.
func CrossEntropy(logits, classes *G.Node, smoothing float64) (*G.Node, error) {
	if !(smoothing >= 0 && smoothing < 1) {
		return nil, fmt.Errorf("cross-entropy: label smoothing %g is not in [0, 1)", smoothing)
	}
	o := &crossEntropy{smoothing: smoothing}
	o.base = newBase("cross-entropy", o, 2, ints, 0)
	return G.ApplyOp(o, logits, classes)
}

// SumCrossEntropy returns the sum over rows instead of the mean, without smoothing: the gradient of a row has then
// the same bits whatever other rows the batch has.
func SumCrossEntropy(logits, classes *G.Node) (*G.Node, error) {
	o := &crossEntropy{sum: true}
	o.base = newBase("sum-cross-entropy", o, 2, ints, 0)
	return G.ApplyOp(o, logits, classes)
}

type crossEntropy struct {
	base
	smoothing float64
	sum       bool // not the mean
}

func logitsAndLabels(in []tensor.Shape) error {
	if err := matrices(in, 1); err != nil {
		return err
	}
	if in[1].TotalSize() != in[0][0] {
		return fmt.Errorf("logits [rows, classes] and labels [rows] must agree in rows")
	}
	return nil
}

func (o *crossEntropy) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), logitsAndLabels(in)
}

// Run computes the scalar loss. A label outside [0, classes) is an error.
func (o *crossEntropy) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, labels := in[0], in[1]
	rows, classes := logits.Rows(), logits.Shape[1]
	if rows != len(labels.I32) || rows == 0 {
		return fmt.Errorf("%d rows of logits, %d labels", rows, len(labels.I32))
	}
	if err := inRange(labels.I32, classes); err != nil {
		return err
	}
	out.F32[0] = kernel.SoftmaxCrossEntropy(logits.F32, labels.I32, rows, classes, o.smoothing)
	if o.sum {
		out.F32[0] *= float32(rows)
	}
	return nil
}

func inRange(labels []int32, classes int) error {
	for i, l := range labels {
		if l < 0 || int(l) >= classes {
			return fmt.Errorf("label %d of row %d is not in [0, %d)", l, i, classes)
		}
	}
	return nil
}

// DiffWRT says that the logits have a gradient and the labels none.
func (o *crossEntropy) DiffWRT(int) []bool { return []bool{true, false} }

// SymDiff gives dlogits = (softmax(logits) - onehot(labels)) · dloss / rows; of the sum without the division.
func (o *crossEntropy) SymDiff(in G.Nodes, _, dloss *G.Node) (G.Nodes, error) {
	g := &crossEntropyGrad{smoothing: o.smoothing, sum: o.sum}
	g.base = newBase("cross-entropy-grad", g, 2, ints, 0, 2)
	d, err := G.ApplyOp(g, in[0], in[1], dloss)
	return G.Nodes{d, nil}, err
}

type crossEntropyGrad struct {
	base
	smoothing float64
	sum       bool
}

func (o *crossEntropyGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0].Clone(), logitsAndLabels(in)
}

// Run computes dlogits [rows, classes] from logits, labels and the scalar dloss.
func (o *crossEntropyGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, labels, dloss := in[0], in[1], in[2]
	rows, classes := logits.Rows(), logits.Shape[1]
	if err := out.Resize(rows, classes); err != nil {
		return err
	}
	scale := dloss.Scalar()
	if !o.sum {
		scale /= float32(rows)
	}
	kernel.SoftmaxCrossEntropyGrad(out.F32, logits.F32, labels.I32, rows, classes, o.smoothing, scale)
	return nil
}
