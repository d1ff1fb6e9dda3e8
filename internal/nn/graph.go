package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Graph is a Gorgonia expression graph over a set of parameters. The first error of a layer sticks:
// later layers pass it by, and Err returns it, so a model reads as a list of layers.
type Graph struct {
	*G.ExprGraph
	params   *Params
	nodes    map[string]*G.Node // parameters' nodes in this graph
	layers   map[*G.Node]string // names of the layers that gave the nodes
	training bool
	stats    []*RunningStats
	step     *G.Node // see StepNode
	err      error
}

// NewGraph starts an empty graph over p, for evaluation: layers that behave differently in training
// (batch normalisation) use what training has left in p.
func NewGraph(p *Params) *Graph {
	return &Graph{ExprGraph: G.NewGraph(), params: p, nodes: map[string]*G.Node{}, layers: map[*G.Node]string{}}
}

// NewTrainingGraph starts an empty graph over p, for training.
func NewTrainingGraph(p *Params) *Graph {
	g := NewGraph(p)
	g.training = true
	return g
}

// Err is the first error of building the graph, naming the layer.
func (g *Graph) Err() error { return g.err }

// Fail makes err, of the layer so called, the error of building the graph unless one came before; it returns nil.
func (g *Graph) Fail(layer string, err error) *G.Node {
	if g.err == nil && err != nil {
		g.err = fmt.Errorf("nn: layer %s: %w", layer, err)
	}
	return nil
}

// Input adds a float32 leaf of the given shape, zero until it is written to. One that takes more memory than the
// machine has is an error of g.
func (g *Graph) Input(name string, shape ...int) *G.Node {
	bytes := int64(4)
	for _, d := range shape {
		bytes *= int64(d)
	}
	if err := engine.Fits("batches of the shape "+fmt.Sprint(shape), bytes); err != nil {
		g.Fail(name, err)
	}
	if g.params.shapes || g.err != nil {
		return G.NewTensor(g.ExprGraph, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name))
	}
	n := tensor.Shape(shape).TotalSize()
	v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(kernel.Alloc(n)))
	return G.NewTensor(g.ExprGraph, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(v))
}

// Labels adds a leaf of rows class indices (int32).
func (g *Graph) Labels(name string, rows int) *G.Node { return g.Ints(name, rows) }

// Ints adds an int32 leaf of rows elements, zero until it is written to.
func (g *Graph) Ints(name string, rows int) *G.Node {
	v := tensor.New(tensor.WithShape(rows), tensor.WithBacking(make([]int32, rows)))
	return G.NewTensor(g.ExprGraph, tensor.Int32, 1, G.WithShape(rows), G.WithName(name), G.WithValue(v))
}

// Param returns the node of the parameter called name, which init fills at its first use.
func (g *Graph) Param(name string, init Init, shape ...int) *G.Node {
	n, _ := g.param(name, init, false, shape)
	return n
}

// TrainFor makes the parameter called name, which a layer has asked for, train in the first so many epochs alone.
func (g *Graph) TrainFor(name string, epochs int) {
	if q := g.params.byName[name]; q != nil {
		q.Epochs = epochs
	} else if g.err == nil {
		g.err = fmt.Errorf("nn: parameter %s cannot be trained for %d epochs: no layer has it", name, epochs)
	}
}

// Freeze makes the parameter called name, which a layer has asked for, one that is not trained.
func (g *Graph) Freeze(name string) {
	if q := g.params.byName[name]; q != nil {
		q.Frozen = true
	} else if g.err == nil {
		g.err = fmt.Errorf("nn: parameter %s cannot be frozen: no layer has it", name)
	}
}

// param is the node and the tensor called name; nil after an error, which sticks.
func (g *Graph) param(name string, init Init, buffer bool, shape []int) (*G.Node, *Param) {
	q, err := g.params.get(name, init, buffer, shape)
	if err != nil {
		if g.err == nil {
			g.err = err
		}
		return nil, nil
	}
	if n, ok := g.nodes[name]; ok {
		return n, q
	}
	options := []G.NodeConsOpt{G.WithShape(shape...), G.WithName(name)}
	if q.value != nil {
		options = append(options, G.WithValue(q.value))
	}
	n := G.NewTensor(g.ExprGraph, tensor.Float32, len(shape), options...)
	g.nodes[name] = n
	return n, q
}

// layer builds a layer's node, unless an error came before, and keeps its error, naming the layer.
func (g *Graph) layer(name string, build func() (*G.Node, error)) *G.Node {
	if g.err != nil {
		return nil
	}
	y, err := build()
	if g.err != nil { // of a parameter
		return nil
	}
	if err != nil {
		return g.Fail(name, err)
	}
	g.layers[y] = name
	return y
}

// Layer returns the name of the layer whose result n is; "" of a leaf and of a node within a layer.
func (g *Graph) Layer(n *G.Node) string { return g.layers[n] }

// Gradients differentiates the scalar loss with respect to every weight that is not frozen, in the order
// of Params.Trained. Gorgonia returns wrong gradients from a second call on one graph: call it once.
func (g *Graph) Gradients(loss *G.Node) ([]*G.Node, error) {
	if g.err != nil {
		return nil, g.err
	}
	var wrt []*G.Node
	for _, q := range g.params.Trained() {
		n, ok := g.nodes[q.Name]
		if !ok {
			return nil, fmt.Errorf("nn: parameter %s is not in the graph of the loss", q.Name)
		}
		wrt = append(wrt, n)
	}
	grads, err := G.Grad(loss, wrt...)
	if err != nil {
		return nil, fmt.Errorf("nn: differentiating the loss: %w", err)
	}
	return grads, nil
}
