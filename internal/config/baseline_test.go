package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestBaselineFileIsTheDefault: the file that ships says what happens without it.
func TestBaselineFileIsTheDefault(t *testing.T) {
	def := DefaultBaseline()
	c := Baseline{Train: def.Train}
	c.Train.Epochs, c.Train.LR, c.Train.WeightDecay, c.Train.Patience, c.Train.Schedule = 0, 0, 0, 0, ""
	if err := LoadFile(&c, filepath.Join("..", "..", "configs", "lab3", "baseline.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(c, def) {
		t.Errorf("%+v, want %+v", c, def)
	}
}

func TestBaselineMistakes(t *testing.T) {
	for assignment, want := range map[string]string{
		"experiment=lab3/finetune": `experiment is "lab3/finetune", want lab3/baseline`,
		"encoder.from=''":          "encoder.from is empty",
		"train.optimizer=muon":     "the head has none; want sgd or adamw",
		"encoder.pooling=max":      `encoder.pooling is "max", want one of mean, cls`,
		"encoder.normalise=true":   "did you mean encoder.normalize?",
		"head.hidden=20000":        "head.hidden is 20000",
		"head.dropout=-0.1":        "head.dropout is -0.1",
		"head.dropout=.nan":        "head.dropout is NaN",
		"head.standardize=2":       "head.standardize wants true or false",
		"data.val=1.5":             "data.val is 1.5, want a share",
		"data.limit=-1":            "data.limit is -1",
		"train.epochs=0":           "train.epochs is 0",
	} {
		c := DefaultBaseline()
		err := Set(&c, assignment)
		if err == nil {
			err = c.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", assignment, err, want)
		}
	}
}
