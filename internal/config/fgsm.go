package config

import (
	"fmt"
	"math"
	"slices"
)

// FGSM holds the settings of lab4 fgsm: the networks and the attacks. Radii in L-infinity are in units of 1/255 (one
// step of 8 bits), radii in L2 in pixel values of [0,1].
type FGSM struct {
	Experiment string `yaml:"experiment" json:"experiment"`
	Seed       uint64 `yaml:"seed" json:"seed"` // of random starts, noise and random target classes

	// Checkpoints names the networks: a name under checkpoints/, a folder or the id of a finished run. Every attack
	// runs on the first; the transfer matrix has all of them.
	Checkpoints []string `yaml:"checkpoints,flow" json:"checkpoints"`
	Weights     []string `yaml:"weights,flow" json:"weights"` // expected SHA-256 (fingerprints); recorded by a run

	Limit int `yaml:"limit" json:"limit"` // number of test images; 0: all
	// target class of targeted attacks; random: a wrong class drawn for each image
	Target string `yaml:"target" json:"target"`
	// Attacks names the attacks beside FGSM and noise; empty: pgd and square.
	Attacks  []string `yaml:"attacks,flow,omitempty" json:"attacks,omitempty"`
	Sweep    Sweep    `yaml:"fgsm" json:"fgsm"`
	PGD      PGD      `yaml:"pgd" json:"pgd"`
	Square   Square   `yaml:"square" json:"square"`
	Transfer Transfer `yaml:"transfer" json:"transfer"`
	Examples Examples `yaml:"examples" json:"examples"`
}

// Sweep holds the radii of FGSM, targeted FGSM and random noise.
type Sweep struct {
	Eps []float64 `yaml:"eps,flow" json:"eps"` // ascending from 0
}

// PGD holds the settings of PGD. Its step size is 2.5·radius/steps, as in Madry et al. 2018
// (https://arxiv.org/abs/1706.06083).
type PGD struct {
	Eps         []float64 `yaml:"eps,flow" json:"eps"`                   // L-infinity; a subset of fgsm.eps
	EpsTargeted []float64 `yaml:"eps_targeted,flow" json:"eps_targeted"` // L-infinity
	EpsL2       []float64 `yaml:"eps_l2,flow" json:"eps_l2"`             // L2
	Steps       int       `yaml:"steps" json:"steps"`
	Restarts    int       `yaml:"restarts" json:"restarts"`
}

// Square holds the settings of the Square attack.
type Square struct {
	Eps     float64 `yaml:"eps" json:"eps"`         // L-infinity, one of fgsm.eps
	Queries int     `yaml:"queries" json:"queries"` // per image, at most
	Images  int     `yaml:"images" json:"images"`   // first images of the test set; 0: no Square attack
}

// Transfer holds the settings of the transfer matrix of several networks.
type Transfer struct {
	Eps    float64 `yaml:"eps" json:"eps"` // L-infinity
	Images int     `yaml:"images" json:"images"`
}

// Examples holds the settings of the figures' example images.
type Examples struct {
	Eps    float64 `yaml:"eps" json:"eps"`       // L-infinity, of FGSM
	Images int     `yaml:"images" json:"images"` // of each kind
}

const fgsmExperiment = "lab4/fgsm"

// RandomTarget makes targeted attacks draw a wrong class for each image.
const RandomTarget = "random"

// DefaultFGSM attacks a ResNet-20 on the whole test set.
func DefaultFGSM() FGSM {
	return FGSM{
		Experiment:  fgsmExperiment,
		Checkpoints: []string{"speedrun"},
		Weights:     []string{},
		Target:      RandomTarget,
		Sweep:       Sweep{Eps: []float64{0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128}},
		PGD: PGD{Eps: []float64{0.5, 1, 2, 4, 8}, EpsTargeted: []float64{2, 8}, EpsL2: []float64{0.25, 0.5},
			Steps: 20, Restarts: 1},
		Square:   Square{Eps: 8, Queries: 1000, Images: 500},
		Transfer: Transfer{Eps: 8, Images: 1000},
		Examples: Examples{Eps: 8, Images: 5},
	}
}

// Validate returns an error that names the first invalid setting.
func (c FGSM) Validate() error {
	if c.Experiment != fgsmExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, fgsmExperiment)
	}
	if len(c.Checkpoints) == 0 || slices.Contains(c.Checkpoints, "") {
		return fmt.Errorf("checkpoints is %q, want at least one network's name, folder or run", c.Checkpoints)
	}
	if len(c.Weights) > 0 && len(c.Weights) != len(c.Checkpoints) {
		return fmt.Errorf("weights has %d fingerprints for %d checkpoints; want one for each checkpoint, or none",
			len(c.Weights), len(c.Checkpoints))
	}
	if c.Target == "" {
		return fmt.Errorf("target is empty, want the name of a class, or %s", RandomTarget)
	}
	for _, n := range []struct {
		key          string
		v, low, high int
	}{
		{"limit", c.Limit, 0, math.MaxInt32}, {"pgd.steps", c.PGD.Steps, 1, 10000}, {"pgd.restarts", c.PGD.Restarts, 1,
			1000},
		{"square.queries", c.Square.Queries, 2, 1000000}, {"square.images", c.Square.Images, 0, math.MaxInt32},
		{"transfer.images", c.Transfer.Images, 1, math.MaxInt32}, {"examples.images", c.Examples.Images, 1, 12},
	} {
		if n.v < n.low || n.v > n.high {
			return fmt.Errorf("%s is %d, want %d to %d", n.key, n.v, n.low, n.high)
		}
	}
	for _, l := range []struct {
		key       string
		eps       []float64
		low, high float64
	}{
		{"fgsm.eps", c.Sweep.Eps, 0, 255}, {"pgd.eps", c.PGD.Eps, 0, 255}, {"pgd.eps_targeted", c.PGD.EpsTargeted, 0,
			255},
		{"pgd.eps_l2", c.PGD.EpsL2, 0, 1000}, {"square.eps", []float64{c.Square.Eps}, 0, 255},
		{"transfer.eps", []float64{c.Transfer.Eps}, 0, 255}, {"examples.eps", []float64{c.Examples.Eps}, 0, 255},
	} {
		for i, e := range l.eps {
			if !(e >= l.low && e <= l.high) || i > 0 && e <= l.eps[i-1] {
				return fmt.Errorf("%s is %v, want ascending numbers of %g to %g", l.key, l.eps, l.low, l.high)
			}
		}
	}
	if len(c.Sweep.Eps) < 2 || c.Sweep.Eps[0] != 0 {
		return fmt.Errorf("fgsm.eps is %v, want 0 first and further radii: at 0 no image may change", c.Sweep.Eps)
	}
	for _, e := range append(slices.Clone(c.PGD.Eps), c.Square.Eps) {
		if !slices.Contains(c.Sweep.Eps, e) {
			return fmt.Errorf("pgd.eps and square.eps must be among fgsm.eps, so that the attacks can be compared: "+
				"%g is not in %v", e, c.Sweep.Eps)
		}
	}
	return nil
}
