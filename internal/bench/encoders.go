package bench

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/rng"
	"dla/internal/text"
	"dla/internal/train"
)

// A batch of Encoders: so many sentences of so many tokens each.
const (
	benchSentences = 32
	benchTokens    = 32
)

// encoder is a sentence encoder that is measured, with weights drawn at random.
type encoder struct {
	name string // the peer's too
	model.Encoder
}

// encoders have the sizes of the pretrained ones: what they take does not depend on their weights.
func encoders() []encoder {
	return []encoder{
		{"minilm", model.Encoder{Family: "bert", Vocabulary: 30522, Positions: 512, Kinds: 2, Width: 384, Layers: 6,
			Heads: 12, Inner: 1536, Eps: 1e-12, Dropout: 0.1, AttentionDropout: 0.1}},
		{"distilbert", model.Encoder{Family: "distilbert", Vocabulary: 30522, Positions: 512, Width: 768, Layers: 6,
			Heads: 12, Inner: 3072, Eps: 1e-12, Dropout: 0.1, AttentionDropout: 0.1}},
	}
}

// Logits are [sentences, 2], of the first token as the peer's are.
func (e encoder) Logits(g *nn.Graph, in nn.Packed) *G.Node {
	return nn.Linear(g, "classifier", model.Pooling{CLS: true}.Embedding(g, e.Hidden(g, in), in), 2)
}

// encoderCases are a forward pass of each encoder, and training steps of all its weights and of LoRA's.
func encoderCases() []Case {
	var all []Case
	for _, e := range encoders() {
		for _, c := range []struct {
			name, peer string
			prepare    func(encoder) (*work, error)
		}{
			{"forward", "fwd b32 s32", forwardWork},
			{"full", "full b32 s32 step", fullWork},
			{"lora-qv-r8", "lora-qv8 b32 s32 step", loraWork},
		} {
			all = append(all, Case{Group: Encoders, Name: e.name + "-" + c.name, peer: peerWork{name: e.name + " " + c.peer},
				prepare: func(int) (*work, error) { return c.prepare(e) }})
		}
	}
	return all
}

// forwardWork is a forward pass, and the loss.
func forwardWork(e encoder) (*work, error) {
	c, err := train.NewSentenceScorer(e, nn.NewParams(1), benchSentences*benchTokens, benchSentences)
	if err != nil {
		return nil, err
	}
	l, err := benchSentenceLoader(e)
	if err != nil {
		return nil, err
	}
	c.Batches(l).Lay(0, 0)
	return &work{images: benchSentences, flops: 2 * float64(c.Eval().MACs()), program: c.Eval(), run: func() error {
		_, err := c.EvalStep(benchSentences)
		return err
	}}, nil
}

// fullWork is a training step of all weights.
func fullWork(e encoder) (*work, error) { return tuningWork(e, nn.NewParams(1)) }

// loraWork is a training step of adapters beside the frozen weights, and of the head.
func loraWork(e encoder) (*work, error) {
	p := nn.NewParams(1)
	g := nn.NewGraph(p)
	e.Hidden(g, g.Packed(1, 1)) // draws the weights that are frozen
	if g.Err() != nil {
		return nil, g.Err()
	}
	p.Freeze()
	lora.Adapter{Targets: "qv", Rank: 8, Alpha: 16}.Attach(&e.Encoder)
	return tuningWork(e, p)
}

// tuningWork is a training step by AdamW of what is not frozen in p, always on the same sentences.
func tuningWork(e encoder, p *nn.Params) (*work, error) {
	const tokens = benchSentences * benchTokens
	c, err := train.NewSentenceClassifier(e, p, train.SentenceSizes{Batch: benchSentences, BatchTokens: tokens,
		MicroBatches: 1, MicroBatchTokens: tokens, Eval: 1, EvalTokens: benchTokens})
	if err != nil {
		return nil, err
	}
	opt, err := optim.New(optim.Config{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}, c.Params())
	if err != nil {
		return nil, err
	}
	l, err := benchSentenceLoader(e)
	if err != nil {
		return nil, err
	}
	c.TrainBatches(l).Lay(0, 0)
	step := 0
	return &work{images: benchSentences, flops: 2 * float64(c.Train().MACs()), program: c.Train(), run: func() error {
		step++
		if _, err := c.TrainStep(0, step, benchSentences); err != nil {
			return err
		}
		opt.Step(1e-5)
		return nil
	}}, nil
}

// benchSentenceLoader gives one batch of random tokens.
func benchSentenceLoader(e encoder) (*text.Loader, error) {
	all := text.NewPacked(benchSentences*benchTokens, benchSentences)
	s := rng.New(1, "bench", 0, 0)
	index := make([]int32, benchSentences)
	for i := range index {
		ids := make([]int32, benchTokens)
		for j := range ids {
			ids[j] = int32(s.IntN(e.Vocabulary))
		}
		index[i] = int32(i)
		all.Add(ids, int32(s.IntN(2)), index[i])
	}
	return text.NewLoader(all, index, text.Limits{Sentences: benchSentences}, false, 0)
}
