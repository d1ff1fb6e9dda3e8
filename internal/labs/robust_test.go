package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// tinyRobust fine-tunes the network of the run from on a few images, with noise as outliers.
func tinyRobust(from string) config.Robust {
	c := config.DefaultRobust(false)
	c.Seed, c.Original.From, c.Data.Limit = 3, from, 96
	c.Train.Epochs, c.Train.BatchSize = 2, 32
	c.Outliers.Noise = 40
	c.Test.Sets.Names, c.Test.Sets.Fake = []string{"fake"}, 50
	c.Test.Eps, c.Test.PGD, c.Test.Steps, c.Test.Resamples = []float64{2, 8}, 40, 3, 50
	return c
}

// runRobust runs cfg on data that is drawn once for all tests.
func runRobust(ctx context.Context, t *testing.T, cfg config.Robust, opt Options) (trainedRun, error) {
	t.Helper()
	opt.loaded = options(t, "").loaded
	o, err := open(ctx, cfg, opt.begun(), func(job Job) (Outcome, error) { return Do(ctx, job, opt) })
	tr := done(o, config.Resnet{})
	if err == nil && o.ID != "" {
		rec, findErr := run.Find(opt.Root, o.ID)
		if findErr != nil {
			t.Fatal(findErr)
		}
		c := must(settingsOf[config.Robust](rec))(t)
		tr.Config = config.Resnet{Experiment: ResnetExperiment, Seed: c.Seed, Data: c.Data, Model: c.Model, Train: c.Train}
	}
	return tr, err
}

