package labs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/run"
	"dla/internal/train"
)

// TestTrainingOnAllImages: with data.val 0 every training image is trained on, the last epoch's weights are evaluated,
// and whatever takes a trained network takes this one: exports, adversarial fine-tuning, detectors.
func TestTrainingOnAllImages(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	cfg := tiny(false)
	cfg.Data.Val, cfg.Data.Limit = 0, 128
	if s := split(set(t, cfg.Data.Name), cfg.Training()); len(s.train.Index) != 128 || len(s.val.Index) != 0 {
		t.Fatalf("%d images to train on, %d held out", len(s.train.Index), len(s.val.Index))
	}
	all := cfg.Training()
	all.Data.Limit = 0
	if s := split(set(t, cfg.Data.Name), all); len(s.train.Index) != s.train.Set.N {
		t.Fatalf("%d of %d images to train on", len(s.train.Index), s.train.Set.N)
	}
	tr := trained(t, root, cfg)
	expect(t, tr.Result, map[string]bool{
		"the last epoch":            tr.Result.BestEpoch == 2 && tr.Result.Epochs == 2,
		"its weights":               tr.Result.WeightsSHA256 == tr.Result.LastWeightsSHA256,
		"no validation accuracy":    !tr.Result.Val.Measured() && !tr.Result.LastVal.Measured(),
		"the test images evaluated": tr.Result.Test.N == 128,
	})
	b, err := os.ReadFile(filepath.Join(tr.Dir, "result.json"))
	if err != nil || strings.Count(string(b), "null") != 2 {
		t.Errorf("the record has not two validations of null: %s, %v", b, err)
	}
	for _, name := range []string{"loss.png", "val_loss.png", "accuracy.png"} {
		_, err := os.Stat(filepath.Join(tr.Dir, "figures", name))
		if drawn := err == nil; drawn != (name == "loss.png") {
			t.Errorf("%s: drawn %v", name, drawn)
		}
	}
	again, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, options(t, root))
	if err != nil || !again.Reused || again.ID != tr.ID {
		t.Errorf("a finished run is not reused: %+v, %v", again.Outcome, err)
	}

	dir := filepath.Join(t.TempDir(), "all")
	if _, err := Export(root, tr.ID, dir); err != nil {
		t.Fatal(err)
	}
	if n, err := FindNetwork(root, dir); err != nil || n.Weights != tr.Result.WeightsSHA256 {
		t.Errorf("exported: %v", err)
	}

	robust := robustRun(t, root, tinyRobust(tr.ID))
	if r := robust.Result; r.Val.Measured() || r.BestEpoch != 2 || robust.Config.Data.Val != 0 {
		t.Errorf("fine-tuned on other images than the original: %+v", r)
	}
	patient := tinyRobust(tr.ID)
	patient.Train.Patience = 1
	if _, err := RobustSettings(root, patient); err == nil || !strings.Contains(err.Error(), "train.patience is 1") {
		t.Errorf("early stopping without validation images: error %v", err)
	}

	c := tinyOODOf(tr.ID)
	c.Sets.Names, c.Sets.Fake = []string{data.FakeName}, 50
	var said []string
	opt := options(t, root)
	opt.Say = func(format string, args ...any) { said = append(said, format) }
	d, err := evaluateOOD(context.Background(), t, c, opt)
	if err != nil {
		t.Fatal(err)
	}
	about := "training images, as none were held out, and"
	if got := d.Result.Tuning; got.In != 30 || !strings.HasPrefix(got.About, about) {
		t.Errorf("tuned on %+v", got)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "take the place of validation images") {
		t.Errorf("nothing was said of it:\n%s", text)
	}
	if _, err := PlanAll([]Task{{Settings: cfg}, {Settings: c}}, options(t, root)); err != nil {
		t.Error(err)
	}
}

// TestTrainingOnAllImagesResumes with the bits of a training that was not interrupted.
func TestTrainingOnAllImagesResumes(t *testing.T) {
	root := t.TempDir()
	cfg := tiny(false)
	cfg.Data.Val = 0
	whole := trained(t, t.TempDir(), cfg)
	opt := options(t, root)
	opt.MaxTime = 1 // stops after the first step
	first, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, opt)
	if err != nil || first.Done() {
		t.Fatalf("not stopped: %+v, %v", first.Outcome, err)
	}
	if rec, err := run.Find(root, first.ID); err != nil || rec.Status != run.StatusPaused {
		t.Errorf("%s, %v", rec.Status, err)
	}
	second := trained(t, root, cfg)
	if second.ID != first.ID || second.Result.WeightsSHA256 != whole.Result.WeightsSHA256 ||
		second.Result.Test != whole.Result.Test {
		t.Errorf("resumed: %+v\nwant %+v", second.Result, whole.Result)
	}
}

// TestDivergenceWithoutValidation: it is found on the test set, and the error says what to do.
func TestDivergenceWithoutValidation(t *testing.T) {
	cfg := tiny(true)
	cfg.Data.Val, cfg.Train.Steps, cfg.Train.LR, cfg.Train.Schedule = 0, 1, 1e25, "constant"
	_, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, options(t, t.TempDir()))
	if !errors.Is(err, train.ErrDiverged) || !strings.Contains(err.Error(), "on the test set; "+train.Remedy) {
		t.Errorf("error %v", err)
	}
}
