package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestRobustDefaultsHold(t *testing.T) {
	for _, scratch := range []bool{false, true} {
		c := DefaultRobust(scratch)
		if err := c.Validate(); err != nil || c.Scratch != scratch {
			t.Errorf("scratch %v: %v", scratch, err)
		}
	}
}

// TestRobustPreset: the file shows every default.
func TestRobustPreset(t *testing.T) {
	c := DefaultRobust(false)
	if err := LoadFile(&c, filepath.Join("..", "..", "configs", "lab4", "robust.yaml")); err != nil ||
		!reflect.DeepEqual(c, DefaultRobust(false)) {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestRobustIsAnOrdinaryTraining but for its attack and outliers.
func TestRobustIsAnOrdinaryTraining(t *testing.T) {
	c := DefaultRobust(true)
	c.Seed, c.Data.Name, c.Data.Val, c.Model = 3, "cifar10", 5000, Model{Name: "resnet20", Res: true}
	want := DefaultFor("resnet20")
	want.Model.Res, want.Seed, want.Train.Epochs, want.Train.LR = true, 3, 30, 0.2
	if got := c.Training(); !reflect.DeepEqual(got, want.Training()) {
		t.Errorf("%+v, want %+v", got, want.Training())
	}
}

func TestRobustMistakes(t *testing.T) {
	for set, want := range map[string]string{
		"experiment=lab1/resnet": "want lab4/robust", "original.from=''": "original.from is empty", "train.lr=0": "train.lr", "data.val=-2": "data.val",
		"attack.kind=''": "attack.kind is empty", "attack.fraction=1.5": "attack.fraction", "attack.fraction=.nan": "attack.fraction", "attack.eps=0": "attack.eps",
		"attack.eps=.nan": "attack.eps", "attack.steps=0": "attack.steps", "outliers.share=-1": "outliers.share", "outliers.weight=.inf": "outliers.weight",
		"outliers.noise=0": "outliers.noise", "outliers.sources=[]": "outliers.sources is empty", "outliers.sources=[noise, noise]": "each once",
		"outliers.sources=[a=x, a=y]": "each once", "outliers.sources=[../x]": "name=folder", "outliers.sources=['a=']": "name=folder",
		"test.eps=[]": "test.eps is empty", "test.eps=[2, 1]": "ascending", "test.eps=[0, 1]": "above 0", "test.pgd=-1": "test.pgd", "test.steps=0": "test.steps",
		"test.resamples=1": "test.resamples", "test.views=flip": "test.views", "test.sets.names=[]": "test.sets.names", "test.sets.folders=[x]": "test.sets.folders",
	} {
		c := DefaultRobust(false)
		if err := Set(&c, set); err != nil {
			t.Errorf("%s: %v", set, err)
		} else if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", set, err, want)
		}
	}
	c := DefaultRobust(false)
	c.Outliers.Sources, c.Outliers.Share = nil, 0 // none are wanted
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
