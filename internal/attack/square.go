package attack

import (
	"context"
	"math"

	"dla/internal/rng"
)

// Square is the Square attack of Andriushchenko et al. 2020 (https://arxiv.org/abs/1912.00049, algorithm 1
// with the sampling of algorithm 2, as in github.com/max-andr/square-attack), untargeted, in L-infinity. It
// asks the network for logits only, so a network whose gradients say nothing does not stop it: from
// vertical stripes of ±eps on, one square at a time gets another colour of ±eps, and stays where the
// margin between the true class and the next falls. An image that fools the network is left as it is, and
// asks no more.
//
// It allocates memory for a copy of the batch.
type Square struct {
	Eps     float64 // in pixel values of [0,1]
	Queries int     // of an image, at most; the image as it is is one
	H, W, C int     // of an image
	Seed    uint64
}

var squareMethod = Method{Name: "square", Label: "Square", Source: "Andriushchenko et al. 2020", Blind: true,
	New: func(s Settings) Attack {
		return Square{Eps: s.Eps, Queries: s.Queries, H: s.H, W: s.W, C: s.C, Seed: s.Seed}
	},
	Gradients: func(Settings) int { return 0 },
}

// firstShare is the share of the image that a square has at first (the paper's p for CIFAR-10).
const firstShare = 0.05

// share is the part of the image that the square of query i has: halved as the attack goes on, at the
// queries of the paper (of 10,000, in proportion for others).
func (a Square) share(i int) float64 {
	p := firstShare
	for _, at := range []int{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000} {
		if i*10000/a.Queries > at {
			p /= 2
		}
	}
	return p
}

// Run implements Attack.
func (a Square) Run(ctx context.Context, t *Target, b Batch, dst []float32) error {
	if err := b.check(t, dst); err != nil {
		return err
	}
	px, rows := t.px, len(b.Y)
	copy(dst, b.X)
	s := squares{Square: a, eps: radius(a.Eps), try: make([]float32, rows*px), margin: make([]float64, rows)}
	active := make([]int, rows)
	for i := range active {
		active[i] = i
		s.margin[i] = math.Inf(1) // any query is better than none
	}
	for q := range a.Queries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for k, i := range active {
			s.propose(s.try[k*px:(k+1)*px], dst[i*px:(i+1)*px], b.X[i*px:(i+1)*px], q, b.Index[i])
		}
		logits, err := t.Logits(s.try[:len(active)*px])
		if err != nil {
			return err
		}
		left := active[:0]
		for k, i := range active {
			m := margin(logits[k*t.classes:(k+1)*t.classes], b.Y[i])
			// The stripes replace the image itself even where they are no better, as in the paper.
			if m < s.margin[i] || q == 1 {
				s.margin[i] = m
				copy(dst[i*px:(i+1)*px], s.try[k*px:(k+1)*px])
			}
			if m >= 0 {
				left = append(left, i)
			}
		}
		if active = left; len(active) == 0 {
			return nil
		}
	}
	return nil
}

// margin is by how much the logit of y exceeds the largest of the others; below 0 the network is fooled.
func margin(logits []float32, y int32) float64 {
	other := math.Inf(-1)
	for i, v := range logits {
		if i != int(y) {
			other = max(other, float64(v))
		}
	}
	return float64(logits[y]) - other
}

// squares is an attack under way.
type squares struct {
	Square
	eps    float32
	try    []float32
	margin []float64 // of each image, the smallest so far
}

// propose writes what query q asks about the image x, whose best change so far is best, to dst: the image
// itself, the stripes, and then squares.
func (s *squares) propose(dst, best, x []float32, q int, index int32) {
	copy(dst, best)
	r := rng.New(s.Seed, "square", uint64(q), uint64(index))
	switch q {
	case 0:
	case 1:
		for c := range s.W * s.C {
			s.fill(dst, x, 0, c/s.C, s.H, 1, c%s.C, r.Uint32()&1 == 1)
		}
	default:
		side := int(math.Round(math.Sqrt(s.share(q) * float64(s.H*s.W))))
		side = max(1, min(side, min(s.H, s.W)-1))
		top, left := r.IntN(s.H-side+1), r.IntN(s.W-side+1)
		for changed, tries := false, 0; !changed && tries < 20; tries++ { // a colour that is there already asks nothing new
			for c := range s.C {
				changed = s.fill(dst, x, top, left, side, side, c, r.Uint32()&1 == 1) || changed
			}
		}
	}
}

// fill sets channel c of a window of dst to x + eps or x - eps and says whether that changed anything.
func (s *squares) fill(dst, x []float32, top, left, h, w, c int, plus bool) (changed bool) {
	for row := top; row < top+h; row++ {
		for col := left; col < left+w; col++ {
			at := (row*s.W+col)*s.C + c
			v, hi := bounds(x[at], s.eps)
			if plus {
				v = hi
			}
			changed = changed || v != dst[at]
			dst[at] = v
		}
	}
	return changed
}
