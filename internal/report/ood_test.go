package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
)

// leftOut are copies that were left out of a set, more than a line names.
var leftOut = []record.Copy{{Image: "cat/1.png", Of: "cifar10, test set", OfImage: "test/cat/a.png"},
	{Image: "cat/2.png", Of: "outliers"}, {Image: "3.png", Of: "fake"}, {Image: "4.png", Of: "fake"}}

// leftOutLine is the line about them.
const leftOutLine = "Of the set pets 4 copies are left out: cat/1.png of cifar10, test set, test/cat/a.png; cat/2.png of outliers; 3.png of fake; and 1 more, which the record lists.\n"

// oodRecord makes a finished run of two detectors on two sets.
func oodRecord(t *testing.T, root string) run.Record {
	t.Helper()
	yaml, err := config.Marshal(config.DefaultOOD())
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, run.Spec{Experiment: "lab4/ood", Variant: "resnet20", Config: yaml,
		Env: run.Env{Data: run.DataInfo{Name: "cifar10", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	res := record.OOD{Network: "resnet20", TestAccuracy: 0.9,
		In: record.OODSet{Name: "cifar10", About: "CIFAR-10, test set", N: 4}, Resamples: 20,
		Sets: []record.OODSet{{Name: "fake", About: "FakeData, uniform noise of seed 0", N: 3},
			{Name: "pets", About: "pets, a folder of images", N: 3, Shift: true, LeftOut: leftOut}},
		Tuning: record.OODTuning{In: 7, Out: 7, About: "validation images, and the same distorted"},
		Detectors: []record.OODDetector{{Name: "max-softmax", Label: "max softmax"},
			{Name: "knn", Label: "KNN", Parameter: "k", Value: metrics.Later[float64]{Value: 50, Known: true}}}}
	var c record.OODCurves
	miss := record.OODMiss{Class: "cat", Predicted: "dog", Score: 0.25, H: 2, W: 2, Pixels: make([]byte, 12)}
	c.Misses = append(c.Misses, record.OODMisses{Set: "cifar10", Images: []record.OODMiss{miss, miss}})
	for _, s := range res.Sets {
		if res.Signs, err = metrics.CheckSigns(res.In.N, s.N); err != nil {
			t.Fatal(err)
		}
		for i, d := range res.Detectors {
			k, err := metrics.Rank(d.Name, []float64{0.1, 0.2, 0.3, 0.4}, []float64{0.35 + float64(i)/4, 0.5, 0.6})
			if err != nil {
				t.Fatal(err)
			}
			x := record.OODScore{Set: s.Name, Detector: d.Name, Detection: k.Detection(),
				CI95: metrics.Bootstrap([]*metrics.Ranking{k}, 20, 0)[0]}
			x.BaseIn, x.BaseOut = k.BaseRates()
			res.Scores = append(res.Scores, x)
			v := record.OODCurve{Set: s.Name, Detector: d.Name, SortedIn: []float32{0.1, 0.4}, SortedOut: []float32{0.5, 0.6}}
			v.ROCIn, v.ROCOut = k.ROC(100)
			v.Lo, v.Hi, v.HistIn, v.HistOut = k.Histogram(5)
			c.Curves = append(c.Curves, v)
		}
		c.Misses = append(c.Misses, record.OODMisses{Set: s.Name, Images: []record.OODMiss{miss}})
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
	got := tableOf(t, oodTable("fake"), rec)
	knn, soft := strings.Index(got, "\n| KNN | 100.00 (100.00–100.00) |"), strings.Index(got, "\n| max softmax | 91.67 (")
	if knn < 0 {
		t.Errorf("no row of KNN in\n%s", got)
	}
	if soft < knn {
		t.Errorf("max softmax is not after KNN, which has the better AUROC:\n%s", got)
	}
	wantText(t, got,
		"CIFAR-10, test set (4 images) against FakeData, uniform noise of seed 0 (3). Classifier resnet20, test accuracy 90.00 %.",
		"AUPR in (chance 57.1)", "AUPR out (chance 42.9)", "| k 50 |",
		"Hyperparameters were chosen on 7 validation images, and the same distorted; none of these is evaluated.",
		"Sign check: the AUROC of a perfect detector is 1, of its negation 0, of a constant 0.5.")
	wantNoText(t, got, "pets") // another set
	all, err := OODTable(rec, "")
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, all.Page(), "the same images altered", leftOutLine+"\n", "against FakeData", "against pets")
	wantError(t, "the set people was not evaluated", func() error {
		_, err := OODTable(rec, "people")
		return err
	})
	wantError(t, "has 2 runs but shows one", func() error {
		_, err := oodTable("fake")([]run.Record{rec, rec})
		return err
	})
}

// TestWordsOfOlderRecords: tables of older records use today's words.
func TestWordsOfOlderRecords(t *testing.T) {
	rec := oodRecord(t, t.TempDir())
	older := strings.NewReplacer(`"parameter":"k"`, `"parameter":"share of weights dropped"`, "FakeData, uniform noise",
		"people, training part")
	var compact bytes.Buffer
	if err := json.Compact(&compact, rec.Result); err != nil {
		t.Fatal(err)
	}
	rec.Result = []byte(older.Replace(compact.String()))
	wantText(t, tableOf(t, oodTable("fake"), rec), "| fraction of weights dropped 50 |", "against people, training split")
}

func TestOODOverview(t *testing.T) {
	rec := oodRecord(t, t.TempDir())
	const head = "| detector | FakeData noise: AUROC | FPR95 (ID positive) | FPR95 (OOD positive) | " +
		"pets, a folder of images: AUROC | FPR95 (ID positive) | FPR95 (OOD positive) |\n|---|---:|---:|---:|---:|---:|---:|\n"
	want := head + "| KNN | 100.0 | 0.0 | 0.0 | 100.0 | 0.0 | 0.0 |\n" +
		"| max softmax | 91.7 | 33.3 | 25.0 | 91.7 | 33.3 | 25.0 |\n"
	if got := tableOf(t, oodOverview, rec); got != want {
		t.Errorf("overview\n%s\nwant\n%s", got, want)
	}
	wantError(t, "has 0 runs but shows one", func() error {
		_, err := oodOverview(nil)
		return err
	})

	// The record of an earlier version has one convention of FPR95; the other is not 0.
	var old map[string]any
	if err := json.Unmarshal(rec.Result, &old); err != nil {
		t.Fatal(err)
	}
	for _, x := range old["scores"].([]any) {
		delete(x.(map[string]any), "fpr95_outliers_positive")
		delete(x.(map[string]any)["ci95"].(map[string]any), "fpr95_outliers_positive")
	}
	var err error
	if rec.Result, err = json.Marshal(old); err != nil {
		t.Fatal(err)
	}
	wantText(t, tableOf(t, oodOverview, rec), "| KNN | 100.0 | 0.0 | – | 100.0 | 0.0 | – |\n")
	wantText(t, tableOf(t, oodTable("fake"), rec), "| 0.00 (0.00–0.00) | – | 100.00 (")
}

func TestOODFigures(t *testing.T) {
	rec := oodRecord(t, t.TempDir())
	dir := t.TempDir()
	files := drawn(t, dir, func(dir string) ([]string, error) { return Figures([]run.Record{rec}, dir) })
	for _, name := range []string{"soft_plot.png", "soft_hist.svg", "soft_roc.png", "roc_all.svg", "hist_all.png",
		"sorted_all.svg", "misses.svg", "figures.json"} {
		wantFiles(t, files, "FakeData/"+name, "pets/"+name)
	}
	wantText(t, readFile(t, filepath.Join(dir, "FakeData", "roc_all.svg")), "KNN 1.000", "max softmax 0.917") // with AUROC
	damage(t, rec, "ood_curves.json", "{}")
	wantError(t, "ood_curves.json is damaged", func() error {
		_, err := Figures([]run.Record{rec}, dir)
		return err
	})
}

// TestFiguresStayInTheirFolder: a set leads nowhere else, neither by its name nor by a link of that name.
func TestFiguresStayInTheirFolder(t *testing.T) {
	rec, dir, outside := oodRecord(t, t.TempDir()), t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "pets")); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	wantError(t, "escapes", func() error {
		_, err := OODFigures(rec, dir)
		return err
	})
	rec.Result = []byte(strings.ReplaceAll(string(rec.Result), `"pets"`, `"../out"`))
	wantError(t, "escapes", func() error {
		_, err := OODFigures(rec, filepath.Join(outside, "figures"))
		return err
	})
	list, err := os.ReadDir(outside)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name() != "figures" {
			t.Errorf("%s was written outside", e.Name())
		}
	}
}
