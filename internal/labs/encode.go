package labs

import (
	"context"
	"fmt"
	"math"

	"dla/internal/config"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/npz"
	"dla/internal/text"
)

// TextEncoder makes vectors of sentences, and logits where it is a classifier.
type TextEncoder struct {
	Name       string
	Source     string     // where it was found
	Classifier *Sentiment // nil: an encoder without a head

	encoder   *model.Encoder
	params    *nn.Params
	tokenizer *text.Tokenizer
}

// FindTextEncoder loads the classifier that from names, as FindSentiment does under root, or the encoder of that name.
func FindTextEncoder(root, from string) (*TextEncoder, error) {
	s, err := FindSentiment(root, from)
	if err == nil {
		return &TextEncoder{s.Name, s.Source, s, s.arch.Encoder, s.params, s.base.Tokenizer}, nil
	}
	e, encoderErr := FindSentenceEncoder(from, "")
	if encoderErr != nil {
		return nil, fmt.Errorf("%q is neither a classifier of sentences (%w) nor an encoder (%w)", from, err, encoderErr)
	}
	p := nn.NewParams(0)
	if err := e.Load(e.dir, p); err != nil {
		return nil, err
	}
	return &TextEncoder{e.Name, e.Source, nil, e.Encoder, p, e.Frozen}, nil
}

// Encoded holds what a TextEncoder makes of sentences.
type Encoded struct {
	packed           *text.Packed
	width            int
	truncated        []uint8   // 1: longer than the limit
	embeddings       []float32 // [sentences, width]
	logits           []float32 // [sentences, classes]
	sentences, heads int
}

// Encode tokenizes sentences, and computes their vectors, pooled as config.Poolings say and normalised to length 1
// where that is asked for, and their logits.
func (e *TextEncoder) Encode(ctx context.Context, sentences []string, pooling string, normalize bool,
	opt Options) (*Encoded, error) {
	r := &Encoded{packed: e.tokenizer.Pack(sentences, nil), width: e.encoder.Width, sentences: len(sentences),
		truncated: make([]uint8, len(sentences))}
	for i, s := range sentences {
		if len(r.packed.Sentence(i)) == e.tokenizer.MaxLength() && e.tokenizer.Cut(s) {
			r.truncated[i] = 1
		}
	}
	var err error
	if r.embeddings, err = vectorsOf(ctx, e.Name, e.encoder, e.params, r.packed, sentences,
		model.Pooling{CLS: pooling == config.PoolCLS}, opt); err != nil {
		return nil, err
	}
	if normalize {
		for i := range sentences {
			unitLength(r.embeddings[i*r.width : (i+1)*r.width])
		}
	}
	if e.Classifier == nil {
		return r, nil
	}
	index := make([]int32, len(sentences))
	for i := range index {
		index[i] = int32(i)
	}
	r.heads = len(e.Classifier.Labels)
	_, err = e.Classifier.scores(ctx, r.packed, index, func(i int32, logits []float32) error {
		for _, v := range logits {
			if v-v != 0 {
				return e.Classifier.notFinite(sentences[i])
			}
		}
		r.logits = append(r.logits, logits...)
		return nil
	})
	return r, err
}

// unitLength divides x by its length, as sentence-transformers does.
func unitLength(x []float32) {
	length := float32(max(math.Sqrt(kernel.SumSquares(x)), 1e-12))
	for i := range x {
		x[i] /= length
	}
}

// Cut returns the numbers, from 1, of the sentences that were longer than the limit.
func (r *Encoded) Cut() []int {
	var all []int
	for i, is := range r.truncated {
		if is == 1 {
			all = append(all, i+1)
		}
	}
	return all
}

// Arrays returns the arrays of an .npz file: ids, the token ids of all sentences one after the other; offsets, where
// each sentence begins in ids, and their number at the end; truncated, 1 for a sentence longer than the limit;
// embeddings [sentences, width]; and of a classifier logits [sentences, classes].
func (r *Encoded) Arrays() []npz.Array {
	offsets := make([]int64, len(r.packed.Offsets))
	for i, o := range r.packed.Offsets {
		offsets[i] = int64(o)
	}
	all := []npz.Array{
		{Name: "ids", Shape: []int{r.packed.Tokens()}, Data: r.packed.IDs},
		{Name: "offsets", Shape: []int{len(offsets)}, Data: offsets},
		{Name: "truncated", Shape: []int{r.sentences}, Data: r.truncated},
		{Name: "embeddings", Shape: []int{r.sentences, r.width}, Data: r.embeddings},
	}
	if r.heads > 0 {
		all = append(all, npz.Array{Name: "logits", Shape: []int{r.sentences, r.heads}, Data: r.logits})
	}
	return all
}
