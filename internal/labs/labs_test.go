package labs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// options are those of a test: runs go under root, nothing is shown.
func options(t *testing.T, root string) Options {
	t.Helper()
	say := func(string, ...any) {}
	drawn := &loaded{all: map[string]any{}}
	for name, ds := range sets {
		drawn.all["images "+name] = ds
	}
	return Options{Root: root, Resume: true, Sink: func(train.Event) {}, Say: say, Data: data.Options{Say: say},
		loaded: drawn}
}

// tiny is a training of moments, of a residual CNN with running statistics or of an MLP.
func tiny(mlp bool) config.Resnet {
	c := config.DefaultFor("resnet20")
	c.Data.Name, c.Model.Width = data.SyntheticShapes, 4
	if mlp {
		c = config.DefaultFor("mlp")
		c.Data.Name, c.Model.Depth, c.Model.Width = data.SyntheticDigits, 2, 8
	}
	c.Data.Limit, c.Train.Epochs, c.Train.BatchSize = 96, 2, 32
	return c
}

// expect names those of conditions that do not hold of got.
func expect(t *testing.T, got any, conditions map[string]bool) {
	t.Helper()
	for what, holds := range conditions {
		if !holds {
			t.Errorf("want %s; got %+v", what, got)
		}
	}
}

// sets are drawn once for all tests.
var sets = map[string]*data.Dataset{}

func TestMain(m *testing.M) {
	for _, name := range []string{data.SyntheticShapes, data.SyntheticDigits} {
		ds, err := data.Load(context.Background(), name, data.Options{})
		if err != nil {
			panic(err)
		}
		sets[name] = ds
	}
	os.Exit(m.Run())
}

func set(t *testing.T, name string) *data.Dataset {
	t.Helper()
	return sets[name]
}

// trainedRun is what a training came to.
type trainedRun struct {
	Outcome
	Config config.Resnet
	Result record.Classifier
}

// done is o as a classifier's run of the settings cfg.
func done(o Outcome, cfg config.Resnet) trainedRun {
	tr := trainedRun{Outcome: o, Config: cfg}
	if res, ok := o.Result.(*record.Classifier); ok {
		tr.Result = *res
	}
	return tr
}

// trainOn trains the network of cfg on ds.
func trainOn(ctx context.Context, ds *data.Dataset, cfg config.Resnet, opt Options) (trainedRun, error) {
	opt = opt.begun()
	job, err := resnetOn(ds, cfg, opt)
	if err != nil {
		return trainedRun{}, err
	}
	o, err := Do(ctx, job, opt)
	return done(o, cfg), err
}

