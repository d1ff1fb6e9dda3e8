package plot

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"
)

// dots is a chart with a row of each kind.
func dots() Dots {
	return Dots{Title: "What each part is worth", Subtitle: "toy data · 2 to 3 seeds each: dots, and their mean",
		XLabel: "test accuracy", Percent: true, Rows: []DotRow{
			{Label: "all parts", Values: []float64{0.9401, 0.9412, 0.9395}, Accent: true},
			{Label: "without whitening", Values: []float64{0.921, 0.9232}},
			{Label: "one value", Values: []float64{0.935}},
			{Label: "a label that is so long that there is no room at all for the whole of it in the figure",
				Values: []float64{0.938, math.NaN()}},
			{Label: "nothing", Values: nil},
		}}
}

func TestDots(t *testing.T) {
	dir := t.TempDir()
	names, err := dots().Save(filepath.Join(dir, "dots"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, error %v", names, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "dots.png"))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "dots.png")
	if *regenerate {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := cmpimg.EqualApprox("png", got, want, 0.02); err != nil || !ok {
		t.Errorf("the chart differs from %s (error %v); look at it, then run with -regenerate", golden, err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "dots.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"without whitening", "test accuracy", "94.0 %", "nothing"} {
		if !strings.Contains(string(svg), text) {
			t.Errorf("the chart lacks %q", text)
		}
	}
	if _, err := (Dots{Title: "none"}).Save(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
