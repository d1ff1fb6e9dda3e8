package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// MeanPool returns y [sentences, width], the mean of the rows of each sentence of x [tokens, width]; offsets
// [sentences+1] holds the first row of each sentence, and the number of rows.
func MeanPool(x, offsets *G.Node) (*G.Node, error) {
	return sentencePool("mean-pool", true, x, offsets)
}

// FirstPool returns y [sentences, width], the first row of each sentence of x [tokens, width]: its token [CLS].
func FirstPool(x, offsets *G.Node) (*G.Node, error) {
	return sentencePool("first-pool", false, x, offsets)
}

func sentencePool(name string, mean bool, x, offsets *G.Node) (*G.Node, error) {
	o := &sentencePoolOp{mean: mean}
	o.base = newBase(name, o, 2, ints, 2)
	return G.ApplyOp(o, x, offsets)
}

type sentencePoolOp struct {
	base
	mean bool
	pool kernel.SentencePool
}

func (o *sentencePoolOp) shape(in []tensor.Shape) (tensor.Shape, error) {
	if err := matrices(in, 1); err != nil {
		return nil, err
	}
	if in[1].TotalSize() < 2 {
		return nil, fmt.Errorf("offsets [sentences+1] must have room for a sentence")
	}
	return tensor.Shape{in[1].TotalSize() - 1, in[0][1]}, nil
}

// inOrder checks that offsets cut tokens tokens into sentences of at least one.
func inOrder(offsets []int32, tokens int) error {
	if len(offsets) < 2 || offsets[0] != 0 || int(offsets[len(offsets)-1]) != tokens {
		return fmt.Errorf("the sentences' offsets must begin with 0 and end with the number of tokens, %d", tokens)
	}
	for s, o := range offsets[1:] {
		if o <= offsets[s] {
			return fmt.Errorf("sentence %d begins at token %d and ends at %d: want at least one token", s, offsets[s], o)
		}
	}
	return nil
}

// Run computes y.
func (o *sentencePoolOp) Run(out *engine.Tensor, in []*engine.Tensor) error {
	x, offsets := in[0], in[1].I32
	if err := inOrder(offsets, x.Shape[0]); err != nil {
		return err
	}
	if err := out.Resize(len(offsets)-1, x.Shape[1]); err != nil {
		return err
	}
	o.pool.Offsets, o.pool.Width = offsets, x.Shape[1]
	if o.mean {
		o.pool.Mean(out.F32, x.F32)
	} else {
		o.pool.First(out.F32, x.F32)
	}
	return nil
}

// DiffWRT says that x has a gradient.
func (o *sentencePoolOp) DiffWRT(int) []bool { return []bool{true, false} }

// SymDiff spreads dy over the rows it was made of.
func (o *sentencePoolOp) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	g := &sentencePoolGrad{mean: o.mean, tokens: in[0].Shape()[0]}
	g.base = newBase(o.name+"-dx", g, 2, ints, 2)
	dx, err := apply(g, dy, in[1])
	return G.Nodes{dx, nil}, err
}

// sentencePoolGrad is dx [tokens, width] from dy [sentences, width] and the offsets.
type sentencePoolGrad struct {
	base
	mean   bool
	tokens int // at most
	pool   kernel.SentencePool
}

func (o *sentencePoolGrad) shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{o.tokens, in[0][1]}, nil
}

// Run computes dx.
func (o *sentencePoolGrad) Run(out *engine.Tensor, in []*engine.Tensor) error {
	dy, offsets := in[0], in[1].I32
	if err := out.Resize(int(offsets[len(offsets)-1]), dy.Shape[1]); err != nil {
		return err
	}
	o.pool.Offsets, o.pool.Width = offsets, dy.Shape[1]
	if o.mean {
		o.pool.MeanGrad(out.F32, dy.F32)
	} else {
		o.pool.FirstGrad(out.F32, dy.F32)
	}
	return nil
}
