package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/weights"
)

// The files of an adapter as PEFT (https://github.com/huggingface/peft) has them: adapter_config.json says
// what is adapted, adapter_model.safetensors holds A and B of each layer and the head, the layers that PEFT
// calls modules to save. Tensors are named after their place in the model that PEFT wraps:
// base_model.model.distilbert.transformer.layer.0.attention.q_lin.lora_A.weight, base_model.model.classifier.bias.

// The names of the files.
const (
	ConfigName  = "adapter_config.json"
	WeightsName = "adapter_model.safetensors"
)

// wrapped is what PEFT's names begin with.
const wrapped = "base_model.model."

// targetNames are what PEFT finds the layers q, k, v and o by: the ends of their names.
var targetNames = map[string][4]string{
	"distilbert": {"q_lin", "k_lin", "v_lin", "out_lin"},
	"bert":       {"query", "key", "value", "attention.output.dense"},
	"mpnet":      {"attn.q", "attn.k", "attn.v", "attn.o"},
}

// config is adapter_config.json, as far as it is written.
type config struct {
	PeftType     string   `json:"peft_type"`
	TaskType     *string  `json:"task_type"`
	Base         string   `json:"base_model_name_or_path"`
	Rank         int      `json:"r"`
	Alpha        float64  `json:"lora_alpha"`
	Dropout      float64  `json:"lora_dropout"`
	Targets      []string `json:"target_modules"`
	Saved        []string `json:"modules_to_save"`
	Bias         string   `json:"bias"`
	FanInFanOut  bool     `json:"fan_in_fan_out"`
	Inference    bool     `json:"inference_mode"`
	InitWeights  bool     `json:"init_lora_weights"`
	UseRSLora    bool     `json:"use_rslora"`
	UseDora      bool     `json:"use_dora"`
	RankPattern  struct{} `json:"rank_pattern"`
	AlphaPattern struct{} `json:"alpha_pattern"`
}

// Write writes the adapters a of c and its head, in p, to the folder dir, replacing those there. base is where
// PEFT finds the encoder: OWNER/NAME of the hub or a folder. labels are the classes' names, meta is what else the weights' file says of them.
func (a Adapter) Write(dir string, c *model.SentenceClassifier, base string, p *nn.Params, labels []string, meta map[string]string) error {
	have := map[string]*nn.Param{}
	for _, q := range p.List() {
		have[q.Name] = q
	}
	var ts []weights.Tensor
	add := func(prefix, name string) error {
		q, ok := have[name]
		if !ok {
			return fmt.Errorf("there is no %s to write", name)
		}
		ts = append(ts, weights.Tensor{Name: wrapped + prefix + name, Shape: q.Shape, Data: q.Data})
		return nil
	}
	for _, layer := range a.Layers(c.Encoder) {
		if err := errors.Join(add(c.Prefix(), layer+loraA), add(c.Prefix(), layer+loraB)); err != nil {
			return err
		}
	}
	for _, layer := range c.HeadLayers() {
		for _, name := range []string{layer + weight, layer + ".bias"} {
			if err := add(strings.TrimSuffix(c.HeadTensorName(name), name), name); err != nil {
				return err
			}
		}
	}
	cfg := config{PeftType: "LORA", Base: base, Rank: a.Rank, Alpha: a.Alpha, Dropout: a.Dropout, Saved: c.HeadModules(), Bias: "none", Inference: true, InitWeights: true}
	if c.TransformersClass() != "" {
		task := "SEQ_CLS"
		cfg.TaskType = &task
	}
	for i, name := range targetNames[c.Family] {
		if strings.IndexByte(a.Targets, letters[i]) >= 0 {
			cfg.Targets = append(cfg.Targets, name)
		}
	}
	b, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", ConfigName, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w; name another folder", err)
	}
	all := map[string]string{"format": "pt"}
	for k, v := range meta {
		all[k] = v
	}
	if _, err := weights.Save(filepath.Join(dir, WeightsName), ts, all); err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(filepath.Join(dir, model.CardName), []byte(c.AdapterCard(base, labels))); err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, ConfigName), append(b, '\n'))
}

// File is an adapter's folder whose configuration and header have been read.
type File struct {
	Base string            // where its encoder is, as PEFT says it
	Meta map[string]string // of the weights' file

	dir     string
	config  config
	weights string
}

// IsFolder says whether dir holds an adapter.
func IsFolder(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigName))
	return err == nil
}

// off are settings of PEFT that change what is computed and are not computed here: each must be absent, null,
// false or empty.
var off = []string{"rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out",
	"layers_to_transform", "layers_pattern", "layer_replication", "target_parameters", "trainable_token_indices", "exclude_modules",
	"alora_invocation_tokens", "arrow_config", "velora_config", "monteclora_config", "kasa_config", "megatron_config"}

