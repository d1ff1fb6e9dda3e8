package data

import (
	"fmt"

	"dla/internal/rng"
)

// Vectors are rows of Width values with their labels: features that something has computed.
type Vectors struct {
	Width  int
	X      []float32 // [rows, Width]
	Labels []int32   // [rows]
}

// VectorLoader gives the batches of some rows of Vectors, as Loader does those of images: a pure function
// of (seed, epoch, step).
type VectorLoader struct {
	v       *Vectors
	index   []int32
	batch   int
	shuffle bool
	seed    uint64
	order   []int32 // of index, of epoch
	epoch   int     // -1: none yet
}

// NewVectorLoader gives batches of batch rows, those that index names, in a new random order each epoch if
// shuffle.
func NewVectorLoader(v *Vectors, index []int32, batch int, shuffle bool, seed uint64) *VectorLoader {
	l := &VectorLoader{v: v, index: index, batch: batch, shuffle: shuffle, seed: seed, order: make([]int32, len(index)),
		epoch: -1}
	for i := range l.order {
		l.order[i] = int32(i)
	}
	return l
}

// Len is the number of rows in an epoch.
func (l *VectorLoader) Len() int { return len(l.order) }

// Steps is the number of batches in an epoch; the last may be short.
func (l *VectorLoader) Steps() int { return (len(l.order) + l.batch - 1) / l.batch }

// Batch fills b with batch step of epoch, both from 0; Index gets each row's place in the loader's index. It
// panics where b has no room or the epoch no such step: mistakes of the caller.
func (l *VectorLoader) Batch(epoch, step int, b *Batch) {
	if l.shuffle && epoch != l.epoch {
		r := rng.New(l.seed, "shuffle", uint64(epoch), 0)
		r.Perm(l.order)
		l.epoch = epoch
	}
	places, w := l.order[step*l.batch:min(len(l.order), (step+1)*l.batch)], l.v.Width
	if len(b.X) < len(places)*w || len(b.Y) < len(places) {
		panic(fmt.Sprintf("data: a batch of %d rows of %d values does not fit %d values and %d labels", len(places), w,
			len(b.X), len(b.Y)))
	}
	for row, place := range places {
		at := int(l.index[place])
		copy(b.X[row*w:(row+1)*w], l.v.X[at*w:])
		b.Y[row] = l.v.Labels[at]
	}
	if b.Index != nil {
		b.Index = b.Index[:copy(b.Index[:cap(b.Index)], places)]
	}
	b.Rows = len(places)
}
