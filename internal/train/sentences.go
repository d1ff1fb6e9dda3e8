package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/text"
	"dla/internal/weights"
)

// SentenceArchitecture builds a classifier's logits [sentences, classes] of packed sentences.
type SentenceArchitecture interface {
	Logits(g *nn.Graph, in nn.Packed) *G.Node
}

// SentenceScorer evaluates a classifier of sentences, without a training graph.
type SentenceScorer struct{ packedHalf }

// NewSentenceScorer builds and compiles the evaluation graph over p, for batches with at most that many tokens
// and sentences.
func NewSentenceScorer(arch SentenceArchitecture, p *nn.Params, tokens, sentences int) (*SentenceScorer, error) {
	h, err := newPackedHalf(nn.NewGraph(p), arch, tokens, sentences, func(*G.Node) ([]*G.Node, error) { return nil, nil })
	return &SentenceScorer{h}, err
}

// Batches gives the batches of l to EvalStep, which must have no more tokens and sentences than the graph.
func (s *SentenceScorer) Batches(l *text.Loader) Batches { return packedBatches{l, &s.in} }

// EvalStep computes loss and accuracy of the batch that was laid into the graph.
func (s *SentenceScorer) EvalStep(int) (Stats, error) { return s.run() }

// Logits are those [sentences, classes] of the last EvalStep, good until the next.
func (s *SentenceScorer) Logits() []float32 { return s.logits.F32 }

// Eval is the compiled evaluation graph.
func (s *SentenceScorer) Eval() *engine.Program { return s.prog }

// appendPredictions adds the classes with the largest logits of the last EvalStep to dst.
func (s *SentenceScorer) appendPredictions(dst []int32) []int32 {
	return appendArgmax(dst, s.logits)
}

// packedBatches are the batches of a loader, laid into the memory that a program reads. All epochs must have
// as many.
type packedBatches struct {
	*text.Loader
	into *text.Packed
}

// Steps is the number of batches in an epoch.
func (b packedBatches) Steps() int { return b.Loader.Steps(0) }

// Lay lays batch step of epoch where the program reads it.
func (b packedBatches) Lay(epoch, step int) int {
	b.Batch(epoch, step, b.into)
	return b.into.Len()
}

// packedGraph is a compiled graph of packed sentences.
type packedGraph struct {
	prog   *engine.Program
	in     text.Packed      // over the memory of leaves
	leaves []*engine.Tensor // ids, positions, offsets, and labels where there are any
}

// newPackedGraph builds a graph on g for at most that many tokens and sentences, and compiles it with the outputs that
// build gives of the sentences and their labels.
func newPackedGraph(g *nn.Graph, tokens, sentences int, build func(in nn.Packed, y *G.Node) (outputs []*G.Node, labelled bool, err error)) (packedGraph, []*engine.Tensor, error) {
	in, y := g.Packed(tokens, sentences), g.Labels("y", sentences)
	outputs, labelled, err := build(in, y)
	if g.Err() != nil {
		err = g.Err()
	}
	if err != nil {
		return packedGraph{}, nil, err
	}
	prog, err := engine.Compile(g.ExprGraph, outputs...)
	if err != nil {
		return packedGraph{}, nil, fmt.Errorf("compiling a graph of sentences: %w", err)
	}
	h := packedGraph{prog: prog}
	for _, n := range []*G.Node{in.IDs, in.Positions, in.Offsets} {
		h.leaves = append(h.leaves, prog.Read(n))
	}
	h.in = text.Packed{IDs: h.leaves[0].I32, Positions: h.leaves[1].I32, Offsets: h.leaves[2].I32, Labels: make([]int32, sentences), Index: make([]int32, sentences)}
	if labelled {
		h.leaves = append(h.leaves, prog.Read(y))
		h.in.Labels = h.leaves[3].I32
	}
	var read []*engine.Tensor
	for _, o := range outputs {
		read = append(read, prog.Read(o))
	}
	return h, read, nil
}

