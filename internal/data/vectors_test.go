package data

import (
	"slices"
	"testing"
)

// TestVectorLoader: an epoch gives each row of the index once with its label, in another order each epoch, the
// same for the same seed and whatever was asked for before; without shuffling in order.
func TestVectorLoader(t *testing.T) {
	const n, width = 11, 3
	v := &Vectors{Width: width}
	for i := range n {
		v.X = append(v.X, float32(10*i), float32(10*i+1), float32(10*i+2))
		v.Labels = append(v.Labels, int32(i))
	}
	index := []int32{10, 2, 3, 5, 7, 9, 1}
	read := func(l *VectorLoader, epoch int) (rows []int32) {
		t.Helper()
		b := Batch{X: make([]float32, 4*width), Y: make([]int32, 4), Index: make([]int32, 4)}
		for step := range l.Steps() {
			l.Batch(epoch, step, &b)
			for row := range b.Rows {
				at := b.Y[row]
				if !slices.Equal(b.X[row*width:(row+1)*width], v.X[at*width:(at+1)*width]) || index[b.Index[row]] != at {
					t.Fatalf("row %d of step %d is %v with label %d and place %d", row, step, b.X[row*width:(row+1)*width], at,
						b.Index[row])
				}
				rows = append(rows, at)
			}
		}
		return rows
	}
	l := NewVectorLoader(v, index, 4, true, 3)
	if l.Len() != 7 || l.Steps() != 2 {
		t.Errorf("%d rows in %d batches", l.Len(), l.Steps())
	}
	first, second := read(l, 0), read(l, 1)
	if slices.Equal(first, second) || slices.Equal(first, index) {
		t.Errorf("epochs of %v and %v of %v", first, second, index)
	}
	if again := read(NewVectorLoader(v, index, 4, true, 3), 1); !slices.Equal(again, second) {
		t.Errorf("epoch 1 alone is %v, after epoch 0 %v", again, second)
	}
	if other := read(NewVectorLoader(v, index, 4, true, 4), 0); slices.Equal(other, first) {
		t.Error("another seed gives the same order")
	}
	for _, rows := range [][]int32{first, second} {
		slices.Sort(rows)
		want := slices.Sorted(slices.Values(index))
		if !slices.Equal(rows, want) {
			t.Errorf("an epoch has rows %v, want %v", rows, want)
		}
	}
	if plain := read(NewVectorLoader(v, index, 4, false, 3), 5); !slices.Equal(plain, index) {
		t.Errorf("without shuffling %v", plain)
	}
	b := Batch{X: make([]float32, 4*width), Y: make([]int32, 4)}
	if a := testing.AllocsPerRun(5, func() { l.Batch(2, 1, &b) }); a != 0 {
		t.Errorf("%v allocations a batch", a)
	}
	defer func() {
		if recover() == nil {
			t.Error("a batch without room was filled")
		}
	}()
	l.Batch(0, 0, &Batch{X: make([]float32, 4*width-1), Y: make([]int32, 4)})
}
