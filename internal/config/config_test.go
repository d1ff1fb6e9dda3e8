package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestLayers(t *testing.T) {
	c := DefaultResnet()
	if err := Load(&c, []byte("train:\n  lr: 0.2\n  milestones: [3, 5]\nmodel: {res: true}\n"), "a.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"train.lr=0.3", "model.depth=7", "train.nesterov=true", "data.name=synthetic-digits",
		"train.momentum=0"} {
		if err := Set(&c, a); err != nil {
			t.Fatal(err)
		}
	}
	want := DefaultResnet()
	want.Train.LR, want.Train.Milestones, want.Train.Nesterov, want.Train.Momentum = 0.3, []int{3, 5}, true, 0
	want.Model.Res, want.Model.Depth, want.Data.Name = true, 7, "synthetic-digits"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestMistakes: each names what is wrong, where, and what may have been meant.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ yaml, want string }{
		{"train:\n  lrr: 1\n", "a.yaml:2: unknown key train.lrr; did you mean train.lr?"},
		{"lr: 1\n", "a.yaml:1: unknown key lr; did you mean train.lr?"},
		{"trian:\n  lr: 1\n", "unknown key trian"},
		{"train:\n  lr: fast\n", `a.yaml:2: train.lr wants a number, not "fast"`},
		{"train:\n  epochs: 1.5\n", `train.epochs wants a whole number, not "1.5"`},
		{"seed: -1\n", "seed wants a whole number of at least 0"},
		{"seed: 99999999999999999999999\n", "seed wants a whole number"},
		{"model:\n  res: 1\n", "model.res wants true or false"},
		{"model:\n  res: maybe\n", "model.res wants true or false"},
		{"model:\n  name: 3\n", "model.name wants a word"},
		{"train:\n  milestones: 3\n", "train.milestones wants a list"},
		{"train:\n  milestones: [1, x]\n", "train.milestones wants a list"},
		{"train: 3\n", "a.yaml:1: want keys and values"},
		{"train:\n  milestones: [1, 0.5]\n",
			`train.milestones wants a list of whole numbers, such as [1, 2], not the list ["1" "0.5"]`},
		{"train:\n  lr: [1]\n", `train.lr wants a number, not the list ["1"]`},
		{"train:\n  lr: {a: 1}\n", "train.lr wants a number, not a group of keys"},
		{"train:\n  lr: 1\n  lr: 2\n", "train.lr is set twice"},
		{"- 1\n", "want keys and values"},
		{"seed: 1\n---\nseed: 2\n", "more than one YAML document"},
		{"seed: [\n", "a.yaml"},
		{"seed: &a 1\n", "anchors"},
		{"train:\n  lr:\n", "train.lr wants a number"},
	} {
		c := DefaultResnet()
		err := Load(&c, []byte(tc.yaml), "a.yaml")
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.yaml, err, tc.want)
		}
	}
	for _, tc := range []struct{ set, want string }{
		{"train.lr", "want key=value"},
		{"train.rl=1", "did you mean train.lr?"},
		{"train=1", "a group of settings"},
		{"train.lr=", "is not a value"},
		{"train.lr=abc", "train.lr wants a number"},
		{"=1", "unknown key"},
		{"train.lr.x=1", "unknown key"},
	} {
		c := DefaultResnet()
		if err := Set(&c, tc.set); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("--set %s: error %v, want %q", tc.set, err, tc.want)
		}
	}
}

