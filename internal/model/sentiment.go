package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"

	"dla/internal/atomicfile"
	"dla/internal/kernel"
	"dla/internal/nn"
	"dla/internal/plainfile"
	"dla/internal/weights"
)

// SentenceClassifier is an encoder with a head of two linear layers, which gives the logits of a sentence's classes.
type SentenceClassifier struct {
	*Encoder
	Head    string  // HeadTransformers or HeadPooled
	Pooling Pooling // of HeadPooled; the other heads take the first token
	Dropout float64 // of the head, in training
	Classes int
}

// The heads there are.
const (
	// HeadTransformers is the head that transformers' ...ForSequenceClassification has on the encoder's family. All
	// take the first token:
	//
	//	BERT        pooler.dense, tanh, dropout, classifier
	//	DistilBERT  pre_classifier, ReLU, dropout, classifier
	//	MPNet       dropout, classifier.dense, tanh, dropout, classifier.out_proj
	HeadTransformers = "transformers"
	// HeadPooled takes what the folder of sentence-transformers pools by, without normalising (the mean where it
	// says nothing): pre_classifier, ReLU, dropout, classifier. transformers has no such classifier.
	HeadPooled = "pooled"
)

// head is what the heads differ in.
type head struct {
	dense, out string // names of the linear layers in Params
	tanh       bool   // between them; else ReLU
	dropFirst  bool   // dropout of what the first layer takes, too
	inEncoder  bool   // dense is one of the encoder's modules: its tensors have the encoder's prefix
	saved      []string
	class      string // of transformers; empty: it has none
}

var transformersHeads = map[string]head{
	"bert": {dense: "pooler.dense", out: "classifier", tanh: true, inEncoder: true,
		saved: []string{"pooler", "classifier"}, class: "BertForSequenceClassification"},
	"distilbert": {dense: "pre_classifier", out: "classifier",
		saved: []string{"pre_classifier", "classifier"}, class: "DistilBertForSequenceClassification"},
	"mpnet": {dense: "classifier.dense", out: "classifier.out_proj", tanh: true, dropFirst: true,
		saved: []string{"classifier"}, class: "MPNetForSequenceClassification"},
}

var pooledHead = head{dense: "pre_classifier", out: "classifier", saved: []string{"pre_classifier", "classifier"}}

// NewSentenceClassifier is e, of the Hugging Face folder dir, with a head of the given kind for that many classes.
func NewSentenceClassifier(e *Encoder, dir, kind string, dropout float64, classes int) (*SentenceClassifier, error) {
	c := &SentenceClassifier{Encoder: e, Head: kind, Pooling: Pooling{CLS: true}, Dropout: dropout, Classes: classes}
	if kind == HeadPooled {
		if transformersHeads[e.Family].dense == pooledHead.dense { // a file could not tell which of the two it has
			return nil, fmt.Errorf("head.kind %s is of BERT and MPNet: %s's own head has the same layers, on the first token; use %s", kind, e.Family, HeadTransformers)
		}
		p, err := ReadPooling(dir)
		if err != nil {
			return nil, err
		}
		c.Pooling = Pooling{CLS: p.CLS}
	}
	return c, nil
}

func (c *SentenceClassifier) spec() head {
	if c.Head == HeadPooled {
		return pooledHead
	}
	return transformersHeads[c.Family]
}

// TransformersClass is the class of transformers that this classifier is; empty where it has none.
func (c *SentenceClassifier) TransformersClass() string { return c.spec().class }

// HeadLayers are the names of the head's linear layers in Params, first to last.
func (c *SentenceClassifier) HeadLayers() []string { return []string{c.spec().dense, c.spec().out} }

// HeadModules are the modules that hold the head's layers: what PEFT lists as modules_to_save.
func (c *SentenceClassifier) HeadModules() []string { return c.spec().saved }

// Describe says what the head is, for people: "BertForSequenceClassification (pooler.dense, tanh, classifier)".
func (c *SentenceClassifier) Describe() string {
	h := c.spec()
	between := "ReLU"
	if h.tanh {
		between = "tanh"
	}
	layers := fmt.Sprintf("%s, %s, %s", h.dense, between, h.out)
	switch {
	case h.class != "":
		return fmt.Sprintf("%s (first token, %s)", h.class, layers)
	case c.Pooling.CLS:
		return fmt.Sprintf("pooled (first token, %s)", layers)
	}
	return fmt.Sprintf("pooled (mean of the tokens, %s)", layers)
}

