package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Distill are the settings of lab1 distill: a student's training, and the teacher it learns from.
type Distill struct {
	Experiment string  `yaml:"experiment" json:"experiment"`
	Seed       uint64  `yaml:"seed" json:"seed"`
	Data       Data    `yaml:"data" json:"data"`
	Model      Model   `yaml:"model" json:"model"` // the student
	Train      Train   `yaml:"train" json:"train"` // the student's
	Distill    Soft    `yaml:"distill" json:"distill"`
	Teacher    Teacher `yaml:"teacher" json:"teacher"`
}

// Soft says how the student learns from the teacher (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
type Soft struct {
	Temperature float64 `yaml:"temperature" json:"temperature"`
	Weight      float64 `yaml:"weight" json:"weight"`           // of the teacher's part of the loss; the labels' is the rest
	SoftLabels  string  `yaml:"soft_labels" json:"soft_labels"` // cached, augmented, live
}

// Teacher says who teaches.
type Teacher struct {
	From    string  `yaml:"from" json:"from"` // a run's id or a folder with a checkpoint; empty: trained, as the rest says
	Seed    uint64  `yaml:"seed" json:"seed"`
	Model   Model   `yaml:"model" json:"model"`
	Augment Augment `yaml:"augment" json:"augment"`
	Train   Train   `yaml:"train" json:"train"`
	Weights string  `yaml:"weights" json:"weights"` // SHA-256 (fingerprint) they must have; recorded by a run
}

// Kinds of soft labels.
const (
	Cached    = "cached"    // of the training images as they are
	Augmented = "augmented" // of a fixed number of changed copies
	Live      = "live"      // of every batch, as it comes
)

// SoftLabelKinds are the kinds there are.
var SoftLabelKinds = []string{Cached, Augmented, Live}

const distillExperiment = "lab1/distill"

// DefaultDistill is the lab's: a teacher of 1M parameters and a student of 200k on CIFAR-10, or the
// networks named, all with skips. The student's images are changed as the soft labels allow. Temperature
// and weight are those of Tian et al. 2020 (https://arxiv.org/abs/1910.10699).
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
		Distill:    Soft{Temperature: 4, Weight: 0.9, SoftLabels: softLabels},
		Teacher:    Teacher{Model: t.Model, Augment: t.Data.Augment, Train: t.Train},
	}
}

// Plain is the student's training without a teacher: of lab1 resnet.
func (c Distill) Plain() Resnet {
	return Resnet{Experiment: resnetExperiment, Seed: c.Seed, Data: c.Data, Model: c.Model, Train: c.Train}
}

// Training is the student's training, whoever teaches it.
func (c Distill) Training() Training { return c.Plain().Training() }

// Classifier is the classifier that a run leaves.
func (c Distill) Classifier() Classifier { return c.Plain().Classifier() }

// TeacherTraining is the teacher's training, on the student's data: of lab1 resnet.
func (c Distill) TeacherTraining() Resnet {
	d := c.Data
	d.Augment = c.Teacher.Augment
	return Resnet{Experiment: resnetExperiment, Seed: c.Teacher.Seed, Data: d, Model: c.Teacher.Model, Train: c.Teacher.Train}
}

// Validate names the first setting that cannot be.
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
		return fmt.Errorf("train.label_smoothing is %g: a student's labels are not smoothed, the teacher sees to that; want 0", c.Train.LabelSmoothing)
	}
	switch changed := a != (Augment{}); {
	case d.SoftLabels == Cached && changed:
		return fmt.Errorf("distill.soft_labels cached are of unchanged images, so data.augment must be off; or take augmented or live")
	case d.SoftLabels == Augmented && a.Copies == 0:
		return fmt.Errorf("distill.soft_labels augmented are of a fixed number of changed copies: data.augment.copies is 0, want at least 1")
	}
	return nil
}
