package run

import (
	"encoding/json"
	"math"
	"testing"
)

// TestMeasures: an accuracy that there is not is left out and read as NaN; one of 0 is not that.
func TestMeasures(t *testing.T) {
	for want, m := range map[string]Measure{
		`{"loss":0.5,"accuracy":0.75}`: {0.5, 0.75},
		`{"loss":1e-9,"accuracy":0}`:   {1e-9, 0},
		`{"loss":0.0123}`:              {0.0123, math.NaN()},
		`null`:                         Unmeasured(),
	} {
		b, err := json.Marshal(m)
		var back Measure
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if err != nil || !same(back.Loss, m.Loss) || !same(back.Accuracy, m.Accuracy) || m.Measured() != (want != "null") {
			t.Errorf("%s reads as %+v, %v; want %+v", b, back, err, m)
		}
		if string(b) != want {
			t.Errorf("%s, want %s", b, want)
		}
	}
	if _, err := json.Marshal(Epoch{Train: Measure{Loss: math.NaN()}}); err == nil {
		t.Error("a loss of NaN was written")
	}
	var m Measure
	if json.Unmarshal([]byte(`{"loss":"x"}`), &m) == nil || json.Unmarshal([]byte(`7`), &m) == nil {
		t.Error("what is no measure was read")
	}
}