// Logits are [sentences, Classes]. Errors stick to g.
func (c *SentenceClassifier) Logits(g *nn.Graph, in nn.Packed) *G.Node {
	h := c.spec()
	x := c.Pooling.Embedding(g, c.Hidden(g, in), in)
	if h.dropFirst {
		x = nn.Dropout(g, "head.input.dropout", x, c.Dropout)
	}
	if h.tanh {
		x = nn.Tanh(g, "head.tanh", nn.Linear(g, h.dense, x, c.Width))
	} else {
		x = nn.LinearReLU(g, h.dense, x, c.Width)
	}
	x = nn.Dropout(g, "head.dropout", x, c.Dropout)
	return nn.Linear(g, h.out, x, c.Classes)
}

// head lists the weights of the head.
func (c *SentenceClassifier) head() []shape {
	h := c.spec()
	return []shape{
		{h.dense + ".weight", []int{c.Width, c.Width}}, {h.dense + ".bias", []int{c.Width}},
		{h.out + ".weight", []int{c.Classes, c.Width}}, {h.out + ".bias", []int{c.Classes}},
	}
}

// HeadParameters is the number of weights of the head.
func (c *SentenceClassifier) HeadParameters() int {
	return c.Width*c.Width + c.Width + c.Classes*c.Width + c.Classes
}

// Tensors is the number of tensors of the encoder.
func (c *SentenceClassifier) Tensors() int { return len(c.weights()) }

// HeadTensors is the number of tensors of the head.
func (c *SentenceClassifier) HeadTensors() int { return len(c.head()) }

// Prefix is what the names of the encoder's tensors begin with where a file has a head as well: "bert.".
func (e *Encoder) Prefix() string { return families[e.Family].prefix }

// HeadTensorName is the name in a file with a head of the head's tensor called name in Params.
func (c *SentenceClassifier) HeadTensorName(name string) string {
	if h := c.spec(); h.inEncoder && strings.HasPrefix(name, h.dense+".") {
		return c.Prefix() + name
	}
	return name
}

