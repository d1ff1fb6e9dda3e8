package labs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"dla/internal/config"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/text"
	"dla/internal/train"
)

// Sentiment is a trained classifier of sentences: the best weights of a run, an adapter's folder or a whole model's.
type Sentiment struct {
	Name            string // of the variant, or of the folder
	Source          string // run id or folder
	Params          int    // of the whole model
	model.Labelling        // of the classes

	base    *SentenceEncoder
	arch    *model.SentenceClassifier
	adapter *lora.Adapter // nil: none
	params  *nn.Params
}

// FindSentiment loads the classifier that from names: the folder of an adapter or a merged model, the name of one under
// checkpoints/, or the id of a finished run under root.
func FindSentiment(root, from string) (*Sentiment, error) {
	for _, dir := range []string{from, filepath.Join(CheckpointsDir, from)} {
		if lora.IsFolder(dir) {
			return loadAdapter(dir)
		}
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
			return loadMerged(dir)
		}
		if _, err := os.Stat(filepath.Join(dir, modelName)); err == nil {
			return nil, classifiesImages("", from)
		}
	}
	if in, id, ok := runFolder(from); ok {
		root, from = in, id
	} else if st, err := os.Stat(from); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s holds neither an adapter (%s) nor a model (config.json); name one that `dla lab3 "+
			"finetune` made", from, lora.ConfigName)
	}
	rec, err := run.Find(root, from)
	if err != nil && root != run.DefaultRoot {
		if other, otherErr := run.Find(run.DefaultRoot, from); otherErr == nil {
			rec, err = other, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no folder with an adapter or a model, and as a run: %w", from, err)
	}
	switch rec.Experiment {
	case FinetuneExperiment:
	case ResnetExperiment, DistillExperiment, RobustExperiment:
		return nil, classifiesImages(filepath.Dir(rec.Dir), rec.ID)
	default:
		return nil, fmt.Errorf("run %s is of %s; classifiers of sentences are trained by `dla lab3 finetune`", rec.ID,
			rec.Experiment)
	}
	if rec.Status != run.StatusFinished {
		return nil, fmt.Errorf("run %s is %s, not finished; `%s` finishes it", rec.ID, rec.Status,
			rec.Command("resume"))
	}
	cfg, err := settingsOf[config.Finetune](rec)
	if err != nil {
		return nil, err
	}
	var res record.Classifier
	if err := record.Read(rec, &res); err != nil {
		return nil, err
	}
	if res.Finetuned == nil {
		return nil, fmt.Errorf("run %s: its result does not name the classes; put back a good copy of the run", rec.ID)
	}
	base, err := FindSentenceEncoder(cfg.Encoder.From, cfg.Encoder.Weights)
	if err != nil {
		return nil, err
	}
	s, err := loadRun(rec.Dir, cfg, base, res.Finetuned.Labels)
	if err != nil {
		return nil, err
	}
	s.Name, s.Source = rec.Variant, rec.ID
	return s, nil
}

// loadRun loads the best weights of the run in dir.
func loadRun(dir string, cfg config.Finetune, base *SentenceEncoder, labels []string) (*Sentiment, error) {
	s := &Sentiment{Labelling: model.Labelling{Labels: labels, Function: model.Softmax}, base: base,
		params: nn.NewParams(0)}
	var err error
	if s.arch, err = sentenceArchitecture(cfg, base, len(labels)); err != nil {
		return nil, err
	}
	if cfg.Method == config.MethodLoRA {
		a := adapterOf(cfg)
		s.adapter = &a
	}
	if cfg.Method != config.MethodFull {
		if err := base.Load(base.dir, s.params); err != nil {
			return nil, err
		}
	}
	best, _, err := run.Record{Summary: run.Summary{ID: filepath.Base(dir)}, Dir: dir}.BestWeights()
	if err != nil {
		return nil, err
	}
	for _, t := range best.Tensors {
		if err := s.params.Put(t.Name, t.Shape, t.Data); err != nil {
			return nil, fmt.Errorf("%s: best weights do not fit the encoder: %w", dir, err)
		}
	}
	return s, s.complete()
}

