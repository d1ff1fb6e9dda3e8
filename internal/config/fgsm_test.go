package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFGSMPreset: the file in configs says what the defaults are.
func TestFGSMPreset(t *testing.T) {
	const preset = "../../configs/lab4/fgsm.yaml"
	text, err := os.ReadFile(preset)
	if err != nil {
		t.Fatal(err)
	}
	got := FGSM{}
	if err := Load(&got, text, preset); err != nil {
		t.Fatal(err)
	}
	if want := DefaultFGSM(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestFGSMMistakes(t *testing.T) {
	for set, want := range map[string]string{
		"experiment=lab4/ood": "want lab4/fgsm", "checkpoints=[]": "at least one", "checkpoints=['']": "at least one", "weights=[a, b]": "2 fingerprints for 1",
		"target=": "target", "limit=-1": "limit is -1", "pgd.steps=0": "pgd.steps is 0", "pgd.restarts=0": "pgd.restarts is 0",
		"square.queries=1": "square.queries", "square.images=-1": "square.images", "transfer.images=0": "transfer.images", "examples.images=0": "examples.images",
		"fgsm.eps=[0, 4, 2]": "ascending", "fgsm.eps=[0, 300]": "0 to 255", "fgsm.eps=[0, .nan]": "ascending", "fgsm.eps=[1, 2]": "want 0 first and further radii",
		"fgsm.eps=[0]": "want 0 first and further radii", "fgsm.eps=[]": "want 0 first and further radii", "pgd.eps=[3]": "3 is not in", "square.eps=3": "3 is not in",
		"pgd.eps_l2=[.inf]": "pgd.eps_l2", "examples.eps=-1": "examples.eps", "transfer.eps=.nan": "transfer.eps",
	} {
		c := DefaultFGSM()
		if set == "target=" {
			c.Target = ""
		} else if err := Set(&c, set); err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", set, err, want)
		}
	}
}
