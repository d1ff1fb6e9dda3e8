package labs

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/report"
	"dla/internal/run"
)

// filesIn returns the content of every file under dir.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameBits fails t unless the runs of a and b came out alike.
func sameBits(t *testing.T, a, b run.Record) {
	t.Helper()
	matches, err := report.Matches(a, b)
	if err != nil || len(matches) < 3 {
		t.Fatalf("%+v, error %v", matches, err)
	}
	for _, m := range matches {
		if !m.Same {
			t.Errorf("%+v", m)
		}
	}
}

// TestReproduce: a run is made again in another folder, in parts where it is stopped, with the same bits; the recorded
// one stays as it is.
func TestReproduce(t *testing.T) {
	ctx, root, into := context.Background(), t.TempDir(), filepath.Join(t.TempDir(), "again")
	first := trained(t, root, tiny(true))
	rec := must(run.Find(root, first.ID))(t)
	before := filesIn(t, root)
	opt := options(t, root)
	opt.MaxTime = 1 // stops after the first step
	part := must(Reproduce(ctx, rec, into, opt))(t)
	if part.Done() || runsUnder(t, into) != 1 {
		t.Fatalf("%+v, %d runs", part, runsUnder(t, into))
	}
	whole := must(Reproduce(ctx, rec, into, options(t, root)))(t)
	if !whole.Done() || whole.ID != part.ID || len(whole.Figures) == 0 {
		t.Fatalf("%+v, want it to continue %s", whole, part.ID)
	}
	again := must(run.Find(into, whole.ID))(t)
	sameBits(t, rec, again)
	if !reflect.DeepEqual(filesIn(t, root), before) {
		t.Error("the recorded run was changed")
	}
	if other := must(Reproduce(ctx, rec, into, options(t, root)))(t); other.ID == whole.ID || other.Reused {
		t.Errorf("a finished reproduction was taken for another: %+v", other)
	}

	// What is not the same is found.
	edited := again
	edited.Metrics = append([]run.Epoch{}, again.Metrics...)
	edited.Metrics[1].Train.Loss += 1e-16
	edited.Result = []byte(strings.Replace(string(again.Result), first.Result.WeightsSHA256[:8], "00000000", 1))
	var differ []string
	for _, m := range must(report.Matches(rec, edited))(t) {
		if !m.Same {
			differ = append(differ, m.What+": "+m.Again)
		}
	}
	if len(differ) < 1 || !strings.HasPrefix(strings.Join(differ, "; "), "metrics: differ from epoch 2") &&
		!strings.Contains(strings.Join(differ, "; "), "weights") {
		t.Errorf("%q", differ)
	}
}

// TestReproduceRefuses: a run that is not finished, its own folder, and other data.
func TestReproduceRefuses(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	rec := must(run.Find(root, trained(t, root, tiny(true)).ID))(t)
	unfinished, other := rec, rec
	unfinished.Status = run.StatusInterrupted
	other.Env.Data.Fingerprint = "f"
	link := filepath.Join(t.TempDir(), "link")
	if os.Symlink(root, link) != nil {
		link = root
	}
	for want, do := range map[string]func() error{
		"only a finished run": func() error {
			_, err := Reproduce(ctx, unfinished, t.TempDir(), options(t, root))
			return err
		},
		"holds run " + rec.ID + " itself": func() error {
			_, err := Reproduce(ctx, rec, link, options(t, root))
			return err
		},
		"make the original data available again": func() error {
			_, err := Reproduce(ctx, other, t.TempDir(), options(t, root))
			return err
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if n := runsUnder(t, root); n != 1 {
		t.Errorf("%d runs, want the one that was there", n)
	}
}

// TestReproduceOlder: a run that an earlier version made is standardized as its record says, not as a new one.
func TestReproduceOlder(t *testing.T) {
	ctx, root, into := context.Background(), t.TempDir(), t.TempDir()
	cfg := tiny(true)
	cfg.Data.Name = data.SyntheticShapes
	rec := must(run.Find(root, trained(t, root, cfg).ID))(t)
	if len(rec.Env.Data.Mean) != 3 {
		t.Fatalf("%+v", rec.Env.Data)
	}
	rec.Env.Data.Mean, rec.Env.Data.Std = nil, nil // mlp took such images as they were
	again := must(run.Find(into, must(Reproduce(ctx, rec, into, options(t, root)))(t).ID))(t)
	if again.Env.Data.Mean != nil || again.Env.Data.Fingerprint != rec.Env.Data.Fingerprint {
		t.Errorf("%+v, want %+v", again.Env.Data, rec.Env.Data)
	}
	if again.Metrics[0] == rec.Metrics[0] {
		t.Error("the images were standardized")
	}
}

// TestReproduceAttacks: an evaluation finds the network, whose run is beside it, and comes out the same.
func TestReproduceAttacks(t *testing.T) {
	ctx, root, into := context.Background(), t.TempDir(), t.TempDir()
	cfg := tinyAttacks(t, root, true)
	all := must(Study(ctx, []Task{{Settings: cfg}}, options(t, root), func(int, Outcome) {}))(t)
	rec := must(run.Find(root, all[0].ID))(t)
	again := must(Reproduce(ctx, rec, into, options(t, root)))(t)
	sameBits(t, rec, must(run.Find(into, again.ID))(t))
}

// TestMissing: what a study lacks is told by settings, not by names.
func TestMissing(t *testing.T) {
	root := t.TempDir()
	var all []config.Resnet
	for seed := range uint64(3) {
		cfg := tiny(true)
		cfg.Seed = seed
		all = append(all, cfg)
	}
	faster := tiny(true)
	faster.Train.LR *= 2
	tasks := []Task{{Settings: all[0]}, {Settings: all[1]}, {Settings: faster}, {Settings: all[2], Reuse: true}}
	planned := PlannedOf(tasks, options(t, root))
	if len(planned) != 3 || planned[1].Seed != 1 || planned[1].Variant == "" {
		t.Fatalf("%+v", planned)
	}
	rec := must(run.Find(root, trained(t, root, all[0]).ID))(t)
	missing := Missing(planned, []run.Record{rec})
	if len(missing) != 2 || missing[0].Seed != 1 || missing[1].Seed != 0 {
		t.Errorf("%+v", missing)
	}
	if left := Missing(planned, nil); len(left) != 3 {
		t.Errorf("%+v", left)
	}
}
