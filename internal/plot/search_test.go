package plot

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"
)

// search is a search over a number on a logarithmic axis, a choice and a whole number.
func search() Search {
	s := Search{Title: "A search", Subtitle: "toy data · 12 settings of 2 seeds", Best: 7, Settings: []Variable{
		{Label: "train.lr", Log: true}, {Label: "model.name", Names: []string{"mlp", "small"}}, {Label: "model.depth"}},
		Objective: Variable{Label: "val_acc", Percent: true}}
	for i := range 12 {
		lr := math.Pow(10, -4+float64(i)*0.3)
		values := []float64{lr, float64(i % 2), float64(1 + i%5)}
		for k := range s.Settings {
			s.Settings[k].Values = append(s.Settings[k].Values, values[k])
		}
		s.Objective.Values = append(s.Objective.Values, 0.97-0.01*math.Abs(float64(i-7))-0.01*float64(i%2)+0.01)
	}
	s.Objective.Values[3] = math.NaN() // it diverged
	return s
}

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	for name, draw := range map[string]func(string) ([]string, error){"parallel": search().SaveParallel,
		"scatter": search().SaveScatter} {
		files, err := draw(filepath.Join(dir, name))
		if err != nil || len(files) != 2 {
			t.Fatalf("%s: %v, error %v", name, files, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".png")
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
		svg, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"train.lr", "small", "0.001", "model.depth", " %"} {
			if !strings.Contains(string(svg), text) {
				t.Errorf("%s lacks %q", name, text)
			}
		}
	}
	if _, err := (Search{}).SaveScatter(filepath.Join(dir, "none")); err == nil {
		t.Error("a search without settings was drawn")
	}
	one := Search{Objective: Variable{Label: "val_loss", Values: []float64{0.5}}, Best: -1,
		Settings: []Variable{{Label: "x", Values: []float64{2}}}}
	if _, err := one.SaveParallel(filepath.Join(dir, "one")); err != nil {
		t.Error(err)
	}
	if _, err := one.SaveScatter(filepath.Join(dir, "one")); err != nil {
		t.Error(err)
	}
}
