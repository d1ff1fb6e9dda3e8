package data

import (
	"context"
	"slices"
	"testing"

	"dla/internal/kernel"
)

func TestSyntheticShapesAreFixed(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	kernel.SetThreads(1)
	one := drawShapes("test", 400)
	kernel.SetThreads(3)
	if many := drawShapes("test", 400); !slices.Equal(one.Pixels, many.Pixels) || !slices.Equal(one.Labels, many.Labels) {
		t.Error("the shapes depend on the number of threads")
	}
	if train := drawShapes("train", 400); slices.Equal(one.Pixels, train.Pixels) {
		t.Error("the test set is the training set")
	}
	count := make([]int, len(shapeClasses))
	for _, l := range one.Labels {
		count[l]++
	}
	if len(shapeClasses) != len(shapes) || slices.Min(count) < 20 {
		t.Errorf("labels are drawn unevenly: %v", count)
	}
}

func TestSyntheticShapes(t *testing.T) {
	ds, err := Load(context.Background(), SyntheticShapes, Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the number of training images", ds.Train.N, 10000},
		{"that of test images", ds.Test.N, 2000},
		{"the size", [3]int{ds.Train.H, ds.Train.W, ds.Train.C}, [3]int{32, 32, 3}},
		{"Synthetic", ds.Synthetic, true},
		{"the name", ds.Name, SyntheticShapes},
		{"the length of the fingerprint", len(ds.Fingerprint), 64},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
}

// TestShapesAreAsLarge: a shape covers a part of the square it is drawn in, is not empty and reaches out
// to about 1.
func TestShapesAreAsLarge(t *testing.T) {
	for i, inside := range shapes {
		area, far := 0, 0.0
		for y := -150; y <= 150; y++ {
			for x := -150; x <= 150; x++ {
				if u, v := float64(x)/100, float64(y)/100; inside(u, v) {
					area++
					far = max(far, u*u+v*v)
				}
			}
		}
		if area < 7000 || area > 30000 || far < 0.75 || far > 1.5 {
			t.Errorf("%s: covers %d of 40000 points, reaches out to %.2f squared", shapeClasses[i], area, far)
		}
	}
}
