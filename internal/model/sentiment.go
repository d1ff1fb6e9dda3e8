package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	G "gorgonia.org/gorgonia"

	"dla/internal/atomicfile"
	"dla/internal/kernel"
	"dla/internal/nn"
	"dla/internal/weights"
)

// SentenceClassifier is an encoder with the head that Hugging Face puts on DistilBERT: a linear layer
// pre_classifier of the encoder's width with ReLU, dropout, and a linear layer classifier. DistilBERT's head
// takes the first token, as there; that of BERT and MPNet, whose encoders here are made for sentences, takes
// what the folder of sentence-transformers pools by, without normalising: the mean where it says nothing.
type SentenceClassifier struct {
	*Encoder
	Pooling Pooling
	Dropout float64 // between the two layers, in training
	Classes int
}

// The layers of the head. Both are initialised as torch.nn.Linear.
const (
	preClassifier = "pre_classifier"
	classifier    = "classifier"
)

// HeadLayers are the names of the head's layers, first to last.
var HeadLayers = []string{preClassifier, classifier}

// NewSentenceClassifier is e, of the Hugging Face folder dir, with a head for that many classes.
func NewSentenceClassifier(e *Encoder, dir string, dropout float64, classes int) (*SentenceClassifier, error) {
	c := &SentenceClassifier{Encoder: e, Pooling: Pooling{CLS: true}, Dropout: dropout, Classes: classes}
	if e.Family != "distilbert" {
		p, err := ReadPooling(dir)
		if err != nil {
			return nil, err
		}
		c.Pooling = Pooling{CLS: p.CLS}
	}
	return c, nil
}

// Logits are [sentences, Classes]. Errors stick to g.
func (c *SentenceClassifier) Logits(g *nn.Graph, in nn.Packed) *G.Node {
	x := c.Pooling.Embedding(g, c.Hidden(g, in), in)
	x = nn.LinearReLU(g, preClassifier, x, c.Width)
	x = nn.Dropout(g, "head.dropout", x, c.Dropout)
	return nn.Linear(g, classifier, x, c.Classes)
}

// head lists the weights of the head.
func (c *SentenceClassifier) head() []shape {
	return []shape{
		{preClassifier + ".weight", []int{c.Width, c.Width}}, {preClassifier + ".bias", []int{c.Width}},
		{classifier + ".weight", []int{c.Classes, c.Width}}, {classifier + ".bias", []int{c.Classes}},
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

// LoadHead reads the head's weights from model.safetensors of the folder dir into p.
func (c *SentenceClassifier) LoadHead(dir string, p *nn.Params) error {
	r, err := weights.Open(filepath.Join(dir, weightsName))
	if err != nil {
		return err
	}
	defer r.Close()
	return c.ReadHead(r, "", p)
}

// ReadHead reads the head's weights, whose names begin with prefix in r, into p.
func (c *SentenceClassifier) ReadHead(r *weights.Reader, prefix string, p *nn.Params) error {
	return readInto(r, prefix, c.head(), p)
}

// readInto reads the weights wanted, whose names begin with prefix in r, into p; all of them or none.
func readInto(r *weights.Reader, prefix string, wanted []shape, p *nn.Params) error {
	data := make([][]float32, len(wanted))
	for i, w := range wanted {
		if err := r.Expect(prefix+w.name, w.dims); err != nil {
			return err
		}
		n := 1
		for _, d := range w.dims {
			n *= d
		}
		data[i] = kernel.Alloc(n)
		if err := r.Read(prefix+w.name, data[i]); err != nil {
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

// Labels are the names of the classes that config.json of the folder dir gives (id2label); nil where it gives
// none.
func Labels(dir string) ([]string, error) {
	path := filepath.Join(dir, configName)
	var c struct {
		Labels map[int]string `json:"id2label"`
	}
	if err := readJSON(path, &c); err != nil {
		return nil, err
	}
	var all []string
	for i := range len(c.Labels) {
		name, ok := c.Labels[i]
		if !ok {
			return nil, fmt.Errorf("%s: id2label has %d labels and none for class %d", path, len(c.Labels), i)
		}
		all = append(all, name)
	}
	return all, nil
}

// beside are the files of a folder that a model made of it takes along: the tokenizer's and the pooling's.
var beside = []string{"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "sentence_bert_config.json", modulesName, "1_Pooling/config.json"}

// Write makes a Hugging Face folder dir of the weights in p, for classes with the given names: config.json and
// tokenizer of the folder from, and model.safetensors with the encoder's tensors behind the family's prefix
// and the head's. transformers loads a DistilBERT of it as DistilBertForSequenceClassification, and of the
// others the encoder. A folder that holds anything is refused.
func (c *SentenceClassifier) Write(dir, from string, p *nn.Params, labels []string) error {
	if err := Unused(dir); err != nil {
		return err
	}
	config, err := c.configFor(from, labels)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w; name another folder", err)
	}
	for _, name := range beside {
		b, err := os.ReadFile(filepath.Join(from, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = atomicfile.WriteBytes(to, b)
		}
		if err != nil {
			return err
		}
	}
	have := map[string]*nn.Param{}
	for _, q := range p.List() {
		have[q.Name] = q
	}
	var ts []weights.Tensor
	for prefix, all := range map[string][]shape{c.Prefix(): c.weights(), "": c.head()} {
		for _, w := range all {
			q, ok := have[w.name]
			if !ok {
				return fmt.Errorf("a model without %s cannot be written", w.name)
			}
			ts = append(ts, weights.Tensor{Name: prefix + w.name, Shape: q.Shape, Data: q.Data})
		}
	}
	if _, err := weights.Save(filepath.Join(dir, weightsName), ts, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, configName), config) // last: it makes the folder a model
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

// configFor is config.json of the folder from for a classifier of the given labels.
func (c *SentenceClassifier) configFor(from string, labels []string) ([]byte, error) {
	f, err := readConfig(filepath.Join(from, configName))
	if err != nil {
		return nil, err
	}
	architecture := map[string]string{"bert": "BertModel", "mpnet": "MPNetModel", "distilbert": "DistilBertForSequenceClassification"}[c.Family]
	id2label, label2id := map[int]string{}, map[string]int{}
	for i, l := range labels {
		id2label[i], label2id[l] = l, i
	}
	for key, v := range map[string]any{"architectures": []string{architecture}, "id2label": id2label, "label2id": label2id, "dtype": "float32"} {
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
