package attack

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
)

// Target is a network to be attacked: its logits, and the gradient of its loss by the images. It shares
// the memory of the network's parameters, so it attacks a network in training as it is at the moment.
// It only reads them. A Target is not safe for concurrent use. After its first use it allocates nothing,
// but for the attacks that say so.
type Target struct {
	rows, px, classes int
	forward, gradient pass
	fgsm              fgsmTask
	pgd               pgdTask
	worst             []kept // of each image, over restarts
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

// NewTarget compiles the evaluation graph of a network over p, with the gradient of its input and
// without, for batches of up to rows images of shape rowShape.
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

// run computes the first rows images. Logits that are no numbers are an error: nothing can be said of such a network.
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
			return fmt.Errorf("attack: the network's logit of class %d for image %d of the batch is %g; its weights or the image are damaged", i%s.classes, i/s.classes, v)
		}
	}
	return nil
}

// Rows is how many images a batch has at most.
func (t *Target) Rows() int { return t.rows }

// Values is how many values an image has.
func (t *Target) Values() int { return t.px }

// Classes is how many classes the network tells apart.
func (t *Target) Classes() int { return t.classes }

// Program is the compiled graph of the gradient, for those who time it.
func (t *Target) Program() *engine.Program { return t.gradient.Program.Program }

// Logits are those [rows, classes] of x [rows, …], good until they are asked for again.
func (t *Target) Logits(x []float32) ([]float32, error) {
	rows := len(x) / t.px
	if rows == 0 || rows > t.rows || len(x) != rows*t.px {
		return nil, fmt.Errorf("attack: %d values are not 1 to %d images of %d", len(x), t.rows, t.px)
	}
	copy(t.forward.pixels, x)
	if err := t.forward.run(rows); err != nil {
		return nil, err
	}
	return t.forward.logits.F32, nil
}

// Gradient is that of the cross-entropy of each image of b against its class of b.Y, by the image's
// values: [rows, …], good until the next gradient. It is not divided by the number of images.
func (t *Target) Gradient(b Batch) ([]float32, error) {
	if len(b.Y) == 0 || len(b.Y) > t.rows || len(b.X) != len(b.Y)*t.px {
		return nil, fmt.Errorf("attack: %d values and %d labels are not 1 to %d images of %d", len(b.X), len(b.Y), t.rows, t.px)
	}
	if err := t.known(b.Y); err != nil {
		return nil, err
	}
	copy(t.gradient.pixels, b.X)
	copy(t.gradient.labels, b.Y)
	return t.differentiate(len(b.Y))
}

// known is an error where y holds a class that the network does not tell.
func (t *Target) known(y []int32) error {
	for i, l := range y {
		if l < 0 || int(l) >= t.classes {
			return fmt.Errorf("attack: class %d of image %d of the batch is not in [0, %d)", l, i, t.classes)
		}
	}
	return nil
}

// differentiate is Gradient for what the first rows rows of gradient.pixels and gradient.labels hold.
func (t *Target) differentiate(rows int) ([]float32, error) {
	if err := t.gradient.run(rows); err != nil {
		return nil, err
	}
	return t.gradient.dx.F32, nil
}

// kept is the worst that an attack's restarts have found for an image.
type kept struct {
	fooled bool
	loss   float64 // higher is worse for the network
}

// better says whether o is worse for the network than k.
func (k kept) better(o kept) bool {
	if k.fooled != o.fooled {
		return o.fooled
	}
	return o.loss > k.loss
}

// judge says how bad an image with these logits is for the network, y being as Batch.Y has it.
func judge(logits []float32, y int32, targeted bool) kept {
	class, _ := Top(logits)
	loss := crossEntropy(logits, y)
	if targeted {
		return kept{class == int(y), -loss}
	}
	return kept{class != int(y), loss}
}

// none is before the first restart.
var none = kept{loss: math.Inf(-1)}
