package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// OOD are the settings of lab4 ood: detectors of out-of-distribution images on a trained classifier.
type OOD struct {
	Experiment  string  `yaml:"experiment" json:"experiment"`
	Seed        uint64  `yaml:"seed" json:"seed"`               // of the noise images, of the images to tune on and of the bootstrap
	Checkpoint  string  `yaml:"checkpoint" json:"checkpoint"`   // name under checkpoints/, folder or run id of a classifier
	Autoencoder string  `yaml:"autoencoder" json:"autoencoder"` // likewise of an autoencoder, for the reconstruction error; empty: without
	Weights     string  `yaml:"weights" json:"weights"`         // SHA-256 (fingerprint) the classifier must have; recorded by a run
	Sets        OODSets `yaml:"sets" json:"sets"`
	Limit       int     `yaml:"limit" json:"limit"` // use only so many images of each part; 0: all
	// Detectors are evaluated, by their names; empty: all there are.
	Detectors []string `yaml:"detectors,flow,omitempty" json:"detectors,omitempty"`
	Tuning    int      `yaml:"tuning" json:"tuning"`       // validation images that hyper-parameters are chosen on
	Resamples int      `yaml:"resamples" json:"resamples"` // of the bootstrap
}

// OODSets are the sets that are to be told from the test set.
type OODSets struct {
	Names   []string `yaml:"names,flow" json:"names"`     // fake, and sets of the catalogue
	Fake    int      `yaml:"fake" json:"fake"`            // noise images of the set fake
	Folders []string `yaml:"folders,flow" json:"folders"` // name=folder: images in folders, tar or tar.gz
}

const oodExperiment = "lab4/ood"

// DefaultOOD is the lab's: CIFAR-100's people and noise, and the JPEG copies of the test set beside them.
func DefaultOOD() OOD {
	return OOD{
		Experiment:  oodExperiment,
		Checkpoint:  "resnet20",
		Autoencoder: "autoencoder",
		Sets:        OODSets{Names: []string{"cifar100-people", "fake", "cifar10-jpeg"}, Fake: 10000, Folders: []string{}},
		Tuning:      2000,
		Resamples:   1000,
	}
}

// Validate names the first setting that cannot be.
func (c OOD) Validate() error {
	if c.Experiment != oodExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, oodExperiment)
	}
	if c.Checkpoint == "" {
		return fmt.Errorf("checkpoint is empty, want a run's id, a folder or the name of a checkpoint")
	}
	for _, n := range []struct {
		key          string
		v, low, high int
	}{
		{"limit", c.Limit, 0, math.MaxInt32}, {"tuning", c.Tuning, 10, 50000}, {"resamples", c.Resamples, 10, 100000},
	} {
		if n.v < n.low || n.v > n.high {
			return fmt.Errorf("%s is %d, want %d to %d", n.key, n.v, n.low, n.high)
		}
	}
	return c.Sets.validate("sets")
}

// Further replaces the folders by sets as --ood gives them, name=folder, and adds those of the catalogue, of
// which it gives the name alone.
func (s *OODSets) Further(sets []string) {
	s.Names, s.Folders = slices.Clone(s.Names), []string{}
	for _, f := range sets {
		if strings.Contains(f, "=") {
			s.Folders = append(s.Folders, f)
		} else {
			s.Names = append(s.Names, f)
		}
	}
}

// validate names the first of s, whose settings lie below key, that cannot be.
func (s OODSets) validate(key string) error {
	if s.Fake < 1 || s.Fake > 100000 {
		return fmt.Errorf("%s.fake is %d, want 1 to 100000", key, s.Fake)
	}
	names := slices.Clone(s.Names)
	for _, f := range s.Folders {
		name, path, ok := strings.Cut(f, "=")
		if !ok || name == "" || path == "" {
			return fmt.Errorf("%s.folders has %q, want name=folder", key, f)
		}
		if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("%s.folders has a set called %q, want letters, digits, - and _: it names a folder of figures", key, name)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s.names and %s.folders are empty, want a set to tell from the test set", key, key)
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("the set %q is there twice", n)
		}
	}
	return nil
}
