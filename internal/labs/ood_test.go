package labs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/ood"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// tinyOOD evaluates detectors on a tiny network and few images.
func tinyOOD(t *testing.T, root string) config.OOD {
	t.Helper()
	cfg := tiny(false)
	cfg.Data.Limit, cfg.Train.Epochs = 128, 1
	c := tinyOODOf(trained(t, root, cfg).ID)
	c.Sets.Names, c.Sets.Fake = []string{data.FakeName}, 50
	return c
}

// tinyOODOf evaluates detectors on few images and no set.
func tinyOODOf(checkpoint string) config.OOD {
	c := config.DefaultOOD()
	c.Checkpoint, c.Autoencoder = checkpoint, ""
	c.Sets.Names, c.Limit, c.Tuning, c.Resamples = nil, 120, 30, 20
	return c
}

// pngs writes the images of s at index as files of a folder.
func pngs(t *testing.T, s *data.Set, index ...int) string {
	t.Helper()
	dir := t.TempDir()
	for _, i := range index {
		img := image.NewRGBA(image.Rect(0, 0, s.W, s.H))
		for p := range s.H * s.W {
			at := s.Pixels[(i*s.H*s.W+p)*3:]
			img.Set(p%s.W, p/s.W, color.RGBA{at[0], at[1], at[2], 255})
		}
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i))+".png"))
		if err == nil {
			err = errors.Join(png.Encode(f, img), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// detected is an evaluation of detectors.
type detected struct {
	Outcome
	Result record.OOD
	Record run.Record
}

// evaluateOOD evaluates the detectors of cfg.
func evaluateOOD(ctx context.Context, t *testing.T, cfg config.OOD, opt Options) (d detected, err error) {
	t.Helper()
	opt.loaded = options(t, "").loaded
	d.Outcome, err = open(ctx, cfg, opt.begun(), func(job Job) (Outcome, error) { return Do(ctx, job, opt) })
	if err != nil || !d.Done() {
		return d, err
	}
	d.Result = *d.Outcome.Result.(*record.OOD)
	d.Record, err = run.Find(opt.Root, d.ID)
	return d, err
}

// TestOOD runs the whole on few images: every detector on every set, the same numbers with kept features as
// without, a finished run reused for the same images and not for others.
func TestOOD(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	cfg, opt, ctx := tinyOOD(t, root), options(t, root), context.Background()
	noise := data.Fake(3, 99, nil)
	cfg.Sets.Folders = []string{"noise=" + pngs(t, noise, 0, 1, 2)}
	a, err := evaluateOOD(ctx, t, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	detectors := len(ood.Methods) - 1 // there is no autoencoder
	r := a.Result
	if len(r.Sets) != 2 {
		t.Fatalf("sets %+v", r.Sets)
	}
	expect(t, r, map[string]bool{
		"every detector":                len(r.Detectors) == detectors,
		"its scores on both sets":       len(r.Scores) == 2*detectors,
		"50 images of noise":            r.Sets[0].N == 50,
		"3 images of the folder":        r.Sets[1].N == 3,
		"120 images in distribution":    r.In.N == 120,
		"a perfect detector's AUROC, 1": r.Signs.Perfect == 1,
	})
	for _, x := range a.Result.Scores {
		for what, v := range map[string]float64{"AUROC": x.AUROC, "AUPR in": x.AUPRIn, "AUPR out": x.AUPROut,
			"accuracy": x.Accuracy} {
			if !(v > 0 && v <= 1) && !(what == "AUROC" && v == 0) {
				t.Errorf("%s on %s: %s %g", x.Detector, x.Set, what, v)
			}
		}
		if x.CI95.AUROC[0] > x.AUROC || x.CI95.AUROC[1] < x.AUROC {
			t.Errorf("%s on %s: AUROC %g outside its interval %v", x.Detector, x.Set, x.AUROC, x.CI95.AUROC)
		}
	}
	if !strings.Contains(a.Result.Note, "synthetic images") || !strings.Contains(a.Result.Note, "ONLY 120") {
		t.Errorf("note %q", a.Result.Note)
	}
	if size := fileSize(t, filepath.Join(a.Record.Dir, oodCurvesName)); size > 1<<20 {
		t.Errorf("the curves take %d bytes", size)
	}

	b, err := evaluateOOD(ctx, t, cfg, opt)
	if err != nil || !b.Reused || b.Record.ID != a.Record.ID || !reflect.DeepEqual(a.Result, b.Result) {
		t.Errorf("asked again: %v, reused %v", err, b.Reused)
	}
	// What is kept is used and checked: with a damaged file, which is made anew, the numbers are the same.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(cache, "dla", "features", "*"))
	if err != nil || len(kept) < 5 {
		t.Fatalf("%d files of features are kept, %v", len(kept), err)
	}
	text, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(kept[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	said := 0
	opt.Resume, opt.Say = false, func(format string, _ ...any) {
		if strings.Contains(format, "is computed again") {
			said++
		}
	}
	if b, err = evaluateOOD(ctx, t, cfg, opt); err != nil || b.Reused || said != 1 {
		t.Fatalf("asked anew with a damaged file: %v, reused %v, %d made anew", err, b.Reused, said)
	}
	if !reflect.DeepEqual(a.Result.Scores, b.Result.Scores) ||
		!reflect.DeepEqual(a.Result.Detectors, b.Result.Detectors) || a.Result.Curves.SHA256 != b.Result.Curves.SHA256 {
		t.Error("with kept features the numbers are others")
	}

	// Images of the data the network knows are no outliers, and a changed folder is another set.
	known := cfg
	known.Sets.Folders = []string{"known=" + pngs(t, set(t, data.SyntheticShapes).Test, 5)}
	if _, err := evaluateOOD(ctx, t, known, opt); err == nil || !strings.Contains(err.Error(),
		"the set known is not a set of outliers: 1 of its 1 images have the same pixels as images it must not share, the first f.png of synthetic-shapes, test set, number 5 (") {
		t.Errorf("a test image as an outlier: %v", err)
	}
	for pictures, want := range map[int]bool{3: true, 2: false} {
		changed := cfg
		changed.Sets.Folders = []string{"noise=" + pngs(t, noise, []int{0, 1, 2}[:pictures]...)}
		n, err := FindNetwork(root, cfg.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := readOOD(ctx, n, set(t, data.SyntheticShapes), changed, opt)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := (&oodJob{parts: parts}).matches(a.Record); found != want || err != nil {
			t.Errorf("a folder with %d of the images: reused %v, %v", pictures, found, err)
		}
	}
	cfg.Weights = "another"
	if _, err := evaluateOOD(ctx, t, cfg, opt); err == nil || !strings.Contains(err.Error(), "want another") {
		t.Errorf("other weights: %v", err)
	}
}

// TestDetectorsByName: those that are named are evaluated, in the order of all; an unknown one is refused with those
// there are.
func TestDetectorsByName(t *testing.T) {
	cfg := config.DefaultOOD()
	cfg.Detectors = []string{"knn", "energy"}
	all, err := detectorsOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Name != "energy" || all[1].Name != "knn" {
		t.Errorf("%+v", all)
	}
	for want, names := range map[string][]string{
		`unknown detector "kn": known are max-softmax, `: {"energy", "kn"},
		"needs an autoencoder":                           {ood.Reconstruction},
	} {
		cfg.Detectors, cfg.Autoencoder = names, ""
		if _, err := detectorsOf(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one with %q", names, err, want)
		}
	}
}

// TestOutliersOfAFolder: links are followed; what was made to fit is said and recorded, what was passed over said.
func TestOutliersOfAFolder(t *testing.T) {
	root := t.TempDir()
	cfg, opt, noise := tinyOOD(t, root), options(t, root), data.Fake(3, 99, nil)
	folder, larger := pngs(t, noise, 0, 1), pngs(t, &data.Set{H: 64, W: 16, Pixels: noise.Pixels}, 2)
	if err := errors.Join(os.Symlink(larger, filepath.Join(folder, "larger")),
		os.WriteFile(filepath.Join(folder, "d.tiff"), nil, 0o600)); err != nil {
		t.Skipf("this system lets nobody make a symbolic link: %v", err)
	}
	var said []string
	opt.Say = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	opt.Data.Say = opt.Say
	cfg.Sets.Folders = []string{"noise=" + folder}
	n, err := FindNetwork(root, cfg.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := readOOD(context.Background(), n, set(t, data.SyntheticShapes), cfg, opt)
	if err != nil || len(parts.out) != 2 || parts.out[1].Converted != "1 of another size" {
		t.Errorf("%+v, %v", parts, err)
	}
	for _, want := range []string{folder + ": passed over: 1 .tiff",
		"against: noise, a folder of images, 3 images; converted to 32x32 RGB: 1 of another size"} {
		if !slices.Contains(said, want) {
			t.Errorf("%q is not among what was said: %q", want, said)
		}
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// TestOODInterrupted: a run that is stopped is recorded as that, and has no result.
func TestOODInterrupted(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	cfg, opt := tinyOOD(t, root), options(t, root)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	opt.loaded = options(t, "").loaded
	job, err := openOOD(context.Background(), cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := Do(ctx, job, opt); err != nil || o.Done() || o.Reason != train.Interrupted {
		t.Fatalf("a stopped run came to %+v, %v", o, err)
	}
	list, err := run.List(root)
	if err != nil || len(list) != 2 || list[1].Status != run.StatusInterrupted && list[0].Status != run.StatusInterrupted {
		t.Errorf("%+v, %v", list, err)
	}
	d, err := evaluateOOD(context.Background(), t, cfg, opt) // asked again with Resume, it is that run which goes on
	if err != nil || len(d.Figures) == 0 {
		t.Fatal(err)
	}
	if again, err := run.List(root); err != nil || len(again) != 2 || d.Record.Status != run.StatusFinished ||
		len(d.Record.Resumed) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestODINStep: the images move against the gradient of the softened network's loss, which falls by what that
// says to first order; and their logits are the network's own.
func TestODINStep(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	opt, ctx := options(t, root), context.Background()
	n, err := FindNetwork(root, tinyOOD(t, root).Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newExtractor(n)
	if err != nil {
		t.Fatal(err)
	}
	s := data.All(set(t, data.SyntheticShapes).Test).First(3)
	f, err := e.features(ctx, s, hashImages(s), opt)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := n.Scorer(3)
	if err != nil {
		t.Fatal(err)
	}
	const px, classes = 32 * 32 * 3, 10
	b := data.Batch{X: make([]float32, 3*px), Y: make([]int32, 3)}
	data.NewLoader(s, 3, false, 0).Batch(0, 0, &b)
	logits := make([]float32, 3*classes)
	if err := scorer.Score(logits, &b); err != nil {
		t.Fatal(err)
	}
	near := func(a, b []float32) bool {
		for i := range a {
			if math.Abs(float64(a[i]-b[i])) > 1e-4*(1+math.Abs(float64(b[i]))) {
				return false
			}
		}
		return true
	}
	if !near(f.Logits, logits) {
		t.Error("the logits are not the network's")
	}
	sizes := []float64{0, 0.0001}
	if err := e.step(ctx, f, s, hashImages(s), sizes, opt); err != nil {
		t.Fatal(err)
	}
	if !near(f.Stepped[0], logits) {
		t.Error("a step of 0 changes the logits")
	}
	// The loss at temperature T of the class that was given falls, by about step · Σ|gradient|.
	target, err := e.odin()
	if err != nil {
		t.Fatal(err)
	}
	y := make([]int32, 3)
	for i := range y {
		c, _ := attack.Top(logits[i*classes:][:classes])
		y[i] = int32(c)
	}
	g, err := target.Gradient(attack.Batch{X: b.X, Y: y})
	if err != nil {
		t.Fatal(err)
	}
	loss := func(logits []float32, i int) float64 {
		z := 0.0
		row := logits[i*classes:][:classes]
		for _, v := range row {
			z += math.Exp(float64(v-row[y[i]]) / ood.ODINTemperature)
		}
		return math.Log(z)
	}
	for i := range y {
		sum := 0.0
		for _, v := range g[i*px:][:px] {
			sum += math.Abs(float64(v))
		}
		fell := loss(logits, i) - loss(f.Stepped[0.0001], i)
		if want := 0.0001 * sum; fell < 0.8*want || fell > 1.1*want { // the network is no straight line
			t.Errorf("image %d: the loss falls by %g, to first order by up to %g", i, fell, want)
		}
	}
	moved := make([]float32, 4)
	descend(moved, []float32{0.5, 0.5, 0.001, 0.999}, []float32{2, -1, 1, -1}, 0.01)
	if !near(moved, []float32{0.49, 0.51, 0, 1}) {
		t.Errorf("moved to %v", moved)
	}
}

// TestODINGolden compares logits after the step with pytorch-ood's (testdata/odin.py).
func TestODINGolden(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	text, err := os.ReadFile(filepath.Join("testdata", "odin.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string][]float64
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	n := &Network{Model: model.MLP{Depth: 1, Width: 8, Res: true}, Params: nn.NewParams(0),
		Images: data.Description{H: 28, W: 28, C: 1, Classes: 10}}
	e, err := newExtractor(n)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range n.Params.List() {
		seed, scale := i+1, 0.5
		if i == 0 {
			scale = 0.1
		}
		for j := range q.Data {
			q.Data[j] = float32(scale * math.Sin(0.37*float64(j)*float64(1+seed%5)+1.3*float64(seed)))
		}
	}
	s := &data.Set{N: 4, H: 28, W: 28, C: 1, Labels: make([]int32, 4), Classes: []string{"none"}}
	for k := range 4 {
		for i := range 784 {
			s.Pixels = append(s.Pixels, uint8(20+(i*i*7+i*13+k*29)%210))
		}
	}
	ctx, opt, all := context.Background(), options(t, ""), data.All(s)
	f, err := e.features(ctx, all, hashImages(all), opt)
	if err != nil {
		t.Fatal(err)
	}
	sizes := []float64{0, 0.0014, 0.02}
	if err := e.step(ctx, f, all, hashImages(all), sizes, opt); err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		want := golden[strconv.FormatFloat(size, 'f', -1, 64)]
		if size == 0 {
			want = golden["0.0"]
		}
		if len(want) != 40 {
			t.Fatalf("%d logits after a step of %g", len(want), size)
		}
		for i, w := range want {
			if v := float64(f.Stepped[size][i]); math.Abs(v-w) > 1e-4*math.Max(0.1, math.Abs(w)) {
				t.Errorf("step %g, image %d: logit %.7g, pytorch-ood has %.7g", size, i/10, v, w)
			}
		}
	}
	if slices.Equal(golden["0.0"], golden["0.0014"]) {
		t.Error("the step changes nothing")
	}
}
