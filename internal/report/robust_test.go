package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/run"
)

// robustRecord is a finished run of lab4 robust whose hardened network has the accuracy after.
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
	if err := r.AppendMetrics(run.Epoch{Epoch: 1, Train: run.Measure{Loss: 1}, Val: run.Measure{Loss: 1, Accuracy: 0.5}}); err != nil {
		t.Fatal(err)
	}
	outcomes := func(a float64) (all []attack.Outcome) {
		for _, kind := range []string{"fgsm", "pgd"} {
			for _, eps := range []float64{0, 8} {
				all = append(all, attack.Outcome{Attack: kind, Norm: attack.Linf, Eps: eps, N: 50, Accuracy: a / (1 + eps), CI95: [2]float64{0.1, 0.2}})
			}
		}
		return all
	}
	found := func(auroc float64) run.Detected {
		return run.Detected{Detection: metrics.Detection{AUROC: auroc, FPR95: 0.25,
			FPR95Out: metrics.Later[float64]{Value: 0.125, Known: true}},
			CI95: metrics.Intervals{AUROC: [2]float64{0.5, 0.75},
				FPR95Out: metrics.Later[[2]float64]{Value: [2]float64{0, 0.5}, Known: true}}}
	}
	c := run.Robust{Clean: run.CleanPair{N: 100, Before: 0.9, BeforeCI95: [2]float64{0.8, 0.95}, After: after, OnlyBefore: 12, OnlyAfter: 2, P: 0.0129, Exact: true},
		Trained: []run.OODSet{{Name: "noise", About: "uniform noise", N: 40},
			{Name: "pets", About: "pets, a folder of images", N: 9,
				LeftOut: leftOut}}, Resamples: 50, PGDSteps: 20, Before: outcomes(0.9), After: outcomes(after),
		In: run.ConfidencePair{OODSet: run.OODSet{Name: "cifar10", N: 3}, Before: 0.9, After: 0.85, Shift: -0.05},
		Sets: []run.ConfidencePair{{OODSet: run.OODSet{Name: set, N: 4}, Before: 0.8, After: 0.2, Shift: -0.6, CI95: [2]float64{-0.62, -0.58},
			Scores: []run.DetectionPair{{Detector: "max-softmax", Label: "max softmax", Before: found(0.6), After: found(0.7)}}}},
		Checks: []run.Check{{Name: "all is well", Found: "so it is", Passed: true}, {Name: "pigs fly", Found: "no"}},
	}
	b, err := json.Marshal([]run.Histogram{{Set: "cifar10", Before: []int{1, 2}, After: []int{3, 0}}, {Set: "fake", Before: []int{0, 4}, After: []int{4, 0}}})
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
		got, err := Robust(recs)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("no line %q in\n%s", want, got)
			}
		}
		if strings.Contains(got, "epsilon 0/255") {
			t.Errorf("a line of no attack in\n%s", got)
		}
	}
	check("| 20 layers residual, hardened | original | hardened | change |\n",
		"| test accuracy %, 100 images | 90.00 (80.00 to 95.00) | 80.00 (0.00 to 0.00) | -10.00 |\n",
		"| accuracy % under FGSM, epsilon 8/255, 50 images | 10.00 (10.00 to 20.00) | 8.89 (10.00 to 20.00) | -1.11 |\n",
		"| accuracy % under PGD-20, epsilon 8/255, 50 images |",
		"| mean max softmax, FakeData noise, 4 images | 0.8000 | 0.2000 | -0.6000 (-0.6200 to -0.5800) |\n",
		"| AUROC % of max softmax, FakeData noise | 60.00 (50.00 to 75.00) | 70.00 (50.00 to 75.00) | +10.00 |\n",
		"| FPR95 (ID positive) % of max softmax, FakeData noise | 25.00 (0.00 to 0.00) | 25.00 (0.00 to 0.00) | +0.00 |\n",
		"| FPR95 (OOD positive) % of max softmax, FakeData noise | 12.50 (0.00 to 50.00) | 12.50 (0.00 to 50.00) | +0.00 |\n",
		"seed 0: 12 test images only the original gets right, 2 only the hardened network, p = 0.013, exact.\n",
		"Outliers trained on, none of them evaluated: uniform noise, 40 images; pets, a folder of images, 9 images.\n"+leftOutLine,
		"| all is well | 0 | holds | so it is |\n", "| pigs fly | 0 | FAILS | no |\n")
	recs = append(recs, robustRecord(t, root, variant, 1, 0.7))
	check("| 20 layers residual, hardened, 2 seeds |", "| test accuracy %, 100 images | 90.00 ± 0.00 | 75.00 ± 7.07 | -15.00 ± 7.07 |\n")
	// A record of an earlier version has one convention of FPR95: there is no mean of the other, and no row.
	older := regexp.MustCompile(`,\s*"fpr95_outliers_positive":\s*(\[[^]]*\]|[0-9.]+)`)
	recs[0].Result = json.RawMessage(older.ReplaceAll(recs[0].Result, nil))
	check("| FPR95 (ID positive) % of max softmax, FakeData noise | 25.00 ± 0.00 |")
	if got, err := Robust(recs); err != nil || strings.Contains(got, "| FPR95 (OOD positive)") {
		t.Errorf("a row of what one of the records does not have: %v\n%s", err, got)
	}
	plain := record(t, root, "lab1/resnet", "resnet20", 0, config.DefaultFor("resnet20"), "1", nil)
	if _, err := Robust([]run.Record{plain}); err == nil {
		t.Error("an ordinary training has a table of hardening")
	}
}

// TestRobustFigures: histograms lie in a folder by the set, of several variants in one by the variant; what
// the record does not hold whole is an error.
func TestRobustFigures(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	rec := robustRecord(t, root, "resnet20-robust-fgsm8-f0.1-noise-w0.5", 0, 0.8)
	if _, err := Figures([]run.Record{rec}, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"robustness.svg": "hardened, PGD-20", "fake/histogram.svg": "mean of FakeData noise 0.800, then 0.200",
		"accuracy.svg": "hardened the mean of images as they are and attacked", "figures.json": rec.ID} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: no %q (%v)", name, want, err)
		}
	}
	other := robustRecord(t, root, "resnet20-robust-pgd8-f0.1-noise-w0.5", 0, 0.8)
	dir = t.TempDir()
	if _, err := Figures([]run.Record{rec, other}, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, other.Variant, "fake", "histogram.png")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(rec.Dir, "max_softmax.json"), []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Figures([]run.Record{rec}, dir); err == nil || !strings.Contains(err.Error(), "max_softmax.json is damaged") {
		t.Errorf("changed histograms: %v", err)
	}
	hostile := robustRecordOn(t, root, "resnet20-robust-fgsm8-f0.1-noise-w0.5", "../escaped", 1, 0.8)
	if hostile.Status != run.StatusBroken || !strings.Contains(hostile.Detail, `a set is called "../escaped"`) {
		t.Errorf("a set that is a way out: %s (%s)", hostile.Status, hostile.Detail)
	}
	if _, err := Figures([]run.Record{hostile}, dir); err == nil || !strings.Contains(err.Error(), "escapes") { // nor where nobody looks at its status
		t.Errorf("a set that is a way out: %v", err)
	}
}
