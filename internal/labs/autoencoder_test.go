package labs

import (
	"bytes"
	"context"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// tinyAutoencoder is a training of moments over the encoder from.
func tinyAutoencoder(from string) config.Autoencoder {
	t := tiny(false)
	c := config.DefaultAutoencoder(t.Data.Name)
	c.Data.Limit, c.Train.Epochs, c.Train.BatchSize, c.Encoder.From = t.Data.Limit, 2, 32, from
	return c
}

// autoencode trains cfg's autoencoder; its result is nil where it was stopped.
func autoencode(ctx context.Context, t *testing.T, cfg config.Autoencoder, opt Options) (Outcome, *record.Autoencoder) {
	t.Helper()
	opt.loaded = options(t, "").loaded
	o, err := open(ctx, cfg, opt.begun(), func(job Job) (Outcome, error) { return Do(ctx, job, opt) })
	if err != nil {
		t.Fatal(err)
	}
	res, _ := o.Result.(*record.Autoencoder)
	return o, res
}

// testErrorOf is a's mean squared error on some images.
func testErrorOf(t *testing.T, a *Autoencoder, images data.Subset) float64 {
	t.Helper()
	r, err := a.Reconstructor(evalBatch)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := train.Evaluate(context.Background(), r, r.Batches(data.NewLoader(images, evalBatch, false, 0)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return stats.Loss()
}

// TestAutoencoder follows one from its encoder's run to its checkpoint: the record says what it reached and
// that the encoder is the classifier's to the bit, and what is loaded reconstructs the test set as the run did.
func TestAutoencoder(t *testing.T) {
	root := t.TempDir()
	encoder := trained(t, root, tiny(false))
	opt := options(t, root)
	cfg := tinyAutoencoder(encoder.ID)
	tr, res := autoencode(context.Background(), t, cfg, opt)
	if !tr.Done() || res == nil || tr.Variant != "ae-plain20-w4" || !strings.HasSuffix(tr.ID, "-ae-plain20-w4-s0") {
		t.Fatalf("%+v", tr)
	}
	e := res.Encoder
	expect(t, e, map[string]bool{
		"an unchanged encoder":         e.Unchanged,
		"the classifier's weights":     e.WeightsSHA256 == encoder.Result.WeightsSHA256,
		"the classifier's parameters":  e.Params == encoder.Result.Params,
		"the classifier as the source": e.Source == encoder.ID,
	})
	expect(t, res, map[string]bool{
		"the decoder's parameters":  res.Params == 9*16*64+64+9*64*32+32+9*32*3+3,
		"no accuracy":               math.IsNaN(res.Val.Accuracy),
		"96 test images":            res.Test.N == 96,
		"the error in its interval": res.Test.CI95[0] < res.Test.MSE && res.Test.MSE < res.Test.CI95[1],
	})
	if len(tr.Figures) != 5 {
		t.Errorf("figures %v, want two in two formats and their sources", tr.Figures)
	}

	// The record.
	rec, err := run.Find(root, tr.ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(tr.Dir, "result.json"))
	if err != nil || bytes.Contains(b, []byte("accuracy")) || rec.TestAccuracy != nil {
		t.Errorf("result %s, %v: an autoencoder has no accuracy", b, err)
	}
	sheet, err := rec.Attached(res.Examples.Pictures)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(sheet))
	if err != nil || img.Bounds().Dx() != 32*len(res.Examples.Images) || img.Bounds().Dy() != 3*32 ||
		len(res.Examples.Images) != 10 {
		t.Fatalf("pictures of %v, %d examples, %v", img.Bounds(), len(res.Examples.Images), err)
	}
	ds := set(t, cfg.Data.Name)
	first := -1
	for i, l := range ds.Test.Labels {
		if l == 0 && first < 0 {
			first = i
		}
	}
	if r, g, b, _ := img.At(3, 5).RGBA(); !bytes.Equal([]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)},
		ds.Test.Pixels[first*3072+(5*32+3)*3:][:3]) {
		t.Error("the first picture is not the first test image of the first class")
	}
	better := 0
	for i, e := range res.Examples.Images {
		if e.Class != ds.Test.Classes[i] {
			t.Errorf("example %d is of %s", i, e.Class)
		}
		if e.MSE < e.MSEBefore {
			better++
		}
	}
	if better < 9 {
		t.Errorf("training helped %d of 10 examples: %+v", better, res.Examples.Images)
	}

	// From the run, and from the checkpoint that ships: with the encoder's run gone.
	test := split(ds, cfg.Training()).test
	dir := filepath.Join(t.TempDir(), "autoencoder")
	c, err := Export(root, tr.ID, dir)
	if err != nil || c.TestMSE == nil {
		t.Fatalf("%+v, %v", c, err)
	}
	expect(t, c, map[string]bool{
		"the variant's name": c.Network == tr.Variant,
		"the run's error":    *c.TestMSE == res.Test.MSE,
		"no accuracy":        c.TestAccuracy == nil,
	})
	all, err := Checkpoints(filepath.Dir(dir))
	if err != nil || len(all) != 1 || all[0].TestMSE == nil {
		t.Fatalf("%+v, %v", all, err)
	}
	expect(t, all[0], map[string]bool{
		"a whole checkpoint": all[0].Broken == "",
		"the folder's name":  all[0].Name == "autoencoder",
		"the run's error":    *all[0].TestMSE == res.Test.MSE,
	})
	for from, root := range map[string]string{tr.ID: root, dir: t.TempDir()} {
		a, err := FindAutoencoder(root, from)
		if err != nil {
			t.Fatal(err)
		}
		if a.Source != from || a.Name != tr.Variant || a.Weights != res.WeightsSHA256 ||
			a.Encoder != encoder.Result.WeightsSHA256 {
			t.Errorf("%+v", a)
		}
		if got := testErrorOf(t, a, test); got != res.Test.MSE {
			t.Errorf("%s: a test error of %g, the run had %g", from, got, res.Test.MSE)
		}
	}

	// Asked for again, it is taken as it is; each kind is refused where the other is wanted.
	if again, its := autoencode(context.Background(), t, cfg, opt); !again.Reused || again.ID != tr.ID ||
		!reflect.DeepEqual(its.Examples, res.Examples) {
		t.Errorf("%+v was not reused: %+v", tr, again)
	}
	if _, err := FindNetwork(root, tr.ID); err == nil || !strings.Contains(err.Error(),
		tr.ID+" is an autoencoder, want a classifier") {
		t.Errorf("an autoencoder as a classifier: %v", err)
	}
	if _, err := FindAutoencoder(root, encoder.ID); err == nil ||
		!strings.Contains(err.Error(), `made by experiment "lab1/resnet"; want an autoencoder`) {
		t.Errorf("a classifier as an autoencoder: %v", err)
	}
}

