package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/hub"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/text"
	"dla/internal/train"
	"dla/internal/weights"
)

// FinetuneExperiment is the name of the experiment in records.
const FinetuneExperiment = "lab3/finetune"

// AdapterDir is the folder of a run with its adapter in PEFT's format.
const AdapterDir = "adapter"

// Limits of a batch of sentences in evaluations. They affect speed and memory, not results.
const (
	evalTokens    = 1024
	evalSentences = 64
)

// finetune trains a sentence encoder with a head: whole, with low-rank adapters, or the head alone.
func finetune() Experiment {
	// A missing head.kind in a record is not the default: older records had no choice of the head.
	defaults := func() config.Finetune {
		cfg := config.DefaultFinetune(config.MethodLoRA)
		cfg.LoRA, cfg.Head.Kind = config.LoRA{}, config.HeadUnnamed
		return cfg
	}
	e := newExperiment[config.Finetune, record.Classifier](FinetuneExperiment, defaults, openFinetune, planFinetune)
	return checked(e, func(cfg config.Finetune, opt Options) error {
		_, err := encoderOf(cfg.Encoder.From, cfg.Encoder.Weights, opt)
		return err
	})
}

// openFinetune finds the encoder and reads the sentences.
func openFinetune(ctx context.Context, cfg config.Finetune, opt Options) (Job, error) {
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
	n := len(limited(set.Train, cfg.Data.Limit))
	tc := cfg.Training((n + cfg.Train.BatchSize - 1) / cfg.Train.BatchSize * cfg.Train.Epochs)
	if err := sayHead(cfg, e, len(set.Classes), opt); err != nil {
		return nil, err
	}
	build := func(context.Context, Options) (trainable, error) { return newTunerOn(set, e, cfg, tc) }
	return &training{experiment: FinetuneExperiment, variant: FinetuneVariant(cfg), settings: cfg, cfg: tc,
		label: finetuneLabel(cfg),
		data:  sentencesInfo(set), build: build, old: old}, nil
}

// FinetuneVariant returns the name of cfg's model in records: minilm-lora-qv-r8, minilm-full, minilm-full-pooled.
func FinetuneVariant(cfg config.Finetune) string {
	name := encoderInNames(cfg.Encoder.From) + "-" + cfg.Method
	if l := cfg.LoRA; cfg.Method == config.MethodLoRA {
		name += fmt.Sprintf("-%s-r%d", l.Targets, l.Rank)
		if l.Alpha != config.DefaultFinetune(cfg.Method).LoRA.Alpha {
			name += fmt.Sprintf("-a%g", l.Alpha)
		}
	}
	if cfg.Head.Kind == config.HeadPooled {
		name += "-" + config.HeadPooled
	}
	return name
}

// finetuneLabel returns the label of cfg's model.
func finetuneLabel(cfg config.Finetune) *run.Label {
	f := report.Finetuned{Method: cfg.Method, Targets: cfg.LoRA.Targets, Rank: cfg.LoRA.Rank,
		Pooled: cfg.Head.Kind == config.HeadPooled}
	f.Encoder, f.EncoderOrder = report.EncoderName(encoderInNames(cfg.Encoder.From))
	if cfg.Method == config.MethodLoRA && cfg.LoRA.Alpha != config.DefaultFinetune(cfg.Method).LoRA.Alpha {
		f.Alpha = fmt.Sprintf("%g", cfg.LoRA.Alpha)
	}
	l := f.Label()
	return &l
}

// sentenceBatches holds the sentences and batches of a fine-tuning.
type sentenceBatches struct {
	set              *data.Sentences
	tokenizer        *text.Tokenizer
	packed           *text.Packed // all sentences of the set
	train, val, test []int32
}

// inOrder returns a loader of the sentences of index, in order, for evaluation.
func (b *sentenceBatches) inOrder(index []int32) (*text.Loader, error) {
	return text.NewLoader(b.packed, index, text.Limits{Tokens: max(evalTokens, b.tokenizer.MaxLength()),
		Sentences: evalSentences}, false, 0)
}

