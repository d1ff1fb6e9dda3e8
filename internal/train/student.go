package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/nn"
)

// Student is a Classifier trained by distillation, on labels and a teacher's logits.
type Student struct {
	*Classifier
	// Teacher writes the teacher's logits [rows, classes] for batch b of the given epoch to dst.
	Teacher func(dst []float32, b *data.Batch, epoch int) error

	teacher *engine.Tensor
	classes int
}

// NewStudent is NewClassifier with the distillation loss d. The caller must set the field Teacher.
func NewStudent(arch nn.Architecture, p *nn.Params, rowShape []int, classes, batch, evalBatch int,
	d kernel.Distillation) (*Student, error) {
	s := &Student{classes: classes}
	var node *G.Node
	var err error
	s.Classifier, err = newClassifier(arch, p, rowShape, classes, batch, 0, evalBatch,
		func(g *nn.Graph, logits, y *G.Node) *G.Node {
			node = g.Input("teacher", batch, classes)
			return nn.Distill(g, logits, node, y, d.Weight, d.Temperature)
		})
	if err != nil {
		return nil, err
	}
	s.teacher = s.train.Read(node)
	return s, nil
}

// TrainStep computes the teacher's logits for the batch and takes the training step of a Classifier.
func (s *Student) TrainStep(epoch, step, samples int) (Stats, error) {
	if err := s.teacher.Resize(samples, s.classes); err != nil {
		return Stats{}, fmt.Errorf("teacher's logits: %w", err)
	}
	b := s.TrainBatch()
	b.Rows = samples
	if err := s.Teacher(s.teacher.F32, b, epoch); err != nil {
		return Stats{}, err
	}
	return s.Classifier.TrainStep(epoch, step, samples)
}
