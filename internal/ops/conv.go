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
	o := &conv2d{stride: stride}
	if b == nil {
		o.base = newBase("conv2d", o, 4, 4, 4)
		return G.ApplyOp(o, x, w)
	}
	o.base = newBase("conv2d", o, 4, 4, 1, 4)
	return G.ApplyOp(o, x, w, b)
}

type conv2d struct {
	base
	stride int
	conv   kernel.Conv
}

// convOf is the kernel's description of x [N, H, W, in] convolved with w [k, k, in, out].
func convOf(x, w []int, stride int) kernel.Conv {
	return kernel.Conv{N: x[0], H: x[1], W: x[2], IC: x[3], OC: w[3], K: w[0], Stride: stride}
}

func (o *conv2d) shape(in []tensor.Shape) (tensor.Shape, error) {
	x, w := in[0], in[1]
	if x.Dims() != 4 || w.Dims() != 4 {
		return nil, fmt.Errorf("x must be [N, H, W, in] and w [k, k, in, out]")
	}
	if w[0] != w[1] || w[0]%2 == 0 || o.stride < 1 {
		return nil, fmt.Errorf("w [k, k, in, out] must have an odd k, and stride %d be at least 1", o.stride)
	}
	if x[3] != w[2] || len(in) == 3 && in[2].TotalSize() != w[3] {
		return nil, fmt.Errorf("x [N, H, W, in], w [k, k, in, out] and b [out] must agree in in and out")
	}
	c := convOf(x, w, o.stride)
	return tensor.Shape{x[0], c.OutH(), c.OutW(), w[3]}, nil
}

// GivesSums says that Run fills its output's channel sums where asked.
func (o *conv2d) GivesSums() {}

// MACs is the number of multiply-adds for the given input shapes.
func (o *conv2d) MACs(in [][]int) int { return convMACs(in[0], in[1], o.stride) }

func convMACs(x, w []int, stride int) int {
	c := convOf(x, w, stride)
	return c.N * c.OutH() * c.OutW() * c.K * c.K * c.IC * c.OC
}

// Run computes y [N, H', W', out] from x, w and b.
func (o *conv2d) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, w := in[0], in[1]
	o.setSize(x.Shape, w.Shape)
	c := &o.conv
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

func (o *conv2d) setSize(x, w []int) {
	c := &o.conv
	c.N, c.H, c.W, c.IC, c.OC, c.K, c.Stride = x[0], x[1], x[2], x[3], w[3], w[0], o.stride
}

// DiffWRT says that all inputs have gradients.
func (o *conv2d) DiffWRT(n int) []bool { return []bool{true, true, true}[:n] }

// SymDiff gives dx = dy * turned w, dw = Σ x·dy over the pixels, db = the channel sums of dy.
func (o *conv2d) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	x, w := in[0], in[1]
	dx := &convDX{height: x.Shape()[1], width: x.Shape()[2], stride: o.stride}
	dx.base = newBase("conv2d-dx", dx, 4, 4, 4)
	dw := &convDW{k: w.Shape()[0], stride: o.stride}
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

// convDX is dx [N, H, W, in] from dy [N, H', W', out] and w [k, k, in, out].
type convDX struct {
	base
	height, width, stride int
	conv                  kernel.Conv
}

func (o *convDX) shape(in []tensor.Shape) (tensor.Shape, error) {
	dy, w := in[0], in[1]
	if dy.Dims() != 4 || w.Dims() != 4 || dy[3] != w[3] {
		return nil, fmt.Errorf("dy [N, H', W', out] and w [k, k, in, out] must agree in out")
	}
	x := tensor.Shape{dy[0], o.height, o.width, w[2]}
	if c := convOf(x, w, o.stride); c.OutH() != dy[1] || c.OutW() != dy[2] {
		return nil, fmt.Errorf("dy is not the size of the output for an input of %dx%d at stride %d", o.height, o.width,
			o.stride)
	}
	return x, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *convDX) MACs(in [][]int) int {
	dy, w := in[0], in[1]
	return dy[0] * dy[1] * dy[2] * w[0] * w[1] * w[2] * w[3]
}

// Run computes dx [N, H, W, in].
func (o *convDX) Run(out *engine.Tensor, in []*engine.Tensor) error { return o.run(out, in, false) }

// RunAdd adds dx [N, H, W, in] to what out holds.
func (o *convDX) RunAdd(out *engine.Tensor, in []*engine.Tensor) error { return o.run(out, in, true) }

func (o *convDX) run(out *engine.Tensor, in []*engine.Tensor, add bool) error {
	dy, w := in[0], in[1]
	c := &o.conv
	c.N, c.H, c.W, c.IC, c.OC, c.K, c.Stride = dy.Shape[0], o.height, o.width, w.Shape[2], w.Shape[3], w.Shape[0], o.stride
	if err := out.Resize(c.N, c.H, c.W, c.IC); err != nil {
		return err
	}
	c.BackwardData(out.F32, dy.F32, w.F32, add)
	return nil
}

// convDW is dw [k, k, in, out] from dy [N, H', W', out] and x [N, H, W, in].
type convDW struct {
	base
	k, stride int
	conv      kernel.Conv
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
	c.N, c.H, c.W, c.IC, c.OC, c.K, c.Stride = x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], dy.Shape[3], o.k, o.stride
	if err := out.Resize(c.K, c.K, c.IC, c.OC); err != nil {
		return err
	}
	c.BackwardWeight(out.F32, dy.F32, x.F32)
	return nil
}
