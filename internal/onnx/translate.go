// Package onnx writes networks in ONNX (https://onnx.ai), the format that onnxruntime and many other programs run: the
// nodes of an evaluation graph, with the weights, in one file.
//
// A graph is translated op by op (ops.go), so every network that is made of the ops there can be written. Images are
// [N, C, H, W] in ONNX and [N, H, W, C] here; sentences are [batch, sequence] with a mask, and packed here. Nodes have
// the names of the network's layers, and weights their names in checkpoints.
package onnx

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/ops"
)

// The names of inputs and outputs.
const (
	Pixels        = "pixels"         // [batch, C, H, W], from 0 to 1
	InputIDs      = "input_ids"      // [batch, sequence] int64: tokens
	AttentionMask = "attention_mask" // [batch, sequence] int64: 1 for tokens, 0 for padding
)

// translation is a graph on its way to ONNX.
type translation struct {
	g      *nn.Graph
	m      *Model
	names  map[*G.Node]string // what the node's result is called in ONNX
	tokens map[*G.Node]bool   // results [batch, sequence, width]: rows of tokens, packed here
	taken  map[string]bool    // names of results and weights
	layer  string             // of the node being translated
	packed sentences
}

// sentences are what the ops of sentences share.
type sentences struct {
	positions string // [batch, sequence]
	mask      string // [batch, sequence, 1] float
	hide      string // [batch, 1, 1, sequence]: added to the scores of attention, 0 for tokens
	bias      string // [1, heads, sequence, sequence]: of relative positions, of all layers
}

func newTranslation(g *nn.Graph, name string) *translation {
	return &translation{g: g, m: &Model{Name: name}, names: map[*G.Node]string{}, tokens: map[*G.Node]bool{},
		taken: map[string]bool{}}
}

// Images returns the model of a network of images of h x w pixels in c channels: x is its leaf [1, h, w, c], or [1,
// h·w·c], result what it gives, called output in the model, [1, …]. Both may have any number of rows in the model.
func Images(g *nn.Graph, x, result *G.Node, h, w, c int, name, output string) (*Model, error) {
	t := newTranslation(g, name)
	t.m.inputs = []value{{Pixels, float32s, []any{"batch", c, h, w}}}
	t.taken[Pixels] = true
	t.names[x] = Pixels
	if x.Dims() == 2 { // the channels of a pixel lie side by side
		t.layer = "flatten"
		t.names[x] = t.emit("Flatten", []string{t.emit("Transpose", []string{Pixels}, attribute{"perm", []int{0, 2, 3, 1}})})
	}
	return t.finish(result, output)
}

// Sentences returns the model of a network of sentences with the leaves in: result is what it gives for each sentence,
// called output in the model, [sentences, width].
func Sentences(g *nn.Graph, in nn.Packed, result *G.Node, name, output string) (*Model, error) {
	t := newTranslation(g, name)
	for _, name := range []string{InputIDs, AttentionMask} {
		t.m.inputs = append(t.m.inputs, value{name, int64s, []any{"batch", "sequence"}})
		t.taken[name] = true
	}
	t.names[in.IDs], t.tokens[in.IDs] = InputIDs, true
	t.names[in.Positions], t.names[in.Offsets] = "", "" // the mask says both
	return t.finish(result, output)
}

// finish translates all that result depends on.
func (t *translation) finish(result *G.Node, output string) (*Model, error) {
	t.taken[output] = true
	order, err := engine.Order(t.g.ExprGraph, []*G.Node{result})
	if err != nil {
		return nil, err
	}
	for _, n := range order {
		if _, ok := t.names[n]; ok {
			continue
		}
		if n.Op() == nil {
			err = t.weight(n)
		} else {
			err = t.node(n)
		}
		if err != nil {
			return nil, err
		}
	}
	dims := []any{"batch"}
	switch s := result.Shape(); {
	case len(s) == 4: // of images
		dims = append(dims, s[3], s[1], s[2])
	default:
		dims = append(dims, s[1])
	}
	t.m.outputs = []value{{output, float32s, dims}}
	for i := range t.m.nodes { // the last name is the output's
		n := &t.m.nodes[i]
		if n.out == t.names[result] {
			n.out = output
		}
		for k, in := range n.in {
			if in == t.names[result] {
				n.in[k] = output
			}
		}
	}
	return t.m, nil
}

// weight names the leaf n. What its elements become is for the op that takes it.
func (t *translation) weight(n *G.Node) error {
	if n.Value() == nil {
		return fmt.Errorf("onnx: the input %s of the graph has no value", n.Name())
	}
	if _, ok := n.Value().Data().([]float32); !ok {
		return fmt.Errorf("onnx: the input %s of the graph is no weight", n.Name())
	}
	t.names[n] = n.Name()
	return nil
}

// node translates n.
func (t *translation) node(n *G.Node) error {
	in := engine.Inputs(t.g.ExprGraph, n)
	t.layer = t.layerOf(n, in)
	form, err := ops.FormOf(n.Op())
	if err == nil {
		err = t.op(n, in, form)
	}
	if err != nil {
		return fmt.Errorf("onnx: layer %s: %w", t.layer, err)
	}
	return nil
}

// layerOf is the name of n's layer. A node within a layer has that of its first weight.
func (t *translation) layerOf(n *G.Node, in []*G.Node) string {
	if name := t.g.Layer(n); name != "" {
		return name
	}
	for _, i := range in {
		if i.Op() == nil && i.Value() != nil {
			if at := lastDot(i.Name()); at > 0 {
				return i.Name()[:at]
			}
		}
	}
	return n.Op().String()
}

func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return i
		}
	}
	return -1
}

// unique is name, with a number behind it where it is taken.
func (t *translation) unique(name string) string {
	free := name
	for i := 2; t.taken[free]; i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	t.taken[free] = true
	return free
}

// emit adds a node of the layer being translated and returns the name of its result.
func (t *translation) emit(op string, in []string, attributes ...attribute) string {
	name := t.unique(t.layer + "/" + op)
	t.m.nodes = append(t.m.nodes, node{op: op, name: name, in: in, out: name, attributes: attributes})
	return name
}

// floats adds a weight and returns its name. A name that is there already is that of the same weight.
func (t *translation) floats(name string, dims []int, elements func() []float32) string {
	if slices.ContainsFunc(t.m.initials, func(o tensor) bool { return o.name == name }) {
		return name
	}
	t.taken[name] = true
	t.m.initials = append(t.m.initials, tensor{name: name, dims: dims, floats: elements})
	return name
}

// constant adds a constant of the layer being translated; no dims mean a single number.
func (t *translation) constant(what string, dims []int, elements ...float32) string {
	name := t.unique(t.layer + "/" + what)
	t.m.initials = append(t.m.initials, tensor{name: name, dims: dims, floats: func() []float32 { return elements }})
	return name
}

// integers is constant of whole numbers, in a row.
func (t *translation) integers(what string, elements ...int64) string {
	return t.whole(what, []int{len(elements)}, elements)
}

// integer is a single whole number.
func (t *translation) integer(what string, v int64) string { return t.whole(what, nil, []int64{v}) }

func (t *translation) whole(what string, dims []int, elements []int64) string {
	name := t.unique(t.layer + "/" + what)
	t.m.initials = append(t.m.initials, tensor{name: name, dims: dims, ints: elements})
	return name
}

// plain is the weight n as it is.
func (t *translation) plain(n *G.Node) string {
	return t.floats(n.Name(), n.Shape(), func() []float32 { return elements(n) })
}

func elements(n *G.Node) []float32 { return n.Value().Data().([]float32) }
