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
	if g.err != nil {
		return nil
	}
	in := x.Shape()[1]
	w := g.Param(name+".weight", FanIn(in), out, in)
	b := g.Param(name+".bias", FanIn(in), out)
	if g.err != nil {
		return nil
	}
	y, err := ops.Linear(x, w, b, relu)
	if err != nil {
		return g.fail(name, err)
	}
	return y
}

// Add is a + b, the skip connection.
func Add(g *Graph, name string, a, b *G.Node) *G.Node {
	if g.err != nil {
		return nil
	}
	y, err := ops.Add(a, b)
	if err != nil {
		return g.fail(name, err)
	}
	return y
}

// CrossEntropy is the mean cross-entropy of logits [rows, classes] against labels [rows].
func CrossEntropy(g *Graph, logits, labels *G.Node) *G.Node {
	if g.err != nil {
		return nil
	}
	y, err := ops.CrossEntropy(logits, labels)
	if err != nil {
		return g.fail("cross-entropy", err)
	}
	return y
}
