package config

import "fmt"

// Imported holds the settings of a network that another program trained and dla imported: what it is and the data it is
// for. Its training is not known, and no image is taken to have been held out from it.
type Imported struct {
	Experiment string `yaml:"experiment" json:"experiment"`
	Data       struct {
		Name string `yaml:"name" json:"name"`
	} `yaml:"data" json:"data"`
	Model Model `yaml:"model" json:"model"`
}

// ImportedExperiment is the name in records of imported networks.
const ImportedExperiment = "import"

// DefaultImported names no network.
func DefaultImported() Imported { return Imported{Experiment: ImportedExperiment} }

// Classifier returns the settings that others take from a training, of which the splits alone are true: all images
// train. The recipe is the default one.
func (c Imported) Classifier() Classifier {
	d := DefaultFor(c.Model.Name)
	d.Data.Name, d.Data.Val, d.Model = c.Data.Name, 0, c.Model
	return d.Classifier()
}

// Validate returns an error that names the first invalid setting.
func (c Imported) Validate() error {
	if c.Experiment != ImportedExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, ImportedExperiment)
	}
	return c.Classifier().Validate()
}
