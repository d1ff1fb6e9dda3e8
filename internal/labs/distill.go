package labs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/distill"
	"dla/internal/kernel"
	"dla/internal/record"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/train"
)

// DistillExperiment is the name of the experiment in records.
const DistillExperiment = "lab1/distill"

// softLabelsDir is the folder of soft labels, beside the runs.
const softLabelsDir = "soft-labels"

// distillation trains a student on labels and a teacher's logits (Hinton et al. 2015).
func distillation() Experiment {
	defaults := func() config.Distill { return config.DefaultDistill("student", "teacher", config.Cached) }
	e := newExperiment[config.Distill, record.Classifier](DistillExperiment, defaults, openDistill, planDistill)
	return checked(e, func(cfg config.Distill, opt Options) error {
		if cfg.Teacher.From == "" {
			return nil
		}
		_, err := findTeacher(cfg.Teacher.From, opt)
		return err
	})
}

// DistillTasks returns the runs of the experiment: a teacher, unless one is named, and for every configuration the
// student with and without the teacher. The plain student and the teacher are ordinary runs of lab1 resnet.
func DistillTasks(cfgs []config.Distill) []Task {
	var tasks []Task
	if c := cfgs[0]; c.Teacher.From == "" {
		tasks = append(tasks, Task{Settings: c.TeacherTraining(), Reuse: true})
	}
	for _, c := range cfgs {
		tasks = append(tasks, Task{Settings: c}, Task{Settings: c.Plain(), Reuse: true})
	}
	return tasks
}

// openDistill reads the data and loads the teacher, or trains it if it does not exist.
func openDistill(ctx context.Context, cfg config.Distill, opt Options) (Job, error) {
	name, err := DistillVariant(cfg)
	if err != nil {
		return nil, err
	}
	ds, err := readImages(ctx, cfg.Data, opt)
	if err != nil {
		return nil, err
	}
	cfg.Data = adopted(cfg.Data, ds)
	teacher, err := once(opt, fmt.Sprintf("teacher %+v", cfg.Teacher), func() (*Network, error) {
		n, err := teacherOf(ctx, ds, cfg, opt)
		if err == nil {
			opt.Say("teacher: %s of %s, %d parameters, test accuracy %.2f %%", n.Name, n.Source, n.Params.Count(),
				100*n.Result.Test.Accuracy)
		}
		return n, err
	})
	if err != nil {
		return nil, err
	}
	cfg.Teacher.Weights = teacher.Weights
	info, err := standardized(ds, cfg.Model, opt)
	build := func(ctx context.Context, opt Options) (trainable, error) {
		return newDistilled(ctx, ds, info, teacher, cfg, opt)
	}
	return &training{experiment: DistillExperiment, variant: name, settings: cfg, cfg: cfg.Training(),
		label: trainedBy(labelOf(cfg.Model), "distilled", distillRecipe(cfg)), data: info, build: build}, err
}

// distilled is a student in training with a teacher.
type distilled struct {
	imageClassifier
	checks []record.Check
}

// newDistilled makes and checks the soft labels, and makes the student.
func newDistilled(ctx context.Context, ds *data.Dataset, info run.DataInfo, teacher *Network, cfg config.Distill,
	opt Options) (*distilled, error) {
	logits, labels, err := teacherLogits(ctx, ds, teacher, cfg, opt)
	if err != nil {
		return nil, err
	}
	checks, err := selfChecks(ctx, ds, teacher, cfg, logits, labels)
	if err == nil {
		err = record.Failed(checks) // training on wrong soft labels would be useless
	}
	if err != nil {
		return nil, err
	}
	sz := sizeOf(ds, cfg.Model, info, opt)
	c, err := newImageClassifier(ds, cfg.Training(), sz, cfg.Test.Views, func(steps int) (*classifier, error) {
		return newStudent(cfg.Classifier(), sz, steps, lossOf(cfg), logits)
	})
	if err != nil {
		return nil, err
	}
	return &distilled{*c, checks}, nil
}

// lossOf returns the loss of cfg's student.
func lossOf(cfg config.Distill) kernel.Distillation {
	return kernel.Distillation{Weight: cfg.Distill.Weight, Temperature: cfg.Distill.Temperature}
}