// robustRun is the run of cfg.
func robustRun(t *testing.T, root string, cfg config.Robust) trainedRun {
	t.Helper()
	tr, err := runRobust(context.Background(), t, cfg, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// writeImages writes images of s as PNG files below dir, in folders by class.
func writeImages(t *testing.T, dir string, s *data.Set, index ...int) string {
	t.Helper()
	for _, i := range index {
		img := image.NewRGBA(image.Rect(0, 0, s.W, s.H))
		for p := range s.W * s.H {
			copy(img.Pix[4*p:], append(slices.Clone(s.Pixels[(i*s.W*s.H+p)*3:][:3]), 255))
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, s.Classes[s.Labels[i]])
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRobust: what the record says of both networks agrees with itself, the robust network loads as any
// other and can be fine-tuned again, the original keeps its split, and what is finished is not run again.
func TestRobust(t *testing.T) {
	root := t.TempDir()
	original := trained(t, root, tiny(false))
	tr := robustRun(t, root, tinyRobust(original.ID))
	if tr.Variant != "plain20-w4-robust-fgsm8-f0.1-noise-w0.5" || !tr.Done() || tr.Config.Model != original.Config.Model ||
		tr.Config.Data.Val != original.Config.Data.Val {
		t.Fatalf("%+v", tr)
	}
	res := tr.Result.Robust
	if res == nil || res.WeightsSHA256 != original.Result.WeightsSHA256 ||
		tr.Result.WeightsSHA256 == original.Result.WeightsSHA256 {
		t.Fatalf("%+v", res)
	}
	if c := res.Clean; c.After != tr.Result.Test.Accuracy || c.Before != original.Result.Test.Accuracy ||
		c.OnlyBefore-c.OnlyAfter != int(math.Round(96*(c.Before-c.After))) {
		t.Errorf("clean %+v, the runs have %g and %g", c, original.Result.Test.Accuracy, tr.Result.Test.Accuracy)
	}
	for _, c := range res.Checks {
		if few := strings.HasPrefix(c.What, "PGD is no weaker"); c.OK == few || c.NotApplicable != few { // of two steps
			t.Errorf("%+v", c)
		}
	}
	if len(res.Checks) == 0 || len(res.Sets) != 1 || len(res.Trained) != 1 || res.Trained[0].N != 40 {
		t.Fatalf("%+v", res)
	}
	for _, p := range append(res.Sets, res.In) {
		expect(t, p, map[string]bool{
			"the shift to be the difference": math.Abs(p.After-p.Before-p.Shift) <= 1e-12,
			"the shift in its interval":      p.CI95[0] <= p.Shift && p.Shift <= p.CI95[1],
			"a confidence from chance to 1":  p.Before >= 0.1 && p.After <= 1,
		})
	}
	if s := res.Sets[0]; len(s.Scores) != 3 || s.Scores[0].Detector != "max-softmax" || s.N != 50 {
		t.Errorf("%+v", s)
	}
	if len(res.Before) != 6 || len(res.After) != 6 {
		t.Fatalf("attacks %+v", res.Before)
	}
	expect(t, res.Before, map[string]bool{
		"FGSM on 96 images":               res.Before[0].N == 96,
		"PGD on 40 images":                res.Before[3].N == 40,
		"at radius 0 the clean accuracy":  res.Before[0].Accuracy == res.Clean.Before,
		"and that of the network trained": res.After[0].Accuracy == res.Clean.After,
	})

	n, err := FindNetwork(root, tr.ID)
	if err != nil || n.Name != "plain20-w4" || n.Weights != tr.Result.WeightsSHA256 {
		t.Fatalf("%+v, %v", n, err)
	}
	ds := set(t, data.SyntheticShapes)
	if a, b := split(ds, n.Config.Training), split(ds, original.Config.Training()); !slices.Equal(a.train.Index,
		b.train.Index) || !slices.Equal(a.val.Index, b.val.Index) {
		t.Error("the robust network has another split than the original, on whose training images it would be validated")
	}
	folder := filepath.Join(t.TempDir(), "robust")
	if _, err := Export(root, tr.ID, folder); err != nil {
		t.Fatal(err)
	}
	if n, err = LoadCheckpoint(folder); err != nil {
		t.Fatal(err)
	}
	noise, err := outliersToTrain(context.Background(), must(settingsOf[config.Robust](n.record))(t), nil, options(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	fake := named("fake", "", "", data.All(data.Fake(40, 3, nil)))
	var exposed pictures
	if err := exposed.addExposure(n); err != nil || len(exposed.exposed) != 40 {
		t.Fatalf("%d outliers, %v", len(exposed.exposed), err)
	}
	if s, err := exposed.leaveOut(fake, options(t, "")); err != nil || s.N != 40 || s.LeftOut != nil {
		t.Errorf("%+v, %v", s.OODSet, err)
	}
	copy(fake.Set.Pixels[2*3072:3*3072], noise[0].Set.Pixels[7*3072:])
	left := record.Copy{Image: "number 2 (noise)", Of: "the outliers that " + n.Source + " was trained on (noise)"}
	if s, err := exposed.leaveOut(fake, options(t, "")); err != nil || s.N != 39 || slices.Contains(s.Index, 2) ||
		!slices.Equal(s.LeftOut, []record.Copy{left}) {
		t.Errorf("evaluated on what it was trained on: %+v, %v", s.OODSet, err)
	}
	cfg := config.DefaultOOD()
	cfg.Limit, cfg.Tuning, cfg.Sets.Names, cfg.Sets.Folders = 96, 10, nil, []string{"static=" + writeImages(t, t.TempDir(),
		noise[0].Set, 3, 5)}
	if _, err := readOOD(context.Background(), n, ds, cfg, options(t, root)); err == nil ||
		!strings.Contains(err.Error(),
			"the set static is not a set of outliers: 2 of its 2 images have the same pixels as images it must not share, the first noise/") ||
		!strings.Contains(err.Error(), "was trained on (noise)") {
		t.Errorf("detectors on what it was trained on: %v", err)
	}

	rec, err := run.Find(root, tr.ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := rec.Attached(res.Histograms)
	if err != nil {
		t.Fatal(err)
	}
	var hs []record.Histogram
	if err := json.Unmarshal(b, &hs); err != nil || len(hs) != 2 {
		t.Fatalf("%s, %v", b, err)
	}
	for i, n := range []int{96, 50} {
		for _, h := range [][]int{hs[i].Before, hs[i].After} {
			sum := 0
			for _, k := range h {
				sum += k
			}
			if sum != n {
				t.Errorf("a histogram of %d of %d images", sum, n)
			}
		}
	}

	if again := robustRun(t, root, tinyRobust(original.ID)); !again.Reused || again.ID != tr.ID {
		t.Errorf("it was run again: %+v", again)
	}
	if second, err := RobustSettings(root, tinyRobust(tr.ID)); err != nil ||
		second.Original.Weights != tr.Result.WeightsSHA256 || second.Original.Seed != original.Config.Seed {
		t.Errorf("it cannot be fine-tuned again: %+v, %v", second.Original, err)
	}
}

// TestRobustResumes: stopped in the training or anywhere in the comparison and resumed on another number of
// threads, it ends with the same weights and the same comparison.
func TestRobustResumes(t *testing.T) {
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	root := t.TempDir()
	cfg := tinyRobust(trained(t, root, tiny(false)).ID)
	cfg.Attack.Kind, cfg.Attack.Steps, cfg.Scratch, cfg.Train.Epochs = "pgd", 2, true, 1
	outcome := func(res record.Classifier) string {
		t.Helper()
		c := *res.Robust
		c.Seconds = 0
		for i := range c.Before {
			c.Before[i].Seconds, c.After[i].Seconds = 0, 0
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return res.WeightsSHA256 + string(b)
	}
	kernel.SetThreads(1)
	want := outcome(robustRun(t, root, cfg).Result)
	for name, when := range map[string]func(train.Event) bool{
		"in training": func(e train.Event) bool { return e.Kind == train.Step && e.Step == 2 },
		"in pgd":      func(e train.Event) bool { return e.Kind == train.EvalStart && e.Message == "pgd" },
	} {
		kernel.SetThreads(2)
		ctx, cancel := context.WithCancel(context.Background())
		opt := options(t, root)
		opt.Resume = false
		opt.Sink = func(e train.Event) {
			if when(e) {
				cancel()
			}
		}
		tr, err := runRobust(ctx, t, cfg, opt)
		if err != nil || tr.Reason != train.Interrupted {
			t.Fatalf("%s: %+v, %v", name, tr, err)
		}
		kernel.SetThreads(3)
		o, err := Resume(context.Background(), tr.ID, options(t, root))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := outcome(*o.Result.(*record.Classifier)); got != want {
			t.Errorf("stopped %s and resumed: another outcome\n%s\n%s", name, got, want)
		}
	}
}

// TestRobustKeepsOutliersApart: an image that is trained on as an outlier is neither evaluated as one nor an
// image of the data, whatever file it lies in.
func TestRobustKeepsOutliersApart(t *testing.T) {
	root := t.TempDir()
	id := trained(t, root, tiny(false)).ID
	ds := set(t, data.SyntheticShapes)
	noise := data.Fake(50, 3, nil) // the set fake of seed 3
	noise.Classes = []string{"static"}
	other := data.Fake(20, 99, nil)
	other.Classes = []string{"snow"}
	dir := t.TempDir()
	pets := writeImages(t, filepath.Join(dir, "pets"), other, 0, 1, 2, 3)
	more := writeImages(t, filepath.Join(dir, "more"), other, 3, 4)
	evaluated := writeImages(t, writeImages(t, filepath.Join(dir, "evaluated"), noise, 7), other, 10)
	tested := writeImages(t, writeImages(t, filepath.Join(dir, "tested"), ds.Test, 5), other, 11)
	for name, tc := range map[string]struct {
		sources, folders []string
		want             []string
	}{
		"two folders": {[]string{"a=" + pets}, []string{"b=" + more},
			[]string{"the set a is not a set of outliers: 1 of its 4 images", "snow/3.png of b, snow/3.png;"}},
		"the same": {[]string{"a=" + pets}, []string{"b=" + pets},
			[]string{"the set a is not a set of outliers: 4 of its 4 images"}},
		"evaluated": {[]string{"a=" + evaluated}, nil, []string{"1 of its 2 images",
			"static/7.png of fake, number 7 (noise)"}},
		"of the data": {[]string{"noise", "a=" + tested}, nil,
			[]string{"the set a is not a set of outliers: 1 of its 2 images",
				"/5.png of synthetic-shapes, test set, number 5 (" + ds.Test.Classes[ds.Test.Labels[5]] + ")"}},
		"data evaluated": {[]string{"noise"}, []string{"b=" + tested},
			[]string{"the set b is not a set of outliers: 1 of its 2 images", "of synthetic-shapes, test set"}},
	} {
		cfg := tinyRobust(id)
		cfg.Outliers.Sources, cfg.Test.Sets.Folders = tc.sources, tc.folders
		_, err := runRobust(context.Background(), t, cfg, options(t, root))
		for _, w := range tc.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v, want one with %q", name, err, w)
			}
		}
	}
	if runs, err := run.List(root); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v: a refusal left one", len(runs), err)
	}

	// Apart, they are taken; and a run goes on with these very images alone.
	cfg := tinyRobust(id)
	cfg.Outliers.Sources, cfg.Test.Sets.Folders, cfg.Train.Epochs = []string{"noise",
		"a=" + pets}, []string{"b=" + evaluated}, 1
	cfg.Test.Sets.Names = nil
	ctx, cancel := context.WithCancel(context.Background())
	opt := options(t, root)
	opt.Sink = func(e train.Event) {
		if e.Kind == train.Step {
			cancel()
		}
	}
	stopped, err := runRobust(ctx, t, cfg, opt)
	if err != nil || stopped.Variant != "plain20-w4-robust-fgsm8-f0.1-noise-a-w0.5" {
		t.Fatalf("%+v, %v", stopped, err)
	}
	writeImages(t, pets, other, 15)
	if _, err := Resume(context.Background(), stopped.ID, options(t, root)); err == nil ||
		!strings.Contains(err.Error(), "the images of the outliers have changed since the run began") {
		t.Errorf("resumed with another image: %v", err)
	}
	if err := os.Remove(filepath.Join(pets, "snow", "15.png")); err != nil {
		t.Fatal(err)
	}
	o, err := Resume(context.Background(), stopped.ID, options(t, root))
	if err != nil {
		t.Fatal(err)
	}
	if tr := done(o, config.Resnet{}); !tr.Done() || len(tr.Result.Robust.Trained) != 2 ||
		tr.Result.Robust.Trained[1].N != 4 {
		t.Errorf("%+v, %v", tr, err)
	}
}

// TestOutliersWithout leaves classes of a folder out, and says so.
func TestOutliersWithout(t *testing.T) {
	s := data.Fake(6, 1, nil)
	s.Classes, s.Labels = []string{"apple", "boy", "man", "woman"}, []int32{0, 1, 0, 3, 1, 2}
	dir := writeImages(t, t.TempDir(), s, 0, 1, 2, 3, 4, 5)
	cfg := config.DefaultRobust(false)
	cfg.Outliers.Sources = []string{"cifar100=" + dir}
	all, err := outliersToTrain(context.Background(), cfg, nil, options(t, ""))
	if err != nil || len(all) != 1 || all[0].N != 2 ||
		all[0].About != "cifar100, a folder of images without boy, man, woman" {
		t.Errorf("%+v, %v", all, err)
	}
	cfg.Outliers.Without = append(cfg.Outliers.Without, "apple")
	if _, err := outliersToTrain(context.Background(), cfg, nil, options(t, "")); err == nil ||
		!strings.Contains(err.Error(), "images of apple, boy, man, woman only") {
		t.Errorf("of none but these: %v", err)
	}
	cfg.Outliers.Without = []string{}
	if all, err := outliersToTrain(context.Background(), cfg, nil, options(t, "")); err != nil || all[0].N != 6 ||
		strings.Contains(all[0].About, "without") {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestOutliersWithoutCopies: a picture of a class that is left out is so under another label as well.
func TestOutliersWithoutCopies(t *testing.T) {
	s := data.Fake(5, 1, nil)
	s.Classes, s.Labels = []string{"apple", "boy"}, []int32{0, 1, 0, 0, 0}
	copy(s.Pixels[3*3072:4*3072], s.Pixels[3072:]) // image 3 is image 1
	kept, left := without(data.All(s), []string{"boy", "emu"})
	if !slices.Equal(kept.Index, []int32{0, 2, 4}) || !slices.Equal(left, []string{"boy"}) {
		t.Errorf("kept %v without %v", kept.Index, left)
	}
}

// TestRobustSettings: the original decides what it is trained on; a contradiction is an error.
func TestRobustSettings(t *testing.T) {
	root := t.TempDir()
	of := tiny(false)
	of.Seed = 5
	was := trained(t, root, of)
	cfg := tinyRobust(was.ID)
	got, err := RobustSettings(root, cfg)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, map[string]bool{
		"the original's data set":        got.Data.Name == data.SyntheticShapes,
		"the original's network":         got.Model == was.Config.Model,
		"the original's validation":      got.Data.Val == 5000,
		"the seed of its split":          got.Original.Seed == 5,
		"the fingerprint of its weights": got.Original.Weights == was.Result.WeightsSHA256,
	})
	if again, err := RobustSettings(root, got); err != nil || again.Model != got.Model {
		t.Errorf("as recorded: %v", err)
	}
	if _, err := PlanAll([]Task{{Settings: got}}, options(t, root)); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(*config.Robust){
		"data.name is cifar10, but the original":         func(c *config.Robust) { c.Data.Name = "cifar10" },
		"data.val is 7, but the original":                func(c *config.Robust) { c.Data.Val = 7 },
		"model.name is mlp, but the original":            func(c *config.Robust) { c.Model.Name = "mlp" },
		"want abc… (original.weights)":                   func(c *config.Robust) { c.Original.Weights = "abc" },
		`the original: "nobody" is neither a folder`:     func(c *config.Robust) { c.Original.From = "nobody" },
		`attack.kind is "square", want one of fgsm, pgd`: func(c *config.Robust) { c.Attack.Kind = "square" },
		"attack.eps is 0, want above 0 and at most 25":   func(c *config.Robust) { c.Attack.Eps = 0 },
	} {
		bad := cfg
		edit(&bad)
		if _, err := RobustSettings(root, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}

	// Digits are no 32x32 images in colour, as the shapes are.
	cfg = tinyRobust(trained(t, root, tiny(true)).ID)
	cfg.Outliers.Sources = []string{data.SyntheticShapes}
	if _, err := runRobust(context.Background(), t, cfg, options(t, root)); err == nil ||
		!strings.Contains(err.Error(),
			"the images of the set synthetic-shapes are 32x32 with 3 channels, those of synthetic-digits 28x28 with 1") {
		t.Errorf("noise for digits: %v", err)
	}
}
