package labs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/plainfile"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/torch"
	"dla/internal/train"
	"dla/internal/weights"
)

// imported stands for an experiment in the records of imported networks. It is read and never run.
func imported() Experiment {
	return Experiment{Name: config.ImportedExperiment,
		Settings: func() any { c := config.DefaultImported(); return &c },
		Result:   func() record.Result { return new(record.Classifier) }}
}

// Import holds what a network of another program is to become.
type Import struct {
	File string // of PyTorch, or safetensors
	As   string // network of the zoo
	Res  bool   // with skip connections, where the zoo has it with and without
	Data string // set of images that it is for
	Name string // of the checkpoint under the user's cache folder, or a folder's path
}

// ImportNetwork writes the checkpoint of the network whose weights i.File holds. What the file does not say, how pixels
// are normalized and where the shortcuts of a ResNet have their zeros, is found by the accuracy on images of the
// training set; the accuracy on the test set is measured once, with what was found.
func ImportNetwork(ctx context.Context, i Import, opt Options) (Checkpoint, record.Classifier, error) {
	var res record.Classifier
	dir, err := i.folder()
	if err != nil {
		return Checkpoint{}, res, err
	}
	if err := replaceable(dir); err != nil {
		return Checkpoint{}, res, err
	}
	opt = opt.begun()
	n, err := i.read()
	if err != nil {
		return Checkpoint{}, res, err
	}
	defer n.file.Close() // read only
	ds, err := readImages(ctx, config.Data{Name: i.Data}, opt)
	if err != nil {
		return Checkpoint{}, res, err
	}
	if n.classes != len(ds.Train.Classes) {
		return Checkpoint{}, res, fmt.Errorf("%s has %d classes and %s has %d; name its data set with --data", i.File,
			n.classes, ds.Name, len(ds.Train.Classes))
	}
	if err := n.fill(ds.Train); err != nil {
		return Checkpoint{}, res, fmt.Errorf("%s is not the weights of %s for %s: %w; name its network with --as", i.File,
			i.As, ds.Name, err)
	}
	tried, err := n.choose(ctx, ds, opt)
	if err != nil {
		return Checkpoint{}, res, err
	}
	best := tried[0]
	m, err := model.New(best.spec, best.pixels)
	if err != nil {
		return Checkpoint{}, res, err
	}
	opt.Say("the test set of %s: %d images", ds.Name, ds.Test.N)
	scorer, err := n.scorer(m, ds.Train)
	if err != nil {
		return Checkpoint{}, res, err
	}
	test, _, err := testOnce(ctx, scorer, data.All(ds.Test), opt.Sink)
	if err != nil {
		return Checkpoint{}, res, err
	}
	res = record.Classifier{Test: test, Val: run.Measure{Loss: best.Loss, Accuracy: best.Accuracy},
		LastVal: run.Unmeasured(), Reason: "imported", Params: n.params.Count(), MACs: scorer.Eval().MACs() / evalBatch,
		WeightsSHA256: weights.Fingerprint(stateOf(n.params)), Imported: &n.from,
		Note: syntheticNote(ds.Name, ds.Synthetic)}
	res.LastWeightsSHA256 = res.WeightsSHA256
	for _, t := range tried {
		n.from.Tried = append(n.from.Tried, t.Tried)
	}
	c, err := n.write(dir, best, m, ds, res, opt)
	return c, res, err
}

// folder is the folder of the checkpoint.
func (i Import) folder() (string, error) {
	if strings.ContainsRune(i.Name, '/') || strings.ContainsRune(i.Name, filepath.Separator) {
		return filepath.Clean(i.Name), nil
	}
	if err := run.CheckName("the checkpoint", i.Name); err != nil {
		return "", fmt.Errorf("%w; choose one with --name", err)
	}
	dirs := CheckpointDirs()
	if len(dirs) < 2 {
		return "", fmt.Errorf("this user has no cache folder to keep %s in; name a folder, such as --name %s", i.Name,
			filepath.Join(CheckpointsDir, i.Name))
	}
	return filepath.Join(dirs[1], i.Name), nil
}

