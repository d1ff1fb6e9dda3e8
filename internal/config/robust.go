package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Robust holds the settings of lab4 robust: the adversarial fine-tuning of a trained classifier, and the comparison of
// the fine-tuned network with the original.
type Robust struct {
	Experiment string     `yaml:"experiment" json:"experiment"`
	Seed       uint64     `yaml:"seed" json:"seed"` // of batch order, attacked images and outliers
	Original   Original   `yaml:"original" json:"original"`
	Scratch    bool       `yaml:"scratch" json:"scratch"` // train the original's architecture from initial weights
	Data       Data       `yaml:"data" json:"data"`
	Model      Model      `yaml:"model" json:"model"` // the original's; filled in where left out
	Train      Train      `yaml:"train" json:"train"`
	Attack     Attack     `yaml:"attack" json:"attack"`
	Outliers   Outliers   `yaml:"outliers" json:"outliers"`
	Test       RobustTest `yaml:"test" json:"test"`
	// SHA-256 of all outliers, of training and comparison; recorded by a run
	Images string `yaml:"images" json:"images"`
}

// Original names the classifier to fine-tune. The run keeps its data, split and network.
type Original struct {
	From    string `yaml:"from"  json:"from"`      // name under checkpoints/, folder or id of a finished run
	Weights string `yaml:"weights" json:"weights"` // expected SHA-256 (fingerprint); recorded by a run
	Seed    uint64 `yaml:"seed" json:"seed"`       // of its split; recorded by a run
}

// Attack holds the attack on training images.
type Attack struct {
	// Kind names an attack of internal/attack that uses gradients. It runs in L-infinity with one random start.
	Kind     string  `yaml:"kind" json:"kind"`
	Fraction float64 `yaml:"fraction" json:"fraction"` // of each batch's images; 0: none
	Eps      float64 `yaml:"eps" json:"eps"`           // radius, in units of 1/255
	Steps    int     `yaml:"steps" json:"steps"`       // of pgd, each of 2.5·eps/steps
}

// Outliers holds the settings of outlier exposure (Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606).
type Outliers struct {
	Sources []string `yaml:"sources,flow" json:"sources"` // noise, sets of the catalogue, name=folder; used in turn
	Noise   int      `yaml:"noise" json:"noise"`          // number of noise images
	// Without names classes to leave out of every set but cifar100-people.
	Without []string `yaml:"without,flow" json:"without"`
	Share   float64  `yaml:"share" json:"share"`   // outliers per image of a batch; 0: none
	Weight  float64  `yaml:"weight" json:"weight"` // of KL(uniform ‖ softmax) on outliers, added to the cross-entropy
}

// RobustTest holds the settings of the comparison of both networks, made once after training.
type RobustTest struct {
	Sets      OODSets   `yaml:"sets" json:"sets"`           // outliers to separate from the test set
	Eps       []float64 `yaml:"eps,flow" json:"eps"`        // radii of the attacks, L-infinity, in units of 1/255
	FGSM      int       `yaml:"fgsm" json:"fgsm"`           // first test images, attacked by FGSM; 0: all
	PGD       int       `yaml:"pgd" json:"pgd"`             // first test images, attacked by PGD; 0: all
	Steps     int       `yaml:"steps" json:"steps"`         // of PGD, each of 2.5·eps/steps
	Resamples int       `yaml:"resamples" json:"resamples"` // of the bootstrap

	// Views are those of Test, for the accuracy of the fine-tuned network beside the comparison.
	Views Views `yaml:"views,omitempty" json:"views"`
}

const robustExperiment = "lab4/robust"

// NoiseSource names the source of random noise as outliers.
const NoiseSource = "noise"

// DefaultRobust fine-tunes the shipped ResNet-20 for a few epochs at a low learning rate, as Hendrycks et al. 2019 do,
// with noise as outliers. With scratch it trains for 30 epochs at a high learning rate.
func DefaultRobust(scratch bool) Robust {
	c := DefaultFor("resnet20")
	c.Train.Schedule, c.Train.LR = "cosine", 0.01
	if scratch {
		c.Train.Schedule, c.Train.LR, c.Train.Epochs = "onecycle", 0.2, 30
	}
	return Robust{
		Experiment: robustExperiment,
		Original:   Original{From: "resnet20"},
		Scratch:    scratch,
		Data:       Data{Augment: c.Data.Augment},
		Train:      c.Train,
		Attack:     Attack{Kind: "fgsm", Fraction: 0.1, Eps: 8, Steps: 7},
		Outliers: Outliers{Sources: []string{NoiseSource}, Noise: 10000,
			Without: []string{"baby", "boy", "girl", "man", "woman"}, Share: 0.5, Weight: 0.5},
		Test: RobustTest{Sets: OODSets{Names: []string{"fake", "cifar100-people"}, Fake: 10000, Folders: []string{}},
			Eps: []float64{1, 2, 4, 8},
			PGD: 1000, Steps: 20, Resamples: 1000, Views: NoViews},
	}
}

