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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/distill"
	"dla/internal/kernel"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/train"
)

// DistillExperiment is the name of the distillation in records.
const DistillExperiment = "lab1/distill"

// softLabelsDir is where soft labels are kept, beside the runs.
const softLabelsDir = "soft-labels"

// Distilled is what the experiment came to.
type Distilled struct {
	Teacher *Network
	Trained *Trained // the teacher's run, where it was trained here
	Pairs   []Pair   // one a seed
	Stopped *Trained // the run that was interrupted or ran out of time; its ID is empty between runs
	Labels  []string // files of soft labels; none where they are live
	Checks  []Check  // none where every student was finished before
}

// Pair is a student with and without a teacher, from one seed by one recipe.
type Pair struct{ Distilled, Plain Trained }

// Check is a self-check: what must hold, and what was found. What was asked for may lack what it is of, as a
// sweep of small radii a large one: then it is neither passed nor failed, and Found says what is missing.
type Check struct {
	What          string  `json:"name"`
	Found         string  `json:"found"`
	Value         float64 `json:"value"` // the number that decides, where there is one
	OK            bool    `json:"passed"`
	NotApplicable bool    `json:"not_applicable,omitempty"`
}

// Failed says that what must hold does not.
func (c Check) Failed() bool { return !c.OK && !c.NotApplicable }

// Distill trains a teacher or loads one, keeps its logits for every training image, and trains one
// student with them and the same student without, for every configuration: these differ by seed alone.
// The plain student is an ordinary run of lab1 resnet, and so is the teacher: where they are found
// finished they are taken as they are. each hears of every run that is done.
func Distill(ctx context.Context, cfgs []config.Distill, opt Options, each func(Trained)) (Distilled, error) {
	var d Distilled
	shared := budget{opt.MaxTime, time.Now()}
	if from := cfgs[0].Teacher.From; from != "" { // a name that leads nowhere is found out before the data is read
		if _, err := FindNetwork(opt.Root, from); err != nil {
			return d, fmt.Errorf("the teacher: %w", err)
		}
	}
	ds, err := loadData(ctx, cfgs[0].Data, opt)
	if err != nil {
		return d, err
	}

	// The teacher.
	found := opt
	found.Resume = true
	if d.Teacher, d.Trained, err = teacherOf(ctx, ds, cfgs[0], found); err != nil {
		return d, err
	}
	if t := d.Trained; t != nil {
		if !t.Done() {
			d.Stopped = t
			return d, nil
		}
		each(*t)
	}
	opt.Say("teacher: %s of %s, %d parameters, test accuracy %.2f %%", d.Teacher.Name, d.Teacher.Source, d.Teacher.Params.Count(), 100*d.Teacher.Result.Test.Accuracy)

	for _, cfg := range cfgs {
		cfg.Teacher.Weights = d.Teacher.Weights

		// The student, with the teacher and without.
		var pair Pair
		if pair.Distilled, err = d.distilled(ctx, ds, cfg, shared, opt); err != nil {
			return d, err
		}
		if !pair.Distilled.Done() {
			d.Stopped = &pair.Distilled
			return d, nil
		}
		each(pair.Distilled)
		found.MaxTime = shared.left()
		if pair.Plain, err = resnetOn(ctx, ds, cfg.Plain(), found); err != nil {
			return d, err
		}
		if !pair.Plain.Done() {
			d.Stopped = &pair.Plain
			return d, nil
		}
		each(pair.Plain)
		d.Pairs = append(d.Pairs, pair)
	}
	return d, nil
}

