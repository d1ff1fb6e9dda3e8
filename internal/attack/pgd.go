package attack

import (
	"context"
	"math"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// PGD is projected gradient descent of Madry et al. 2018 (https://arxiv.org/abs/1706.06083, section 2.1): from a random
// point of the ball, Steps steps up the cross-entropy against the true class (down that against the target class), each
// followed by a projection onto the ball and onto [0,1]. A step goes along the sign of the gradient in L-infinity, and
// along the gradient divided by its norm in L2. The last point is the result. Of several restarts each image keeps the
// best adversarial example: success first, then the larger loss (smaller if targeted).
type PGD struct {
	Norm     Norm
	Eps      float64 // radius, in pixel values of [0,1]
	Step     float64 // size of a step, in the same norm
	Steps    int
	Restarts int // random starts, at least 1
	Targeted bool
	Seed     uint64 // of the random starts; training uses a new one each epoch
}

var pgdMethod = Method{Name: "pgd", Label: "PGD", Source: "Madry et al. 2018", L2: true, Targeted: true,
	New: func(s Settings) Attack {
		return PGD{Norm: s.Norm, Eps: s.Eps, Step: s.step(), Steps: s.Steps, Restarts: s.Restarts, Targeted: s.Targeted,
			Seed: s.Seed}
	},
	Gradients: func(s Settings) int { return s.Steps * s.Restarts },
}

// Run implements Attack.
func (a PGD) Run(ctx context.Context, t *Target, b Batch, dst []float32) error {
	if err := b.check(t, dst); err != nil {
		return err
	}
	rows := len(b.Y)
	for r := range a.Restarts {
		a.task(t, b)
		t.pgd.start, t.pgd.seed, t.pgd.restart = true, a.Seed, uint64(r)
		kernel.Run(&t.pgd, rows)
		if err := a.descend(ctx, t, b); err != nil {
			return err
		}
		x := t.gradient.pixels[:rows*t.px]
		if a.Restarts == 1 {
			copy(dst, x)
			return nil
		}
		logits, err := t.Logits(x)
		if err != nil {
			return err
		}
		for i, y := range b.Y {
			if r == 0 {
				t.worst[i] = none
			}
			if k := judge(logits[i*t.classes:(i+1)*t.classes], y, a.Targeted); t.worst[i].better(k) {
				t.worst[i] = k
				copy(dst[i*t.px:(i+1)*t.px], x[i*t.px:(i+1)*t.px])
			}
		}
	}
	return nil
}

// task prepares t.pgd for the images of b.
func (a PGD) task(t *Target, b Batch) {
	step := a.Step
	if a.Targeted {
		step = -step
	}
	t.pgd = pgdTask{x: b.X, at: t.gradient.pixels, index: b.Index, px: t.px, l2: a.Norm == L2, eps: radius(a.Eps),
		step: float32(step)}
}

// descend takes all steps from the points in t.gradient.pixels.
func (a PGD) descend(ctx context.Context, t *Target, b Batch) error {
	copy(t.gradient.labels, b.Y)
	t.pgd.start = false
	for range a.Steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		g, err := t.differentiate(len(b.Y))
		if err != nil {
			return err
		}
		t.pgd.g = g
		kernel.Run(&t.pgd, len(b.Y))
	}
	return nil
}

// pgdTask draws the start, or takes a step, of each image.
type pgdTask struct {
	x, at, g  []float32
	index     []int32
	px        int
	l2, start bool
	eps, step float32
	seed      uint64
	restart   uint64
}

// Chunk moves image i.
func (a *pgdTask) Chunk(i int) {
	x, at := a.x[i*a.px:(i+1)*a.px], a.at[i*a.px:(i+1)*a.px]
	if a.start {
		r := rng.New(a.seed, "pgd", a.restart, uint64(a.index[i]))
		if a.l2 {
			a.startL2(at, x, &r)
		} else {
			a.startLinf(at, x, &r)
		}
		return
	}
	g := a.g[i*a.px : (i+1)*a.px]
	if !a.l2 {
		a.stepLinf(at, x, g)
		return
	}
	if norm := math.Sqrt(kernel.SumSquares(g)); norm > 0 {
		scale := float64(a.step) / norm // overflows float32 for a tiny gradient
		for j, v := range g {
			at[j] += float32(scale * float64(v))
		}
	}
	a.projectL2(at, x)
}

// startLinf draws at uniformly from the ball around x.
func (a *pgdTask) startLinf(at, x []float32, r *rng.Stream) {
	for j, v := range x {
		lo, hi := bounds(v, a.eps)
		at[j] = min(hi, max(lo, v+a.eps*(2*r.Float32()-1)))
	}
}

// stepLinf moves at along the sign of g and projects it onto the ball around x.
func (a *pgdTask) stepLinf(at, x, g []float32) {
	for j, v := range g {
		next := at[j]
		switch {
		case v > 0:
			next += a.step
		case v < 0:
			next -= a.step
		}
		lo, hi := bounds(x[j], a.eps)
		at[j] = min(hi, max(lo, next))
	}
}

// startL2 draws at uniformly from the ball around x: a random direction, at the distance radius·u^(1/n) for a uniform u
// in n dimensions.
func (a *pgdTask) startL2(at, x []float32, r *rng.Stream) {
	sum := 0.0
	for j := range at {
		v := r.Normal()
		at[j] = float32(v)
		sum += v * v
	}
	far := float64(a.eps) * math.Pow(r.Float64(), 1/float64(len(x)))
	scale := float32(far / math.Sqrt(sum))
	for j, v := range x {
		at[j] = v + scale*at[j]
	}
	a.projectL2(at, x)
}

// projectL2 moves at to the nearest point of the ball around x, then into [0,1], which takes it no further from x. The
// ball is smaller than the radius by a millionth, so that rounding never leaves it.
func (a *pgdTask) projectL2(at, x []float32) {
	limit := float64(a.eps) * (1 - 1e-6)
	norm, scale := L2.Distance(x, at), float32(1)
	if norm > limit {
		scale = float32(limit / norm)
	}
	for j, v := range x {
		if scale < 1 {
			at[j] = v + scale*(at[j]-v)
		}
		at[j] = min(1, max(0, at[j]))
	}
}
