package data

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestFormatsAsPillow: WebP, BMP and GIF images, and such as EXIF data turn, have the values of Pillow's exif_transpose
// and convert, in RGB and in grey. A JPEG's blocks are of one colour here, so that nothing hangs on the rounding of the
// cosine transform.
func TestFormatsAsPillow(t *testing.T) {
	b, err := os.ReadFile("testdata/formats.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		golden
		Grey, FitGrey compressed
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	check := func(name string, file, want []uint8, to shape, most float64) {
		t.Helper()
		got := make([]uint8, to.values())
		if _, _, err := fitImage(file, to, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if mean, off := difference(got, want); off > most || mean > 0.05 {
			t.Errorf("%s in %d channels: %.3f levels on average and %g at most from Pillow's", name, to.c, mean, off)
		}
	}
	for name, g := range all {
		check(name, g.File, g.RGB, shape{g.H, g.W, 3, true}, 0)
		check(name, g.File, g.Grey, shape{g.H, g.W, 1, true}, 0)
		if g.FitGrey != nil {
			check(name+", scaled", g.File, g.FitGrey, shape{32, 32, 1, true}, 1)
		}
		h, err := readHeader(g.File)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if height, width := h.size(g.File); height != g.H || width != g.W {
			t.Errorf("%s: the header says %dx%d, turned; want %dx%d", name, width, height, g.W, g.H)
		}
		if grey := strings.Contains(name, "grey") || strings.Contains(name, "two colours"); h.grey != grey {
			t.Errorf("%s: grey %v", name, h.grey)
		}
	}
	if len(all) < 30 {
		t.Errorf("%d images", len(all))
	}
}

// TestDamagedFormats: an image cut short or with a byte changed is an error or an image, never a panic.
func TestDamagedFormats(t *testing.T) {
	b, err := os.ReadFile("testdata/formats.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]golden
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	dst := make([]uint8, 8*8*3)
	for name, g := range all {
		for n := 0; n < len(g.File); n += 13 {
			_, _, _ = fitImage(g.File[:n], shape{8, 8, 3, true}, dst)
			other := bytes.Clone(g.File)
			other[n] ^= 0x41
			if h, err := readHeader(other); err == nil && h.Width*h.Height > 1<<16 {
				continue
			}
			_, _, _ = fitImage(other, shape{8, 8, 3, true}, dst)
		}
		if _, _, err := fitImage(g.File[:len(g.File)/2], shape{8, 8, 3, true}, dst); err == nil &&
			!strings.HasPrefix(name, "JPEG") && !strings.HasPrefix(name, "gif") {
			t.Errorf("half of %s is an image", name)
		}
	}
}