// newTunerOn makes the model of cfg, its optimiser and its batches.
func newTunerOn(set *data.Sentences, base *SentenceEncoder, cfg config.Finetune, tc config.Training) (*tuner, error) {
	limit := func(index []int32) []int32 { return limited(index, cfg.Data.Limit) }
	m := &sentenceBatches{set: set, tokenizer: base.Tokenizer, packed: base.Tokenizer.Pack(set.Text, set.Labels),
		train: limit(set.Train), val: limit(set.Val), test: limit(set.Test)}
	t := cfg.Train
	batches, err := text.NewLoader(m.packed, m.train, text.Limits{Sentences: t.BatchSize}, true, cfg.Seed)
	if err != nil {
		return nil, err
	}
	sizes := train.SentenceSizes{Batch: t.BatchSize, BatchTokens: batches.MaxTokens(), MicroBatches: t.Accumulate,
		Eval: evalSentences}
	parts, err := text.NewLoader(m.packed, m.train, text.Limits{Sentences: sizes.MicroBatchSentences()}, false, 0)
	if err != nil {
		return nil, err
	}
	sizes.MicroBatchTokens = parts.MaxTokens()
	for _, index := range [][]int32{m.val, m.test} {
		l, err := m.inOrder(index)
		if err != nil {
			return nil, err
		}
		sizes.EvalTokens = max(sizes.EvalTokens, l.MaxTokens())
	}
	u, err := newTuner(cfg, tc, base, len(set.Classes), sizes, batches.Steps(0))
	if err != nil {
		return nil, err
	}
	val, err := m.inOrder(m.val)
	if err != nil {
		return nil, err
	}
	if set.Files != nil {
		u.tokens = meanLength(m.packed)
	}
	u.on, u.train, u.val = m, u.net.TrainBatches(batches), u.net.Batches(val)
	return u, nil
}

// tuner is a model in fine-tuning.
type tuner struct {
	cfg       config.Finetune
	base      *SentenceEncoder
	classes   int
	tokens    int // mean length of a sentence
	arch      *model.SentenceClassifier
	adapter   lora.Adapter // of method lora
	params    *nn.Params
	frozen    []weights.Tensor
	before    string // fingerprint of frozen before training
	net       *train.SentenceClassifier
	optimizer optim.Optimizer
	schedule  optim.Schedule
	on        *sentenceBatches
	train     train.Batches
	val       train.Batches
}

// adapterOf returns the adapter of cfg.
func adapterOf(cfg config.Finetune) lora.Adapter {
	l := cfg.LoRA
	return lora.Adapter{Targets: l.Targets, Rank: l.Rank, Alpha: l.Alpha, Dropout: l.Dropout}
}

// sentenceArchitecture returns the model of cfg: base with a head and, for lora, adapters.
func sentenceArchitecture(cfg config.Finetune, base *SentenceEncoder, classes int) (*model.SentenceClassifier, error) {
	e := *base.Encoder // a copy, for the adapters
	if cfg.Method == config.MethodLoRA {
		adapterOf(cfg).Attach(&e)
	}
	return model.NewSentenceClassifier(&e, base.dir, headKind(cfg, base.Family), cfg.Head.Dropout, classes)
}

// headKind returns the kind of head of cfg on an encoder of a family.
func headKind(cfg config.Finetune, family string) string {
	switch {
	case cfg.Head.Kind == config.HeadTransformers, cfg.Head.Kind == config.HeadUnnamed && family == "distilbert":
		return model.HeadTransformers
	}
	return model.HeadPooled
}

// newTuner loads the encoder and makes the model. steps is the number of steps per epoch.
func newTuner(cfg config.Finetune, tc config.Training, base *SentenceEncoder, classes int, sizes train.SentenceSizes,
	steps int) (*tuner, error) {
	u := &tuner{cfg: cfg, base: base, classes: classes, tokens: meanTokens, adapter: adapterOf(cfg),
		params: nn.NewParams(cfg.Seed)}
	if err := base.Load(base.dir, u.params); err != nil {
		return nil, err
	}
	if cfg.Method != config.MethodFull {
		u.params.Freeze()
		u.frozen = stateOf(u.params)
	}
	u.before = weights.Fingerprint(u.frozen)
	var err error
	if u.arch, err = sentenceArchitecture(cfg, base, classes); err != nil {
		return nil, err
	}
	if err := u.arch.LoadStart(base.dir, u.params); err != nil {
		return nil, err
	}
	if u.net, err = train.NewSentenceClassifier(u.arch, u.params, sizes); err != nil {
		return nil, err
	}
	u.optimizer, u.schedule, err = optimise(tc.Train, u.net.Params(), steps)
	return u, err
}

