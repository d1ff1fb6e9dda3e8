package attack

import (
	"fmt"
	"strings"
)

// Method is an attack that can be asked for by its name.
type Method struct {
	Name     string // in records and on the command line
	Label    string // in figures and tables
	Source   string
	L2       bool // it attacks in L2 as well as in L-infinity
	Targeted bool // it can aim at a class
	Blind    bool // it sees logits alone, no gradients
	// New is the attack with the settings s, of which it takes those that it has.
	New func(s Settings) Attack
	// Gradients is how many gradients it takes for an image.
	Gradients func(s Settings) int
}

// Settings are those of any attack.
type Settings struct {
	Norm     Norm
	Eps      float64 // radius, in pixel values of [0,1]
	Steps    int     // of an attack of several, each of 2.5·Eps/Steps as in Madry et al. 2018: they could leave the ball
	Restarts int     // random starts
	Queries  int     // of an image, where Blind
	Targeted bool
	Seed     uint64
	H, W, C  int // of an image
}

// step is the size of each step.
func (s Settings) step() float64 { return 2.5 * s.Eps / float64(s.Steps) }

// Methods are the attacks there are. To add one is to write its file and to enter it here.
var Methods = []Method{fgsmMethod, pgdMethod, squareMethod, noiseMethod}

// Find is the attack called name.
func Find(name string) (Method, error) {
	for _, m := range Methods {
		if m.Name == name {
			return m, nil
		}
	}
	return Method{}, fmt.Errorf("unknown attack %q: known are %s", name, strings.Join(Names(func(Method) bool { return true }), ", "))
}

// Names are the names of those attacks that are as asked for.
func Names(asked func(Method) bool) []string {
	var names []string
	for _, m := range Methods {
		if asked(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

// InTraining says whether m suits training: in L-infinity, by gradients.
func InTraining(m Method) bool { return !m.Blind && m.Gradients(Settings{Steps: 1, Restarts: 1}) > 0 }

// Label is the label of the attack called name; the name of one that is not known.
func Label(name string) string {
	if m, err := Find(name); err == nil {
		return m.Label
	}
	return name
}
