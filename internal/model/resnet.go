package model

import (
	"cmp"
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// ResNet is the network of He et al. 2016, section 4.2 (https://arxiv.org/abs/1512.03385), for CIFAR: a
// 3x3 stem of Width filters, three stages of Blocks blocks of two 3x3 convolutions with Width,
// 2·Width and 4·Width filters, the later two halving the image, global average pooling and a linear
// head: 6·Blocks + 2 layers. Where a block changes shape its shortcut has no parameters (option A), or,
// with Projection, is a 1x1 convolution and batch normalisation (option B). Without Res there are no
// shortcuts: the paper's plain network.
type ResNet struct {
	Blocks, Width int
	Res           bool
	Projection    bool
	Pixels
}

var resnetNetworks = []Network{
	resnetNetwork(3, "He et al. 2016, section 4.2: 3 stages of 3 blocks"),
	resnetNetwork(5, "the same with 5 blocks a stage"),
	resnetNetwork(7, "7 blocks a stage"),
	resnetNetwork(9, "9 blocks a stage"),
	resnetNetwork(18, "18 blocks a stage"),
}

// resnetNetwork is the network of so many blocks a stage.
func resnetNetwork(blocks int, about string) Network {
	name := fmt.Sprintf("resnet%d", 6*blocks+2)
	return Network{Name: name, About: about, Skips: true, Build: func(s Spec, px Pixels) (Model, error) {
		if s.Width < 0 {
			return nil, fmt.Errorf("model %s of width %d: want at least 1, or 0 for the paper's 16", name, s.Width)
		}
		return ResNet{Blocks: blocks, Width: cmp.Or(s.Width, 16), Res: s.Res, Pixels: px}, s.ownDepth()
	}}
}

// Label is the number of layers, and of filters in the first stage where that is not 16.
func (m ResNet) Label() (network string, order int) {
	order = 6*m.Blocks + 2
	network = fmt.Sprintf("%d layers", order)
	if m.Width != 16 {
		network += fmt.Sprintf(", w%d", m.Width)
	}
	if m.Projection && m.Res {
		network += ", projections"
	}
	return network, order
}

// Skips says which of the pair m is.
func (m ResNet) Skips() string { return skips(m.Res) }

// Layers are the blocks, and the convolutions of stem, blocks and projections.
func (m ResNet) Layers() Layers {
	l := Layers{Blocks: 3 * m.Blocks, Convs: 1 + 6*m.Blocks}
	if m.Res && m.Projection {
		l.Convs += 2
	}
	return l
}

// Name is the variant's name in records and figures: resnet20, plain56, resnet20-w32.
func (m ResNet) Name() string {
	name := "plain"
	if m.Res {
		name = "resnet"
	}
	name += fmt.Sprint(6*m.Blocks + 2)
	if m.Width != 16 {
		name += fmt.Sprintf("-w%d", m.Width)
	}
	if m.Projection && m.Res {
		name += "-b"
	}
	return name
}

// Input is the image.
func (m ResNet) Input(h, w, c int) []int { return []int{h, w, c} }

// Logits maps x [rows, H, W, C] to [rows, classes]. Names are those of torchvision's ResNets.
func (m ResNet) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	_, logits := m.Head(g, m.Features(g, x), classes)
	return logits
}

// Features maps x [rows, H, W, C] to [rows, H/4, W/4, 4·Width].
func (m ResNet) Features(g *nn.Graph, x *G.Node) *G.Node {
	h := m.standardize(g, x)
	h = nn.Conv2D(g, "conv1", h, m.Width, 3, 1)
	h = nn.BatchNormReLU(g, "bn1", h, nil)
	for stage := range 3 {
		for i := range m.Blocks {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			h = m.block(g, fmt.Sprintf("layer%d.%d", stage+1, i), h, m.Width<<stage, stride)
		}
	}
	return h
}

// Head is the average over the pixels [rows, 4·Width] and a linear layer of it.
func (m ResNet) Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node) {
	pooled = nn.GlobalAvgPool(g, "avgpool", features)
	return pooled, nn.Linear(g, "fc", pooled, classes)
}

// block is relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).
func (m ResNet) block(g *nn.Graph, name string, x *G.Node, filters, stride int) *G.Node {
	y := nn.Conv2D(g, name+".conv1", x, filters, 3, stride)
	y = nn.BatchNormReLU(g, name+".bn1", y, nil)
	y = nn.Conv2D(g, name+".conv2", y, filters, 3, 1)
	var shortcut *G.Node
	switch {
	case !m.Res:
	case stride == 1:
		shortcut = x
	case m.Projection:
		shortcut = nn.BatchNorm(g, name+".downsample.1", nn.Conv2D(g, name+".downsample.0", x, filters, 1, stride))
	default:
		shortcut = nn.PadShortcut(g, name+".shortcut", x, stride, filters)
	}
	return nn.BatchNormReLU(g, name+".bn2", y, shortcut)
}