func (u *tuner) job() train.Job {
	return train.Job{Program: u.net, Optimizer: u.optimizer, Schedule: u.schedule, Train: u.train, Val: u.val,
		SelectByLoss: true}
}

func (u *tuner) graph() *engine.Program { return u.net.Train() }

func (u *tuner) close() {}

// trainable returns the number of trained weights by the formula of the method, and the formula.
func (u *tuner) trainable() (n int, formula string) {
	head, e := u.arch.HeadParameters(), u.base
	switch u.cfg.Method {
	case config.MethodLoRA:
		return u.adapter.Count(e.Encoder) + head, fmt.Sprintf("%d layers · %d matrices · rank %d · 2·%d + head %d",
			e.Layers, len(u.adapter.Targets), u.adapter.Rank, e.Width, head)
	case config.MethodFull:
		return e.Parameters() + head, fmt.Sprintf("encoder %d + head %d", e.Parameters(), head)
	}
	return head, fmt.Sprintf("head %d", head)
}

// total returns the number of all weights.
func (u *tuner) total() int {
	n := 0
	for _, q := range u.params.List() {
		n += len(q.Data)
	}
	return n
}

// evaluate evaluates the classifier on the test split, writes its adapter and runs the self-checks.
func (u *tuner) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	m := u.on
	loader, err := m.inOrder(m.test)
	if err != nil {
		return nil, err
	}
	labels := make([]int32, len(m.test))
	for i, at := range m.test {
		labels[i] = m.set.Labels[at]
	}
	test, predictions, err := testOn(ctx, u.net, u.net.Batches(loader), labels, e.sink)
	if err != nil {
		return nil, err
	}
	f := &record.Finetuned{Total: u.total(), Labels: m.set.Classes, Head: u.arch.Describe()}
	if u.cfg.Method == config.MethodLoRA {
		f.Adapter = AdapterDir
		if err := u.adapter.Write(filepath.Join(e.run.Dir(), AdapterDir), u.arch, baseForPEFT(u.cfg.Encoder.From),
			u.params,
			m.set.Classes, adapterMeta(u.base, m.set.Classes)); err != nil {
			return nil, err
		}
	}
	if f.Checks, err = u.checks(e.run); err != nil {
		return nil, err
	}
	encoder, err := u.base.recorded(u.base.Tokenizer)
	if err != nil {
		return nil, err
	}
	res := &record.Classifier{
		Test: test, BestEpoch: e.BestEpoch, Epochs: e.Epochs, Reason: string(e.Reason), WallSeconds: e.Seconds,
		ElapsedSeconds: e.elapsed(),
		Val:            e.BestVal.Measure(), LastVal: e.LastVal.Measure(),
		Params: u.params.Count(), MACs: u.macs(), PeakBytes: u.net.PeakBytes(),
		WeightsSHA256: weights.Fingerprint(u.net.State()), LastWeightsSHA256: e.last,
		Encoder:   encoder,
		Finetuned: f,
		Note:      syntheticNote(m.set.Name, m.set.Synthetic),
	}
	return res, attachPredictions(e.run, res, predictions, labels, m.set.Classes)
}

// meanTokens is the mean length of a sentence of Rotten Tomatoes in tokens, for estimates of cost.
const meanTokens = 27

// macs returns the multiply-adds of a sentence of mean length in the linear layers. The attention's products are
// negligible at such lengths and not counted.
func (u *tuner) macs() int {
	e := u.base
	n := e.Layers * (4*e.Width*e.Width + 2*e.Width*e.Inner) * u.tokens
	if u.cfg.Method == config.MethodLoRA {
		n += u.adapter.Count(e.Encoder) * u.tokens
	}
	return n + u.arch.HeadParameters()
}

// sayHead prints the head of cfg on the encoder e and how to load it, once for all runs of a study.
func sayHead(cfg config.Finetune, e *SentenceEncoder, classes int, opt Options) error {
	arch, err := sentenceArchitecture(cfg, e, classes)
	if err != nil {
		return err
	}
	loads := "transformers and PEFT load it"
	if arch.TransformersClass() == "" {
		loads = "transformers has no class for it; " + model.CardName + " beside the weights has the code that loads it"
	}
	line := arch.Describe() + "; " + loads
	_, err = once(opt, line, func() (bool, error) {
		opt.Say("head: %s", line)
		return true, nil
	})
	return err
}

