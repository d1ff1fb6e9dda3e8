package nn

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/ops"
)

// Conv2D is a convolution of x [N, H, W, in] with a k x k window to [N, ceil(H/stride),
// ceil(W/stride), out], padded by k/2, without a bias: parameter name.weight [k, k, in, out] (PyTorch's
// [out, in, k, k] transposed), initialised by He et al. 2015 (https://arxiv.org/abs/1502.01852): normal,
// variance 2 / (k²·in).
func Conv2D(g *Graph, name string, x *G.Node, out, k, stride int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		return ops.Conv2D(x, g.filters(name, HeNormal(k*k*in), k, in, out), nil, stride)
	})
}

// filters are a convolution's weights name.weight [k, k, in, out].
func (g *Graph) filters(name string, init Init, k, in, out int) *G.Node {
	if g.params.Dirac && k > 1 && k%2 == 1 {
		init = Dirac(k, in, out, init)
	}
	return g.Param(name+".weight", init, k, k, in, out)
}

// Conv2DValid is a convolution of x [N, H, W, in] without padding, with a bias: [N, H-k+1, W-k+1, out], parameters
// name.weight [k, k, in, out] and name.bias [out], which starts at 0. Weights are initialised as torch.nn.Conv2d does.
func Conv2DValid(g *Graph, name string, x *G.Node, out, k int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		w, b := g.Param(name+".weight", FanIn(k*k*in), k, k, in, out), g.Param(name+".bias", Constant(0), out)
		return ops.Conv2DValid(x, w, b)
	})
}

// Conv2DAnyShape is a 3x3 convolution without a bias of x [N, H, W, in] to [N, H, W, out], padded by 1, which is fast
// for images of any size (ops.Conv2DAnyShape): parameter name.weight [3, 3, in, out], initialised as torch.nn.Conv2d
// does.
func Conv2DAnyShape(g *Graph, name string, x *G.Node, out int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		return ops.Conv2DAnyShape(x, g.filters(name, FanIn(9*in), 3, in, out), nil)
	})
}

// Conv2DCropped is the first height rows and width columns of Conv2DAnyShape.
func Conv2DCropped(g *Graph, name string, x *G.Node, out, height, width int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		return ops.Conv2DCropped(x, g.filters(name, FanIn(9*in), 3, in, out), height, width)
	})
}

// Conv2DBias is Conv2D with a bias, name.bias [out], which starts at 0.
func Conv2DBias(g *Graph, name string, x *G.Node, out, k, stride int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		w, b := g.filters(name, HeNormal(k*k*in), k, in, out), g.Param(name+".bias", Constant(0), out)
		return ops.Conv2D(x, w, b, stride)
	})
}

// Conv2DFanIn is Conv2D with a bias, name.bias [out], and ReLU where wanted, initialised as torch.nn.Conv2d
// does: weights of a sixth of Conv2D's variance.
func Conv2DFanIn(g *Graph, name string, x *G.Node, out, k, stride int, relu bool) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		w, b := g.Param(name+".weight", FanIn(k*k*in), k, k, in, out), g.Param(name+".bias", FanIn(k*k*in), out)
		if !relu {
			return ops.Conv2D(x, w, b, stride)
		}
		y, err := ops.Conv2D(x, w, nil, stride)
		if err != nil {
			return nil, err
		}
		return ops.BiasReLU(y, b)
	})
}

// MaxPool is the largest of each window x window pixels: x [N, H, W, C] to [N, H/window, W/window, C].
func MaxPool(g *Graph, name string, x *G.Node, window int) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.MaxPool(x, window) })
}

// Upsample gives each pixel of x [N, H, W, C] four times: [N, 2H, 2W, C], nearest neighbour.
func Upsample(g *Graph, name string, x *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.Upsample(x) })
}

// GlobalAvgPool is the mean over the pixels: x [N, H, W, C] to [N, C].
func GlobalAvgPool(g *Graph, name string, x *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.GlobalAvgPool(x) })
}

// Standardize is (x - mean) / std by channel, by constants of the data set; x [N, …, C].
func Standardize(g *Graph, name string, x *G.Node, mean, std []float64) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.Standardize(x, mean, std) })
}

// PadShortcut is the parameter-free shortcut of He et al. 2016 (option A): every stride-th pixel of x
// [N, H, W, C], with zeros up to out channels: all behind or, with both, as many before as behind.
func PadShortcut(g *Graph, name string, x *G.Node, stride, out int, both bool) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		front := 0
		if both {
			front = (out - x.Shape()[3]) / 2
		}
		return ops.PadShortcut(x, stride, out, front)
	})
}

// OutputsFirst returns the weights of a convolution [k, k, in, out] as other programs have them, [out, in, k, k].
func OutputsFirst(shape []int, w []float32) ([]int, []float32) {
	h, width, in, out := shape[0], shape[1], shape[2], shape[3]
	all := make([]float32, len(w))
	for tap := range h * width {
		for i := range in {
			for o, v := range w[(tap*in+i)*out:][:out] {
				all[(o*in+i)*h*width+tap] = v
			}
		}
	}
	return []int{out, in, h, width}, all
}