// maxConfig bounds the bytes of adapter_config.json.
const maxConfig = 1 << 20

// Open reads adapter_config.json and the header of adapter_model.safetensors of the folder dir. Adapters of
// another kind than LoRA on the attention of these encoders, with a head, are errors that name the file.
func Open(dir string) (*File, error) {
	f := &File{dir: dir, weights: filepath.Join(dir, WeightsName)}
	path := filepath.Join(dir, ConfigName)
	bad := func(format string, args ...any) (*File, error) {
		return nil, fmt.Errorf("%s: %w; it is no adapter that can be used here", path, fmt.Errorf(format, args...))
	}
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if err := weights.UniqueKeys(b); err != nil {
		return bad("%w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return bad("%w", err)
	}
	for _, key := range off {
		if v := string(all[key]); !slices.Contains([]string{"", "null", "false", "{}", "[]"}, v) {
			return bad("%s is %s, which is not computed here", key, v)
		}
		delete(all, key)
	}
	delete(all, "init_lora_weights") // a name as well, of how they began
	if b, err = json.Marshal(all); err != nil {
		return bad("%w", err)
	}
	if err := json.Unmarshal(b, &f.config); err != nil {
		return bad("%w; want target_modules as a list of names", err)
	}
	switch c := f.config; {
	case c.PeftType != "LORA":
		return bad("peft_type is %q, want LORA", c.PeftType)
	case c.Bias != "none" && c.Bias != "":
		return bad("bias is %q, want none", c.Bias)
	}
	f.Base = f.config.Base
	r, err := weights.Open(f.weights)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; an adapter's folder has its weights in %s", err, WeightsName)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f.Meta = r.Meta
	return f, nil
}

func readFile(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // opening a pipe would block
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxConfig)
	}
	return b, err
}

// Head says which head f has for encoders of the given family, and for how many classes.
func (f *File) Head(family string) (kind string, classes int, err error) {
	r, err := weights.Open(f.weights)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	return model.FindHead(r, wrapped, family)
}

// Adapter is what f adapts of encoders of the given family.
func (f *File) Adapter(family string) (Adapter, error) {
	c := f.config
	a := Adapter{Rank: c.Rank, Alpha: c.Alpha, Dropout: c.Dropout}
	names := targetNames[family]
	known := 0
	for _, i := range []int{0, 2, 1, 3} { // q, v, k, o: as the lab names them
		if slices.ContainsFunc(c.Targets, func(t string) bool { return t == names[i] || strings.HasSuffix("attention."+names[i], "."+t) }) {
			a.Targets += letters[i : i+1]
			known++
		}
	}
	if a.Targets == "qvko" {
		a.Targets = letters
	}
	err := a.Validate()
	if err == nil && known != len(c.Targets) {
		err = fmt.Errorf("target_modules is %v, want some of %v, the attention's layers of %s", c.Targets, names, family)
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w", filepath.Join(f.dir, ConfigName), err)
	}
	return a, nil
}

// Load reads the adapters a of c and its head into p, where graphs then find them. Tensors that are missing,
// of another shape, not finite or of nothing here are an error that names file and tensor.
func (f *File) Load(a Adapter, c *model.SentenceClassifier, p *nn.Params) error {
	r, err := weights.Open(f.weights)
	if err != nil {
		return err
	}
	defer r.Close()
	prefix := wrapped
	if slices.ContainsFunc(r.Tensors, func(t weights.Info) bool { return strings.HasPrefix(t.Name, wrapped+c.Prefix()) }) {
		prefix += c.Prefix()
	}
	used := 0
	for _, layer := range a.Layers(c.Encoder) {
		for _, t := range []struct {
			name string
			dims []int
		}{{layer + loraA, []int{a.Rank, c.Width}}, {layer + loraB, []int{c.Width, a.Rank}}} {
			if err := r.Expect(prefix+t.name, t.dims); err != nil {
				return err
			}
			data := kernel.Alloc(t.dims[0] * t.dims[1])
			if err := r.Read(prefix+t.name, data); err != nil {
				return err
			}
			if err := p.Put(t.name, t.dims, data); err != nil {
				return err
			}
			used++
		}
	}
	n, err := c.ReadHead(r, wrapped, p)
	if err != nil {
		return err
	}
	if used += n; used != len(r.Tensors) {
		return fmt.Errorf("%s has %d tensors, of which %d are those of adapters on %s of %d layers and of the head; the others have no place here", f.weights, len(r.Tensors), used, a.Targets, c.Layers)
	}
	return nil
}
