package model

import (
	"cmp"
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// Wide is the wide residual network of Zagoruyko and Komodakis 2016 (https://arxiv.org/abs/1605.07146) of 28 layers
// for CIFAR, without dropout: a 3x3 stem of 16 filters, three stages of four blocks of two 3x3 convolutions with Width,
// 2·Width and 4·Width filters, the later two halving the image, global average pooling and a linear head. Batch
// normalisation and ReLU stand before each convolution and before the pooling. Where a block changes shape its shortcut
// is a 1x1 convolution of what the first of them makes. Without Res there are no shortcuts.
type Wide struct {
	Width int // of the first stage: 16 times the paper's factor k
	Res   bool
	Pixels
}

const (
	wideStem   = 16
	wideBlocks = 4   // a stage
	wideWidth  = 160 // the paper's, k = 10
)

var wideNetwork = Network{Name: "wrn28-10", About: "Zagoruyko and Komodakis 2016: 28 layers, 160 to 640 filters",
	Skips: true, Build: func(s Spec, px Pixels) (Model, error) {
		if s.Width < 0 {
			return nil, fmt.Errorf("model wrn28-10 of width %d: want at least 1, or 0 for the paper's %d", s.Width, wideWidth)
		}
		return Wide{Width: cmp.Or(s.Width, wideWidth), Res: s.Res, Pixels: px}, s.ownDepth()
	}}

// Label is the paper's name.
func (m Wide) Label() (network string, order int) { return m.size(), 28 }

// size is the paper's name, WRN-28-k, with the width where that is no multiple of 16.
func (m Wide) size() string {
	if m.Width%wideStem != 0 {
		return fmt.Sprintf("WRN-28, w%d", m.Width)
	}
	return fmt.Sprintf("WRN-28-%d", m.Width/wideStem)
}

// Skips says which of the pair m is.
func (m Wide) Skips() string { return skips(m.Res) }

// Layers are the blocks, and the convolutions of stem, blocks and projections.
func (m Wide) Layers() Layers {
	l := Layers{Blocks: 3 * wideBlocks, Convs: 1 + 6*wideBlocks}
	if m.Res {
		l.Convs += 2
		if m.Width != wideStem {
			l.Convs++
		}
	}
	return l
}

// Name is the variant's name in records and figures: wrn28-10, wrn28-w40, wrn28-10-plain.
func (m Wide) Name() string {
	name := fmt.Sprintf("wrn28-%d", m.Width/wideStem)
	if m.Width%wideStem != 0 {
		name = fmt.Sprintf("wrn28-w%d", m.Width)
	}
	if !m.Res {
		name += "-plain"
	}
	return name
}

// Input is the image.
func (m Wide) Input(h, w, c int) []int { return []int{h, w, c} }

// Logits maps x [rows, H, W, C] to [rows, classes].
func (m Wide) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	_, logits := m.Head(g, m.Features(g, x), classes)
	return logits
}

// Features maps x [rows, H, W, C] to [rows, H/4, W/4, 4·Width].
func (m Wide) Features(g *nn.Graph, x *G.Node) *G.Node {
	h := nn.Conv2D(g, "conv1", m.standardize(g, x), wideStem, 3, 1)
	for stage := range 3 {
		for i := range wideBlocks {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			if h == nil {
				return nil
			}
			h = m.block(g, fmt.Sprintf("layer%d.%d", stage+1, i), h, m.Width<<stage, stride)
		}
	}
	return nn.BatchNormReLU(g, "bn1", h, nil)
}

// Head is the average over the pixels [rows, 4·Width] and a linear layer of it.
func (m Wide) Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node) {
	pooled = nn.GlobalAvgPool(g, "avgpool", features)
	return pooled, nn.Linear(g, "fc", pooled, classes)
}

// block is conv(relu(bn(conv(relu(bn(x)))))) + shortcut.
func (m Wide) block(g *nn.Graph, name string, x *G.Node, filters, stride int) *G.Node {
	first := nn.BatchNormReLU(g, name+".bn1", x, nil)
	y := nn.Conv2D(g, name+".conv1", first, filters, 3, stride)
	y = nn.BatchNormReLU(g, name+".bn2", y, nil)
	y = nn.Conv2D(g, name+".conv2", y, filters, 3, 1)
	switch {
	case !m.Res:
		return y
	case stride == 1 && x.Shape()[3] == filters:
		return nn.Add(g, name, x, y)
	}
	return nn.Add(g, name, nn.Conv2D(g, name+".downsample.0", first, filters, 1, stride), y)
}
