package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestDistillDefaultsHold(t *testing.T) {
	for _, kind := range SoftLabelKinds {
		for _, network := range []string{"student", "mlp", "resnet20"} {
			if err := DefaultDistill(network, network, kind).Validate(); err != nil {
				t.Errorf("%s, %s: %v", kind, network, err)
			}
		}
	}
}

// TestDistillIsTwoOrdinaryTrainings: of the teacher and of the plain student, each on its own images.
func TestDistillIsTwoOrdinaryTrainings(t *testing.T) {
	c := DefaultDistill("student", "teacher", Cached)
	c.Seed, c.Teacher.Seed, c.Data.Limit = 3, 4, 5
	want := DefaultFor("teacher")
	want.Model.Res, want.Seed, want.Data.Limit = true, 4, 5
	if got := c.TeacherTraining(); !reflect.DeepEqual(got, want) {
		t.Errorf("teacher %+v, want %+v", got, want)
	}
	want = DefaultFor("student")
	want.Model.Res, want.Seed, want.Data.Limit, want.Data.Augment = true, 3, 5, Augment{}
	if got := c.Plain(); !reflect.DeepEqual(got, want) {
		t.Errorf("student %+v, want %+v", got, want)
	}
}

func TestDistillMistakes(t *testing.T) {
	for set, want := range map[string]string{
		"experiment=lab1/resnet": "want lab1/distill", "train.lr=0": "train.lr", "teacher.train.lr=0": "the teacher's training: train.lr",
		"distill.temperature=0": "above 0", "distill.temperature=.inf": "finite", "distill.temperature=.nan": "finite",
		"distill.weight=1.5": "0 to 1", "distill.weight=.nan": "0 to 1", "distill.soft_labels=warm": "cached, augmented, live",
		"train.label_smoothing=0.1": "already smooths the labels", "data.augment.flip=true": "turn data.augment off", "data.augment.copies=-1": "data.augment.copies",
	} {
		c := DefaultDistill("student", "teacher", Cached)
		if err := Set(&c, set); err != nil {
			t.Errorf("%s: %v", set, err)
		} else if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", set, err, want)
		}
	}
	c := DefaultDistill("student", "teacher", Augmented)
	c.Data.Augment.Copies = 0
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "data.augment.copies is 0") {
		t.Errorf("augmented without copies: error %v", err)
	}
	c = DefaultDistill("student", "teacher", Live)
	c.Teacher.From, c.Teacher.Train.LR = "runs/x", 0 // not used
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