// run computes the batch in h.in.
func (h *packedGraph) run() error {
	sizes := [...]int{len(h.in.IDs), len(h.in.Positions), len(h.in.Offsets), len(h.in.Labels)}
	for i, leaf := range h.leaves {
		if err := leaf.Resize(sizes[i]); err != nil {
			return fmt.Errorf("batch of %d tokens in %d sentences: %w", h.in.Tokens(), h.in.Len(), err)
		}
	}
	return h.prog.Run()
}

// SentenceEncoder computes one vector a sentence.
type SentenceEncoder struct {
	packedGraph
	vectors *engine.Tensor
}

// NewSentenceEncoder compiles the graph that vectors builds [sentences, width], for batches of at most that many tokens
// and sentences, over weights that p holds or that are drawn.
func NewSentenceEncoder(vectors func(g *nn.Graph, in nn.Packed) *G.Node, p *nn.Params, tokens, sentences int) (*SentenceEncoder, error) {
	g := nn.NewGraph(p)
	h, read, err := newPackedGraph(g, tokens, sentences, func(in nn.Packed, _ *G.Node) ([]*G.Node, bool, error) {
		return []*G.Node{vectors(g, in)}, false, nil
	})
	if err != nil {
		return nil, err
	}
	return &SentenceEncoder{h, read[0]}, nil
}

// Batch is where a batch goes.
func (e *SentenceEncoder) Batch() *text.Packed { return &e.in }

// Run computes the vectors [sentences, width] of the batch, good until the next Run.
func (e *SentenceEncoder) Run() ([]float32, error) {
	err := e.run()
	return e.vectors.F32, err
}

// packedHalf is one of the two graphs of a classifier of sentences.
type packedHalf struct {
	packedGraph
	loss, logits *engine.Tensor
}

// newPackedHalf compiles the graph of arch and its loss, with the outputs that more adds.
func newPackedHalf(g *nn.Graph, arch SentenceArchitecture, tokens, sentences int, more func(loss *G.Node) ([]*G.Node, error)) (packedHalf, error) {
	h, read, err := newPackedGraph(g, tokens, sentences, func(in nn.Packed, y *G.Node) ([]*G.Node, bool, error) {
		logits := arch.Logits(g, in)
		loss := nn.CrossEntropy(g, logits, y, 0)
		if g.Err() != nil {
			return nil, true, g.Err()
		}
		outputs, err := more(loss)
		return append([]*G.Node{loss, logits}, outputs...), true, err
	})
	if err != nil {
		return packedHalf{}, err
	}
	return packedHalf{h, read[0], read[1]}, nil
}

// run computes the batch in h.in.
func (h *packedHalf) run() (Stats, error) {
	if err := h.packedGraph.run(); err != nil {
		return Stats{}, err
	}
	return scored(h.loss, h.logits, h.in.Labels), nil
}

// SentenceClassifier is the Program of a classifier of sentences trained by cross-entropy: of the parameters
// that are not frozen, which alone are its state. A step's batch may be computed in parts, one after the other,
// so that less memory is needed: the gradient is the same mean over all its sentences.
type SentenceClassifier struct {
	*SentenceScorer
	params []optim.Param
	train  packedHalf
	step   *engine.Tensor // the number that dropout draws by; nil: nothing is dropped
	parts  int            // of a batch
	batch  text.Packed    // as it comes
	sum    *gradientSum   // of the parts' gradients; nil where there is one part
	state  []weights.Tensor
}

// SentenceSizes bound the batches of a SentenceClassifier.
type SentenceSizes struct {
	Batch, BatchTokens int // of a training step
	Parts              int // that it is computed in
	PartTokens         int // the most that a part has
	Eval, EvalTokens   int // of an evaluation's batch
}

// PartSentences is the most sentences that a part has.
func (s SentenceSizes) PartSentences() int { return (s.Batch + s.Parts - 1) / s.Parts }

