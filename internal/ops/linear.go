package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Linear is y = x·wᵀ + b, optionally followed by ReLU in the same pass: x [rows, in], w [out, in],
// b [out] or nil, y [rows, out]; the layout of torch.nn.Linear.
func Linear(x, w, b *G.Node, relu bool) (*G.Node, error) {
	o := &linear{relu: relu}
	name := "linear"
	if relu {
		name = "linear+relu"
	}
	if b == nil {
		o.base = newBase(name, o, 2, 2, 2)
		return G.ApplyOp(o, x, w)
	}
	o.base = newBase(name, o, 2, 2, 1, 2)
	return G.ApplyOp(o, x, w, b)
}

type linear struct {
	base
	relu, gelu bool
	gemm       kernel.Gemm
}

// Absorb takes a GELU in: where the engine finds that nothing else needs what comes before it.
func (o *linear) Absorb(next engine.Op) (engine.Op, bool) {
	if a, ok := next.(*activation); !ok || a.act != ActGELU || o.relu || o.gelu || o.Arity() != 3 {
		return nil, false
	}
	both := &linear{gelu: true}
	both.base = newBase("linear+gelu", both, 2, 2, 1, 2)
	return both, true
}

func (o *linear) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 2); err != nil {
		return nil, err
	}
	x, w := in[0], in[1]
	if x[1] != w[1] || len(in) == 3 && in[2].TotalSize() != w[0] {
		return nil, fmt.Errorf("x [rows, in], w [out, in], b [out] must agree in both in and out")
	}
	return tensor.Shape{x[0], w[0]}, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *linear) MACs(in [][]int) int { return in[0][0] * in[1][0] * in[1][1] }

// Run computes y [rows, out] from x [rows, in], w [out, in] and b [out].
func (o *linear) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, w := in[0], in[1]
	if err := out.Resize(x.Rows(), w.Shape[0]); err != nil {
		return err
	}
	g := &o.gemm
	g.M, g.N, g.K = x.Rows(), w.Shape[0], w.Shape[1]
	g.A, g.LDA = x.F32, g.K
	g.B, g.LDB, g.TransB = w.F32, g.K, true
	g.C, g.LDC, g.Bias, g.ReLU, g.GELU = out.F32, g.N, residual(in, 2), o.relu, o.gelu
	g.Do()
	return nil
}

// DiffWRT says that all inputs have gradients.
func (o *linear) DiffWRT(n int) []bool { return []bool{true, true, true}[:n] }

// SymDiff gives, for dz = dy masked by y > 0 where ReLU was fused:
// dx = dz·w, dw = dzᵀ·x, db = column sums of dz.
func (o *linear) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	x, w := in[0], in[1]
	dz := dy
	if o.relu {
		var err error
		if dz, err = reluGrad(dy, y); err != nil {
			return nil, err
		}
	}
	dx, err := apply(newLinearDX(), dz, w)
	if err != nil {
		return nil, err
	}
	dw, err := apply(newLinearDW(), dz, x)
	if err != nil {
		return nil, err
	}
	if len(in) == 2 {
		return G.Nodes{dx, dw}, nil
	}
	db, err := apply(newColSum(2), dz)
	return G.Nodes{dx, dw, db}, err
}

func apply(o op, in ...*G.Node) (*G.Node, error) { return G.ApplyOp(o, in...) }

// linearDX is dx [rows, in] = dz [rows, out] · w [out, in].
type linearDX struct {
	base
	gemm kernel.Gemm
}

func newLinearDX() *linearDX {
	o := &linearDX{}
	o.base = newBase("linear-dx", o, 2, 2, 2)
	return o
}

func (o *linearDX) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 2); err != nil {
		return nil, err
	}
	if in[0][1] != in[1][0] {
		return nil, fmt.Errorf("dz [rows, out] and w [out, in] must agree in out")
	}
	return tensor.Shape{in[0][0], in[1][1]}, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *linearDX) MACs(in [][]int) int { return in[0][0] * in[1][0] * in[1][1] }

// Run computes dx [rows, in].
func (o *linearDX) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := o.setUp(out, in, false); err != nil {
		return err
	}
	o.gemm.Do()
	return nil
}

// RunAdd adds dx to what out holds: the gradients by the other layers that read x.
func (o *linearDX) RunAdd(out *engine.Tensor, in []*engine.Tensor) error {
	if err := o.setUp(out, in, true); err != nil {
		return err
	}
	o.gemm.Do()
	return nil
}

// Part is Run as a part.
func (o *linearDX) Part(out *engine.Tensor, in []*engine.Tensor) (kernel.Part, bool, error) {
	return partOf(&o.gemm, o.setUp(out, in, false))
}