// LoadStart reads into p what of the head the folder dir of the encoder alone has: BERT's pooler, which is a part
// of the encoder for transformers. What p has already stays, and what the folder does not have is drawn when a graph
// asks for it.
func (c *SentenceClassifier) LoadStart(dir string, p *nn.Params) error {
	h := c.spec()
	if !h.inEncoder || p.Has(h.dense+".weight") {
		return nil
	}
	r, err := OpenWeights(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, prefix := range []string{"", c.Prefix()} {
		if hasTensor(r, prefix+h.dense+".weight") {
			return readInto(r, func(name string) string { return prefix + name }, c.head()[:2], p)
		}
	}
	return nil
}

// LoadHead reads the head's weights from the folder dir into p.
func (c *SentenceClassifier) LoadHead(dir string, p *nn.Params) error {
	r, err := OpenWeights(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = c.ReadHead(r, "", p)
	return err
}

// ReadHead reads the head's weights, whose names begin with prefix in r, into p, and says how many tensors it read.
// BERT's pooler may be missing in r: an adapter that leaves it as it is has it in its encoder's file (LoadStart).
func (c *SentenceClassifier) ReadHead(r *weights.Reader, prefix string, p *nn.Params) (int, error) {
	wanted := c.head()
	if h := c.spec(); h.inEncoder && !hasTensor(r, prefix+c.HeadTensorName(h.dense+".weight")) {
		wanted = wanted[2:]
	}
	return len(wanted), readInto(r, func(name string) string { return prefix + c.HeadTensorName(name) }, wanted, p)
}

func hasTensor(r *weights.Reader, name string) bool {
	return slices.ContainsFunc(r.Tensors, func(t weights.Info) bool { return t.Name == name })
}

// FindHead says by the tensors of r, whose names begin with prefix, which head lies on an encoder of a family, and
// for how many classes. A file without a head, or with one of another task, is an error.
func FindHead(r *weights.Reader, prefix, family string) (kind string, classes int, err error) {
	own := transformersHeads[family]
	kind, out := HeadTransformers, own.out
	if own.dense != pooledHead.dense && hasTensor(r, prefix+pooledHead.dense+".weight") {
		kind, out = HeadPooled, pooledHead.out
	}
	i := slices.IndexFunc(r.Tensors, func(t weights.Info) bool { return t.Name == prefix+out+".weight" })
	if i < 0 {
		return "", 0, fmt.Errorf("%s has no head for classes of sentences: wanted is %s%s.weight, as %s has it", r.Path(),
			prefix, out, own.class)
	}
	if s := r.Tensors[i].Shape; len(s) != 2 || s[0] < 1 || s[0] > maxClasses {
		return "", 0, fmt.Errorf("%s: tensor %q has shape %v, want that of 1 to %d classes by the encoder's width", r.Path(),
			r.Tensors[i].Name, s, maxClasses)
	}
	return kind, r.Tensors[i].Shape[0], nil
}

// maxClasses bounds the classes of a head.
const maxClasses = 1000

// readInto reads the weights wanted, which r has under the names that called gives, into p; all of them or none.
func readInto(r *weights.Reader, called func(string) string, wanted []shape, p *nn.Params) error {
	data := make([][]float32, len(wanted))
	for i, w := range wanted {
		if err := r.Expect(called(w.name), w.dims); err != nil {
			return err
		}
		n := 1
		for _, d := range w.dims {
			n *= d
		}
		data[i] = kernel.Alloc(n)
		if err := r.Read(called(w.name), data[i]); err != nil {
			return err
		}
	}
	for i, w := range wanted {
		if err := p.Put(w.name, w.dims, data[i]); err != nil {
			return err
		}
	}
	return nil
}

// The functions that make scores of logits, by the names that transformers has for them.
const (
	Softmax = "softmax" // one class a sentence
	Sigmoid = "sigmoid" // each class by itself: several, one or none a sentence
	None    = "none"    // a regression: the logits are the scores
)

// Labelling is what config.json says about the classes of a sentence classifier.
type Labelling struct {
	Labels   []string // names of the classes
	Function string   // Softmax, Sigmoid or None: what makes scores of logits
}

// ErrClasses is in the error of ReadLabelling where config.json is of another number of classes.
var ErrClasses = errors.New("the head has another number of classes")

// ReadLabelling reads what config.json of the folder dir says about the classes, for a head of that many: their
// names by id2label, else LABEL_0, LABEL_1, ..., and by problem_type the function that transformers'
// TextClassificationPipeline applies. What contradicts the head, or is not known, is an error.
func ReadLabelling(dir string, classes int) (Labelling, error) {
	path := filepath.Join(dir, configName)
	var c struct {
		Labels        map[int]string `json:"id2label"`
		Number        *int           `json:"num_labels"`
		Problem       *string        `json:"problem_type"`
		Architectures []string       `json:"architectures"`
	}
	if err := readJSON(path, &c); err != nil {
		return Labelling{}, err
	}
	for _, a := range c.Architectures {
		for _, other := range []string{"ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering",
			"ForNextSentencePrediction"} {
			if strings.HasSuffix(a, other) {
				return Labelling{}, fmt.Errorf("%s: architectures has %s, whose head is no classifier of sentences", path, a)
			}
		}
	}
	l := Labelling{Function: Softmax}
	switch n := len(c.Labels); {
	case n == 0: // transformers leaves out what is the default
		if c.Number != nil && *c.Number != classes {
			return Labelling{}, fmt.Errorf("%s: num_labels is %d: %w, %d", path, *c.Number, ErrClasses, classes)
		}
		l.Labels = DefaultLabels(classes)
	case n != classes:
		return Labelling{}, fmt.Errorf("%s: id2label has %d labels: %w, %d", path, n, ErrClasses, classes)
	default:
		for i := range n {
			name, ok := c.Labels[i]
			if !ok {
				return Labelling{}, fmt.Errorf("%s: id2label has %d labels and none for class %d", path, n, i)
			}
			l.Labels = append(l.Labels, name)
		}
	}
	problem := ""
	if c.Problem != nil {
		problem = *c.Problem
	}
	switch problem {
	case "":
		if classes == 1 {
			l.Function = Sigmoid
		}
	case "single_label_classification":
		if classes == 1 {
			return Labelling{}, fmt.Errorf("%s: problem_type is %s, which wants two classes or more, and the head has 1", path,
				problem)
		}
	case "multi_label_classification":
		l.Function = Sigmoid
	case "regression":
		l.Function = None
	default:
		return Labelling{}, fmt.Errorf("%s: problem_type is %q, want single_label_classification, multi_label_classification or regression", path, problem)
	}
	return l, nil
}

// DefaultLabels are the names that transformers gives classes without names: LABEL_0, LABEL_1, ...
func DefaultLabels(classes int) []string {
	all := make([]string, classes)
	for i := range all {
		all[i] = fmt.Sprintf("LABEL_%d", i)
	}
	return all
}

// beside are the files of a folder that a model made of it takes along: the tokenizer's and the pooling's.
var beside = []string{"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json",
	"sentence_bert_config.json", modulesName, "1_Pooling/config.json"}

// maxBeside bounds each of them.
const maxBeside = 64 << 20

// Write makes a Hugging Face folder dir of the weights in p, for classes with the given names: config.json and
// tokenizer of the folder from, and model.safetensors with the encoder's tensors behind the family's prefix
// and the head's. transformers loads it as TransformersClass says; where that is empty, as the encoder without a
// head, and README.md has the lines that load the head. A folder that holds anything is refused,
// and what is written is there whole or not at all.
func (c *SentenceClassifier) Write(dir, from string, p *nn.Params, labels []string) error {
	if err := Unused(dir); err != nil {
		return err
	}
	config, err := c.ConfigFor(from, labels)
	if err != nil {
		return err
	}
	have := map[string]*nn.Param{}
	for _, q := range p.List() {
		have[q.Name] = q
	}
	source, err := WeightFiles(from)
	if err != nil {
		return err
	}
	var ts []weights.Tensor
	for _, w := range slices.Concat(c.weights(), c.head()) {
		q, ok := have[w.name]
		if !ok {
			return fmt.Errorf("a model without %s cannot be written", w.name)
		}
		name := c.Prefix() + w.name
		if len(ts) >= c.Tensors() {
			name = c.HeadTensorName(w.name)
		}
		ts = append(ts, weights.Tensor{Name: name, Shape: q.Shape, Data: q.Data})
	}
	err = atomicfile.NewFolder(dir, atomicfile.Permissions(from), func(tmp string) error {
		if err := CopyBeside(from, tmp); err != nil {
			return err
		}
		path := filepath.Join(tmp, weightsName)
		if _, err := weights.Save(path, ts, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		if err := atomicfile.Narrow(path, atomicfile.Permissions(filepath.Join(from, source[len(source)-1]))); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(filepath.Join(tmp, CardName), []byte(c.card(labels))); err != nil {
			return err
		}
		return atomicfile.WriteBytes(filepath.Join(tmp, configName), config)
	})
	if err != nil {
		return fmt.Errorf("%w; free some space there or name another folder", err)
	}
	return nil
}

// CopyBeside copies the files of tokenizer and pooling from the Hugging Face folder from to the folder to.
func CopyBeside(from, to string) error {
	for _, name := range beside {
		src := filepath.Join(from, filepath.FromSlash(name))
		b, err := plainfile.Read(src, maxBeside)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		dst := filepath.Join(to, filepath.FromSlash(name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(dst), 0o777)
		}
		if err == nil {
			err = atomicfile.WriteBytesAs(dst, atomicfile.Permissions(src), b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Unused says whether Write can make a folder dir: one that is there and holds anything is an error.
func Unused(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name another folder", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("%s is not empty; name another folder", dir)
	}
	return nil
}

// ConfigFor is config.json of the folder from for a classifier of the given labels.
func (c *SentenceClassifier) ConfigFor(from string, labels []string) ([]byte, error) {
	f, err := readConfig(filepath.Join(from, configName))
	if err != nil {
		return nil, err
	}
	architecture := c.TransformersClass()
	if architecture == "" { // transformers loads the encoder, and no head
		architecture = strings.TrimSuffix(transformersHeads[c.Family].class, "ForSequenceClassification") + "Model"
	}
	id2label, label2id := map[int]string{}, map[string]int{}
	for i, l := range labels {
		id2label[i], label2id[l] = l, i
	}
	for key, v := range map[string]any{"architectures": []string{architecture}, "id2label": id2label, "label2id": label2id,
		"problem_type": "single_label_classification", "dtype": "float32"} {
		f.fields[key] = v
	}
	delete(f.fields, "torch_dtype")
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f.fields); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return []byte(b.String()), nil
}
