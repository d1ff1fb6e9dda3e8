package report

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// baselineRecord makes a finished run of a head on an encoder.
func baselineRecord(t *testing.T, root, variant string, seed uint64, right string, trained float64) run.Record {
	t.Helper()
	rec := recordOf(t, root, baselineExperiment, variant, seed, config.DefaultBaseline(), right, nil)
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

// TestBaselineTable: one row per encoder, in the lab's order, with the interval of the mean; an encoder without a run
// has a row that says so.
func TestBaselineTable(t *testing.T) {
	root := t.TempDir()
	recs := []run.Record{
		baselineRecord(t, root, "my_bert-mlp256", 0, "1111100000", 0.75),
		baselineRecord(t, root, "mpnet-mlp256", 0, "1111111100", 0.9),
		baselineRecord(t, root, "minilm-mlp256", 1, "1111111000", 0.81),
		baselineRecord(t, root, "minilm-mlp256", 0, "1111100000", 0.79),
	}
	_, rows, _ := strings.Cut(tableOf(t, Baseline, recs...), "|\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	mpnet := "| MPNet | 22713216 | 1000 | 1 | 90.00 | 50.00 | 80.00 | 49.02–94.33, n = 10 |\n"
	want := "| DistilBERT | not run here: `dla models pull distilbert`, `dla lab3 baseline --encoder distilbert` |  |  |  |  |  |  |\n" +
		"| MiniLM | 22713216 | 1000 | 2 | 80.00 ± 1.41 | 50.00 ± 0.00 | 60.00 ± 14.14 | 31.27–83.18, n = 10 |\n" + mpnet +
		"| my_bert | 22713216 | 1000 | 1 | 75.00 | 50.00 | 50.00 | 23.66–76.34, n = 10 |\n"
	if rows != want {
		t.Errorf("rows\n%s\nwant\n%s", rows, want)
	}
	// A table of all runs has it beside that of other trainings.
	training := recordOf(t, root, "lab1/resnet", "mlp-d5-res", 0, config.DefaultResnet(), "1111111111", nil)
	wantText(t, tableOf(t, Table, append(recs, training)...), mpnet, "| d5 residual |")
	recs[0].Result = json.RawMessage(`{}`)
	wantError(t, recs[0].ID+" does not record its accuracy on the training split", func() error {
		_, err := Baseline(recs)
		return err
	})
}

// TestBaselineFigures: both figures with the runs they show, in a folder of their own beside other trainings.
func TestBaselineFigures(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	recs := []run.Record{baselineRecord(t, root, "minilm-mlp256", 0, "1111100000", 0.8),
		baselineRecord(t, root, "mpnet-mlp256", 0, "1111111100", 0.9)}
	files := drawn(t, dir, func(dir string) ([]string, error) { return Figures(recs, dir) })
	wantFiles(t, files, "baseline_accuracy.png", "baseline_accuracy.svg", "baseline_loss.png", "baseline_loss.svg",
		"figures.json")
	wantNoFiles(t, files, "accuracy.png", "loss.png") // figures of other trainings
	wantText(t, readFile(t, filepath.Join(dir, "baseline_accuracy.svg")),
		"MiniLM, validation", "MPNet, training", "Accuracy of a head on frozen features")
	recs = append(recs, recordOf(t, root, "lab1/resnet", "mlp-d5-res", 0, config.DefaultResnet(), "1111111111", nil))
	files = drawn(t, t.TempDir(), func(dir string) ([]string, error) { return Figures(recs, dir) })
	wantFiles(t, files, "loss.png", "baseline/baseline_loss.png", "baseline/figures.json")
}
