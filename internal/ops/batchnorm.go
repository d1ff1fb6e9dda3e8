package ops

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Batch normalisation over [N, …, C] (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167), with a
// residual and ReLU in the same pass over memory:
//
//	z = (x - mean) / sqrt(variance + eps) · gamma + beta (+ res), y = relu(z) or z
//
// In training mean and (biased) variance are the batch's; BatchStats reads them from the node, for
// the running statistics. In evaluation they are inputs.

// BatchNorm normalises x [N, …, C] by the statistics of the batch: y = gamma·x̂ + beta + res, with gamma [C], beta
// [C] and res, which has the shape of x or is nil; with relu, max(0, ·) of that. eps is added to the variance.
func BatchNorm(x, gamma, beta, res *G.Node, eps float64, relu bool) (*G.Node, error) {
	o := &batchNorm{eps: eps, relu: relu}
	name := "batchnorm"
	if relu {
		name += "+relu"
	}
	d := x.Dims()
	if res == nil {
		o.base = newBase(name, o, d, 1, 1, d)
		return G.ApplyOp(o, x, gamma, beta)
	}
	o.base = newBase(name+"+add", o, d, 1, 1, d, d)
	return G.ApplyOp(o, x, gamma, beta, res)
}

type batchNorm struct {
	base
	eps  float64
	relu bool

	// What Run leaves for BatchStats and for the gradient: they take y (or what is made of it) as an
	// input, so they run after it and before its next Run.
	norm                                kernel.Norm
	mean, variance, invStd              []float32
	scale, shift                        []float32
	gradSums, sumG, sumGX, coefB, coefC []float32
}

// normSize is x's shape [N, …, C] as the kernel sees it.
func normSize(x []int) (n, pixels, c int) {
	n, pixels, c = x[0], 1, x[len(x)-1]
	for _, d := range x[1 : len(x)-1] {
		pixels *= d
	}
	return n, pixels, c
}

func normShape(in []tensor.Shape, vectors int) (tensor.Shape, error) {
	x := in[0]
	if x.Dims() < 2 {
		return nil, fmt.Errorf("x must be [N, …, C]")
	}
	for _, v := range in[1 : 1+vectors] {
		if v.Dims() != 1 || v[0] != x[x.Dims()-1] {
			return nil, fmt.Errorf("x [N, …, C] and the vectors [C] must agree in C")
		}
	}
	for _, r := range in[1+vectors:] {
		if !r.Eq(x) {
			return nil, fmt.Errorf("x and the residual must have one shape")
		}
	}
	return x.Clone(), nil
}

func (o *batchNorm) shape(in []tensor.Shape) (tensor.Shape, error) { return normShape(in, 2) }

// TakesSums says that Run uses its input's channel sums where there are.
func (o *batchNorm) TakesSums() {}

// grow makes the vectors at first use.
func (o *batchNorm) grow(n, c int) {
	if len(o.mean) < c {
		for _, v := range []*[]float32{&o.mean, &o.variance, &o.invStd, &o.scale, &o.shift, &o.sumG, &o.sumGX, &o.coefB,
			&o.coefC} {
			*v = kernel.Alloc(c)
		}
	}
	if len(o.gradSums) < n*2*c {
		o.gradSums = kernel.Alloc(n * 2 * c)
	}
}

// Run computes y from x, gamma, beta and the residual.
func (o *batchNorm) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, gamma, beta := in[0], in[1].F32, in[2].F32
	n, pixels, c := normSize(x.Shape)
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	if n*pixels == 0 {
		return fmt.Errorf("a batch of no elements has no statistics")
	}
	o.grow(n, c)
	o.norm.N, o.norm.Pixels, o.norm.C = n, pixels, c
	sums := x.SumsFor(n, c)
	if sums == nil {
		sums = o.gradSums // free until the gradient
		o.norm.Sums(sums, x.F32)
	}
	o.norm.Moments(o.mean, o.variance, sums)
	for i := range c {
		inv := 1 / math.Sqrt(float64(o.variance[i])+o.eps)
		o.invStd[i] = float32(inv)
		o.scale[i] = float32(float64(gamma[i]) * inv)
		o.shift[i] = float32(float64(beta[i]) - float64(o.mean[i])*float64(gamma[i])*inv)
	}
	o.norm.Apply(out.F32, x.F32, residual(in, 3), o.scale, o.shift, o.relu)
	return nil
}

func residual(in []*engine.Tensor, i int) []float32 {
	if len(in) <= i {
		return nil
	}
	return in[i].F32
}

