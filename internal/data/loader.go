package data

import (
	"fmt"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// Batch is some images as a network takes them. X and Y are the caller's, with room for a whole
// batch; a short last batch fills the first Rows only.
type Batch struct {
	X    []float32 // [rows, H, W, C] in [0,1]
	Y    []int32   // [rows]
	Rows int

	// Index, where it has room for a whole batch, gets each image's place in the subset.
	Index []int32
}

// Loader gives the batches of a subset. What a batch holds is a pure function of (seed, epoch,
// step), so there is no position to save.
type Loader struct {
	sub     Subset
	batch   int
	shuffle bool
	seed    uint64
	augment Augment
	view    *change // nil: the images as they are
	order   []int32 // of epoch
	epoch   int     // -1: none yet
}

// NewLoader gives batches of batch images of s, in a new random order each epoch if shuffle.
func NewLoader(s Subset, batch int, shuffle bool, seed uint64) *Loader {
	l := &Loader{sub: s, batch: batch, shuffle: shuffle, seed: seed, order: make([]int32, len(s.Index)), epoch: -1}
	for i := range l.order {
		l.order[i] = int32(i)
	}
	return l
}

// NewAugmentedLoader gives shuffled batches of batch images of s, each changed as a says: for training.
// How an image is changed depends on (seed, epoch, its index in the set), not on the batch it is in.
func NewAugmentedLoader(s Subset, batch int, seed uint64, a Augment) *Loader {
	l := NewLoader(s, batch, true, seed)
	l.augment = a
	return l
}

// View is a fixed change of every image, for test-time augmentation.
type View struct {
	// Down and Right shift the image by so many pixels. The border that comes free shows the image, mirrored about its
	// outermost pixels, as PyTorch's pad(mode='reflect') does.
	Down, Right int
	Mirror      bool // left to right, after the shift
}

// NewViewLoader gives batches of batch images of s in order, each changed as v says.
func NewViewLoader(s Subset, batch int, v View) *Loader {
	l := NewLoader(s, batch, false, 0)
	if v != (View{}) {
		l.view = &change{flip: v.Mirror, dy: -v.Down, dx: -v.Right, reflect: true}
	}
	return l
}

// Len is the number of images in an epoch.
func (l *Loader) Len() int { return len(l.order) }

// Steps is the number of batches in an epoch; the last may be short.
func (l *Loader) Steps() int { return (len(l.order) + l.batch - 1) / l.batch }

// Batch fills b with batch step of epoch, both from 0. It panics where b has no room or the epoch no
// such step: mistakes of the caller.
func (l *Loader) Batch(epoch, step int, b *Batch) {
	if l.shuffle && epoch != l.epoch {
		r := rng.New(l.seed, "shuffle", uint64(epoch), 0)
		r.Perm(l.order)
		l.epoch = epoch
	}
	idx := l.order[step*l.batch : min(len(l.order), (step+1)*l.batch)]
	s := l.sub.Set
	px := s.H * s.W * s.C
	mustFit(b, len(idx), px)
	for row, i := range idx {
		at := int(l.sub.Index[i])
		src, dst := s.Pixels[at*px:(at+1)*px], b.X[row*px:(row+1)*px]
		switch {
		case l.view != nil:
			l.view.apply(dst, src, s.H, s.W, s.C)
		case l.augment == (Augment{}):
			toUnit(dst, src)
		default:
			l.augment.draw(l.seed, epoch, at, s.H, s.W).apply(dst, src, s.H, s.W, s.C)
		}
		b.Y[row] = s.Labels[at]
	}
	if b.Index != nil {
		b.Index = b.Index[:copy(b.Index[:cap(b.Index)], idx)]
	}
	b.Rows = len(idx)
}

func mustFit(b *Batch, rows, px int) {
	if len(b.X) < rows*px || len(b.Y) < rows {
		panic(fmt.Sprintf("data: a batch of %d images of %d values does not fit %d values and %d labels", rows, px, len(b.X),
			len(b.Y)))
	}
}

// unit is i/255, correctly rounded: a multiplication by 1/255 is not.
var unit = func() (t [256]float32) {
	for i := range t {
		t[i] = float32(i) / 255
	}
	return t
}()

// toUnit writes src into dst, of the same length, as values in [0,1].
func toUnit(dst []float32, src []uint8) { kernel.BytesToFloats(dst, src) }
