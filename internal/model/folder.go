package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/nn"
	"dla/internal/plainfile"
	"dla/internal/torch"
	"dla/internal/weights"
)

// A Hugging Face folder has the sizes of an encoder in config.json and its weights in model.safetensors, or in another
// of WeightForms; one of sentence-transformers lists in modules.json what follows the encoder.

const (
	configName  = "config.json"
	weightsName = "model.safetensors"
	modulesName = "modules.json"

	sentenceName = "sentence_bert_config.json"
)

// ReadEncoder reads config.json of the Hugging Face folder dir. A size that is missing, and what is of another
// type, out of bounds or not computed here (another activation than GELU by erf, relative positions of BERT,
// decoders) is an error that names the file and the key; keys that change nothing are passed over. Of the other
// settings a missing one is what transformers takes it for.
func ReadEncoder(dir string) (*Encoder, error) {
	c, err := readConfig(filepath.Join(dir, configName))
	if err != nil {
		return nil, err
	}
	e := &Encoder{Family: c.family()}
	if _, ok := families[e.Family]; !ok {
		return nil, fmt.Errorf("%s: model_type is %q; the encoders here are bert, distilbert and mpnet", c.path, e.Family)
	}
	distil := e.Family == "distilbert"
	key := func(usual, distilled string) string {
		if distil {
			return distilled
		}
		return usual
	}
	e.Vocabulary = c.integer("vocab_size", 1, 1<<24)
	e.Positions = c.integer("max_position_embeddings", 1, 1<<16)
	e.Width = c.integer(key("hidden_size", "dim"), 1, 1<<14)
	e.Layers = c.integer(key("num_hidden_layers", "n_layers"), 0, 256)
	e.Heads = c.integer(key("num_attention_heads", "n_heads"), 1, 1<<10)
	e.Inner = c.integer(key("intermediate_size", "hidden_dim"), 1, 1<<16)
	c.otherwise(key("hidden_dropout_prob", "dropout"), "0.1")
	c.otherwise(key("attention_probs_dropout_prob", "attention_dropout"), "0.1")
	c.otherwise("layer_norm_eps", "1e-12")
	c.otherwise("type_vocab_size", "2")
	c.otherwise("relative_attention_num_buckets", "32")
	e.Dropout = c.number(key("hidden_dropout_prob", "dropout"), 0, 1)
	e.AttentionDropout = c.number(key("attention_probs_dropout_prob", "attention_dropout"), 0, 1)
	e.Eps = 1e-12
	if !distil {
		e.Eps = c.number("layer_norm_eps", 0, 1)
	}
	switch e.Family {
	case "bert":
		e.Kinds = c.integer("type_vocab_size", 1, 1<<10)
		c.want("position_embedding_type", "absolute")
		c.wantFalse("is_decoder")
		c.wantFalse("add_cross_attention")
	case "mpnet":
		e.Buckets = c.integer("relative_attention_num_buckets", 4, 1<<10)
		if e.Buckets%4 != 0 {
			c.fail("relative_attention_num_buckets", "a multiple of 4")
		}
	}
	c.want(key("hidden_act", "activation"), "gelu", "gelu_python") // two programs of the same function
	if c.err == nil && e.Width%e.Heads != 0 {
		c.err = fmt.Errorf("%s: a width of %d is not %d heads", c.path, e.Width, e.Heads)
	}
	if c.err == nil && e.MaxTokens() < 1 {
		c.err = fmt.Errorf("%s: max_position_embeddings of %d leaves no position for a token: the first row used is %d",
			c.path, e.Positions, e.firstRow())
	}
	return e, c.err
}

// configFile is a config.json; the first error sticks.
type configFile struct {
	path   string
	fields map[string]any
	err    error
}

// maxConfig bounds the JSON files of a folder.
const maxConfig = 1 << 20

