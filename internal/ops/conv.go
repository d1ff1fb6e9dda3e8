package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Conv2D is y = x * w (+ b): x [N, H, W, in], w [k, k, in, out] with k odd, b [out] or nil, y
// [N, H', W', out] with H' = ceil(H/stride). The padding is k/2 zeros on every side: at stride 1 the
// image keeps its size. As torch.nn.functional.conv2d(x, w, b, stride, padding=k//2) of the
// transposed tensors.
func Conv2D(x, w, b *G.Node, stride int) (*G.Node, error) {
	return convolve("conv2d", convForm{stride: stride}, x, w, b)
}

// Conv2DValid is y = x * w (+ b) without padding, at stride 1: x [N, H, W, in], w [k, k, in, out] with any k up to H
// and W, b [out] or nil, y [N, H-k+1, W-k+1, out]. As torch.nn.functional.conv2d(x, w, b) of the transposed tensors.
func Conv2DValid(x, w, b *G.Node) (*G.Node, error) {
	return convolve("conv2d-valid", convForm{stride: 1, valid: true}, x, w, b)
}

// Conv2DAnyShape is Conv2D with a 3x3 window at stride 1, which Winograd's algorithm computes for images of all sizes,
// with any numbers of channels from 8 on, and with a bias b [out] or without, nil. Conv2D leaves to the direct
// algorithm what it always did, since the two differ in the last bits: networks trained before keep theirs.
func Conv2DAnyShape(x, w, b *G.Node) (*G.Node, error) {
	return convolve("conv2d-any-shape", convForm{stride: 1, anyShape: true}, x, w, b)
}

// Conv2DCropped is the first height rows and width columns of Conv2DAnyShape(x, w, nil): x [N, H, W, in],
// w [3, 3, in, out], y [N, height, width, out]. The rest is not computed, for layers whose last row and column a
// pooling throws away.
func Conv2DCropped(x, w *G.Node, height, width int) (*G.Node, error) {
	return convolve("conv2d-cropped", convForm{stride: 1, anyShape: true, cropped: true, cropH: height, cropW: width}, x,
		w,
		nil)
}

func convolve(name string, f convForm, x, w, b *G.Node) (*G.Node, error) {
	o := &conv2d{convForm: f}
	if b == nil {
		o.base = newBase(name, o, 4, 4, 4)
		return G.ApplyOp(o, x, w)
	}
	o.base = newBase(name, o, 4, 4, 1, 4)
	return G.ApplyOp(o, x, w, b)
}

// convForm is what the shapes of a convolution's tensors do not say.
type convForm struct {
	stride       int
	valid        bool // no padding
	anyShape     bool // by Winograd's algorithm where it can
	cropped      bool // to the output's size
	cropH, cropW int
}

// describe sets the kernel's description of x [N, H, W, in] convolved with w [k, k, in, out].
func (f convForm) describe(c *kernel.Conv, x, w []int) {
	c.N, c.H, c.W, c.IC, c.OC, c.K = x[0], x[1], x[2], x[3], w[3], w[0]
	c.Stride, c.Valid, c.AnyShape, c.CropH, c.CropW = f.stride, f.valid, f.anyShape, f.cropH, f.cropW
}

// output is the shape of the output [N, H', W', out].
func (f convForm) output(x, w []int) tensor.Shape {
	var c kernel.Conv
	f.describe(&c, x, w)
	return tensor.Shape{x[0], c.OutH(), c.OutW(), w[3]}
}

// macs is the number of multiply-adds for the given shapes of x, w and whatever follows.
func (f convForm) macs(in [][]int) int {
	x, w := in[0], in[1]
	return f.output(x, w).TotalSize() * w[0] * w[1] * w[2]
}

type conv2d struct {
	base
	convForm
	conv kernel.Conv
}