// distilled trains the student that learns from d's teacher. One that Resume finds finished needs neither soft
// labels nor their checks.
func (d *Distilled) distilled(ctx context.Context, ds *data.Dataset, cfg config.Distill, shared budget, opt Options) (t Trained, err error) {
	tr := training{experiment: DistillExperiment, settings: cfg, cfg: cfg.Plain()}
	if tr.variant, err = DistillVariant(cfg); err != nil {
		return t, err
	}
	if opt.Resume {
		spec, err := tr.spec(imageMaterial{ds}, opt)
		if err != nil {
			return t, err
		}
		rec, err := earlier(opt.Root, spec)
		if err != nil {
			return t, err
		}
		if rec != nil && rec.Status == run.StatusFinished {
			return trainedBefore(*rec, tr)
		}
		if rec != nil && !opt.OtherKernels {
			if err := rec.SameKernels(opt.Env); err != nil { // before images are labelled
				return t, err
			}
		}
	}
	var labels *kept
	tr.lesson, labels, err = teach(ctx, ds, d.Teacher, cfg, opt)
	if err == nil && d.Checks == nil {
		d.Checks, err = selfChecks(ctx, ds, d.Teacher, cfg, tr.lesson, labels)
	}
	if interrupted(ctx) {
		return Trained{Reason: train.Interrupted}, nil
	}
	if err != nil {
		return t, err
	}
	if labels != nil && !slices.Contains(d.Labels, labels.path) {
		d.Labels = append(d.Labels, labels.path)
	}
	opt.MaxTime = shared.left() // after the labelling, which counts
	return start(ctx, imageMaterial{ds}, tr, opt)
}

func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

// teacherOf loads or trains the teacher of cfg. It must have been trained on ds, and where cfg says which
// weights it has, it must have these. Trained is nil where it was loaded.
func teacherOf(ctx context.Context, ds *data.Dataset, cfg config.Distill, opt Options) (*Network, *Trained, error) {
	var trained *Trained
	var n *Network
	var err error
	if cfg.Teacher.From != "" {
		n, err = FindNetwork(opt.Root, cfg.Teacher.From)
	} else {
		var t Trained
		if t, err = resnetOn(ctx, ds, cfg.TeacherTraining(), opt); err != nil || !t.Done() {
			return nil, &t, err
		}
		trained = &t
		if n, err = LoadRun(opt.Root, t.ID); errors.Is(err, fs.ErrNotExist) && t.Reused {
			// Its record is there and its checkpoint is not, as in a clone of the repository.
			if n, err = shipped(t.Result.WeightsSHA256); err == nil && n == nil {
				opt.Say("the teacher's run %s has no checkpoint any more: it is trained anew", t.ID)
				opt.Resume = false
				return teacherOf(ctx, ds, cfg, opt)
			}
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the teacher: %w", err)
	}
	if n.Data.Fingerprint != ds.Fingerprint {
		return nil, nil, fmt.Errorf("the teacher %s was trained on %s with fingerprint %.12s…, the student's data is %s with %.12s…; name a teacher of the same data", n.Source, n.Data.Name, n.Data.Fingerprint, ds.Name, ds.Fingerprint)
	}
	if w := cfg.Teacher.Weights; w != "" && w != n.Weights {
		return nil, nil, fmt.Errorf("the teacher %s has weights with fingerprint %.12s…, wanted are %.12s… (teacher.weights); make the original teacher available again", n.Source, n.Weights, w)
	}
	return n, trained, nil
}

// kept are soft labels and the images they are of, in order.
type kept struct {
	*distill.SoftLabels
	path   string
	images data.Subset
	loader *data.Loader // gives images as they were when labelled, copy c in epoch c
}

// teach makes the lesson of cfg's student: from soft labels on the disk, which are made where they are
// not there yet, or live.
func teach(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill, opt Options) (*lesson, *kept, error) {
	setConv(cfg.Train)
	l := &lesson{loss: kernel.Distillation{Weight: cfg.Distill.Weight, Temperature: cfg.Distill.Temperature}}
	if cfg.Distill.SoftLabels == config.Live {
		scorer, err := teacher.Scorer(cfg.Train.BatchSize)
		l.logits = func(dst []float32, b *data.Batch, _ int) error { return scorer.Score(dst, b) }
		return l, nil, err
	}
	// Every image of the training set is labelled, so that the set serves all seeds; of a part of the
	// data, as many as the student sees.
	trained := split(ds, cfg.Plain()).train
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
	l.logits = func(dst []float32, b *data.Batch, epoch int) error {
		for i, p := range b.Index {
			at[i] = place[p]
		}
		k.Fill(dst, epoch, at[:len(b.Index)])
		return nil
	}
	return l, k, nil
}

// softLabels reads the teacher's logits for images from the disk, or computes and keeps them.
func softLabels(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill, images data.Subset, opt Options) (*kept, error) {
	src := distill.Source{Teacher: teacher.Weights, Network: teacher.Name, Data: ds.Fingerprint, Images: hashIndices(images.Index),
		Augment: "none", Kernel: kernel.Level() + ", " + cfg.Train.Conv}
	k := &kept{images: images, loader: data.NewLoader(images, evalBatch, false, 0)}
	copies := 1
	if cfg.Distill.SoftLabels == config.Augmented {
		a := cfg.Data.Augment
		copies = a.Copies
		src.Augment = fmt.Sprintf("seed %d, flip %v, crop %d, cutout %d", cfg.Seed, a.Flip, a.Crop, a.Cutout)
		k.loader = data.NewAugmentedLoader(images, evalBatch, cfg.Seed, augment(a))
	}
	n, classes := len(images.Index), len(ds.Train.Classes)
	k.path = filepath.Join(opt.Root, softLabelsDir, fmt.Sprintf("%s-%s.safetensors", teacher.Name, src.Fingerprint(copies, n, classes)[:16]))
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
	if err := os.MkdirAll(filepath.Dir(k.path), 0o777); err != nil {
		return nil, fmt.Errorf("soft labels: %w; choose another folder with --out", err)
	}
	if _, err := k.Save(k.path); err != nil {
		return nil, fmt.Errorf("soft labels: %w; free some space there or choose another folder with --out", err)
	}
	return k, nil
}

// label computes all of k's logits.
func (k *kept) label(ctx context.Context, scorer *train.Scorer, sink train.Sink) error {
	b := data.Batch{Index: make([]int32, evalBatch)}
	b.X, b.Y = scorer.EvalBuffers()
	for c := range k.Copies {
		var sum train.Stats
		sink(train.Event{Kind: train.EvalStart, Steps: k.loader.Steps()})
		for i := range k.loader.Steps() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			k.loader.Batch(c, i, &b)
			s, err := scorer.EvalStep(b.Rows)
			if err != nil {
				return err
			}
			k.Set(c, b.Index, scorer.Logits())
			sum.Add(s)
			sink(train.Event{Kind: train.EvalStep, Step: i + 1, Steps: k.loader.Steps(), Items: s.N, Loss: sum.Loss(), Accuracy: sum.Accuracy()})
		}
	}
	return nil
}

