package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

func images(in []tensor.Shape) error {
	if in[0].Dims() != 4 {
		return fmt.Errorf("x must be [N, H, W, C]")
	}
	return nil
}

// GlobalAvgPool returns y [N, C] = the mean of the channels of each image, for x [N, H, W, C].
func GlobalAvgPool(x *G.Node) (*G.Node, error) {
	o := &globalAvgPool{}
	o.base = newBase("global-avg-pool", o, 4, 2)
	return G.ApplyOp(o, x)
}

type globalAvgPool struct {
	base
	pool kernel.AvgPool
}

func (o *globalAvgPool) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := images(in); err != nil {
		return nil, err
	}
	return tensor.Shape{in[0][0], in[0][3]}, nil
}

// Run computes y [N, C].
func (o *globalAvgPool) Run(out *engine.Tensor, in []*engine.Tensor) error {
	n, pixels, c := normSize(in[0].Shape)
	if err := out.Resize(n, c); err != nil {
		return err
	}
	o.pool.N, o.pool.Pixels, o.pool.C = n, pixels, c
	o.pool.Forward(out.F32, in[0].F32)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *globalAvgPool) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives each pixel of dx the channel's dy / (H·W).
func (o *globalAvgPool) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	g := &globalAvgPoolGrad{height: in[0].Shape()[1], width: in[0].Shape()[2]}
	g.base = newBase("global-avg-pool-dx", g, 2, 4)
	dx, err := apply(g, dy)
	return G.Nodes{dx}, err
}

type globalAvgPoolGrad struct {
	base
	height, width int
	pool          kernel.AvgPool
}

func (o *globalAvgPoolGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 1); err != nil {
		return nil, err
	}
	return tensor.Shape{in[0][0], o.height, o.width, in[0][1]}, nil
}

// Run computes dx [N, H, W, C] from dy [N, C].
func (o *globalAvgPoolGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy := in[0]
	if err := out.Resize(dy.Shape[0], o.height, o.width, dy.Shape[1]); err != nil {
		return err
	}
	o.pool.N, o.pool.Pixels, o.pool.C = dy.Shape[0], o.height*o.width, dy.Shape[1]
	o.pool.Backward(out.F32, dy.F32)
	return nil
}

// MaxPool returns y [N, H/window, W/window, C] = the largest of each window x window pixels of x [N, H, W, C], for a
// window of 1 to 16; rows and columns that fill no window are dropped, as torch.nn.MaxPool2d(window) does.
func MaxPool(x *G.Node, window int) (*G.Node, error) {
	o := &maxPool{}
	o.pool.Window = window
	o.base = newBase("max-pool", o, 4, 4)
	return G.ApplyOp(o, x)
}

type maxPool struct {
	base
	pool  kernel.MaxPool
	index []byte // what Run leaves for the gradient: where in its window each output stands
}

func (o *maxPool) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := images(in); err != nil {
		return nil, err
	}
	x, window := in[0], o.pool.Window
	if window < 1 || window > 16 {
		return nil, fmt.Errorf("a window of %d is not between 1 and 16", window)
	}
	if x[1] < window || x[2] < window {
		return nil, fmt.Errorf("x [N, H, W, C] must have at least %dx%d pixels", window, window)
	}
	o.setSize(x)
	return tensor.Shape{x[0], x[1] / window, x[2] / window, x[3]}, nil
}

func (o *maxPool) setSize(x []int) { o.pool.N, o.pool.H, o.pool.W, o.pool.C = x[0], x[1], x[2], x[3] }

// GivesSums says that Run fills its output's channel sums where asked.
func (o *maxPool) GivesSums() {}

// Run computes y.
func (o *maxPool) Run(out *engine.Tensor, in []*engine.Tensor) error {
	p := &o.pool
	o.setSize(in[0].Shape)
	if err := o.grow(out); err != nil {
		return err
	}
	p.Forward(out.F32, o.index, in[0].F32, out.SumsFor(p.N, p.C))
	return nil
}

// grow makes room for the output, and for the index of as many elements.
func (o *maxPool) grow(out *engine.Tensor) error {
	p := &o.pool
	if len(o.index) < p.Size() {
		o.index = make([]byte, p.Size())
	}
	return out.Resize(p.N, p.H/p.Window, p.W/p.Window, p.C)
}

// DiffWRT says that x has a gradient.
func (o *maxPool) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives dy to the first largest pixel of each window. Where that is, Run has noted, so that x is needed no
// more.
func (o *maxPool) SymDiff(_ G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	g := &maxPoolGrad{of: o}
	g.base = newBase("max-pool-dx", g, 4, 4, 4)
	dx, err := apply(g, dy, y)
	return G.Nodes{dx}, err
}

// maxPoolGrad is dx from dy; it takes y so as to run after maxPool.
type maxPoolGrad struct {
	base
	of *maxPool
}

func (o *maxPoolGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	if !in[0].Eq(in[1]) {
		return nil, fmt.Errorf("dy and y must have one shape")
	}
	p := &o.of.pool
	return tensor.Shape{p.N, p.H, p.W, p.C}, nil
}

