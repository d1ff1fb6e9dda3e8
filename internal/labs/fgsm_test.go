package labs

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/npz"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// tinyAttacks are those on a network of moments, whose checkpoint they name.
func tinyAttacks(t *testing.T, root string, mlp bool) config.FGSM {
	t.Helper()
	c := config.DefaultFGSM()
	c.Checkpoints = []string{trained(t, root, tiny(mlp)).ID}
	c.Limit = 60
	c.Sweep.Eps = []float64{0, 1, 8, 64}
	c.PGD = config.PGD{Eps: []float64{1, 8}, EpsTargeted: []float64{8}, EpsL2: []float64{0.5}, Steps: 4, Restarts: 2}
	c.Square = config.Square{Eps: 8, Queries: 10, Images: 20}
	return c
}

// networksAndData are the networks of c and their data, which is drawn once for all tests.
func networksAndData(t *testing.T, root string, c *config.FGSM) ([]*Network, *data.Dataset) {
	t.Helper()
	nets, err := networksOf(c, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	return nets, set(t, nets[0].Data.Name)
}

// attackedRun is what attacks came to.
type attackedRun struct {
	Outcome
	Result record.Attacks
}

// attackOn attacks them.
func attackOn(ctx context.Context, t *testing.T, root string, c config.FGSM, opt Options) (attackedRun, error) {
	t.Helper()
	nets, ds := networksAndData(t, root, &c)
	job, err := attackJobOn(nets, ds, c)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Do(ctx, job, opt)
	a := attackedRun{Outcome: o}
	if o.Done() {
		a.Result = *o.Result.(*record.Attacks)
	}
	return a, err
}

// targetFor is the network of c on its test images.
func targetFor(t *testing.T, root string, c config.FGSM) *target {
	t.Helper()
	nets, ds := networksAndData(t, root, &c)
	v, err := newTarget(nets[0], firstImages(ds, c.Limit))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestFGSMRecord: of colour and of grey images: what the record says is so, what its examples show is what
// the network says to these very bytes, and asked again it is found.
func TestFGSMRecord(t *testing.T) {
	for _, mlp := range []bool{false, true} {
		root := t.TempDir()
		cfg := tinyAttacks(t, root, mlp)
		a, err := attackOn(context.Background(), t, root, cfg, options(t, root))
		if err != nil {
			t.Fatal(err)
		}
		res := a.Result
		expect(t, a, map[string]bool{
			"an end":                   a.Done(),
			"each attack at its radii": len(res.Attacks) == 3*4+4+1,
			"60 test images":           res.Test.N == 60,
			"figures":                  len(a.Figures) > 0,
			"self-checks":              len(res.Checks) > 0,
		})
		for _, o := range res.Attacks {
			if n := map[bool]int{true: 20, false: 60}[o.Attack == "square"]; o.N != n || o.Eps == 0 &&
				o.Correct != res.Test.Correct || o.MaxChange > o.Radius() {
				t.Errorf("%+v", o)
			}
		}
		rec, err := run.Find(root, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := rec.Attached(res.Examples)
		if err != nil {
			t.Fatal(err)
		}
		var shown []attack.Example
		if err := json.Unmarshal(text, &shown); err != nil {
			t.Fatal(err)
		}
		v := targetFor(t, root, cfg)
		kinds := 0
		for _, e := range shown {
			for _, half := range []struct {
				px   []byte
				says attack.Prediction
			}{{e.Image, e.Before}, {e.Changed, e.After}} {
				x := make([]float32, len(half.px))
				for i, b := range half.px {
					x[i] = float32(b) / 255
				}
				logits, err := v.graph.Logits(x)
				if err != nil {
					t.Fatal(err)
				}
				if class, p := attack.Top(logits); class != half.says.Class || math.Abs(p-half.says.P) > 1e-6 {
					t.Errorf("image %d: %d with %g, the record says %+v", e.Index, class, p, half.says)
				}
			}
			if e.Before.Class != int(e.Label) || e.Targeted == (e.Goal == e.Label) {
				t.Errorf("image %d is shown as %+v", e.Index, e)
			}
			if e.Targeted {
				kinds++
			}
		}
		if len(shown) > 10 || kinds > 5 || len(shown) == 0 {
			t.Errorf("%d examples, %d of them targeted", len(shown), kinds)
		}
		again, err := attackOn(context.Background(), t, root, cfg, options(t, root))
		if err != nil || !again.Reused || again.ID != a.ID {
			t.Errorf("asked again: %+v, %v", again, err)
		}
		cfg.Weights = []string{"0123"}
		if _, err := Study(context.Background(), []Task{{Settings: cfg}}, options(t, root), nil); err == nil ||
			!strings.Contains(err.Error(), "want 0123") {
			t.Errorf("other weights than wanted: %v", err)
		}
	}
}

// TestFGSMGoesOn: a run that was interrupted leaves a record that says so; asked again with Resume it goes on
// after the attacks it has made, to the result of a run that was not.
func TestFGSMGoesOn(t *testing.T) {
	root := t.TempDir()
	cfg := tinyAttacks(t, root, true)
	whole, err := attackOn(context.Background(), t, root, cfg, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opt := options(t, root)
	opt.Resume = false
	opt.Sink = func(e train.Event) {
		if strings.HasPrefix(e.Message, "pgd, targeted") {
			cancel()
		}
	}
	a, err := attackOn(ctx, t, root, cfg, opt)
	if err != nil || a.Done() || a.Reason != train.Interrupted {
		t.Fatalf("%+v, %v", a, err)
	}
	rec, err := run.Find(root, a.ID)
	if err != nil || rec.Status != run.StatusInterrupted {
		t.Errorf("%s, %v", rec.Status, err)
	}
	failed, err := run.Resume(root, a.ID, opt.Env, false) // one that failed goes on as well
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(failed.SetStatus(run.StatusFailed, "full disk"), failed.Close()); err != nil {
		t.Fatal(err)
	}
	if err := run.Remove(root, whole.ID); err != nil { // or it would be taken
		t.Fatal(err)
	}
	var made []string
	opt.Resume = true
	opt.Sink = func(e train.Event) {
		if e.Message != "" {
			made = append(made, e.Message)
		}
	}
	o, err := Resume(context.Background(), a.ID, opt) // by its id, as a training
	if err != nil || !o.Done() || o.ID != a.ID || o.Reused {
		t.Fatalf("%+v, %v", o, err)
	}
	b := attackedRun{o, *o.Result.(*record.Attacks)}
	if want := []string{"pgd, targeted, 8/255", "pgd, L2 0.5", "square", "examples", "examples"}; !slices.Equal(made,
		want) {
		t.Errorf("made %v, want %v", made, want)
	}
	for _, r := range []*record.Attacks{&whole.Result, &b.Result} {
		r.WallSeconds = 0
		for i, o := range r.Attacks {
			text, err := json.Marshal(o) // what a record holds of it
			if err != nil {
				t.Fatal(err)
			}
			r.Attacks[i] = attack.Outcome{}
			if err := json.Unmarshal(text, &r.Attacks[i]); err != nil {
				t.Fatal(err)
			}
			r.Attacks[i].Seconds = 0
		}
	}
	if !reflect.DeepEqual(whole.Result, b.Result) {
		t.Errorf("in one piece %+v\nin two %+v", whole.Result, b.Result)
	}
	if _, err := os.Stat(filepath.Join(b.Dir, madeName)); err == nil {
		t.Error("what is kept of a run under way is left in a finished one")
	}
}

// TestAttackChecksCanFail: each by a result in which just that is not so.
func TestAttackChecksCanFail(t *testing.T) {
	root := t.TempDir()
	v := targetFor(t, root, tinyAttacks(t, root, true))
	at := func(kind string, eps, accuracy float64) attack.Outcome {
		return attack.Outcome{Attack: kind, Norm: attack.Linf, Eps: eps, N: 10000, Correct: int(10000 * accuracy),
			Accuracy: accuracy, Rounded: accuracy,
			MaxChange: eps / 255, MinValue: 0, MaxValue: 1}
	}
	good := func() record.Attacks {
		return record.Attacks{Test: record.Test{N: 10000, Correct: 9000, Accuracy: 0.9}, Weights: v.net.Weights,
			Classes: make([]string, 10), Attacks: []attack.Outcome{
				at("fgsm", 0, 0.9), at("fgsm", 1, 0.4), at("fgsm", 8, 0.02), at("fgsm", 128, 0.1), // back up to chance, not beyond
				at("noise", 0, 0.9), at("noise", 1, 0.89), at("noise", 8, 0.8), at("noise", 128, 0.2), at("pgd", 1, 0.3), at("pgd",
					8, 0)}}
	}
	const steps = 20
	failed := func(r record.Attacks, steps int) (names, idle []string) {
		all, err := attackChecks(context.Background(), v, r, steps)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Failed() {
				names = append(names, c.What)
			}
			if c.NotApplicable {
				idle = append(idle, c.What)
			}
		}
		if len(all) != 9 {
			t.Errorf("%d checks", len(all))
		}
		return names, idle
	}
	if names, idle := failed(good(), steps); len(names)+len(idle) > 0 {
		t.Errorf("of a good result these fail: %v; and these do not apply: %v", names, idle)
	}
	for want, spoil := range map[string]func(*record.Attacks){
		"epsilon 0 changes nothing":        func(r *record.Attacks) { r.Attacks[4].Correct-- },
		"no change is larger than epsilon": func(r *record.Attacks) { r.Attacks[9].MaxChange *= 1.0000001 },
		"pixels stay within [0, 1]":        func(r *record.Attacks) { r.Attacks[2].MinValue = -1e-9 },
		"PGD is no weaker than FGSM":       func(r *record.Attacks) { r.Attacks[8].Correct = 4020 },
		"accuracy falls with epsilon until it is at chance": func(r *record.Attacks) {
			r.Attacks[9].Accuracy,
				r.Attacks[9].Rounded = 0.5, 0.5
		},
		"a large epsilon takes most of what there is to lose":       func(r *record.Attacks) { r.Attacks[3].Accuracy = 0.5 },
		"random noise of the same size is much weaker":              func(r *record.Attacks) { r.Attacks[5].Accuracy = 0.5 },
		"rounding to 8 bits does not undo an attack":                func(r *record.Attacks) { r.Attacks[8].Rounded = 0.6 },
		"weights and running statistics are unchanged, bit for bit": func(r *record.Attacks) { r.Weights = "other" },
	} {
		r := good()
		spoil(&r)
		if names, _ := failed(r, steps); !slices.Equal(names, []string{want}) {
			t.Errorf("%s: failed are %v", want, names)
		}
	}

	// What was asked for may lack what a check is of, and a network may withstand what was asked for.
	const large, falls, weaker, noise, rounding = "a large epsilon takes most of what there is to lose", "accuracy falls with epsilon until it is at chance",
		"PGD is no weaker than FGSM", "random noise of the same size is much weaker", "rounding to 8 bits does not undo an attack"
	for name, c := range map[string]struct {
		steps   int
		attacks []attack.Outcome
		idle    []string
	}{
		"small radii": {steps, []attack.Outcome{at("fgsm", 0, 0.9), at("fgsm", 1, 0.6), at("fgsm", 2, 0.23),
			at("noise", 0, 0.9), at("noise", 1, 0.9), at("noise", 2, 0.9),
			at("pgd", 1, 0.5), at("pgd", 2, 0.1)}, []string{large}},
		"small radii, and a robust network": {steps, []attack.Outcome{at("fgsm", 0, 0.9), at("fgsm", 8, 0.85),
			at("noise", 0, 0.9), at("noise", 8, 0.9), at("pgd", 8, 0.8)},
			[]string{falls, large, noise}},
		"a network trained on FGSM, and fooled by PGD": {steps,
			[]attack.Outcome{at("fgsm", 0, 0.9), at("fgsm", 4, 0.5), at("fgsm", 8, 0.8), at("fgsm", 128, 0.25),
				at("noise", 0, 0.9), at("noise", 4, 0.9), at("noise", 8, 0.9), at("noise", 128, 0.2), at("pgd", 4, 0.1), at("pgd",
					8,
					0)}, []string{noise}},
		"a coarse sweep": {steps, []attack.Outcome{at("fgsm", 0, 0.9), at("fgsm", 128, 0.1), at("noise", 0, 0.9),
			at("noise", 128, 0.1)}, []string{weaker, falls, noise}},
		"parts of a level": {steps, []attack.Outcome{at("fgsm", 0, 0.9),
			{Attack: "fgsm", Norm: attack.Linf, Eps: 1.5, Correct: 2000, Accuracy: 0.2, Rounded: 0.5, MaxValue: 1},
			at("noise", 0, 0.9), at("noise", 1.5, 0.9)}, []string{weaker, falls, large, noise, rounding}},
		"PGD of a step": {1, []attack.Outcome{at("fgsm", 0, 0.9), at("fgsm", 1, 0.4), at("noise", 0, 0.9),
			at("noise", 1, 0.9), at("pgd", 1, 0.5)}, []string{weaker, falls, large}},
	} {
		r := good()
		r.Attacks = c.attacks
		if names, idle := failed(r, c.steps); len(names) > 0 || !slices.Equal(idle, c.idle) {
			t.Errorf("%s: failed are %v; %v do not apply, want %v", name, names, idle, c.idle)
		}
	}
}

func TestTargets(t *testing.T) {
	classes := []string{"a", "b", "c", "d"}
	random, err := targets(config.RandomTarget, classes, 7)
	if err != nil {
		t.Fatal(err)
	}
	count := [4][4]int{}
	for i := range int32(4000) {
		count[i%4][random(i, i%4)]++
	}
	for label, row := range count {
		for class, n := range row {
			if (label == class) != (n == 0) || label != class && (n < 270 || n > 400) {
				t.Errorf("of 1000 images of class %d, %d aim at %d", label, n, class)
			}
		}
	}
	named, err := targets("c", classes, 7)
	if err != nil || named(3, 1) != 2 {
		t.Errorf("a named target class: %v", err)
	}
}

// TestSavedSetIsWhatTheAttackLeft: evaluated again by the network it was made for, an adversarial set gives
// the accuracy that was measured when it was made, to the last image; in both forms.
func TestSavedSetIsWhatTheAttackLeft(t *testing.T) {
	root := t.TempDir()
	cfg := tinyAttacks(t, root, false)
	ctx := context.Background()
	for as, kind := range map[string]string{AsImages: "fgsm", AsSafetensors: "pgd-l2", AsNPZ: "fgsm"} {
		dir := filepath.Join(t.TempDir(), "a", "set")
		nets, ds := networksAndData(t, root, &cfg)
		s, err := saveOn(ctx, nets[0], ds, cfg, kind, 0.7, dir, as, options(t, root))
		if err != nil {
			t.Fatal(err)
		}
		all, err := evaluateOn(ctx, nets, ds, dir, options(t, root))
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		want := s.Accuracy
		if as == AsImages {
			want = s.Rounded
		}
		if all[0].N != 60 || all[0].Accuracy != want {
			t.Errorf("%s: %+v, want an accuracy of %g", as, all[0], want)
		}
		if as == AsNPZ {
			arrays := must(npz.ReadFile(filepath.Join(dir, adversarialNPZ), 1<<30))(t)
			correct, labels := 0, arrays[1].Data.([]int32)
			for i, z := range slices.Collect(slices.Chunk(arrays[3].Data.([]float32), 10)) {
				if top, _ := attack.Top(z); top == int(labels[i]) {
					correct++
				}
			}
			if correct != s.Correct || !slices.Equal(arrays[0].Shape, []int{60, 32, 32, 3}) ||
				arrays[2].Data.([]int32)[59] != 59 {
				t.Errorf("by their logits %d images are right, want %d; index %v", correct, s.Correct, arrays[2].Data)
			}
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".dla-*")); err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
		if _, err := Save(ctx, cfg, kind, 0.7, dir, as, options(t, root)); err == nil {
			t.Errorf("%s: a set was overwritten", as)
		}
	}
	grey := tinyAttacks(t, root, true)
	greys, digits := networksAndData(t, root, &grey)
	folder := filepath.Join(t.TempDir(), "x")
	s, err := saveOn(ctx, greys[0], digits, grey, "fgsm", 8, folder, AsImages, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := evaluateOn(ctx, greys, digits, folder, options(t, root)); err != nil || all[0].Accuracy != s.Rounded {
		t.Errorf("grey images as a folder: %+v, %v, want an accuracy of %g", all, err, s.Rounded)
	}
	dir := filepath.Join(t.TempDir(), "grey")
	if _, err := saveOn(ctx, greys[0], digits, grey, "noise", 8, dir, AsSafetensors, options(t, root)); err != nil {
		t.Error(err)
	}
	nets, ds := networksAndData(t, root, &cfg)
	if _, err := evaluateOn(ctx, nets, ds, dir, options(t, root)); err == nil ||
		!strings.Contains(err.Error(), "images have the shape [60 28 28 1], want [60 32 32 3]") {
		t.Errorf("a set of other images: %v", err)
	}
}

// TestReadTensorsRefuses what would be no images of the classes.
func TestReadTensorsRefuses(t *testing.T) {
	root := t.TempDir()
	v := targetFor(t, root, tinyAttacks(t, root, true))
	px := 28 * 28
	for want, spoil := range map[string]func(x, y []float32) []weights.Tensor{
		"images have the shape []": func(_, y []float32) []weights.Tensor {
			return []weights.Tensor{{Name: "labels", Shape: []int{2}, Data: y}}
		},
		"want [0 28 28 1]": func(x, _ []float32) []weights.Tensor {
			return []weights.Tensor{{Name: "images", Shape: []int{2, 28, 28, 1}, Data: x}}
		},
		"value 5 of its images is NaN": func(x, y []float32) []weights.Tensor {
			x[5] = float32(math.NaN())
			return nil
		},
		"value 0 of its images is -0.1": func(x, y []float32) []weights.Tensor { x[0] = -0.1; return nil },
		"label 1 is 10":                 func(_, y []float32) []weights.Tensor { y[1] = 10; return nil },
		"label 1 is 0.5":                func(_, y []float32) []weights.Tensor { y[1] = 0.5; return nil },
	} {
		x, y := make([]float32, 2*px), make([]float32, 2)
		ts := spoil(x, y)
		if ts == nil {
			ts = []weights.Tensor{{Name: "images", Shape: []int{2, 28, 28, 1}, Data: x},
				{Name: "labels", Shape: []int{2}, Data: y}}
		}
		path := filepath.Join(t.TempDir(), "set.safetensors")
		if _, err := weights.Save(path, ts, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readTensors(path, v.net.Images); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "x.safetensors"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readTensors(filepath.Join(root, "x.safetensors"), v.net.Images); err == nil {
		t.Error("a broken file was read")
	}
}
