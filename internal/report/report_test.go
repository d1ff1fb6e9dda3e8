package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/run"
)

// recordOf makes a finished run under root and returns it. Its result has predictions for a test set with one image per
// character of right, correct for each 1.
func recordOf(t *testing.T, root, experiment, variant string, seed uint64, cfg any, right string,
	norms []float64) run.Record {
	t.Helper()
	yaml, err := config.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, run.Spec{Experiment: experiment, Variant: variant, Seed: seed, Config: yaml,
		Env: run.Env{Revision: "r", Data: run.DataInfo{Name: "mnist", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for e := range 2 {
		if err := r.AppendMetrics(run.Epoch{Epoch: e + 1, Train: run.Measure{Loss: 1 / float64(e+1)},
			Val: run.Measure{Loss: 1, Accuracy: 0.5}}); err != nil {
			t.Fatal(err)
		}
	}
	var classes, labels []int32
	for _, c := range right {
		classes, labels = append(classes, c-'0'), append(labels, 1)
	}
	p, err := metrics.NewPredictions(classes, labels)
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := p.Bytes()
	a, err := r.Attach("test_predictions.bin", kept)
	if err != nil {
		t.Fatal(err)
	}
	result := map[string]any{"test": map[string]any{"n": len(p), "accuracy": float64(p.Correct()) / float64(len(p))},
		"val": map[string]any{"accuracy": 0.5}, "last_val": map[string]any{"accuracy": 0.5}, "params": 1000, "macs": 2000000, "wall_seconds": 10.0, "predictions": a}
	if norms != nil {
		first := fmt.Sprintf(`{"epoch":1,"layers":["a","b"],"norms":[%g,%g]}`, norms[0], norms[1])
		last, err := json.Marshal(run.GradNorms{Epoch: 2, Norms: norms})
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Attach("grad_norms.jsonl", []byte(first+"\n"+string(last)+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		result["grad_norms"] = a
	}
	if err := r.Finish(result); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestNames: labels of variants, in the order of tables.
func TestNames(t *testing.T) {
	var recs []run.Record
	for _, v := range []string{"mlp-d5-res", "cnn-student-res-kd-t4-w0.9-cached", "cnn-student-res", "plain20-w32",
		"resnet20-kd-t2-w0.5-live", "resnet20-kd-t4-w0.5-live",
		"baseline", "resnet20-robust-fgsm8-f0.1-noise-w0.5", "resnet20-robust-scratch-pgd8-f0.5-noise-w0.5"} {
		recs = append(recs, run.Record{Summary: run.Summary{Variant: v}})
	}
	var got []string
	for _, g := range groups(recs) {
		got = append(got, g.label())
	}
	want := []string{"baseline", "student residual", "student residual, distilled", "d5 residual",
		"20 layers residual, distilled (T 2, w 0.5, live)",
		"20 layers residual, distilled (T 4, w 0.5, live)", "20 layers residual, adversarially fine-tuned (fgsm8, f0.1, noise, w0.5)",
		"20 layers residual, adversarially trained (scratch, pgd8, f0.5, noise, w0.5)", "20 layers, w32 plain"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// TestViewsInTables: the accuracy with test-time augmentation has a column beside the one without, where it was
// measured.
func TestViewsInTables(t *testing.T) {
	root := t.TempDir()
	cfg := config.DefaultDistill("student", "teacher", config.Cached)
	plain := recordOf(t, root, "lab1/resnet", "cnn-student-res", 0, cfg.Plain(), "1111111000", nil)
	cfg.Test.Views = config.ShiftViews
	student := withResult(t, recordOf(t, root, "lab1/distill", "cnn-student-res-kd-t4-w0.9-cached", 0, cfg, "1111111110",
		nil), "test_views", map[string]any{"views": "shift", "accuracy": 0.95})
	wantText(t, tableOf(t, Distillation, plain, student),
		"| test accuracy % | test accuracy %, test-time augmentation | gain, points |\n",
		"| student residual | 1000 | 1 | 50.00 | 70.00 |  |  |\n",
		"| student residual, distilled | 1000 | 1 | 50.00 | 90.00 | 95.00 (shift) | +20.00 |\n")
	wantText(t, tableOf(t, Table, student), "| 90.00 | 95.00 (shift) | 10.0 |\n")
	wantNoText(t, tableOf(t, Table, plain), "augmentation")
}

// TestLastEpochInTables: the test accuracy of the last epoch's weights has a column where any was measured, and in it
// rows of which all are known.
func TestLastEpochInTables(t *testing.T) {
	root := t.TempDir()
	cfg := config.DefaultFor("small")
	var recs []run.Record
	for seed, variant := range []string{"cnn-small", "cnn-small", "cnn-medium", "cnn-large"} {
		cfg.Seed = uint64(seed)
		r := recordOf(t, root, "lab1/resnet", variant, uint64(seed), cfg, "1111111000", nil)
		r = withResult(t, withResult(t, r, "epochs", 10), "best_epoch", 9)
		recs = append(recs, r)
	}
	wantNoText(t, tableOf(t, Table, recs...), "test accuracy %, last epoch")
	recs[3] = withResult(t, recs[3], "best_epoch", 10) // the last one was selected
	wantNoText(t, tableOf(t, Table, recs...), "test accuracy %, last epoch")
	recs[0] = withResult(t, recs[0], "test_last", map[string]any{"accuracy": 0.6}) // of one seed of two
	recs[2] = withResult(t, recs[2], "test_last", map[string]any{"accuracy": 0.65})
	wantText(t, tableOf(t, Table, recs...), "| test accuracy % | test accuracy %, last epoch | wall time, s |\n",
		"| 2 | 50.00 ± 0.00 | 50.00 ± 0.00 | 70.00 ± 0.00 |  | 10.0 |\n",
		"| 1 | 50.00 | 50.00 | 70.00 | 65.00 | 10.0 |\n", "| 1 | 50.00 | 50.00 | 70.00 | 70.00 | 10.0 |\n")
}

// withResult returns rec with a value in its result.
func withResult(t *testing.T, rec run.Record, key string, value any) run.Record {
	t.Helper()
	var result map[string]any
	if err := json.Unmarshal(rec.Result, &result); err != nil {
		t.Fatal(err)
	}
	result[key] = value
	var err error
	if rec.Result, err = json.Marshal(result); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestDistillationTable(t *testing.T) {
	root := t.TempDir()
	cfg := config.DefaultDistill("student", "teacher", config.Cached)
	other := cfg.Plain()
	other.Train.Epochs = 99 // another recipe: no student to compare with
	var recs []run.Record
	recs = append(recs, recordOf(t, root, "lab1/resnet", "cnn-teacher-res", 0, cfg.TeacherTraining(), "1111111110", nil))
	for seed, right := range []string{"1111100000", "1111111000"} {
		cfg.Seed, other.Seed = uint64(seed), uint64(seed)
		recs = append(recs, recordOf(t, root, "lab1/distill", "cnn-student-res-kd-t4-w0.9-cached", uint64(seed), cfg,
			"1111111000", nil),
			recordOf(t, root, "lab1/resnet", "cnn-student-res", uint64(seed), other, "0000000000", nil),
			recordOf(t, root, "lab1/resnet", "cnn-student-res", uint64(seed), cfg.Plain(), right, nil))
	}
	wantText(t, tableOf(t, Distillation, recs...),
		"| teacher residual | 1000 | 1 | 50.00 | 90.00 |  |\n",
		"| student residual, distilled | 1000 | 2 | 50.00 ± 0.00 | 70.00 ± 0.00 | +10.00 ± 14.14 |\n",
		"| student residual, distilled | 0 | 2 | 0 | 0.5 (exact) |\n",
		"| student residual, distilled | 1 | 0 | 0 | 1 (exact) |\n")
	damage(t, recs[1], "test_predictions.bin", "changed")
	wantError(t, "test_predictions.bin is damaged", func() error {
		_, err := Distillation(recs)
		return err
	})
	wantNoText(t, tableOf(t, Distillation, recs[0]), "McNemar") // a teacher alone
}

func TestGradNormFigure(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	cfg := config.DefaultFor("resnet20")
	recs := []run.Record{recordOf(t, root, "lab1/resnet", "plain20", 0, cfg, "1", []float64{1e-9, 1}),
		recordOf(t, root, "lab1/resnet", "resnet20", 0, cfg, "1", []float64{1, 1}),
		recordOf(t, root, "lab1/resnet", "resnet32", 0, cfg, "1", nil)}
	figures := func(recs ...run.Record) func(string) ([]string, error) {
		return func(dir string) ([]string, error) { return Figures(recs, dir) }
	}
	norms := []string{"grad_norms.png", "grad_norms.svg", "grad_norms_last.png", "grad_norms_last.svg"}
	files := drawn(t, dir, figures(recs...))
	wantFiles(t, files, norms...)
	wantFiles(t, files, "loss.png", "figures.json")
	for file, epoch := range map[string]string{"grad_norms.svg": "first", "grad_norms_last.svg": "last"} {
		text := readFile(t, filepath.Join(dir, file))
		wantText(t, text, "20 layers plain", "20 layers residual", "Gradient by layer, "+epoch+" epoch", "1e-09")
		wantNoText(t, text, "32 layers", "percent of the depth") // has no gradient norms; only where depths differ
	}
	drawn(t, dir, figures(recs[0], recs[1], recordOf(t, root, "lab1/resnet", "plain110", 0, cfg, "1", []float64{0, 0})))
	wantText(t, readFile(t, filepath.Join(dir, "grad_norms.svg")), "0 in every layer: 110 layers plain")
	wantNoFiles(t, drawn(t, t.TempDir(), figures(recs[2])), norms...)

	alone := drawn(t, t.TempDir(), func(dir string) ([]string, error) { return gradientFigure(recs, dir) })
	wantFiles(t, alone, append(norms, "figures.json")...)
	wantNoFiles(t, alone, "loss.png")
	wantError(t, "train with --grad-norms", func() error {
		_, err := gradientFigure(recs[2:], t.TempDir())
		return err
	})
}

func TestGradNormTable(t *testing.T) {
	root := t.TempDir()
	cfg := config.DefaultFor("resnet20")
	table := tableOf(t, gradientTable, recordOf(t, root, "lab1/resnet", "plain20", 0, cfg, "1", []float64{1e-9, 1}),
		recordOf(t, root, "lab1/resnet", "resnet20", 0, cfg, "1", []float64{1, 1}), recordOf(t, root, "lab1/resnet",
			"resnet20",
			1, cfg, "1", nil))
	want := "| 20 layers plain | 2 | 1 | 1e-09 | 1 | 1e-09 | 1 |\n| 20 layers residual | 2 | 1 | 1 | 1 | 1 | 1 |\n"
	if !strings.HasSuffix(table, want) {
		t.Errorf("the rows are not\n%s\nbut\n%s", want, table)
	}
	threeOfTwo := recordOf(t, root, "lab1/resnet", "resnet44", 0, cfg, "1", []float64{1, 1, 1})
	wantError(t, "epoch 2 has 3 norms", func() error {
		_, err := gradientTable([]run.Record{threeOfTwo})
		return err
	})
}

// TestReadme: tables go into the pages that sections name, figures into their folders, and what differs from the
// records is found.
func TestReadme(t *testing.T) {
	root := t.TempDir()
	recordOf(t, filepath.Join(root, "results", "a"), "lab1/resnet", "resnet20", 0, config.DefaultFor("resnet20"), "10",
		nil)
	readme, journal := filepath.Join(root, "README.md"), filepath.Join(root, "results", "README.md")
	writeFile(t, readme, "# x\n<!-- table: a -->\nold\n<!-- end -->\nrest\n")
	writeFile(t, journal, "<!-- table: b -->\n<!-- end -->")
	list := filepath.Join(root, "figures.yaml")
	writeFile(t, list, "- {name: a, runs: results/a, figures: imgs/a, table: study}\n"+
		"- {name: b, page: results/README.md, runs: results/b, table: speed-summary}\n")
	writeFile(t, filepath.Join(root, "results", "b", "steps.json"),
		`{"cpu": "a CPU", "results": [{"case": "a", "images_per_s": 9, "peer": {"ratio": 2.5}}]}`)
	sections, err := Sections(list)
	if err != nil {
		t.Fatal(err)
	}
	want := func(check bool, files ...string) {
		t.Helper()
		changed, err := Readme(root, sections, check)
		if err != nil {
			t.Error(err)
		}
		if !slices.Equal(changed, files) {
			t.Errorf("changed %v, want %v", changed, files)
		}
	}
	all := []string{"imgs/a/loss.png", "imgs/a/loss.svg", "imgs/a/val_loss.png", "imgs/a/val_loss.svg",
		"imgs/a/accuracy.png",
		"imgs/a/accuracy.svg", "imgs/a/figures.json", "README.md", "results/README.md"}
	want(true, all...)
	if _, err := os.Stat(filepath.Join(root, "imgs")); err == nil {
		t.Error("a check wrote something")
	}
	want(false, all...)
	want(true)
	want(false)
	writeFile(t, atomicfile.Temporary(filepath.Join(root, "imgs", "a")), "") // a killed writer left these
	writeFile(t, filepath.Join(root, "imgs", "a", ".loss.png.tmp-123"), "")
	want(true)
	want(false)
	const table = "| network | blocks | conv layers | "
	const lastRow = "| 20 layers residual | 9 | 19 | 1000 | 4.0 | 1 | 50.00 | 50.00 | 50.00 | 10.0 |\n<!-- end -->"
	text := readFile(t, readme)
	if !strings.HasPrefix(text, "# x\n<!-- table: a -->\n"+table) {
		t.Errorf("the page does not begin as before, then with the table:\n%s", text)
	}
	if !strings.HasSuffix(text, lastRow+"\nrest\n") {
		t.Errorf("the page does not end in the table, then as before:\n%s", text)
	}
	wantText(t, readFile(t, journal), "<!-- table: b -->\n| work |", "| training step | 1 | 2.50 | – |")

	// What was changed by hand, is missing or is no record's is found.
	writeFile(t, filepath.Join(root, "imgs", "a", "loss.svg"), "drawn by hand")
	writeFile(t, filepath.Join(root, "imgs", "a", "extra.png"), "")
	writeFile(t, readme, strings.Replace(text, "50.00", "99.00", 1))
	want(true, "imgs/a/loss.svg", "imgs/a/extra.png", "README.md")
	wantError(t, "extra.png belongs to none of the records; remove it", func() error {
		_, err := Readme(root, sections, false)
		return err
	})
	for _, text := range []string{"no marks", "<!-- table: a -->", "<!-- end --><!-- table: a -->",
		"<!-- table: a --><!-- end --><!-- table: a --><!-- end -->"} {
		writeFile(t, readme, text)
		wantError(t, "want one line <!-- table: a -->", func() error {
			_, err := Readme(root, sections, true)
			return err
		})
	}
}

func TestSectionsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures.yaml")
	for text, want := range map[string]string{
		"- {name: a, runs: b, figures: c, table: pie}":                       `table is "pie", want one of ablation, attacks, `,
		"- {runs: b, figures: c, table: study}":                              "it needs a name",
		"- {name: a, figures: c, table: study}":                              "it needs runs",
		"- {name: a, runs: b, table: study}":                                 "figures do not fit the table study",
		"- {name: a, runs: b, figures: c, table: speed}":                     "figures do not fit the table speed",
		"- {name: a, runs: b, table: findings, findings: [{lab: 1}]}":        "it needs runs, unless",
		"- {name: a, table: findings}":                                       "a list of findings goes with",
		"- {name: a, runs: b, table: speed, findings: [{lab: 1}]}":           "a list of findings goes with",
		"- {name: a, run: b}":                                                "field run not found",
		"name: a":                                                            "cannot unmarshal",
		"- {name: a, runs: b, figures: ../c, table: study}":                  "want a path in the repository",
		"- {name: a, runs: b, figures: /c, table: study}":                    "want a path in the repository",
		"- {name: a, runs: b, figures: c, table: study, page: ../README.md}": "want a path in the repository",
		"- {name: a, runs: b/../../c, figures: c, table: study}":             "want a path in the repository",
		`- {name: "a\e[2J", runs: b, figures: c, table: study}`:              `is called "a\x1b[2J"`,
		strings.Repeat("[", 1<<15):                                           "exceeded max depth",
		"# " + strings.Repeat("x", maxSections):                              "has more than",
		"- &a [b]\n- &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n":                      "cannot unmarshal",
		"": "EOF",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Sections(path)
		if err == nil {
			t.Errorf("%q: no error, want one with %q", text, want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v does not name the file", text, err)
		}
	}
	wantError(t, "no finished run under", func() error {
		_, err := (Section{Name: "a", Runs: "nowhere", Table: "study"}).records(t.TempDir())
		return err
	})
}

// autoencoderRecord makes a finished run of an autoencoder with two examples, of 4 x 4 pixels.
func autoencoderRecord(t *testing.T, root string, seed uint64, unchanged bool) run.Record {
	t.Helper()
	r, err := run.Create(root, run.Spec{Experiment: "lab4/autoencoder", Variant: "ae-resnet20", Seed: seed,
		Config: []byte("seed: 0\n"),
		Env:    run.Env{Revision: "r", Data: run.DataInfo{Name: "cifar10", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for e := range 2 {
		m := run.Measure{Loss: 0.1 / float64(e+1), Accuracy: math.NaN()}
		if err := r.AppendMetrics(run.Epoch{Epoch: e + 1, Train: m, Val: m}); err != nil {
			t.Fatal(err)
		}
	}
	img := image.NewNRGBA(image.Rect(0, 0, 8, 12))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	img.SetNRGBA(5, 9, color.NRGBA{1, 2, 3, 255}) // of the second picture of the third row: (1, 1)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	a, err := r.Attach("reconstructions.png", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(map[string]any{"test": map[string]any{"n": 10, "mse": 0.02 + 0.01*float64(seed)}, "best_epoch": 2,
		"val": map[string]any{"loss": 0.05}, "params": 56259,
		"macs": 69746688, "wall_seconds": 10.0, "encoder": map[string]any{"params": 269722, "unchanged": unchanged},
		"examples": map[string]any{"pictures": a, "images": []map[string]any{{"class": "cat", "mse_before": 2.5, "mse": 0.01},
			{"class": "dog", "mse_before": 1.5, "mse": 0.03}}}}); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestAutoencoders: a loss figure over the seeds, the pictures of the first one, and a table.
func TestAutoencoders(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	recs := []run.Record{autoencoderRecord(t, root, 0, true), autoencoderRecord(t, root, 1, true)}
	files := drawn(t, dir, func(dir string) ([]string, error) { return Figures(recs, dir) })
	wantFiles(t, files, "loss.png", "loss.svg", "reconstructions.png", "reconstructions.svg", "figures.json")
	wantNoFiles(t, files, "accuracy.png")
	for name, wants := range map[string][]string{
		"loss.svg": {"Reconstruction loss", "training", "validation", "2 seeds each", "mean squared error"},
		"reconstructions.svg": {"Reconstructions before and after training", "image", "before", "after", "cat", "dog",
			"2.5000", "0.0300", "ae-resnet20, seed 0"},
		"figures.json": {recs[0].ID, recs[1].ID},
	} {
		wantText(t, readFile(t, filepath.Join(dir, name)), wants...)
	}
	wantText(t, tableOf(t, Table, recs...),
		"| ae-resnet20 | 269722 | 56259 | 139.5 | 2 | 2 | 0.05000 ± 0.00000 | 0.02500 ± 0.00707 | 10.0 |")

	// Beside a classifier.
	mixed := append(recs, recordOf(t, root, "lab1/resnet", "mlp-d1-res", 0, config.DefaultResnet(), "01", nil))
	files = drawn(t, t.TempDir(), func(dir string) ([]string, error) { return Figures(mixed, dir) })
	wantFiles(t, files, "autoencoder/reconstructions.png", "accuracy.png")
	wantText(t, tableOf(t, Table, mixed...), "| d1 residual |", "| ae-resnet20 |")

	// An encoder that changed has no place in a table, and damaged pictures none in a figure.
	changed := autoencoderRecord(t, t.TempDir(), 0, false)
	wantError(t, "encoder stayed unchanged", func() error {
		_, err := Table([]run.Record{changed})
		return err
	})
	damage(t, recs[0], "reconstructions.png", "x")
	wantError(t, "reconstructions.png is damaged", func() error {
		_, err := Figures(recs, dir)
		return err
	})
}

// TestReconstructions: the pictures of a record are cut out where they are.
func TestReconstructions(t *testing.T) {
	grid, err := reconstructions(autoencoderRecord(t, t.TempDir(), 0, true))
	if err != nil {
		t.Fatal(err)
	}
	last := grid.Rows[len(grid.Rows)-1]
	if last.Label != "after" {
		t.Errorf("the last row is %q, want after", last.Label)
	}
	cell := last.Cells[len(last.Cells)-1]
	if cell.Caption != "0.0300" {
		t.Errorf("the last picture is %q, want 0.0300", cell.Caption)
	}
	p := cell.Picture
	if p.H != 4 || p.W != 4 {
		t.Fatalf("a picture of %d x %d, want 4 x 4", p.H, p.W)
	}
	if got := p.Pixels[(4+1)*3:][:3]; !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("its pixel (1, 1) is %v, want [1 2 3]", got)
	}
}
