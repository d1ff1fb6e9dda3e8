package plot

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"
)

// heat is a map of n classes.
func heat(n int) Heat {
	h := Heat{Title: "Confusion matrix", Subtitle: "toy data · accuracy 80 %", XLabel: "predicted class", YLabel: "class",
		Counts: make([][]int, n)}
	for i := range n {
		h.Names = append(h.Names, fmt.Sprintf("class %d", i+1))
		h.Counts[i] = make([]int, n)
		h.Counts[i][i] = 80
		h.Counts[i][(i+1)%n] += 15
		h.Counts[i][(i*i+3)%n] += 5
	}
	return h
}

// TestHeat: from 2 to 100 classes every name is drawn, at 5.5 points or more, and up to 20 classes every count.
func TestHeat(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{2, 10, 100} {
		h := heat(n)
		h.Names[1] = "a name that is much longer than there is room"
		files, err := h.Save(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil || len(files) != 2 {
			t.Fatalf("%d: %v, error %v", n, files, err)
		}
		svg, err := os.ReadFile(files[1])
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range h.Names {
			if i == 1 {
				name = "a name that"
			}
			if strings.Count(string(svg), name) < 2 {
				t.Errorf("%d classes: %q is not drawn twice", n, name)
			}
		}
		if h.style().Font.Size < 5.5 {
			t.Errorf("%d classes: names of %g points", n, h.style().Font.Size)
		}
		if got := strings.Contains(string(svg), ">80<"); got != (n <= 20) {
			t.Errorf("%d classes: counts are drawn: %v", n, got)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "10.png"))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "heat.png")
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
		t.Errorf("the map differs from %s (error %v); look at it, then run with -regenerate", golden, err)
	}
}

// TestHeatOfMany: a thousand classes make a figure of a bounded size; counts that are no square are an error.
func TestHeatOfMany(t *testing.T) {
	files, err := heat(1000).Save(filepath.Join(t.TempDir(), "many"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err := png.DecodeConfig(f); err != nil || c.Width > 4000 || c.Height > 4000 {
		t.Errorf("%d x %d pixels, error %v", c.Width, c.Height, err)
	}
	h := heat(3)
	h.Counts[1] = h.Counts[1][:2]
	for _, bad := range []Heat{{}, h} {
		if _, err := bad.Save(filepath.Join(t.TempDir(), "bad")); err == nil {
			t.Errorf("%v was drawn", bad.Counts)
		}
	}
}
