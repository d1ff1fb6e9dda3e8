package labs

import (
	"context"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
)

// BaselineExperiment is the name of the frozen baselines in records.
const BaselineExperiment = "lab3/baseline"

// Encoded is the frozen encoder a head was trained on.
type Encoded struct {
	Name      string `json:"name"`
	Params    int    `json:"params"`
	Width     int    `json:"width"`                    // of a sentence's features
	Weights   string `json:"weights_sha256"`           // SentenceEncoder's
	Content   string `json:"content_sha256,omitempty"` // SentenceEncoder's; older records have neither this
	Files     string `json:"files_sha256,omitempty"`   // nor the hash of the files' bytes, which Weights was then
	Tokenizer string `json:"tokenizer_sha256"`
}

// BaselineStudy trains a head for every configuration: sentences, their features by the frozen encoder,
// training, the best epoch's weights on the test part once, record and figures. The encoders are those of
// cfgs, one each. It stops at the first run that is interrupted or runs out of time (its Reason says so);
// its ID is empty where that was between runs.
func BaselineStudy(ctx context.Context, encoders []*SentenceEncoder, cfgs []config.Baseline, opt Options, each func(i int, t Trained)) ([]Trained, error) {
	set, err := loadSentences(ctx, cfgs[0].Data.Name, opt)
	if err != nil {
		return nil, err
	}
	shared := budget{opt.MaxTime, time.Now()}
	var all []Trained
	var m *features
	for i, cfg := range cfgs {
		if m == nil || m.encoder != encoders[i] || m.cfg != featuresIn(cfg) {
			m, err = newFeatures(ctx, set, encoders[i], cfg, opt)
			if interrupted(ctx) {
				return append(all, Trained{Reason: train.Interrupted}), nil
			}
			if err != nil {
				return all, err
			}
		}
		opt.MaxTime = shared.left()
		t, err := start(ctx, m, baselineTraining(cfg, encoders[i]), opt)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		each(i, t)
		if !t.Done() {
			break
		}
	}
	return all, nil
}

// BaselineSettings are cfg with what a run records of its encoder.
func BaselineSettings(cfg config.Baseline, e *SentenceEncoder) config.Baseline {
	cfg.Encoder.From, cfg.Encoder.Weights = e.From, e.Weights
	return cfg
}

func baselineTraining(cfg config.Baseline, e *SentenceEncoder) training {
	asked := cfg.Encoder.From
	cfg = BaselineSettings(cfg, e)
	before := func() ([]any, error) {
		return e.before(asked, func(from, weights string) any {
			old := cfg
			old.Encoder.From, old.Encoder.Weights = from, weights
			return old
		})
	}
	return training{experiment: BaselineExperiment, variant: BaselineVariant(cfg), settings: cfg, before: before,
		cfg: cfg.Training(), head: cfg.Head}
}

// resumeBaseline continues the run of rec.
func resumeBaseline(ctx context.Context, rec run.Record, opt Options) (Trained, error) {
	cfg, err := baselineConfig(rec)
	if err != nil {
		return Trained{}, err
	}
	e, set, err := sentencesOf(ctx, rec, cfg.Encoder.From, cfg.Encoder.Weights, cfg.Data.Name, opt)
	if err != nil {
		return Trained{}, err
	}
	m, err := newFeatures(ctx, set, e, cfg, opt)
	if interrupted(ctx) {
		return Trained{ID: rec.ID, Dir: rec.Dir, Variant: rec.Variant, Config: cfg.Training(), Reason: train.Interrupted}, nil
	}
	if err != nil {
		return Trained{}, err
	}
	r, err := opt.takeOver(rec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, m, baselineTraining(cfg, e), opt)
}

