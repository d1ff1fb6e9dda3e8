package labs

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/record"
	"dla/internal/train"
)

// tinyDistillation teaches a residual CNN of moments.
func tinyDistillation(kind string) config.Distill {
	c := config.DefaultDistill("resnet20", "resnet20", kind)
	t := tiny(false)
	c.Data.Name, c.Data.Limit, c.Model.Width, c.Teacher.Model.Width = t.Data.Name, t.Data.Limit, 4, 6
	c.Train.Epochs, c.Train.BatchSize = 1, 32
	c.Teacher.Train = c.Train
	return c
}

// TestLogitsAreOfTheImagesSeen: in every epoch and batch of the student's training it is told the teacher's logits of
// the very images of the batch, by whichever kind of soft labels.
func TestLogitsAreOfTheImagesSeen(t *testing.T) {
	root := t.TempDir()
	opt := options(t, root)
	ctx := context.Background()
	ds := *set(t, tinyDistillation(config.Live).Data.Name)
	some := *ds.Train // of whose images there are not too many to label all
	some.N = 500
	some.Pixels, some.Labels = some.Pixels[:some.N*some.H*some.W*some.C], some.Labels[:some.N]
	ds.Train = &some
	for _, kind := range config.SoftLabelKinds {
		for _, limit := range []int{96, 0} {
			if limit == 0 && kind != config.Cached { // a set of all images serves every seed; once is enough
				continue
			}
			cfg := tinyDistillation(kind)
			cfg.Data.Val = 100
			teacher, err := teacherOf(ctx, &ds, cfg, opt)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Data.Limit, cfg.Seed = limit, 3
			if kind == config.Augmented {
				cfg.Data.Augment.Copies, cfg.Data.Augment.Alternate, cfg.Data.Augment.Reflect = 2, true, true
			}
			logits, k, err := teacherLogits(ctx, &ds, teacher, cfg, opt)
			if err != nil {
				t.Fatal(err)
			}
			if k != nil && limit == 0 && k.N != ds.Train.N {
				t.Errorf("%s: labels of %d images, want all %d", kind, k.N, ds.Train.N)
			}
			rows, classes, px := cfg.Train.BatchSize, len(ds.Train.Classes), ds.Train.H*ds.Train.W*ds.Train.C
			scorer, err := teacher.Scorer(rows)
			if err != nil {
				t.Fatal(err)
			}
			b := data.Batch{X: make([]float32, rows*px), Y: make([]int32, rows), Index: make([]int32, rows)}
			loader := data.NewAugmentedLoader(split(&ds, cfg.Training()).train, rows, cfg.Seed, augment(cfg.Data.Augment))
			told, want := make([]float32, rows*classes), make([]float32, rows*classes)
			for epoch := range 4 {
				loader.Batch(epoch, 1+epoch%2, &b)
				if err := logits(told, &b, epoch); err != nil {
					t.Fatal(err)
				}
				if err := scorer.Score(want, &b); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(told, want) {
					t.Errorf("%s, limit %d: other logits in epoch %d", kind, limit, epoch+1)
				}
			}
		}
	}
}

// TestAugmentSource: soft labels of images that were changed otherwise are others; those of older programs are found.
func TestAugmentSource(t *testing.T) {
	a := config.Augment{Flip: true, Crop: 4, Copies: 2}
	seen := map[string]bool{"seed 3, flip true, crop 4, cutout 0": true}
	if got := augmentSource(a, 3); !seen[got] {
		t.Errorf("the source of older soft labels is now %q", got)
	}
	for _, change := range []func(*config.Augment){func(a *config.Augment) { a.Alternate = true },
		func(a *config.Augment) { a.Reflect = true }, func(a *config.Augment) { a.Crop = 2 }} {
		b := a
		change(&b)
		if name := augmentSource(b, 3); seen[name] {
			t.Errorf("%+v has the source %q of another augmentation", b, name)
		} else {
			seen[name] = true
		}
	}
}

