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

// SentenceArchitecture builds a classifier's logits [sentences, classes] for packed sentences.
type SentenceArchitecture interface {
	Logits(g *nn.Graph, in nn.Packed) *G.Node
}

// SentenceScorer evaluates a classifier of sentences, without a training graph.
type SentenceScorer struct{ packedHalf }

// NewSentenceScorer builds and compiles the evaluation graph over p, for batches of at most tokens tokens and sentences
// sentences.
func NewSentenceScorer(arch SentenceArchitecture, p *nn.Params, tokens, sentences int) (*SentenceScorer, error) {
	h, err := newPackedHalf(nn.NewGraph(p), arch, tokens, sentences,
		func(*G.Node) ([]*G.Node, error) { return nil, nil })
	return &SentenceScorer{h}, err
}

// Batches feeds the batches of l to EvalStep. No batch may have more tokens or sentences than the graph takes.
func (s *SentenceScorer) Batches(l *text.Loader) Batches { return packedBatches{l, &s.in} }

// EvalStep computes loss and accuracy of the batch in the graph's buffers.
func (s *SentenceScorer) EvalStep(int) (Stats, error) { return s.run() }

// Logits returns the logits [sentences, classes] of the last EvalStep, valid until the next.
func (s *SentenceScorer) Logits() []float32 { return s.logits.F32 }

// Eval returns the compiled evaluation graph.
func (s *SentenceScorer) Eval() *engine.Program { return s.prog }

// appendPredictions appends the classes with the largest logits of the last EvalStep to dst.
func (s *SentenceScorer) appendPredictions(dst []int32) []int32 {
	return appendArgmax(dst, s.logits)
}

// packedBatches writes the batches of a loader into a program's buffers. All epochs must have the same number.
type packedBatches struct {
	*text.Loader
	into *text.Packed
}

// Steps returns the number of batches of an epoch.
func (b packedBatches) Steps() int { return b.Loader.Steps(0) }

// Lay writes the batch of the given epoch and step into the program's buffers.
func (b packedBatches) Lay(epoch, step int) int {
	b.Batch(epoch, step, b.into)
	return b.into.Len()
}

// packedGraph is a compiled graph of packed sentences.
type packedGraph struct {
	prog   *engine.Program
	in     text.Packed      // shares the memory of leaves
	leaves []*engine.Tensor // ids, positions, offsets and, for a classifier, labels
}