func readJSON(path string, v any) error {
	b, err := plainfile.Read(path, maxConfig)
	if err != nil {
		return err
	}
	if err = weights.UniqueKeys(b); err == nil {
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if err = d.Decode(v); err == nil && d.More() {
			err = errors.New("something follows the JSON value")
		}
	}
	if err != nil {
		return fmt.Errorf("%s is not what it should be (%w); replace it with a good copy", path, err)
	}
	return nil
}

func readConfig(path string) (*configFile, error) {
	c := &configFile{path: path}
	return c, readJSON(path, &c.fields)
}

func (c *configFile) fail(key, want string) {
	if c.err != nil {
		return
	}
	if v, ok := c.fields[key]; ok {
		c.err = fmt.Errorf("%s: %s is %v, want %s", c.path, key, v, want)
	} else {
		c.err = fmt.Errorf("%s: %s is missing, want %s", c.path, key, want)
	}
}

// otherwise gives key the value that transformers takes where a file has none.
func (c *configFile) otherwise(key string, value json.Number) {
	if _, ok := c.fields[key]; !ok && c.fields != nil {
		c.fields[key] = value
	}
}

// family is model_type, or where there is none what the first of architectures begins with, a class of
// transformers such as DistilBertForMaskedLM.
func (c *configFile) family() string {
	if _, ok := c.fields["model_type"]; ok {
		return c.text("model_type", "")
	}
	if all, ok := c.fields["architectures"].([]any); ok && len(all) > 0 {
		name, _ := all[0].(string)
		for class, family := range map[string]string{"Bert": "bert", "DistilBert": "distilbert", "MPNet": "mpnet"} {
			if rest, ok := strings.CutPrefix(name, class); ok && (rest == "Model" || strings.HasPrefix(rest, "For")) {
				return family
			}
		}
	}
	return ""
}

