package attack

import (
	"fmt"
	"strings"
)

// Method is a registered attack, selectable by name.
type Method struct {
	Name     string // in records and on the command line
	Label    string // in figures and tables
	Source   string
	L2       bool // supports L2 as well as L-infinity
	Targeted bool // supports target classes
	Blind    bool // uses logits only, no gradients
	// New returns the attack with settings s. Settings that the attack does not have are ignored.
	New func(s Settings) Attack
	// Gradients returns the number of gradients per image.
	Gradients func(s Settings) int
}

// Settings holds the settings of all attacks.
type Settings struct {
	Norm     Norm
	Eps      float64 // radius, in pixel values of [0,1]
	Steps    int     // of an iterative attack, each of size 2.5·Eps/Steps as in Madry et al. 2018
	Restarts int     // random starts
	Queries  int     // per image, if Blind
	Targeted bool
	Seed     uint64
	H, W, C  int // of an image
}

// step returns the step size.
func (s Settings) step() float64 { return 2.5 * s.Eps / float64(s.Steps) }

// Methods lists all attacks. A new attack needs its own file and an entry here.
var Methods = []Method{fgsmMethod, pgdMethod, squareMethod, noiseMethod}

// Find returns the attack called name.
func Find(name string) (Method, error) {
	for _, m := range Methods {
		if m.Name == name {
			return m, nil
		}
	}
	return Method{}, fmt.Errorf("unknown attack %q: known are %s", name,
		strings.Join(Names(func(Method) bool { return true }), ", "))
}

// Names returns the names of the attacks that keep accepts.
func Names(asked func(Method) bool) []string {
	var names []string
	for _, m := range Methods {
		if asked(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

// InTraining reports whether m is usable in adversarial training: it needs gradients.
func InTraining(m Method) bool { return !m.Blind && m.Gradients(Settings{Steps: 1, Restarts: 1}) > 0 }

// Label returns the label of the attack called name, or name itself where it is unknown.
func Label(name string) string {
	if m, err := Find(name); err == nil {
		return m.Label
	}
	return name
}
