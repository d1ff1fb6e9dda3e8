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

// TestLessonsAreOfTheImagesSeen: in every epoch and batch of the student's training the lesson is the
// teacher's logits of the very images of the batch, by whichever kind of soft labels.
func TestLessonsAreOfTheImagesSeen(t *testing.T) {
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
			teacher, _, err := teacherOf(ctx, &ds, cfg, opt)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Data.Limit, cfg.Seed = limit, 3
			if kind == config.Augmented {
				cfg.Data.Augment.Copies = 2
			}
			l, k, err := teach(ctx, &ds, teacher, cfg, opt)
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
			loader := data.NewAugmentedLoader(split(&ds, cfg.Plain()).train, rows, cfg.Seed, augment(cfg.Data.Augment))
			taught, want := make([]float32, rows*classes), make([]float32, rows*classes)
			for epoch := range 4 {
				loader.Batch(epoch, 1+epoch%2, &b)
				if err := l.logits(taught, &b, epoch); err != nil {
					t.Fatal(err)
				}
				if err := scorer.Score(want, &b); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(taught, want) {
					t.Errorf("%s, limit %d: other logits in epoch %d", kind, limit, epoch+1)
				}
			}
		}
	}
}

// TestSelfChecksFail where the soft labels are not the teacher's.
func TestSelfChecksFail(t *testing.T) {
	opt := options(t, t.TempDir())
	ctx := context.Background()
	cfg := tinyDistillation(config.Cached)
	ds := set(t, cfg.Data.Name)
	teacher, _, err := teacherOf(ctx, ds, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	l, k, err := teach(ctx, ds, teacher, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	if checks, err := selfChecks(ctx, ds, teacher, cfg, l, k); err != nil || len(checks) != 3 {
		t.Fatalf("%+v, %v", checks, err)
	}
	slices.Reverse(k.Logits)
	if _, err := selfChecks(ctx, ds, teacher, cfg, l, k); err == nil || !strings.Contains(err.Error(), "self-check: a student that is the teacher") {
		t.Errorf("labels in the wrong order passed: %v", err)
	}
}

// TestInterruptedLabelling leaves nothing half-done, and is an interruption, not an error.
func TestInterruptedLabelling(t *testing.T) {
	opt := options(t, t.TempDir())
	cfg := tinyDistillation(config.Cached)
	ds := set(t, cfg.Data.Name)
	if _, _, err := teacherOf(context.Background(), ds, cfg, opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	interrupted := opt
	interrupted.Sink = func(train.Event) { cancel() }
	d, err := Distill(ctx, []config.Distill{cfg}, interrupted, func(Trained) {})
	if err != nil || d.Stopped == nil || d.Stopped.Reason != train.Interrupted || d.Stopped.ID != "" {
		t.Errorf("%+v, %v", d, err)
	}
	if files, _ := filepath.Glob(filepath.Join(opt.Root, softLabelsDir, "*")); len(files) > 0 {
		t.Errorf("it left %v", files)
	}
	two := cfg
	two.Seed = 1
	n := 0
	d, err = Distill(context.Background(), []config.Distill{cfg, two}, opt, func(Trained) { n++ })
	if err != nil || d.Stopped != nil || len(d.Pairs) != 2 || n != 5 || len(d.Labels) != 2 {
		t.Errorf("%+v after %d runs, %v", d, n, err)
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
	n, trained, err := teacherOf(ctx, ds, cfg, opt)
	if err != nil || trained == nil || trained.Reused {
		t.Fatalf("%+v, %v", trained, err)
	}
	folder := filepath.Join(CheckpointsDir, "lab1-teacher")
	if _, err := Export("runs", trained.ID, folder); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(trained.Dir, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	again, tr, err := teacherOf(ctx, ds, cfg, opt)
	if err != nil || again.Source != folder || again.Weights != n.Weights || !tr.Reused {
		t.Errorf("%+v, %+v, %v", again, tr, err)
	}
	cfg.Teacher.From = "lab1-teacher"
	if named, _, err := teacherOf(ctx, ds, cfg, opt); err != nil || named.Weights != n.Weights {
		t.Errorf("by its name: %+v, %v", named, err)
	}
	cfg.Teacher.From = ""
	if err := os.RemoveAll(CheckpointsDir); err != nil {
		t.Fatal(err)
	}
	if again, tr, err = teacherOf(ctx, ds, cfg, opt); err != nil || tr.Reused || tr.Reason != train.Finished || again.Weights != n.Weights {
		t.Fatalf("trained anew: %+v, %+v, %v", again, tr, err)
	}
	best, err := filepath.Glob(filepath.Join(tr.Dir, "checkpoints", "best-*"))
	if err != nil || len(best) != 1 {
		t.Fatalf("best weights %v, %v", best, err)
	}
	if err := os.Truncate(best[0], 100); err != nil {
		t.Fatal(err)
	}
	before := runsUnder(t, "runs")
	if _, _, err := teacherOf(ctx, ds, cfg, opt); err == nil || !strings.Contains(err.Error(), best[0]) ||
		runsUnder(t, "runs") != before {
		t.Errorf("with damaged weights: %v, %d runs after %d", err, runsUnder(t, "runs"), before)
	}
}
