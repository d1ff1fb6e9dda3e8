package data

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"dla/internal/kernel"
)

func TestSplitIsStratified(t *testing.T) {
	ds := &Dataset{Train: drawDigits("train", 2000)}
	train, val := ds.Split(300, 1)
	if len(val.Index) != 300 || len(train.Index) != 1700 {
		t.Fatalf("%d and %d", len(train.Index), len(val.Index))
	}
	all := append(slices.Clone(train.Index), val.Index...)
	slices.Sort(all)
	for i, v := range all {
		if int(v) != i {
			t.Fatalf("image %d is in both parts or in none", i)
		}
	}
	total, inVal := make([]int, 10), make([]int, 10)
	for _, l := range ds.Train.Labels {
		total[l]++
	}
	for _, i := range val.Index {
		inVal[ds.Train.Labels[i]]++
	}
	for c := range 10 {
		if d := inVal[c] - 300*total[c]/2000; d < -1 || d > 1 {
			t.Errorf("class %d: %d of %d set apart", c, inVal[c], total[c])
		}
	}
	if _, again := ds.Split(300, 1); !slices.Equal(again.Index, val.Index) {
		t.Error("the same seed gave another split")
	}
	if _, other := ds.Split(300, 2); slices.Equal(other.Index, val.Index) {
		t.Error("another seed gave the same split")
	}
	if train, val := ds.Split(1e6, 1); len(train.Index) < 1 || len(val.Index) != 1999 {
		t.Errorf("too large a part: %d and %d", len(train.Index), len(val.Index))
	}
	if train, val := ds.Split(0, 1); !slices.Equal(train.Index, All(ds.Train).Index) || len(val.Index) != 0 {
		t.Errorf("nothing held out: %d and %d", len(train.Index), len(val.Index))
	}
}

// TestLoader: each epoch shows each image once, in an order of its own; a batch depends on epoch and
// step alone.
func TestLoader(t *testing.T) {
	s := drawDigits("train", 50)
	for i := range s.Labels {
		s.Labels[i] = int32(i) // to know images by
	}
	l := NewLoader(All(s), 8, true, 1)
	b := Batch{X: make([]float32, 8*28*28), Y: make([]int32, 8)}
	epoch := func(e int) (order []int32) {
		for step := range l.Steps() {
			l.Batch(e, step, &b)
			for r := range b.Rows {
				i := b.Y[r]
				order = append(order, i)
				if got, want := b.X[r*784+400], float32(s.Pixels[int(i)*784+400])/255; got != want {
					t.Fatalf("pixel %g, want %g", got, want)
				}
			}
		}
		return order
	}
	first, second := epoch(0), epoch(1)
	if slices.Equal(first, second) {
		t.Error("two epochs have the same order")
	}
	if !slices.Equal(first, epoch(0)) {
		t.Error("the first epoch has another order the second time")
	}
	slices.Sort(first)
	for i, v := range first {
		if int(v) != i {
			t.Fatalf("image %d is shown twice or never", i)
		}
	}
	if l.Len() != 50 || l.Steps() != 7 {
		t.Errorf("%d images in %d steps", l.Len(), l.Steps())
	}
	if n := testing.AllocsPerRun(10, func() { l.Batch(0, 3, &b) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestSyntheticDigitsAreFixed(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	kernel.SetThreads(1)
	one := drawDigits("test", 300)
	kernel.SetThreads(3)
	if many := drawDigits("test", 300); !slices.Equal(one.Pixels, many.Pixels) || !slices.Equal(one.Labels, many.Labels) {
		t.Error("the digits depend on the number of threads")
	}
	const pixels = "e1d5d13351da680be1b6d2237b81eea5490f5aaa65e0c14e526735c4cdf9ac62"
	if sum := fmt.Sprintf("%x", sha256.Sum256(one.Pixels)); sum != pixels {
		t.Errorf("the digits' pixels have changed: %s, want %s", sum, pixels)
	}
	if train := drawDigits("train", 300); slices.Equal(one.Pixels, train.Pixels) {
		t.Error("the test set is the training set")
	}
	count := make([]int, 10)
	for _, l := range one.Labels {
		count[l]++
	}
	if slices.Min(count) < 10 {
		t.Errorf("labels are drawn unevenly: %v", count)
	}
}
