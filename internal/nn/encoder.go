package nn

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/ops"
)

// Packed are the inputs of a graph of sentences, whose tokens lie end to end: sentence i has the rows from
// Offsets[i] to Offsets[i+1].
type Packed struct {
	IDs       *G.Node // [tokens] int32
	Positions *G.Node // [tokens] int32: place in the sentence, from 0
	Offsets   *G.Node // [sentences+1] int32
}

// Packed adds the leaves of batches with at most that many tokens and sentences.
func (g *Graph) Packed(tokens, sentences int) Packed {
	return Packed{IDs: g.Ints("ids", tokens), Positions: g.Ints("positions", tokens),
		Offsets: g.Ints("offsets", sentences+1)}
}

// Embeddings is name.word_embeddings[id] + name.token_type_embeddings[0] + name.position_embeddings[first +
// position], [tokens, width], the second only where kinds is above 0. The tables are normal with deviation
// 0.02 at first, as BERT's.
func Embeddings(g *Graph, name string, in Packed, vocabulary, positions, kinds, first, width int) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		table := func(kind string, rows int) *G.Node {
			return g.Param(name+"."+kind+"_embeddings.weight", Normal(0.02), rows, width)
		}
		word, position := table("word", vocabulary), table("position", positions)
		var kind *G.Node
		if kinds > 0 {
			kind = table("token_type", kinds)
		}
		if g.err != nil {
			return nil, g.err
		}
		return ops.Embeddings(word, position, kind, in.IDs, in.Positions, first)
	})
}

// LayerNorm normalises the rows of x + res [rows, width]; res may be nil. Parameters name.weight and
// name.bias [width], 1 and 0 at first.
func LayerNorm(g *Graph, name string, x, res *G.Node, eps float64) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		width := x.Shape()[1]
		gamma, beta := g.Param(name+".weight", Constant(1), width), g.Param(name+".bias", Constant(0), width)
		if g.err != nil {
			return nil, g.err
		}
		return ops.LayerNorm(x, res, gamma, beta, eps)
	})
}

// GELU is x·Φ(x), the exact form.
func GELU(g *Graph, name string, x *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.GELU(x) })
}

// SiLU is x·sigmoid(x).
func SiLU(g *Graph, name string, x *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.SiLU(x) })
}

// Tanh is tanh(x), element by element.
func Tanh(g *Graph, name string, x *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.Tanh(x) })
}

// Dropout drops elements of x with probability p in training; in evaluation, and where p is 0, it is x. What
// is dropped depends on the parameters' seed, the name and the number in StepNode.
func Dropout(g *Graph, name string, x *G.Node, p float64) *G.Node {
	if !g.training || p == 0 {
		return x
	}
	return g.layer(name, func() (*G.Node, error) { return ops.Dropout(x, p, g.draws(name)) })
}

// draws are a layer's.
func (g *Graph) draws(name string) ops.Draws {
	if g.step == nil {
		g.step = g.Ints("step", 1)
	}
	return ops.Draws{Seed: g.params.seed, Purpose: name, Step: g.step}
}

// StepNode is the leaf [1] that holds the number of the training step, which dropout draws by; nil where
// nothing is dropped. Whoever runs the graph counts it up.
func (g *Graph) StepNode() *G.Node { return g.step }

// Attention is that of heads heads within each sentence, of q, k, v [tokens, hidden], whose probabilities
// are dropped in training with probability drop; bias may be nil.
func Attention(g *Graph, name string, q, k, v, offsets *G.Node, heads int, bias *ops.RelativeBias,
	drop float64) *G.Node {
	return g.layer(name, func() (*G.Node, error) {
		if !g.training || drop == 0 {
			return ops.Attention(q, k, v, offsets, heads, bias, nil)
		}
		return ops.Attention(q, k, v, offsets, heads, bias, &ops.AttentionDropout{P: drop, Draws: g.draws(name)})
	})
}

// MeanPool is the mean of each sentence's rows of x [tokens, width], [sentences, width].
func MeanPool(g *Graph, name string, x, offsets *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.MeanPool(x, offsets) })
}

// FirstPool is the first row of each sentence of x [tokens, width], [sentences, width].
func FirstPool(g *Graph, name string, x, offsets *G.Node) *G.Node {
	return g.layer(name, func() (*G.Node, error) { return ops.FirstPool(x, offsets) })
}
