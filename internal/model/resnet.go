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
//
// With four Stages, the last of 8·Width filters, and projections it is the paper's ResNet-18 for ImageNet with the stem
// for CIFAR, as in https://github.com/kuangliu/pytorch-cifar.
type ResNet struct {
	Blocks, Width int
	Stages        int // 0: 3
	Res           bool
	Projection    bool
	PadBoth       bool // option A has zeros before and behind the channels, as many; else behind only
	Pixels
}

// Shortcuts of a ResNet where a block changes shape, the values of Spec.Shortcut.
const (
	ShortcutPad        = "pad"        // option A: zeros behind the channels
	ShortcutPadBoth    = "pad-both"   // option A: as many zeros before the channels as behind
	ShortcutProjection = "projection" // option B: 1x1 convolution and batch normalisation
)

// Shortcuts are the values of Spec.Shortcut.
var Shortcuts = []string{ShortcutPad, ShortcutPadBoth, ShortcutProjection}

var resnetNetworks = []Network{
	resnetNetwork(3, "He et al. 2016, section 4.2: 3 stages of 3 blocks"),
	resnetNetwork(5, "the same with 5 blocks a stage"),
	resnetNetwork(7, "7 blocks a stage"),
	resnetNetwork(9, "9 blocks a stage"),
	resnetNetwork(18, "18 blocks a stage"),
	{Name: "resnet18", About: "He et al. 2016 for ImageNet, with the stem for CIFAR: 4 stages of 2 blocks, 64 to 512 filters",
		Skips: true, Build: func(s Spec, px Pixels) (Model, error) {
			if s.Width < 0 {
				return nil, fmt.Errorf("model resnet18 of width %d: want at least 1, or 0 for the paper's 64", s.Width)
			}
			if s.Shortcut != "" && s.Shortcut != ShortcutProjection {
				return nil, fmt.Errorf("model.shortcut is %s, and resnet18 has projections; leave it out", s.Shortcut)
			}
			return ResNet{Blocks: 2, Width: cmp.Or(s.Width, 64), Stages: 4, Res: s.Res, Projection: true, Pixels: px},
				s.ownDepth()
		}},
}

// resnetNetwork is the network of so many blocks a stage.
func resnetNetwork(blocks int, about string) Network {
	name := fmt.Sprintf("resnet%d", 6*blocks+2)
	return Network{Name: name, About: about, Skips: true, Build: func(s Spec, px Pixels) (Model, error) {
		if s.Width < 0 {
			return nil, fmt.Errorf("model %s of width %d: want at least 1, or 0 for the paper's 16", name, s.Width)
		}
		return ResNet{Blocks: blocks, Width: cmp.Or(s.Width, 16), Res: s.Res, Projection: s.Shortcut == ShortcutProjection,
			PadBoth: s.Shortcut == ShortcutPadBoth, Pixels: px}, s.ownDepth()
	}}
}

// stages is the number of stages.
func (m ResNet) stages() int { return cmp.Or(m.Stages, 3) }

// depth is the number of layers.
func (m ResNet) depth() int { return 2*m.stages()*m.Blocks + 2 }

// usual says what the network has where nothing is set: the width, and whether there are projections.
func (m ResNet) usual() (width int, projection bool) {
	if m.stages() == 4 {
		return 64, true
	}
	return 16, false
}

// Label is the number of layers, and of filters in the first stage where that is not the paper's.
func (m ResNet) Label() (network string, order int) {
	network = fmt.Sprintf("%d layers", m.depth())
	width, projection := m.usual()
	if m.Width != width {
		network += fmt.Sprintf(", w%d", m.Width)
	}
	if m.Projection && m.Res && !projection {
		network += ", projections"
	}
	if m.PadBoth && m.Res {
		network += ", zeros on both sides"
	}
	return network, m.depth()
}

// Skips says which of the pair m is.
func (m ResNet) Skips() string { return skips(m.Res) }

// Layers are the blocks, and the convolutions of stem, blocks and projections.
func (m ResNet) Layers() Layers {
	l := Layers{Blocks: m.stages() * m.Blocks, Convs: m.depth() - 1}
	if m.Res && m.Projection {
		l.Convs += m.stages() - 1
	}
	return l
}

// Name is the variant's name in records and figures: resnet20, plain56, resnet20-w32, resnet20-pad-both.
func (m ResNet) Name() string {
	name := "plain"
	if m.Res {
		name = "resnet"
	}
	name += fmt.Sprint(m.depth())
	width, projection := m.usual()
	if m.Width != width {
		name += fmt.Sprintf("-w%d", m.Width)
	}
	if m.Projection && m.Res && !projection {
		name += "-b"
	}
	if m.PadBoth && m.Res {
		name += "-" + ShortcutPadBoth
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

// Features maps x [rows, H, W, C] to [rows, H/4, W/4, 4·Width], with four stages to [rows, H/8, W/8, 8·Width].
func (m ResNet) Features(g *nn.Graph, x *G.Node) *G.Node {
	if s, least := x.Shape(), 1<<(m.stages()-1); s[1] < least || s[2] < least {
		return g.Fail("conv1",
			fmt.Errorf("images of %dx%d pixels are too small for %s: its stages halve them %d times and need "+
				"%dx%d", s[2], s[1], m.Name(), m.stages()-1, least, least))
	}
	h := m.standardize(g, x)
	h = nn.Conv2D(g, "conv1", h, m.Width, 3, 1)
	h = nn.BatchNormReLU(g, "bn1", h, nil)
	for stage := range m.stages() {
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

// Head is the average over the pixels and a linear layer of it.
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
		shortcut = nn.PadShortcut(g, name+".shortcut", x, stride, filters, m.PadBoth)
	}
	return nn.BatchNormReLU(g, name+".bn2", y, shortcut)
}
