package plot

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pictures is a grid of two rows: a gradient with a corner of another colour, in colour and in grey.
func pictures() Grid {
	colour, grey := Picture{H: 8, W: 8, Pixels: make([]uint8, 8*8*3)}, Picture{H: 8, W: 8, Pixels: make([]uint8, 8*8)}
	for i := range 64 {
		grey.Pixels[i] = uint8(4 * i)
		copy(colour.Pixels[3*i:], []uint8{uint8(4 * i), 128, 255 - uint8(4*i)})
	}
	copy(colour.Pixels, []uint8{255, 0, 0})
	return Grid{Title: "Two rows of pictures", Subtitle: "toy data", Warning: "synthetic images, not photographs",
		Rows: []GridRow{
			{Label: "image", Cells: []Cell{{colour, "cat\n99.0 %", false},
				{grey, "a class with a name far too long for its place", false}}},
			{Label: "what became\nof it", Cells: []Cell{{grey, "dog\n51.2 %", true}, {colour, "", false},
				{grey, "bird", false}}},
		}}
}

func TestGrid(t *testing.T) {
	dir := t.TempDir()
	files, err := pictures().Save(filepath.Join(dir, "grid"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	again, err := pictures().Save(filepath.Join(dir, "again"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		a, errA := os.ReadFile(files[i])
		b, errB := os.ReadFile(again[i])
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: other bytes the second time (%v, %v)", files[i], errA, errB)
		}
		if strings.HasSuffix(files[i], ".svg") {
			for _, want := range []string{"Two rows of pictures", "toy data", "not photographs", "what became", "cat", "99.0 %",
				"a class", "…", "data:image/png;base64,iVBOR"} {
				if !strings.Contains(string(a), want) {
					t.Errorf("the drawing does not say %q", want)
				}
			}
			continue
		}
		img, err := png.Decode(bytes.NewReader(a))
		if err != nil {
			t.Fatal(err)
		}
		// The red pixel of the first picture is a square of 24 x 24 dots with sharp edges.
		red, n := color.NRGBA{255, 0, 0, 255}, 0
		b2 := img.Bounds()
		for y := b2.Min.Y; y < b2.Max.Y; y++ {
			for x := b2.Min.X; x < b2.Max.X; x++ {
				if color.NRGBAModel.Convert(img.At(x, y)) == red {
					n++
				}
			}
		}
		if n != 2*24*24 {
			t.Errorf("%d dots are of the pixel's colour, want %d", n, 2*24*24)
		}
	}
}

func TestGridRefuses(t *testing.T) {
	other := pictures()
	other.Rows[1].Cells[0].W = 7
	short := pictures()
	short.Rows[0].Cells[0].Pixels = short.Rows[0].Cells[0].Pixels[:5]
	for name, g := range map[string]Grid{"nothing": {}, "two sizes": other, "too few values": short} {
		if files, err := g.Save(filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%s was drawn: %v", name, files)
		}
	}
}
