package labs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/rng"
	"dla/internal/train"
)

// target is a compiled network under attack, with the test images to attack.
type target struct {
	net    *Network
	graph  *attack.Target
	images data.Subset
}

// newTarget compiles n for attacks on images.
func newTarget(n *Network, images data.Subset) (*target, error) {
	t, err := attack.NewTarget(n.Model, n.Params, n.row(), n.Images.Classes, evalBatch)
	return &target{n, t, images}, err
}

// attackRun is one attack on a target, and its outcome.
type attackRun struct {
	attack.Outcome
	run func(ctx context.Context, b attack.Batch, dst []float32) error

	// each, if not nil, receives every batch: the true classes, the adversarial images, the same rounded to 8 bits, and
	// the logits of the rounded images.
	each func(b attack.Batch, y []int32, adv, rounded, logits []float32) error
}

// attackOf returns a run of the attack a, called name.
func (v *target) attackOf(name string, a attack.Attack, norm attack.Norm, eps float64, targeted bool) *attackRun {
	w := &attackRun{Outcome: attack.Outcome{Attack: name, Norm: norm, Eps: eps, Targeted: targeted}}
	w.run = func(ctx context.Context, b attack.Batch, dst []float32) error { return a.Run(ctx, v.graph, b, dst) }
	return w
}

// sweep returns FGSM at each radius, in units of 1/255. All radii share one gradient, whose time counts for each.
func (v *target) sweep(eps []float64, targeted bool) []*attackRun {
	var all []*attackRun
	var g []float32
	var took time.Duration
	for i, e := range eps {
		a := attack.FGSM{Eps: e / 255, Targeted: targeted}
		w := v.attackOf("fgsm", a, attack.Linf, e, targeted)
		w.run = func(_ context.Context, b attack.Batch, dst []float32) (err error) {
			if began := time.Now(); i == 0 {
				if g, err = v.graph.Gradient(b); err != nil {
					return err
				}
				took = time.Since(began)
			} else {
				w.Seconds += took.Seconds()
			}
			a.Step(v.graph, b, g, dst)
			return nil
		}
		all = append(all, w)
	}
	return all
}

// evaluate attacks every image of v with each attack and counts the predictions. class gives the target class of
// targeted attacks. Progress is shown under name.
func (v *target) evaluate(ctx context.Context, name string, attacks []*attackRun, class targetOf,
	sink train.Sink) error {
	t, classes := v.graph, v.graph.Classes()
	loader := data.NewLoader(v.images, t.Rows(), false, 0)
	full := t.Rows() * t.Values()
	in := data.Batch{X: make([]float32, full), Y: make([]int32, t.Rows()), Index: make([]int32, t.Rows())}
	adv, rounded, logits := make([]float32, full), make([]float32, full), make([]float32, t.Rows()*classes)
	index, aimed := make([]int32, t.Rows()), make([]int32, t.Rows())
	last := attacks[len(attacks)-1] // whose accuracy is shown
	_, err := train.EachBatch(ctx, name, loader.Steps(), sink, func(step int) (train.Stats, error) {
		loader.Batch(0, step, &in)
		before := last.Correct
		n := in.Rows * t.Values()
		x, y := in.X[:n], in.Y[:in.Rows]
		for i, p := range in.Index {
			index[i] = v.images.Index[p]
			aimed[i] = class(index[i], y[i])
		}
		for _, w := range attacks {
			if ctx.Err() != nil {
				return train.Stats{}, context.Cause(ctx)
			}
			b := attack.Batch{X: x, Y: y, Index: index[:in.Rows]}
			if w.Targeted {
				b.Y = aimed[:in.Rows]
			}
			began := time.Now()
			if err := w.run(ctx, b, adv[:n]); err != nil {
				return train.Stats{}, err
			}
			w.Seconds += time.Since(began).Seconds()
			radius := w.Radius()
			if w.Norm == attack.L2 {
				radius = math.Inf(1)
			}
			attack.Round(rounded[:n], adv[:n], x, radius)
			z, err := t.Logits(adv[:n])
			if err != nil {
				return train.Stats{}, err
			}
			copy(logits, z)
			if z, err = t.Logits(rounded[:n]); err != nil {
				return train.Stats{}, err
			}
			w.Add(b, y, adv[:n], logits[:in.Rows*classes], z, classes)
			if w.each != nil {
				if err := w.each(b, y, adv[:n], rounded[:n], z); err != nil {
					return train.Stats{}, err
				}
			}
		}
		return train.Stats{N: in.Rows, Correct: last.Correct - before, LossSum: math.NaN()}, nil
	})
	if err != nil {
		return err
	}
	for _, w := range attacks {
		w.Close()
	}
	return nil
}

// targetOf returns the target class of an image from its index and its true class.
type targetOf func(index, label int32) int32

// targets returns a function that gives the class called name, or for config.RandomTarget a wrong class drawn from seed
// and the index of the image.
func targets(name string, classes []string, seed uint64) (targetOf, error) {
	if name == config.RandomTarget {
		return func(index, label int32) int32 {
			r := rng.New(seed, "target", 0, uint64(index))
			c := int32(r.IntN(len(classes) - 1))
			if c >= label {
				c++
			}
			return c
		}, nil
	}
	c := slices.Index(classes, name)
	if c < 0 {
		return nil, fmt.Errorf("no class is called %q; the classes are %v", name, classes)
	}
	return func(int32, int32) int32 { return int32(c) }, nil
}
