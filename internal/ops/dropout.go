package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/rng"
)

// Draws are where an op's randomness comes from: a stream of internal/rng keyed by the run's seed, a purpose
// of the op's own, and the number of the training step, which is an input of the graph. So a gradient sees
// what its forward pass saw, and a resumed run what the run saw that was never stopped.
type Draws struct {
	Seed    uint64
	Purpose string
	Step    *G.Node // int32 [1]
}

func (d Draws) stream(step []int32) rng.Stream {
	return rng.New(d.Seed, d.Purpose, uint64(step[0]), 0)
}

// check is for the ops' constructors.
func (d Draws) check(p float64) error {
	if !(p > 0 && p < 1) {
		return fmt.Errorf("dropout: probability %g is not in (0, 1)", p)
	}
	return nil
}

// Dropout returns x with each element set to 0 with probability p, in (0, 1), and the others multiplied by 1/(1-p)
// (Srivastava et al. 2014): as torch.nn.Dropout in training.
func Dropout(x *G.Node, p float64, draws Draws) (*G.Node, error) {
	if err := draws.check(p); err != nil {
		return nil, err
	}
	return dropOut("dropout", x, p, draws)
}

func dropOut(name string, x *G.Node, p float64, draws Draws) (*G.Node, error) {
	o := &dropout{p: p, draws: draws}
	o.base = newBase(name, o, x.Dims(), ints, x.Dims())
	return G.ApplyOp(o, x, draws.Step)
}

type dropout struct {
	base
	p      float64
	draws  Draws
	kernel kernel.Dropout
}

// InPlace lets y be written over x.
func (o *dropout) InPlace() int { return 0 }

func (o *dropout) shape(in []tensor.Shape) (tensor.Shape, error) { return in[0].Clone(), nil }

// Run computes y.
func (o *dropout) Run(out *engine.Tensor, in []*engine.Tensor) error {
	if err := out.Resize(in[0].Shape...); err != nil {
		return err
	}
	o.kernel.Run(out.F32, in[0].F32, o.draws.stream(in[1].I32), o.p)
	return nil
}

// DiffWRT says that x has a gradient.
func (o *dropout) DiffWRT(int) []bool { return []bool{true, false} }

// SymDiff drops of dy what was dropped of x.
func (o *dropout) SymDiff(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	dx, err := dropOut("dropout-dx", dy, o.p, o.draws)
	return G.Nodes{dx, nil}, err
}
