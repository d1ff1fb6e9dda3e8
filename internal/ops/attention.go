package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// Attention returns the scaled dot-product attention with that many heads within each sentence (kernel.Attention has
// the formulas): q, k, v [tokens, hidden], offsets [sentences+1], y [tokens, hidden]. bias and drop may be nil.
func Attention(q, k, v, offsets *G.Node, heads int, bias *RelativeBias, drop *AttentionDropout) (*G.Node, error) {
	o := &attention{attending: attending{heads: heads, bias: bias, drop: drop}}
	if drop != nil {
		if err := drop.Draws.check(drop.P); err != nil {
			return nil, fmt.Errorf("attention: %w", err)
		}
	}
	in := append(G.Nodes{q, k, v, offsets}, o.extra()...)
	o.base = newBase("attention", o, append(o.dimsOf(2, 2, 2, ints), 2)...)
	return G.ApplyOp(o, in...)
}

// RelativeBias adds Table[Bucket[d+Span-1], head] to the score of a key d tokens after its query, for
// |d| < Span: no sentence may be longer than Span. Table is [buckets, heads], as in Raffel et al. 2020
// (https://arxiv.org/abs/1910.10683).
type RelativeBias struct {
	Table  *G.Node
	Bucket []int32 // [2·Span - 1]
	Span   int
}

// AttentionDropout drops attention probabilities, with probability P.
type AttentionDropout struct {
	P     float64
	Draws Draws
}

type attention struct {
	base
	attending
}

// attending is what the op and its gradient have in common.
type attending struct {
	heads  int
	bias   *RelativeBias
	drop   *AttentionDropout
	kernel kernel.Attention
}

// extra are the inputs behind the fixed ones: the table, the step.
func (o *attending) extra() (in G.Nodes) {
	if o.bias != nil {
		in = append(in, o.bias.Table)
	}
	if o.drop != nil {
		in = append(in, o.drop.Draws.Step)
	}
	return in
}

// dimsOf are the numbers of dimensions of the inputs, given those of the fixed ones.
func (o *attending) dimsOf(fixed ...int) []int {
	if o.bias != nil {
		fixed = append(fixed, 2)
	}
	if o.drop != nil {
		fixed = append(fixed, ints)
	}
	return fixed
}

func (o *attention) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 3); err != nil {
		return nil, err
	}
	if !in[0].Eq(in[1]) || !in[0].Eq(in[2]) {
		return nil, fmt.Errorf("q, k and v must have one shape")
	}
	if o.heads < 1 || in[0][1]%o.heads != 0 {
		return nil, fmt.Errorf("a width of %d is not %d heads", in[0][1], o.heads)
	}
	if in[3].TotalSize() < 2 {
		return nil, fmt.Errorf("offsets [sentences+1] must have room for a sentence")
	}
	if o.bias != nil {
		if in[4].Dims() != 2 || in[4][1] != o.heads || len(o.bias.Bucket) != 2*o.bias.Span-1 {
			return nil, fmt.Errorf("the bias table must be [buckets, %d], for %d distances", o.heads, 2*o.bias.Span-1)
		}
		if err := inTable("bucket", o.bias.Bucket, in[4][0]); err != nil {
			return nil, err
		}
	}
	return in[0].Clone(), nil
}

// prepare sets the kernel up for what lies at offsets and behind them.
func (o *attending) prepare(q *engine.Tensor, rest []*engine.Tensor) error {
	a, offsets := &o.kernel, rest[0].I32
	a.Tokens, a.Heads, a.HeadSize, a.Offsets = q.Shape[0], o.heads, q.Shape[1]/o.heads, offsets
	if err := inOrder(offsets, a.Tokens); err != nil {
		return err
	}
	if rest = rest[1:]; o.bias != nil {
		for s, end := range offsets[1:] {
			if n := int(end - offsets[s]); n > o.bias.Span {
				return fmt.Errorf("sentence %d has %d tokens, and the bias reaches over %d", s, n, o.bias.Span)
			}
		}
		a.Table, a.Bucket, a.Span = rest[0].F32, o.bias.Bucket, o.bias.Span
		rest = rest[1:]
	}
	if o.drop != nil {
		a.Drop, a.Stream = o.drop.P, o.drop.Draws.stream(rest[0].I32)
	}
	return nil
}

