package sweep

import (
	"fmt"
	"math"

	"dla/internal/run"
)

// Objective is the validation measure that trials are compared by: that of the epoch which the training selects.
type Objective struct {
	Measure string `json:"measure"` // ValAccuracy or ValLoss
	ByLoss  bool   `json:"by_loss"` // the training selects the epoch by the smallest loss, not by the highest accuracy
}

// The measures.
const (
	ValAccuracy = "val_acc"
	ValLoss     = "val_loss"
)

// Measures lists the measures.
var Measures = []string{ValAccuracy, ValLoss}

func (o Objective) check() error {
	if o.Measure != ValAccuracy && o.Measure != ValLoss {
		return fmt.Errorf("the objective is %q, want %s or %s", o.Measure, ValAccuracy, ValLoss)
	}
	return nil
}

// Better reports whether a is better than b.
func (o Objective) Better(a, b float64) bool {
	if o.Measure == ValLoss {
		return a < b
	}
	return a > b
}

// Format formats a value of the measure.
func (o Objective) Format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case o.Measure == ValLoss:
		return fmt.Sprintf("%.5f", v)
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

// Curve returns the objective after each epoch: the measure of the epoch that is selected so far.
func (o Objective) Curve(epochs []run.Epoch) ([]float64, error) {
	var curve []float64
	var best run.Measure
	for i, e := range epochs {
		v := e.Val
		if i == 0 || !(o.ByLoss || math.IsNaN(v.Accuracy)) && v.Accuracy > best.Accuracy ||
			(o.ByLoss || math.IsNaN(v.Accuracy)) && v.Loss < best.Loss {
			best = v
		}
		at := best.Accuracy
		if o.Measure == ValLoss {
			at = best.Loss
		}
		if math.IsNaN(at) {
			return nil, fmt.Errorf("epoch %d has no %s, so the trial cannot be compared with others", e.Epoch, o.Measure)
		}
		curve = append(curve, at)
	}
	return curve, nil
}