// foreign is a network of another program.
type foreign struct {
	file    *torch.Checkpoint
	spec    model.Spec
	classes int
	params  *nn.Params
	from    record.Imported
}

// read reads the structure of the file.
func (i Import) read() (*foreign, error) {
	sum, err := fileSHA256(i.File)
	if err != nil {
		return nil, err
	}
	n := &foreign{params: nn.Blank(), from: record.Imported{File: filepath.Base(i.File), SHA256: sum,
		Stated: map[string]float64{}}}
	if n.file, err = torch.Open(i.File); err != nil {
		return nil, err
	}
	for name, v := range n.file.Stated {
		if v-v == 0 { // finite: JSON has no other
			n.from.Stated[name] = v
		}
	}
	network, err := model.Find(i.As)
	if err == nil {
		n.spec, n.classes, err = model.Spec{Name: i.As, Res: i.Res && network.Skips}.FromTorch(n.file.Reader)
	}
	if err != nil {
		n.file.Close() // read only
		return nil, err
	}
	return n, nil
}

// fileSHA256 is the SHA-256 (hex) of a file.
func fileSHA256(path string) (string, error) {
	f, _, err := plainfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fill reads the weights of the network for images like those of s.
func (n *foreign) fill(s *data.Set) error {
	m, err := model.New(n.spec, model.PixelsFor(n.spec.Name, s.C))
	if err != nil {
		return err
	}
	// Before memory is taken: the weights have the sizes of the network.
	shapes := nn.Shapes()
	if err := define(shapes, m, describeSet(s)); err != nil {
		return err
	}
	if err := model.CheckTorch(n.file.Reader, shapes); err != nil {
		return err
	}
	if err := define(n.params, m, describeSet(s)); err != nil {
		return err
	}
	return model.ReadTorch(n.file.Reader, n.params)
}

// describeSet is what a network depends on in s.
func describeSet(s *data.Set) data.Description {
	return data.Description{H: s.H, W: s.W, C: s.C, Classes: len(s.Classes)}
}

// way is one way to compute the network.
type way struct {
	record.Tried
	spec   model.Spec
	pixels model.Pixels
}

// The images that ways are tried on: few for all of them, many for those that are near the best.
const (
	triedImages = 1000
	knownImages = 5000
	nearBest    = 0.02 // of accuracy
)

// choose tries all ways on images of the training set, class by class, and returns them, the best first. Those images
// were most probably trained on, so that their accuracy says which way is right and not how good the network is.
func (n *foreign) choose(ctx context.Context, ds *data.Dataset, opt Options) ([]way, error) {
	ways := n.ways(ds)
	known := min(knownImages, ds.Train.N/2)
	_, few := ds.Split(min(triedImages, known), 0)
	_, many := ds.Split(known, 0)
	try := func(w *way, on data.Subset) error {
		m, err := model.New(w.spec, w.pixels)
		if err != nil {
			return err
		}
		s, err := n.scorer(m, ds.Train)
		if err != nil {
			return err
		}
		stats, err := train.Evaluate(ctx, s, s.Batches(data.NewLoader(on, evalBatch, false, 0)), opt.Sink)
		w.N, w.Accuracy, w.Loss = stats.N, stats.Accuracy(), stats.Loss()
		return err
	}
	if len(ways) > 1 {
		opt.Say("trying %d ways to compute the network on %d images of the training set", len(ways), len(few.Index))
	}
	for i := range ways {
		if err := try(&ways[i], few); err != nil {
			return nil, err
		}
	}
	rank := func() {
		slices.SortStableFunc(ways, func(a, b way) int {
			return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(b.Accuracy, a.Accuracy), cmp.Compare(a.Loss, b.Loss))
		})
	}
	rank()
	best := ways[0].Accuracy
	for i := range ways {
		if len(ways) > 1 && ways[i].Accuracy >= best-nearBest {
			if err := try(&ways[i], many); err != nil {
				return nil, err
			}
		}
	}
	rank()
	if l := ways[0].Loss; math.IsNaN(l) || math.IsInf(l, 0) {
		return nil, errors.New("the network's outputs are not finite; its weights are damaged, or of another network")
	}
	return ways, nil
}

