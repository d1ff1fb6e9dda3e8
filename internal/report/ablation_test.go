package report

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// TestAblation: a row for all parts, for each part left out, and for the evaluation without views.
func TestAblation(t *testing.T) {
	root := t.TempDir()
	whole := config.DefaultFor("speedrun")
	whole.Train.Average.Kind = config.AverageLookahead
	record := func(views float64, edit func(*config.Resnet)) run.Record {
		cfg := whole
		if edit != nil {
			edit(&cfg)
		}
		return withResult(t, recordOf(t, root, "lab1/resnet", "speedrun", 0, cfg, "1111111110", nil), "test_views",
			map[string]any{"views": "shift", "accuracy": views})
	}
	noDirac := func(c *config.Resnet) { c.Model.Init = "whiten" }
	recs := []run.Record{record(0.95, nil), record(0.96, nil), record(0.92, noDirac),
		record(0.93, func(c *config.Resnet) { c.Train.Groups.BiasLR = 1 }),
		record(0.945, func(c *config.Resnet) { c.Train.Average.Kind = config.AverageNone })}
	table := tableOf(t, ablationTable, recs...)
	want := `| all parts | 2 | 95.50 ± 0.71 |  | 90.00 ± 0.00 |
| without identity initialisation (dirac) | 1 | 92.00 | -3.50 | 90.00 |
| without larger rate of biases | 1 | 93.00 | -2.50 | 90.00 |
| without average of the weights | 1 | 94.50 | -1.00 | 90.00 |
| without test-time augmentation | 2 |  | -5.50 | 90.00 ± 0.00 |
`
	if !strings.HasSuffix(table, want) {
		t.Errorf("the rows are not\n%s\nbut\n%s", want, table)
	}
	dir := t.TempDir()
	files := drawn(t, dir, func(dir string) ([]string, error) { return ablationFigure(recs, dir) })
	wantFiles(t, files, "ablation.png", "ablation.svg", "figures.json")
	wantText(t, readFile(t, filepath.Join(dir, "ablation.svg")), "all parts", "without test-time augmentation")
	without, shorter := recs[0], recs[1]
	without.Metrics, shorter.Metrics = nil, slices.Clone(shorter.Metrics)
	shorter.Metrics[len(shorter.Metrics)-1].Step++
	for want, recs := range map[string][]run.Record{
		"has no metrics":        {without},
		"all parts: a run has ": {recs[0], shorter},
		"lacks whitening and identity initialisation (dirac)": {recs[0],
			record(0.9, func(c *config.Resnet) { c.Model.Init = "random" })},
		"no run has all parts":                    {recs[2]},
		"has no accuracy with test-time augmenta": {recordOf(t, root, "lab1/resnet", "speedrun", 0, whole, "1", nil)},
	} {
		wantError(t, want, func() error {
			_, err := ablationTable(recs)
			return err
		})
	}
}
