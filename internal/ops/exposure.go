package ops

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// OutlierExposure is the loss of Hendrycks et al. 2019 (https://arxiv.org/abs/1812.04606, section 3) on
// a batch of two kinds of rows: the first n, as many as there are labels, are in distribution, the m after
// them are outliers. It is
//
//	mean over the first n of -log softmax(z)[label]  +  weight · mean over the last m of KL(uniform ‖ softmax(z))
//
// for logits z [n+m, classes] and labels [n] int32 in [0, classes): a scalar. The paper has the cross-entropy
// against the uniform distribution in place of KL(uniform ‖ softmax(z)), which is larger by the constant
// log(classes) and has the same gradient. (The other direction, KL(softmax(z) ‖ uniform), has a gradient
// that vanishes where the network is sure, which is where it is needed.) smoothing is that of the labels, as
// CrossEntropy has it. With m = 0 it is CrossEntropy; m may differ from step to step.
func OutlierExposure(logits, classes *G.Node, weight, smoothing float64) (*G.Node, error) {
	if !(weight >= 0) || math.IsInf(weight, 1) || !(smoothing >= 0 && smoothing < 1) {
		return nil, fmt.Errorf("outlier-exposure: weight %g is not at least 0 or label smoothing %g not in [0, 1)", weight,
			smoothing)
	}
	o := &exposure{weight: weight, smoothing: smoothing}
	o.base = newBase("outlier-exposure", o, 2, ints, 0)
	return G.ApplyOp(o, logits, classes)
}

type exposure struct {
	base
	weight, smoothing float64
}

func logitsAndFewerLabels(in []tensor.Shape) error {
	if err := matrices(in, 1); err != nil {
		return err
	}
	if n := in[1].TotalSize(); n < 1 || n > in[0][0] {
		return fmt.Errorf("want labels of at least one and at most all rows of logits")
	}
	return nil
}

func (o *exposure) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.ScalarShape(), logitsAndFewerLabels(in)
}

// Run computes the scalar loss. A label outside [0, classes) is an error.
func (o *exposure) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, labels := in[0], in[1]
	n, m, classes, err := kinds(logits, labels)
	if err != nil {
		return err
	}
	out.F32[0] = kernel.SoftmaxCrossEntropy(logits.F32, labels.I32, n, classes, o.smoothing)
	if m > 0 {
		out.F32[0] += float32(o.weight) * kernel.UniformDivergence(logits.F32[n*classes:], m, classes)
	}
	return nil
}

// kinds are how many rows are in distribution and how many outliers.
func kinds(logits, labels *engine.Tensor) (n, m, classes int, err error) {
	n, classes = len(labels.I32), logits.Shape[1]
	if m = logits.Rows() - n; n == 0 || m < 0 {
		return n, m, classes, fmt.Errorf("%d rows of logits, %d labels", logits.Rows(), n)
	}
	return n, m, classes, inRange(labels.I32, classes)
}

// DiffWRT says that the logits have a gradient and the labels none.
func (o *exposure) DiffWRT(int) []bool { return []bool{true, false} }

// SymDiff gives dlogits = (softmax(z) - onehot(labels)) · dloss / n for the first n rows, and
// weight · (softmax(z) - 1/classes) · dloss / m for the m outliers.
func (o *exposure) SymDiff(in G.Nodes, _, dloss *G.Node) (G.Nodes, error) {
	g := &exposureGrad{weight: o.weight, smoothing: o.smoothing}
	g.base = newBase("outlier-exposure-grad", g, 2, ints, 0, 2)
	d, err := G.ApplyOp(g, in[0], in[1], dloss)
	return G.Nodes{d, nil}, err
}

type exposureGrad struct {
	base
	weight, smoothing float64
}

func (o *exposureGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0].Clone(), logitsAndFewerLabels(in)
}

// Run computes dlogits [rows, classes] from logits, labels and the scalar dloss.
func (o *exposureGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	logits, labels, dloss := in[0], in[1], in[2]
	n, m, classes, err := kinds(logits, labels)
	if err != nil {
		return err
	}
	if err := out.Resize(n+m, classes); err != nil {
		return err
	}
	kernel.SoftmaxCrossEntropyGrad(out.F32, logits.F32, labels.I32, n, classes, o.smoothing, dloss.Scalar()/float32(n))
	if m > 0 {
		kernel.UniformDivergenceGrad(out.F32[n*classes:], logits.F32[n*classes:], m, classes,
			float32(o.weight)*dloss.Scalar()/float32(m))
	}
	return nil
}
