package bench

import (
	"context"
	"math"
	"slices"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/rng"
)

// networkCases are Steps and Eval of all networks and FGSM of some.
func networkCases() []Case {
	var steps, eval, fgsm []Case
	for _, n := range networks() {
		c := Case{Name: n.Name(), large: n.large}
		as := func(group, peer string, prepare func(network, int) (*work, error)) Case {
			c.Group, c.peer = group, peerWork{}
			if n.peer != "" && peer != "" {
				c.peer = peerWork{name: n.peer + " " + peer, variants: n.conv, note: n.note}
			}
			c.prepare = func(batch int) (*work, error) {
				if n.err != nil {
					return nil, n.err
				}
				return prepare(n, batch)
			}
			return c
		}
		steps = append(steps, as(Steps, "step", stepWork))
		evalPeer := "eval"
		if !n.conv {
			evalPeer = "" // the peer evaluates convolutional networks only
		}
		eval = append(eval, as(Eval, evalPeer, evalWork))
		if slices.Contains([]string{"mlp-d5-res", "cnn-medium-res", "resnet20", "resnet20-b"}, n.Name()) {
			f := as(FGSM, "", fgsmWork)
			if n.Name() == "resnet20-b" {
				f.peer = peerWork{name: "fgsm resnet20-w16"}
			}
			fgsm = append(fgsm, f)
		}
	}
	return slices.Concat(steps, eval, fgsm)
}

// stepWork is a training step by SGD with momentum, always on the same batch of noise.
func stepWork(n network, batch int) (*work, error) {
	set, err := data.Describe(n.set)
	if err != nil {
		return nil, err
	}
	c, err := classifier(n, set, batch)
	if err != nil {
		return nil, err
	}
	opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9, WeightDecay: 1e-4, EpochSteps: math.MaxInt32},
		c.Params())
	if err != nil {
		return nil, err
	}
	b := c.TrainBatch()
	noise(b.X, b.Y, set.Classes)
	return &work{images: batch, flops: 2 * float64(c.Train().MACs()), program: c.Train(), run: func() error {
		if _, err := c.TrainStep(0, 0, batch); err != nil {
			return err
		}
		opt.Step(0.01)
		return nil
	}}, nil
}

// evalWork is the evaluation of a batch.
func evalWork(n network, batch int) (*work, error) {
	set, err := data.Describe(n.set)
	if err != nil {
		return nil, err
	}
	c, err := classifier(n, set, batch)
	if err != nil {
		return nil, err
	}
	b := c.EvalBatch()
	noise(b.X, b.Y, set.Classes)
	return &work{images: batch, flops: 2 * float64(c.Eval().MACs()), program: c.Eval(), run: func() error {
		_, err := c.EvalStep(batch)
		return err
	}}, nil
}

// fgsmWork is FGSM at 8/255.
func fgsmWork(n network, batch int) (*work, error) {
	set, err := data.Describe(n.set)
	if err != nil {
		return nil, err
	}
	target, err := attack.NewTarget(n, nn.NewParams(1), n.Input(set.H, set.W, set.C), set.Classes, batch)
	if err != nil {
		return nil, err
	}
	b := attack.Batch{X: make([]float32, batch*target.Values()), Y: make([]int32, batch), Index: make([]int32, batch)}
	noise(b.X, b.Y, set.Classes)
	attacked := make([]float32, len(b.X))
	return &work{images: batch, flops: 2 * float64(target.Program().MACs()), program: target.Program(), run: func() error {
		return attack.FGSM{Eps: 8. / 255}.Run(context.Background(), target, b, attacked)
	}}, nil
}

// noise fills a batch with uniform pixels and labels.
func noise(x []float32, y []int32, classes int) {
	s := rng.New(1, "bench", 0, 0)
	for i := range x {
		x[i] = float32(s.Float64())
	}
	for i := range y {
		y[i] = int32(s.IntN(classes))
	}
}
