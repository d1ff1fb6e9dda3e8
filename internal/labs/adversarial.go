package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/npz"
	"dla/internal/train"
	"dla/internal/weights"
)

// Adversarial sets: adversarial examples of the test images on the disk, to evaluate other networks on.

// AttackNames returns the names of the attacks for sets: pgd, pgd-targeted, pgd-l2 and so on.
func AttackNames() []string {
	var names []string
	for _, m := range attack.Methods {
		names = append(names, m.Name)
		if m.Targeted {
			names = append(names, m.Name+"-targeted")
		}
		if m.L2 {
			names = append(names, m.Name+"-l2")
		}
	}
	return names
}

// attackCalled returns the attack that AttackNames lists as kind, with its norm and whether it has a target class. The
// radius is the caller's to set.
func attackCalled(kind string) (m attack.Method, at attackRadius, err error) {
	if !slices.Contains(AttackNames(), kind) {
		return m, at, fmt.Errorf("unknown attack %q: known are %s", kind, strings.Join(AttackNames(), ", "))
	}
	at.norm = attack.Linf
	name, targeted := strings.CutSuffix(kind, "-targeted")
	if short, l2 := strings.CutSuffix(name, "-l2"); l2 {
		name, at.norm = short, attack.L2
	}
	at.targeted = targeted
	m, err = attack.Find(name)
	return m, at, err
}

// Formats of adversarial sets.
const (
	AsImages      = "images"      // PNG files, 8 bits a value, in a folder for each class
	AsSafetensors = "safetensors" // float32 as the attack left them
	AsNPZ         = "npz"         // the same for NumPy, with their logits
)

// SaveFormats lists the formats.
var SaveFormats = []string{AsImages, AsSafetensors, AsNPZ}

// Files of an adversarial set.
const (
	aboutName       = "about.json"
	adversarialName = "adversarial.safetensors"
	adversarialNPZ  = "adversarial.npz"
)

// AdversarialSet is the content of about.json, which describes a set.
type AdversarialSet struct {
	attack.Outcome
	Network string   `json:"network"`
	Source  string   `json:"source"`
	Weights string   `json:"weights_sha256"`
	Data    string   `json:"data"`
	Seed    uint64   `json:"seed"`
	Classes []string `json:"classes"`
}

// Save attacks the first of cfg's networks by the attack called kind with radius eps (L-infinity in units of 1/255, L2
// in pixel values) and writes the adversarial test images to the new folder dir.
func Save(ctx context.Context, cfg config.FGSM, kind string, eps float64, dir, as string,
	opt Options) (AdversarialSet, error) {
	if err := vacant(dir); err != nil {
		return AdversarialSet{}, err
	}
	nets, ds, err := attacked(ctx, &cfg, opt)
	if err != nil {
		return AdversarialSet{}, err
	}
	return saveOn(ctx, nets[0], ds, cfg, kind, eps, dir, as, opt)
}