// DiffWRT says that all inputs have gradients.
func (o *batchNorm) DiffWRT(n int) []bool { return []bool{true, true, true, true}[:n] }

// SymDiff gives, with g = dy masked by y > 0 where ReLU was fused and x̂ the normalised x:
//
//	dbeta = Σ g, dgamma = Σ g·x̂, dres = g
//	dx = gamma/std · (g - mean(g) - x̂·mean(g·x̂))
func (o *batchNorm) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	d := in[0].Dims()
	sums := &normGradSums{bn: o}
	sums.base = newBase("batchnorm-sums", sums, d, d, d, d)
	g, err := apply(sums, dy, y, in[0])
	if err != nil {
		return nil, err
	}
	input := &normGradInput{bn: o}
	input.base = newBase("batchnorm-dx", input, d, d, 1, d)
	dx, err := apply(input, g, in[0], in[1])
	if err != nil {
		return nil, err
	}
	gamma, beta := &normGradVector{bn: o, gamma: true}, &normGradVector{bn: o}
	gamma.base, beta.base = newBase("batchnorm-dgamma", gamma, d, 1), newBase("batchnorm-dbeta", beta, d, 1)
	dgamma, err := apply(gamma, g)
	if err != nil {
		return nil, err
	}
	dbeta, err := apply(beta, g)
	return G.Nodes{dx, dgamma, dbeta, g}[:len(in)], err
}

// normGradSums is g from dy, y and x, all of one shape, and leaves Σ g and Σ g·(x - mean) in bn.
type normGradSums struct {
	base
	bn *batchNorm
}

// InPlace lets g be written over dy.
func (o *normGradSums) InPlace() int { return 0 }

func (o *normGradSums) shape(in []tensor.Shape) (tensor.Shape, error) {
	return normShape([]tensor.Shape{in[0], in[1], in[2]}, 0)
}

// Run computes g.
func (o *normGradSums) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, y, x := in[0], in[1].F32, in[2]
	if err := out.Resize(dy.Shape...); err != nil {
		return err
	}
	b := o.bn
	if !b.relu {
		y = nil
	}
	b.norm.GradSums(out.F32, b.gradSums, dy.F32, y, x.F32, b.mean)
	n, c := b.norm.N, b.norm.C
	for i := range c {
		var s, sx float64
		for k := range n {
			s += float64(b.gradSums[k*2*c+i])
			sx += float64(b.gradSums[(k*2+1)*c+i])
		}
		b.sumG[i], b.sumGX[i] = float32(s), float32(sx)
	}
	return nil
}

// normGradInput is dx from g and x, of one shape, and gamma [C].
type normGradInput struct {
	base
	bn *batchNorm
}

// InPlace lets dx be written over g.
func (o *normGradInput) InPlace() int { return 0 }

func (o *normGradInput) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes dx.
func (o *normGradInput) Run(out *engine.Tensor, in []*engine.Tensor) error {
	g, x, gamma := in[0], in[1], in[2].F32
	if err := out.Resize(g.Shape...); err != nil {
		return err
	}
	b := o.bn
	count := float64(b.norm.N * b.norm.Pixels)
	for i, inv := range b.invStd[:b.norm.C] {
		a := float64(gamma[i]) * float64(inv)
		b.scale[i] = float32(a)
		b.coefB[i] = float32(-a * float64(inv) * float64(inv) * float64(b.sumGX[i]) / count)
		b.coefC[i] = float32(-a * float64(b.sumG[i]) / count)
	}
	b.norm.GradInput(out.F32, g.F32, x.F32, b.mean, b.scale, b.coefB, b.coefC)
	return nil
}

// normGradVector is dgamma [C] or dbeta [C]; it takes g so as to run after normGradSums.
type normGradVector struct {
	base
	bn    *batchNorm
	gamma bool
}

func (o *normGradVector) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][in[0].Dims()-1]}, nil
}

// Run copies the sums that normGradSums left.
func (o *normGradVector) Run(out *engine.Tensor, _ []*engine.Tensor) error {
	b := o.bn
	if err := out.Resize(b.norm.C); err != nil {
		return err
	}
	if !o.gamma {
		copy(out.F32, b.sumG)
		return nil
	}
	for i := range out.F32 {
		out.F32[i] = b.sumGX[i] * b.invStd[i]
	}
	return nil
}

