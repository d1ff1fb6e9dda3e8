package data

import (
	"context"
	"math"
	"os"
	"testing"
)

// TestMoments: of a set that the catalogue has none of they are those of its training images, and of its own alone.
func TestMoments(t *testing.T) {
	d := &Dataset{Name: "mine", Train: &Set{N: 2, H: 1, W: 2, C: 3, Pixels: []uint8{
		0, 10, 7, 255, 20, 7,
		0, 30, 7, 255, 40, 7,
	}}, Test: &Set{N: 1, H: 1, W: 2, C: 3, Pixels: []uint8{9, 9, 9, 9, 9, 9}}}
	mean, std, published := d.Moments()
	if published {
		t.Error("said to be published")
	}
	wantMean, wantStd := []float64{0.5, 25. / 255, 7. / 255}, []float64{0.5, math.Sqrt(125) / 255, 1}
	for c := range 3 {
		if math.Abs(mean[c]-wantMean[c]) > 1e-12 || math.Abs(std[c]-wantStd[c]) > 1e-12 {
			t.Errorf("channel %d: %g ± %g, want %g ± %g", c, mean[c], std[c], wantMean[c], wantStd[c])
		}
	}
	d.Name = "cifar10"
	if of, _, published := d.Moments(); !published || of[0] == mean[0] {
		t.Errorf("CIFAR-10 has the mean %v, published: %v", of, published)
	}
}

// TestPublishedMoments: what the catalogue says of a set is what its training images have.
func TestPublishedMoments(t *testing.T) {
	if os.Getenv("DLA_DATA") == "" {
		t.Skip("DLA_DATA is not set: no real set to compare with")
	}
	for _, name := range []string{"mnist", "cifar10"} {
		ds, err := Load(context.Background(), name, Options{Offline: true})
		if err != nil {
			t.Skipf("%s: %v", name, err)
		}
		mean, std, published := ds.Moments()
		if !published {
			t.Errorf("%s: none are published", name)
		}
		ds.Name = "not in the catalogue"
		computedMean, computedStd, _ := ds.Moments()
		for c := range mean {
			if math.Abs(mean[c]-computedMean[c]) > 5e-5 || math.Abs(std[c]-computedStd[c]) > 5e-5 {
				t.Errorf("%s, channel %d: %g ± %g published, %g ± %g computed", name, c, mean[c], std[c], computedMean[c],
					computedStd[c])
			}
		}
	}
}