// NewSentenceClassifier builds and compiles both graphs over one set of parameters. What of them is frozen gets
// no gradient.
func NewSentenceClassifier(arch SentenceArchitecture, p *nn.Params, s SentenceSizes) (*SentenceClassifier, error) {
	c := &SentenceClassifier{parts: s.Parts, batch: *text.NewPacked(s.BatchTokens, s.Batch)}
	g := nn.NewTrainingGraph(p)
	var grads []*G.Node
	var err error
	c.train, err = newPackedHalf(g, arch, s.PartTokens, s.PartSentences(), func(loss *G.Node) ([]*G.Node, error) {
		grads, err = g.Gradients(loss)
		return grads, err
	})
	if err != nil {
		return nil, err
	}
	if n := g.StepNode(); n != nil {
		c.step = c.train.prog.Read(n)
	}
	for i, q := range p.Trained() {
		c.params = append(c.params, optim.Param{Name: q.Name, Shape: q.Shape, Value: q.Data, Grad: c.train.prog.Read(grads[i]).F32})
		c.state = append(c.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	if s.Parts > 1 {
		c.sum = newGradientSum(c.params)
	}
	c.SentenceScorer, err = NewSentenceScorer(arch, p, s.EvalTokens, s.Eval)
	return c, err
}

// Params are the trained parameters and their gradients.
func (c *SentenceClassifier) Params() []optim.Param { return c.params }

// State is the trained parameters.
func (c *SentenceClassifier) State() []weights.Tensor { return c.state }

// TrainBatches gives the batches of l to TrainStep. Its limit must be of sentences alone, so that all epochs
// have as many batches.
func (c *SentenceClassifier) TrainBatches(l *text.Loader) Batches { return packedBatches{l, &c.batch} }

// TrainStep computes loss, accuracy and gradients of the batch that was laid. Dropout draws as in a Classifier.
func (c *SentenceClassifier) TrainStep(epoch, step, _ int) (Stats, error) {
	first := (uint32(epoch)<<16 + uint32(step)) * uint32(c.parts)
	var all Stats
	rows := c.batch.Len()
	part := (rows + c.parts - 1) / c.parts
	for i, from := 0, 0; from < rows; i, from = i+1, from+part {
		c.train.in.Take(&c.batch, from, min(rows, from+part))
		if c.step != nil {
			c.step.I32[0] = int32(first + uint32(i))
		}
		s, err := c.train.run()
		if err != nil {
			return all, err
		}
		all.Add(s)
		if c.sum != nil {
			c.sum.add(i == 0, float32(s.N)/float32(rows))
		}
	}
	return all, nil
}

// PeakBytes is the planned memory of intermediates and gradients of a training step.
func (c *SentenceClassifier) PeakBytes() int64 { return c.train.prog.PeakBytes() }

// Train is the compiled training graph, for those who time it.
func (c *SentenceClassifier) Train() *engine.Program { return c.train.prog }

// gradientSum is the weighted sum of the gradients of a batch's parts, in memory of its own, which stands for
// the parameters' gradient from then on.
type gradientSum struct {
	sum, part [][]float32
	chunks    []gradientChunk
	weight    float32
	first     bool
}

type gradientChunk struct{ param, lo, hi int }

// newGradientSum makes the Grad of each of params the sum of what it was.
func newGradientSum(params []optim.Param) *gradientSum {
	const size = 16 << 10
	s := &gradientSum{}
	for i := range params {
		p := &params[i]
		s.part = append(s.part, p.Grad)
		p.Grad = kernel.Alloc(len(p.Grad))
		s.sum = append(s.sum, p.Grad)
		for lo := 0; lo < len(p.Grad); lo += size {
			s.chunks = append(s.chunks, gradientChunk{i, lo, min(len(p.Grad), lo+size)})
		}
	}
	return s
}

// add adds the gradients of a part, times weight; those of the first replace what was there.
func (s *gradientSum) add(first bool, weight float32) {
	s.first, s.weight = first, weight
	kernel.Run(s, len(s.chunks))
}

// Chunk adds a stretch of one parameter's gradient.
func (s *gradientSum) Chunk(i int) {
	c := s.chunks[i]
	sum, part := s.sum[c.param][c.lo:c.hi], s.part[c.param][c.lo:c.hi]
	if s.first {
		clear(sum)
	}
	for j, v := range part {
		sum[j] += s.weight * v
	}
}
