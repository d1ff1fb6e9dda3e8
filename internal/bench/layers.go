package bench

import (
	"fmt"

	"dla/internal/kernel"
	"dla/internal/optim"
)

// layerCases are what memory bounds.
func layerCases() []Case {
	var all []Case
	for _, m := range []struct{ channels, side int }{{16, 32}, {32, 32}, {64, 8}} {
		all = append(all, normCase(m.channels, m.side, false), normCase(m.channels, m.side, true))
	}
	all = append(all, lossCase(10), lossCase(1000))
	for _, weights := range []int{270_000, 8_000_000} { // of ResNet-20, in the cache; and beyond it
		all = append(all, updateCase("sgd", weights, 5), updateCase("adamw", weights, 7))
	}
	return all
}

// normCase is batch normalisation with ReLU: forward it reads x for the statistics, and again to write
// y; backward it reads dy, y and x to write g, then g and x to write dx.
func normCase(channels, side int, backward bool) Case {
	pass, passes := "forward", 3.0
	if backward {
		pass, passes = "backward", 7.0
	}
	return Case{Group: Layers, Name: fmt.Sprintf("batchnorm-%dch-%dx%d-%s", channels, side, side, pass),
		prepare: func(batch int) (*work, error) {
			m := kernel.Norm{N: batch, Pixels: side * side, C: channels}
			n := batch * side * side * channels
			x, y, dy, g := numbers(n), numbers(n), numbers(n), kernel.Alloc(n)
			mean, variance, a, b := numbers(channels), numbers(channels), numbers(channels), numbers(channels)
			sums := kernel.Alloc(batch * 2 * channels)
			run := func() error {
				m.Sums(sums, x)
				m.Moments(mean, variance, sums)
				m.Apply(y, x, nil, a, b, kernel.ActReLU)
				return nil
			}
			if backward {
				run = func() error {
					m.GradSums(g, sums, dy, y, x, nil, mean, nil, nil, kernel.ActReLU)
					m.GradInput(g, g, x, mean, a, b, variance)
					return nil
				}
			}
			return &work{run: run, bytes: 4 * passes * float64(n)}, nil
		}}
}

// lossCase is softmax cross-entropy with its gradient: logits are read twice, the gradient is written.
func lossCase(classes int) Case {
	return Case{Group: Layers, Name: fmt.Sprintf("cross-entropy-%d", classes), prepare: func(batch int) (*work, error) {
		logits, grad, labels := numbers(batch*classes), kernel.Alloc(batch*classes), make([]int32, batch)
		return &work{bytes: 4 * 3 * float64(batch*classes), run: func() error {
			kernel.SoftmaxCrossEntropy(logits, labels, batch, classes, 0)
			kernel.SoftmaxCrossEntropyGrad(grad, logits, labels, batch, classes, 0, 1/float32(batch))
			return nil
		}}, nil
	}}
}

// updateCase is one step of an optimiser, which reads and writes so many floats a weight.
func updateCase(name string, weights, floats int) Case {
	return Case{Group: Layers, Name: fmt.Sprintf("%s-%s", name, short(weights)), prepare: func(int) (*work, error) {
		p := optim.Param{Name: "w", Shape: []int{weights}, Value: numbers(weights), Grad: numbers(weights)}
		opt, err := optim.New(optim.Config{Name: name, Momentum: 0.9, WeightDecay: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8},
			[]optim.Param{p})
		if err != nil {
			return nil, err
		}
		return &work{bytes: 4 * float64(floats) * float64(weights), run: func() error { opt.Step(1e-3); return nil }}, nil
	}}
}

// short writes thousands as k and millions as M.
func short(n int) string {
	if n >= 1e6 {
		return fmt.Sprintf("%dM", n/1e6)
	}
	return fmt.Sprintf("%dk", n/1e3)
}
