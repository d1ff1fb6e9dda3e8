package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/train"
)

// pixelsIn is what the network of the run id under root standardizes with.
func pixelsIn(t *testing.T, root, id string) model.Pixels {
	t.Helper()
	n, err := LoadRun(root, id)
	if err != nil {
		t.Fatal(err)
	}
	return n.Model.(model.ResNet).Pixels
}

func wantPixels(t *testing.T, what string, got, want model.Pixels) {
	t.Helper()
	if !slices.Equal(got.Mean, want.Mean) || !slices.Equal(got.Std, want.Std) {
		t.Errorf("%s: standardized by %v ± %v, want %v ± %v", what, got.Mean, got.Std, want.Mean, want.Std)
	}
}

// editJSON changes a JSON file of a run.
func editJSON(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	change(all)
	if b, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// asOlder makes the record in dir one of a version whose data sets had no mean and deviation of their own.
func asOlder(t *testing.T, dir string) {
	t.Helper()
	editJSON(t, filepath.Join(dir, "env.json"), func(all map[string]any) {
		delete(all["data"].(map[string]any), "mean")
		delete(all["data"].(map[string]any), "std")
	})
	editJSON(t, filepath.Join(dir, "status.json"), func(all map[string]any) { delete(all, "sha256") })
}

// TestSetsAreStandardizedByTheirOwn: a colour set that is not CIFAR-10 does not get CIFAR-10's mean and deviation. What
// it gets is said, recorded, and what the network has when it is loaded.
func TestSetsAreStandardizedByTheirOwn(t *testing.T) {
	root, cfg := t.TempDir(), tiny(false)
	ds := set(t, cfg.Data.Name)
	opt := options(t, root)
	var said []string
	opt.Say = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	first, err := trainOn(context.Background(), ds, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(said, func(s string) bool {
		return strings.Contains(s, "standardized with the mean [0.") && strings.Contains(s, "training images of "+ds.Name)
	}) {
		t.Errorf("said %q, want what the images are standardized by", said)
	}
	mean, std, _ := ds.Moments()
	own := model.Pixels{Mean: mean, Std: std}
	wantPixels(t, "the new run", pixelsIn(t, root, first.ID), own)

	again := trained(t, root, cfg)
	if !again.Reused || again.ID != first.ID {
		t.Errorf("the same training was not reused: %+v", again.Outcome)
	}

	// What was trained by older versions keeps what it was trained with, and is not taken for a run of this one.
	asOlder(t, first.Dir)
	wantPixels(t, "the older run", pixelsIn(t, root, first.ID), model.CIFAR10)
	if other := trained(t, root, cfg); other.ID == first.ID {
		t.Error("a run that was standardized otherwise was reused")
	}

	mlp := trained(t, root, tiny(true))
	n, err := LoadRun(root, mlp.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n.Data.Mean != nil || n.Data.Std != nil {
		t.Errorf("an MLP, which takes the lab's digits as they are, has %v ± %v", n.Data.Mean, n.Data.Std)
	}
}

// TestMLPOfBrightImages: an MLP learns dark digits on white, which it does not where it takes their pixels as they are.
func TestMLPOfBrightImages(t *testing.T) {
	cfg := tiny(true)
	bright := *set(t, cfg.Data.Name)
	bright.Name, bright.Fingerprint = "bright", "bright"
	for _, s := range []**data.Set{&bright.Train, &bright.Test} {
		inverted := **s
		inverted.Pixels = slices.Clone(inverted.Pixels)
		for i, v := range inverted.Pixels {
			inverted.Pixels[i] = 255 - v
		}
		*s = &inverted
	}
	cfg.Data.Limit, cfg.Train.Epochs, cfg.Model.Width = 8000, 4, 64
	tr, err := trainOn(context.Background(), &bright, cfg, options(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if tr.Result.Test.Accuracy < 0.5 {
		t.Errorf("%.1f %% of the test images are right", 100*tr.Result.Test.Accuracy)
	}
}

// TestOlderRunGoesOnAsItBegan: an interrupted run of an older version is continued with what it began with.
func TestOlderRunGoesOnAsItBegan(t *testing.T) {
	cfg := tiny(false)
	ds := set(t, cfg.Data.Name)
	for name, goOn := range map[string]func(opt Options, id string) error{
		"runs resume": func(opt Options, id string) error {
			_, err := Resume(context.Background(), id, opt)
			return err
		},
		"--resume": func(opt Options, id string) error {
			tr, err := trainOn(context.Background(), ds, cfg, opt)
			if err == nil && tr.ID != id {
				err = fmt.Errorf("another run, %s, was made", tr.ID)
			}
			return err
		},
	} {
		root := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		opt := options(t, root)
		opt.Sink = func(e train.Event) {
			if e.Kind == train.EpochEnd {
				cancel()
			}
		}
		stopped, err := trainOn(ctx, ds, cfg, opt)
		cancel()
		if err != nil || stopped.Done() {
			t.Fatalf("%s: %+v, %v; want that it was stopped", name, stopped.Outcome, err)
		}
		asOlder(t, stopped.Dir)
		if err := goOn(options(t, root), stopped.ID); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantPixels(t, name, pixelsIn(t, root, stopped.ID), model.CIFAR10)
	}
}

// TestPublishedConstants: the networks that ship, whose records have none, were trained with what the catalogue has.
func TestPublishedConstants(t *testing.T) {
	for name, want := range map[string]model.Pixels{"cifar10": model.CIFAR10, "mnist": model.MNIST} {
		e, err := data.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		wantPixels(t, name, model.Pixels{Mean: e.Mean, Std: e.Std}, want)
	}
}
