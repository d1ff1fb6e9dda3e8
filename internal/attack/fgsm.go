package attack

import (
	"context"

	"dla/internal/kernel"
)

// FGSM is the fast gradient sign method of Goodfellow et al. 2015 (https://arxiv.org/abs/1412.6572,
// section 4): x + eps·sign(∂loss/∂x), within [0,1], for the cross-entropy against the true class; or
// x - eps·sign(∂loss/∂x) for that against the target class (Kurakin et al. 2017,
// https://arxiv.org/abs/1611.01236, section 2.3). A value with derivative 0 does not change.
type FGSM struct {
	Eps      float64 // in pixel values of [0,1], L-infinity
	Targeted bool
}

var fgsmMethod = Method{Name: "fgsm", Label: "FGSM", Source: "Goodfellow et al. 2015", Targeted: true,
	New:       func(s Settings) Attack { return FGSM{Eps: s.Eps, Targeted: s.Targeted} },
	Gradients: func(Settings) int { return 1 },
}

// Run implements Attack.
func (a FGSM) Run(_ context.Context, t *Target, b Batch, dst []float32) error {
	if err := b.check(t, dst); err != nil {
		return err
	}
	g, err := t.Gradient(b)
	if err != nil {
		return err
	}
	a.Step(t, b, g, dst)
	return nil
}

// Step takes the step along g, the gradient of b's images. The gradient is the same for every radius, so a sweep over
// radii computes it once.
func (a FGSM) Step(t *Target, b Batch, g, dst []float32) {
	t.fgsm = fgsmTask{dst: dst, x: b.X, g: g, px: t.px, eps: radius(a.Eps), targeted: a.Targeted}
	kernel.Run(&t.fgsm, len(b.Y))
}

// fgsmTask takes the step of each image.
type fgsmTask struct {
	dst, x, g []float32
	px        int
	eps       float32
	targeted  bool
}

// Chunk takes the step of image i.
func (a *fgsmTask) Chunk(i int) {
	dst, x, g := a.dst[i*a.px:(i+1)*a.px], a.x[i*a.px:(i+1)*a.px], a.g[i*a.px:(i+1)*a.px]
	for j, v := range g {
		lo, hi := bounds(x[j], a.eps)
		if a.targeted {
			v = -v
		}
		switch {
		case v > 0:
			dst[j] = hi
		case v < 0:
			dst[j] = lo
		default:
			dst[j] = x[j]
		}
	}
}
