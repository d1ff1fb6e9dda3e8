package model

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
	"dla/internal/ops"
)

// Encoder is a transformer of the BERT family: embeddings, then layers of self-attention and of two linear
// layers with GELU between, a residual and a layer normalisation after each (Devlin et al. 2019,
// https://arxiv.org/abs/1810.04805). The families differ in what is data here: names, sizes, the row of
// position 0, and the bias by distance of MPNet (Song et al. 2020, https://arxiv.org/abs/2004.09297). Weights
// have their Hugging Face names, without the prefix of the whole model.
type Encoder struct {
	Family     string // bert, distilbert or mpnet: model_type of config.json
	Vocabulary int
	Positions  int // rows of the table
	Kinds      int // token types; 0: the family has none
	Width      int // of the hidden states
	Layers     int
	Heads      int
	Inner      int // width between the two linear layers
	Buckets    int // of the bias by distance; 0: the family has none
	Eps        float64

	// The probabilities of dropping, in training: elements of the embeddings and of each layer's two outputs
	// (DistilBERT drops none of the attention's), and attention probabilities.
	Dropout, AttentionDropout float64

	// Linear builds the linear layers of a transformer layer; nil: nn.Linear. An adapter puts itself here and
	// goes by the name.
	Linear func(g *nn.Graph, name string, x *G.Node, out int) *G.Node
}

// family is what the weights of a family are called.
type family struct {
	layer               string // of layer %d
	q, k, v, o          string // projections of the attention
	afterAttention      string // layer normalisations
	inner, outer, after string

	keepsAttention bool // no dropout of the attention\'s output

	prefix   string   // of the encoder's tensors where a file has a head as well
	firstRow int      // of the table of positions: that of position 0
	ignored  []string // prefixes of tensors that are no part of the encoder: heads of pre-training and others
}

var families = map[string]family{
	"bert": {
		layer: "encoder.layer.%d.", q: "attention.self.query", k: "attention.self.key", v: "attention.self.value", o: "attention.output.dense",
		afterAttention: "attention.output.LayerNorm", inner: "intermediate.dense", outer: "output.dense", after: "output.LayerNorm",
		prefix: "bert.", firstRow: 0,
		ignored: []string{"pooler.", "embeddings.position_ids", "cls.", "pre_classifier.", "classifier.", "qa_outputs."},
	},
	"distilbert": {
		layer: "transformer.layer.%d.", q: "attention.q_lin", k: "attention.k_lin", v: "attention.v_lin", o: "attention.out_lin",
		afterAttention: "sa_layer_norm", inner: "ffn.lin1", outer: "ffn.lin2", after: "output_layer_norm",
		keepsAttention: true, prefix: "distilbert.", firstRow: 0,
		ignored: []string{"embeddings.position_ids", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.",
			"pre_classifier.", "classifier.", "qa_outputs."},
	},
	// MPNet's rows begin behind that of padding, which is 1 whatever pad_token_id says.
	"mpnet": {
		layer: "encoder.layer.%d.", q: "attention.attn.q", k: "attention.attn.k", v: "attention.attn.v", o: "attention.attn.o",
		afterAttention: "attention.LayerNorm", inner: "intermediate.dense", outer: "output.dense", after: "output.LayerNorm",
		prefix: "mpnet.", firstRow: 2,
		ignored: []string{"pooler.", "embeddings.position_ids", "lm_head.", "pre_classifier.", "classifier.", "qa_outputs."},
	},
}

const biasName = "encoder.relative_attention_bias.weight"

// MaxTokens is the length of the longest sentence there is a position for.
func (e *Encoder) MaxTokens() int { return e.Positions - e.firstRow() }

// firstRow is the row of position 0 in the table.
func (e *Encoder) firstRow() int { return families[e.Family].firstRow }

