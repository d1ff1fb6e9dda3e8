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
		return ops.Conv2D(x, g.Param(name+".weight", HeNormal(k*k*in), k, k, in, out), nil, stride)
	})
}

// Conv2DBias is Conv2D with a bias, name.bias [out], which starts at 0.
func Conv2DBias(g *Graph, name string, x *G.Node, out, k, stride int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		in := x.Shape()[3]
		w, b := g.Param(name+".weight", HeNormal(k*k*in), k, k, in, out), g.Param(name+".bias", Constant(0), out)
		return ops.Conv2D(x, w, b, stride)
	})
}

// Conv2DReLU is Conv2D, then plus a bias, name.bias [out], which starts at 0, and ReLU.
func Conv2DReLU(g *Graph, name string, x *G.Node, out, k, stride int) *G.Node {
	y := Conv2D(g, name, x, out, k, stride)
	return g.layer(name, func() (*G.Node, error) { return ops.BiasReLU(y, g.Param(name+".bias", Constant(0), out)) })
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
// [N, H, W, C], followed by zeros up to out channels.
func PadShortcut(g *Graph, name string, x *G.Node, stride, out int) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.PadShortcut(x, stride, out) })
}
