package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"
)

var regenerate = flag.Bool("regenerate", false, "write the golden images anew")

// sample is a figure with all that the style has: bands, dashes, labels that would overlap, a gap.
func sample(log bool) Figure {
	f := Figure{Title: "Training loss", Subtitle: "toy data · 3 seeds each: mean and range",
		Warning: "synthetic digits, not MNIST", XLabel: "epoch", YLabel: "cross-entropy", Log: log}
	for i := range 6 {
		c := Curve{Label: string(rune('a'+i)) + " residual", Colour: i / 2, Dashed: i%2 == 1}
		for e := 1; e <= 10; e++ {
			y := 2/float64(e)/(1+0.1*float64(i)) + 0.01
			if i == 3 && e == 5 {
				y = math.NaN()
			}
			c.X, c.Mean = append(c.X, float64(e)), append(c.Mean, y)
			c.Lo, c.Hi = append(c.Lo, y*0.9), append(c.Hi, y*1.1)
		}
		f.Curves = append(f.Curves, c)
	}
	return f
}

// TestGolden compares with images that somebody has looked at.
func TestGolden(t *testing.T) {
	for name, log := range map[string]bool{"linear": false, "log": true} {
		golden := filepath.Join("testdata", name+".png")
		base := filepath.Join(t.TempDir(), name)
		if _, err := sample(log).Save(base); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(base + ".png")
		if err != nil {
			t.Fatal(err)
		}
		if *regenerate {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		// Rounding of curves may differ by processor, hence a little tolerance.
		if ok, err := cmpimg.EqualApprox("png", got, want, 0.02); err != nil || !ok {
			t.Errorf("%s differs from %s (error %v); look at it, then run with -regenerate", name, golden, err)
		}
	}
}

// TestSameDataSameBytes: figures in the repository are compared byte by byte.
func TestSameDataSameBytes(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if _, err := sample(true).Save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, ext := range []string{".png", ".svg"} {
		a, errA := os.ReadFile(filepath.Join(dir, "a"+ext))
		b, errB := os.ReadFile(filepath.Join(dir, "b"+ext))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("two %s files of the same data differ (%v, %v)", ext, errA, errB)
		}
	}
}

func TestSVGHasAllTheWords(t *testing.T) {
	base := filepath.Join(t.TempDir(), "x")
	f := sample(false)
	if _, err := f.Save(base); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(base + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{f.Title, f.Subtitle, f.Warning, f.YLabel, f.XLabel, "a residual", "f residual"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the figure does not say %q", want)
		}
	}
}

// TestOddData: nothing of this may panic or fail.
func TestOddData(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]Curve{
		"one epoch": {Label: "x", X: []float64{1}, Mean: []float64{0.5}},
		"constant":  {Label: "x", X: []float64{1, 2}, Mean: []float64{0.5, 0.5}},
		"zeros":     {Label: "x", X: []float64{1, 2}, Mean: []float64{0, 0}},
		"nothing":   {Label: "x"},
		"no number": {Label: "x", X: []float64{1, 2}, Mean: []float64{nan, nan}},
		"infinite": {Label: "x", X: []float64{1, 2, 3}, Mean: []float64{1, inf, 2}, Lo: []float64{0, 0, 0},
			Hi: []float64{inf, inf, inf}},
		"wide range":   {Label: "x", X: []float64{1, 2}, Mean: []float64{1e-12, 1e12}},
		"no name":      {X: []float64{1, 2}, Mean: []float64{1, 2}},
		"many colours": {Label: "x", X: []float64{1, 2}, Mean: []float64{1, 2}, Colour: 1000},
	} {
		for _, log := range []bool{false, true} {
			if _, err := (Figure{Title: name, Log: log, Percent: !log, Curves: []Curve{c}}).Save(filepath.Join(t.TempDir(),
				"x")); err != nil {
				t.Errorf("%s, log %v: %v", name, log, err)
			}
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tc := range []struct{ y, want []float64 }{
		{[]float64{10, 50, 90}, []float64{10, 50, 90}},
		{[]float64{50, 50}, []float64{45, 55}},
		{[]float64{50, 50, 50}, []float64{40, 50, 60}},
		{[]float64{0, 0, 100}, []float64{0, 10, 100}},
		{[]float64{99, 100}, []float64{90, 100}},
		{[]float64{42, 50, 50}, []float64{37.33333333333333, 47.33333333333333, 57.33333333333333}},
	} {
		y := slices.Clone(tc.y)
		spread(y, 10, 0, 100)
		for i := range y {
			if math.Abs(y[i]-tc.want[i]) > 1e-9 {
				t.Errorf("spread(%v) = %v, want %v", tc.y, y, tc.want)
				break
			}
		}
	}
}

// TestNamesInSVG: a name with characters that no XML may hold leaves the drawing readable.
func TestNamesInSVG(t *testing.T) {
	f := Figure{Title: "a\x1b[31m<b>", Curves: []Curve{{Label: "\x00\uffff", X: []float64{1, 2}, Mean: []float64{1, 2}}}}
	base := filepath.Join(t.TempDir(), "figure")
	if _, err := f.Save(base); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(base + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	for err == nil {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) || !bytes.Contains(b, []byte("&lt;b&gt;")) {
		t.Errorf("%v in\n%s", err, b)
	}
}
