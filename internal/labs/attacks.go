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

// victim is a network ready to be attacked, and the test images it is attacked on.
type victim struct {
	net    *Network
	target *attack.Target
	images data.Subset
}

// newVictim compiles n for attacks on images.
func newVictim(n *Network, images data.Subset) (*victim, error) {
	t, err := attack.NewTarget(n.Model, n.Params, n.row(), n.Images.Classes, evalBatch)
	return &victim{n, t, images}, err
}

// way is one way to change images, and what comes of it.
type way struct {
	attack.Outcome
	run func(ctx context.Context, b attack.Batch, dst []float32) error

	// each, where it is not nil, sees every batch: the true classes, the images it became, these rounded
	// to 8 bits, and the logits of the latter.
	each func(b attack.Batch, y []int32, adv, rounded, logits []float32) error
}

// wayOf runs a, which is called name.
func (v *victim) wayOf(name string, a attack.Attack, norm attack.Norm, eps float64, targeted bool) *way {
	w := &way{Outcome: attack.Outcome{Attack: name, Norm: norm, Eps: eps, Targeted: targeted}}
	w.run = func(ctx context.Context, b attack.Batch, dst []float32) error { return a.Run(ctx, v.target, b, dst) }
	return w
}

// sweep is FGSM at each radius, in steps of 8 bits, of one gradient, whose time counts for each of them.
func (v *victim) sweep(eps []float64, targeted bool) []*way {
	var ways []*way
	var g []float32
	var took time.Duration
	for i, e := range eps {
		a := attack.FGSM{Eps: e / 255, Targeted: targeted}
		w := v.wayOf("fgsm", a, attack.Linf, e, targeted)
		w.run = func(_ context.Context, b attack.Batch, dst []float32) (err error) {
			if began := time.Now(); i == 0 {
				if g, err = v.target.Gradient(b); err != nil {
					return err
				}
				took = time.Since(began)
			} else {
				w.Seconds += took.Seconds()
			}
			a.Step(v.target, b, g, dst)
			return nil
		}
		ways = append(ways, w)
	}
	return ways
}

// face changes all of v's images in every one of the ways and counts what the network says to them. goal is
// the class that targeted ways aim at, by an image's number and its class. What is shown of it is called
// name.
func (v *victim) face(ctx context.Context, name string, ways []*way, goal func(index, label int32) int32, sink train.Sink) error {
	t, classes := v.target, v.target.Classes()
	loader := data.NewLoader(v.images, t.Rows(), false, 0)
	full := t.Rows() * t.Values()
	in := data.Batch{X: make([]float32, full), Y: make([]int32, t.Rows()), Index: make([]int32, t.Rows())}
	adv, rounded, logits := make([]float32, full), make([]float32, full), make([]float32, t.Rows()*classes)
	index, goals := make([]int32, t.Rows()), make([]int32, t.Rows())
	sink(train.Event{Kind: train.EvalStart, Steps: loader.Steps(), Message: name})
	var sum train.Stats
	for step := range loader.Steps() {
		loader.Batch(0, step, &in)
		n := in.Rows * t.Values()
		x, y := in.X[:n], in.Y[:in.Rows]
		for i, p := range in.Index {
			index[i] = v.images.Index[p]
			goals[i] = goal(index[i], y[i])
		}
		for _, w := range ways {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b := attack.Batch{X: x, Y: y, Index: index[:in.Rows]}
			if w.Targeted {
				b.Y = goals[:in.Rows]
			}
			began := time.Now()
			if err := w.run(ctx, b, adv[:n]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			w.Seconds += time.Since(began).Seconds()
			radius := w.Radius()
			if w.Norm == attack.L2 {
				radius = math.Inf(1)
			}
			attack.Round(rounded[:n], adv[:n], x, radius)
			z, err := t.Logits(adv[:n])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			copy(logits, z)
			if z, err = t.Logits(rounded[:n]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			w.Add(b, y, adv[:n], logits[:in.Rows*classes], z, classes)
			if w.each != nil {
				if err := w.each(b, y, adv[:n], rounded[:n], z); err != nil {
					return err
				}
			}
		}
		last := ways[len(ways)-1]
		sum = train.Stats{N: last.N, Correct: last.Correct}
		sink(train.Event{Kind: train.EvalStep, Step: step + 1, Steps: loader.Steps(), Items: in.Rows, Loss: math.NaN(), Accuracy: sum.Accuracy()})
	}
	for _, w := range ways {
		w.Close()
	}
	return nil
}

// goals chooses the class that targeted attacks aim at: the one called name, or for config.RandomTarget
// another than the image's own, drawn by seed and the image's number.
func goals(name string, classes []string, seed uint64) (func(index, label int32) int32, error) {
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