func baselineConfig(rec run.Record) (config.Baseline, error) {
	cfg := config.DefaultBaseline()
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// notInNames is what the name of a variant cannot hold.
var notInNames = regexp.MustCompile(`[^0-9A-Za-z.]+`)

// BaselineVariant is the name of cfg's network in records: minilm-mlp256.
func BaselineVariant(cfg config.Baseline) string {
	return encoderInNames(cfg.Encoder.From) + "-" + model.MLPHead{Hidden: cfg.Head.Hidden}.Name()
}

// encoderInNames is what an encoder is called in the names of variants; of a folder it is the last part.
func encoderInNames(from string) string {
	from = strings.Trim(notInNames.ReplaceAllString(filepath.Base(from), "_"), "_.")
	if from == "" {
		return "encoder"
	}
	return from
}

// BaselineCost is CostOf of a head's training. It does not count what the encoder does once.
func BaselineCost(cfg config.Baseline, e *SentenceEncoder) (Cost, error) {
	n, classes, err := data.DescribeSentences(cfg.Data.Name)
	if err != nil {
		return Cost{}, err
	}
	if cfg.Data.Limit > 0 {
		n = min(n, cfg.Data.Limit)
	}
	c := cfg.Training()
	steps := (n + c.Train.BatchSize - 1) / c.Train.BatchSize
	b, err := buildHead(model.MLPHead{Hidden: cfg.Head.Hidden, Dropout: cfg.Head.Dropout}, c, e.Width, classes, steps)
	if err != nil {
		return Cost{}, err
	}
	return timed(Cost{Params: b.params.Count(), MACs: b.macs, PeakBytes: b.net.PeakBytes(), TrainFLOPs: 6 * float64(b.macs)}, b, c, n, steps)
}

// features are a frozen encoder's vectors of a set of sentences, as material.
type features struct {
	set              *data.Sentences
	encoder          *SentenceEncoder
	cfg              featuresOptions
	vectors          data.Vectors // of the sentences of all three parts, one part after the other
	train, val, test []int32      // rows of it
}

// featuresOptions are the settings that features depend on.
type featuresOptions struct {
	pooling   string
	normalize bool
	limit     int
}

func featuresIn(cfg config.Baseline) featuresOptions {
	return featuresOptions{cfg.Encoder.Pooling, cfg.Encoder.Normalize, cfg.Data.Limit}
}

// newFeatures encodes the sentences of set, or finds that done.
func newFeatures(ctx context.Context, set *data.Sentences, e *SentenceEncoder, cfg config.Baseline, opt Options) (*features, error) {
	m := &features{set: set, encoder: e, cfg: featuresIn(cfg)}
	var sentences []string
	part := func(index []int32) (rows []int32) {
		for _, i := range limited(index, cfg.Data.Limit) {
			rows = append(rows, int32(len(sentences)))
			sentences = append(sentences, set.Text[i])
			m.vectors.Labels = append(m.vectors.Labels, set.Labels[i])
		}
		return rows
	}
	m.train, m.val, m.test = part(set.Train), part(set.Val), part(set.Test)
	x, err := e.embeddings(ctx, sentences, cfg.Encoder.Pooling, opt)
	if err != nil {
		return nil, err
	}
	if cfg.Encoder.Normalize {
		for i := range sentences {
			row := x[i*e.Width : (i+1)*e.Width]
			length := float32(max(math.Sqrt(kernel.SumSquares(row)), 1e-12))
			for j := range row {
				row[j] /= length
			}
		}
	}
	m.vectors.Width, m.vectors.X = e.Width, x
	return m, nil
}

func (m *features) info() run.DataInfo { return sentencesInfo(m.set) }

// moments are mean and deviation of each feature over the training part. A feature that does not vary
// there has 1 for the latter.
func (m *features) moments() (mean, std []float64) {
	w, n := m.vectors.Width, float64(len(m.train))
	mean, std = make([]float64, w), make([]float64, w)
	for _, i := range m.train {
		for j, v := range m.vectors.X[int(i)*w : int(i+1)*w] {
			mean[j] += float64(v) / n
		}
	}
	for _, i := range m.train {
		for j, v := range m.vectors.X[int(i)*w : int(i+1)*w] {
			std[j] += (float64(v) - mean[j]) * (float64(v) - mean[j]) / n
		}
	}
	for j, variance := range std {
		if std[j] = math.Sqrt(variance); std[j] < 1e-8 {
			std[j] = 1
		}
	}
	return mean, std
}

// prepare makes the head, its optimiser and its batches.
func (m *features) prepare(tr training) (prepared, error) {
	t := tr.cfg.Train
	arch := model.MLPHead{Hidden: tr.head.Hidden, Dropout: tr.head.Dropout}
	if tr.head.Standardize {
		arch.Mean, arch.Std = m.moments()
	}
	trainer := data.NewVectorLoader(&m.vectors, m.train, t.BatchSize, true, tr.cfg.Seed)
	b, err := buildHead(arch, tr.cfg, m.vectors.Width, len(m.set.Classes), trainer.Steps())
	if err != nil {
		return prepared{}, err
	}
	return prepared{learner: &probe{b, m}, train: trainer, val: m.loader(m.val), close: func() {}}, nil
}

// buildHead makes a head for features of the given width, and its optimiser for epochs of so many steps.
func buildHead(arch model.MLPHead, cfg config.Resnet, width, classes, steps int) (*built, error) {
	b := &built{name: arch.Name(), params: nn.NewParams(cfg.Seed)}
	var err error
	if b.net, err = train.NewClassifier(arch, b.params, []int{width}, classes, cfg.Train.BatchSize, evalBatch, cfg.Train.LabelSmoothing); err != nil {
		return nil, err
	}
	b.program, b.macs = b.net, b.net.Eval().MACs()/evalBatch
	b.optimizer, b.schedule, err = optimise(cfg.Train, b.net.Params(), steps)
	return b, err
}

// loader gives rows in order, for evaluation.
func (m *features) loader(rows []int32) *data.VectorLoader {
	return data.NewVectorLoader(&m.vectors, rows, evalBatch, false, 0)
}

// probe is the learner of a head over frozen features.
type probe struct {
	*built
	on *features
}

// job keeps the epoch of the smallest validation loss: of a thousand sentences the accuracy is too rough a
// measure, and has its largest values early, while the loss still falls.
func (p *probe) job() train.Job {
	j := p.built.job()
	j.SelectByLoss = true
	return j
}

// conclude tests the head, and says how it does on what it was trained on, with nothing dropped.
func (p *probe) conclude(ctx context.Context, e ended, t *Trained) (any, error) {
	m := p.on
	trained, err := train.Evaluate(ctx, p.net, m.loader(m.train), e.sink)
	if err != nil {
		return nil, err
	}
	labels := make([]int32, len(m.test))
	for i, at := range m.test {
		labels[i] = m.vectors.Labels[at]
	}
	test, predictions, err := testOn(ctx, p.net.Scorer, m.loader(m.test), labels, e.sink)
	if err != nil {
		return nil, err
	}
	if err := p.record(e, t, test, predictions); err != nil {
		return nil, err
	}
	on := measured(trained)
	t.Result.Train = &on
	if m.set.Synthetic {
		t.Result.Note = report.SyntheticNote(m.set.Name)
	}
	t.Result.Encoder, err = m.encoder.encoded(m.encoder.Frozen)
	return t.Result, err
}
