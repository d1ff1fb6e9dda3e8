package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/plainfile"
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
func (a Adapter) Write(dir string, c *model.SentenceClassifier, base string, p *nn.Params, labels []string,
	meta map[string]string) error {
	have := byName(p)
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
	cfg := config{PeftType: "LORA", Base: base, Rank: a.Rank, Alpha: a.Alpha, Dropout: a.Dropout, Saved: c.HeadModules(),
		Bias: "none", Inference: true, InitWeights: true}
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
	all := map[string]string{"format": "pt"}
	for k, v := range meta {
		all[k] = v
	}
	err = atomicfile.ReplaceFolder(dir, 0o777, func(tmp string) error {
		if _, err := weights.Save(filepath.Join(tmp, WeightsName), ts, all); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(filepath.Join(tmp, model.CardName), []byte(c.AdapterCard(base, labels))); err != nil {
			return err
		}
		return atomicfile.WriteBytes(filepath.Join(tmp, ConfigName), append(b, '\n'))
	})
	if err != nil {
		return fmt.Errorf("%w; name another folder", err)
	}
	return nil
}

// File is an adapter's folder whose configuration and header have been read.
type File struct {
	Base string            // where its encoder is, as PEFT says it
	Meta map[string]string // of the weights' file

	dir      string
	settings settings
	tensors  []weights.Info
	weights  string
}

// IsFolder says whether dir holds an adapter.
func IsFolder(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigName))
	return err == nil
}

// maxConfig bounds the bytes of adapter_config.json.
const maxConfig = 1 << 20

// Open reads adapter_config.json and the header of adapter_model.safetensors of the folder dir. Adapters of
// another kind than LoRA, and settings that are not computed here, are errors that name the file and the key.
func Open(dir string) (*File, error) {
	f := &File{dir: dir, weights: filepath.Join(dir, WeightsName)}
	path := filepath.Join(dir, ConfigName)
	b, err := plainfile.Read(path, maxConfig)
	if err != nil {
		return nil, err
	}
	if f.settings, err = readSettings(b); err != nil {
		return nil, fmt.Errorf("%s is no adapter that can be used here: %w", path, err)
	}
	f.Base = f.settings.Base
	r, err := weights.Open(f.weights)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; an adapter's folder has its weights in %s", err, WeightsName)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f.Meta, f.tensors = r.Meta, r.Tensors
	return f, nil
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

// Load reads the adapters a of c and its head into p, where graphs then find them. Tensors that are missing,
// of another shape, not finite or of nothing here are an error that names file and tensor.
func (f *File) Load(a Adapter, c *model.SentenceClassifier, p *nn.Params) error {
	r, err := weights.Open(f.weights)
	if err != nil {
		return err
	}
	defer r.Close()
	used, err := f.loadEncoder(r, a, c.Encoder, p)
	if err != nil {
		return err
	}
	n, err := c.ReadHead(r, wrapped, p)
	if err != nil {
		return err
	}
	if used += n; used != len(r.Tensors) {
		return fmt.Errorf("%s has %d tensors, of which %d are those of the adapters and of the head; the others have no place here", f.weights, len(r.Tensors), used)
	}
	return nil
}

// prefix is what the names of tensors beside e's have in front of e's.
func (f *File) prefix(e *model.Encoder) string {
	if slices.ContainsFunc(f.tensors, func(t weights.Info) bool { return strings.HasPrefix(t.Name, wrapped+e.Prefix()) }) {
		return wrapped + e.Prefix()
	}
	return wrapped
}

// loadEncoder reads what belongs to the encoder e, whose own weights are in p: the adapters into p, the biases that
// were trained over those there, and the weights that how the adapters began has changed. It says how many tensors
// it took.
func (f *File) loadEncoder(r *weights.Reader, a Adapter, e *model.Encoder, p *nn.Params) (used int, err error) {
	prefix, have := f.prefix(e), byName(p)
	taken := map[string]bool{}
	read := func(name string, dims ...int) ([]float32, error) {
		if err := r.Expect(name, dims); err != nil {
			return nil, fmt.Errorf("%w, by %s; save the adapter anew", err, ConfigName)
		}
		n := 1
		for _, d := range dims {
			n *= d
		}
		data := kernel.Alloc(n)
		taken[name] = true
		return data, r.Read(name, data)
	}
	if bias := f.settings.Bias; bias != "none" {
		for _, t := range r.Tensors {
			q := have[strings.Replace(strings.TrimPrefix(t.Name, prefix), ".base_layer.bias", ".bias", 1)]
			if q == nil || !strings.HasSuffix(t.Name, ".bias") {
				continue
			}
			data, err := read(t.Name, q.Shape...)
			if err != nil {
				return 0, err
			}
			copy(q.Data, data)
		}
		if len(taken) == 0 {
			return 0, fmt.Errorf("%s has no biases of the encoder, and bias is %q in %s; save the adapter anew", f.weights, bias,
				ConfigName)
		}
		for _, t := range r.Tensors { // of the head's biases it has copies
			if strings.HasSuffix(t.Name, ".original_module.bias") || strings.HasSuffix(t.Name, ".modules_to_save.bias") {
				taken[t.Name] = true
			}
		}
	}
	for _, l := range a.layers(e) {
		for _, t := range []struct {
			name string
			dims []int
		}{{l.name + loraA, []int{l.rank, l.in}}, {l.name + loraB, []int{l.out, l.rank}}} {
			data, err := read(prefix+t.name, t.dims...)
			if err != nil {
				return 0, err
			}
			if err := p.Put(t.name, t.dims, data); err != nil {
				return 0, err
			}
		}
		if f.settings.LoRABias {
			data, err := read(prefix+l.name+loraBias, l.out)
			if err != nil {
				return 0, err
			}
			q := have[l.name+".bias"]
			if q == nil || len(q.Data) != l.out {
				return 0, fmt.Errorf("the encoder has no %d weights %s.bias; read them first", l.out, l.name)
			}
			for i, v := range data {
				q.Data[i] += float32(l.scale) * v
			}
		}
	}
	for _, t := range r.Tensors {
		if strings.Contains(t.Name, ".lora_") && !taken[t.Name] {
			return 0, fmt.Errorf("%s: tensor %q adapts what %s does not name among the linear layers of the encoder, and adapters of other layers are not computed here; %s", f.weights, t.Name, ConfigName, mergeIt)
		}
	}
	if err := f.settings.Init.subtract(a.layers(e), have); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(f.dir, ConfigName), err)
	}
	return len(taken), nil
}