// Training returns the settings that every training has. Its seed is not that of the original's split.
func (c Robust) Training() Training { return Training{c.Seed, c.Data, c.Train} }

// Classifier returns the settings of the classifier that a run trains, with the seed of the original's split.
func (c Robust) Classifier() Classifier {
	t := c.Training()
	t.Seed = c.Original.Seed
	return Classifier{t, c.Model}
}

// Source splits a source of outliers into its name and its folder; folder is "" for a set of the catalogue.
func Source(s string) (name, folder string) {
	name, folder, _ = strings.Cut(s, "=")
	return name, folder
}

// sourceName matches a source of outliers. Its name becomes part of a run's name.
var sourceName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]*(=.+)?$`)

// Validate returns an error that names the first invalid setting. Data and network may be left out: they are the
// original's.
func (c Robust) Validate() error {
	if c.Experiment != robustExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, robustExperiment)
	}
	if c.Original.From == "" {
		return fmt.Errorf("original.from is empty, want the name of a checkpoint, its folder or a run's id")
	}
	t := c.Classifier()
	if t.Data.Val == 0 { // left out: the original's, which labs.RobustSettings fills in and checks
		t.Data.Val = 1
	}
	if err := t.Validate(); err != nil {
		return err
	}
	if c.Attack.Kind == "" {
		return fmt.Errorf("attack.kind is empty, want the name of an attack, as fgsm")
	}
	for _, x := range []struct {
		key          string
		v, low, high float64
	}{
		{"attack.fraction", c.Attack.Fraction, 0, 1}, {"outliers.share", c.Outliers.Share, 0, 16}, {"outliers.weight",
			c.Outliers.Weight, 0, 1e6},
	} {
		if !(x.v >= x.low && x.v <= x.high) {
			return fmt.Errorf("%s is %g, want %g to %g", x.key, x.v, x.low, x.high)
		}
	}
	if !(c.Attack.Eps > 0 && c.Attack.Eps <= 255) {
		return fmt.Errorf("attack.eps is %g, want above 0 and at most 255", c.Attack.Eps)
	}
	for _, n := range []struct {
		key          string
		v, low, high int
	}{
		{"attack.steps", c.Attack.Steps, 1, 1000}, {"outliers.noise", c.Outliers.Noise, 1, 100000},
		{"test.fgsm", c.Test.FGSM, 0, math.MaxInt32}, {"test.pgd", c.Test.PGD, 0, math.MaxInt32}, {"test.steps",
			c.Test.Steps, 1, 10000},
		{"test.resamples", c.Test.Resamples, 10, 100000},
	} {
		if n.v < n.low || n.v > n.high {
			return fmt.Errorf("%s is %d, want %d to %d", n.key, n.v, n.low, n.high)
		}
	}
	var names []string
	for _, s := range c.Outliers.Sources {
		name, _ := Source(s)
		if !sourceName.MatchString(s) || slices.Contains(names, name) {
			return fmt.Errorf("outliers.sources has %q, want %s, a set's name or name=folder, each once", s,
				NoiseSource)
		}
		names = append(names, name)
	}
	if len(names) == 0 && c.Outliers.Share > 0 {
		return fmt.Errorf("outliers.sources is empty; name one, or set outliers.share to 0")
	}
	if err := c.Test.Views.validate("test.views"); err != nil {
		return err
	}
	if err := c.Test.Sets.validate("test.sets"); err != nil {
		return err
	}
	for i, e := range c.Test.Eps {
		if !(e > 0 && e <= 255) || i > 0 && e <= c.Test.Eps[i-1] {
			return fmt.Errorf("test.eps is %v, want ascending numbers above 0 and at most 255", c.Test.Eps)
		}
	}
	if len(c.Test.Eps) == 0 {
		return fmt.Errorf("test.eps is empty, want the radii of the attacks")
	}
	return nil
}