// TestSelfChecksFail where the soft labels are not the teacher's.
func TestSelfChecksFail(t *testing.T) {
	opt := options(t, t.TempDir())
	ctx := context.Background()
	cfg := tinyDistillation(config.Cached)
	ds := set(t, cfg.Data.Name)
	teacher, err := teacherOf(ctx, ds, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	logits, k, err := teacherLogits(ctx, ds, teacher, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := selfChecks(ctx, ds, teacher, cfg, logits, k)
	if err == nil {
		err = record.Failed(checks)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(k.Logits)
	if checks, err = selfChecks(ctx, ds, teacher, cfg, logits, k); err != nil {
		t.Fatal(err)
	}
	if err := record.Failed(checks); err == nil || !strings.Contains(err.Error(),
		"self-checks failed: a student that is the teacher") {
		t.Errorf("labels in the wrong order passed: %v", err)
	}
}

// TestInterruptedLabelling leaves no soft labels half done and a run that can go on.
func TestInterruptedLabelling(t *testing.T) {
	opt := options(t, t.TempDir())
	cfg := tinyDistillation(config.Cached)
	ds := set(t, cfg.Data.Name)
	if _, err := teacherOf(context.Background(), ds, cfg, opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	interrupted := opt
	interrupted.Sink = func(train.Event) { cancel() }
	all, err := Study(ctx, DistillTasks([]config.Distill{cfg}), interrupted, func(int, Outcome) {})
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	stopped := all[1]
	if stopped.Reason != train.Interrupted || stopped.Done() {
		t.Errorf("%+v", stopped)
	}
	if files, _ := filepath.Glob(filepath.Join(opt.Root, softLabelsDir, "*")); len(files) > 0 {
		t.Errorf("it left %v", files)
	}
	two := cfg
	two.Seed = 1
	all, err = Study(context.Background(), DistillTasks([]config.Distill{cfg, two}), opt, func(int, Outcome) {})
	if err != nil {
		t.Fatal(err)
	}
	if all[1].ID != stopped.ID {
		t.Errorf("%s was interrupted, %s goes on", stopped.ID, all[1].ID)
	}
	for i, o := range all {
		if !o.Done() {
			t.Errorf("run %d: %+v", i, o)
		}
	}
	for _, i := range []int{1, 3} {
		if checks := all[i].Result.SelfChecks(); len(checks) == 0 || record.Failed(checks) != nil {
			t.Errorf("run %d has the self-checks %+v", i, checks)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(opt.Root, softLabelsDir, "*")); len(files) != 2 { // of limited data, a set a seed
		t.Errorf("soft labels %v", files)
	}
}

// TestTemperatureCheck holds for any temperature.
func TestTemperatureCheck(t *testing.T) {
	for _, T := range []float64{0.01, 0.5, 1, 2, 8, 20, 1000} {
		small := 0.02 * min(1, T)
		if r := gradientSize(small, T) / gradientSize(small, 1); math.Abs(r-1) > 0.05 {
			t.Errorf("T = %g: %g", T, r)
		}
	}
}

// TestShippedTeacher: in a clone of the repository the teacher's record is there and its checkpoint is
// not; the weights are those that ship, and where none ship it is trained anew.
func TestShippedTeacher(t *testing.T) {
	t.Chdir(t.TempDir())
	opt := options(t, "runs")
	ctx := context.Background()
	cfg := tinyDistillation(config.Cached)
	ds := set(t, cfg.Data.Name)
	teacher := func() (*Network, int) { // and how many runs there are then
		t.Helper()
		n, err := teacherOf(ctx, ds, cfg, opt)
		if err != nil {
			t.Fatal(err)
		}
		return n, runsUnder(t, "runs")
	}
	n, _ := teacher()
	folder := filepath.Join(CheckpointsDir, "lab1-teacher")
	if _, err := Export("runs", n.Source, folder); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join("runs", n.Source, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	if again, runs := teacher(); again.Source != folder || again.Weights != n.Weights || runs != 1 {
		t.Errorf("%+v, %d runs", again, runs)
	}
	cfg.Teacher.From = "lab1-teacher"
	if named, _ := teacher(); named.Weights != n.Weights {
		t.Errorf("by its name: %+v", named)
	}
	cfg.Teacher.From = ""
	if err := os.RemoveAll(CheckpointsDir); err != nil {
		t.Fatal(err)
	}
	again, runs := teacher()
	if runs != 2 || again.Weights != n.Weights {
		t.Fatalf("trained anew: %+v, %d runs", again, runs)
	}
	best, err := filepath.Glob(filepath.Join("runs", again.Source, "checkpoints", "best-*"))
	if err != nil || len(best) != 1 {
		t.Fatalf("best weights %v, %v", best, err)
	}
	if err := os.Truncate(best[0], 100); err != nil {
		t.Fatal(err)
	}
	if _, err := teacherOf(ctx, ds, cfg, opt); err == nil || !strings.Contains(err.Error(), best[0]) ||
		runsUnder(t, "runs") != runs {
		t.Errorf("with damaged weights: %v, %d runs after %d", err, runsUnder(t, "runs"), runs)
	}
}
