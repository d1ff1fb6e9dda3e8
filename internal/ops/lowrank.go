package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// LowRank is y + scale·(x·aᵀ)·bᵀ: y [rows, out], x [rows, in], a [rank, in], b [out, rank]. It is the adapter
// of Hu et al. 2021 (https://arxiv.org/abs/2106.09685) beside the linear layer that gave y from x. Where b is 0
// it is y to the bit. The scale is applied to the narrow matrices [rows, rank], forward and backward.
func LowRank(y, x, a, b *G.Node, scale float64) (*G.Node, error) {
	down := &lowRankDown{scale: float32(scale)}
	down.base = newBase("lowrank-down", down, 2, 2, 2)
	z, err := G.ApplyOp(down, x, a)
	if err != nil {
		return nil, err
	}
	up := &lowRankUp{}
	up.base = newBase("lowrank-up", up, 2, 2, 2, 2)
	return G.ApplyOp(up, y, z, b)
}

// lowRankDown is z [rows, rank] = scale·x·aᵀ.
type lowRankDown struct {
	base
	scale float32
	gemm  kernel.Gemm
}

func (o *lowRankDown) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 2); err != nil {
		return nil, err
	}
	if in[0][1] != in[1][1] {
		return nil, fmt.Errorf("x [rows, in] and a [rank, in] must agree in in")
	}
	return tensor.Shape{in[0][0], in[1][0]}, nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *lowRankDown) MACs(in [][]int) int { return in[0][0] * in[0][1] * in[1][0] }

// Run computes z.
func (o *lowRankDown) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, a := in[0], in[1]
	if err := out.Resize(x.Rows(), a.Shape[0]); err != nil {
		return err
	}
	g := &o.gemm
	g.M, g.N, g.K = x.Rows(), a.Shape[0], a.Shape[1]
	g.A, g.LDA = x.F32, g.K
	g.B, g.LDB, g.TransB = a.F32, g.K, true
	g.C, g.LDC = out.F32, g.N
	g.Do()
	for i := range out.F32 {
		out.F32[i] *= o.scale
	}
	return nil
}

// DiffWRT says that both inputs have gradients.
func (o *lowRankDown) DiffWRT(int) []bool { return []bool{true, true} }

// SymDiff gives, for d = scale·dz, dx = d·a and da = dᵀ·x.
func (o *lowRankDown) SymDiff(in G.Nodes, _, dz *G.Node) (G.Nodes, error) {
	s := &scaled{by: o.scale}
	s.base = newBase("lowrank-scale", s, 2, 2)
	d, err := apply(s, dz)
	if err != nil {
		return nil, err
	}
	dx, err := apply(newLinearDX(), d, in[1])
	if err != nil {
		return nil, err
	}
	da, err := apply(newLinearDW(), d, in[0])
	return G.Nodes{dx, da}, err
}

// scaled is y = by·x for a narrow matrix x.
type scaled struct {
	base
	by float32
}

func (o *scaled) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// InPlace lets y be written over x.
func (o *scaled) InPlace() int { return 0 }

// Run computes y.
func (o *scaled) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	for i, v := range in[0].F32 {
		out.F32[i] = o.by * v
	}
	return nil
}

// lowRankUp is out = y + z·bᵀ: y [rows, out], z [rows, rank], b [out, rank].
type lowRankUp struct {
	base
	gemm kernel.Gemm
}

func (o *lowRankUp) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 3); err != nil {
		return nil, err
	}
	y, z, b := in[0], in[1], in[2]
	if y[0] != z[0] || y[1] != b[0] || z[1] != b[1] {
		return nil, fmt.Errorf("y [rows, out], z [rows, rank] and b [out, rank] must agree in rows, out and rank")
	}
	return y.Clone(), nil
}

// MACs is the number of multiply-adds for the given input shapes.
func (o *lowRankUp) MACs(in [][]int) int { return in[1][0] * in[1][1] * in[2][0] }

// InPlace lets the sum be written over y.
func (o *lowRankUp) InPlace() int { return 0 }

// Run computes y + z·bᵀ.
func (o *lowRankUp) Run(out *engine.Tensor, in []*engine.Tensor) error {
	y, z, b := in[0], in[1], in[2]
	if err := out.Resize(y.Shape...); err != nil {
		return err
	}
	if len(y.F32) > 0 && &out.F32[0] != &y.F32[0] {
		copy(out.F32, y.F32)
	}
	g := &o.gemm
	g.M, g.N, g.K = y.Rows(), y.Shape[1], z.Shape[1]
	g.A, g.LDA = z.F32, g.K
	g.B, g.LDB, g.TransB = b.F32, g.K, true
	g.C, g.LDC, g.Accumulate = out.F32, g.N, true
	g.Do()
	return nil
}

// DiffWRT says that all three inputs have gradients.
func (o *lowRankUp) DiffWRT(int) []bool { return []bool{true, true, true} }

// SymDiff hands dy on to y and gives dz = dy·b and db = dyᵀ·z.
func (o *lowRankUp) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	dz, err := apply(newLinearDX(), dy, in[2])
	if err != nil {
		return nil, err
	}
	db, err := apply(newLinearDW(), dy, in[1])
	return G.Nodes{dy, dz, db}, err
}