// TestNumbersAreDecimal: a number that YAML 1.1 or Go read as no reader would is refused, with what it would be.
func TestNumbersAreDecimal(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"seed=010", `--set seed=010: seed: "010" would be read as 8;`},
		{"seed=0o10", `seed: "0o10" would be read as 8;`},
		{"seed=0x10", `seed: "0x10" would be read as 16;`},
		{"seed=0b10", `seed: "0b10" would be read as 2;`},
		{"seed=1_000", `seed: "1_000" would be read as 1000;`},
		{"seed=08", `seed: "08" would be read as 8;`},
		{"seed=1:30", `seed wants a whole number of at least 0, not "1:30"`},
		{"seed=1e3", `seed wants a whole number of at least 0, not "1e3"`},
		{"seed=1.0", `seed wants a whole number of at least 0, not "1.0"`},
		{`seed="1"`, `seed wants a whole number of at least 0, not "1"`},
		{"seed=~", `seed wants a whole number of at least 0, not "~"`},
		{"seed=.inf", `seed wants a whole number of at least 0, not ".inf"`},
		{"train.lr=010", `train.lr: "010" would be read as 8;`},
		{"train.lr=1_000.5", `train.lr: "1_000.5" would be read as 1000.5;`},
		{"train.lr=inf", `train.lr wants a number, not "inf"`},
		{"train.milestones=[010, 20]", `train.milestones: "010" would be read as 8;`},
		{"model.res=yes", `model.res wants true or false, not "yes"`},
		{"model.res=on", `model.res wants true or false, not "on"`},
		{"model.res=1", `model.res wants true or false, not "1"`},
		{"data.name=2026-11-24", `data.name wants a word, not "2026-11-24"; put it in quotes to make it a word`},
		{"data.name=010", `data.name wants a word, not "010"; put it in quotes to make it a word`},
		{"data.name=true", `data.name wants a word, not "true"; put it in quotes to make it a word`},
		{"data.name=my set # 2", `"# 2" would be read as a comment; put the value in quotes`},
	} {
		d := DefaultResnet()
		if err := Set(&d, c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--set %s: error %v, want %q", c.set, err, c.want)
		}
		if !reflect.DeepEqual(d, DefaultResnet()) {
			t.Errorf("--set %s changed something", c.set)
		}
	}
	d := DefaultResnet()
	if err := Load(&d, []byte("train:\n  lr: 0.1\nseed: 0123\n"), "a.yaml"); err == nil ||
		!strings.Contains(err.Error(), `a.yaml:3: seed: "0123" would be read as 83;`) {
		t.Errorf("in a file: %v", err)
	}
	for set, want := range map[string]float64{"0": 0, "0.5": 0.5, ".5": 0.5, "1e-3": 0.001, "+2": 2, "3.": 3, "1E+3": 1000,
		"-0.25": -0.25, "10": 10} {
		if err := Set(&d, "train.lr="+set); err != nil || d.Train.LR != want {
			t.Errorf("train.lr=%s: %g, %v", set, d.Train.LR, err)
		}
	}
	for _, word := range []string{"no", "yes", "1:30", "'010'", `"true"`} {
		if err := Set(&d, "data.name="+word); err != nil || d.Data.Name != strings.Trim(word, `'"`) {
			t.Errorf("data.name=%s: %q, %v", word, d.Data.Name, err)
		}
	}
}

func TestEmptyFilesSetNothing(t *testing.T) {
	for _, y := range []string{"", "# nothing\n", "---\n"} {
		c := DefaultResnet()
		if err := Load(&c, []byte(y), "a.yaml"); err != nil {
			t.Errorf("%q: %v", y, err)
		}
		if !reflect.DeepEqual(c, DefaultResnet()) {
			t.Errorf("%q changed something", y)
		}
	}
}

func TestLargeFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultResnet()
	if err := LoadFile(&c, path); err == nil || !strings.Contains(err.Error(), "has more than 1048576 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	for set, want := range map[string]string{
		"train.lr=0": "train.lr", "train.lr=.inf": "train.lr", "train.lr=.nan": "train.lr", "train.epochs=0": "train.epochs",
		"model.depth=-1": "model.depth", "train.conv=fft": "winograd, direct", "train.label_smoothing=1": "train.label_smoothing", "data.augment.crop=-1": "data.augment.crop", "data.val=-2": "data.val is -2", "experiment=lab9": "experiment",
		"train.groups.bias_lr=-1": "train.groups.bias_lr", "train.groups.norm_decay=.nan": "train.groups.norm_decay",
		"train.triangle.peak=1.1": "train.triangle.peak", "train.steps=-1": "train.steps",
		"train.average.kind=swa": "none, ema, lookahead", "train.average.decay=1": "train.average.decay",
		"train.average.every=0": "train.average.every", "train.average.power=-1": "train.average.power",
		"train.batch_size=100000000": "train.batch_size", "train.optimizer=adam": "sgd, adamw, muon", "train.optimizer=muon": "model.name mlp has none", "train.muon.lr=0": "train.muon.lr", "train.muon.momentum=1": "train.muon.momentum", "train.schedule=exponential": "onecycle",
		"test.views=mirrored": `test.views is "mirrored", want one of none, mirror, shift`, "test.views=''": "test.views",
		"data.augment.alternate=true": "data.augment.flip is false", "data.augment.reflect=true": "data.augment.crop is 0",
		"train.milestones=[5, 3]": "train.milestones", "train.momentum=1": "train.momentum", "train.beta2=.nan": "train.beta2",
	} {
		c := DefaultResnet()
		if err := Set(&c, set); err != nil {
			t.Errorf("%s: %v", set, err)
		} else if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that names %s", set, err, want)
		}
	}
	if err := DefaultResnet().Validate(); err != nil {
		t.Error(err)
	}
	c := DefaultResnet()
	c.Data.Val = 0
	if err := c.Validate(); err != nil {
		t.Errorf("all images to train on: %v", err)
	}
	c.Train.Patience = 3
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(),
		"train.patience is 3: without validation images") {
		t.Errorf("early stopping without validation images: error %v", err)
	}
	for copies, want := range map[int]string{0: "", 1: "data.augment.copies is 1", 2: "", 3: "data.augment.copies is 3"} {
		c := DefaultFor("small")
		c.Data.Augment = Augment{Flip: true, Crop: 2, Alternate: true, Reflect: true, Copies: copies}
		if err := c.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d copies and the alternating flip: error %v, want one with %q", copies, err, want)
		}
	}
}

// TestLaterKeysLeaveOldHashes: keys that older records lack are not written at their defaults, so a run of the same
// settings is still found by the hash of its configuration.
func TestLaterKeysLeaveOldHashes(t *testing.T) {
	b, err := Marshal(DefaultFor("resnet20"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"alternate", "reflect"} {
		if strings.Contains(string(b), key) {
			t.Errorf("%s is written:\n%s", key, b)
		}
	}
	c := DefaultFor("resnet20")
	c.Data.Augment.Alternate, c.Data.Augment.Reflect = true, true
	if b, err = Marshal(c); err != nil {
		t.Fatal(err)
	}
	var d Resnet
	if err := Load(&d, b, "b.yaml"); err != nil || d.Data.Augment != c.Data.Augment {
		t.Errorf("wrote %+v, read %+v, error %v", c.Data.Augment, d.Data.Augment, err)
	}
}

func TestMarshalReadsBack(t *testing.T) {
	c := DefaultResnet()
	c.Seed, c.Train.Milestones, c.Train.LR = 1<<63+1, []int{4, 8}, 0.1+0.2
	b, err := Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := DefaultResnet()
	if err := Load(&d, b, "b.yaml"); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, d) {
		t.Errorf("wrote %+v\nread  %+v", c, d)
	}
}

