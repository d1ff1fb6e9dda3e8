package attack

import (
	"context"
	"math"

	"dla/internal/rng"
)

// Square is the Square attack of Andriushchenko et al. 2020 (https://arxiv.org/abs/1912.00049, algorithm 1 with the
// sampling of algorithm 2, as in github.com/max-andr/square-attack), untargeted, in L-infinity. It uses logits only, so
// useless gradients do not stop it. It starts from vertical stripes of ±eps, then proposes one square of ±eps at a time
// and keeps those that reduce the margin between the true class and the next. A misclassified image needs no further
// queries.
//
// It allocates memory for a copy of the batch.
type Square struct {
	Eps     float64 // in pixel values of [0,1]
	Queries int     // per image, at most; the first queries the unchanged image
	H, W, C int     // of an image
	Seed    uint64
}

var squareMethod = Method{Name: "square", Label: "Square", Source: "Andriushchenko et al. 2020", Blind: true,
	New: func(s Settings) Attack {
		return Square{Eps: s.Eps, Queries: s.Queries, H: s.H, W: s.W, C: s.C, Seed: s.Seed}
	},
	Gradients: func(Settings) int { return 0 },
}

// firstShare is the fraction of the image that the first squares cover (p in the paper, for CIFAR-10).
const firstShare = 0.05

// share returns the fraction of the image that the square of query i covers. It is halved at the queries of the paper,
// scaled from the paper's 10,000 queries to the number here.
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
			// The stripes replace the image even if they do not reduce the margin, as in the paper.
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

// margin returns the logit of y less the largest other logit; it is negative for a misclassified image.
func margin(logits []float32, y int32) float64 {
	other := math.Inf(-1)
	for i, v := range logits {
		if i != int(y) {
			other = max(other, float64(v))
		}
	}
	return float64(logits[y]) - other
}

// squares is the state of an attack on a batch.
type squares struct {
	Square
	eps    float32
	try    []float32
	margin []float64 // smallest margin of each image so far
}

// propose writes the image of query q to dst: x itself, then the stripes, then best, the best change of x so far, with
// a new square.
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
		// a square without a change would waste the query
		for changed, tries := false, 0; !changed && tries < 20; tries++ {
			for c := range s.C {
				changed = s.fill(dst, x, top, left, side, side, c, r.Uint32()&1 == 1) || changed
			}
		}
	}
}

// fill sets channel c of a window of dst to x + eps or x - eps and reports whether that changed anything.
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
