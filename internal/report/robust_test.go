package report

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
)

// robustRecord makes a finished run of lab4 robust whose network has the accuracy after.
func robustRecord(t *testing.T, root, variant string, seed uint64, after float64) run.Record {
	t.Helper()
	return robustRecordOn(t, root, variant, "fake", seed, after)
}

// robustRecordOn is robustRecord with outliers called set.
func robustRecordOn(t *testing.T, root, variant, set string, seed uint64, after float64) run.Record {
	t.Helper()
	yaml, err := config.Marshal(config.DefaultRobust(false))
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, run.Spec{Experiment: "lab4/robust", Variant: variant, Seed: seed, Config: yaml,
		Env: run.Env{Revision: "r", Data: run.DataInfo{Name: "cifar10", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.AppendMetrics(run.Epoch{Epoch: 1, Train: run.Measure{Loss: 1},
		Val: run.Measure{Loss: 1, Accuracy: 0.5}}); err != nil {
		t.Fatal(err)
	}
	outcomes := func(a float64) (all []attack.Outcome) {
		for _, kind := range []string{"fgsm", "pgd"} {
			for _, eps := range []float64{0, 8} {
				all = append(all, attack.Outcome{Attack: kind, Norm: attack.Linf, Eps: eps, N: 50, Accuracy: a / (1 + eps),
					CI95: [2]float64{0.1, 0.2}})
			}
		}
		return all
	}
	found := func(auroc float64) record.Detected {
		return record.Detected{Detection: metrics.Detection{AUROC: auroc, FPR95: 0.25,
			FPR95Out: metrics.Later[float64]{Value: 0.125, Known: true}},
			CI95: metrics.Intervals{AUROC: [2]float64{0.5, 0.75},
				FPR95Out: metrics.Later[[2]float64]{Value: [2]float64{0, 0.5}, Known: true}}}
	}
	c := record.Robust{Clean: record.CleanPair{N: 100, Before: 0.9, BeforeCI95: [2]float64{0.8, 0.95}, After: after,
		OnlyBefore: 12, OnlyAfter: 2, P: 0.0129, Exact: true},
		Trained: []record.OODSet{{Name: "noise", About: "uniform noise", N: 40},
			{Name: "pets", About: "pets, a folder of images", N: 9,
				LeftOut: leftOut}}, Resamples: 50, PGDSteps: 20, Before: outcomes(0.9), After: outcomes(after),
		In: record.ConfidencePair{OODSet: record.OODSet{Name: "cifar10", N: 3}, Before: 0.9, After: 0.85, Shift: -0.05},
		Sets: []record.ConfidencePair{{OODSet: record.OODSet{Name: set, N: 4}, Before: 0.8, After: 0.2, Shift: -0.6,
			CI95: [2]float64{-0.62, -0.58},
			Scores: []record.DetectionPair{{Detector: "max-softmax", Label: "max softmax", Before: found(0.6),
				After: found(0.7)}}}},
		Checks: []record.Check{{What: "all is well", Found: "so it is", OK: true}, {What: "pigs fly", Found: "no"}},
	}
	b, err := json.Marshal([]record.Histogram{{Set: "cifar10", Before: []int{1, 2}, After: []int{3, 0}},
		{Set: "fake", Before: []int{0, 4}, After: []int{4, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Histograms, err = r.Attach("max_softmax.json", b); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(map[string]any{"test": map[string]any{"n": 100, "accuracy": after}, "robust": c}); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Examine(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestRobustTable(t *testing.T) {
	root := t.TempDir()
	const variant = "resnet20-robust-fgsm8-f0.1-noise-w0.5"
	recs := []run.Record{robustRecord(t, root, variant, 0, 0.8)}
	check := func(wants ...string) {
		t.Helper()
		got := tableOf(t, Robust, recs...)
		wantText(t, got, wants...)
		wantNoText(t, got, "epsilon 0/255") // no attack
	}
	check("| 20 layers residual, adversarially fine-tuned | before | after | change |\n",
		"| test accuracy %, 100 images | 90.00 (80.00 to 95.00) | 80.00 (0.00 to 0.00) | -10.00 |\n",
		"| accuracy % under FGSM, epsilon 8/255, 50 images | 10.00 (10.00 to 20.00) | 8.89 (10.00 to 20.00) | -1.11 |\n",
		"| accuracy % under PGD-20, epsilon 8/255, 50 images |",
		"| mean max softmax, FakeData noise, 4 images | 0.8000 | 0.2000 | -0.6000 (-0.6200 to -0.5800) |\n",
		"| AUROC % of max softmax, FakeData noise | 60.00 (50.00 to 75.00) | 70.00 (50.00 to 75.00) | +10.00 |\n",
		"| FPR95 (ID positive) % of max softmax, FakeData noise | 25.00 (0.00 to 0.00) | 25.00 (0.00 to 0.00) | +0.00 |\n",
		"| FPR95 (OOD positive) % of max softmax, FakeData noise | 12.50 (0.00 to 50.00) | 12.50 (0.00 to 50.00) | +0.00 |\n",
		"seed 0: 12 test images are correct only before, 2 only after, p = 0.013, exact.\n",
		"Training outliers, none of which is evaluated: uniform noise, 40 images; pets, a folder of images, 9 images.\n"+leftOutLine,
		"| all is well | 0 | holds | so it is |\n", "| pigs fly | 0 | FAILS | no |\n")
	recs = append(recs, robustRecord(t, root, variant, 1, 0.7))
	check("| 20 layers residual, adversarially fine-tuned, 2 seeds |",
		"| test accuracy %, 100 images | 90.00 ± 0.00 | 75.00 ± 7.07 | -15.00 ± 7.07 |\n")
	// The record of an earlier version has one convention of FPR95: the other has no mean, and no row.
	older := regexp.MustCompile(`,\s*"fpr95_outliers_positive":\s*(\[[^]]*\]|[0-9.]+)`)
	recs[0].Result = json.RawMessage(older.ReplaceAll(recs[0].Result, nil))
	check("| FPR95 (ID positive) % of max softmax, FakeData noise | 25.00 ± 0.00 |")
	wantNoText(t, tableOf(t, Robust, recs...), "| FPR95 (OOD positive)")
	plain := recordOf(t, root, "lab1/resnet", "resnet20", 0, config.DefaultFor("resnet20"), "1", nil)
	wantError(t, "none of the runs is a finished one of lab4 robust", func() error {
		_, err := Robust([]run.Record{plain})
		return err
	})
}

// TestRobustFigures: histograms have a folder per set, and variants a folder each if there are several. A damaged
// recordOf is an error.
func TestRobustFigures(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	rec := robustRecord(t, root, "resnet20-robust-fgsm8-f0.1-noise-w0.5", 0, 0.8)
	drawn(t, dir, func(dir string) ([]string, error) { return Figures([]run.Record{rec}, dir) })
	for name, want := range map[string]string{"robustness.svg": "PGD-20, after",
		"fake/histogram.svg": "mean for FakeData noise: 0.800 before, 0.200 after",
		"accuracy.svg":       "mean of clean and attacked images", "figures.json": rec.ID} {
		wantText(t, readFile(t, filepath.Join(dir, name)), want)
	}
	other := robustRecord(t, root, "resnet20-robust-pgd8-f0.1-noise-w0.5", 0, 0.8)
	files := drawn(t, t.TempDir(), func(dir string) ([]string, error) { return Figures([]run.Record{rec, other}, dir) })
	wantFiles(t, files, rec.Variant+"/fake/histogram.png", other.Variant+"/fake/histogram.png")
	damage(t, rec, "max_softmax.json", "[]")
	wantError(t, "max_softmax.json is damaged", func() error {
		_, err := Figures([]run.Record{rec}, dir)
		return err
	})
}

// TestHostileSet: the name of a set cannot lead out of the folder of figures.
func TestHostileSet(t *testing.T) {
	hostile := robustRecordOn(t, t.TempDir(), "resnet20-robust-fgsm8-f0.1-noise-w0.5", "../escaped", 1, 0.8)
	if hostile.Status != run.StatusBroken {
		t.Errorf("the record is %s, want %s", hostile.Status, run.StatusBroken)
	}
	wantText(t, hostile.Detail, `a set is called "../escaped"`)
	wantError(t, "escapes", func() error { // not even if the status is ignored
		_, err := Figures([]run.Record{hostile}, t.TempDir())
		return err
	})
}
