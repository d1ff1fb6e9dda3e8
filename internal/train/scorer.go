package train

import (
	"fmt"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/weights"
)

// Scorer evaluates a classifier: a network's logits, without a training graph.
type Scorer struct {
	state []weights.Tensor
	eval  half
}

// NewScorer builds and compiles the evaluation graph over p, for batches of up to rows rows of shape
// rowShape.
func NewScorer(arch Architecture, p *nn.Params, rowShape []int, classes, rows int) (*Scorer, error) {
	g := nn.NewGraph(p)
	logits, x, y := logitsGraph(g, arch, rowShape, classes, rows, rows)
	loss := nn.CrossEntropy(g, logits, y, 0)
	if g.Err() != nil {
		return nil, g.Err()
	}
	prog, err := engine.Compile(g.ExprGraph, loss, logits)
	if err != nil {
		return nil, fmt.Errorf("compiling the evaluation graph: %w", err)
	}
	s := &Scorer{eval: newHalf(prog, x, y, loss, logits, rowShape)}
	for _, q := range p.List() {
		s.state = append(s.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return s, nil
}

// State is the weights and the running statistics.
func (s *Scorer) State() []weights.Tensor { return s.state }

// EvalBuffers are the inputs and labels of the evaluation graph, at full size.
func (s *Scorer) EvalBuffers() ([]float32, []int32) { return s.eval.buffers() }

// EvalStep computes loss and accuracy of the first rows samples of EvalBuffers.
func (s *Scorer) EvalStep(rows int) (Stats, error) { return s.eval.run(rows) }

// Logits are those [rows, classes] of the last EvalStep, good until the next.
func (s *Scorer) Logits() []float32 { return s.eval.logits.F32 }

// Eval is the compiled evaluation graph.
func (s *Scorer) Eval() *engine.Program { return s.eval.prog }

// Score writes the logits of b's inputs to dst [rows, classes].
func (s *Scorer) Score(dst []float32, b *data.Batch) error {
	x, y := s.EvalBuffers()
	rows := b.Rows
	if rows > len(y) {
		return fmt.Errorf("a batch of %d images where the evaluation graph takes %d", rows, len(y))
	}
	copy(x, b.X[:rows*(len(x)/len(y))])
	copy(y, b.Y[:rows])
	if _, err := s.EvalStep(rows); err != nil {
		return err
	}
	copy(dst, s.Logits())
	return nil
}

// appendPredictions adds the classes with the largest logits of the last EvalStep to dst.
func (s *Scorer) appendPredictions(dst []int32) []int32 { return appendArgmax(dst, s.eval.logits) }

// appendArgmax adds the class with the largest of each row's logits [rows, classes] to dst.
func appendArgmax(dst []int32, logits *engine.Tensor) []int32 {
	classes := logits.Cols()
	for i := range logits.Rows() {
		dst = append(dst, int32(argmax(logits.F32[i*classes:(i+1)*classes])))
	}
	return dst
}