func (d *distilled) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	res, err := d.evaluated(ctx, e)
	if err != nil {
		return nil, err
	}
	res.Checks = d.checks
	return res, nil
}

// logitsOf writes a teacher's logits [rows, classes] for a batch of the given epoch to dst. The batch's Index holds
// indices into the training split.
type logitsOf func(dst []float32, b *data.Batch, epoch int) error

// findTeacher loads the trained network that from names.
func findTeacher(from string, opt Options) (*Network, error) {
	n, err := FindNetwork(opt.Root, from)
	if err != nil {
		return nil, fmt.Errorf("the teacher: %w", err)
	}
	return n, nil
}

// teacherOf loads or trains the teacher of cfg. A teacher trained on other data than ds, or with other weights than cfg
// names, is an error.
func teacherOf(ctx context.Context, ds *data.Dataset, cfg config.Distill, opt Options) (n *Network, err error) {
	if cfg.Teacher.From != "" {
		n, err = findTeacher(cfg.Teacher.From, opt)
	} else {
		n, err = trainedTeacher(ctx, ds, cfg, opt)
	}
	if err != nil {
		return nil, err
	}
	if n.Data.Fingerprint != ds.Fingerprint {
		return nil, fmt.Errorf("the teacher %s was trained on %s with fingerprint %.12s…, the student's data is %s "+
			"with %.12s…; name a teacher of the same data", n.Source, n.Data.Name, n.Data.Fingerprint, ds.Name, ds.Fingerprint)
	}
	if w := cfg.Teacher.Weights; w != "" && w != n.Weights {
		return nil, fmt.Errorf("the teacher %s has weights with fingerprint %.12s…, want %.12s… (teacher.weights); "+
			"make the original teacher available again", n.Source, n.Weights, w)
	}
	return n, nil
}

// trainedTeacher trains the teacher of cfg, unless a finished run of that training exists.
func trainedTeacher(ctx context.Context, ds *data.Dataset, cfg config.Distill, opt Options) (*Network, error) {
	opt.goesOn, opt.part = nil, Part{}
	job, err := resnetOn(ds, cfg.TeacherTraining(), opt)
	if err != nil {
		return nil, err
	}
	for _, opt.Resume = range []bool{true, false} {
		o, err := Do(ctx, job, opt)
		if err != nil {
			return nil, err
		}
		if !o.Done() {
			return nil, &unfinished{o}
		}
		n, err := LoadRun(opt.Root, o.ID)
		if err == nil || !o.Reused || !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		// The record exists without its checkpoint, as in a clone of the repository.
		res, ok := o.Result.(*record.Classifier)
		if !ok {
			return nil, fmt.Errorf("the teacher's run %s trained no classifier", o.ID)
		}
		if n, err = shipped(res.WeightsSHA256); err != nil || n != nil {
			return n, err
		}
		opt.Say("the teacher's run %s has no checkpoint any more: training the teacher again", o.ID)
	}
	return nil, errors.New("the teacher was trained and has no checkpoint") // unreachable: a new run is not reused
}

// kept holds soft labels and their images, in order.
type kept struct {
	*distill.SoftLabels
	path   string
	images data.Subset
	loader *data.Loader // provides the labelled images, copy c in epoch c
}

// teacherLogits returns the source of the teacher's logits for cfg's student: soft labels on the disk, made if missing,
// or live.
func teacherLogits(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill,
	opt Options) (logitsOf, *kept, error) {
	setConv(cfg.Train)
	if cfg.Distill.SoftLabels == config.Live {
		scorer, err := teacher.Scorer(cfg.Train.BatchSize)
		return func(dst []float32, b *data.Batch, _ int) error { return scorer.Score(dst, b) }, nil, err
	}
	// Label every image of the training set, so that the labels serve all seeds; of limited data, only the images that
	// the student sees.
	trained := split(ds, cfg.Training()).train
	images, place := data.All(ds.Train), trained.Index
	if cfg.Data.Limit > 0 {
		images = trained
		place = make([]int32, len(trained.Index))
		for i := range place {
			place[i] = int32(i)
		}
	}
	k, err := softLabels(ctx, ds, teacher, cfg, images, opt)
	if err != nil {
		return nil, nil, err
	}
	at := make([]int32, cfg.Train.BatchSize)
	return func(dst []float32, b *data.Batch, epoch int) error {
		for i, p := range b.Index {
			at[i] = place[p]
		}
		k.Fill(dst, epoch, at[:len(b.Index)])
		return nil
	}, k, nil
}