// saveOn attacks n on the test set of ds and writes the set to dir, which must be empty.
func saveOn(ctx context.Context, n *Network, ds *data.Dataset, cfg config.FGSM, kind string, eps float64, dir,
	as string, opt Options) (s AdversarialSet, err error) {
	class, err := targets(cfg.Target, ds.Test.Classes, cfg.Seed)
	if err != nil {
		return s, fmt.Errorf("target: %w", err)
	}
	v, err := newTarget(n, firstImages(ds, cfg.Limit))
	if err != nil {
		return s, err
	}
	m, at, err := attackCalled(kind)
	if err != nil {
		return s, err
	}
	at.eps = eps
	err = atomicfile.NewFolder(dir, 0o777, func(tmp string) error {
		out := setWriter{dir: tmp, set: ds.Test, graph: v.graph}
		w := v.attackOf(m.Name, m.New(settingsAt(cfg, n.Images, at)), at.norm, eps, at.targeted)
		w.each = out.images
		if as != AsImages {
			w.each = out.collect
		}
		if err := v.evaluate(ctx, outcomeName(w.Outcome), []*attackRun{w}, class, opt.Sink); err != nil {
			return err
		}
		if as != AsImages {
			if err := out.save(as); err != nil {
				return err
			}
		}
		s = AdversarialSet{w.Outcome, n.Name, n.Source, n.Weights, ds.Name, cfg.Seed, ds.Test.Classes}
		b, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		return atomicfile.WriteBytes(filepath.Join(tmp, aboutName), append(b, '\n'))
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; free some space there or name another folder", err)
	}
	return s, err
}

// setWriter writes the images of an adversarial set.
type setWriter struct {
	dir           string
	set           *data.Set
	graph         *attack.Target
	x, logits     []float32
	labels, index []int32
}

// images writes each image as a PNG into the folder of its class.
func (s *setWriter) images(b attack.Batch, y []int32, _, rounded, _ []float32) error {
	root, err := os.OpenRoot(s.dir) // class names lead nowhere else
	if err != nil {
		return err
	}
	defer root.Close()
	h, w, c := s.set.H, s.set.W, s.set.C
	for i, label := range y {
		file, err := encodePNG(levels(rounded[i*h*w*c:(i+1)*h*w*c]), h, w)
		if err != nil {
			return err
		}
		folder := filepath.Join("test", s.set.Classes[label])
		name := filepath.Join(folder, fmt.Sprintf("%05d.png", b.Index[i]))
		err = root.MkdirAll(folder, 0o777)
		if err == nil {
			err = atomicfile.Check("write", filepath.Join(s.dir, name))
		}
		if err == nil {
			err = root.WriteFile(name, file, 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collect collects the images for save.
func (s *setWriter) collect(b attack.Batch, y []int32, adv, _, _ []float32) error {
	s.x, s.labels, s.index = append(s.x, adv...), append(s.labels, y...), append(s.index, b.Index...)
	z, err := s.graph.Logits(adv)
	s.logits = append(s.logits, z...)
	return err
}

// save writes the images that collect has collected.
func (s *setWriter) save(as string) error {
	n := len(s.labels)
	images := []int{n, s.set.H, s.set.W, s.set.C}
	if as == AsNPZ {
		return writeNPZ(filepath.Join(s.dir, adversarialNPZ), []npz.Array{{Name: "images", Shape: images, Data: s.x},
			{Name: "labels", Shape: []int{n}, Data: s.labels}, {Name: "index", Shape: []int{n}, Data: s.index},
			{Name: "logits", Shape: []int{n, len(s.logits) / max(1, n)}, Data: s.logits}})
	}
	_, err := weights.Save(filepath.Join(s.dir, adversarialName), []weights.Tensor{
		{Name: "images", Shape: images, Data: s.x}, {Name: "labels", Shape: []int{n}, Data: floats(s.labels)},
		{Name: "index", Shape: []int{n}, Data: floats(s.index)},
	}, map[string]string{"classes": strings.Join(s.set.Classes, "\n")})
	return err
}

func floats(x []int32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// writeNPZ writes an archive of arrays to path.
func writeNPZ(path string, arrays []npz.Array) error {
	_, _, err := atomicfile.Write(path, func(w io.Writer) error { return npz.Write(w, arrays) })
	return err
}

// Evaluated is the accuracy of a network on a saved set.
type Evaluated struct {
	Network  string     `json:"network"`
	Source   string     `json:"source"`
	N        int        `json:"n"`
	Correct  int        `json:"correct"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
	Clean    float64    `json:"clean_accuracy"` // on its test set, from its record
}

// EvaluateSet evaluates each of the networks that cfg names on the adversarial set in the folder dir, or on any folder
// of images of the networks' classes.
func EvaluateSet(ctx context.Context, cfg config.FGSM, dir string, opt Options) ([]Evaluated, error) {
	nets, ds, err := attacked(ctx, &cfg, opt)
	if err != nil {
		return nil, err
	}
	return evaluateOn(ctx, nets, ds, dir, opt)
}

// evaluateOn evaluates nets, which have the classes of ds, on the images in dir.
func evaluateOn(ctx context.Context, nets []*Network, ds *data.Dataset, dir string, opt Options) ([]Evaluated, error) {
	i := nets[0].Images
	x, labels, err := readAdversarial(ctx, dir, ds, i, opt)
	if err != nil {
		return nil, err
	}
	px := i.H * i.W * i.C
	var all []Evaluated
	for _, n := range nets {
		scorer, err := n.Scorer(evalBatch)
		if err != nil {
			return nil, err
		}
		b := scorer.EvalBatch()
		steps := (len(labels) + evalBatch - 1) / evalBatch
		sum, err := train.EachBatch(ctx, n.Name, steps, opt.Sink, func(step int) (train.Stats, error) {
			lo, hi := step*evalBatch, min(len(labels), (step+1)*evalBatch)
			copy(b.X, x[lo*px:hi*px])
			copy(b.Y, labels[lo:hi])
			return scorer.EvalStep(hi - lo)
		})
		if err != nil {
			return nil, err
		}
		e := Evaluated{Network: n.Name, Source: n.Source, N: sum.N, Correct: sum.Correct, Accuracy: sum.Accuracy(),
			Clean: n.Result.Test.Accuracy}
		e.CI95[0], e.CI95[1] = metrics.Wilson(sum.Correct, sum.N)
		all = append(all, e)
	}
	return all, nil
}

// readAdversarial reads the images and labels of an adversarial set, or of a folder of images with the class names of
// ds.
func readAdversarial(ctx context.Context, dir string, ds *data.Dataset, want data.Description,
	opt Options) ([]float32, []int32, error) {
	for _, name := range []string{adversarialName, adversarialNPZ} {
		file := filepath.Join(dir, name)
		if filepath.Ext(dir) == filepath.Ext(name) {
			file = dir
		}
		if _, err := os.Stat(file); err == nil {
			return readTensors(file, want)
		}
	}
	set, err := data.Folder(ctx, filepath.Base(dir), dir, ds.Test, opt.Data)
	if err != nil {
		return nil, nil, err
	}
	if set.Converted != "" {
		opt.Say("%s%s", dir, converted(set.Test, set.Converted))
	}
	place := make([]int32, len(set.Test.Classes))
	for i, class := range set.Test.Classes {
		if place[i] = int32(slices.Index(ds.Test.Classes, class)); place[i] < 0 {
			return nil, nil, fmt.Errorf("%s: %s has no class %q; folders must be named %s", dir, ds.Name, class,
				strings.Join(ds.Test.Classes, ", "))
		}
	}
	b := data.Batch{X: make([]float32, len(set.Test.Pixels)), Y: make([]int32, set.Test.N)}
	data.NewLoader(data.All(set.Test), set.Test.N, false, 0).Batch(0, 0, &b)
	for i, l := range b.Y {
		b.Y[i] = place[l]
	}
	return b.X, b.Y, nil
}

// readTensors reads the file that setWriter.save wrote. Values outside [0, 1] and invalid labels are errors.
func readTensors(file string, want data.Description) ([]float32, []int32, error) {
	tensors, err := tensorsOf(file)
	if err != nil {
		return nil, nil, err
	}
	fail := func(format string, args ...any) ([]float32, []int32, error) {
		return nil, nil, fmt.Errorf("%s is not an adversarial set for this network: %s; make one with `dla lab4 "+
			"fgsm --save`", file, fmt.Sprintf(format, args...))
	}
	var images, labels weights.Tensor
	for _, t := range tensors {
		switch t.Name {
		case "images":
			images = t
		case "labels":
			labels = t
		}
	}
	n := len(labels.Data)
	if n == 0 || !slices.Equal(images.Shape, []int{n, want.H, want.W, want.C}) {
		return fail("images have the shape %v, want [%d %d %d %d]", images.Shape, n, want.H, want.W, want.C)
	}
	for i, v := range images.Data {
		if !(v >= 0 && v <= 1) {
			return fail("value %d of its images is %g, not in [0, 1]", i, v)
		}
	}
	y := make([]int32, n)
	for i, l := range labels.Data {
		if !(l >= 0 && int(l) < want.Classes) || l != float32(math.Trunc(float64(l))) {
			return fail("label %d is %g, not a class of %d", i, l, want.Classes)
		}
		y[i] = int32(l)
	}
	return images.Data, y, nil
}

// maxAdversarial bounds the arrays of an adversarial set in NumPy's format, in bytes.
const maxAdversarial = 2 << 30

// tensorsOf returns what file holds, safetensors or an archive of NumPy's, as float32.
func tensorsOf(file string) ([]weights.Tensor, error) {
	if filepath.Ext(file) != filepath.Ext(adversarialNPZ) {
		f, err := weights.Load(file, "")
		if err != nil {
			return nil, err
		}
		return f.Tensors, nil
	}
	arrays, err := npz.ReadFile(file, maxAdversarial)
	if err != nil {
		return nil, err
	}
	var ts []weights.Tensor
	for _, a := range arrays {
		x, ok := a.Data.([]float32)
		if !ok {
			x = toFloat32(numbersOf(a))
		}
		ts = append(ts, weights.Tensor{Name: a.Name, Shape: a.Shape, Data: x})
	}
	return ts, nil
}

// numbersOf returns the elements of a.
func numbersOf(a npz.Array) []float64 {
	switch x := a.Data.(type) {
	case []float64:
		return x
	case []float32:
		return widened(x)
	case []int32:
		return widened(x)
	case []int64:
		return widened(x)
	case []uint8:
		return widened(x)
	}
	return nil // npz reads no other types
}

func widened[T float32 | int32 | int64 | uint8](x []T) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