// PartAdd is RunAdd as a part.
func (o *linearDX) PartAdd(out *engine.Tensor, in []*engine.Tensor) (kernel.Part, bool, error) {
	return partOf(&o.gemm, o.setUp(out, in, true))
}

// partOf is the part of a kernel that was set up, if err is nil.
func partOf(k interface{ Part() (kernel.Part, bool) }, err error) (kernel.Part, bool, error) {
	if err != nil {
		return kernel.Part{}, false, err
	}
	part, ok := k.Part()
	return part, ok, nil
}

func (o *linearDX) setUp(out *engine.Tensor, in []*engine.Tensor, accumulate bool) error {
	dz, w := in[0], in[1]
	if err := out.Resize(dz.Rows(), w.Shape[1]); err != nil {
		return err
	}
	g := &o.gemm
	g.Accumulate = accumulate
	g.M, g.N, g.K = dz.Rows(), w.Shape[1], w.Shape[0]
	g.A, g.LDA = dz.F32, g.K
	g.B, g.LDB = w.F32, g.N
	g.C, g.LDC = out.F32, g.N
	return nil
}

// linearDW is dw [out, in] = dz [rows, out]ᵀ · x [rows, in].
type linearDW struct {
	base
	gemm kernel.Gemm
}

func newLinearDW() *linearDW {
	o := &linearDW{}
	o.base = newBase("linear-dw", o, 2, 2, 2)
	return o
}

func (o *linearDW) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 2); err != nil {
		return nil, err
	}
	if in[0][0] != in[1][0] {
		return nil, fmt.Errorf("dz [rows, out] and x [rows, in] must agree in rows")
	}
	return tensor.Shape{in[0][1], in[1][1]}, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *linearDW) MACs(in [][]int) int { return in[0][0] * in[0][1] * in[1][1] }

// Run computes dw [out, in].
func (o *linearDW) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := o.setUp(out, in); err != nil {
		return err
	}
	o.gemm.Do()
	return nil
}

// Part is Run as a part.
func (o *linearDW) Part(out *engine.Tensor, in []*engine.Tensor) (kernel.Part, bool, error) {
	return partOf(&o.gemm, o.setUp(out, in))
}

func (o *linearDW) setUp(out *engine.Tensor, in []*engine.Tensor) error {
	dz, x := in[0], in[1]
	if err := out.Resize(dz.Shape[1], x.Shape[1]); err != nil {
		return err
	}
	g := &o.gemm
	g.M, g.N, g.K = dz.Shape[1], x.Shape[1], x.Rows()
	g.A, g.LDA, g.TransA = dz.F32, g.M, true
	g.B, g.LDB = x.F32, g.N
	g.C, g.LDC = out.F32, g.N
	return nil
}

// colSum is db [out] = sum over all else of dz [rows, …, out].
type colSum struct {
	base
	sum kernel.ColumnSum
}

func newColSum(dims int) *colSum {
	o := &colSum{}
	o.base = newBase("column-sum", o, dims, 1)
	return o
}

func (o *colSum) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][in[0].Dims()-1]}, nil
}

// Run computes db [out].
func (o *colSum) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := o.setUp(out, in); err != nil {
		return err
	}
	o.sum.Do()
	return nil
}

// Part is Run as a part.
func (o *colSum) Part(out *engine.Tensor, in []*engine.Tensor) (kernel.Part, bool, error) {
	return partOf(&o.sum, o.setUp(out, in))
}

func (o *colSum) setUp(out *engine.Tensor, in []*engine.Tensor) error {
	n, pixels, c := normSize(in[0].Shape)
	if err := out.Resize(c); err != nil {
		return err
	}
	o.sum.Dst, o.sum.X, o.sum.Rows, o.sum.Cols = out.F32, in[0].F32, n*pixels, c
	return nil
}

// reluGrad is dz = dy where y > 0, else 0, for y = relu(z); all of one shape.
func reluGrad(dy, y *G.Node) (*G.Node, error) {
	d := y.Dims()
	o := &reluGradOp{}
	o.base = newBase("relu-grad", o, d, d, d)
	return G.ApplyOp(o, dy, y)
}

type reluGradOp struct {
	base
	norm kernel.Norm // for change
}

// InPlace lets dz be written over dy.
func (o *reluGradOp) InPlace() int { return 0 }

func (o *reluGradOp) shape(in []tensor.Shape) (tensor.Shape, error) { return sameShape(in) }

// Run computes dz from dy and y.
func (o *reluGradOp) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	kernel.ReLUGrad(out.F32, in[0].F32, in[1].F32)
	return nil
}

// change is Run in place, image by image, from y.
func (o *reluGradOp) change(in []*engine.Tensor) kernel.Pass {
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(in[0].Shape)
	return o.norm.MaskPass(in[0].F32)
}

// finish has nothing to do.
func (o *reluGradOp) finish() {}
