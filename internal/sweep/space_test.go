package sweep

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDrawsAreForEver: draw i of a setting depends on the seed, the key and i alone, today and tomorrow.
func TestDrawsAreForEver(t *testing.T) {
	for text, want := range map[string]string{
		"train.lr=log:1e-4..1e-1":       "0.0026944 0.00457296 0.0982698 0.000293619 0.000446379 0.0335433",
		"train.momentum=lin:0.5..0.99":  "0.581146 0.894125 0.924432 0.759096 0.842869 0.84215",
		"model.depth=int:1..5":          "2 2 3 1 3 5",
		"train.batch_size=32, 64 , 128": "64 64 64 128 64 32",
	} {
		a, err := Random(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range 6 {
			got = append(got, a.draw(0, i))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", text, strings.Join(got, " "), want)
		}
		if a.draw(1, 0) == got[0] && a.draw(1, 1) == got[1] && a.draw(1, 2) == got[2] {
			t.Errorf("%s: another seed draws the same", text)
		}
	}
	lr, err := Random("train.lr=log:1e-4..1e-1")
	if err != nil {
		t.Fatal(err)
	}
	below := 0
	for i := range 3000 {
		v, err := strconv.ParseFloat(lr.draw(0, i), 64)
		if err != nil || v < 1e-4 || v > 1e-1 {
			t.Fatalf("draw %d is %s", i, lr.draw(0, i))
		}
		if v < 1e-3 {
			below++
		}
	}
	if below < 900 || below > 1100 { // a third of the decades
		t.Errorf("%d of 3000 draws are in the lowest of three decades", below)
	}
}

// TestPoints: the first grid changes slowest, what is drawn last, and more draws change none of those before.
func TestPoints(t *testing.T) {
	axis := func(a Axis, err error) Axis {
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	s := Space{Axes: []Axis{axis(Random("x=int:0..1000000")), axis(Grid("a=1,2")), axis(Grid("b=[1, 2],[]"))}, Trials: 2}
	two, err := s.Points()
	if err != nil || len(two) != 8 {
		t.Fatalf("%v, %v", two, err)
	}
	if !slices.Equal(two[2][:2], []string{"a=1", "b=[]"}) || two[0][2] != two[2][2] || two[0][2] == two[1][2] {
		t.Errorf("%v", two)
	}
	s.Trials = 3
	three, err := s.Points()
	if err != nil || !slices.Equal(three[0], two[0]) || !slices.Equal(three[1], two[1]) {
		t.Errorf("%v, %v", three, err)
	}
	if none, err := (Space{}).Points(); err != nil || len(none) != 1 || len(none[0]) != 0 {
		t.Errorf("nothing varied: %v, %v", none, err)
	}
}

func TestMistakesOfAxes(t *testing.T) {
	for text, want := range map[string]string{
		"train.lr":                "want KEY=VALUES",
		"train.lr=":               "want KEY=VALUES",
		"seed=1,2":                "--seeds",
		"train.lr=log:1..0.1":     "the smaller one first",
		"train.lr=log:-1..1":      "above 0",
		"train.lr=lin:a..b":       "two numbers",
		"train.lr=int:0.5..2":     "whole numbers",
		"train.lr=lin:1..Inf":     "two numbers",
		"train.lr=1e-4..1e-1":     "a range begins with",
		"train.lr=1,,2":           "a value is missing",
		"train.milestones=[1,2":   "not closed",
		"train.lr=0.1,0.2,0.1":    "given twice",
		"train.lr=int:0..1e300":   "whole numbers",
		"train.lr=log:1e-4..1e-1": "",
	} {
		_, err := Random(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	a, b := Axis{Key: "train.muon", Kind: grid, Values: []string{"1"}}, Axis{Key: "train.muon.lr", Kind: "lin", Hi: 1}
	for _, c := range []struct {
		s    Space
		want string
	}{
		{Space{Axes: []Axis{a, a}}, "varied twice"}, {Space{Axes: []Axis{a, b}, Trials: 1}, "varied twice"},
		{Space{Axes: []Axis{b}}, "--trials 0"}, {Space{Axes: []Axis{a}, Trials: 3}, "nothing is drawn"},
	} {
		if _, err := c.s.Points(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.s, err, c.want)
		}
	}
}
