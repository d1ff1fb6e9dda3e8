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
// residual and an activation in the same pass over memory:
//
//	z = (x - mean) / sqrt(variance + eps) · gamma + beta (+ res), y = act(z)
//
// The gradient of GELU and SiLU needs z, which it computes anew from x: that takes less time than to store it.
//
// In training mean and (biased) variance are the batch's; BatchStats reads them from the node, for
// the running statistics. In evaluation they are inputs.

// BatchNorm normalises x [N, …, C] by the statistics of the batch: y = act(gamma·x̂ + beta + res), with beta [C], gamma
// [C] or nil, for 1, and res, which has the shape of x or is nil. eps is added to the variance.
func BatchNorm(x, gamma, beta, res *G.Node, eps float64, act Activation) (*G.Node, error) {
	o := &batchNorm{normInputs: normInputs{gamma != nil, res != nil}, eps: eps, act: act}
	in := o.nodes(x, gamma, []*G.Node{beta}, res)
	o.base = o.newBase("batchnorm", o, act, in)
	return G.ApplyOp(o, in...)
}

// normInputs says which of the inputs a normalisation has that it may be without. Their order is x, gamma, beta, for
// given statistics mean and variance, and res.
type normInputs struct{ gamma, res bool }

// nodes are the inputs, in order.
func (n normInputs) nodes(x, gamma *G.Node, vectors []*G.Node, res *G.Node) []*G.Node {
	in := []*G.Node{x}
	if n.gamma {
		in = append(in, gamma)
	}
	in = append(in, vectors...)
	if n.res {
		in = append(in, res)
	}
	return in
}

// newBase is the base of a normalisation so called, of inputs in.
func (n normInputs) newBase(name string, self op, act Activation, in []*G.Node) base {
	if act != ActNone {
		name += "+" + act.String()
	}
	if n.res {
		name += "+add"
	}
	var dims []int
	for _, x := range in {
		dims = append(dims, x.Dims())
	}
	return newBase(name, self, append(dims, in[0].Dims())...)
}

// values are the elements of the inputs after x; gamma and res are nil where there are none.
func (n normInputs) values(in []*engine.Tensor) (gamma []float32, vectors []*engine.Tensor, res []float32) {
	if n.gamma {
		gamma, in = in[0].F32, in[1:]
	}
	if n.res {
		last := len(in) - 1
		res, in = in[last].F32, in[:last]
	}
	return gamma, in, res
}

// grads puts the gradients of x, gamma, beta and res in the order of the inputs, of which there are count.
func (n normInputs) grads(count int, dx, dgamma, dbeta, dres *G.Node) G.Nodes {
	all := make(G.Nodes, count)
	all[0] = dx
	beta := 1
	if n.gamma {
		all[1], beta = dgamma, 2
	}
	all[beta] = dbeta
	if n.res {
		all[count-1] = dres
	}
	return all
}

// shape checks the inputs.
func (n normInputs) shape(in []tensor.Shape) (tensor.Shape, error) {
	vectors := len(in) - 1
	if n.res {
		vectors--
	}
	return normShape(in, vectors)
}

// scaleOf is element i of gamma.
func scaleOf(gamma []float32, i int) float64 {
	if gamma == nil {
		return 1
	}
	return float64(gamma[i])
}

type batchNorm struct {
	base
	normInputs
	eps float64
	act Activation

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

func (o *batchNorm) shape(in []tensor.Shape) (tensor.Shape, error) { return o.normInputs.shape(in) }

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
	x := in[0]
	gamma, vectors, res := o.values(in[1:])
	beta := vectors[0].F32
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
		o.scale[i] = float32(scaleOf(gamma, i) * inv)
		o.shift[i] = float32(float64(beta[i]) - float64(o.mean[i])*scaleOf(gamma, i)*inv)
	}
	o.norm.Apply(out.F32, x.F32, res, o.scale, o.shift, o.act)
	return nil
}

// DiffWRT says that all inputs have gradients.
func (o *batchNorm) DiffWRT(n int) []bool { return []bool{true, true, true, true}[:n] }

// SymDiff gives, with g = dy·act'(z), which is dy masked by y > 0 where act is ReLU, and x̂ the normalised x:
//
//	dbeta = Σ g, dgamma = Σ g·x̂, dres = g
//	dx = gamma/std · (g - mean(g) - x̂·mean(g·x̂))
func (o *batchNorm) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	d := in[0].Dims()
	sums := &normGradSums{bn: o}
	sumsIn, dims := G.Nodes{dy, y, in[0]}, []int{d, d, d, d}
	if o.act.Smooth() && o.res {
		sumsIn, dims = append(sumsIn, in[len(in)-1]), append(dims, d)
	}
	sums.base = newBase("batchnorm-sums", sums, dims...)
	g, err := apply(sums, sumsIn...)
	if err != nil {
		return nil, err
	}
	input := &normGradInput{bn: o}
	var dx *G.Node
	if o.gamma {
		input.base = newBase("batchnorm-dx", input, d, d, 1, d)
		dx, err = apply(input, g, in[0], in[1])
	} else {
		input.base = newBase("batchnorm-dx", input, d, d, d)
		dx, err = apply(input, g, in[0])
	}
	if err != nil {
		return nil, err
	}
	var dgamma *G.Node
	if o.gamma {
		gamma := &normGradVector{bn: o, gamma: true}
		gamma.base = newBase("batchnorm-dgamma", gamma, d, 1)
		if dgamma, err = apply(gamma, g); err != nil {
			return nil, err
		}
	}
	beta := &normGradVector{bn: o}
	beta.base = newBase("batchnorm-dbeta", beta, d, 1)
	dbeta, err := apply(beta, g)
	return o.grads(len(in), dx, dgamma, dbeta, g), err
}

