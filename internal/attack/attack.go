// Package attack changes images a little so that a network errs: adversarial examples. One file is one
// attack, which is known by its entry in Methods. Pixels are in [0,1] before and after, the network runs as in evaluation, and its weights and
// running statistics are only read.
//
// What becomes of an image depends on the image, its class, its number and the attack's seed, and on
// nothing that is beside it in a batch; not on the number of threads either.
package attack

import (
	"context"
	"fmt"
	"math"

	"dla/internal/metrics"
)

// Attack is a way to change images within a ball about each.
type Attack interface {
	// Run writes the changed images of b to dst [rows, …], which is not b.X. It ends early, with its
	// cause, when ctx does.
	Run(ctx context.Context, t *Target, b Batch, dst []float32) error
}

// Batch is images to be attacked, as many as Y is long.
type Batch struct {
	X     []float32 // [rows, …], pixels in [0,1]; only read
	Y     []int32   // [rows]: the class each is of, or for a targeted attack the one it is to be taken for
	Index []int32   // [rows]: each image's number in its set, by which random numbers are drawn
}

// Norm is how the size of a change is measured, over all values of an image.
type Norm string

// The norms.
const (
	Linf Norm = "linf" // the largest change of a value
	L2   Norm = "l2"   // the root of the sum of squares
)

// Distance is the size of b - a, two images of as many values.
func (n Norm) Distance(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		v := math.Abs(float64(b[i]) - float64(a[i]))
		if n == Linf {
			d = max(d, v)
		} else {
			d += v * v
		}
	}
	if n == L2 {
		return math.Sqrt(d)
	}
	return d
}

// radius is eps as float32, no larger.
func radius(eps float64) float32 {
	r := float32(eps)
	if float64(r) > eps {
		r = math.Nextafter32(r, 0)
	}
	return r
}

// bounds are the smallest and the largest value within eps of x and in [0,1]. They are rounded towards x,
// so that a change is never larger than eps, not even in its last bit.
func bounds(x, eps float32) (lo, hi float32) {
	if d := float64(x) - float64(eps); d > 0 {
		if lo = float32(d); float64(lo) < d {
			lo = math.Float32frombits(math.Float32bits(lo) + 1)
		}
	}
	u := float64(x) + float64(eps)
	if u >= 1 {
		return lo, 1
	}
	if hi = float32(u); float64(hi) > u {
		hi = math.Float32frombits(math.Float32bits(hi) - 1)
	}
	return lo, hi
}

// check says what of a batch does not fit t or dst.
func (b Batch) check(t *Target, dst []float32) error {
	rows := len(b.Y)
	switch n := rows * t.px; {
	case rows == 0 || rows > t.rows:
		return fmt.Errorf("attack: a batch of %d images, want 1 to %d", rows, t.rows)
	case len(b.X) != n || len(dst) < n:
		return fmt.Errorf("attack: %d images of %d values need %d, there are %d and room for %d", rows, t.px, n, len(b.X), len(dst))
	case len(b.Index) != rows:
		return fmt.Errorf("attack: %d images with %d numbers", rows, len(b.Index))
	}
	return t.known(b.Y)
}

// Top is the class with the largest of logits, the first of equals, and its probability by softmax.
func Top(logits []float32) (class int, p float64) {
	class = metrics.Argmax(logits)
	z := 0.0
	for _, v := range logits {
		z += math.Exp(float64(v) - float64(logits[class]))
	}
	return class, 1 / z
}

// crossEntropy is -log softmax(logits)[y].
func crossEntropy(logits []float32, y int32) float64 {
	class, p := Top(logits)
	return float64(logits[class]) - float64(logits[y]) - math.Log(p)
}
