package config

import "fmt"

// Autoencoder are the settings of lab4 autoencoder: a decoder's training, and the encoder it decodes.
type Autoencoder struct {
	Experiment string  `yaml:"experiment" json:"experiment"`
	Seed       uint64  `yaml:"seed" json:"seed"` // of the split, the decoder's initial weights and the order of batches
	Data       Data    `yaml:"data" json:"data"` // the set that the encoder was trained on
	Encoder    Encoder `yaml:"encoder" json:"encoder"`
	Train      Train   `yaml:"train" json:"train"`
}

// Encoder says whose features are decoded. What of it a run records makes its checkpoint complete.
type Encoder struct {
	From    string `yaml:"from" json:"from"`       // a run's id, a folder with a checkpoint, or the name of one under checkpoints/
	Model   Model  `yaml:"model" json:"model"`     // its network; recorded by a run
	Weights string `yaml:"weights" json:"weights"` // SHA-256 (fingerprint) they must have; recorded by a run
}

const autoencoderExperiment = "lab4/autoencoder"

// DefaultAutoencoder decodes the features of the ResNet-20 that ships, on the data set that it was trained
// on. The decoder is small beside the images, so nothing is smoothed, decayed or augmented.
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

// Training is the part that every training has.
func (c Autoencoder) Training() Training {
	return Training{c.Seed, c.Data, c.Train}
}

// Validate names the first setting that cannot be.
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
	return c.Training().Validate()
}
