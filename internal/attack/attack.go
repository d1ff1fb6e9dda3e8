// Package attack makes adversarial examples: small changes of images that make a network err. Each file holds one
// attack, registered in Methods. Pixels are in [0,1] before and after. The network runs in evaluation mode; its weights
// and running statistics are only read.
//
// The result for an image depends on the image, its class, its index and the attack's seed. It depends neither on the
// other images of the batch nor on the number of threads.
package attack

import (
	"context"
	"fmt"
	"math"

	"dla/internal/metrics"
)

// Attack changes images within a ball around each.
type Attack interface {
	// Run writes the adversarial images of b to dst [rows, …], which must not be b.X. When ctx is cancelled it stops
	// early and returns the cause.
	Run(ctx context.Context, t *Target, b Batch, dst []float32) error
}

// Batch holds len(Y) images to attack.
type Batch struct {
	X     []float32 // [rows, …], pixels in [0,1]; only read
	Y     []int32   // [rows]: true classes, or target classes for a targeted attack
	Index []int32   // [rows]: indices of the images in their set, which seed random numbers
}

// Norm measures the size of a change over all values of an image.
type Norm string

// The norms.
const (
	Linf Norm = "linf" // the largest change of a value
	L2   Norm = "l2"   // the root of the sum of squares
)

// Distance returns the norm of b - a, two images of equal length.
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

// radius returns eps as float32, rounded down.
func radius(eps float64) float32 {
	r := float32(eps)
	if float64(r) > eps {
		r = math.Nextafter32(r, 0)
	}
	return r
}

// bounds returns the smallest and the largest value in [0,1] within eps of x. It rounds towards x, so that no change
// exceeds eps, not even in the last bit.
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

// check returns an error where the batch does not fit t or dst.
func (b Batch) check(t *Target, dst []float32) error {
	rows := len(b.Y)
	switch n := rows * t.px; {
	case rows == 0 || rows > t.rows:
		return fmt.Errorf("attack: a batch of %d images, want 1 to %d", rows, t.rows)
	case len(b.X) != n || len(dst) < n:
		return fmt.Errorf("attack: %d images of %d values need %d, there are %d and room for %d", rows, t.px, n,
			len(b.X), len(dst))
	case len(b.Index) != rows:
		return fmt.Errorf("attack: %d images with %d numbers", rows, len(b.Index))
	}
	return t.known(b.Y)
}

// Top returns the class with the largest logit (ties: the first) and its softmax probability.
func Top(logits []float32) (class int, p float64) {
	class = metrics.Argmax(logits)
	z := 0.0
	for _, v := range logits {
		z += math.Exp(float64(v) - float64(logits[class]))
	}
	return class, 1 / z
}

// crossEntropy returns -log softmax(logits)[y].
func crossEntropy(logits []float32, y int32) float64 {
	class, p := Top(logits)
	return float64(logits[class]) - float64(logits[y]) - math.Log(p)
}
