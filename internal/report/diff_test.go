package report

import (
	"encoding/json"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// TestDiff: only what differs is listed, numbers in full precision and with their difference.
func TestDiff(t *testing.T) {
	root := t.TempDir()
	cfg := config.DefaultResnet()
	a := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 0, cfg, "1111100000", nil)
	cfg.Seed, cfg.Train.LR = 1, 0.2
	b := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 1, cfg, "1111110000", nil)
	b.Env.Kernel, b.Env.CPU = "avx2", "another"
	b.Metrics[1].Train.Loss = 0.25
	ds, err := Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	text := DiffTable(a, b, ds).Page()
	wantText(t, text, "| settings | seed | 0 | 1 | +1 |\n", "| settings | train.lr | ", "| program | kernels |",
		"| machine | processor | – | another |", "| metrics | train.loss, epoch 2, the first that differs | 0.5 | 0.25 | -0.25 |",
		"| result | test.accuracy | 0.5 | 0.6 | +0.1 |", "| result | predictions.sha256 | ")
	wantNoText(t, text, "revision", "model.depth", "epoch 1", "wall_seconds")
	if same, err := Diff(a, a); err != nil || len(same) != 0 {
		t.Errorf("%v, error %v", same, err)
	}
	a.Result = json.RawMessage("{")
	wantError(t, a.ID, func() error {
		_, err := Diff(a, b)
		return err
	})
}

// TestMatches: what another run of the same program may have otherwise is not compared, nor what an older record lacks.
func TestMatches(t *testing.T) {
	root := t.TempDir()
	a := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 0, config.DefaultResnet(), "1111100000", nil)
	again := func(old, new string) run.Record {
		b := a
		b.Result = json.RawMessage(strings.Replace(string(a.Result), old, new, 1))
		if old != "" && string(b.Result) == string(a.Result) {
			t.Fatalf("no %q in %s", old, a.Result)
		}
		return b
	}
	for _, c := range []struct{ old, new, differs string }{
		{"", "", ""},
		{`"wall_seconds": 10`, `"wall_seconds": 11`, ""},
		{`"params": 1000`, `"params": 1000, "later": 1`, ""},
		{`"params": 1000`, `"params": 1001`, "values of the result"},
		{`"accuracy": 0.5`, `"accuracy": 0.5000000001`, "values of the result"},
		{`"sha256": "`, `"sha256": "0`, "test_predictions.bin"},
	} {
		matches, err := Matches(a, again(c.old, c.new))
		if err != nil {
			t.Fatal(err)
		}
		differs := ""
		for _, m := range matches {
			if !m.Same {
				differs += m.What
			}
		}
		if differs != c.differs {
			t.Errorf("%s: %q differs, want %q", c.new, differs, c.differs)
		}
	}
	b := a
	b.Metrics = b.Metrics[:1]
	if matches, err := Matches(a, b); err != nil || matches[0].Same {
		t.Errorf("an epoch less: %+v, error %v", matches, err)
	}
}

// TestResults: runs on other data have tables of their own, and tags and notes are shown.
func TestResults(t *testing.T) {
	root := t.TempDir()
	one := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 0, config.DefaultResnet(), "1111100000", nil)
	two := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 1, config.DefaultResnet(), "1111110000", nil)
	other := two
	other.Fingerprint, other.Env.Data = "g", run.DataInfo{Name: "cifar10", Fingerprint: "g"}
	one.Annotation = run.Annotation{Note: "the first", Tags: []string{"x", "y"}}
	ts, err := Results([]run.Record{one, two, other})
	if err != nil {
		t.Fatal(err)
	}
	if all := ts.All(); len(all) != 2 || all[0].Title != "MNIST" || all[1].Title != "CIFAR-10" {
		t.Fatalf("%v", all)
	}
	wantText(t, ts.Page(), "| 55.00 ± 7.07 | 10.0 | x, y |\n", one.ID+": the first\n", "| 60.00 | 10.0 |\n")
}
