package attack

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
)

// Target is a network under attack: its logits, and the gradient of its loss with respect to the images. It reads the
// network's parameters in place, so it attacks the current weights of a network in training. A Target is not safe for
// concurrent use. After its first use it allocates nothing, except for attacks that document otherwise.
type Target struct {
	rows, px, classes int
	forward, gradient pass
	fgsm              fgsmTask
	pgd               pgdTask
	worst             []kept // best adversarial example of each image, over restarts
}

// pass is one of the two compiled graphs, with its inputs and outputs.
type pass struct {
	*nn.Program
	pixels  []float32 // of a whole batch
	y       *engine.Tensor
	labels  []int32 // of y
	logits  *engine.Tensor
	dx      *engine.Tensor
	classes int
}

// NewTarget compiles two evaluation graphs of a network over p, with and without the gradient of the input, for batches
// of up to rows images of shape rowShape.
func NewTarget(arch nn.Architecture, p *nn.Params, rowShape []int, classes, rows int) (*Target, error) {
	t := &Target{rows: rows, px: 1, classes: classes, worst: make([]kept, rows)}
	for _, d := range rowShape {
		t.px *= d
	}
	var err error
	if t.forward, err = newPass(arch, p, rowShape, classes, rows, false); err == nil {
		t.gradient, err = newPass(arch, p, rowShape, classes, rows, true)
	}
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	return t, nil
}

func newPass(arch nn.Architecture, p *nn.Params, rowShape []int, classes, rows int, gradient bool) (pass, error) {
	g := nn.NewGraph(p)
	var y *G.Node
	prog, read, err := nn.Compile(g, rowShape, rows, func(x *G.Node) ([]*G.Node, error) {
		logits := arch.Logits(g, x, classes)
		if !gradient {
			return []*G.Node{logits}, nil
		}
		y = g.Labels("y", rows)
		loss := nn.SumCrossEntropy(g, logits, y)
		if g.Err() != nil {
			return nil, g.Err()
		}
		grads, err := G.Grad(loss, x)
		if err != nil {
			return nil, fmt.Errorf("differentiating the loss by the images: %w", err)
		}
		return []*G.Node{logits, grads[0]}, nil
	})
	if err != nil {
		return pass{}, err
	}
	s := pass{Program: prog, pixels: prog.Inputs(), logits: read[0], classes: classes}
	if gradient {
		s.y, s.dx = prog.Read(y), read[1]
		s.labels = s.y.I32
	}
	return s, nil
}

// run computes the first rows images. Logits that are not finite are an error.
func (s *pass) run(rows int) error {
	if err := s.Resize(rows); err != nil {
		return err
	}
	if s.y != nil {
		if err := s.y.Resize(rows); err != nil {
			return err
		}
	}
	if err := s.Run(); err != nil {
		return err
	}
	for i, v := range s.logits.F32 {
		if v-v != 0 { // NaN or infinite
			return fmt.Errorf("attack: the network's logit of class %d for image %d of the batch is %g; its weights "+
				"or the image are damaged", i%s.classes, i/s.classes, v)
		}
	}
	return nil
}

// Rows returns the largest number of images of a batch.
func (t *Target) Rows() int { return t.rows }

// Values returns the number of values of an image.
func (t *Target) Values() int { return t.px }

// Classes returns the number of classes.
func (t *Target) Classes() int { return t.classes }

// Program returns the compiled graph of the gradient, for timing.
func (t *Target) Program() *engine.Program { return t.gradient.Program.Program }

// Logits returns the logits [rows, classes] of x [rows, …], valid until the next call.
func (t *Target) Logits(x []float32) ([]float32, error) {
	rows := len(x) / t.px
	if rows == 0 || rows > t.rows || len(x) != rows*t.px {
		return nil, fmt.Errorf("attack: %d values; want 1 to %d images of %d values", len(x), t.rows, t.px)
	}
	copy(t.forward.pixels, x)
	if err := t.forward.run(rows); err != nil {
		return nil, err
	}
	return t.forward.logits.F32, nil
}

// Gradient returns the gradient [rows, …] of each image's cross-entropy against its class in b.Y with respect to the
// image, valid until the next call. It is not divided by the number of images.
func (t *Target) Gradient(b Batch) ([]float32, error) {
	if len(b.Y) == 0 || len(b.Y) > t.rows || len(b.X) != len(b.Y)*t.px {
		return nil, fmt.Errorf("attack: %d values and %d labels; want 1 to %d images of %d values", len(b.X), len(b.Y),
			t.rows, t.px)
	}
	if err := t.known(b.Y); err != nil {
		return nil, err
	}
	copy(t.gradient.pixels, b.X)
	copy(t.gradient.labels, b.Y)
	return t.differentiate(len(b.Y))
}

// known returns an error where y holds a class that the network does not have.
func (t *Target) known(y []int32) error {
	for i, l := range y {
		if l < 0 || int(l) >= t.classes {
			return fmt.Errorf("attack: class %d of image %d of the batch is not in [0, %d)", l, i, t.classes)
		}
	}
	return nil
}

// differentiate computes Gradient for the first rows rows of gradient.pixels and gradient.labels.
func (t *Target) differentiate(rows int) ([]float32, error) {
	if err := t.gradient.run(rows); err != nil {
		return nil, err
	}
	return t.gradient.dx.F32, nil
}

// kept is the best adversarial example of an image over an attack's restarts.
type kept struct {
	fooled bool
	loss   float64 // larger for a better adversarial example
}

// better reports whether o is a better adversarial example than k.
func (k kept) better(o kept) bool {
	if k.fooled != o.fooled {
		return o.fooled
	}
	return o.loss > k.loss
}

// judge rates an adversarial example by its logits. y is from Batch.Y.
func judge(logits []float32, y int32, targeted bool) kept {
	class, _ := Top(logits)
	loss := crossEntropy(logits, y)
	if targeted {
		return kept{class == int(y), -loss}
	}
	return kept{class != int(y), loss}
}

// none is the rating before the first restart.
var none = kept{loss: math.Inf(-1)}
