package data

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"io"
	"math"
	"os"
	"strings"
	"testing"
)

// golden is an image of testdata/rgb.json, and what Pillow makes of it.
type golden struct {
	W, H           int
	File, RGB, Fit compressed
}

// compressed was so by zlib.
type compressed []byte

func (p *compressed) UnmarshalJSON(b []byte) error {
	var z []byte
	if err := json.Unmarshal(b, &z); err != nil {
		return err
	}
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err == nil {
		*p, err = io.ReadAll(r)
	}
	return err
}

func goldenImages(t *testing.T) map[string]golden {
	t.Helper()
	b, err := os.ReadFile("testdata/rgb.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]golden
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// difference is the mean and the largest one of a and b.
func difference(a, b []uint8) (mean, most float64) {
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		mean, most = mean+d/float64(len(a)), max(most, d)
	}
	return mean, most
}

// TestRGBAsPillow: images of every kind have the values that Pillow's convert("RGB") gives them. PNG to the
// last bit, and so do JPEGs whose blocks are of one colour, whatever their ratio: what is left is the rounding
// of the cosine transform, which is another one for blocks of more colours.
func TestRGBAsPillow(t *testing.T) {
	for name, g := range goldenImages(t) {
		got := make([]uint8, g.W*g.H*3)
		_, scaled, err := fitImage(g.File, shape{h: g.H, w: g.W, c: 3}, got)
		if err != nil || scaled {
			t.Fatalf("%s: scaled %v, error %v", name, scaled, err)
		}
		mean, most := difference(got, g.RGB)
		limit := 0.0
		switch kind, _, _ := strings.Cut(name, " "); {
		case kind == "waves", kind == "noise", kind == "progressive", name == "grey JPEG":
			limit = 2
		}
		t.Logf("%s: %.3f levels on average, %g at most", name, mean, most)
		if most > limit || mean > 0.2 {
			t.Errorf("%s: %.3f levels on average and %g at most from Pillow's, want at most %g", name, mean, most, limit)
		}
	}
}

// TestFitAsTorchvision: Resize and CenterCrop, but for a level here and there.
func TestFitAsTorchvision(t *testing.T) {
	n := 0
	for name, g := range goldenImages(t) {
		if g.Fit == nil {
			continue
		}
		n++
		got := make([]uint8, 32*32*3)
		_, scaled, err := fitImage(g.File, cifarShape, got)
		if err != nil || scaled != (g.W != 32 || g.H != 32) {
			t.Fatalf("%s: scaled %v, error %v", name, scaled, err)
		}
		mean, most := difference(got, g.Fit)
		t.Logf("%s: %.3f levels on average, %g at most", name, mean, most)
		if most > 1 || mean > 0.05 || !scaled && most > 0 {
			t.Errorf("%s: %.3f levels on average and %g at most from Pillow's", name, mean, most)
		}
	}
	if n < 4 {
		t.Errorf("%d images to fit", n)
	}
}
