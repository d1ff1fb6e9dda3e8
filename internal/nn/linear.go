package nn

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/ops"
)

// Linear is a fully connected layer: x [rows, in] to [rows, out], parameters name.weight [out, in]
// and name.bias [out], initialised as torch.nn.Linear does.
func Linear(g *Graph, name string, x *G.Node, out int) *G.Node {
	return linear(g, name, x, out, false)
}

// LinearReLU is Linear followed by ReLU, in one pass over the output.
func LinearReLU(g *Graph, name string, x *G.Node, out int) *G.Node {
	return linear(g, name, x, out, true)
}

func linear(g *Graph, name string, x *G.Node, out int, relu bool) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[1]
		return ops.Linear(x, g.Param(name+".weight", FanIn(in), out, in), g.Param(name+".bias", FanIn(in), out), relu)
	})
}

// LinearNoBias is Linear without a bias: parameter name.weight [out, in].
func LinearNoBias(g *Graph, name string, x *G.Node, out int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[1]
		return ops.Linear(x, g.Param(name+".weight", FanIn(in), out, in), nil, false)
	})
}

// Scale is factor·x.
func Scale(g *Graph, name string, x *G.Node, factor float64) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.Scale(x, factor) })
}

// Add is a + b, the skip connection.
func Add(g *Graph, name string, a, b *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.Add(a, b) })
}

// CrossEntropy is the mean cross-entropy of logits [rows, classes] against labels [rows], in training
// with smoothing of the labels, in [0, 1).
func CrossEntropy(g *Graph, logits, labels *G.Node, smoothing float64) *G.Node {
	if !g.training {
		smoothing = 0
	}
	return g.layer("cross-entropy", func() (*G.Node, error) { return ops.CrossEntropy(logits, labels, smoothing) })
}

// SumCrossEntropy is the sum over rows of the cross-entropy of logits [rows, classes] against labels
// [rows]: for gradients of a row that are the same whatever rows are beside it.
func SumCrossEntropy(g *Graph, logits, labels *G.Node) *G.Node {
	return g.layer("sum-cross-entropy", func() (*G.Node, error) { return ops.SumCrossEntropy(logits, labels) })
}

// OutlierExposure is the loss (ops.OutlierExposure) of logits [rows, classes] of which the first are in
// distribution, as many as labels, and the rest are outliers.
func OutlierExposure(g *Graph, logits, labels *G.Node, weight, smoothing float64) *G.Node {
	return g.layer("outlier-exposure", func() (*G.Node, error) {
		return ops.OutlierExposure(logits, labels, weight,
			smoothing)
	})
}

// Distill is the distillation loss (ops.Distill) of logits against the teacher's, both [rows, classes],
// and labels [rows].
func Distill(g *Graph, logits, teacher, labels *G.Node, weight, temperature float64) *G.Node {
	return g.layer("distill", func() (*G.Node, error) { return ops.Distill(logits, teacher, labels, weight, temperature) })
}

// MSE is the mean over all elements of (y - target)², both [rows, …]; the target has no gradient.
func MSE(g *Graph, y, target *G.Node) *G.Node {
	return g.layer("mse", func() (*G.Node, error) { return ops.MSE(y, target) })
}

// SquaredErrors is each row's part of MSE: [rows].
func SquaredErrors(g *Graph, y, target *G.Node) *G.Node {
	return g.layer("squared errors", func() (*G.Node, error) { return ops.SquaredErrors(y, target) })
}
