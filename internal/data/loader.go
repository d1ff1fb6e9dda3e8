package data

import (
	"fmt"

	"dla/internal/rng"
)

// Batch is some images as a network takes them. X and Y are the caller's, with room for a whole
// batch; a short last batch fills the first Rows only.
type Batch struct {
	X    []float32 // [rows, H, W, C] in [0,1]
	Y    []int32   // [rows]
	Rows int
}

// Loader gives the batches of a subset. What a batch holds is a pure function of (seed, epoch,
// step), so there is no position to save.
type Loader struct {
	sub     Subset
	batch   int
	shuffle bool
	seed    uint64
	order   []int32 // of epoch
	epoch   int     // -1: none yet
	scale   [256]float32
}

// NewLoader gives batches of batch images of s, in a new random order each epoch if shuffle.
func NewLoader(s Subset, batch int, shuffle bool, seed uint64) *Loader {
	l := &Loader{sub: s, batch: batch, shuffle: shuffle, seed: seed, order: make([]int32, len(s.Index)), epoch: -1}
	for i := range l.order {
		l.order[i] = int32(i)
	}
	for i := range l.scale {
		l.scale[i] = float32(i) / 255
	}
	return l
}

// Len is the number of images in an epoch.
func (l *Loader) Len() int { return len(l.order) }

// Steps is the number of batches in an epoch; the last may be short.
func (l *Loader) Steps() int { return (len(l.order) + l.batch - 1) / l.batch }

// Batch fills b with batch step of epoch, both from 0. It panics where b has no room: a mistake of
// the caller.
func (l *Loader) Batch(epoch, step int, b *Batch) {
	if l.shuffle && epoch != l.epoch {
		r := rng.New(l.seed, "shuffle", uint64(epoch), 0)
		r.Perm(l.order)
		l.epoch = epoch
	}
	idx := l.order[step*l.batch : min(len(l.order), (step+1)*l.batch)]
	s := l.sub.Set
	px := s.H * s.W * s.C
	if len(b.X) < len(idx)*px || len(b.Y) < len(idx) {
		panic(fmt.Sprintf("data: a batch of %d images of %d values does not fit %d values and %d labels", len(idx), px, len(b.X), len(b.Y)))
	}
	for row, i := range idx {
		at := int(l.sub.Index[i])
		src, dst := s.Pixels[at*px:(at+1)*px], b.X[row*px:(row+1)*px]
		for j, v := range src {
			dst[j] = l.scale[v]
		}
		b.Y[row] = s.Labels[at]
	}
	b.Rows = len(idx)
}