// BatchStats returns [2, C]: the mean and the biased variance of the batch that y, a node of BatchNorm, normalised.
func BatchStats(y *G.Node) (*G.Node, error) {
	bn, ok := y.Op().(*batchNorm)
	if !ok {
		return nil, fmt.Errorf("batch-stats of %v, which is no batch normalisation", y)
	}
	o := &batchStats{bn: bn}
	o.base = newBase("batch-stats", o, y.Dims(), 2)
	return G.ApplyOp(o, y)
}

type batchStats struct {
	base
	bn *batchNorm
}

func (o *batchStats) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2, in[0][in[0].Dims()-1]}, nil
}

// Run copies the statistics that batchNorm left.
func (o *batchStats) Run(out *engine.Tensor, _ []*engine.Tensor) error {
	b := o.bn
	if err := out.Resize(2, b.norm.C); err != nil {
		return err
	}
	copy(out.F32, b.mean)
	copy(out.F32[b.norm.C:], b.variance[:b.norm.C])
	return nil
}

// FixedNorm is BatchNorm with given statistics, mean [C] and variance [C]: for evaluation. The statistics have no
// gradient; x, gamma, beta and res have.
func FixedNorm(x, gamma, beta, mean, variance, res *G.Node, eps float64, relu bool) (*G.Node, error) {
	o := &fixedNorm{eps: eps, relu: relu}
	name := "fixednorm"
	if relu {
		name += "+relu"
	}
	d := x.Dims()
	if res == nil {
		o.base = newBase(name, o, d, 1, 1, 1, 1, d)
		return G.ApplyOp(o, x, gamma, beta, mean, variance)
	}
	o.base = newBase(name+"+add", o, d, 1, 1, 1, 1, d, d)
	return G.ApplyOp(o, x, gamma, beta, mean, variance, res)
}

type fixedNorm struct {
	base
	eps          float64
	relu         bool
	norm         kernel.Norm
	scale, shift []float32
}

func (o *fixedNorm) shape(in []tensor.Shape) (tensor.Shape, error) { return normShape(in, 4) }

// InPlace lets y be written over x.
func (o *fixedNorm) InPlace() int { return 0 }

// Run computes y.
func (o *fixedNorm) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, gamma, beta, mean, variance := in[0], in[1].F32, in[2].F32, in[3].F32, in[4].F32
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(x.Shape)
	if len(o.scale) < o.norm.C {
		o.scale, o.shift = kernel.Alloc(o.norm.C), kernel.Alloc(o.norm.C)
	}
	for i := range o.norm.C {
		s := float64(gamma[i]) / math.Sqrt(float64(variance[i])+o.eps)
		o.scale[i], o.shift[i] = float32(s), float32(float64(beta[i])-float64(mean[i])*s)
	}
	o.norm.Apply(out.F32, x.F32, residual(in, 5), o.scale, o.shift, o.relu)
	return nil
}

// DiffWRT says that x and the residual have gradients. Evaluation trains nothing: gamma and beta have none.
func (o *fixedNorm) DiffWRT(n int) []bool { return []bool{true, false, false, false, false, true}[:n] }

// SymDiff gives dx = g · gamma / sqrt(variance + eps) and dres = g, for g = dy masked by y > 0 where
// ReLU was fused.
func (o *fixedNorm) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	g, err := dy, error(nil)
	if o.relu {
		if g, err = reluGrad(dy, y); err != nil {
			return nil, err
		}
	}
	d := in[0].Dims()
	s := &fixedNormGrad{eps: o.eps}
	s.base = newBase("fixednorm-dx", s, d, 1, 1, d)
	dx, err := apply(s, g, in[1], in[4])
	return G.Nodes{dx, nil, nil, nil, nil, g}[:len(in)], err
}

// fixedNormGrad is dx from g, gamma and variance.
type fixedNormGrad struct {
	base
	eps         float64
	norm        kernel.Norm
	scale, zero []float32
}

// InPlace lets dx be written over g.
func (o *fixedNormGrad) InPlace() int { return 0 }

func (o *fixedNormGrad) shape(in []tensor.Shape) (tensor.Shape, error) { return normShape(in, 2) }

// Run computes dx.
func (o *fixedNormGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	g, gamma, variance := in[0], in[1].F32, in[2].F32
	if err := out.Resize(g.Shape...); err != nil {
		return err
	}
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(g.Shape)
	if len(o.scale) < o.norm.C {
		o.scale, o.zero = kernel.Alloc(o.norm.C), kernel.Alloc(o.norm.C)
	}
	for i := range o.norm.C {
		o.scale[i] = float32(float64(gamma[i]) / math.Sqrt(float64(variance[i])+o.eps))
	}
	o.norm.Apply(out.F32, g.F32, nil, o.scale, o.zero, false)
	return nil
}