// integer is the value of key, a whole number from low to high.
func (c *configFile) integer(key string, low, high int64) int {
	n, ok := c.fields[key].(json.Number)
	v, err := n.Int64()
	if !ok || err != nil || v < low || v > high {
		c.fail(key, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return int(v)
}

// number is the value of key, at least low and below high.
func (c *configFile) number(key string, low, high float64) float64 {
	n, ok := c.fields[key].(json.Number)
	v, err := n.Float64()
	if !ok || err != nil || !(v >= low && v < high) {
		c.fail(key, fmt.Sprintf("a number of at least %g and below %g", low, high))
	}
	return v
}

// text is the value of key, or otherwise where there is none.
func (c *configFile) text(key, otherwise string) string {
	v, ok := c.fields[key]
	if !ok {
		return otherwise
	}
	s, ok := v.(string)
	if !ok {
		c.fail(key, "a text")
	}
	return s
}

// want checks that key, where it is there, has one of the values, which all are what is computed here.
func (c *configFile) want(key string, values ...string) {
	if !slices.Contains(values, c.text(key, values[0])) {
		c.fail(key, fmt.Sprintf("%q, the only one that is computed here", values[0]))
	}
}

func (c *configFile) wantFalse(key string) {
	if v, ok := c.fields[key]; ok && v != false {
		c.fail(key, "false, for an encoder")
	}
}

// shape is one weight an encoder has.
type shape struct {
	name string
	dims []int
}

// weights lists all weights by name and shape, in the order in which Hidden asks for them.
func (e *Encoder) weights() (all []shape) {
	add := func(name string, dims ...int) { all = append(all, shape{name, dims}) }
	linear := func(name string, out, in int) {
		add(name+".weight", out, in)
		add(name+".bias", out)
	}
	norm := func(name string) {
		add(name+".weight", e.Width)
		add(name+".bias", e.Width)
	}
	add("embeddings.word_embeddings.weight", e.Vocabulary, e.Width)
	add("embeddings.position_embeddings.weight", e.Positions, e.Width)
	if e.Kinds > 0 {
		add("embeddings.token_type_embeddings.weight", e.Kinds, e.Width)
	}
	norm("embeddings.LayerNorm")
	if e.Buckets > 0 {
		add(biasName, e.Buckets, e.Heads)
	}
	f := families[e.Family]
	for i := range e.Layers {
		name := fmt.Sprintf(f.layer, i)
		q, k, v, o := e.Projections(i)
		for _, p := range []string{q, k, v, o} {
			linear(p, e.Width, e.Width)
		}
		norm(name + f.afterAttention)
		inner, outer := e.FeedForward(i)
		linear(inner, e.Inner, e.Width)
		linear(outer, e.Width, e.Inner)
		norm(name + f.after)
	}
	return all
}

// Load reads the weights of the folder dir into p, where Hidden then finds them. A weight that is missing, of
// another shape or not finite, and a tensor that is neither a weight nor of a known head, are an error that
// names file and tensor; then p holds nothing new. A file of the encoder with a head has its weights behind
// the family's prefix. Each tensor is read straight into its place, so that memory holds the weights once.
func (e *Encoder) Load(dir string, p *nn.Params) error {
	r, prefix, err := e.open(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	return readInto(r, func(name string) string { return prefix + name }, e.weights(), p)
}

// Check says whether the weights in dir are those that e describes, by names and shapes: what Load would refuse
// is an error, without any weight being read.
func (e *Encoder) Check(dir string) error {
	r, _, err := e.open(dir)
	if err != nil {
		return err
	}
	return r.Close()
}

// CheckTensors is Check of r, whose header alone has come of a file called path.
func (e *Encoder) CheckTensors(r *weights.Reader, path string) error {
	_, err := e.fits(r, path)
	return err
}

// Fingerprint is a SHA-256 (hex) of what the encoder in dir computes: the settings that e has, and each of its
// weights by name, shape and float32 values. Another program's copy of the same model has the same, whatever
// its files have beside, in whichever order and precision, as long as the values are the same.
func (e *Encoder) Fingerprint(dir string) (string, error) {
	r, prefix, err := e.open(dir)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d %d %d %d %d %d %d %g %g %g\n", e.Family, e.Vocabulary, e.Positions, e.Kinds, e.Width,
		e.Layers, e.Heads, e.Inner, e.Buckets,
		e.Eps, e.Dropout, e.AttentionDropout)
	for _, w := range e.weights() {
		fmt.Fprintf(h, "%s %v\n", w.name, w.dims)
		if err := r.Copy(h, prefix+w.name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// open reads the header of the weights in dir and says what their names begin with.
func (e *Encoder) open(dir string) (r *weights.Reader, prefix string, err error) {
	if r, err = OpenWeights(dir); err != nil {
		return nil, "", err
	}
	if prefix, err = e.fits(r, r.Path()); err != nil {
		r.Close() // read only
		return nil, "", err
	}
	return r, prefix, nil
}

// WeightForms are the files of weights that are read, in the order they are looked for. An index lists the files in
// which the weights are.
var WeightForms = []string{weightsName, weightsName + indexSuffix, "pytorch_model.bin",
	"pytorch_model.bin" + indexSuffix}

const indexSuffix = ".index.json"

// UnreadForms are the files of weights that are not read, in the order they are looked for.
var UnreadForms = []string{"tf_model.h5", "flax_model.msgpack"}

// WeightFiles are the names of the files in dir that hold the weights: an index first, where there is one.
func WeightFiles(dir string) ([]string, error) {
	for _, name := range WeightForms {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(name, indexSuffix) {
			return []string{name}, nil
		}
		parts, err := shards(path)
		return append([]string{name}, parts...), err
	}
	err := otherWeights(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, weightsName))
	}
	return nil, fmt.Errorf("%w; the weights of a Hugging Face folder are read from %s or %s, or the files that %s or %s "+
		"lists", err, WeightForms[0], WeightForms[2], WeightForms[1], WeightForms[3])
}

// maxShards bounds the files of an index.
const maxShards = 1000

// shards are the files that the index path lists, in order of their names. They lie beside it.
func shards(path string) ([]string, error) {
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	b, err := plainfile.Read(path, maxIndex)
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not what it should be (%w); replace it with a good copy", path, err)
	}
	end := filepath.Ext(strings.TrimSuffix(path, indexSuffix)) // .bin or .safetensors
	var all []string
	for _, name := range index.Files {
		if slices.Contains(all, name) {
			continue
		}
		if strings.ContainsAny(name, `/\:`) || !filepath.IsLocal(name) || filepath.Ext(name) != end {
			return nil, fmt.Errorf("%s lists the file %.100q: want the names of %s files beside it", path, name, end)
		}
		if all = append(all, name); len(all) > maxShards {
			return nil, fmt.Errorf("%s lists more than %d files", path, maxShards)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s lists no files (weight_map); replace it with a good copy", path)
	}
	slices.Sort(all)
	return all, nil
}

// maxIndex bounds an index, in bytes: it has a line for each tensor.
const maxIndex = 16 << 20

// OpenWeights opens the weights of the Hugging Face folder dir, in whichever of WeightForms they are.
func OpenWeights(dir string) (*weights.Reader, error) {
	files, err := WeightFiles(dir)
	if err != nil {
		return nil, err
	}
	index := ""
	if strings.HasSuffix(files[0], indexSuffix) {
		index, files = filepath.Join(dir, files[0]), files[1:]
	}
	var parts []*weights.Reader
	closeAll := func() {
		for _, r := range parts {
			r.Close() // read only
		}
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		var r *weights.Reader
		if filepath.Ext(name) == ".bin" {
			var c *torch.Checkpoint
			if c, err = torch.Open(path); err == nil {
				r = c.Reader
			}
		} else {
			r, err = weights.Open(path)
		}
		if err != nil {
			closeAll()
			return nil, err
		}
		parts = append(parts, r)
	}
	if index == "" {
		return parts[0], nil
	}
	r, err := weights.Join(index, parts)
	if err != nil {
		closeAll()
	}
	return r, err
}

// otherWeights is the error of a folder that has its weights in another form; nil: it has none.
func otherWeights(dir string) error {
	for _, name := range UnreadForms {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return UnreadWeights(filepath.Join(dir, name))
		}
	}
	return nil
}

// UnreadWeights is the error of the file called path, which holds weights in a form that is not read.
func UnreadWeights(path string) error {
	return fmt.Errorf("%s holds the weights in a form that is not read here; load it with transformers and write it with "+
		"save_pretrained(FOLDER, safe_serialization=True, max_shard_size=\"4GB\")", path)
}

// fits gives the tensors of r, called path, the names that they have today, and says what those of e begin with.
func (e *Encoder) fits(r *weights.Reader, path string) (prefix string, err error) {
	if err := r.Rename(todaysName); err != nil {
		return "", err
	}
	f := families[e.Family]
	if slices.ContainsFunc(r.Tensors, func(t weights.Info) bool { return strings.HasPrefix(t.Name, f.prefix) }) {
		prefix = f.prefix
	}
	if err := e.match(r.Tensors, prefix, e.weights()); err != nil {
		return "", fmt.Errorf("%s does not have the weights that %s describes: %w", path, configName, err)
	}
	return prefix, nil
}

// todaysName is the name of a tensor in files that are written today. The oldest, the published BERT's among
// them, call the weight of a layer normalisation gamma and its bias beta, after TensorFlow.
func todaysName(name string) string {
	for old, now := range map[string]string{"gamma": "weight", "beta": "bias"} {
		if rest, ok := strings.CutSuffix(name, "LayerNorm."+old); ok {
			return rest + "LayerNorm." + now
		}
	}
	return name
}

// match compares what a file has with what is wanted.
func (e *Encoder) match(tensors []weights.Info, prefix string, wanted []shape) error {
	have := make(map[string][]int, len(tensors))
	for _, t := range tensors {
		have[t.Name] = t.Shape
	}
	var wrong []string
	for _, w := range wanted {
		dims, ok := have[prefix+w.name]
		switch {
		case !ok:
			wrong = append(wrong, prefix+w.name+" is missing")
		case !slices.Equal(dims, w.dims):
			wrong = append(wrong, fmt.Sprintf("%s has shape %v, want %v", prefix+w.name, dims, w.dims))
		}
		delete(have, prefix+w.name)
	}
	for _, t := range tensors { // what lies beside an encoder with a prefix is a head, of whatever name
		if _, ok := have[t.Name]; ok && strings.HasPrefix(t.Name, prefix) && !e.ignored(strings.TrimPrefix(t.Name, prefix)) {
			wrong = append(wrong, t.Name+" is not wanted")
		}
	}
	if len(wrong) > 5 {
		wrong = append(wrong[:5], fmt.Sprintf("and %d more", len(wrong)-5))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// ignored says whether a tensor is known to be no part of the encoder.
func (e *Encoder) ignored(name string) bool {
	return slices.ContainsFunc(families[e.Family].ignored, func(p string) bool { return strings.HasPrefix(name, p) })
}

// Parameters is the number of weights.
func (e *Encoder) Parameters() int {
	n := 0
	for _, w := range e.weights() {
		size := 1
		for _, d := range w.dims {
			size *= d
		}
		n += size
	}
	return n
}

// ReadPooling reads what follows the encoder in a folder of sentence-transformers. A folder without modules.json
// gives the mean. Modules that are not computed here are an error.
func ReadPooling(dir string) (Pooling, error) {
	var modules []struct{ Path, Type string }
	path := filepath.Join(dir, modulesName)
	if err := readJSON(path, &modules); errors.Is(err, fs.ErrNotExist) {
		return Pooling{}, nil
	} else if err != nil {
		return Pooling{}, err
	}
	var p Pooling
	pooled := false
	for i, m := range modules {
		kind := m.Type[strings.LastIndexByte(m.Type, '.')+1:]
		switch {
		case i == 0 && kind == "Transformer" && m.Path == "":
		case i == 1 && kind == "Pooling" && filepath.IsLocal(m.Path):
			c, err := readConfig(filepath.Join(dir, m.Path, configName))
			if err != nil {
				return Pooling{}, err
			}
			if p, err = c.pooling(); err != nil {
				return Pooling{}, err
			}
			pooled = true
		case i == 2 && kind == "Normalize": // of what comes out, which is a setting of its own: encoder.normalize
		default:
			return Pooling{}, fmt.Errorf("%s: module %d is %s; read are Transformer, Pooling and then Normalize", path, i,
				m.Type)
		}
	}
	if !pooled {
		return Pooling{}, fmt.Errorf("%s has no Pooling", path)
	}
	return p, nil
}

// pooling is the one mode that is on, of the two that are computed here. Until version 5.4 sentence-transformers
// wrote a key for each mode, then pooling_mode with one or a list; it takes the mean where a file names none.
func (c *configFile) pooling() (Pooling, error) {
	var on []string
	switch mode := c.fields["pooling_mode"].(type) {
	case nil:
		for key, v := range c.fields {
			if strings.HasPrefix(key, "pooling_mode_") && v == true {
				on = append(on, key)
			}
		}
	case []any:
		for _, m := range mode {
			on = append(on, fmt.Sprint(m))
		}
	default:
		on = []string{fmt.Sprint(mode)}
	}
	slices.Sort(on)
	switch strings.Join(on, " ") {
	case "", "mean", "pooling_mode_mean_tokens":
		return Pooling{}, nil
	case "cls", "pooling_mode_cls_token":
		return Pooling{CLS: true}, nil
	}
	return Pooling{}, fmt.Errorf("%s: pooling by %v; computed are mean (pooling_mode_mean_tokens) or cls (pooling_mode_cls_token), one of them", c.path, on)
}

// MaxSentence is the number of tokens that sentence-transformers cuts a sentence to with the folder dir
// (max_seq_length of sentence_bert_config.json); 0: the folder does not say.
func MaxSentence(dir string) (int, error) {
	c, err := readConfig(filepath.Join(dir, sentenceName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && c.fields["max_seq_length"] == nil {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := c.integer("max_seq_length", 3, 1<<16)
	return n, c.err
}