// adapterMeta returns the metadata of an adapter's file: its encoder and labels.
func adapterMeta(base *SentenceEncoder, labels []string) map[string]string {
	names, _ := json.Marshal(labels) // never fails for strings
	return map[string]string{metaEncoder: base.Weights, metaLabels: string(names)}
}

// Keys of an adapter's metadata.
const (
	metaEncoder = "encoder_sha256" // fingerprint of the encoder it was trained on
	metaLabels  = "labels"         // JSON, in the order of the classes
)

// baseForPEFT returns the name by which PEFT finds the encoder called name.
func baseForPEFT(name string) string {
	if repo, err := hub.RepoOf(name); err == nil {
		return repo
	}
	return name
}

// planFinetune estimates the cost of a fine-tuning on sentences of mean length.
func planFinetune(cfg config.Finetune, opt Options) (Plan, error) {
	e, err := encoderOf(cfg.Encoder.From, cfg.Encoder.Weights, opt)
	if err != nil {
		return Plan{}, err
	}
	cfg.Encoder.From, cfg.Encoder.Weights = e.From, e.Weights
	if err := locateSentences(&cfg.Data); err != nil {
		return Plan{}, err
	}
	return Plan{Variant: FinetuneVariant(cfg), Seed: cfg.Seed, Config: cfg,
		cost: func() (Cost, error) { return finetuneCost(cfg, e, opt) }}, nil
}

// finetuneCost times steps on blank sentences.
func finetuneCost(cfg config.Finetune, e *SentenceEncoder, opt Options) (Cost, error) {
	n, classes, tokens, err := sentencesSize(cfg.Data, e, opt)
	if err != nil {
		return nil, err
	}
	steps := (n + cfg.Train.BatchSize - 1) / cfg.Train.BatchSize
	tc := cfg.Training(steps * cfg.Train.Epochs)
	length := max(3, min(tokens, e.Tokenizer.MaxLength()))
	sizes := train.SentenceSizes{Batch: cfg.Train.BatchSize, BatchTokens: length * cfg.Train.BatchSize,
		MicroBatches: cfg.Train.Accumulate, Eval: 1, EvalTokens: length}
	sizes.MicroBatchTokens = length * sizes.MicroBatchSentences()
	u, err := newTuner(cfg, tc, e, classes, sizes, steps)
	if err != nil {
		return nil, err
	}
	sentences := make([]string, cfg.Train.BatchSize)
	for i := range sentences {
		sentences[i] = strings.Repeat(". ", length-2)
	}
	index := make([]int32, len(sentences))
	for i := range index {
		index[i] = int32(i)
	}
	loader, err := text.NewLoader(e.Tokenizer.Pack(sentences, nil), index, text.Limits{Sentences: len(sentences)},
		false, 0)
	if err != nil {
		return nil, err
	}
	u.tokens = length
	u.net.TrainBatches(loader).Lay(0, 0)
	flops := 6.0
	if cfg.Method != config.MethodFull {
		flops = 4 // frozen weights need no gradients
	}
	return timed(TrainingCost{Params: u.params.Count(), MACs: u.macs(), PeakBytes: u.net.PeakBytes(),
		TrainFLOPs: flops * float64(u.macs())}, u.job(), tc, n, steps)
}

