package data

import (
	"dla/internal/kernel"
	"dla/internal/rng"
)

// Distort makes from each image of s one that no longer belongs to its class, by five distortions in turn. Detectors
// of outliers may be tuned on such images where the outliers themselves must stay unseen. The first, second and
// fourth distortion are among those of Hendrycks et al. 2019 (https://arxiv.org/abs/1812.04606). Image i depends on
// seed, on i and on the images of s; its label is the distortion.
func Distort(s Subset, seed uint64) *Set {
	src := s.Set
	d := &Set{N: len(s.Index), H: src.H, W: src.W, C: src.C, Pixels: make([]uint8, len(s.Index)*src.H*src.W*src.C),
		Labels: make([]int32, len(s.Index)), Classes: distortions}
	kernel.Run(&distortion{s, d, seed}, d.N)
	return d
}

var distortions = []string{"jigsaw", "mean of two", "pixels permuted", "inverted", "blurred"}

// distortion is Distort as a task.
type distortion struct {
	from Subset
	to   *Set
	seed uint64
}

func (t *distortion) pixels(i int) []uint8 {
	s := t.from.Set
	at, px := int(t.from.Index[i]), s.H*s.W*s.C
	return s.Pixels[at*px : (at+1)*px]
}

// Chunk makes image i.
func (t *distortion) Chunk(i int) {
	s := t.to
	px := s.H * s.W * s.C
	src, dst := t.pixels(i), s.Pixels[i*px:(i+1)*px]
	r := rng.New(t.seed, "distort", 0, uint64(i))
	way := i % len(distortions)
	s.Labels[i] = int32(way)
	switch way {
	case 0: // 4 x 4 tiles in another order; what is beyond whole tiles stays
		copy(dst, src)
		h, w := s.H/4, s.W/4*s.C
		order := make([]int32, 16)
		r.Perm(order)
		for to, from := range order {
			for y := range h {
				copy(dst[(to/4*h+y)*s.W*s.C+to%4*w:][:w], src[(int(from)/4*h+y)*s.W*s.C+int(from)%4*w:])
			}
		}
	case 1: // with another image
		other := t.pixels((i + 1 + r.IntN(max(1, s.N-1))) % s.N)
		for j, v := range src {
			dst[j] = uint8((int(v) + int(other[j]) + 1) / 2)
		}
	case 2:
		order := make([]int32, s.H*s.W)
		r.Perm(order)
		for to, from := range order {
			copy(dst[to*s.C:(to+1)*s.C], src[int(from)*s.C:])
		}
	case 3:
		for j, v := range src {
			dst[j] = 255 - v
		}
	case 4: // three times the mean of 7 x 7 pixels, about a Gaussian of deviation 3.5
		a, b := append([]uint8(nil), src...), make([]uint8, px)
		for range 3 {
			boxBlur(b, a, s.H, s.W, s.C)
			a, b = b, a
		}
		copy(dst, a)
	}
}

// boxBlur is the mean over the up to 7 x 7 pixels about each that lie in the image.
func boxBlur(dst, src []uint8, h, w, c int) {
	for y := range h {
		for x := range w {
			y0, y1, x0, x1 := max(0, y-3), min(h, y+4), max(0, x-3), min(w, x+4)
			n := (y1 - y0) * (x1 - x0)
			for k := range c {
				sum := n / 2
				for v := y0; v < y1; v++ {
					for u := x0; u < x1; u++ {
						sum += int(src[(v*w+u)*c+k])
					}
				}
				dst[(y*w+x)*c+k] = uint8(sum / n)
			}
		}
	}
}