func trained(t *testing.T, root string, cfg config.Resnet) trainedRun {
	t.Helper()
	tr, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestRunsSayWhereTestImagesWerePublished: beside the predictions of a set in another order lies a row for each
// of them; of a set in the published order, or of a drawn one, nothing.
func TestRunsSayWhereTestImagesWerePublished(t *testing.T) {
	drawn := set(t, data.SyntheticShapes)
	ds := *drawn
	test := *drawn.Test
	ds.Test, test.Published = &test, make([]int32, test.N)
	for i := range test.Published {
		test.Published[i] = int32(test.N - 1 - i)
	}
	cfg, root := tiny(false), t.TempDir()
	cfg.Train.Epochs = 1
	tr, err := trainOn(context.Background(), &ds, cfg, options(t, root))
	if err != nil || tr.Result.TestIndex == nil {
		t.Fatalf("%+v, %v", tr.Result, err)
	}
	rec, err := run.Find(root, tr.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := rec.Attached(*tr.Result.TestIndex)
	lines := strings.Split(strings.TrimSuffix(string(rows), "\n"), "\n")
	want := fmt.Sprintf("95,%d,%d", test.Labels[95], test.N-96)
	if err != nil || len(lines) != 97 || lines[0] != "index,label,published" || lines[96] != want {
		t.Errorf("%d lines, the last %q, want %q; %v", len(lines), lines[len(lines)-1], want, err)
	}
	predictions, err := rec.Attached(tr.Result.Predictions)
	if err != nil || len(predictions) != len(lines)-1 {
		t.Errorf("%d predictions, %v", len(predictions), err)
	}
	if tr := trained(t, t.TempDir(), cfg); tr.Result.TestIndex != nil {
		t.Errorf("drawn images were published: %+v", tr.Result.TestIndex)
	}
}

func bytesOf(p metrics.Predictions) []byte {
	b, _ := p.Bytes()
	return b
}

// TestExportedCheckpointIsTheRun: with its weights, running statistics and record, it scores the test
// set as the run did, to the last image.
func TestExportedCheckpointIsTheRun(t *testing.T) {
	for _, mlp := range []bool{false, true} {
		root, dir := t.TempDir(), filepath.Join(t.TempDir(), "deep", "lab1-teacher")
		tr := trained(t, root, tiny(mlp))
		for range 2 { // what is there already is replaced
			if _, err := Export(root, tr.ID[:8], dir); err != nil {
				t.Fatal(err)
			}
		}
		n, err := FindNetwork(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != tr.Variant || n.Weights != tr.Result.WeightsSHA256 || n.Data.Name != tr.Config.Data.Name ||
			n.Source != dir {
			t.Errorf("%+v of %+v", n, tr)
		}
		ds := set(t, tr.Config.Data.Name)
		s, err := n.Scorer(evalBatch)
		if err != nil {
			t.Fatal(err)
		}
		res, predictions, err := testOnce(context.Background(), s, split(ds, tr.Config.Training()).test, nil)
		if err != nil || res != tr.Result.Test {
			t.Errorf("%+v, want %+v (%v)", res, tr.Result.Test, err)
		}
		rec, err := run.Find(root, tr.ID)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := rec.Attached(tr.Result.Predictions); err != nil || !bytes.Equal(kept, bytesOf(predictions)) {
			t.Errorf("other predictions than the run kept (%v)", err)
		}
		if predictions.Correct() != res.Correct {
			t.Errorf("%d predictions are right, the result says %d", predictions.Correct(), res.Correct)
		}
	}
}

func TestExportRefuses(t *testing.T) {
	root := t.TempDir()
	id := trained(t, root, tiny(true)).ID
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "thesis.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string][2]string{
		"holds more than a checkpoint": {id, other},
		"there is no run":              {"nobody", filepath.Join(t.TempDir(), "x")},
		"not a directory":              {id, filepath.Join(other, "thesis.txt", "x")},
	} {
		if _, err := Export(root, c[0], c[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := FindNetwork(root, other); err == nil || !strings.Contains(err.Error(),
		"dla models export RUN_ID "+other) {
		t.Errorf("a folder of something else: %v", err)
	}
}

// TestDamagedCheckpoints are errors that name the folder, whatever of it was cut, changed or exchanged.
func TestDamagedCheckpoints(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	one := trained(t, root, tiny(true))
	small := filepath.Join(dir, "small")
	if _, err := Export(root, one.ID, small); err != nil {
		t.Fatal(err)
	}
	bad := func(what, name string, content []byte) {
		t.Helper()
		path := filepath.Join(small, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCheckpoint(small); err == nil || !strings.Contains(err.Error(), small) {
			t.Errorf("%s of %s: error %v", what, name, err)
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append([]string{modelName}, recordFiles...) {
		b, err := os.ReadFile(filepath.Join(small, name))
		if err != nil {
			t.Fatal(err)
		}
		bad("nothing", name, nil)
		bad("half", name, b[:len(b)/2])
		bad("noise", name, []byte{0xff, 0, 0x13, 'x'})
	}
	b, err := os.ReadFile(filepath.Join(small, modelName))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(b)
	flipped[len(b)-5] ^= 1
	bad("a flipped bit", modelName, flipped)

	cfg, err := os.ReadFile(filepath.Join(small, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{"depth: 2", "depth: 3"}, {"width: 8", "width: 16000"}, {"name: mlp", "name: mlq"},
		{"name: mlp", "name: small"}, {"depth: 2", "depths: 2"}, {"experiment: lab1/resnet", "experiment: lab9"}} {
		bad(edit[1], "config.yaml", []byte(strings.Replace(string(cfg), edit[0], edit[1], 1)))
	}
	env, err := os.ReadFile(filepath.Join(small, "env.json"))
	if err != nil {
		t.Fatal(err)
	}
	bad("another data set", "env.json", []byte(strings.Replace(string(env), data.SyntheticDigits, "cifar10", 1)))
	bad("no data set", "env.json", []byte(strings.Replace(string(env), data.SyntheticDigits, "imagenet", 1)))
	bad("another experiment", "env.json", []byte(strings.Replace(string(env), "lab1/resnet", "lab9/dream", 1)))

	f, err := weights.Load(filepath.Join(small, modelName), "")
	if err != nil {
		t.Fatal(err)
	}
	for what, ts := range map[string][]weights.Tensor{
		"a tensor too few": f.Tensors[1:],
		"one too many":     append([]weights.Tensor{{Name: "more", Shape: []int{1}, Data: []float32{1}}}, f.Tensors...),
		"none":             nil,
		"one of other shape": append([]weights.Tensor{{Name: f.Tensors[0].Name, Shape: []int{1, len(f.Tensors[0].Data)},
			Data: f.Tensors[0].Data}}, f.Tensors[1:]...),
	} {
		path := filepath.Join(t.TempDir(), modelName)
		if _, err := weights.Save(path, ts, nil); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad(what, modelName, b)
	}
	if _, err := LoadCheckpoint(small); err != nil {
		t.Errorf("put back as it was: %v", err)
	}

	// In a listing a damaged one stands beside the good one.
	if err := os.Mkdir(filepath.Join(dir, "broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := Checkpoints(dir)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	expect(t, all, map[string]bool{
		"the first to be broken":   all[0].Broken != "",
		"the second not to be":     all[1].Broken == "",
		"the second to be the MLP": strings.HasPrefix(all[1].Network, "mlp-d2-"),
	})
	// One that is linked is listed too, and so is a link that leads nowhere.
	for name, target := range map[string]string{"linked": small, "lost": filepath.Join(dir, "nowhere")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("this system lets nobody make a symbolic link: %v", err)
		}
	}
	names := map[string]bool{} // and whether they can be loaded
	if all, err = Checkpoints(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		names[c.Name] = c.Broken == ""
	}
	if lost, ok := names["lost"]; len(all) != 4 || !names["linked"] || !ok || lost {
		t.Errorf("with links: %+v", all)
	}
	if all, err := Checkpoints(filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Errorf("no folder: %v, %v", all, err)
	}
}

// TestRunOfAnOlderVersionIsReused: its record lacks the settings that have come since.
func TestRunOfAnOlderVersionIsReused(t *testing.T) {
	root := t.TempDir()
	first := trained(t, root, tiny(true))
	path := filepath.Join(first.Dir, "config.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^ +(copies|grad_norms|conv): .*\n`).ReplaceAll(b, nil)
	if len(old) == len(b) {
		t.Fatal("nothing was taken out")
	}
	if err := os.WriteFile(path, old, 0o644); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(filepath.Join(first.Dir, "env.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(first.Dir, "env.json"),
		bytes.Replace(env, []byte(config.Hash(b)), []byte(config.Hash(old)), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(first.Dir, "status.json"), []byte(`{"status": "finished"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := trained(t, root, tiny(true)); !again.Reused || again.ID != first.ID {
		t.Errorf("%+v was not reused: %+v", first, again)
	}
	other := tiny(true)
	other.Train.GradNorms = true
	again := trained(t, root, other)
	if again.Reused {
		t.Error("a run without gradient norms was taken for one with them")
	}
	rec, err := run.Find(root, again.ID)
	if err != nil || again.Result.GradNorms == nil {
		t.Fatalf("no gradient norms: %+v, %v", again.Result, err)
	}
	if lines, err := rec.Attached(*again.Result.GradNorms); err != nil ||
		bytes.Count(lines, []byte("\n")) != other.Train.Epochs || !bytes.Contains(lines, []byte(`"stem.weight"`)) {
		t.Errorf("gradient norms %s, %v", lines, err)
	}
	if again.Result.WeightsSHA256 != first.Result.WeightsSHA256 {
		t.Error("measuring gradients changed the training")
	}
}