// hashIndices is the SHA-256 (hex) of indices in order.
func hashIndices(index []int32) string {
	var b []byte
	for _, i := range index {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checkedImages is how many images the teacher labels again to check soft labels.
const checkedImages = 5000

// selfChecks looks whether what the student will learn from is what it should be. One that fails is an
// error: training would be in vain.
func selfChecks(ctx context.Context, ds *data.Dataset, teacher *Network, cfg config.Distill, l *lesson, k *kept) ([]Check, error) {
	rows, classes := cfg.Train.BatchSize, len(ds.Train.Classes)
	scorer, err := teacher.Scorer(max(rows, evalBatch))
	if err != nil {
		return nil, err
	}
	// The student's first batch, as the teacher sees it now and as the lesson has it.
	plain := cfg.Plain()
	px := ds.Train.H * ds.Train.W * ds.Train.C
	b := data.Batch{X: make([]float32, rows*px), Y: make([]int32, rows), Index: make([]int32, rows)}
	data.NewAugmentedLoader(split(ds, plain).train, rows, cfg.Seed, augment(plain.Data.Augment)).Batch(0, 0, &b)
	rows = b.Rows
	now, taught := make([]float32, rows*classes), make([]float32, rows*classes)
	if err := scorer.Score(now, &b); err != nil {
		return nil, err
	}
	if err := l.logits(taught, &b, 0); err != nil {
		return nil, err
	}
	T := cfg.Distill.Temperature
	kl := kernel.Distillation{Weight: 1, Temperature: T}.Loss(now, taught, b.Y, rows, classes)
	all := []Check{{What: "a student that is the teacher has a divergence of 0",
		Found: fmt.Sprintf("%.3g, on the first batch of %d", kl, rows), Value: float64(kl),
		OK: math.Abs(float64(kl)) <= 1e-9}}

	small := 0.02 * min(1, T)
	cold, warm := gradientSize(small, 1), gradientSize(small, T)
	all = append(all, Check{What: fmt.Sprintf("T² keeps the gradient's size: at T = %g that of T = 1", T),
		Found: fmt.Sprintf("%.3f times it (%.3f without T²), for small logits", warm/cold,
			warm/cold/(T*T)), Value: warm / cold, OK: math.Abs(warm/cold-1) <= 0.05})

	if k != nil {
		some := k.images.First(checkedImages)
		labels := make([]int32, len(some.Index))
		for i, at := range some.Index {
			labels[i] = ds.Train.Labels[at]
		}
		again, err := train.Evaluate(ctx, scorer, k.again(some, cfg), nil)
		if err != nil {
			return nil, err
		}
		have := k.Accuracy(labels)
		all = append(all, Check{What: "the soft labels are as accurate as the teacher",
			Found: fmt.Sprintf("%.2f %% and %.2f %% of %d training images", 100*have, 100*again.Accuracy(),
				len(labels)), Value: have - again.Accuracy(), OK: have == again.Accuracy()})
	}
	for _, c := range all {
		if c.Failed() {
			return nil, fmt.Errorf("self-check: %s; found %s", c.What, c.Found)
		}
	}
	return all, nil
}

// again gives some of k's images as they were when the first copy was labelled.
func (k *kept) again(some data.Subset, cfg config.Distill) *data.Loader {
	if cfg.Distill.SoftLabels == config.Augmented {
		return data.NewAugmentedLoader(some, evalBatch, cfg.Seed, augment(cfg.Data.Augment))
	}
	return data.NewLoader(some, evalBatch, false, 0)
}

// gradientSize is the norm of the gradient of the teacher's part of the loss at temperature T, for made-up
// logits of the given size: it is for logits that are small beside T that T² makes up for all that the
// softer distributions take (Hinton et al. 2015, section 2.1).
func gradientSize(logits, T float64) float64 {
	const rows, classes = 100, 10
	r := rng.New(0, "self-check", 0, 0)
	student, teacher, grad := make([]float32, rows*classes), make([]float32, rows*classes), make([]float32, rows*classes)
	for i := range student {
		student[i], teacher[i] = float32(logits*r.Normal()), float32(logits*r.Normal())
	}
	kernel.Distillation{Weight: 1, Temperature: T}.Grad(grad, student, teacher, make([]int32, rows), rows, classes, 1)
	return math.Sqrt(kernel.SumSquares(grad))
}

// resumeDistill continues the student's run of rec.
func resumeDistill(ctx context.Context, rec run.Record, opt Options) (Trained, error) {
	cfg, err := distillConfig(rec)
	if err != nil {
		return Trained{}, err
	}
	name, err := DistillVariant(cfg)
	if err != nil {
		return Trained{}, err
	}
	ds, err := dataOf(ctx, rec, cfg.Data, opt)
	if err != nil {
		return Trained{}, err
	}
	shared := budget{opt.MaxTime, time.Now()}
	opt.Resume = true
	teacher, trained, err := teacherOf(ctx, ds, cfg, opt)
	if err != nil {
		return Trained{}, err
	}
	if trained != nil && !trained.Done() {
		return *trained, nil
	}
	lesson, _, err := teach(ctx, ds, teacher, cfg, opt)
	if interrupted(ctx) {
		return Trained{ID: rec.ID, Dir: rec.Dir, Variant: name, Config: cfg.Plain(), Reason: train.Interrupted}, nil
	}
	if err != nil {
		return Trained{}, err
	}
	opt.MaxTime = shared.left()
	r, err := opt.takeOver(rec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, imageMaterial{ds}, training{experiment: DistillExperiment, variant: name, settings: cfg, cfg: cfg.Plain(), lesson: lesson}, opt)
}

func distillConfig(rec run.Record) (config.Distill, error) {
	cfg := config.DefaultDistill("student", "teacher", config.Cached)
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// DistillVariant is the name of cfg's student in records: cnn-student-res-kd-t4-w0.9-cached.
func DistillVariant(cfg config.Distill) (string, error) {
	name, err := ResnetVariant(cfg.Plain())
	if err != nil {
		return "", err
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	d := cfg.Distill
	return fmt.Sprintf("%s-kd-t%s-w%s-%s", name, number(d.Temperature), number(d.Weight), d.SoftLabels), nil
}