// loadAdapter loads the adapter in dir and its encoder. If the adapter names the fingerprint of its encoder, another is
// an error.
func loadAdapter(dir string) (*Sentiment, error) {
	f, err := lora.Open(dir)
	if err != nil {
		return nil, err
	}
	if f.Base == "" {
		return nil, fmt.Errorf("%s names no encoder; set base_model_name_or_path", filepath.Join(dir, lora.ConfigName))
	}
	base, err := FindSentenceEncoder(f.Base, f.Meta[metaEncoder])
	if err != nil {
		return nil, fmt.Errorf("the encoder of the adapter %s: %w", dir, err)
	}
	a, err := f.Adapter(base.Encoder)
	if err != nil {
		return nil, err
	}
	s := &Sentiment{Name: filepath.Base(dir), Source: dir, base: base, adapter: &a, params: nn.NewParams(0)}
	head, classes, err := f.Head(base.Family)
	if err != nil {
		return nil, err
	}
	e := *base.Encoder
	a.Attach(&e)
	if s.arch, err = model.NewSentenceClassifier(&e, base.dir, head, 0, classes); err != nil {
		return nil, err
	}
	if s.Labelling, err = labellingOf(f, dir, base.dir, classes); err != nil {
		return nil, err
	}
	if err := base.Load(base.dir, s.params); err != nil {
		return nil, err
	}
	if err := f.Load(a, s.arch, s.params); err != nil {
		return nil, err
	}
	if err := s.arch.LoadStart(base.dir, s.params); err != nil { // a pooler that the adapter does not change
		return nil, err
	}
	return s, s.complete()
}

// labellingOf returns the labels of an adapter's classes: from its own file, else like transformers from config.json of
// the encoder's folder if the number of classes agrees, else LABEL_0, LABEL_1 and so on.
func labellingOf(f *lora.File, dir, base string, classes int) (model.Labelling, error) {
	if names := f.Meta[metaLabels]; names != "" {
		l := model.Labelling{Function: model.Softmax}
		if err := json.Unmarshal([]byte(names), &l.Labels); err != nil || len(l.Labels) != classes {
			return l, fmt.Errorf("%s: its labels %s do not name %d classes; put back a good copy",
				filepath.Join(dir, lora.WeightsName), names, classes)
		}
		return l, nil
	}
	l, err := model.ReadLabelling(base, classes)
	if errors.Is(err, model.ErrClasses) { // the encoder's own head had other classes
		return model.Labelling{Labels: model.DefaultLabels(classes), Function: model.Softmax}, nil
	}
	return l, err
}

// loadMerged loads the whole model in dir.
func loadMerged(dir string) (*Sentiment, error) {
	base, err := FindSentenceEncoder(dir, "")
	if err != nil {
		return nil, err
	}
	s := &Sentiment{Name: filepath.Base(dir), Source: dir, base: base, params: nn.NewParams(0)}
	r, err := model.OpenWeights(dir)
	if err != nil {
		return nil, err
	}
	head, classes, err := model.FindHead(r, "", base.Family)
	r.Close() // read only
	if err != nil {
		return nil, fmt.Errorf("%w; name a model that `dla lab3 finetune --merge` or transformers made, or an adapter",
			err)
	}
	if s.Labelling, err = model.ReadLabelling(dir, classes); err != nil {
		return nil, err
	}
	if s.arch, err = model.NewSentenceClassifier(base.Encoder, dir, head, 0, classes); err != nil {
		return nil, err
	}
	if err := base.Load(dir, s.params); err != nil {
		return nil, err
	}
	if err := s.arch.LoadHead(dir, s.params); err != nil {
		return nil, err
	}
	return s, s.complete()
}

// complete returns an error unless the model has exactly its weights, and counts them.
func (s *Sentiment) complete() error {
	loaded := len(s.params.List())
	g := nn.NewGraph(s.params)
	s.arch.Logits(g, g.Packed(2, 1))
	if g.Err() != nil {
		return g.Err()
	}
	all := s.params.List()
	if len(all) > loaded { // the graph draws missing weights
		return fmt.Errorf("the classifier lacks the weights %s; put back a good copy", all[loaded].Name)
	}
	used := s.arch.HeadTensors() + s.arch.Tensors()
	if s.adapter != nil {
		used += 2 * len(s.adapter.Layers(s.base.Encoder))
	}
	if loaded != used {
		return fmt.Errorf("the classifier has %d tensors, the model has %d; put back a good copy", loaded, used)
	}
	for _, q := range all {
		s.Params += len(q.Data)
	}
	return nil
}

// Write writes the model to the Hugging Face folder dir, adapters merged into the weights. dir must be empty.
func (s *Sentiment) Write(dir string) error {
	p := s.params
	if s.adapter != nil {
		var err error
		if p, err = s.adapter.Merged(s.base.Encoder, p); err != nil {
			return err
		}
	}
	return s.arch.Write(dir, s.base.dir, p, s.Labels)
}

// MaxLength returns the number of tokens that a text is truncated to.
func (s *Sentiment) MaxLength() int { return s.base.Tokenizer.MaxLength() }

// Prediction is the prediction for a text: the class with the largest score, as in transformers'
// TextClassificationPipeline. The score is a probability, unless the model is a regression.
type Prediction struct {
	Text        string       `json:"text"`
	Label       *string      `json:"label"`             // nil for a text without tokens, which is not classified
	Probability *float64     `json:"probability"`       // of the label; nil without a label and for a regression
	Value       *float64     `json:"value,omitempty"`   // of a regression
	Classes     []ClassScore `json:"classes,omitempty"` // all classes of a multi-label model (sigmoid)
	Tokens      int          `json:"tokens"`            // classified tokens, [CLS] and [SEP] included
	Truncated   bool         `json:"truncated"`         // the text was truncated
}

