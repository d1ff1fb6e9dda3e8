package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestAutoencoderFileIsTheDefault: the file that ships says what happens without it.
func TestAutoencoderFileIsTheDefault(t *testing.T) {
	var c Autoencoder
	def := DefaultAutoencoder("cifar10")
	c.Train = def.Train
	if err := LoadFile(&c, filepath.Join("..", "..", "configs", "lab4", "autoencoder.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(c, def) {
		t.Errorf("%+v, want %+v", c, def)
	}
}

func TestAutoencoderMistakes(t *testing.T) {
	for assignment, want := range map[string]string{
		"experiment=lab4/fgsm":       `experiment is "lab4/fgsm", want lab4/autoencoder`,
		"encoder.from=''":            "encoder.from is empty",
		"train.label_smoothing=0.1":  "there are no labels to smooth",
		"train.lr=0":                 "train.lr is 0",
		"encoder.model.depth=x":      "encoder.model.depth wants a whole number",
		"encoder.weight=abc":         "did you mean encoder.weights?",
		"data.val=0":                 "data.val is 0",
		"train.optimizer=lion":       `train.optimizer is "lion"`,
		"train.conv=fft":             `train.conv is "fft"`,
		"train.batch_size=100000000": "train.batch_size is 100000000",
	} {
		c := DefaultAutoencoder("cifar10")
		err := Set(&c, assignment)
		if err == nil {
			err = c.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", assignment, err, want)
		}
	}
}