// ways lists the normalizations that programs use, each with every shortcut that the weights leave open.
func (n *foreign) ways(ds *data.Dataset) (all []way) {
	same := func(v float64) []float64 { return slices.Repeat([]float64{v}, ds.Train.C) }
	mean, std, _ := ds.Moments()
	kinds := []struct {
		name      string
		mean, std []float64
	}{
		{"none, pixels in [0,1]", same(0), same(1)},
		{"mean and deviation of " + data.Title(ds.Name), mean, std},
		{"mean 0.5 and deviation 0.5", same(0.5), same(0.5)},
	}
	if ds.Train.C == 3 {
		kinds = append(kinds, []struct {
			name      string
			mean, std []float64
		}{
			{"mean of CIFAR-10 and deviation 0.2023, 0.1994, 0.2010", []float64{0.4914, 0.4822, 0.4465},
				[]float64{0.2023, 0.1994, 0.2010}},
			{"mean and deviation of ImageNet", []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}},
		}...)
	}
	shortcuts := []string{n.spec.Shortcut}
	if strings.HasPrefix(n.spec.Name, "resnet") && n.spec.Name != "resnet18" && n.spec.Res && n.spec.Shortcut == "" {
		shortcuts = []string{model.ShortcutPad, model.ShortcutPadBoth}
	}
	for _, k := range kinds {
		for _, s := range shortcuts {
			w := way{record.Tried{Normalization: k.name, Shortcut: s}, n.spec, model.Pixels{Mean: k.mean, Std: k.std}}
			if w.spec.Shortcut = s; s == model.ShortcutPad {
				w.spec.Shortcut = "" // as the network has it
			}
			all = append(all, w)
		}
	}
	return all
}

// scorer compiles m with the weights for images like those of s.
func (n *foreign) scorer(m model.Model, s *data.Set) (*train.Scorer, error) {
	return train.NewScorer(m, n.params, m.Input(s.H, s.W, s.C), n.classes, evalBatch)
}

// write writes the checkpoint to dir and reads it back.
func (n *foreign) write(dir string, w way, m model.Model, ds *data.Dataset, res record.Classifier,
	opt Options) (Checkpoint, error) {
	c := config.DefaultImported()
	c.Data.Name = ds.Name
	c.Model = config.Model{Name: w.spec.Name, Depth: w.spec.Depth, Width: w.spec.Width, Res: w.spec.Res,
		Shortcut: w.spec.Shortcut}
	usual := w.spec
	if usual.Width = 0; n.spec.Name != "mlp" {
		if u, err := model.New(usual, w.pixels); err == nil && u.Name() == m.Name() {
			c.Model.Width = 0 // as in records of trainings
		}
	}
	info := imagesInfo(ds)
	info.Mean, info.Std = w.pixels.Mean, w.pixels.Std
	env := opt.Env
	env.Data = info
	spec := run.Spec{Experiment: config.ImportedExperiment, Variant: m.Name(), Config: marshal(c),
		Label: trainedBy(labelOf(c.Model), "imported", ""), Env: env}
	if err := atomicfile.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return Checkpoint{}, err
	}
	var out Checkpoint
	err := atomicfile.ReplaceFolder(dir, atomicfile.Permissions(filepath.Dir(n.file.Path())), func(tmp string) error {
		path := filepath.Join(tmp, modelName)
		if _, err := weights.Save(path, stateOf(n.params), nil); err != nil {
			return err
		}
		if err := atomicfile.Narrow(path, atomicfile.Permissions(n.file.Path())); err != nil {
			return err
		}
		if err := run.WriteFolder(tmp, spec, res); err != nil {
			return err
		}
		written, err := keptFolder(tmp) // check that the written folder can be read
		if err == nil {
			out, err = describe(written)
		}
		return err
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w; once that is fixed import it again, or choose another folder with --name", err)
	}
	out.Name = dir
	return out, nil
}
