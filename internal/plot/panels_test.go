package plot

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// histograms is a figure of as many panels.
func histograms(panels int) Panels {
	h := Panels{Title: "Scores", Subtitle: "toy data", Warning: "not photographs", XLabel: "score", YLabel: "share",
		Columns: 3}
	for i := range panels {
		p := Panel{Title: "detector " + string(rune('a'+i)), Lo: -1, Hi: float64(i + 1)}
		for k, label := range []string{"inside", "outside"} {
			b := Bars{Label: label, Counts: make([]int, 20), Colour: 4 * k}
			for j := range b.Counts {
				b.Counts[j] = int(100 * math.Exp(-math.Pow(float64(j-6-5*k), 2)/20))
				b.Of += b.Counts[j]
			}
			p.Bars = append(p.Bars, b)
		}
		h.Panels = append(h.Panels, p)
	}
	return h
}

// lines is a figure of as many panels of lines.
func lines(panels int) Panels {
	h := histograms(panels)
	h.YLabel = "score"
	for i := range h.Panels {
		h.Panels[i].Bars = nil
		for k, label := range []string{"inside", "outside"} {
			h.Panels[i].Curves = append(h.Panels[i].Curves, Curve{Label: label, Colour: 4 * k, X: []float64{0, 50, 100},
				Mean: []float64{-1, float64(k), float64(i)}})
		}
	}
	return h
}

// curves is a figure of ROC curves.
func curves() ROC {
	r := ROC{Title: "ROC", Subtitle: "toy data", Warning: "not photographs", XLabel: "false positives",
		YLabel: "true positives"}
	for i := range 15 {
		c := Curve{Label: "detector " + string(rune('a'+i)) + " 0.9", Colour: i, Dashed: i >= 8}
		for j := range 51 {
			x := float64(j) / 50
			c.X, c.Mean = append(c.X, x), append(c.Mean, math.Pow(x, 1/float64(2+i)))
		}
		r.Curves = append(r.Curves, c)
	}
	return r
}

// TestDetectorFigures: the same data gives the same bytes, and the drawings say what they should.
func TestDetectorFigures(t *testing.T) {
	for name, c := range map[string]struct {
		save  func(base string) ([]string, error)
		words []string
	}{
		"one":   {histograms(1).Save, []string{"Scores", "toy data", "not photographs", "inside", "outside", "0 %"}},
		"lines": {lines(4).Save, []string{"Scores", "score", "detector d", "inside", "outside"}},
		"pair":  {histograms(2).Save, []string{"detector a", "detector b", "inside", "score"}},
		"many":  {histograms(5).Save, []string{"Scores", "detector a", "detector e", "outside"}},
		"roc": {curves().Save, []string{"ROC", "toy data", "false positives", "true positives", "detector a 0.9",
			"detector o 0.9", "100 %"}},
	} {
		dir := t.TempDir()
		files, err := c.save(filepath.Join(dir, "a"))
		if err != nil || len(files) != 2 {
			t.Fatalf("%s: %v, %v", name, files, err)
		}
		again, err := c.save(filepath.Join(dir, "b"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			a, errA := os.ReadFile(files[i])
			b, errB := os.ReadFile(again[i])
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: two drawings of the same data differ (%v, %v)", name, errA, errB)
			}
			if strings.HasSuffix(files[i], ".svg") {
				for _, w := range c.words {
					if !strings.Contains(string(a), w) {
						t.Errorf("%s does not say %q", name, w)
					}
				}
				for _, zero := range []string{">-0<", ">-0 %<", ">-0.0<"} {
					if strings.Contains(string(a), zero) {
						t.Errorf("%s has a tick %s", name, zero)
					}
				}
			}
		}
	}
}

// TestDetectorFiguresOfOddData: nothing of this may panic or fail.
func TestDetectorFiguresOfOddData(t *testing.T) {
	h := histograms(1)
	h.Panels[0].Lo, h.Panels[0].Hi = 3, 3 // all scores are equal
	empty := histograms(2)
	for i := range empty.Panels {
		empty.Panels[i].Bars[0] = Bars{Label: "none"}
		empty.Panels[i].Bars[1] = Bars{Label: "none", Counts: make([]int, 4)}
	}
	for name, save := range map[string]func(string) ([]string, error){"one value": h.Save, "nothing": empty.Save,
		"no curve": ROC{}.Save, "a flat line": Panels{Panels: []Panel{{Curves: []Curve{{X: []float64{1, 1},
			Mean: []float64{2, 2}}}}}}.Save,
		"a point": ROC{Curves: []Curve{{X: []float64{0.5}, Mean: []float64{0.5}}}}.Save} {
		if _, err := save(filepath.Join(t.TempDir(), "x")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Panels{}).Save(filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("no panel was drawn")
	}
}