// ClassScore is the probability of one class.
type ClassScore struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

// Score returns the probability, or for a regression the value, of a classified text.
func (p Prediction) Score() float64 {
	if p.Value != nil {
		return *p.Value
	}
	return *p.Probability
}

// Predictions holds the predictions of texts, in order, and their time.
type Predictions struct {
	All     []Prediction
	Tokens  int
	Seconds float64 // for tokenizing and computing, without loading the model
}

// Predict classifies sentences. A sentence without tokens, such as an empty one, has a Prediction without a label. A
// cancelled ctx is an error.
func (s *Sentiment) Predict(ctx context.Context, sentences []string) (Predictions, error) {
	began := time.Now()
	packed := s.base.Tokenizer.Pack(sentences, nil)
	all := Predictions{All: make([]Prediction, len(sentences))}
	var index []int32
	for i, text := range sentences {
		one := &all.All[i]
		one.Text = text
		n := len(packed.Sentence(i))
		if n <= 2 { // [CLS] and [SEP] only
			continue
		}
		index = append(index, int32(i))
		one.Tokens, one.Truncated = n, n == s.base.Tokenizer.MaxLength() && s.base.Tokenizer.Cut(text)
		all.Tokens += n
	}
	if len(index) == 0 {
		return Predictions{}, errors.New("no sentences to classify: none of the texts has a token")
	}
	tokenized := time.Since(began)
	seconds, err := s.scores(ctx, packed, index, func(i int32, logits []float32) error {
		if !all.All[i].decide(s.Labelling, logits) {
			return s.notFinite(sentences[i])
		}
		return nil
	})
	all.Seconds = tokenized.Seconds() + seconds
	return all, err
}

// notFinite is the error of logits that are no numbers.
func (s *Sentiment) notFinite(sentence string) error {
	return fmt.Errorf("the logits of the classifier %s for %.40q are not finite; its weights are damaged", s.Source,
		sentence)
}

// scores calls each with the logits of the sentences of packed at index, in order, and returns the seconds that they
// took, without compiling the model.
func (s *Sentiment) scores(ctx context.Context, packed *text.Packed, index []int32,
	each func(i int32, logits []float32) error) (float64, error) {
	loader, err := text.NewLoader(packed, index, text.Limits{Tokens: max(evalTokens, s.base.Tokenizer.MaxLength()),
		Sentences: evalSentences}, false, 0)
	if err != nil {
		return 0, err
	}
	scorer, err := train.NewSentenceScorer(s.arch, s.params, loader.MaxTokens(), loader.MaxSentences())
	if err != nil {
		return 0, err
	}
	began, classes := time.Now(), len(s.Labels)
	next := 0 // position in index
	batches := scorer.Batches(loader)
	_, err = train.EachBatch(ctx, "", batches.Steps(), nil, func(step int) (train.Stats, error) {
		rows := batches.Lay(0, step)
		if _, err := scorer.EvalStep(rows); err != nil {
			return train.Stats{}, err
		}
		for row := range rows {
			if err := each(index[next], scorer.Logits()[row*classes:(row+1)*classes]); err != nil {
				return train.Stats{}, err
			}
			next++
		}
		return train.Counted(rows), nil
	})
	return time.Since(began).Seconds(), err
}

// decide sets the prediction from the logits of the classes l. It returns false if they are not finite.
func (p *Prediction) decide(l model.Labelling, logits []float32) bool {
	scores := make([]float64, len(logits))
	best := 0
	for i, v := range logits {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
		if v > logits[best] {
			best = i
		}
	}
	sum := 0.0
	for i, v := range logits {
		switch l.Function {
		case model.Softmax:
			scores[i] = math.Exp(float64(v - logits[best]))
			sum += scores[i]
		case model.Sigmoid:
			scores[i] = 1 / (1 + math.Exp(-float64(v)))
		default:
			scores[i] = float64(v)
		}
	}
	p.Label = &l.Labels[best]
	switch l.Function {
	case model.Softmax:
		scores[best] /= sum
		p.Probability = &scores[best]
	case model.Sigmoid:
		p.Probability = &scores[best]
		for i, label := range l.Labels {
			p.Classes = append(p.Classes, ClassScore{label, scores[i]})
		}
	default:
		p.Value = &scores[best]
	}
	return true
}

// Merge writes the model of the finished run id of lab3 finetune under root to the Hugging Face folder dir, adapters
// merged into the weights. dir must be empty.
func Merge(root, id, dir string) error {
	s, err := FindSentiment(root, id)
	if err != nil {
		return err
	}
	return s.Write(dir)
}
