package metrics

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"
)

// TestConfusion compares measures by class, their means and the matrix with scikit-learn's: testdata/confusion.py.
func TestConfusion(t *testing.T) {
	var cases []struct {
		Classes               int
		Labels, Predicted     []int32
		Precision, Recall, F1 []float64
		Macro                 [3]float64
		Confusion             [][]int
	}
	b, err := os.ReadFile("testdata/confusion.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
	for _, c := range cases {
		m, err := NewConfusion(c.Classes, c.Labels, c.Predicted)
		if err != nil || c.Confusion != nil && !reflect.DeepEqual([][]int(m), c.Confusion) {
			t.Fatalf("%d classes: error %v, %v\nwant %v", c.Classes, err, m, c.Confusion)
		}
		all := m.ByClass()
		for i, s := range all {
			if !near(s.Precision, c.Precision[i]) || !near(s.Recall, c.Recall[i]) || !near(s.F1, c.F1[i]) {
				t.Errorf("%d classes: class %d has %+v, want %g, %g, %g", c.Classes, i, s, c.Precision[i], c.Recall[i], c.F1[i])
			}
		}
		if a := Macro(all); !near(a.Precision, c.Macro[0]) || !near(a.Recall, c.Macro[1]) || !near(a.F1, c.Macro[2]) {
			t.Errorf("%d classes: means %+v, want %v", c.Classes, a, c.Macro)
		}
	}
	for _, bad := range [][2][]int32{{{0}, {2}}, {{-1}, {0}}, {{0, 1}, {0}}} {
		if _, err := NewConfusion(2, bad[0], bad[1]); err == nil {
			t.Errorf("labels %v and predictions %v were counted", bad[0], bad[1])
		}
	}
	if a := Macro(nil); a != (Averages{}) {
		t.Errorf("means of nothing: %+v", a)
	}
}

// TestPredictionsInBytes: up to 128 classes take a byte a sample, as in older records, and more take two.
func TestPredictionsInBytes(t *testing.T) {
	labels := []int32{0, 127, 3}
	for top, wide := range map[int32]bool{127: false, 128: true, 32767: true} {
		p, err := NewPredictions([]int32{0, 1, top}, labels)
		if err != nil {
			t.Fatal(err)
		}
		b, is := p.Bytes()
		if is != wide || !wide && string(b) != "\x00\x81\xff" {
			t.Errorf("class %d: %x, wide %v", top, b, is)
		}
		back, err := ReadPredictions(b, is)
		if err != nil || !reflect.DeepEqual(back, p) || !reflect.DeepEqual(back.Classes(), []int32{0, 1, top}) {
			t.Errorf("class %d: %v, error %v", top, back, err)
		}
	}
	if _, err := ReadPredictions([]byte{1, 2, 3}, true); err == nil {
		t.Error("half a prediction was read")
	}
}

// TestLabelsOfPredictions: of two classes the predictions say which were the labels, of more only the right ones do.
func TestLabelsOfPredictions(t *testing.T) {
	labels := []int32{0, 1, 1, 0}
	p, err := NewPredictions([]int32{0, 0, 1, 1}, labels)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := p.Labels(2); !ok || !reflect.DeepEqual(got, labels) {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := p.Labels(3); ok {
		t.Error("labels of three classes were guessed")
	}
	if _, ok := p.Labels(1); ok {
		t.Error("a class beyond the last was taken")
	}
}