// Run computes y.
func (o *attention) Run(out *engine.Tensor, in []*engine.Tensor) error {
	q, k, v := in[0], in[1], in[2]
	if len(k.F32) != len(q.F32) || len(v.F32) != len(q.F32) {
		return fmt.Errorf("q, k and v must have one shape")
	}
	if err := o.prepare(q, in[3:]); err != nil {
		return err
	}
	if err := out.Resize(q.Shape...); err != nil {
		return err
	}
	o.kernel.Forward(out.F32, q.F32, k.F32, v.F32)
	return nil
}

// DiffWRT says that q, k, v and the bias table have gradients.
func (o *attention) DiffWRT(n int) []bool {
	return []bool{true, true, true, false, o.bias != nil, false}[:n]
}

// SymDiff has one node compute all gradients as [3, tokens, hidden] and others look at a third each.
func (o *attention) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	all := &attentionGrad{attending: attending{heads: o.heads, bias: o.bias, drop: o.drop}}
	all.base = newBase("attention-grad", all, append(o.dimsOf(2, 2, 2, 2, ints), 3)...)
	d, err := apply(all, append(G.Nodes{dy}, in...)...)
	if err != nil {
		return nil, err
	}
	grads := make(G.Nodes, len(in))
	for i, name := range []string{"attention-dq", "attention-dk", "attention-dv"} {
		part := &third{index: i}
		part.base = newBase(name, part, 3, 2)
		if grads[i], err = apply(part, d); err != nil {
			return nil, err
		}
	}
	if o.bias != nil {
		t := &attentionBiasGrad{all: all}
		t.base = newBase("attention-dbias", t, 3, 2)
		grads[4], err = apply(t, d)
	}
	return grads, err
}

// attentionGrad is [3, tokens, hidden], dq, dk and dv, from dy, q, k, v and what else attention takes; it
// leaves the bias's gradient in dtable.
type attentionGrad struct {
	base
	attending
	dtable []float32
}

func (o *attentionGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{3, in[0][0], in[0][1]}, nil
}

// Run computes the gradients.
func (o *attentionGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, q, k, v := in[0], in[1], in[2], in[3]
	if err := o.prepare(q, in[4:]); err != nil {
		return err
	}
	if err := out.Resize(3, q.Shape[0], q.Shape[1]); err != nil {
		return err
	}
	if o.bias != nil && o.dtable == nil {
		o.dtable = kernel.Alloc(len(o.kernel.Table))
	}
	n := len(q.F32)
	o.kernel.Backward(out.F32[:n], out.F32[n:2*n], out.F32[2*n:], o.dtable, dy.F32, q.F32, k.F32, v.F32)
	return nil
}

// third is one of the three [tokens, hidden] of a [3, tokens, hidden]: a view.
type third struct {
	base
	index int
}

func (o *third) shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0][1:].Clone(), nil
}

// View says that out lies in the memory of the input.
func (o *third) View() {}

// Run points out at its third.
func (o *third) Run(out *engine.Tensor, in []*engine.Tensor) error {
	copy(out.Shape, in[0].Shape[1:])
	n := len(in[0].F32) / 3
	out.F32 = in[0].F32[o.index*n : (o.index+1)*n : (o.index+1)*n]
	return nil
}

// attentionBiasGrad is dtable [buckets, heads]; it takes the gradients so as to run after them.
type attentionBiasGrad struct {
	base
	all *attentionGrad
}

func (o *attentionBiasGrad) shape([]tensor.Shape) (tensor.Shape, error) {
	return o.all.bias.Table.Shape().Clone(), nil
}

// Run copies dtable.
func (o *attentionBiasGrad) Run(out *engine.Tensor, _ []*engine.Tensor) error {
	copy(out.F32, o.all.dtable)
	return nil
}