// TestDefaultsAreLeftOut: settings that came later are left out of records where they have their defaults, so that the
// hashes of older records stay; and those of other values are read back whole.
func TestDefaultsAreLeftOut(t *testing.T) {
	late := []string{"train.groups.bias_lr=64", "train.triangle.end=0", "train.steps=7",
		"train.average.kind=ema", "train.muon.lr=0.1", "test.views=mirror"}
	for _, c := range []any{DefaultResnet(), DefaultDistill("student", "teacher", Cached), DefaultRobust(true),
		DefaultAutoencoder("mnist"), DefaultBaseline()} {
		var written map[string]any
		b, err := Marshal(c)
		if err != nil || yaml.Unmarshal(b, &written) != nil || written["train"] == nil {
			t.Fatalf("%v\n%s", err, b)
		}
		for _, set := range late {
			key := regexp.MustCompile(`[.=]`).Split(set, 3)
			group, _ := written[key[0]].(map[string]any)
			if _, ok := group[key[1]]; ok {
				t.Errorf("%T: the default of %s is written:\n%s", c, set, b)
			}
		}
	}
	for _, set := range late {
		c, d := DefaultResnet(), DefaultResnet()
		if err := Set(&c, set); err != nil {
			t.Fatal(err)
		}
		b, err := Marshal(c)
		if err != nil || Load(&d, b, "b.yaml") != nil || !reflect.DeepEqual(c, d) || reflect.DeepEqual(c, DefaultResnet()) {
			t.Errorf("%s: %v\nwrote %+v\nread  %+v", set, err, c, d)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestPresets: every file of lab 1 loads, holds, and those of the MLP and the CNN are the defaults.
func TestPresets(t *testing.T) {
	n := 0
	err := filepath.WalkDir("../../configs/lab1", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		if filepath.Base(filepath.Dir(path)) == "lab4" {
			return nil // each has a test beside its settings
		}
		if filepath.Base(path) == "distill.yaml" {
			c := DefaultDistill("student", "teacher", Cached)
			if err := LoadFile(&c, path); err != nil || c.Validate() != nil {
				t.Errorf("%s: %v, %v", path, err, c.Validate())
			}
			if !reflect.DeepEqual(c, DefaultDistill("student", "teacher", Cached)) {
				t.Errorf("%s is not the defaults: %+v", path, c)
			}
			return nil
		}
		c := DefaultResnet()
		if err := LoadFile(&c, path); err != nil {
			t.Error(err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		over := DefaultFor(c.Model.Name)
		if err := LoadFile(&over, path); err != nil {
			t.Error(err)
		}
		if base := filepath.Base(path); (base == "mlp.yaml" || base == "cnn.yaml") &&
			!reflect.DeepEqual(over, DefaultFor(over.Model.Name)) {
			t.Errorf("%s is not the defaults: %+v", path, over)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d presets, error %v", n, err)
	}
}

func FuzzLoad(f *testing.F) {
	b, err := Marshal(DefaultResnet())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("train: {lr: 0.1}")
	f.Add("a: &a [*a]")
	f.Fuzz(func(_ *testing.T, y string) {
		c := DefaultResnet()
		if Load(&c, []byte(y), "f.yaml") == nil {
			_ = c.Validate()
		}
	})
}

// TestPathsAreKeptWhole: what a path holds comes back as it was, also where it is no UTF-8 or looks like something
// else.
func TestPathsAreKeptWhole(t *testing.T) {
	for _, path := range []string{"a b", " a ", "a\xffb/c", "\xfe", "a\nb", "a\x1b[2Jb", "a\tb", "é", "日本", "~", "yes",
		"0x10", "1e3", "null", "- a", "#a", "'", `"`, `\`, "!!binary eA==", "\u2028", "\ufeffa", "{a: 1}", "a: b"} {
		c := DefaultOOD()
		c.Checkpoint, c.Sets.Folders = path, []string{"x=" + path, path}
		b, err := Marshal(c)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		d := DefaultOOD()
		if err := Load(&d, b, "config.yaml"); err != nil || d.Checkpoint != path || !reflect.DeepEqual(d, c) {
			t.Errorf("%q came back as %q, %v\n%s", path, d.Checkpoint, err, b)
		}
	}
	c := DefaultOOD()
	if err := Load(&c, []byte("checkpoint: !!binary '*'\n"), "a.yaml"); err == nil {
		t.Errorf("what is no base64 was read as %q", c.Checkpoint)
	}
}
