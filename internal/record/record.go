// Package record holds the types of result.json, the result of a finished run of each experiment. Package labs writes
// them; listings, tables and figures read them.
package record

import (
	"encoding/json"
	"fmt"
	"strings"

	"dla/internal/run"
)

// Result is the content of a result.json.
type Result interface {
	// Reached summarises the result: test accuracy 89.81 %.
	Reached() string
	// SelfChecks returns the run's self-checks, nil for an experiment without any.
	SelfChecks() []Check
	// Remark is a warning to show with the result, such as that its data is synthetic; it may be "".
	Remark() string
	// Seconds returns the wall time of all processes of the run.
	Seconds() float64
}

// Read decodes the result of the finished run r into res, a pointer to one of this package's types.
func Read(r run.Record, res any) error {
	if err := json.Unmarshal(r.Result, res); err != nil {
		return fmt.Errorf("run %s: result.json: %w; put back a good copy, or remove the run with `%s`", r.ID, err,
			r.Command("rm"))
	}
	return nil
}

// Check is a self-check: what must hold, and what was found. A check whose settings lack something, such as a large
// radius in a sweep of small ones, neither passes nor fails; Found then says what is missing.
type Check struct {
	What          string  `json:"name"`
	Found         string  `json:"found"`
	Value         float64 `json:"value"` // the deciding number, where there is one
	OK            bool    `json:"passed"`
	NotApplicable bool    `json:"not_applicable,omitempty"`
}

// Failed reports whether the check applies and does not hold.
func (c Check) Failed() bool { return !c.OK && !c.NotApplicable }

// Word gives the outcome in a word.
func (c Check) Word() string {
	switch {
	case c.NotApplicable:
		return "does not apply"
	case c.OK:
		return "holds"
	}
	return "FAILS"
}

// Failed returns an error that names the failed checks, nil where none failed.
func Failed(checks []Check) error {
	var failed []string
	for _, c := range checks {
		if c.Failed() {
			failed = append(failed, fmt.Sprintf("%s (%s)", c.What, c.Found))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d self-checks failed: %s", len(failed), len(checks), strings.Join(failed, "; "))
}