// TestDamagedAutoencoders are errors that name the folder.
func TestDamagedAutoencoders(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "ae")
	tr, res := autoencode(context.Background(), t, tinyAutoencoder(trained(t, root, tiny(false)).ID), options(t, root))
	if _, err := Export(root, tr.ID, dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, modelName)
	f, err := weights.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{f.Tensors[0].Name, "decoder.conv2.weight"} { // of the encoder, of the decoder
		for i, x := range f.Tensors {
			if x.Name == name {
				old := x.Data[0]
				f.Tensors[i].Data[0] += 0.5
				if _, err := weights.Save(path, f.Tensors, nil); err != nil {
					t.Fatal(err)
				}
				f.Tensors[i].Data[0] = old
			}
		}
		if _, err := FindAutoencoder(root, dir); err == nil || !strings.Contains(err.Error(), dir) ||
			!strings.Contains(err.Error(), "weights are not those of the run's result") {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := weights.Save(path, f.Tensors[1:], nil); err != nil {
		t.Fatal(err)
	}
	if _, err := FindAutoencoder(root, dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a tensor too few: %v", err)
	}
	if _, err := weights.Save(path, f.Tensors, nil); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{"config.yaml": {"width: 4", "width: 8000"},
		"result.json": {res.Encoder.WeightsSHA256, "00"}, "env.json": {data.SyntheticShapes, "mnist"}} {
		good, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		bad := strings.Replace(string(good), edit[0], edit[1], 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(bad), 0o644); err != nil || bad == string(good) {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := FindAutoencoder(root, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("another %s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := FindAutoencoder(root, dir); err != nil {
		t.Errorf("put back as it was: %v", err)
	}
}

// TestAutoencoderRefuses encoders without images of features, of other data, or of other weights than wanted.
func TestAutoencoderRefuses(t *testing.T) {
	root := t.TempDir()
	mlp, cnn := trained(t, root, tiny(true)), trained(t, root, tiny(false))
	if _, err := FindEncoder(root, tinyAutoencoder(mlp.ID)); err == nil ||
		!strings.Contains(err.Error(), "makes vectors of images") ||
		!strings.Contains(err.Error(), "name a convolutional network") {
		t.Errorf("an MLP: %v", err)
	}
	small := config.DefaultFor("speedrun")
	small.Data.Name, small.Data.Limit, small.Model.Width, small.Train.Epochs = data.SyntheticShapes, 4, 1, 1
	if _, err := FindEncoder(root, tinyAutoencoder(trained(t, root, small).ID)); err == nil ||
		!strings.Contains(err.Error(), "features of 3x3 pixels do not become images of 32x32") ||
		!strings.Contains(err.Error(), "whose features are 1/2, 1/4 or 1/8 of the images' size") {
		t.Errorf("a network with features of 3x3: %v", err)
	}
	if _, err := FindEncoder(root, tinyAutoencoder("nobody")); err == nil ||
		!strings.Contains(err.Error(), `the encoder: "nobody" is neither a folder with a checkpoint`) {
		t.Errorf("nobody: %v", err)
	}
	cfg := tinyAutoencoder(cnn.ID)
	cfg.Encoder.Weights = "abc"
	if _, err := FindEncoder(root, cfg); err == nil || !strings.Contains(err.Error(), "want abc") {
		t.Errorf("other weights: %v", err)
	}
	cfg = tinyAutoencoder(cnn.ID)
	cfg.Encoder.Model = config.Model{Name: "resnet56", Res: true}
	if _, err := FindEncoder(root, cfg); err == nil || !strings.Contains(err.Error(), "encoder.model") {
		t.Errorf("another network: %v", err)
	}
	cfg = tinyAutoencoder(cnn.ID)
	cfg.Data.Name = data.SyntheticDigits
	if _, err := Study(context.Background(), []Task{{Settings: cfg}}, options(t, root), nil); err == nil ||
		!strings.Contains(err.Error(), "train both on the same data") {
		t.Errorf("other data: %v", err)
	}
}

// TestResumedAutoencoder: interrupted in training or in its test and resumed as a run, it ends in the bits
// of one that never was, examples before training included.
func TestResumedAutoencoder(t *testing.T) {
	root := t.TempDir()
	encoder := trained(t, root, tiny(false))
	opt := options(t, root)
	opt.Resume = false
	cfg := tinyAutoencoder(encoder.ID)
	whole, wholeRes := autoencode(context.Background(), t, cfg, opt)
	for _, stop := range []int{2, 9} { // steps and evaluation steps: the last is of the test
		ctx, cancel := context.WithCancel(context.Background())
		n := 0
		stopping := opt
		stopping.Sink = func(e train.Event) {
			if e.Kind == train.Step || e.Kind == train.EvalStep {
				if n++; n == stop {
					cancel()
				}
			}
		}
		tr, res := autoencode(ctx, t, cfg, stopping)
		cancel()
		if tr.Reason != train.Interrupted || res != nil {
			t.Fatalf("stopped at %d: %+v", stop, tr)
		}
		got, err := Resume(context.Background(), tr.ID, opt)
		if err != nil || got.ID != tr.ID {
			t.Fatal(got, err)
		}
		a, b := *got.Result.(*record.Autoencoder), *wholeRes
		a.WallSeconds, b.WallSeconds = 0, 0
		a.Val.Accuracy, a.LastVal.Accuracy, b.Val.Accuracy, b.LastVal.Accuracy = 0, 0, 0, 0 // NaN
		if !reflect.DeepEqual(a, b) {
			t.Errorf("stopped at %d and resumed: %+v, want %+v", stop, a, b)
		}
		for _, name := range []string{"metrics.jsonl", reconstructionsName} {
			x, errX := os.ReadFile(filepath.Join(whole.Dir, name))
			y, errY := os.ReadFile(filepath.Join(got.Dir, name))
			if errX != nil || errY != nil || !bytes.Equal(x, y) {
				t.Errorf("stopped at %d and resumed: another %s", stop, name)
			}
		}
	}
	// Where the encoder is not what it was, the run does not go on.
	stopping := opt
	stopping.MaxTime = 1
	tr, _ := autoencode(context.Background(), t, cfg, stopping)
	if err := run.Remove(root, encoder.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(context.Background(), tr.ID, options(t, root)); err == nil ||
		!strings.Contains(err.Error(), "the encoder: ") {
		t.Errorf("without its encoder: %v", err)
	}
}

// TestErrorInterval: within what a squared error can be, and of a single image that whole range: a record cannot
// hold what is no number.
func TestErrorInterval(t *testing.T) {
	for want, all := range map[[2]float64][]float64{
		{0, 1}:       {0.25},
		{0.25, 0.25}: {0.25, 0.25, 0.25},
	} {
		if got := errorInterval(all); got != want {
			t.Errorf("%v: %v, want %v", all, got, want)
		}
	}
	if got := errorInterval([]float64{0, 0.9}); got[0] != 0 || got[1] != 1 {
		t.Errorf("%v leaves [0,1]", got)
	}
	if got := errorInterval([]float64{0.1, 0.2, 0.1, 0.2}); math.Abs(got[0]-0.15+1.959964*0.0577350269/2) > 1e-9 ||
		math.Abs(got[0]+got[1]-0.3) > 1e-12 {
		t.Errorf("%v", got)
	}
}
