package data

import (
	"slices"
	"testing"
)

// pixels is n images of one pixel, whose value is their number.
func pixels(n int) *Set {
	s := &Set{N: n, H: 1, W: 1, C: 1, Pixels: make([]uint8, n), Labels: make([]int32, n), Classes: []string{"a"}}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i)
	}
	return s
}

// TestBatchSaysWhichImages: Index holds the places in the subset, short last batch and all, prepared
// ahead or not.
func TestBatchSaysWhichImages(t *testing.T) {
	all := All(pixels(20))
	sub := Subset{Set: all.Set, Index: all.Index[3:14]}
	ahead := NewPrefetch(NewLoader(sub, 4, true, 7), 2)
	defer ahead.Close()
	for _, l := range []interface {
		Steps() int
		Batch(epoch, step int, b *Batch)
	}{NewLoader(sub, 4, true, 7), ahead} {
		b := Batch{X: make([]float32, 4), Y: make([]int32, 4), Index: make([]int32, 4)}
		for epoch := range 2 {
			var seen []int32
			for step := range l.Steps() {
				l.Batch(epoch, step, &b)
				if len(b.Index) != b.Rows {
					t.Fatalf("%d places of %d images", len(b.Index), b.Rows)
				}
				for row, place := range b.Index {
					if want := unit[sub.Index[place]]; b.X[row] != want {
						t.Errorf("epoch %d, batch %d, row %d: pixel %g, its place says %g", epoch, step, row, b.X[row], want)
					}
				}
				seen = append(seen, b.Index...)
			}
			if slices.Sort(seen); len(seen) != 11 || seen[0] != 0 || seen[10] != 10 || len(slices.Compact(seen)) != 11 {
				t.Errorf("epoch %d: places %v", epoch, seen)
			}
		}
	}
}

// TestCopiesAreUsedInTurn: with so many copies an image is changed in as many ways, the first of which
// are those without a bound.
func TestCopiesAreUsedInTurn(t *testing.T) {
	free := Augment{Flip: true, Crop: 4, Cutout: 8}
	bound := free
	bound.Copies = 3
	for epoch := range 7 {
		for index := range 50 {
			if got, want := bound.draw(1, epoch, index, 32, 32), free.draw(1, epoch%3, index, 32, 32); got != want {
				t.Fatalf("epoch %d, image %d: %+v, want %+v", epoch, index, got, want)
			}
		}
	}
}
