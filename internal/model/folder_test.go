package model

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/nn"
	"dla/internal/weights"
)

// folder copies a golden model's folder, its config changed by edit and its tensors by change.
func folder(t *testing.T, family string, edit func(c map[string]any), change func(ts []weights.Tensor) []weights.Tensor) string {
	t.Helper()
	from, dir := filepath.Join("testdata", "encoders", family), t.TempDir()
	var c map[string]any
	readTest(t, filepath.Join(from, "config.json"), &c)
	if edit != nil {
		edit(c)
	}
	b, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := weights.Open(filepath.Join(from, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ts []weights.Tensor
	for _, info := range r.Tensors {
		tensor := weights.Tensor{Name: info.Name, Shape: info.Shape, Data: make([]float32, info.Len())}
		if err := r.Read(info.Name, tensor.Data); err == nil {
			ts = append(ts, tensor)
		}
	}
	if change != nil {
		ts = change(ts)
	}
	if _, err := weights.Save(filepath.Join(dir, "model.safetensors"), ts, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestConfigRefuses(t *testing.T) {
	for _, tc := range []struct {
		family, key string
		value       any // nil: the key is missing
		want        string
	}{
		{"bert", "model_type", "roberta", `model_type is "roberta"; the encoders here are bert, distilbert and mpnet`},
		{"bert", "model_type", nil, `model_type is ""`},
		{"bert", "model_type", 3, `model_type is ""`},
		{"bert", "hidden_size", nil, "hidden_size is missing, want a whole number"},
		{"bert", "hidden_size", 32.5, "hidden_size is 32.5"},
		{"bert", "hidden_size", "32", "hidden_size is 32, want a whole number"},
		{"bert", "hidden_size", 1 << 40, "from 1 to 16384"},
		{"bert", "num_attention_heads", 5, "a width of 32 is not 5 heads"},
		{"bert", "num_attention_heads", 0, "num_attention_heads is 0"},
		{"bert", "hidden_act", "gelu_new", `hidden_act is gelu_new, want "gelu"`},
		{"distilbert", "activation", "relu", `activation is relu, want "gelu"`},
		{"bert", "position_embedding_type", "relative_key", "position_embedding_type is relative_key"},
		{"bert", "is_decoder", true, "is_decoder is true, want false"},
		{"bert", "layer_norm_eps", -1, "layer_norm_eps is -1"},
		{"distilbert", "dropout", 1, "dropout is 1, want a number of at least 0 and below 1"},
		{"mpnet", "relative_attention_num_buckets", 31, "a multiple of 4"},
		{"mpnet", "pad_token_id", 40, "leaves no position"},
	} {
		dir := folder(t, tc.family, func(c map[string]any) {
			if c[tc.key] = tc.value; tc.value == nil {
				delete(c, tc.key)
			}
		}, nil)
		_, err := ReadEncoder(dir)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), filepath.Join(dir, "config.json")) {
			t.Errorf("%s = %v: error %v, want one with %q", tc.key, tc.value, err, tc.want)
		}
	}
	for name, content := range map[string]string{"nothing": "", "a list": "[]", "a key twice": `{"model_type":"bert","model_type":"bert"}`, "two values": "{} {}", "endless": strings.Repeat(" ", 2<<20)} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadEncoder(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := ReadEncoder(t.TempDir()); err == nil {
		t.Error("a folder without a config was read")
	}
}

func TestLoadRefuses(t *testing.T) {
	named := func(name string) func(w weights.Tensor) bool {
		return func(w weights.Tensor) bool { return w.Name == name }
	}
	const q = "encoder.layer.1.attention.self.query.weight"
	for _, tc := range []struct {
		name, want string
		change     func(ts []weights.Tensor) []weights.Tensor
	}{
		{"missing", q + " is missing", func(ts []weights.Tensor) []weights.Tensor { return slices.DeleteFunc(ts, named(q)) }},
		{"misshapen", q + " has shape [16 64], want [32 32]", func(ts []weights.Tensor) []weights.Tensor {
			ts[slices.IndexFunc(ts, named(q))].Shape = []int{16, 64}
			return ts
		}},
		{"extra", "encoder.layer.2.x is not wanted", func(ts []weights.Tensor) []weights.Tensor {
			return append(ts, weights.Tensor{Name: "encoder.layer.2.x", Shape: []int{1}, Data: []float32{1}})
		}},
		{"many", "and ", func(ts []weights.Tensor) []weights.Tensor { return ts[:3] }},
	} {
		dir := folder(t, "bert", nil, tc.change)
		e, err := ReadEncoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.NewParams(1)
		if err := e.Load(dir, p); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
		if len(p.List()) > 0 {
			t.Errorf("%s: %d parameters were added all the same", tc.name, len(p.List()))
		}
	}
	e, err := ReadEncoder(folder(t, "bert", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Load(t.TempDir(), nn.NewParams(1)); err == nil || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("no weights: %v", err)
	}
}

func TestReadPooling(t *testing.T) {
	const transformer, pooling, normalize = `{"path":"","type":"sentence_transformers.models.Transformer"}`, `{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}`, `{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}`
	mean := map[string]any{"word_embedding_dimension": 32, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}
	cls := map[string]any{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}
	both := maps.Clone(mean)
	both["pooling_mode_max_tokens"] = true
	for _, tc := range []struct {
		modules string
		config  map[string]any
		want    Pooling
		err     string
	}{
		{"", nil, Pooling{}, ""},
		{"[" + transformer + "," + pooling + "]", mean, Pooling{}, ""},
		{"[" + transformer + "," + pooling + "," + normalize + "]", cls, Pooling{CLS: true, Normalize: true}, ""},
		{"[" + transformer + "," + pooling + "]", both, Pooling{}, "pooling_mode_max_tokens"},
		{"[" + transformer + "]", nil, Pooling{}, "no Pooling"},
		{"[" + transformer + "," + strings.Replace(pooling, "1_Pooling", "../../x", 1) + "]", nil, Pooling{}, "module 1"},
		{"[" + transformer + "," + strings.Replace(pooling, "Pooling", "Dense", 2) + "]", nil, Pooling{}, "Dense"},
	} {
		dir := t.TempDir()
		if tc.modules != "" {
			b, err := json.Marshal(tc.config)
			if err == nil {
				err = os.Mkdir(filepath.Join(dir, "1_Pooling"), 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "1_Pooling", "config.json"), b, 0o644)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "modules.json"), []byte(tc.modules), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := ReadPooling(dir)
		if tc.err == "" && (err != nil || got != tc.want) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %+v, %v; want %+v, %q", tc.modules, got, err, tc.want, tc.err)
		}
	}
}

// FuzzReadEncoder: no bytes make reading a config panic, and what is accepted can be built.
func FuzzReadEncoder(f *testing.F) {
	for family := range families {
		b, err := os.ReadFile(filepath.Join("testdata", "encoders", family, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		e, err := ReadEncoder(dir)
		if err != nil || e.Parameters() > 1e6 {
			return
		}
		g := nn.NewGraph(nn.NewParams(1))
		if e.Hidden(g, g.Packed(8, 2)); g.Err() != nil {
			t.Fatal(g.Err())
		}
	})
}