// normGradSums is g from dy, y, x and, for GELU and SiLU, the residual, all of one shape, and leaves Σ g and
// Σ g·(x - mean) in bn. It takes y, whatever the activation, so as to run after batchNorm.
type normGradSums struct {
	base
	bn *batchNorm
}

// InPlace lets g be written over dy.
func (o *normGradSums) InPlace() int { return 0 }

func (o *normGradSums) shape(in []tensor.Shape) (tensor.Shape, error) {
	return normShape(in, 0)
}

// Run computes g.
func (o *normGradSums) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, y, x := in[0], in[1].F32, in[2]
	if err := out.Resize(dy.Shape...); err != nil {
		return err
	}
	b := o.bn
	b.norm.GradSums(out.F32, b.gradSums, dy.F32, y, x.F32, residual(in, 3), b.mean, b.scale, b.shift, b.act)
	o.finish()
	return nil
}

// change is Run in place, image by image, but for finish, from the inputs after dy.
func (o *normGradSums) change(in []*engine.Tensor) kernel.Pass {
	b := o.bn
	return b.norm.GradSumsPass(b.gradSums, in[0].F32, in[1].F32, residual(in, 2), b.mean, b.scale, b.shift, b.act)
}

// finish adds the sums of the images.
func (o *normGradSums) finish() {
	b := o.bn
	n, c := b.norm.N, b.norm.C
	for i := range c {
		var s, sx float64
		for k := range n {
			s += float64(b.gradSums[k*2*c+i])
			sx += float64(b.gradSums[(k*2+1)*c+i])
		}
		b.sumG[i], b.sumGX[i] = float32(s), float32(sx)
	}
}

// normGradInput is dx from g and x, of one shape, and gamma [C] where there is one.
type normGradInput struct {
	base
	bn *batchNorm
}

// InPlace lets dx be written over g.
func (o *normGradInput) InPlace() int { return 0 }

func (o *normGradInput) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes dx.
func (o *normGradInput) Run(out *engine.Tensor, in []*engine.Tensor) error {
	g, x := in[0], in[1]
	if err := out.Resize(g.Shape...); err != nil {
		return err
	}
	b := o.bn
	gamma, _, _ := normInputs{gamma: b.gamma}.values(in[2:])
	count := float64(b.norm.N * b.norm.Pixels)
	for i, inv := range b.invStd[:b.norm.C] {
		a := scaleOf(gamma, i) * float64(inv)
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

// FixedNorm is BatchNorm with given statistics, mean [C] and variance [C]: for evaluation. x and res alone have a
// gradient.
func FixedNorm(x, gamma, beta, mean, variance, res *G.Node, eps float64, act Activation) (*G.Node, error) {
	o := &fixedNorm{normInputs: normInputs{gamma != nil, res != nil}, eps: eps, act: act}
	in := o.nodes(x, gamma, []*G.Node{beta, mean, variance}, res)
	o.base = o.newBase("fixednorm", o, act, in)
	return G.ApplyOp(o, in...)
}

type fixedNorm struct {
	base
	normInputs
	eps          float64
	act          Activation
	norm         kernel.Norm
	scale, shift []float32
}

func (o *fixedNorm) shape(in []tensor.Shape) (tensor.Shape, error) { return o.normInputs.shape(in) }

// InPlace lets y be written over x.
func (o *fixedNorm) InPlace() int { return 0 }

// Run computes y.
func (o *fixedNorm) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x := in[0]
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	res := o.setUp(x.Shape, in[1:])
	o.norm.Apply(out.F32, x.F32, res, o.scale, o.shift, o.act)
	return nil
}

// setUp computes scale and shift from the inputs after x, and returns the residual.
func (o *fixedNorm) setUp(x []int, in []*engine.Tensor) (res []float32) {
	gamma, vectors, res := o.values(in)
	beta, mean, variance := vectors[0].F32, vectors[1].F32, vectors[2].F32
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(x)
	if len(o.scale) < o.norm.C {
		o.scale, o.shift = kernel.Alloc(o.norm.C), kernel.Alloc(o.norm.C)
	}
	for i := range o.norm.C {
		s := scaleOf(gamma, i) / math.Sqrt(float64(variance[i])+o.eps)
		o.scale[i], o.shift[i] = float32(s), float32(float64(beta[i])-float64(mean[i])*s)
	}
	return res
}

// DiffWRT says that x and the residual have gradients. Evaluation trains nothing: gamma and beta have none.
func (o *fixedNorm) DiffWRT(n int) []bool {
	all := make([]bool, n)
	all[0], all[n-1] = true, o.res
	return all
}

// SymDiff gives dx = g · gamma / sqrt(variance + eps) and dres = g, for g = dy·act'(z), which is dy masked by y > 0
// where act is ReLU.
func (o *fixedNorm) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	g, d := dy, in[0].Dims()
	var err error
	switch {
	case o.act == ActReLU:
		g, err = reluGrad(dy, y)
	case o.act.Smooth():
		s := &fixedNormSmoothGrad{of: fixedNorm{normInputs: o.normInputs, eps: o.eps, act: o.act}}
		s.base = s.of.newBase("fixednorm-g", s, ActNone, append(G.Nodes{dy}, in...))
		if g, err = apply(s, append(G.Nodes{dy}, in...)...); err == nil && !o.res {
			return o.grads(len(in), g, nil, nil, nil), nil
		}
	}
	if err != nil {
		return nil, err
	}
	s := &fixedNormGrad{eps: o.eps, gamma: o.gamma}
	variance := len(in) - 1
	if o.res {
		variance--
	}
	var dx *G.Node
	if s.gamma {
		s.base = newBase("fixednorm-dx", s, d, 1, 1, d)
		dx, err = apply(s, g, in[1], in[variance])
	} else {
		s.base = newBase("fixednorm-dx", s, d, 1, d)
		dx, err = apply(s, g, in[variance])
	}
	return o.grads(len(in), dx, nil, nil, g), err
}

