// Package record holds the types of result.json, what a finished run of each experiment reached: written by labs, read
// by everything that shows it.
package record

import (
	"encoding/json"
	"fmt"
	"strings"

	"dla/internal/run"
)

// Result is the content of a result.json.
type Result interface {
	// Reached says in a few words what the run came to: test accuracy 89.81 %.
	Reached() string
	// SelfChecks are the run's self-checks; none where its experiment has none.
	SelfChecks() []Check
	// Remark is what must be said wherever the result is shown, as that its data is synthetic; "" where there is nothing.
	Remark() string
	// Seconds is the wall time of all processes of the run.
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

// Check is a self-check: what must hold, and what was found. The settings may lack what it needs, as a sweep of small
// radii lacks a large one. Then it neither holds nor fails, and Found says what is missing.
type Check struct {
	What          string  `json:"name"`
	Found         string  `json:"found"`
	Value         float64 `json:"value"` // the number that decides, where there is one
	OK            bool    `json:"passed"`
	NotApplicable bool    `json:"not_applicable,omitempty"`
}

// Failed says that what must hold does not.
func (c Check) Failed() bool { return !c.OK && !c.NotApplicable }

// Word says how c came out.
func (c Check) Word() string {
	switch {
	case c.NotApplicable:
		return "does not apply"
	case c.OK:
		return "holds"
	}
	return "FAILS"
}

// Failed is an error that names those of checks that fail; nil where none does.
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
