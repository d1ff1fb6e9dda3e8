package labs

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/record"
	"dla/internal/train"
)

// BaselineExperiment is the name of the experiment in records.
const BaselineExperiment = "lab3/baseline"

// baseline trains a head of two layers on the features of a frozen sentence encoder.
func baseline() Experiment {
	e := newExperiment[config.Baseline, record.Classifier](BaselineExperiment, config.DefaultBaseline, openBaseline,
		planBaseline)
	return checked(e, func(cfg config.Baseline, opt Options) error {
		_, err := encoderOf(cfg.Encoder.From, cfg.Encoder.Weights, opt)
		return err
	})
}

// openBaseline finds the encoder and reads the sentences.
func openBaseline(ctx context.Context, cfg config.Baseline, opt Options) (Job, error) {
	e, err := encoderOf(cfg.Encoder.From, cfg.Encoder.Weights, opt)
	if err != nil {
		return nil, err
	}
	if err := locateSentences(&cfg.Data); err != nil {
		return nil, err
	}
	set, err := readSentences(ctx, cfg.Data, opt)
	if err != nil {
		return nil, err
	}
	old := olderEncoders(cfg.Encoder.From, e, func(from, weights string) any {
		c := cfg
		c.Encoder.From, c.Encoder.Weights = from, weights
		return c
	})
	cfg.Encoder.From, cfg.Encoder.Weights = e.From, e.Weights
	build := func(ctx context.Context, opt Options) (trainable, error) { return newProbe(ctx, set, e, cfg, opt) }
	return &training{experiment: BaselineExperiment, variant: BaselineVariant(cfg), settings: cfg, cfg: cfg.Training(),
		data: sentencesInfo(set), build: build, old: old}, nil
}

// probe is a head in training on frozen features.
type probe struct {
	*classifier
	on         *features
	train, val *data.VectorLoader
}

// newProbe makes the features of the sentences, or reads them from the cache, and makes the head.
func newProbe(ctx context.Context, set *data.Sentences, e *SentenceEncoder, cfg config.Baseline,
	opt Options) (*probe, error) {
	key := fmt.Sprintf("features of %s, %s, %v, %s, %d", e.Content, cfg.Encoder.Pooling, cfg.Encoder.Normalize,
		set.Fingerprint, cfg.Data.Limit)
	m, err := once(opt, key, func() (*features, error) { return newFeatures(ctx, set, e, cfg, opt) })
	if err != nil {
		return nil, err
	}
	arch := model.MLPHead{Hidden: cfg.Head.Hidden, Dropout: cfg.Head.Dropout}
	if cfg.Head.Standardize {
		arch.Mean, arch.Std = m.moments()
	}
	p := &probe{on: m, train: data.NewVectorLoader(&m.vectors, m.train, cfg.Train.BatchSize, true, cfg.Seed),
		val: m.loader(m.val)}
	p.classifier, err = newHead(arch, cfg.Training(), m.vectors.Width, len(set.Classes), p.train.Steps())
	return p, err
}

// job selects the epoch by the smallest validation loss: on a thousand sentences the accuracy is too coarse, and it
// peaks early while the loss still falls.
func (p *probe) job() train.Job {
	j := p.classifier.job()
	j.Train, j.Val, j.SelectByLoss = p.net.TrainBatches(p.train), p.net.Batches(p.val), true
	return j
}

// evaluate evaluates the head on the test split, and on the training split without dropout.
func (p *probe) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	m := p.on
	trained, err := train.Evaluate(ctx, p.net, p.net.Batches(m.loader(m.train)), e.sink)
	if err != nil {
		return nil, err
	}
	labels := make([]int32, len(m.test))
	for i, at := range m.test {
		labels[i] = m.vectors.Labels[at]
	}
	test, predictions, err := testOn(ctx, p.net.Scorer, p.net.Batches(m.loader(m.test)), labels, e.sink)
	if err != nil {
		return nil, err
	}
	res, err := p.result(e, test, predictions, labels, m.set.Classes)
	if err != nil {
		return nil, err
	}
	on := trained.Measure()
	res.Train = &on
	res.Note = syntheticNote(m.set.Name, m.set.Synthetic)
	res.Encoder, err = m.encoder.recorded(m.encoder.Frozen)
	return res, err
}