// checks returns the self-checks of the training.
func (u *tuner) checks(r *run.Run) ([]record.Check, error) {
	const some = 32 // number of sentences to compare logits on
	m := u.on
	loader, err := m.inOrder(m.val[:min(some, len(m.val))])
	if err != nil {
		return nil, err
	}
	logits := func(arch *model.SentenceClassifier, p *nn.Params) ([]float32, error) {
		s, err := train.NewSentenceScorer(arch, p, loader.MaxTokens(), loader.MaxSentences())
		if err != nil {
			return nil, err
		}
		_, err = s.EvalStep(s.Batches(loader).Lay(0, 0))
		return s.Logits(), err
	}
	now, err := logits(u.arch, u.params)
	if err != nil {
		return nil, err
	}
	var all []record.Check
	add := func(what, found string, value float64, ok bool) {
		all = append(all, record.Check{What: what, Found: found, Value: value, OK: ok})
	}

	n, formula := u.trainable()
	add("the weights trained are as many as the formula says", fmt.Sprintf("%d, %s", u.params.Count(), formula),
		float64(u.params.Count()-n), u.params.Count() == n)
	if u.frozen != nil {
		after := weights.Fingerprint(u.frozen)
		add("the frozen weights have the bits they had", fmt.Sprintf("fingerprint %.12s… before, %.12s… after",
			u.before, after), 0, u.before == after)
	}
	if u.cfg.Method == config.MethodLoRA {
		plain, err := model.NewSentenceClassifier(u.base.Encoder, u.base.dir, u.arch.Head, 0, u.classes)
		if err != nil {
			return nil, err
		}
		// New adapters with B = 0, beside the trained head.
		fresh := nn.NewParams(u.cfg.Seed)
		for _, q := range u.params.List() {
			if !lora.IsAdapter(q.Name) {
				if err := fresh.Put(q.Name, q.Shape, q.Data); err != nil {
					return nil, err
				}
			}
		}
		without, err := logits(plain, fresh)
		if err != nil {
			return nil, err
		}
		with, err := logits(u.arch, fresh)
		if err != nil {
			return nil, err
		}
		d := furthest(with, without)
		add("adapters with B = 0 give the encoder's logits, to the bit",
			fmt.Sprintf("largest difference %g, of %d sentences", d, loader.Len()), d, slices.Equal(with, without))

		merged, err := u.adapter.Merged(u.base.Encoder, u.params)
		if err != nil {
			return nil, err
		}
		one, err := logits(plain, merged)
		if err != nil {
			return nil, err
		}
		// Rounding errors grow with the effect of the adapters, and a wrong merge misses a large fraction of it.
		d, effect := furthest(one, now), furthest(now, without)
		add("merged into the weights, the adapters give the same logits, to 1e-5 or a thousandth of what they change",
			fmt.Sprintf("largest difference %.2g, of logits up to %.3g that they change by up to %.3g", d, largest(now),
				effect), d, d <= max(1e-5*max(1, largest(now)), 1e-3*effect))
	}

	// The saved model, loaded again.
	saved, err := loadRun(r.Dir(), u.cfg, u.base, m.set.Classes)
	if err != nil {
		return nil, err
	}
	again, err := logits(saved.arch, saved.params)
	if err != nil {
		return nil, err
	}
	first := withoutHead(u.params, u.arch, nn.NewParams(u.cfg.Seed))
	if err := u.arch.LoadStart(u.base.dir, first); err != nil {
		return nil, err
	}
	if _, err := logits(u.arch, first); err != nil { // draws the initial head again
		return nil, err
	}
	same, moved := 0, 0
	for _, layer := range u.arch.HeadLayers() {
		a, b, c := dataOfLayer(u.params, layer), dataOfLayer(saved.params, layer), dataOfLayer(first, layer)
		if slices.Equal(a, b) {
			same++
		}
		if !slices.Equal(a, c) {
			moved++
		}
	}
	// A rate too small to change any weight is legal.
	ok := same == 2 && (moved == 2 || u.cfg.Train.LR < 1e-8) && slices.Equal(again, now)
	add("both layers of the head were trained, saved and loaded, and loaded anew the model gives the same logits, "+
		"to the bit",
		fmt.Sprintf("%d trained, %d loaded; largest difference of a logit %g", moved, same,
			furthest(again, now)), furthest(again, now), ok)
	return all, nil
}

// withoutHead adds the parameters of p except the head of arch to q, sharing memory, and returns q.
func withoutHead(p *nn.Params, arch *model.SentenceClassifier, q *nn.Params) *nn.Params {
	for _, w := range p.List() {
		if !slices.ContainsFunc(arch.HeadLayers(), func(layer string) bool {
			return strings.HasPrefix(w.Name,
				layer+".")
		}) {
			_ = q.Put(w.Name, w.Shape, w.Data) // p has each name once, and q was empty
		}
	}
	return q
}

// dataOfLayer returns weights and biases of a linear layer in p.
func dataOfLayer(p *nn.Params, layer string) (all []float32) {
	for _, name := range []string{layer + ".weight", layer + ".bias"} {
		for _, q := range p.List() {
			if q.Name == name {
				all = append(all, q.Data...)
			}
		}
	}
	return all
}

// furthest returns the largest absolute difference of two vectors.
func furthest(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// largest returns the largest absolute value.
func largest(a []float32) float64 { return furthest(a, make([]float32, len(a))) }
