package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Distill holds the settings of lab1 distill: the training of a student, and its teacher.
type Distill struct {
	Experiment string  `yaml:"experiment" json:"experiment"`
	Seed       uint64  `yaml:"seed" json:"seed"`
	Data       Data    `yaml:"data" json:"data"`
	Model      Model   `yaml:"model" json:"model"` // the student
	Train      Train   `yaml:"train" json:"train"` // the student's
	Test       Test    `yaml:"test,omitempty" json:"test"`
	Distill    Soft    `yaml:"distill" json:"distill"`
	Teacher    Teacher `yaml:"teacher" json:"teacher"`
}

// Soft says how the student learns from the teacher (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
type Soft struct {
	Temperature float64 `yaml:"temperature" json:"temperature"`
	// of the teacher's term of the loss; the labels' term gets the rest
	Weight     float64 `yaml:"weight" json:"weight"`
	SoftLabels string  `yaml:"soft_labels" json:"soft_labels"` // cached, augmented, live
}

// Teacher names a trained teacher, or says how to train one.
type Teacher struct {
	// From is a run's id, a folder with a checkpoint, or "" to train the teacher with the settings below.
	From    string  `yaml:"from" json:"from"`
	Seed    uint64  `yaml:"seed" json:"seed"`
	Model   Model   `yaml:"model" json:"model"`
	Augment Augment `yaml:"augment" json:"augment"`
	Train   Train   `yaml:"train" json:"train"`
	Weights string  `yaml:"weights" json:"weights"` // expected SHA-256 (fingerprint); recorded by a run
}

// Kinds of soft labels.
const (
	Cached    = "cached"    // of the unchanged training images
	Augmented = "augmented" // of a fixed number of augmented copies of each image
	Live      = "live"      // computed for each batch
)

// SoftLabelKinds lists the kinds of soft labels.
var SoftLabelKinds = []string{Cached, Augmented, Live}

const distillExperiment = "lab1/distill"

// DefaultDistill trains the named student with the named teacher on CIFAR-10, both with skip connections. softLabels
// decides the augmentation of the student's images. Temperature and weight are those of Tian et al. 2020
// (https://arxiv.org/abs/1910.10699).
func DefaultDistill(student, teacher, softLabels string) Distill {
	s, t := DefaultFor("student"), DefaultFor("teacher")
	s.Model, t.Model = DefaultFor(student).Model, DefaultFor(teacher).Model
	s.Model.Res, t.Model.Res = true, true
	switch softLabels {
	case Cached:
		s.Data.Augment = Augment{}
	case Augmented:
		s.Data.Augment.Copies = 4
	}
	return Distill{
		Experiment: distillExperiment,
		Data:       s.Data,
		Model:      s.Model,
		Train:      s.Train,
		Test:       s.Test,
		Distill:    Soft{Temperature: 4, Weight: 0.9, SoftLabels: softLabels},
		Teacher:    Teacher{Model: t.Model, Augment: t.Data.Augment, Train: t.Train},
	}
}

// Plain returns the student's training without a teacher, as settings of lab1 resnet.
func (c Distill) Plain() Resnet {
	return Resnet{Experiment: resnetExperiment, Seed: c.Seed, Data: c.Data, Model: c.Model, Train: c.Train,
		Test: c.Test}
}

// Training returns the settings of the student's training, without the teacher.
func (c Distill) Training() Training { return c.Plain().Training() }

// Classifier returns the settings of the classifier that a run trains.
func (c Distill) Classifier() Classifier { return c.Plain().Classifier() }

// TeacherTraining returns the teacher's training on the student's data, as settings of lab1 resnet.
func (c Distill) TeacherTraining() Resnet {
	d := c.Data
	d.Augment = c.Teacher.Augment
	return Resnet{Experiment: resnetExperiment, Seed: c.Teacher.Seed, Data: d, Model: c.Teacher.Model,
		Train: c.Teacher.Train, Test: Test{NoViews}}
}

// Validate returns an error that names the first invalid setting.
func (c Distill) Validate() error {
	if c.Experiment != distillExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, distillExperiment)
	}
	if err := c.Plain().Validate(); err != nil {
		return err
	}
	if c.Teacher.From == "" {
		if err := c.TeacherTraining().Validate(); err != nil {
			return fmt.Errorf("the teacher's training: %w", err)
		}
	}
	d, a := c.Distill, c.Data.Augment
	if !(d.Temperature > 0) || math.IsInf(d.Temperature, 0) {
		return fmt.Errorf("distill.temperature is %g, want a finite number above 0", d.Temperature)
	}
	if !(d.Weight >= 0 && d.Weight <= 1) {
		return fmt.Errorf("distill.weight is %g, want 0 to 1", d.Weight)
	}
	if !slices.Contains(SoftLabelKinds, d.SoftLabels) {
		return fmt.Errorf("distill.soft_labels is %q, want one of %s", d.SoftLabels, strings.Join(SoftLabelKinds, ", "))
	}
	if c.Train.LabelSmoothing != 0 {
		return fmt.Errorf("train.label_smoothing is %g: distillation already smooths the labels; want 0",
			c.Train.LabelSmoothing)
	}
	switch changed := a != (Augment{}); {
	case d.SoftLabels == Cached && changed:
		return fmt.Errorf("distill.soft_labels is cached: cached soft labels belong to unchanged images; turn " +
			"data.augment off, or choose augmented or live")
	case d.SoftLabels == Augmented && a.Copies == 0:
		return fmt.Errorf("distill.soft_labels is augmented: data.augment.copies is 0, want at least 1 augmented " +
			"copy of each image")
	}
	return nil
}
