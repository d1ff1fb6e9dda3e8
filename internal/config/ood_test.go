package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestOODPreset: the file holds every setting at its default.
func TestOODPreset(t *testing.T) {
	c := OOD{}
	if err := LoadFile(&c, filepath.Join("..", "..", "configs", "lab4", "ood.yaml")); err != nil {
		t.Fatal(err)
	}
	if want := DefaultOOD(); !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, the defaults are %+v", c, want)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestOODMistakes(t *testing.T) {
	for set, want := range map[string]string{
		"experiment=lab4/fgsm": "want lab4/ood", `checkpoint=""`: "checkpoint is empty", "limit=-1": "limit is -1", "sets.fake=0": "sets.fake is 0",
		"tuning=1": "tuning is 1", "resamples=0": "resamples is 0", "sets.names=[]": "want at least one set of outliers",
		"sets.names=[fake, fake]": `the set "fake" is named twice`, "sets.folders=[fake=x]": `the set "fake" is named twice`,
		"sets.folders=[x]": "want name=folder", "sets.folders=[=x]": "want name=folder", "sets.folders=[../x=y]": "want letters, digits, - and _",
	} {
		c := DefaultOOD()
		if err := Set(&c, set); err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", set, err, want)
		}
	}
}

// TestFurtherSets: --ood takes sets of the catalogue by name and folders, and leaves the defaults as they are.
func TestFurtherSets(t *testing.T) {
	c := DefaultOOD()
	c.Sets.Further([]string{"svhn", "pets=photos/pets", "textures"})
	if want := []string{"cifar100-people", "fake", "cifar10-jpeg", "svhn", "textures"}; !reflect.DeepEqual(c.Sets.Names,
		want) || !reflect.DeepEqual(c.Sets.Folders, []string{"pets=photos/pets"}) {
		t.Errorf("%+v", c.Sets)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Sets.Further([]string{"svhn"})
	if err := c.Validate(); err == nil || err.Error() != `the set "svhn" is named twice` {
		t.Error(err)
	}
}
