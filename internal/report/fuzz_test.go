package report

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"dla/internal/run"
)

// FuzzSections: whatever figures.yaml holds, what is read of it stays in the repository.
func FuzzSections(f *testing.F) {
	f.Add([]byte("- {name: a, runs: results/a, figures: imgs/a, table: study}\n- {name: speed, runs: results/bench, table: speed}\n"))
	f.Add([]byte("- {name: a, page: b/c.md, table: findings, " +
		"findings: [{lab: 1, numbers: [{section: b, row: c, column: d}]}]}"))
	f.Add([]byte("- {name: a, runs: ../b, figures: /c, table: study}"))
	f.Add([]byte("- &a {name: a, runs: b, table: ood}\n- *a\n- <<: *a\n  figures: c\\d\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		defer time.AfterFunc(time.Minute, func() { panic("it hangs") }).Stop()
		all, err := readSections(text, "figures.yaml")
		if err != nil {
			return
		}
		for _, s := range all {
			for _, dir := range []string{s.Runs, s.Figures, s.Page} {
				if dir != "" && !filepath.IsLocal(filepath.FromSlash(dir)) {
					t.Errorf("the section %q has the path %q", s.Name, dir)
				}
			}
			if err := run.CheckName("a section", s.Name); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzTables: a result of somebody else's, of whatever experiment, gives a table or an error.
func FuzzTables(f *testing.F) {
	experiments := []string{"lab1/resnet", "lab1/distill", "lab3/baseline", "lab3/finetune", "lab4/fgsm",
		"lab4/autoencoder", "lab4/ood", "lab4/robust"}
	root := f.TempDir()
	for i := range experiments {
		f.Add([]byte(`{"test":{"n":2,"accuracy":0.5}}`), []byte("seed: 3\n"), uint8(i))
		f.Add([]byte(`{"sets":[{"name":"fake","n":3}],"scores":[{"set":"fake","detector":"x"}],"robust":{"attacks_before":[{}],"attacks_after":[{}]}}`), []byte("model: {name: resnet20}"), uint8(i))
	}
	f.Fuzz(func(_ *testing.T, result, config []byte, which uint8) {
		defer time.AfterFunc(time.Minute, func() { panic("it hangs") }).Stop()
		if !json.Valid(result) {
			return
		}
		r := run.Record{Summary: run.Summary{ID: "a", Experiment: experiments[int(which)%len(experiments)],
			Variant: "resnet20-robust-fgsm8", Status: run.StatusFinished},
			Dir: filepath.Join(root, "a"), Config: config, Result: result}
		_, _ = Tables([]run.Record{r})
		for _, kind := range sectionKinds {
			_, _ = kind.table([]run.Record{r})
		}
	})
}
