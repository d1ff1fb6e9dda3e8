package report

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/run"
)

// attackRecord makes a finished run of attacks with the given examples, which are images of 2 x 2.
func attackRecord(t *testing.T, root string, shown []attack.Example) run.Record {
	t.Helper()
	yaml, err := config.Marshal(config.DefaultFGSM())
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, run.Spec{Experiment: "lab4/fgsm", Variant: "resnet20", Config: yaml,
		Env: run.Env{Data: run.DataInfo{Name: "cifar10", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Attach("examples.json", text)
	if err != nil {
		t.Fatal(err)
	}
	at := func(kind string, targeted bool, norm attack.Norm, eps, accuracy float64) attack.Outcome {
		return attack.Outcome{Attack: kind, Targeted: targeted, Norm: norm, Eps: eps, N: 100, Accuracy: accuracy,
			Success: metrics.Later[float64]{Value: 1 - accuracy, Known: targeted}, Confidence: 0.5, Rounded: accuracy}
	}
	result := map[string]any{"test": map[string]any{"n": 100, "accuracy": 0.9}, "network": "resnet20",
		"classes": []string{"cat", "dog"}, "examples": a,
		"attacks": []attack.Outcome{at("fgsm", false, attack.Linf, 0, 0.9), at("fgsm", false, attack.Linf, 8, 0.1),
			at("fgsm", true, attack.Linf, 8, 0.25),
			at("noise", false, attack.Linf, 8, 0.85), at("pgd", false, attack.Linf, 8, 0.05), at("pgd", false, attack.L2, 0.5,
				0.03), at("square", false, attack.Linf, 8, 0.2)},
		"transfer": []attack.Transfer{{Attack: "fgsm", Eps: 8, For: "a", On: "a", N: 10, Correct: 1},
			{Attack: "fgsm", Eps: 8, For: "a", On: "b", N: 10, Correct: 5},
			{Attack: "fgsm", Eps: 8, For: "b", On: "a", N: 10, Correct: 6}, {Attack: "fgsm", Eps: 8, For: "b", On: "b", N: 10,
				Correct: 2}},
		"checks": []map[string]any{{"name": "one", "found": "so", "passed": true},
			{"name": "two", "found": "not so", "passed": false}}}
	if err := r.Finish(result); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// example returns a valid one.
func example(targeted bool) attack.Example {
	return attack.Example{Targeted: targeted, Eps: 8, Index: 7, Label: 0, Goal: 1, H: 2, W: 2, C: 3,
		Image:   make([]byte, 12),
		Changed: slices.Repeat([]byte{0, 8, 4}, 4), Before: attack.Prediction{Class: 0,
			P: 0.99}, After: attack.Prediction{Class: 1, P: 0.5}}
}

func TestAttackTables(t *testing.T) {
	r := attackRecord(t, t.TempDir(), []attack.Example{example(false), example(true)})
	table := tableOf(t, Attacks, r)
	wantText(t, table,
		"| 0 | – | 90.00 | 90.00 | 50.00 | – | – | – |\n", "| 8 | 85.00 | 10.00 | 10.00 | 50.00 | 5.00 | 75.00 | – |\n",
		"| PGD-20, L2 | 0.5 | 100 | 3.00 |", "| Square, no gradients | 8/255 | 100 | 20.00 |",
		"| a, FGSM at 8/255 | 10.00 | 50.00 |\n| b, FGSM at 8/255 | 60.00 | 20.00 |\n", "On the first 10 test images.",
		"| one | holds | so |", "| two | FAILS | not so |", "resnet20 on CIFAR-10, 100 test images, accuracy 90.00 %")
	predictions := tableOf(t, sectionKinds["targeted"].table, r)
	wantText(t, predictions, "| 7 | cat | dog | cat, 99.0 % | dog, 50.0 % |\n")
	if rows := strings.Count(predictions, "\n| 7 |"); rows != 1 {
		t.Errorf("%d rows of image 7, of which there is one targeted example:\n%s", rows, predictions)
	}
	training := recordOf(t, t.TempDir(), "lab1/resnet", "mlp-d1-res", 0, config.DefaultResnet(), "11", nil)
	both := tableOf(t, Tables, r, training)
	if !strings.HasPrefix(both, "| network |") {
		t.Errorf("the table of trainings does not come first:\n%s", both)
	}
	if !strings.HasSuffix(both, table) {
		t.Errorf("the table of attacks does not come last:\n%s", both)
	}
}

// TestFurtherAttacks: an attack that reports do not know has rows and curves under its own name.
func TestFurtherAttacks(t *testing.T) {
	rec := attackRecord(t, t.TempDir(), []attack.Example{example(false)})
	var res map[string]any
	if err := json.Unmarshal(rec.Result, &res); err != nil {
		t.Fatal(err)
	}
	res["attacks"] = append(res["attacks"].([]any),
		attack.Outcome{Attack: "novel", Norm: attack.Linf, Eps: 8, N: 100, Accuracy: 0.25, CI95: [2]float64{0.2, 0.3}},
		attack.Outcome{Attack: "novel", Norm: attack.Linf, Eps: 8, N: 100, Accuracy: 0.5, CI95: [2]float64{0.4, 0.6},
			Targeted: true,
			Success:  metrics.Later[float64]{Value: 0.75, Known: true}})
	var err error
	if rec.Result, err = json.Marshal(res); err != nil {
		t.Fatal(err)
	}
	wantText(t, tableOf(t, Attacks, rec), "| attack | radius | images | accuracy % | 95 % interval | success % |\n",
		"| PGD-20, L2 | 0.5 | 100 | 3.00 | 0.00-0.00 |  |\n", "| novel | 8/255 | 100 | 25.00 | 20.00-30.00 |  |\n",
		"| novel, targeted | 8/255 | 100 | 50.00 | 40.00-60.00 | 75.00 |\n")
	dir := t.TempDir()
	drawn(t, dir, func(dir string) ([]string, error) { return attackCurves(rec, dir) })
	for file, label := range map[string]string{"accuracy.svg": "novel", "success.svg": "novel, targeted",
		"confidence.svg": "novel"} {
		wantText(t, readFile(t, filepath.Join(dir, file)), ">"+label+"<")
	}
}

// TestAttackFiguresBesideTrainings: each kind has its own.
func TestAttackFiguresBesideTrainings(t *testing.T) {
	root := t.TempDir()
	r := attackRecord(t, root, []attack.Example{example(true)})
	training := recordOf(t, root, "lab1/resnet", "mlp-d1-res", 0, config.DefaultResnet(), "11", nil)
	files := drawn(t, t.TempDir(), func(dir string) ([]string, error) { return Figures([]run.Record{r, training}, dir) })
	wantFiles(t, files, "loss.png", r.ID+"/accuracy.svg", r.ID+"/targeted.png", r.ID+"/figures.json")
	wantNoFiles(t, files, r.ID+"/untargeted.png") // the record has no untargeted example
	wantError(t, "choose it by its id with select", func() error {
		_, err := sectionKinds["attacks"].figures([]run.Record{r, r}, t.TempDir())
		return err
	})
}

// TestDamagedExamplesAreRefused by every figure and table, whatever is wrong with them.
func TestDamagedExamplesAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(*attack.Example){
		"of class 2, of 2":  func(e *attack.Example) { e.After.Class = 2 },
		"of class -1, of 2": func(e *attack.Example) { e.Goal = -1 },
		"of the wrong size": func(e *attack.Example) { e.Changed = e.Changed[1:] },
		"the wrong size":    func(e *attack.Example) { e.C, e.H = 2, 3 },
	} {
		e := example(false)
		spoil(&e)
		r := attackRecord(t, t.TempDir(), []attack.Example{e})
		figures := func() error {
			_, err := Figures([]run.Record{r}, t.TempDir())
			return err
		}
		wantError(t, want, figures)
		wantError(t, r.ID, figures)
		wantError(t, want, func() error {
			_, err := Tables([]run.Record{r})
			return err
		})
	}
	r := attackRecord(t, t.TempDir(), []attack.Example{example(false)})
	damage(t, r, "examples.json", "[]")
	wantError(t, "examples.json is damaged", func() error {
		_, err := Attacks([]run.Record{r})
		return err
	})
}
