package record

import (
	"fmt"

	"dla/internal/run"
)

// OOD is the result of an evaluation of detectors of out-of-distribution images.
type OOD struct{ run.OOD }

// Reached says how many detectors were evaluated on how many sets.
func (o *OOD) Reached() string {
	return fmt.Sprintf("%d detectors on %d sets", len(o.Detectors), len(o.Sets))
}

// SelfChecks is the check of the sign of scores.
func (o *OOD) SelfChecks() []Check {
	s := o.Signs
	return []Check{{What: "AUROC is 1 of a perfect detector, 0 of its negation, 0.5 of a constant",
		Found: fmt.Sprintf("%g, %g, %g", s.Perfect, s.Negated, s.Constant), OK: s.Perfect == 1 && s.Negated == 0 && s.Constant == 0.5}}
}

// Remark is the note.
func (o *OOD) Remark() string { return o.Note }

// Seconds is the wall time.
func (o *OOD) Seconds() float64 { return o.WallSeconds }
