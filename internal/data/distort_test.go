package data

import (
	"slices"
	"testing"

	"dla/internal/kernel"
)

// TestDistort: every way changes an image as it says, and neither threads nor the images after it matter.
func TestDistort(t *testing.T) {
	s := drawShapes("train", shapesTrain)
	from := Subset{s, []int32{5, 9, 2, 700, 31, 32, 33, 34, 35, 36}}
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	kernel.SetThreads(1)
	d := Distort(from, 1)
	kernel.SetThreads(3)
	if again := Distort(from, 1); !slices.Equal(again.Pixels, d.Pixels) {
		t.Error("the images depend on the threads")
	}
	if other := Distort(from, 2); slices.Equal(other.Pixels, d.Pixels) {
		t.Error("the seed changes nothing")
	}
	const px = 32 * 32 * 3
	sorted := func(x []uint8) []uint8 { x = slices.Clone(x); slices.Sort(x); return x }
	for i := range d.N {
		at := int(from.Index[i])
		src, dst := s.Pixels[at*px:(at+1)*px], d.Pixels[i*px:(i+1)*px]
		if slices.Equal(src, dst) {
			t.Errorf("image %d is unchanged", i)
		}
		if int(d.Labels[i]) != i%5 {
			t.Errorf("image %d has label %d", i, d.Labels[i])
		}
		switch i % 5 {
		case 0, 2: // the same pixels elsewhere
			if !slices.Equal(sorted(src), sorted(dst)) {
				t.Errorf("image %d, %s: other pixels than before", i, d.Classes[i%5])
			}
		case 3:
			for j := range src {
				if src[j]+dst[j] != 255 {
					t.Fatalf("image %d is not inverted", i)
				}
			}
		case 4: // flatter
			lo, hi := slices.Min(dst), slices.Max(dst)
			if int(hi)-int(lo) >= int(slices.Max(src))-int(slices.Min(src)) {
				t.Errorf("image %d is not blurred", i)
			}
		}
	}
	flat := Distort(Subset{&Set{N: 1, H: 32, W: 32, C: 3, Pixels: slices.Repeat([]uint8{77}, px), Labels: []int32{0},
		Classes: []string{"flat"}}, []int32{0, 0, 0, 0, 0}}, 1)
	if want := slices.Repeat([]uint8{77}, px); !slices.Equal(flat.Pixels[4*px:], want) ||
		!slices.Equal(flat.Pixels[px:2*px], want) {
		t.Error("blurring or averaging a flat image changes it")
	}
}