// Run computes dx [N, H, W, C].
func (o *maxPoolGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	p := &o.of.pool
	if err := out.Resize(p.N, p.H, p.W, p.C); err != nil {
		return err
	}
	p.Backward(out.F32, in[0].F32, o.of.index)
	return nil
}

// Upsample returns y [N, 2H, 2W, C] with each pixel of x [N, H, W, C] four times: nearest neighbour.
func Upsample(x *G.Node) (*G.Node, error) {
	o := &upsample{}
	o.base = newBase("upsample", o, 4, 4)
	return G.ApplyOp(o, x)
}

type upsample struct {
	base
	pool kernel.Pool2
}

func (o *upsample) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := images(in); err != nil {
		return nil, err
	}
	x := in[0]
	return tensor.Shape{x[0], 2 * x[1], 2 * x[2], x[3]}, nil
}

// Run computes y.
func (o *upsample) Run(out *engine.Tensor, in []*engine.Tensor) error {
	s := in[0].Shape
	if err := out.Resize(s[0], 2*s[1], 2*s[2], s[3]); err != nil {
		return err
	}
	o.pool.N, o.pool.H, o.pool.W, o.pool.C = s[0], 2*s[1], 2*s[2], s[3]
	o.pool.Spread(out.F32, in[0].F32)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *upsample) DiffWRT(int) []bool { return []bool{true} }

// SymDiff gives each pixel of dx the sum of its four of dy.
func (o *upsample) SymDiff(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	g := &upsampleGrad{}
	g.base = newBase("upsample-dx", g, 4, 4)
	dx, err := apply(g, dy)
	return G.Nodes{dx}, err
}

type upsampleGrad struct {
	base
	pool kernel.Pool2
}

func (o *upsampleGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	x := in[0]
	return tensor.Shape{x[0], x[1] / 2, x[2] / 2, x[3]}, nil
}

// Run computes dx [N, H, W, C] from dy [N, 2H, 2W, C].
func (o *upsampleGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	s := in[0].Shape
	if err := out.Resize(s[0], s[1]/2, s[2]/2, s[3]); err != nil {
		return err
	}
	o.pool.N, o.pool.H, o.pool.W, o.pool.C = s[0], s[1], s[2], s[3]
	o.pool.Sum(out.F32, in[0].F32)
	return nil
}

// PadShortcut is option A of He et al. 2016 where a block changes shape: every stride-th pixel of x
// [N, H, W, C], between front channels of zeros and as many as there are up to out;
// y [N, ceil(H/stride), ceil(W/stride), out].
func PadShortcut(x *G.Node, stride, out, front int) (*G.Node, error) {
	o := &padShortcut{stride: stride, out: out, front: front}
	o.base = newBase("pad-shortcut", o, 4, 4)
	return G.ApplyOp(o, x)
}

type padShortcut struct {
	base
	stride, out, front int
	pick               kernel.Subsample
}

func (o *padShortcut) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := images(in); err != nil {
		return nil, err
	}
	x := in[0]
	if o.stride < 1 || o.front < 0 || o.out-o.front < x[3] {
		return nil, fmt.Errorf("stride %d must be at least 1, and %d output channels, of which the first %d are zeros, no "+
			"fewer than x has", o.stride, o.out, o.front)
	}
	return tensor.Shape{x[0], (x[1]-1)/o.stride + 1, (x[2]-1)/o.stride + 1, o.out}, nil
}

// Run computes y.
func (o *padShortcut) Run(out *engine.Tensor, in []*engine.Tensor) error {
	s := in[0].Shape
	if err := out.Resize(s[0], (s[1]-1)/o.stride+1, (s[2]-1)/o.stride+1, o.out); err != nil {
		return err
	}
	o.pick = kernel.Subsample{N: s[0], H: s[1], W: s[2], C: s[3], OC: o.out, Stride: o.stride,
		Front: o.front}
	o.pick.Forward(out.F32, in[0].F32)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *padShortcut) DiffWRT(int) []bool { return []bool{true} }

// SymDiff puts dy's channels that are no zeros back where they came from, and zeros elsewhere.
func (o *padShortcut) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	s := in[0].Shape()
	g := &padShortcutGrad{stride: o.stride, height: s[1], width: s[2], channels: s[3], front: o.front}
	g.base = newBase("pad-shortcut-dx", g, 4, 4)
	dx, err := apply(g, dy)
	return G.Nodes{dx}, err
}

type padShortcutGrad struct {
	base
	stride, height, width, channels, front int
	pick                                   kernel.Subsample
}

func (o *padShortcutGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][0], o.height, o.width, o.channels}, nil
}

// Run computes dx [N, H, W, C] from dy.
func (o *padShortcutGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	s := in[0].Shape
	if err := out.Resize(s[0], o.height, o.width, o.channels); err != nil {
		return err
	}
	o.pick = kernel.Subsample{N: s[0], H: o.height, W: o.width, C: o.channels, OC: s[3], Stride: o.stride,
		Front: o.front}
	o.pick.Backward(out.F32, in[0].F32)
	return nil
}