// fixedNormSmoothGrad is, for GELU and SiLU, g from dy and the inputs of fixedNorm; or dx, where there is no residual
// that needs g.
type fixedNormSmoothGrad struct {
	base
	of fixedNorm // another than the one whose gradient it is: so it may run before that, or after its next Run
}

// InPlace lets g be written over dy.
func (o *fixedNormSmoothGrad) InPlace() int { return 0 }

func (o *fixedNormSmoothGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	if _, err := sameShape(in); err != nil {
		return nil, err
	}
	return o.of.shape(in[1:])
}

// Run computes g, or dx.
func (o *fixedNormSmoothGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, x := in[0], in[1]
	if err := out.Resize(x.Shape...); err != nil {
		return err
	}
	f := &o.of
	res := f.setUp(x.Shape, in[2:])
	f.norm.GradFixed(out.F32, dy.F32, x.F32, res, f.scale, f.shift, f.act, !f.res)
	return nil
}

// pass is Run image by image.
func (o *fixedNormSmoothGrad) pass(in []*engine.Tensor) kernel.Pass {
	f := &o.of
	res := f.setUp(in[1].Shape, in[2:])
	return f.norm.GradFixedPass(in[0].F32, in[1].F32, res, f.scale, f.shift, f.act, !f.res)
}

// fixedNormGrad is dx from g, gamma where there is one, and variance. Where the engine gave it ReLU's gradient to take
// as well, it is dx from dy, y and those.
type fixedNormGrad struct {
	base
	eps         float64
	gamma, relu bool
	norm        kernel.Norm
	scale, zero []float32
}

// InPlace lets dx be written over g.
func (o *fixedNormGrad) InPlace() int { return 0 }

func (o *fixedNormGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return normShape(in, len(in)-1)
}

// Take takes over the gradient of ReLU, where nothing else needs g.
func (o *fixedNormGrad) Take(made engine.Op) (engine.Op, bool) {
	if _, ok := made.(*reluGradOp); !ok || o.relu {
		return nil, false
	}
	both := &fixedNormGrad{eps: o.eps, gamma: o.gamma, relu: true}
	both.base = newBase(made.String()+"+"+o.String(), both, make([]int, made.Arity()+o.Arity())...)
	return both, true
}

// Run computes dx.
func (o *fixedNormGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	g, y := o.setUp(in)
	o.norm.GradScale(out.F32, g, y, o.scale, o.zero)
	return nil
}

// pass is Run image by image.
func (o *fixedNormGrad) pass(in []*engine.Tensor) kernel.Pass {
	g, y := o.setUp(in)
	return o.norm.GradScalePass(g, y, o.scale, o.zero)
}

// setUp computes scale, and returns g, or dy with the y that masks it.
func (o *fixedNormGrad) setUp(in []*engine.Tensor) (g, y []float32) {
	g, rest := in[0].F32, in[1:]
	if o.relu {
		y, rest = rest[0].F32, rest[1:]
	}
	gamma, vectors, _ := normInputs{gamma: o.gamma}.values(rest)
	variance := vectors[0].F32
	o.norm.N, o.norm.Pixels, o.norm.C = normSize(in[0].Shape)
	if len(o.scale) < o.norm.C {
		o.scale, o.zero = kernel.Alloc(o.norm.C), kernel.Alloc(o.norm.C)
	}
	for i := range o.norm.C {
		o.scale[i] = float32(scaleOf(gamma, i) / math.Sqrt(float64(variance[i])+o.eps))
	}
	return g, y
}
