package model

import (
	"cmp"
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
	"dla/internal/ops"
)

// Speedrun is the network that reaches 94 % on CIFAR-10 with the least arithmetic that is published (K. Jordan 2024,
// https://arxiv.org/abs/2404.00498, "airbench94"): a convolution of 2x2 pixels without padding, GELU, and three groups
// of 3x3 convolution, 2x2 max pooling, batch normalisation, GELU, 3x3 convolution, batch normalisation, GELU, with
// Width, 4·Width and 4·Width filters; 3x3 max pooling and a linear layer without bias, whose logits are divided by 9.
// Batch normalisation has no scale. The rows and columns that a pooling throws away are not computed.
//
// With Whitened the first filters are those of Whiten: they are not trained, and their bias is trained in the first
// three epochs alone. Without, they are weights like others.
type Speedrun struct {
	Width    int
	Whitened bool
	Pixels
}

const speedrunWidth = 64 // the paper's

var speedrunNetwork = Network{Name: "speedrun",
	About:   "Jordan 2024: to 94 % on CIFAR-10 with the least arithmetic",
	Initial: Initial{Whiten: true, Dirac: true},
	Build: func(s Spec, px Pixels) (Model, error) {
		if s.Width < 0 {
			return nil, fmt.Errorf("model speedrun of width %d: want at least 1, or 0 for the paper's %d", s.Width,
				speedrunWidth)
		}
		return Speedrun{Width: cmp.Or(s.Width, speedrunWidth), Whitened: s.initial.Whiten, Pixels: px}, s.ownDepth()
	}}

// speedrunNorm is its batch normalisation.
var speedrunNorm = nn.Norm{Eps: 1e-12, Momentum: 0.4, NoScale: true, Activation: ops.ActGELU}

// Label is the name, and the number of filters in the first group where that is not 64.
func (m Speedrun) Label() (network string, order int) { return m.Name(), m.Width }

// Skips says that there are none to have.
func (m Speedrun) Skips() string { return "" }

// Layers are the groups and the convolutions.
func (m Speedrun) Layers() Layers { return Layers{Blocks: 3, Convs: 7} }

// Name is the variant's name in records and figures: speedrun, speedrun-w32.
func (m Speedrun) Name() string {
	if m.Width != speedrunWidth {
		return fmt.Sprintf("speedrun-w%d", m.Width)
	}
	return "speedrun"
}

// Input is the image.
func (m Speedrun) Input(h, w, c int) []int { return []int{h, w, c} }

// Logits maps x [rows, H, W, C] to [rows, classes].
func (m Speedrun) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	_, logits := m.Head(g, m.Features(g, x), classes)
	return logits
}

// Features maps x [rows, H, W, C] to [rows, (H-1)/8, (W-1)/8, 4·Width], H and W at least 9.
func (m Speedrun) Features(g *nn.Graph, x *G.Node) *G.Node {
	if s := x.Shape(); s[1] < 9 || s[2] < 9 {
		return g.Fail("whiten", fmt.Errorf("images of %dx%d pixels are too small for %s: its poolings need 9x9", s[1], s[2],
			m.Name()))
	}
	const window = 2
	h := m.standardize(g, x)
	h = nn.Conv2DValid(g, "whiten", h, 2*window*window*x.Shape()[3], window)
	if m.Whitened {
		g.Freeze("whiten.weight")
		g.TrainFor("whiten.bias", 3)
	}
	h = nn.GELU(g, "whiten.gelu", h)
	for i, filters := range []int{m.Width, 4 * m.Width, 4 * m.Width} {
		if h == nil {
			return nil
		}
		name := fmt.Sprintf("layer%d.0", i+1)
		height, width := h.Shape()[1], h.Shape()[2]
		h = nn.Conv2DCropped(g, name+".conv1", h, filters, height&^1, width&^1)
		h = nn.MaxPool(g, name+".pool", h, 2)
		h = nn.BatchNormWith(g, name+".norm1", h, speedrunNorm)
		h = nn.Conv2DAnyShape(g, name+".conv2", h, filters)
		h = nn.BatchNormWith(g, name+".norm2", h, speedrunNorm)
	}
	return h
}

// headScale is the factor on the logits.
const headScale = 1.0 / 9

// Head is the largest of each channel in 3x3 pixels [rows, 4·Width], the mean of those where images are larger than
// CIFAR's, and a linear layer of it.
func (m Speedrun) Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node) {
	pooled = features
	if features != nil {
		s := features.Shape()
		pooled = nn.MaxPool(g, "pool", features, min(3, s[1], s[2]))
	}
	pooled = nn.GlobalAvgPool(g, "avgpool", pooled)
	return pooled, nn.Scale(g, "head.scale", nn.LinearNoBias(g, "head", pooled, classes), headScale)
}

// LastLayer is the head with its factor in the weights.
func (m Speedrun) LastLayer(p *nn.Params) (weight, bias []float32) {
	trained := p.Trained()
	head := trained[len(trained)-1]
	weight = make([]float32, len(head.Data))
	for i, w := range head.Data {
		weight[i] = w * headScale
	}
	return weight, make([]float32, head.Shape[0])
}