// newPackedGraph builds a graph on g for at most tokens tokens and sentences sentences, and compiles it with the
// outputs that build makes from the sentences and their labels.
func newPackedGraph(g *nn.Graph, tokens, sentences int, build func(in nn.Packed, y *G.Node) (outputs []*G.Node,
	labelled bool, err error)) (packedGraph, []*engine.Tensor, error) {
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
	h.in = text.Packed{IDs: h.leaves[0].I32, Positions: h.leaves[1].I32, Offsets: h.leaves[2].I32,
		Labels: make([]int32, sentences), Index: make([]int32, sentences)}
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

// SentenceEncoder computes one vector per sentence.
type SentenceEncoder struct {
	packedGraph
	vectors *engine.Tensor
}

// NewSentenceEncoder compiles the graph of the vectors [sentences, width] that vectors builds, for batches of at most
// tokens tokens and sentences sentences. Weights that p lacks are drawn.
func NewSentenceEncoder(vectors func(g *nn.Graph, in nn.Packed) *G.Node, p *nn.Params, tokens,
	sentences int) (*SentenceEncoder, error) {
	g := nn.NewGraph(p)
	h, read, err := newPackedGraph(g, tokens, sentences, func(in nn.Packed, _ *G.Node) ([]*G.Node, bool, error) {
		return []*G.Node{vectors(g, in)}, false, nil
	})
	if err != nil {
		return nil, err
	}
	return &SentenceEncoder{h, read[0]}, nil
}

// Batch returns the buffer that Run reads a batch from.
func (e *SentenceEncoder) Batch() *text.Packed { return &e.in }

// Run computes the vectors [sentences, width] of the batch, valid until the next Run.
func (e *SentenceEncoder) Run() ([]float32, error) {
	err := e.run()
	return e.vectors.F32, err
}

// packedHalf is the training or the evaluation graph of a classifier of sentences.
type packedHalf struct {
	packedGraph
	loss, logits *engine.Tensor
}

// newPackedHalf compiles the graph of arch and its loss; more adds outputs.
func newPackedHalf(g *nn.Graph, arch SentenceArchitecture, tokens, sentences int,
	more func(loss *G.Node) ([]*G.Node, error)) (packedHalf, error) {
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

// SentenceClassifier is the Program of a classifier of sentences trained on the cross-entropy. Its state is the
// parameters that are not frozen. To save memory, a step may compute its batch in micro-batches: the gradient is the
// same mean over all sentences of the batch.
type SentenceClassifier struct {
	*SentenceScorer
	params       []optim.Param
	train        packedHalf
	step         *engine.Tensor // seeds the masks of dropout; nil: no dropout
	microBatches int            // per batch
	batch        text.Packed    // as it comes
	sum          *gradientSum   // over micro-batches; nil where there is only one
	state        []weights.Tensor
}

// SentenceSizes bounds the batches of a SentenceClassifier.
type SentenceSizes struct {
	Batch, BatchTokens int // of a training step
	MicroBatches       int // per batch of a training step
	MicroBatchTokens   int // at most, in each
	Eval, EvalTokens   int // of a batch of an evaluation
}

// MicroBatchSentences returns the largest number of sentences of a micro-batch.
func (s SentenceSizes) MicroBatchSentences() int {
	return (s.Batch + s.MicroBatches - 1) / s.MicroBatches
}

// NewSentenceClassifier builds and compiles both graphs over one set of parameters. Frozen parameters get no
// gradient.
func NewSentenceClassifier(arch SentenceArchitecture, p *nn.Params, s SentenceSizes) (*SentenceClassifier, error) {
	c := &SentenceClassifier{microBatches: s.MicroBatches, batch: *text.NewPacked(s.BatchTokens, s.Batch)}
	g := nn.NewTrainingGraph(p)
	var grads []*G.Node
	var err error
	c.train, err = newPackedHalf(g, arch, s.MicroBatchTokens, s.MicroBatchSentences(),
		func(loss *G.Node) ([]*G.Node, error) {
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
		c.params = append(c.params, trained(q, c.train.prog.Read(grads[i])))
		c.state = append(c.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	if s.MicroBatches > 1 {
		c.sum = newGradientSum(c.params)
	}
	c.SentenceScorer, err = NewSentenceScorer(arch, p, s.EvalTokens, s.Eval)
	return c, err
}

// Params returns the trained parameters and their gradients.
func (c *SentenceClassifier) Params() []optim.Param { return c.params }

// State returns the trained parameters.
func (c *SentenceClassifier) State() []weights.Tensor { return c.state }

// TrainBatches feeds the batches of l to TrainStep. l must limit sentences alone, not tokens, so that all epochs have
// the same number of batches.
func (c *SentenceClassifier) TrainBatches(l *text.Loader) Batches { return packedBatches{l, &c.batch} }

// TrainStep computes loss, accuracy and gradients of the batch in the buffers. Dropout draws as in a Classifier.
func (c *SentenceClassifier) TrainStep(epoch, step, _ int) (Stats, error) {
	first := (uint32(epoch)<<16 + uint32(step)) * uint32(c.microBatches)
	var all Stats
	rows := c.batch.Len()
	part := (rows + c.microBatches - 1) / c.microBatches
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

// PeakBytes returns the planned memory of intermediates and gradients of a training step, in bytes.
func (c *SentenceClassifier) PeakBytes() int64 { return c.train.prog.PeakBytes() }

// Train returns the compiled training graph, for timing.
func (c *SentenceClassifier) Train() *engine.Program { return c.train.prog }

// gradientSum is the weighted sum of the micro-batches' gradients. Its memory becomes the parameters' Grad.
type gradientSum struct {
	sum, part [][]float32
	chunks    []gradientChunk
	weight    float32
	first     bool
}

type gradientChunk struct{ param, lo, hi int }

// newGradientSum makes the sum the Grad of each of params. The graph goes on writing into the old Grad.
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

// add adds the gradients of a micro-batch, times weight; the first replaces the previous sum.
func (s *gradientSum) add(first bool, weight float32) {
	s.first, s.weight = first, weight
	kernel.Run(s, len(s.chunks))
}

// Chunk adds a range of one parameter's gradient.
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