// softLabels reads the teacher's logits for images from the disk, or computes and saves them.
func softLabels(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill, images data.Subset,
	opt Options) (*kept, error) {
	src := distill.Source{Teacher: teacher.Weights, Network: teacher.Name, Data: ds.Fingerprint,
		Images:  hashIndices(images.Index),
		Augment: "none", Kernel: kernel.Level() + ", " + cfg.Train.Conv}
	k := &kept{images: images, loader: data.NewLoader(images, evalBatch, false, 0)}
	copies := 1
	if cfg.Distill.SoftLabels == config.Augmented {
		a := cfg.Data.Augment
		copies = a.Copies
		src.Augment = augmentSource(a, cfg.Seed)
		k.loader = data.NewAugmentedLoader(images, evalBatch, cfg.Seed, augment(a))
	}
	n, classes := len(images.Index), len(ds.Train.Classes)
	k.path = filepath.Join(opt.Root, softLabelsDir, fmt.Sprintf("%s-%s.safetensors", teacher.Name,
		src.Fingerprint(copies, n, classes)[:16]))
	labels, err := distill.Load(k.path, src, copies, n, classes)
	if err == nil {
		opt.Say("soft labels: %s", k.path)
		k.SoftLabels = labels
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	opt.Say("soft labels: the teacher labels %d images, %d copies of each", n, copies)
	scorer, err := teacher.Scorer(evalBatch)
	if err != nil {
		return nil, err
	}
	k.SoftLabels = distill.New(src, copies, n, classes)
	if err := k.label(ctx, scorer, opt.Sink); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(k.path), 0o777); err != nil {
		return nil, fmt.Errorf("soft labels: %w; choose another folder with --out", err)
	}
	if _, err := k.Save(k.path); err != nil {
		return nil, fmt.Errorf("soft labels: %w; free some space there or choose another folder with --out", err)
	}
	opt.Say("soft labels: %s", k.path)
	return k, nil
}

// augmentSource names the augmentation of copies in the source of soft labels. Settings that older programs lacked are
// named only where they are on, so soft labels made by those are still found.
func augmentSource(a config.Augment, seed uint64) string {
	name := fmt.Sprintf("seed %d, flip %v, crop %d, cutout %d", seed, a.Flip, a.Crop, a.Cutout)
	if a.Alternate {
		name += ", alternate"
	}
	if a.Reflect {
		name += ", reflect"
	}
	return name
}