func (o *conv2d) shape(in []tensor.Shape) (tensor.Shape, error) {
	x, w := in[0], in[1]
	if x.Dims() != 4 || w.Dims() != 4 {
		return nil, fmt.Errorf("x must be [N, H, W, in] and w [k, k, in, out]")
	}
	switch {
	case o.anyShape && (w[0] != 3 || w[1] != 3):
		return nil, fmt.Errorf("w must be [3, 3, in, out]")
	case o.cropped && (o.cropH < 1 || o.cropH > x[1] || o.cropW < 1 || o.cropW > x[2]):
		return nil, fmt.Errorf("the output's size %dx%d must be at least 1x1 and at most H and W of x [N, H, W, in]", o.cropH,
			o.cropW)
	case o.valid && (w[0] != w[1] || w[0] < 1 || w[0] > x[1] || w[0] > x[2]):
		return nil, fmt.Errorf("w [k, k, in, out] must have a k of at least 1 and at most H and W of x [N, H, W, in]")
	case !o.valid && (w[0] != w[1] || w[0]%2 == 0 || o.stride < 1):
		return nil, fmt.Errorf("w [k, k, in, out] must have an odd k, and stride %d be at least 1", o.stride)
	}
	if x[3] != w[2] || len(in) == 3 && in[2].TotalSize() != w[3] {
		return nil, fmt.Errorf("x [N, H, W, in], w [k, k, in, out] and b [out] must agree in in and out")
	}
	o.describe(&o.conv, x, w)
	return o.output(x, w), nil
}

// GivesSums says that Run fills its output's channel sums where asked.
func (o *conv2d) GivesSums() {}

// Absorb takes in a max pooling, or a normalisation by given statistics: where the engine finds that nothing else needs
// what comes before it.
func (o *conv2d) Absorb(next engine.Op) (engine.Op, bool) {
	switch next := next.(type) {
	case *maxPool:
		if o.Arity() == 2 && o.conv.Pools() {
			return newConvPool(o.convForm, next), true
		}
	case *fixedNorm:
		return newConvNorm(o, o.convForm, o.Arity() == 3, nil, next), true
	}
	return nil, false
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *conv2d) MACs(in [][]int) int { return o.macs(in) }

// Run computes y [N, H', W', out] from x, w and b.
func (o *conv2d) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, w := in[0], in[1]
	c := &o.conv
	o.describe(c, x.Shape, w.Shape)
	if err := out.Resize(c.N, c.OutH(), c.OutW(), c.OC); err != nil {
		return err
	}
	var b []float32
	if len(in) == 3 {
		b = in[2].F32
	}
	c.Forward(out.F32, x.F32, w.F32, b, out.SumsFor(c.N, c.OC))
	return nil
}

// DiffWRT says that all inputs have gradients.
func (o *conv2d) DiffWRT(n int) []bool { return []bool{true, true, true}[:n] }

// SymDiff gives dx = dy * turned w, dw = Σ x·dy over the pixels, db = the channel sums of dy.
func (o *conv2d) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	x, w := in[0], in[1]
	dx := &convDX{convForm: o.convForm, height: x.Shape()[1], width: x.Shape()[2]}
	dx.base = newBase("conv2d-dx", dx, 4, 4, 4)
	dw := &convDW{convForm: o.convForm, k: w.Shape()[0]}
	dw.base = newBase("conv2d-dw", dw, 4, 4, 4)
	grads := G.Nodes{nil, nil, nil}[:len(in)]
	var err error
	if grads[0], err = apply(dx, dy, w); err != nil {
		return nil, err
	}
	if grads[1], err = apply(dw, dy, x); err != nil {
		return nil, err
	}
	if len(in) == 3 {
		grads[2], err = apply(newColSum(4), dy)
	}
	return grads, err
}

// convDX is dx [N, H, W, in] from dy [N, H', W', out] and w [k, k, in, out]. The engine may give it to do what makes
// dy, by an op whose inputs then stand in place of dy, and what is made of dx alone, by an op whose inputs but its
// first then follow w.
type convDX struct {
	base
	convForm
	height, width int // of dx
	conv          kernel.Conv
	before        gradMaker   // nil: dy is an input
	after         gradChanger // nil: dx is the output
}

// gradMaker is an op that can make the gradient that its output is image by image.
type gradMaker interface {
	op
	// pass makes it from the op's inputs, of which the first has its shape.
	pass(in []*engine.Tensor) kernel.Pass
}

// gradChanger is an op that can change the gradient that is its first input in place, image by image.
type gradChanger interface {
	op
	// change does so with the op's other inputs.
	change(in []*engine.Tensor) kernel.Pass
	// finish is called after the last image.
	finish()
}

