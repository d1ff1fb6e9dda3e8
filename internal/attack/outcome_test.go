package attack

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestOutcome counts four images of two values and three classes, one of them already of the class aimed at.
func TestOutcome(t *testing.T) {
	o := Outcome{Attack: "fgsm", Norm: Linf, Eps: 51, Targeted: true}
	b := Batch{X: []float32{0, 0, 0.5, 0.5, 1, 1, 0, 1}, Y: []int32{1, 2, 0, 2}}
	adv := []float32{0.2, 0, 0.5, 0.4, 0.8, 1, 0.1, 1}
	up := float32(math.Log(2)) // two other classes of logit 0: a probability of 1/2
	logits := []float32{0, up, 0, up, 0, 0, 0, 0, up, 0, 0, up}
	rounded := []float32{up, 0, 0, up, 0, 0, up, 0, 0, 0, 0, up}
	o.Add(b, []int32{0, 0, 2, 2}, adv, logits, rounded, 3)
	o.Close()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"N", o.N, 4},
		{"Correct", o.Correct, 3},
		{"Accuracy", o.Accuracy, 0.75},
		{"Aimed", o.Aimed.Value, 3},
		{"Success", o.Success.Value, 1. / 3},
		{"Rounded", o.Rounded, 0.75},
		{"MinValue", o.MinValue, 0.0},
		{"MaxValue", o.MaxValue, 1.0},
		{"Radius", o.Radius(), 0.2},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if math.Abs(o.Confidence-0.5) > 1e-6 {
		t.Errorf("Confidence is %g, want 0.5", o.Confidence)
	}
	if math.Abs(o.MaxChange-0.2) > 1e-6 {
		t.Errorf("MaxChange is %g, want 0.2", o.MaxChange)
	}
	if !(o.CI95[0] < 0.75 && o.CI95[1] > 0.75) {
		t.Errorf("an interval of %v", o.CI95)
	}
	l2 := Outcome{Norm: L2, Eps: 0.5}
	l2.Add(b, []int32{0, 0, 2, 2}, []float32{0.3, 0.4, 0.5, 0.5, 1, 1, 0, 1}, logits, rounded, 3)
	if math.Abs(l2.MaxChange-0.5) > 1e-6 || l2.Radius() != 0.5 || l2.Aimed.Value != 0 {
		t.Errorf("%+v", l2)
	}
}

// TestOutcomeInRecords: a targeted attack that no image falls for has a success of 0, which is written; an
// untargeted one has none. What earlier records leave out is 0.
func TestOutcomeInRecords(t *testing.T) {
	for _, targeted := range []bool{true, false} {
		o := Outcome{Attack: "fgsm", Targeted: targeted, Norm: Linf, Eps: 8}
		o.Add(Batch{X: []float32{0, 1}, Y: []int32{1, 1}}, []int32{0, 0}, []float32{0, 1}, []float32{1, 0, 1, 0},
			[]float32{1, 0, 1, 0}, 2)
		o.Close()
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{`"aimed":2`, `"success":0`} {
			if strings.Contains(string(b), key) != targeted {
				t.Errorf("targeted %t: %s in %s", targeted, key, b)
			}
		}
		var again Outcome
		if err := json.Unmarshal(b, &again); err != nil || again.Aimed != o.Aimed || again.Success != o.Success {
			t.Errorf("%s is read as %+v, %v", b, again, err)
		}
	}
	var old Outcome
	if err := json.Unmarshal([]byte(`{"attack":"fgsm","targeted":true,"norm":"linf","n":2,"aimed":2}`),
		&old); err != nil || old.Aimed.Value != 2 || old.Success.Value != 0 {
		t.Errorf("an earlier record is read as %+v, %v", old, err)
	}
}

func TestTransferAndExamples(t *testing.T) {
	var tr Transfer
	tr.Add([]float32{1, 0, 0, 1, 0, 1}, []int32{0, 0, 1})
	if tr.N != 3 || tr.Correct != 2 || tr.Accuracy() != 2./3 || (Transfer{}).Accuracy() != 0 {
		t.Errorf("%+v", tr)
	}
	e := Example{Label: 1, Goal: 2, After: Prediction{Class: 0}}
	if !e.Success() {
		t.Error("an image taken for another class is none that was missed")
	}
	if e.Targeted = true; e.Success() {
		t.Error("a targeted attack that led elsewhere is a success")
	}
}

// TestRound: to the nearest of 256 levels, but no further from the image than the radius.
func TestRound(t *testing.T) {
	level := func(v float64) float32 { return float32(v) / 255 }
	x := []float32{level(100), level(100), level(100), level(0), level(255), level(100)}
	adv := []float32{level(100.51), level(99.4), level(101.4), level(0.2), level(254.6), level(97)}
	for eps, want := range map[float64][]float32{
		0.5 / 255:   {100, 100, 100, 0, 255, 100},
		1.4 / 255:   {101, 99, 101, 0, 255, 99},
		math.Inf(1): {101, 99, 101, 0, 255, 97},
	} {
		dst := make([]float32, len(x))
		Round(dst, adv, x, eps)
		for i := range want {
			want[i] /= 255
		}
		if !slices.Equal(dst, want) {
			t.Errorf("radius %g/255: %v, want %v", 255*eps, dst, want)
		}
	}
}
