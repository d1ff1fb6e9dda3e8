package data

import (
	"context"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestFitter: an image comes as a network of its size or of another, of three channels or of one, takes it, and what
// was converted is counted.
func TestFitter(t *testing.T) {
	colour := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	colour.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 255})
	colour.SetNRGBA(1, 0, color.NRGBA{0, 0, 255, 255})
	grey := image.NewGray(image.Rect(0, 0, 2, 1))
	grey.Pix = []uint8{7, 255}
	for _, c := range []struct {
		f    *Fitter
		img  image.Image
		want []uint8
		said string
	}{
		{&Fitter{H: 1, W: 2, C: 3}, colour, []uint8{200, 100, 50, 0, 0, 255}, ""},
		{&Fitter{H: 1, W: 2, C: 3}, grey, []uint8{7, 7, 7, 255, 255, 255}, "1 grey"},
		{&Fitter{H: 1, W: 2, C: 1}, grey, []uint8{7, 255}, ""},
		{&Fitter{H: 1, W: 2, C: 1}, colour, []uint8{124, 29}, "1 in colour"}, // as Image.convert("L")
		{&Fitter{H: 2, W: 4, C: 1}, grey, []uint8{7, 69, 193, 255, 7, 69, 193, 255}, "1 of another size"},
	} {
		got, err := c.f.Fit(pngOf(c.img))
		if err != nil || !slices.Equal(got, c.want) || c.f.String() != c.said {
			t.Errorf("%d channels: %v, %q, %v; want %v, %q", c.f.C, got, c.f.String(), err, c.want, c.said)
		}
	}
	f := Fitter{H: 1, W: 1, C: 3}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("text"), "cut": pngOf(grey)[:40]} {
		if px, err := f.Fit(b); err == nil || px != nil || f.String() != "" {
			t.Errorf("%s: %v, %q, %v", name, px, f.String(), err)
		}
	}
}

func TestIsPicture(t *testing.T) {
	img := pngOf(image.NewGray(image.Rect(0, 0, 3, 3)))
	for text, want := range map[string]bool{string(img): true, string(img[:12]): true, "\xff\xd8\xff\xe0": true,
		"BMW drives well.": false, "GIF8 is no version.": false, "ÿØ": false, "": false, "a film": false} {
		if got := IsPicture([]byte(text)); got != want {
			t.Errorf("%.20q: %v", text, got)
		}
	}
}

// TestImageFiles: the images of a folder are listed in order, and what cannot be read among them is listed with why.
func TestImageFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.png", "a/z.JPG", "a/b/c.jpeg", "a.png", "notes.txt", ".hidden.png", "c/Thumbs.db"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a/b/c.jpeg", "a/z.JPG", "a.png", "b.png"}
	over := "1 .txt, 2 hidden or of the operating system"
	failing := map[string]string{}
	if runtime.GOOS != "windows" { // where links need a privilege
		for at, to := range map[string]string{"gone.png": "nowhere", "lost": "nowhere either", "loop": ".", "d.png": "a.png",
			"nothing.txt": "nowhere"} {
			if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, "d.png", "gone.png", "lost")
		failing["gone.png"], failing["lost"] = "leads nowhere", "leads nowhere"
		over += ", 1 linked back to a folder above"
	}
	files, left, err := ImageFiles(context.Background(), dir)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
		if f.Path != filepath.Join(dir, filepath.FromSlash(f.Name)) {
			t.Errorf("%s lies at %s", f.Name, f.Path)
		}
		switch why := failing[f.Name]; {
		case why == "" && f.Err != nil, why != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), why)):
			t.Errorf("%s: error %v, want %q", f.Name, f.Err, why)
		}
	}
	if err != nil || !slices.Equal(names, want) || left != over {
		t.Errorf("%q, passed over %q, %v; want %q, %q", names, left, err, want, over)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := ImageFiles(ctx, dir); err == nil {
		t.Error("went on after it was cancelled")
	}
}

// TestClassNames: names known without reading a set are as many as its classes.
func TestClassNames(t *testing.T) {
	for _, name := range append(Names(), SyntheticDigits, SyntheticShapes) {
		names := ClassNames(name)
		if d, err := Describe(name); names != nil && (err != nil || len(names) != d.Classes) {
			t.Errorf("%s: %d names, %+v, %v", name, len(names), d, err)
		}
	}
}