func (o *convDX) shape(in []tensor.Shape) (tensor.Shape, error) {
	dy, w := in[0], in[1]
	if dy.Dims() != 4 || w.Dims() != 4 || dy[3] != w[3] {
		return nil, fmt.Errorf("dy [N, H', W', out] and w [k, k, in, out] must agree in out")
	}
	x := tensor.Shape{dy[0], o.height, o.width, w[2]}
	if y := o.output(x, w); y[1] != dy[1] || y[2] != dy[2] {
		return nil, fmt.Errorf("dy is not the size of the output for an input of %dx%d at stride %d", o.height, o.width,
			o.stride)
	}
	return x, nil
}

// Take takes over what makes dy, where the engine finds that nothing else needs it.
func (o *convDX) Take(made engine.Op) (engine.Op, bool) {
	g, ok := made.(gradMaker)
	if !ok || o.before != nil {
		return nil, false
	}
	return o.fused(g.String()+"+"+o.String(), g, o.after, g.Arity()+o.Arity()), true
}

// Absorb takes in the gradient of ReLU, and the first pass backward through a normalisation by the batch's statistics.
func (o *convDX) Absorb(next engine.Op) (engine.Op, bool) {
	g, ok := next.(gradChanger)
	if !ok || o.after != nil {
		return nil, false
	}
	return o.fused(o.String()+"+"+g.String(), o.before, g, o.Arity()+g.Arity()), true
}

// fused is o with what it does beside, and so many inputs and outputs.
func (o *convDX) fused(name string, before gradMaker, after gradChanger, dims int) *convDX {
	f := &convDX{convForm: o.convForm, height: o.height, width: o.width, before: before, after: after}
	f.base = newBase(name, f, make([]int, dims)...)
	return f
}

// inputs is how many inputs there are in place of dy.
func (o *convDX) inputs() int {
	if o.before != nil {
		return o.before.Arity()
	}
	return 1
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *convDX) MACs(in [][]int) int {
	dy, w := in[0], in[o.inputs()]
	return dy[0] * dy[1] * dy[2] * w[0] * w[1] * w[2] * w[3]
}

// Run computes dx [N, H, W, in].
func (o *convDX) Run(out *engine.Tensor, in []*engine.Tensor) error { return o.run(out, in, false) }

// RunAdd adds dx [N, H, W, in] to what out holds.
func (o *convDX) RunAdd(out *engine.Tensor, in []*engine.Tensor) error { return o.run(out, in, true) }

func (o *convDX) run(out *engine.Tensor, in []*engine.Tensor, add bool) error {
	k := o.inputs()
	dy, w := in[0], in[k]
	c := &o.conv
	o.describe(c, []int{dy.Shape[0], o.height, o.width, w.Shape[2]}, w.Shape)
	if err := out.Resize(c.N, c.H, c.W, c.IC); err != nil {
		return err
	}
	if o.before != nil {
		c.Before = o.before.pass(in[:k])
	}
	if o.after != nil {
		c.After = o.after.change(in[k+1:])
		defer o.after.finish()
	}
	c.BackwardData(out.F32, dy.F32, w.F32, add)
	return nil
}

// convDW is dw [k, k, in, out] from dy [N, H', W', out] and x [N, H, W, in].
type convDW struct {
	base
	convForm
	k    int
	conv kernel.Conv
}

func (o *convDW) shape(in []tensor.Shape) (tensor.Shape, error) {
	dy, x := in[0], in[1]
	if dy.Dims() != 4 || x.Dims() != 4 || dy[0] != x[0] {
		return nil, fmt.Errorf("dy [N, H', W', out] and x [N, H, W, in] must agree in N")
	}
	return tensor.Shape{o.k, o.k, x[3], dy[3]}, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *convDW) MACs(in [][]int) int {
	dy, x := in[0], in[1]
	return dy[0] * dy[1] * dy[2] * o.k * o.k * x[3] * dy[3]
}

// Run computes dw [k, k, in, out].
func (o *convDW) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, x := in[0], in[1]
	c := &o.conv
	o.describe(c, x.Shape, []int{o.k, o.k, x.Shape[3], dy.Shape[3]})
	if err := out.Resize(c.K, c.K, c.IC, c.OC); err != nil {
		return err
	}
	c.BackwardWeight(out.F32, dy.F32, x.F32)
	return nil
}
