package model

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// MLP is the lab's multilayer perceptron: a linear layer to Width with ReLU, Depth blocks of two
// Width-wide linear layers with ReLU, and a linear head. With Res each block is x + block(x), an
// identity skip (He et al. 2016, https://arxiv.org/abs/1512.03385), without it block(x): the two
// variants have the same parameters and start from the same weights. Pixels without constants are taken as they are.
type MLP struct {
	Depth, Width int
	Res          bool
	Pixels
}

var mlpNetwork = Network{Name: "mlp", Skips: true,
	About: "lab 1: 784 -> 128, DEPTH blocks of two 128-wide layers (here 5), head; on MNIST",
	Build: func(s Spec, px Pixels) (Model, error) {
		if s.Depth < 0 || s.Width < 1 {
			return nil, fmt.Errorf("model mlp of depth %d and width %d: want a depth of at least 0 and a width of at least 1",
				s.Depth, s.Width)
		}
		return MLP{Depth: s.Depth, Width: s.Width, Res: s.Res, Pixels: px}, nil
	}}

// Label is d5.
func (m MLP) Label() (network string, order int) { return fmt.Sprintf("d%d", m.Depth), m.Depth }

// Skips says which of the pair m is.
func (m MLP) Skips() string { return skips(m.Res) }

// Layers are the blocks.
func (m MLP) Layers() Layers { return Layers{Blocks: m.Depth} }

// Name is the variant's name in records and figures: mlp-d5-res, mlp-d5-plain.
func (m MLP) Name() string {
	return fmt.Sprintf("mlp-d%d-%s", m.Depth, kind(m.Res))
}

// Input is all pixels in a row.
func (m MLP) Input(h, w, c int) []int { return []int{h * w * c} }

// Logits maps x [rows, pixels] to [rows, classes].
func (m MLP) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	_, logits := m.Head(g, m.Features(g, x), classes)
	return logits
}

// Features maps x [rows, pixels] to [rows, Width].
func (m MLP) Features(g *nn.Graph, x *G.Node) *G.Node {
	if channels := len(m.Mean); channels > 0 {
		n := x.Shape()[1] / channels // the channels of a pixel lie side by side
		x = nn.Standardize(g, "standardize", x, slices.Repeat(m.Mean, n), slices.Repeat(m.Std, n))
	}
	h := nn.LinearReLU(g, "stem", x, m.Width)
	for i := range m.Depth {
		name := fmt.Sprintf("blocks.%d", i)
		y := nn.LinearReLU(g, name+".fc1", h, m.Width)
		y = nn.LinearReLU(g, name+".fc2", y, m.Width)
		if m.Res {
			y = nn.Add(g, name, h, y)
		}
		h = y
	}
	return h
}

// Head is a linear layer; nothing is pooled.
func (m MLP) Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node) {
	return features, nn.Linear(g, "head", features, classes)
}