// notInNames matches characters that are not allowed in the name of a variant.
var notInNames = regexp.MustCompile(`[^0-9A-Za-z.]+`)

// BaselineVariant returns the name of cfg's network in records: minilm-mlp256.
func BaselineVariant(cfg config.Baseline) string {
	return encoderInNames(cfg.Encoder.From) + "-" + model.MLPHead{Hidden: cfg.Head.Hidden}.Name()
}

// encoderInNames returns the name of an encoder in the names of variants; for a folder it is the last element.
func encoderInNames(from string) string {
	from = strings.Trim(notInNames.ReplaceAllString(filepath.Base(from), "_"), "_.")
	if from == "" {
		return "encoder"
	}
	return from
}

// planBaseline estimates the cost of training a head, without the features, which are computed once.
func planBaseline(cfg config.Baseline, opt Options) (Plan, error) {
	e, err := encoderOf(cfg.Encoder.From, cfg.Encoder.Weights, opt)
	if err != nil {
		return Plan{}, err
	}
	if err := locateSentences(&cfg.Data); err != nil {
		return Plan{}, err
	}
	n, classes, _, err := sentencesSize(cfg.Data, e, opt)
	if err != nil {
		return Plan{}, err
	}
	cfg.Encoder.From, cfg.Encoder.Weights = e.From, e.Weights
	return Plan{Variant: BaselineVariant(cfg), Seed: cfg.Seed, Config: cfg, cost: func() (Cost, error) {
		c := cfg.Training()
		steps := (n + c.Train.BatchSize - 1) / c.Train.BatchSize
		head, err := newHead(model.MLPHead{Hidden: cfg.Head.Hidden, Dropout: cfg.Head.Dropout}, c, e.Width, classes,
			steps)
		if err != nil {
			return nil, err
		}
		return timed(head.cost(), head.job(), c, n, steps)
	}}, nil
}

// features holds a frozen encoder's vectors of a set of sentences.
type features struct {
	set              *data.Sentences
	encoder          *SentenceEncoder
	vectors          data.Vectors // of the sentences of all three splits, one split after the other
	train, val, test []int32      // rows of it
}

// newFeatures computes the features of the sentences of set, or reads them from the cache.
func newFeatures(ctx context.Context, set *data.Sentences, e *SentenceEncoder, cfg config.Baseline,
	opt Options) (*features, error) {
	m := &features{set: set, encoder: e}
	var sentences []string
	rows := func(index []int32) (rows []int32) {
		for _, i := range limited(index, cfg.Data.Limit) {
			rows = append(rows, int32(len(sentences)))
			sentences = append(sentences, set.Text[i])
			m.vectors.Labels = append(m.vectors.Labels, set.Labels[i])
		}
		return rows
	}
	m.train, m.val, m.test = rows(set.Train), rows(set.Val), rows(set.Test)
	x, err := e.embeddings(ctx, sentences, cfg.Encoder.Pooling, opt)
	if err != nil {
		return nil, err
	}
	if cfg.Encoder.Normalize {
		for i := range sentences {
			unitLength(x[i*e.Width : (i+1)*e.Width])
		}
	}
	m.vectors.Width, m.vectors.X = e.Width, x
	return m, nil
}

// moments returns mean and standard deviation of each feature over the training split. A constant feature gets the
// standard deviation 1.
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

// newHead makes a head for features of the given width, and its optimiser. steps is the number of steps per epoch.
func newHead(arch model.MLPHead, cfg config.Training, width, classes, steps int) (*classifier, error) {
	c := &classifier{params: nn.NewParams(cfg.Seed)}
	var err error
	if c.net, err = train.NewClassifier(arch, c.params, []int{width}, classes, cfg.Train.BatchSize, evalBatch,
		cfg.Train.LabelSmoothing); err != nil {
		return nil, err
	}
	c.program, c.macs = c.net, c.net.Eval().MACs()/evalBatch
	c.optimizer, c.schedule, err = optimise(cfg.Train, c.net.Params(), steps)
	return c, err
}

// loader returns a loader of rows in order, for evaluation.
func (m *features) loader(rows []int32) *data.VectorLoader {
	return data.NewVectorLoader(&m.vectors, rows, evalBatch, false, 0)
}
