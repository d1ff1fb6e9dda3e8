package record

import (
	"fmt"

	"dla/internal/attack"
	"dla/internal/run"
)

// Attacks is the result of the attacks on a network.
type Attacks struct {
	Test        Test              `json:"test"` // of the images as they are
	Network     string            `json:"network"`
	Source      string            `json:"source"` // run or folder of the weights
	Weights     string            `json:"weights_sha256"`
	Params      int               `json:"params"`
	Classes     []string          `json:"classes"`
	Attacks     []attack.Outcome  `json:"attacks"`
	Transfer    []attack.Transfer `json:"transfer,omitempty"`
	Checks      []Check           `json:"checks"`
	Examples    run.Attachment    `json:"examples"` // []attack.Example
	WallSeconds float64           `json:"wall_seconds"`
	Note        string            `json:"note,omitempty"`
}

// Reached is the accuracy without attack, and how many attacks there are.
func (a *Attacks) Reached() string {
	return fmt.Sprintf("accuracy %.2f %% without attack, %d attacks", 100*a.Test.Accuracy, len(a.Attacks))
}

// SelfChecks are the checks of the attacks.
func (a *Attacks) SelfChecks() []Check { return a.Checks }

// Remark is the note.
func (a *Attacks) Remark() string { return a.Note }

// Seconds is the wall time.
func (a *Attacks) Seconds() float64 { return a.WallSeconds }
