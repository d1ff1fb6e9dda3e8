package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// OOD holds the settings of lab4 ood: detectors of out-of-distribution images on a trained classifier.
type OOD struct {
	Experiment string `yaml:"experiment" json:"experiment"`
	Seed       uint64 `yaml:"seed" json:"seed"` // of noise, tuning images and bootstrap
	// name under checkpoints/, folder or run id of a classifier
	Checkpoint  string `yaml:"checkpoint" json:"checkpoint"`
	Autoencoder string `yaml:"autoencoder" json:"autoencoder"` // autoencoder for the reconstruction error; empty: none
	// expected SHA-256 (fingerprint) of the classifier; recorded by a run
	Weights string  `yaml:"weights" json:"weights"`
	Sets    OODSets `yaml:"sets" json:"sets"`
	Limit   int     `yaml:"limit" json:"limit"` // images of each split to use; 0: all
	// Detectors names the detectors to evaluate; empty: all.
	Detectors []string `yaml:"detectors,flow,omitempty" json:"detectors,omitempty"`
	// Scores is a file of scores by detectors of other programs; empty: none. ScoresSHA256 is its expected content;
	// recorded by a run.
	Scores       string `yaml:"scores,omitempty" json:"scores,omitempty"`
	ScoresSHA256 string `yaml:"scores_sha256,omitempty" json:"scores_sha256,omitempty"`
	Tuning       int    `yaml:"tuning" json:"tuning"`       // validation images to choose hyper-parameters on
	Resamples    int    `yaml:"resamples" json:"resamples"` // of the bootstrap
}

// OODSets names the sets of outliers to separate from the test set.
type OODSets struct {
	Names   []string `yaml:"names,flow" json:"names"`     // fake (noise) and sets of the catalogue
	Fake    int      `yaml:"fake" json:"fake"`            // number of noise images in the set fake
	Folders []string `yaml:"folders,flow" json:"folders"` // name=path of a folder, tar or tar.gz of images
}

const oodExperiment = "lab4/ood"

// DefaultOOD evaluates on the people classes of CIFAR-100, noise and JPEG copies of the test set.
func DefaultOOD() OOD {
	return OOD{
		Experiment:  oodExperiment,
		Checkpoint:  "resnet20",
		Autoencoder: "autoencoder",
		Sets: OODSets{Names: []string{"cifar100-people", "fake", "cifar10-jpeg"}, Fake: 10000,
			Folders: []string{}},
		Tuning:    2000,
		Resamples: 1000,
	}
}

// Validate returns an error that names the first invalid setting.
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

// Further sets the sets that --ood names: name=folder replaces the folders, a bare name adds a set of the catalogue.
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

// validate returns an error that names the first invalid setting of s; key is the prefix of their names.
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
			return fmt.Errorf("%s.folders has a set called %q, want letters, digits, - and _: it names a folder of "+
				"figures", key, name)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s.names and %s.folders are empty, want at least one set of outliers", key, key)
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("the set %q is named twice", n)
		}
	}
	return nil
}
