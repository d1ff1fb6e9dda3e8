package model

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// CNN is the lab's convolutional network: a 3x3 stem of 32 filters, a block for each of Inner, global
// average pooling and a linear head. A block of inner width f is 3x3 convolution to f, batch
// normalisation, ReLU, 3x3 to f, batch normalisation, ReLU, and a 1x1 convolution back to 32; with Res
// it is x + block(x). All blocks keep the shape, so the skip is the identity and the two variants have
// the same parameters, the same start and, but for the additions, the same cost.
type CNN struct {
	Size  string // of the preset, for the name
	Inner []int  // inner width of each block
	Res   bool
	Pixels
}

const cnnFilters = 32 // of the stem and after every block

// The presets land within 5 % of the lab's parameter counts: 13k, 160k, 240k, 1M, 200k. Where they can,
// widths are whole vectors.
var cnnNetworks = []Network{
	cnnNetwork("small", "lab 1: CNN of 2 blocks", 16, 10),
	cnnNetwork("medium", "lab 1: CNN of 5 blocks", 32, 48, 48, 48, 48),
	cnnNetwork("large", "lab 1: CNN of 7 blocks", 32, 48, 48, 48, 48, 48, 48),
	cnnNetwork("teacher", "lab 1, distillation: 2 wide blocks, 1M parameters", 208, 224),
	cnnNetwork("student", "lab 1, distillation: the same with fewer filters, 200k", 80, 96),
}

func cnnNetwork(name, about string, inner ...int) Network {
	return Network{Name: name, About: about, Skips: true, Build: func(s Spec, px Pixels) (Model, error) {
		return CNN{Size: name, Inner: inner, Res: s.Res, Pixels: px}, s.ownSize()
	}}
}

// Label is the size.
func (m CNN) Label() (network string, order int) {
	return m.Size, slices.Index([]string{"small", "medium", "large", "student", "teacher"}, m.Size)
}

// Skips says which of the pair m is.
func (m CNN) Skips() string { return skips(m.Res) }

// Layers are the blocks, and the convolutions of stem and blocks.
func (m CNN) Layers() Layers { return Layers{Blocks: len(m.Inner), Convs: 1 + 3*len(m.Inner)} }

// Name is the variant's name in records and figures: cnn-small-res, cnn-large-plain.
func (m CNN) Name() string { return fmt.Sprintf("cnn-%s-%s", m.Size, kind(m.Res)) }

// Input is the image.
func (m CNN) Input(h, w, c int) []int { return []int{h, w, c} }

// Logits maps x [rows, H, W, C] to [rows, classes].
func (m CNN) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	_, logits := m.Head(g, m.Features(g, x), classes)
	return logits
}

// Features maps x [rows, H, W, C] to [rows, H, W, 32].
func (m CNN) Features(g *nn.Graph, x *G.Node) *G.Node {
	h := m.standardize(g, x)
	h = nn.Conv2D(g, "stem.conv", h, cnnFilters, 3, 1)
	h = nn.BatchNormReLU(g, "stem.bn", h, nil)
	for i, f := range m.Inner {
		name := fmt.Sprintf("blocks.%d", i)
		y := nn.Conv2D(g, name+".conv1", h, f, 3, 1)
		y = nn.BatchNormReLU(g, name+".bn1", y, nil)
		y = nn.Conv2D(g, name+".conv2", y, f, 3, 1)
		y = nn.BatchNormReLU(g, name+".bn2", y, nil)
		y = nn.Conv2DBias(g, name+".conv3", y, cnnFilters, 1, 1)
		if m.Res {
			y = nn.Add(g, name, h, y)
		}
		h = y
	}
	return h
}

// Head is the average over the pixels [rows, 32] and a linear layer of it.
func (m CNN) Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node) {
	pooled = nn.GlobalAvgPool(g, "pool", features)
	return pooled, nn.Linear(g, "head", pooled, classes)
}