// label computes all logits of k.
func (k *kept) label(ctx context.Context, scorer *train.Scorer, sink train.Sink) error {
	batches := scorer.Batches(k.loader)
	for c := range k.Copies {
		_, err := train.EachBatch(ctx, "", k.loader.Steps(), sink, func(step int) (train.Stats, error) {
			s, err := scorer.EvalStep(batches.Lay(c, step))
			if err == nil {
				k.Set(c, scorer.EvalBatch().Index, scorer.Logits())
			}
			return s, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hashIndices returns the SHA-256 (hex) of indices in order.
func hashIndices(index []int32) string {
	var b []byte
	for _, i := range index {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checkedImages is the number of images that the teacher labels again to check soft labels.
const checkedImages = 5000

// selfChecks checks the soft labels and the loss that the student will be trained with.
func selfChecks(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill, logits logitsOf,
	k *kept) ([]record.Check, error) {
	rows, classes := cfg.Train.BatchSize, len(ds.Train.Classes)
	scorer, err := teacher.Scorer(max(rows, evalBatch))
	if err != nil {
		return nil, err
	}
	// The student's first batch: the teacher's current logits, and those that the student will get.
	px := ds.Train.H * ds.Train.W * ds.Train.C
	b := data.Batch{X: make([]float32, rows*px), Y: make([]int32, rows), Index: make([]int32, rows)}
	data.NewAugmentedLoader(split(ds, cfg.Training()).train, rows, cfg.Seed, augment(cfg.Data.Augment)).Batch(0, 0, &b)
	rows = b.Rows
	now, told := make([]float32, rows*classes), make([]float32, rows*classes)
	if err := scorer.Score(now, &b); err != nil {
		return nil, err
	}
	if err := logits(told, &b, 0); err != nil {
		return nil, err
	}
	T := cfg.Distill.Temperature
	kl := kernel.Distillation{Weight: 1, Temperature: T}.Loss(now, told, b.Y, rows, classes)
	all := []record.Check{{What: "a student that is the teacher has a divergence of 0",
		Found: fmt.Sprintf("%.3g, on the first batch of %d", kl, rows), Value: float64(kl),
		OK: math.Abs(float64(kl)) <= 1e-9}}

	small := 0.02 * min(1, T)
	cold, warm := gradientSize(small, 1), gradientSize(small, T)
	all = append(all, record.Check{What: fmt.Sprintf("T² keeps the gradient's size: at T = %g that of T = 1", T),
		Found: fmt.Sprintf("%.3f times it (%.3f without T²), for small logits", warm/cold,
			warm/cold/(T*T)), Value: warm / cold, OK: math.Abs(warm/cold-1) <= 0.05})

	if k != nil {
		some := k.images.First(checkedImages)
		labels := make([]int32, len(some.Index))
		for i, at := range some.Index {
			labels[i] = ds.Train.Labels[at]
		}
		again, err := train.Evaluate(ctx, scorer, scorer.Batches(k.again(some, cfg)), nil)
		if err != nil {
			return nil, err
		}
		have := k.Accuracy(labels)
		all = append(all, record.Check{What: "the soft labels are as accurate as the teacher",
			Found: fmt.Sprintf("%.2f %% and %.2f %% of %d training images", 100*have, 100*again.Accuracy(),
				len(labels)), Value: have - again.Accuracy(), OK: have == again.Accuracy()})
	}
	return all, nil
}

// again returns a loader of some of k's images, augmented as the first labelled copy.
func (k *kept) again(some data.Subset, cfg config.Distill) *data.Loader {
	if cfg.Distill.SoftLabels == config.Augmented {
		return data.NewAugmentedLoader(some, evalBatch, cfg.Seed, augment(cfg.Data.Augment))
	}
	return data.NewLoader(some, evalBatch, false, 0)
}

// gradientSize returns the gradient norm of the teacher's term of the loss at temperature T, for synthetic logits of
// the given size. For logits much smaller than T, the factor T² compensates the smaller gradients of the softer
// distributions (Hinton et al. 2015, section 2.1).
func gradientSize(logits, T float64) float64 {
	const rows, classes = 100, 10
	r := rng.New(0, "self-check", 0, 0)
	student, teacher, grad := make([]float32, rows*classes), make([]float32, rows*classes), make([]float32,
		rows*classes)
	for i := range student {
		student[i], teacher[i] = float32(logits*r.Normal()), float32(logits*r.Normal())
	}
	kernel.Distillation{Weight: 1, Temperature: T}.Grad(grad, student, teacher, make([]int32, rows), rows, classes, 1)
	return math.Sqrt(kernel.SumSquares(grad))
}

// DistillVariant returns the name of cfg's student in records: cnn-student-res-kd-t4-w0.9-cached.
func DistillVariant(cfg config.Distill) (string, error) {
	name, err := networkName(cfg.Model)
	if err != nil {
		return "", err
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	d := cfg.Distill
	return fmt.Sprintf("%s-kd-t%s-w%s-%s", name, number(d.Temperature), number(d.Weight), d.SoftLabels), nil
}

// distillRecipe describes the distillation settings of cfg for readers.
func distillRecipe(cfg config.Distill) string {
	d := cfg.Distill
	return fmt.Sprintf("T %g, w %g, %s", d.Temperature, d.Weight, d.SoftLabels)
}

// planDistill estimates the cost of training the student, without that of the teacher's logits.
func planDistill(cfg config.Distill, opt Options) (Plan, error) {
	name, err := DistillVariant(cfg)
	if err != nil {
		return Plan{}, err
	}
	p, err := planResnet(cfg.Plain(), opt)
	p.Variant, p.Config = name, cfg
	return p, err
}
