package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Distill returns the distillation loss (kernel.Distillation), a scalar, of the logits [rows, classes] of a student
// against those of the teacher, of the same shape, and labels [rows]. The teacher's logits and the labels have no
// gradient. weight is in [0, 1], temperature above 0.
func Distill(logits, teacher, classes *G.Node, weight, temperature float64) (*G.Node, error) {
	if !(weight >= 0 && weight <= 1) || !(temperature > 0) {
		return nil, fmt.Errorf("distill: weight %g is not in [0, 1] or temperature %g not above 0", weight, temperature)
	}
	o := &distill{loss: kernel.Distillation{Weight: weight, Temperature: temperature}}
	o.base = newBase("distill", o, 2, 2, ints, 0)
	return G.ApplyOp(o, logits, teacher, classes)
}

type distill struct {
	base
	loss kernel.Distillation
}

func distillShapes(in []tensor.Shape) error {
	if err := matrices(in, 2); err != nil {
		return err
	}
	if !in[0].Eq(in[1]) || in[2].TotalSize() != in[0][0] {
		return fmt.Errorf("logits and teacher's logits [rows, classes] and labels [rows] must agree")
	}
	return nil
}

func (o *distill) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), distillShapes(in)
}

// Run computes the scalar loss. A label outside [0, classes) is an error.
func (o *distill) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, teacher, labels := in[0], in[1], in[2]
	rows, classes := logits.Rows(), logits.Shape[1]
	if rows != len(labels.I32) || rows != teacher.Rows() || rows == 0 {
		return fmt.Errorf("%d rows of logits, %d of the teacher's, %d labels", rows, teacher.Rows(), len(labels.I32))
	}
	if err := inRange(labels.I32, classes); err != nil {
		return err
	}
	out.F32[0] = o.loss.Loss(logits.F32, teacher.F32, labels.I32, rows, classes)
	return nil
}

// DiffWRT says that the student's logits have a gradient.
func (o *distill) DiffWRT(int) []bool { return []bool{true, false, false} }

// SymDiff gives dlogits = ((1-w)·(softmax(z) - onehot) + w·T·(softmax(z/T) - softmax(t/T))) · dloss / rows.
func (o *distill) SymDiff(in G.Nodes, _, dloss *G.Node) (G.Nodes, error) {
	g := &distillGrad{loss: o.loss}
	g.base = newBase("distill-grad", g, 2, 2, ints, 0, 2)
	d, err := G.ApplyOp(g, in[0], in[1], in[2], dloss)
	return G.Nodes{d, nil, nil}, err
}

type distillGrad struct {
	base
	loss kernel.Distillation
}

func (o *distillGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0].Clone(), distillShapes(in)
}

// Run computes dlogits [rows, classes] from logits, teacher's logits, labels and the scalar dloss.
func (o *distillGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, teacher, labels, dloss := in[0], in[1], in[2], in[3]
	rows, classes := logits.Rows(), logits.Shape[1]
	if err := out.Resize(rows, classes); err != nil {
		return err
	}
	o.loss.Grad(out.F32, logits.F32, teacher.F32, labels.I32, rows, classes, dloss.Scalar()/float32(rows))
	return nil
}
