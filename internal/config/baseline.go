package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Baseline holds the settings of lab3 baseline: the training of a head on the features of a frozen encoder.
type Baseline struct {
	Experiment string `yaml:"experiment" json:"experiment"`
	// of the head's initial weights, of dropout and of the order of batches
	Seed    uint64       `yaml:"seed" json:"seed"`
	Data    SentenceData `yaml:"data" json:"data"`
	Encoder Features     `yaml:"encoder" json:"encoder"`
	Head    Head         `yaml:"head" json:"head"`
	Train   Train        `yaml:"train" json:"train"`
}

// SentenceData names the set of sentences: one of the catalogue, or a file or folder of labelled texts. The other
// settings but Limit are of the latter; older records lack them.
type SentenceData struct {
	Name  string `yaml:"name" json:"name"`
	Limit int    `yaml:"limit" json:"limit"` // sentences of each split to use; 0: all
	// columns of texts, labels and splits, by name or, without a header, by number from 1; "": by their usual names
	Text  string `yaml:"text,omitempty" json:"text,omitempty"`
	Label string `yaml:"label,omitempty" json:"label,omitempty"`
	Split string `yaml:"split,omitempty" json:"split,omitempty"`
	// sizes of the splits that are drawn where a set has none: below 1 a share, else a number; 0: a tenth
	Val  float64 `yaml:"val,omitempty" json:"val,omitempty"`
	Test float64 `yaml:"test,omitempty" json:"test,omitempty"`
}

// validate returns an error that names the first invalid setting.
func (d SentenceData) validate() error {
	for _, x := range []struct {
		key string
		v   float64
	}{{"data.val", d.Val}, {"data.test", d.Test}} {
		if !(x.v >= 0) || math.IsInf(x.v, 0) || x.v > 1 && x.v != math.Trunc(x.v) {
			return fmt.Errorf("%s is %g, want a share below 1, or a number of texts", x.key, x.v)
		}
	}
	return nil
}

// Features says how a sentence becomes a feature vector.
type Features struct {
	From      string `yaml:"from" json:"from"`           // minilm, mpnet, distilbert, OWNER/NAME or a folder
	Weights   string `yaml:"weights" json:"weights"`     // expected SHA-256 (fingerprint); recorded by a run
	Pooling   string `yaml:"pooling" json:"pooling"`     // of the last hidden states: mean, cls
	Normalize bool   `yaml:"normalize" json:"normalize"` // to length 1, as sentence-transformers does
}

// The kinds of pooling: how a sentence's last hidden states become one vector.
const (
	PoolMean = "mean" // mean over all tokens, [CLS] and [SEP] included
	PoolCLS  = "cls"  // hidden state of the first token
)

// Poolings lists the kinds of pooling.
var Poolings = []string{PoolMean, PoolCLS}

// Head describes the trained head: two linear layers with ReLU and dropout between them.
type Head struct {
	Hidden  int     `yaml:"hidden" json:"hidden"`   // width between the layers
	Dropout float64 `yaml:"dropout" json:"dropout"` // probability, between the layers
	// features to mean 0 and standard deviation 1 over the training split
	Standardize bool `yaml:"standardize" json:"standardize"`
}

const baselineExperiment = "lab3/baseline"

// DefaultBaseline trains a head on the features of the smallest encoder. configs/lab3/baseline.yaml says how its recipe
// was chosen.
func DefaultBaseline() Baseline {
	t := DefaultResnet().Train
	t.Epochs, t.BatchSize, t.Patience = 30, 128, 10
	t.Optimizer, t.LR, t.WeightDecay, t.Schedule = "adamw", 1e-4, 0.1, "cosine"
	return Baseline{
		Experiment: baselineExperiment,
		Data:       SentenceData{Name: "rotten_tomatoes"},
		Encoder:    Features{From: "minilm", Pooling: PoolMean},
		Head:       Head{Hidden: 512, Dropout: 0.7, Standardize: true},
		Train:      t,
	}
}

// Training returns the settings that every training has.
func (c Baseline) Training() Training {
	t := DefaultResnet().Training()
	t.Seed, t.Train = c.Seed, c.Train
	t.Data.Name, t.Data.Limit = c.Data.Name, c.Data.Limit
	return t
}

// Validate returns an error that names the first invalid setting.
func (c Baseline) Validate() error {
	if c.Experiment != baselineExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, baselineExperiment)
	}
	if c.Encoder.From == "" {
		return fmt.Errorf("encoder.from is empty, want minilm, mpnet, distilbert, OWNER/NAME or a folder")
	}
	if !slices.Contains(Poolings, c.Encoder.Pooling) {
		return fmt.Errorf("encoder.pooling is %q, want one of %s", c.Encoder.Pooling, strings.Join(Poolings, ", "))
	}
	if c.Head.Hidden < 1 || c.Head.Hidden > 1<<14 {
		return fmt.Errorf("head.hidden is %d, want 1 to %d", c.Head.Hidden, 1<<14)
	}
	if d := c.Head.Dropout; !(d >= 0 && d < 1) || math.IsNaN(d) {
		return fmt.Errorf("head.dropout is %g, want at least 0 and below 1", d)
	}
	if err := c.Train.withoutFilters("the head"); err != nil {
		return err
	}
	if err := c.Data.validate(); err != nil {
		return err
	}
	return c.Training().Validate()
}
