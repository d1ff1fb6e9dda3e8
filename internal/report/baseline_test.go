package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// baselineRecord is a finished run of a head on an encoder.
func baselineRecord(t *testing.T, root, variant string, seed uint64, right string, trained float64) run.Record {
	t.Helper()
	rec := record(t, root, baselineExperiment, variant, seed, config.DefaultBaseline(), right, nil)
	var res map[string]any
	if err := json.Unmarshal(rec.Result, &res); err != nil {
		t.Fatal(err)
	}
	res["train"] = map[string]any{"loss": 0.1, "accuracy": trained}
	res["encoder"] = map[string]any{"name": "x", "params": 22713216}
	var err error
	if rec.Result, err = json.Marshal(res); err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestBaselineTable: an encoder a row, in the lab's order, with the interval of the mean, and a row that says
// so for one that has no run.
func TestBaselineTable(t *testing.T) {
	root := t.TempDir()
	recs := []run.Record{
		baselineRecord(t, root, "my_bert-mlp256", 0, "1111100000", 0.75),
		baselineRecord(t, root, "mpnet-mlp256", 0, "1111111100", 0.9),
		baselineRecord(t, root, "minilm-mlp256", 1, "1111111000", 0.81),
		baselineRecord(t, root, "minilm-mlp256", 0, "1111100000", 0.79),
	}
	got, err := Baseline(recs)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"| DistilBERT | not run here: `dla models pull distilbert`, `dla lab3 baseline --encoder distilbert` |  |  |  |  |  |  |",
		"| MiniLM | 22713216 | 1000 | 2 | 80.00 ± 1.41 | 50.00 ± 0.00 | 60.00 ± 14.14 | 31.27–83.18, n = 10 |",
		"| MPNet | 22713216 | 1000 | 1 | 90.00 | 50.00 | 80.00 | 49.02–94.33, n = 10 |",
		"| my_bert | 22713216 | 1000 | 1 | 75.00 | 50.00 | 50.00 | 23.66–76.34, n = 10 |",
	}
	if lines := strings.Split(strings.TrimSpace(got), "\n")[2:]; strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// A table of all runs has it beside that of other trainings.
	all, err := Table(append(recs, record(t, root, "lab1/resnet", "mlp-d5-res", 0, config.DefaultResnet(), "1111111111", nil)))
	if err != nil || !strings.Contains(all, want[2]) || !strings.Contains(all, "| d5 residual |") {
		t.Errorf("%s (%v)", all, err)
	}
	recs[0].Result = json.RawMessage(`{}`)
	if _, err := Baseline(recs); err == nil || !strings.Contains(err.Error(), recs[0].ID) {
		t.Errorf("a result without what it reached in training: %v", err)
	}
}

// TestBaselineFigures: both figures with the runs they are of, in a folder of their own beside other trainings.
func TestBaselineFigures(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	recs := []run.Record{baselineRecord(t, root, "minilm-mlp256", 0, "1111100000", 0.8), baselineRecord(t, root, "mpnet-mlp256", 0, "1111111100", 0.9)}
	alone := filepath.Join(dir, "alone")
	files, err := Figures(recs, alone)
	if err != nil || len(files) != 5 {
		t.Fatalf("%v (%v)", files, err)
	}
	svg, err := os.ReadFile(filepath.Join(alone, "baseline_accuracy.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MiniLM, validation", "MPNet, training", "Accuracy of a head on frozen features"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the figure does not say %q", want)
		}
	}
	if _, err := os.Stat(filepath.Join(alone, "baseline_loss.png")); err != nil {
		t.Error(err)
	}
	both := filepath.Join(dir, "both")
	if _, err := Figures(append(recs, record(t, root, "lab1/resnet", "mlp-d5-res", 0, config.DefaultResnet(), "1111111111", nil)), both); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loss.png", "baseline/baseline_loss.png", "baseline/figures.json"} {
		if _, err := os.Stat(filepath.Join(both, name)); err != nil {
			t.Error(err)
		}
	}
}
