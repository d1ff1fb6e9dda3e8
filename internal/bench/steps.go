package bench

import (
	"slices"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
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
			c.prepare = func(batch int) (*work, error) { return prepare(n, batch) }
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
	opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9, WeightDecay: 1e-4}, c.Params())
	if err != nil {
		return nil, err
	}
	x, y := c.TrainBuffers()
	noise(x, y, set.Classes)
	return &work{images: batch, flops: 2 * float64(c.Train().MACs()), program: c.Train(), run: func() error {
		if _, err := c.TrainStep(batch); err != nil {
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
	x, y := c.EvalBuffers()
	noise(x, y, set.Classes)
	return &work{images: batch, flops: 2 * float64(c.Eval().MACs()), program: c.Eval(), run: func() error {
		_, err := c.EvalStep(batch)
		return err
	}}, nil
}

// fgsmWork is the fast gradient sign method (Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572):
// x + 8/255 · sign(∂loss/∂x), within [0, 1], on the evaluation graph.
func fgsmWork(n network, batch int) (*work, error) {
	set, err := data.Describe(n.set)
	if err != nil {
		return nil, err
	}
	g := nn.NewGraph(nn.NewParams(1))
	x := g.Input("x", append([]int{batch}, n.Input(set.H, set.W, set.C)...)...)
	y := g.Labels("y", batch)
	loss := nn.CrossEntropy(g, n.Logits(g, x, set.Classes), y, 0)
	if g.Err() != nil {
		return nil, g.Err()
	}
	grads, err := G.Grad(loss, x)
	if err != nil {
		return nil, err
	}
	prog, err := engine.Compile(g.ExprGraph, grads[0])
	if err != nil {
		return nil, err
	}
	pixels, grad := prog.Read(x).F32, prog.Read(grads[0])
	noise(pixels, prog.Read(y).I32, set.Classes)
	attacked := make([]float32, len(pixels))
	return &work{images: batch, flops: 2 * float64(prog.MACs()), program: prog, run: func() error {
		if err := prog.Run(); err != nil {
			return err
		}
		signStep(attacked, pixels, grad.F32)
		return nil
	}}, nil
}

// signStep is dst = x + 8/255 · sign(g), within [0, 1].
func signStep(dst, x, g []float32) {
	for i, v := range g {
		step := float32(0)
		switch {
		case v > 0:
			step = 8. / 255
		case v < 0:
			step = -8. / 255
		}
		dst[i] = min(1, max(0, x[i]+step))
	}
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
