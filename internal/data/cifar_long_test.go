//go:build long

package data

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestCIFAR10JPEG: the JPEG copies are near the originals, but not them.
func TestCIFAR10JPEG(t *testing.T) {
	e, err := Lookup("cifar10-jpeg")
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("DLA_DATA")
	if _, ok := e.find(filepath.Join(dir, e.Folder), ""); dir == "" || !ok {
		t.Skip("DLA_DATA is not set or has no cifar10-jpeg")
	}
	ds, err := Load(context.Background(), "cifar10-jpeg", Options{Cache: t.TempDir(), Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, p := range ds.Test.Pixels {
		sum += float64(p)
	}
	if mean := sum / float64(len(ds.Test.Pixels)) / 255; ds.Train.N != 50000 || ds.Test.N != 10000 ||
		math.Abs(mean-0.4766) > 0.002 {
		t.Errorf("%d + %d images, mean %.4f", ds.Train.N, ds.Test.N, mean)
	}
}
