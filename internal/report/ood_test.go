package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/run"
)

// leftOut are copies that were left out of a set, more than are named in a line.
var leftOut = []run.Copy{{Image: "cat/1.png", Of: "cifar10, test set", OfImage: "test/cat/a.png"},
	{Image: "cat/2.png", Of: "outliers"}, {Image: "3.png", Of: "fake"}, {Image: "4.png", Of: "fake"}}

// leftOutLine is how it is said.
const leftOutLine = "Of the set pets 4 copies are left out: cat/1.png of cifar10, test set, test/cat/a.png; cat/2.png of outliers; 3.png of fake; and 1 more, which the record lists.\n"

// oodRecord makes a finished run of two detectors on two sets.
func oodRecord(t *testing.T, root string) run.Record {
	t.Helper()
	yaml, err := config.Marshal(config.DefaultOOD())
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, run.Spec{Experiment: "lab4/ood", Variant: "resnet20", Config: yaml, Env: run.Env{Data: run.DataInfo{Name: "cifar10", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	res := run.OOD{Network: "resnet20", TestAccuracy: 0.9, In: run.OODSet{Name: "cifar10", About: "CIFAR-10, test set", N: 4}, Resamples: 20,
		Sets: []run.OODSet{{Name: "fake", About: "FakeData, uniform noise of seed 0", N: 3},
			{Name: "pets", About: "pets, a folder of images", N: 3, Shift: true, LeftOut: leftOut}},
		Tuning: run.OODTuning{In: 7, Out: 7, About: "validation images, and the same distorted"},
		Detectors: []run.OODDetector{{Name: "max-softmax", Label: "max softmax"},
			{Name: "knn", Label: "KNN", Parameter: "k", Value: metrics.Later[float64]{Value: 50, Known: true}}}}
	var c run.OODCurves
	miss := run.OODMiss{Class: "cat", Predicted: "dog", Score: 0.25, H: 2, W: 2, Pixels: make([]byte, 12)}
	c.Misses = append(c.Misses, run.OODMisses{Set: "cifar10", Images: []run.OODMiss{miss, miss}})
	for _, s := range res.Sets {
		if res.Signs, err = metrics.CheckSigns(res.In.N, s.N); err != nil {
			t.Fatal(err)
		}
		for i, d := range res.Detectors {
			k, err := metrics.Rank(d.Name, []float64{0.1, 0.2, 0.3, 0.4}, []float64{0.35 + float64(i)/4, 0.5, 0.6})
			if err != nil {
				t.Fatal(err)
			}
			x := run.OODScore{Set: s.Name, Detector: d.Name, Detection: k.Detection(), CI95: metrics.Bootstrap([]*metrics.Ranking{k}, 20, 0)[0]}
			x.BaseIn, x.BaseOut = k.BaseRates()
			res.Scores = append(res.Scores, x)
			v := run.OODCurve{Set: s.Name, Detector: d.Name, SortedIn: []float32{0.1, 0.4}, SortedOut: []float32{0.5, 0.6}}
			v.ROCIn, v.ROCOut = k.ROC(100)
			v.Lo, v.Hi, v.HistIn, v.HistOut = k.Histogram(5)
			c.Curves = append(c.Curves, v)
		}
		c.Misses = append(c.Misses, run.OODMisses{Set: s.Name, Images: []run.OODMiss{miss}})
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if res.Curves, err = r.Attach("ood_curves.json", b); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(res); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestOODTable(t *testing.T) {
	rec := oodRecord(t, t.TempDir())
	got, err := oodTable("fake")([]run.Record{rec})
	if err != nil {
		t.Fatal(err)
	}
	knn, soft := strings.Index(got, "\n| KNN | 100.00 (100.00–100.00) |"), strings.Index(got, "\n| max softmax | 91.67 (")
	if knn < 0 || soft < knn {
		t.Errorf("want KNN, then max softmax:\n%s", got)
	}
	for _, want := range []string{"CIFAR-10, test set (4 images) against FakeData, uniform noise of seed 0 (3). Classifier resnet20, test accuracy 90.00 %.",
		"AUPR in (chance 57.1)", "AUPR out (chance 42.9)", "| k 50 |", "Sign check: AUROC 1 of a perfect detector, 0 of its negation, 0.5 of a constant"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "pets") {
		t.Error("the table is of another set as well")
	}
	all, err := OODTable(rec, "")
	if err != nil || strings.Count(all, "| KNN |") != 2 || !strings.Contains(all, "the same images changed") ||
		!strings.Contains(all, leftOutLine+"\n") {
		t.Errorf("%v\n%s", err, all)
	}
	if _, err := OODTable(rec, "people"); err == nil {
		t.Error("there is a table of a set that was not evaluated")
	}
	if _, err := oodTable("fake")([]run.Record{rec, rec}); err == nil {
		t.Error("two runs gave a table")
	}

	got, err = oodOverview([]run.Record{rec})
	want := "| detector | FakeData noise: AUROC | FPR95 (ID positive) | FPR95 (OOD positive) | pets, a folder of images: AUROC | FPR95 (ID positive) | FPR95 (OOD positive) |\n|---|---:|---:|---:|---:|---:|---:|\n" +
		"| KNN | 100.0 | 0.0 | 0.0 | 100.0 | 0.0 | 0.0 |\n| max softmax | 91.7 | 33.3 | 25.0 | 91.7 | 33.3 | 25.0 |\n"
	if err != nil || got != want {
		t.Errorf("overview, error %v:\n%s\nwant\n%s", err, got, want)
	}

	// A record of an earlier version has one convention: the other is not 0.
	var old map[string]any
	if err := json.Unmarshal(rec.Result, &old); err != nil {
		t.Fatal(err)
	}
	for _, x := range old["scores"].([]any) {
		delete(x.(map[string]any), "fpr95_outliers_positive")
		delete(x.(map[string]any)["ci95"].(map[string]any), "fpr95_outliers_positive")
	}
	if rec.Result, err = json.Marshal(old); err != nil {
		t.Fatal(err)
	}
	if got, err = oodOverview([]run.Record{rec}); err != nil ||
		!strings.Contains(got, "| KNN | 100.0 | 0.0 | – | 100.0 | 0.0 | – |\n") {
		t.Errorf("of an old record, error %v:\n%s", err, got)
	}
	if got, err = OODTable(rec, "fake"); err != nil || !strings.Contains(got, "| 0.00 (0.00–0.00) | – | 100.00 (") {
		t.Errorf("of an old record, error %v:\n%s", err, got)
	}
	if _, err := oodOverview(nil); err == nil {
		t.Error("no run gave a table")
	}
}

func TestOODFigures(t *testing.T) {
	rec := oodRecord(t, t.TempDir())
	dir := t.TempDir()
	files, err := Figures([]run.Record{rec}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"soft_plot.png", "soft_hist.svg", "soft_roc.png", "roc_all.svg", "hist_all.png", "sorted_all.svg", "misses.svg", "figures.json"} {
		for _, set := range []string{"FakeData", "pets"} {
			if !slices.Contains(files, filepath.Join(dir, set, name)) {
				t.Errorf("no %s of %s in %v", name, set, files)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "FakeData", "roc_all.svg"))
	if err != nil || !strings.Contains(string(b), "KNN 1.000") || !strings.Contains(string(b), "max softmax 0.917") {
		t.Errorf("the ROC curves are not named with their AUROC: %v", err)
	}
	if err := os.WriteFile(filepath.Join(rec.Dir, "ood_curves.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Figures([]run.Record{rec}, dir); err == nil || !strings.Contains(err.Error(), "ood_curves.json is damaged") {
		t.Errorf("changed curves: %v", err)
	}
}

// TestFiguresStayInTheirFolder: a set leads nowhere else, by its name or by a link that has it.
func TestFiguresStayInTheirFolder(t *testing.T) {
	rec, dir, outside := oodRecord(t, t.TempDir()), t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "pets")); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	if _, err := OODFigures(rec, dir); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("through a link: error %v", err)
	}
	rec.Result = []byte(strings.ReplaceAll(string(rec.Result), `"pets"`, `"../out"`))
	if _, err := OODFigures(rec, filepath.Join(outside, "figures")); err == nil ||
		!strings.Contains(err.Error(), "escapes") {
		t.Errorf("by its name: error %v", err)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("outside are %v, %v", list, err)
	}
}
