package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// AutoEncoder reconstructs images from what a classifier's feature extractor makes of them, with a decoder
// of three 3x3 convolutions: to 64 filters with ReLU, to 32 with ReLU, and to the image's channels. Before
// the first ones the image is doubled in size, once each, until it has its own (resize, then convolve: Odena
// et al. 2016, https://distill.pub/2016/deconv-checkerboard).
//
// The weights start small, as PyTorch's do: features are larger than pixel values, and from He et al.'s
// initial weights the decoder is still behind after some hundred steps that bring it down to them.
//
// The output is linear: a sigmoid would reach black and white, which photographs are full of, only with
// infinite inputs and with vanishing gradients on the way. What lies outside [0, 1] is cut where it is shown.
type AutoEncoder struct {
	Encoder Model
}

const decoderLayers = 3

// decoderFilters are those of the layers but the last.
var decoderFilters = [decoderLayers - 1]int{64, 32}

// Name is the variant's name in records and figures: ae-resnet20.
func (m AutoEncoder) Name() string { return "ae-" + m.Encoder.Name() }

// Reconstruct maps x [rows, H, W, C], pixels in [0,1], to its reconstruction, of the same shape. The
// encoder's layers are in whatever mode g is. A network whose features are no images, smaller than x by a
// power of two, is an error, which sticks to g.
func (m AutoEncoder) Reconstruct(g *nn.Graph, x *G.Node) *G.Node {
	h := m.Encoder.Features(g, x)
	if g.Err() != nil {
		return nil
	}
	want, have := x.Shape(), h.Shape()
	if len(have) != 4 {
		return g.Fail("decoder",
			fmt.Errorf("%s makes vectors of images: a decoder needs the features of a convolutional network", m.Encoder.Name()))
	}
	doublings := 0
	for have[1]<<doublings < want[1] {
		doublings++
	}
	if have[1]<<doublings != want[1] || have[2]<<doublings != want[2] || doublings > decoderLayers {
		return g.Fail("decoder", fmt.Errorf("features of %dx%d pixels do not become images of %dx%d by at most %d doublings",
			have[1], have[2], want[1], want[2], decoderLayers))
	}
	for i := range decoderLayers {
		name := fmt.Sprintf("decoder.conv%d", i+1)
		if i < doublings {
			h = nn.Upsample(g, name+".upsample", h)
		}
		if i < len(decoderFilters) {
			h = nn.Conv2DFanIn(g, name, h, decoderFilters[i], 3, 1, true)
		} else {
			h = nn.Conv2DFanIn(g, name, h, want[3], 3, 1, false)
		}
	}
	return h
}
