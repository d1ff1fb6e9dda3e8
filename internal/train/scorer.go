package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/metrics"
	"dla/internal/nn"
	"dla/internal/weights"
)

// Scorer evaluates a classifier, without a training graph.
type Scorer struct {
	state []weights.Tensor
	eval  half
}

// NewScorer builds and compiles the evaluation graph over p, for batches of up to rows rows of shape
// rowShape.
func NewScorer(arch nn.Architecture, p *nn.Params, rowShape []int, classes, rows int) (*Scorer, error) {
	g := nn.NewGraph(p)
	s := &Scorer{}
	var err error
	s.eval, _, err = newHalf(g, arch, rowShape, classes, rows, rows,
		func(logits, y *G.Node) *G.Node { return nn.CrossEntropy(g, logits, y, 0) },
		func(*G.Node) ([]*G.Node, error) { return nil, nil })
	if err != nil {
		return nil, err
	}
	for _, q := range p.List() {
		s.state = append(s.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return s, nil
}

// State returns the weights and the running statistics.
func (s *Scorer) State() []weights.Tensor { return s.state }

// EvalBatch returns the buffer that EvalStep reads a batch from, at full size.
func (s *Scorer) EvalBatch() *data.Batch { return &s.eval.batch }

// Batches feeds the batches of l to EvalStep.
func (s *Scorer) Batches(l Loader) Batches { return rows{l, &s.eval.batch} }

// EvalStep computes loss and accuracy of the first samples of EvalBatch.
func (s *Scorer) EvalStep(samples int) (Stats, error) { return s.eval.run(samples) }

// Logits returns the logits [rows, classes] of the last EvalStep, valid until the next.
func (s *Scorer) Logits() []float32 { return s.eval.logits.F32 }

// Eval returns the compiled evaluation graph.
func (s *Scorer) Eval() *engine.Program { return s.eval.Program.Program }

// Score writes the logits of b's inputs to dst [rows, classes].
func (s *Scorer) Score(dst []float32, b *data.Batch) error {
	x, y := s.eval.batch.X, s.eval.batch.Y
	rows := b.Rows
	if rows > len(y) {
		return fmt.Errorf("a batch of %d images is too large for the evaluation graph, which takes %d", rows, len(y))
	}
	copy(x, b.X[:rows*(len(x)/len(y))])
	copy(y, b.Y[:rows])
	if _, err := s.EvalStep(rows); err != nil {
		return err
	}
	copy(dst, s.Logits())
	return nil
}

// appendPredictions appends the classes with the largest logits of the last EvalStep to dst.
func (s *Scorer) appendPredictions(dst []int32) []int32 { return appendArgmax(dst, s.eval.logits) }

// appendArgmax appends the class with the largest logit of each row [rows, classes] to dst.
func appendArgmax(dst []int32, logits *engine.Tensor) []int32 {
	classes := logits.Cols()
	for i := range logits.Rows() {
		dst = append(dst, int32(metrics.Argmax(logits.F32[i*classes:(i+1)*classes])))
	}
	return dst
}