// Projections are the names of the linear layers q, k, v and o of one layer, which adapters go by.
func (e *Encoder) Projections(layer int) (q, k, v, o string) {
	f := families[e.Family]
	name := fmt.Sprintf(f.layer, layer)
	return name + f.q, name + f.k, name + f.v, name + f.o
}

// FeedForward are the names of the two linear layers behind the attention of one layer, from Width to Inner and
// back, which adapters go by.
func (e *Encoder) FeedForward(layer int) (inner, outer string) {
	f := families[e.Family]
	name := fmt.Sprintf(f.layer, layer)
	return name + f.inner, name + f.outer
}

// Hidden are the hidden states [tokens, Width] after the last layer. Errors stick to g.
func (e *Encoder) Hidden(g *nn.Graph, in nn.Packed) *G.Node {
	f := families[e.Family]
	linear := e.Linear
	if linear == nil {
		linear = nn.Linear
	}
	x := nn.Embeddings(g, "embeddings", in, e.Vocabulary, e.Positions, e.Kinds, e.firstRow(), e.Width)
	x = nn.LayerNorm(g, "embeddings.LayerNorm", x, nil, e.Eps)
	x = nn.Dropout(g, "embeddings.dropout", x, e.Dropout)
	var bias *ops.RelativeBias
	if e.Buckets > 0 {
		bias = &ops.RelativeBias{Table: g.Param(biasName, nn.Normal(0.02), e.Buckets, e.Heads),
			Bucket: distanceBuckets(e.MaxTokens(), e.Buckets), Span: e.MaxTokens()}
	}
	for i := range e.Layers {
		name := fmt.Sprintf(f.layer, i)
		q, k, v, o := e.Projections(i)
		inner, outer := e.FeedForward(i)
		y := nn.Attention(g, name+"attention", linear(g, q, x, e.Width), linear(g, k, x, e.Width), linear(g, v, x, e.Width),
			in.Offsets, e.Heads, bias, e.AttentionDropout)
		y = linear(g, o, y, e.Width)
		if !f.keepsAttention {
			y = nn.Dropout(g, name+"attention.dropout", y, e.Dropout)
		}
		x = nn.LayerNorm(g, name+f.afterAttention, y, x, e.Eps)
		y = nn.GELU(g, name+"gelu", linear(g, inner, x, e.Inner))
		y = nn.Dropout(g, name+"dropout", linear(g, outer, y, e.Width), e.Dropout)
		x = nn.LayerNorm(g, name+f.after, y, x, e.Eps)
	}
	return x
}

// maxDistance is where the buckets end: all larger distances share one.
const maxDistance = 128

// distanceBuckets is the bucket of each distance from query to key, -(span-1) … span-1: half of the buckets
// are for keys behind the query, half of those for one distance each, the others for logarithmically wider
// ranges (Raffel et al. 2020, section 2.1, https://arxiv.org/abs/1910.10683). It rounds as the reference does,
// in float32.
func distanceBuckets(span, buckets int) []int32 {
	half := buckets / 2
	exact := half / 2
	all := make([]int32, 2*span-1)
	for i := range all {
		d := i - (span - 1)
		b := 0
		if d > 0 {
			b = half
		} else {
			d = -d
		}
		if d >= exact {
			large := float32(math.Log(float64(float32(d)/float32(exact)))) / float32(math.Log(maxDistance/float64(exact))) * float32(half-exact)
			d = min(half-1, exact+int(large))
		}
		all[i] = int32(b + d)
	}
	return all
}

// Pooling says how a sentence's hidden states become one vector.
type Pooling struct {
	CLS bool // the first token's; else the mean of all
}

// Embedding is one vector a sentence [sentences, Width] of hidden states [tokens, Width].
func (p Pooling) Embedding(g *nn.Graph, hidden *G.Node, in nn.Packed) *G.Node {
	if p.CLS {
		return nn.FirstPool(g, "pooling", hidden, in.Offsets)
	}
	return nn.MeanPool(g, "pooling", hidden, in.Offsets)
}
