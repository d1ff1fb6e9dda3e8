package record

import (
	"fmt"

	"dla/internal/attack"
	"dla/internal/run"
)

// Attacks is the result of lab4 fgsm: the accuracy of a network under each attack.
type Attacks struct {
	Test        Test              `json:"test"` // without attack
	Network     string            `json:"network"`
	Source      string            `json:"source"` // run id or folder of the weights
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

// Reached gives the accuracy without attack and the number of attacks.
func (a *Attacks) Reached() string {
	return fmt.Sprintf("accuracy %.2f %% without attack, %d attacks", 100*a.Test.Accuracy, len(a.Attacks))
}

// SelfChecks returns the checks of the attacks.
func (a *Attacks) SelfChecks() []Check { return a.Checks }

// Remark returns the note.
func (a *Attacks) Remark() string { return a.Note }

// Seconds returns the wall time.
func (a *Attacks) Seconds() float64 { return a.WallSeconds }
