package config

import "fmt"

// Autoencoder holds the settings of lab4 autoencoder: the training of a decoder on the features of a frozen encoder.
type Autoencoder struct {
	Experiment string  `yaml:"experiment" json:"experiment"`
	Seed       uint64  `yaml:"seed" json:"seed"` // of the split, the decoder's initial weights and the order of batches
	Data       Data    `yaml:"data" json:"data"` // the set that the encoder was trained on
	Encoder    Encoder `yaml:"encoder" json:"encoder"`
	Train      Train   `yaml:"train" json:"train"`
}

// Encoder names the classifier whose features are decoded. A run fills in Model and Weights, so its record identifies
// the encoder.
type Encoder struct {
	// From is a run's id, a folder with a checkpoint, or the name of one under checkpoints/.
	From    string `yaml:"from" json:"from"`
	Model   Model  `yaml:"model" json:"model"`     // recorded by a run
	Weights string `yaml:"weights" json:"weights"` // expected SHA-256 (fingerprint); recorded by a run
}

const autoencoderExperiment = "lab4/autoencoder"

// DefaultAutoencoder trains a decoder of the shipped ResNet-20's features on the data set called data. The decoder is
// too small to overfit, so the recipe has no weight decay and no augmentation.
func DefaultAutoencoder(data string) Autoencoder {
	t := DefaultResnet().Train
	t.Optimizer, t.LR, t.Schedule = "adamw", 0.005, "onecycle"
	return Autoencoder{
		Experiment: autoencoderExperiment,
		Data:       Data{Name: data, Val: 5000},
		Encoder:    Encoder{From: "resnet20"},
		Train:      t,
	}
}

// Training returns the settings that every training has.
func (c Autoencoder) Training() Training {
	return Training{c.Seed, c.Data, c.Train}
}

// Validate returns an error that names the first invalid setting.
func (c Autoencoder) Validate() error {
	if c.Experiment != autoencoderExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, autoencoderExperiment)
	}
	if c.Encoder.From == "" {
		return fmt.Errorf("encoder.from is empty, want a run's id or a checkpoint")
	}
	if c.Train.LabelSmoothing != 0 {
		return fmt.Errorf("train.label_smoothing is %g: there are no labels to smooth; want 0", c.Train.LabelSmoothing)
	}
	if c.Data.Val == 0 {
		return fmt.Errorf("data.val is 0, want at least 1: the validation loss selects the epoch")
	}
	return c.Training().Validate()
}
