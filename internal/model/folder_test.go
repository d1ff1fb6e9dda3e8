package model

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dla/internal/nn"
	"dla/internal/weights"
)

// folder copies a golden model's folder, its config changed by edit and its tensors by change.
func folder(t *testing.T, family string, edit func(c map[string]any),
	change func(ts []weights.Tensor) []weights.Tensor) string {
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
		{"mpnet", "max_position_embeddings", 2, "leaves no position"},
	} {
		dir := folder(t, tc.family, func(c map[string]any) {
			if c[tc.key] = tc.value; tc.value == nil {
				delete(c, tc.key)
			}
		}, nil)
		_, err := ReadEncoder(dir)
		if err == nil || !strings.Contains(err.Error(), tc.want) ||
			!strings.Contains(err.Error(), filepath.Join(dir, "config.json")) {
			t.Errorf("%s = %v: error %v, want one with %q", tc.key, tc.value, err, tc.want)
		}
	}
	for name, content := range map[string]string{"nothing": "", "a list": "[]",
		"a key twice": `{"model_type":"bert","model_type":"bert"}`, "two values": "{} {}",
		"endless": strings.Repeat(" ", 2<<20), "deep": strings.Repeat("[", 1<<20),
		"deep in a key": `{"model_type":` + strings.Repeat(`{"a":`, 1<<17)} {
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
	for _, architectures := range []any{nil, []string{}, []string{"RobertaModel"}, []string{"BertTokenizer"}, "BertModel",
		[]int{3}} {
		dir := folder(t, "bert", func(c map[string]any) {
			delete(c, "model_type")
			c["architectures"] = architectures
		}, nil)
		if _, err := ReadEncoder(dir); err == nil || !strings.Contains(err.Error(), `model_type is ""; the encoders here`) {
			t.Errorf("no model_type and architectures %v: error %v", architectures, err)
		}
	}
}

// TestConfigDefaults: settings that a file leaves out are what transformers takes then, and those that say the
// same in other words are read: what is computed is the same.
func TestConfigDefaults(t *testing.T) {
	for family := range families {
		whole, err := ReadEncoder(folder(t, family, nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		for name, edit := range map[string]func(c map[string]any){
			"no settings": func(c map[string]any) {
				for _, key := range []string{"layer_norm_eps", "pad_token_id", "hidden_dropout_prob",
					"attention_probs_dropout_prob", "dropout", "attention_dropout",
					"hidden_act", "activation", "type_vocab_size", "relative_attention_num_buckets"} {
					delete(c, key)
				}
			},
			"no model_type":       func(c map[string]any) { delete(c, "model_type") },
			"gelu_python":         func(c map[string]any) { c["hidden_act"], c["activation"] = "gelu_python", "gelu_python" },
			"another padding":     func(c map[string]any) { c["pad_token_id"] = 0 },
			"no token of padding": func(c map[string]any) { c["pad_token_id"] = nil },
		} {
			e, err := ReadEncoder(folder(t, family, edit, nil))
			if err != nil || !reflect.DeepEqual(e, whole) {
				t.Errorf("%s, %s: %+v, %v; want %+v", family, name, e, err, whole)
			}
		}
	}
}

// TestOldNames: a file that calls the weights of layer normalisations gamma and beta has the same weights.
func TestOldNames(t *testing.T) {
	load := func(change func(ts []weights.Tensor) []weights.Tensor) (*nn.Params, error) {
		dir := folder(t, "bert", nil, change)
		e, err := ReadEncoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.NewParams(1)
		return p, e.Load(dir, p)
	}
	want, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	renamed := 0
	old := func(ts []weights.Tensor) []weights.Tensor {
		for i := range ts {
			is := ts[i].Name
			ts[i].Name = strings.Replace(strings.Replace("bert."+is, "LayerNorm.weight", "LayerNorm.gamma", 1), "LayerNorm.bias",
				"LayerNorm.beta", 1)
			if ts[i].Name != "bert."+is {
				renamed++
			}
		}
		head := weights.Tensor{Name: "cls.predictions.transform.LayerNorm.gamma", Shape: []int{1}, Data: []float32{1}}
		answers := weights.Tensor{Name: "regressor.bias", Shape: []int{2}, Data: []float32{1, 2}}
		return append(ts, head, answers)
	}
	got, err := load(old)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range got.List() {
		if w := want.List()[i]; q.Name != w.Name || !slices.Equal(q.Data, w.Data) {
			t.Errorf("%s is not the %s of the same file with today's names", q.Name, w.Name)
		}
	}
	if renamed != 2*5 {
		t.Errorf("%d tensors had an old name", renamed)
	}
	_, err = load(func(ts []weights.Tensor) []weights.Tensor {
		return append(ts, weights.Tensor{Name: "embeddings.LayerNorm.beta", Shape: []int{32}, Data: make([]float32, 32)})
	})
	if err == nil || !strings.Contains(err.Error(), `tensor "embeddings.LayerNorm.bias" is there twice`) {
		t.Errorf("a weight by both names: error %v", err)
	}
}

// TestEncoderFingerprint: it is of what is computed. Names of old, a head beside, another order, precision or
// spelling of the same settings are the same encoder; another weight or setting is another.
func TestEncoderFingerprint(t *testing.T) {
	print := func(dir string) string {
		t.Helper()
		e, err := ReadEncoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		f, err := e.Fingerprint(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// The golden files are halves; folder writes them as float32, in the order of their names.
	want := print(filepath.Join("testdata", "encoders", "bert"))
	if len(want) != 64 {
		t.Errorf("fingerprint %q", want)
	}
	prefixed := func(ts []weights.Tensor) []weights.Tensor {
		for i := range ts {
			ts[i].Name = "bert." + strings.Replace(ts[i].Name, "LayerNorm.weight", "LayerNorm.gamma", 1)
		}
		return append(ts, weights.Tensor{Name: "cls.x", Shape: []int{1}, Data: []float32{1}})
	}
	for name, dir := range map[string]string{
		"float32":     folder(t, "bert", nil, nil),
		"with a head": folder(t, "bert", nil, prefixed),
		"other settings": folder(t, "bert", func(c map[string]any) {
			c["transformers_version"] = "9"
			delete(c,
				"layer_norm_eps")
		}, nil),
	} {
		if got := print(dir); got != want {
			t.Errorf("%s: fingerprint %s, want %s", name, got, want)
		}
	}
	seen := map[string]string{want: "the golden model"}
	for name, dir := range map[string]string{
		"a bit of a weight": folder(t, "bert", nil, func(ts []weights.Tensor) []weights.Tensor {
			ts[0].Data[0] = math.Nextafter32(ts[0].Data[0], 9)
			return ts
		}),
		"two weights exchanged": folder(t, "bert", nil, func(ts []weights.Tensor) []weights.Tensor {
			at := func(name string) int {
				return slices.IndexFunc(ts,
					func(w weights.Tensor) bool { return w.Name == "encoder.layer.0.attention.self."+name+".weight" })
			}
			q, k := at("query"), at("key")
			ts[q].Name, ts[k].Name = ts[k].Name, ts[q].Name
			return ts
		}),
		"epsilon": folder(t, "bert", func(c map[string]any) { c["layer_norm_eps"] = 1e-5 }, nil),
		"heads":   folder(t, "bert", func(c map[string]any) { c["num_attention_heads"] = 2 }, nil),
		"dropout": folder(t, "bert", func(c map[string]any) { c["hidden_dropout_prob"] = 0.2 }, nil),
	} {
		got := print(dir)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[got] = name
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
		{"extra, with a prefix", "bert.encoder.layer.2.x is not wanted", func(ts []weights.Tensor) []weights.Tensor {
			for i := range ts {
				ts[i].Name = "bert." + ts[i].Name
			}
			return append(ts, weights.Tensor{Name: "bert.encoder.layer.2.x", Shape: []int{1}, Data: []float32{1}},
				weights.Tensor{Name: "qa_outputs.bias", Shape: []int{1}, Data: []float32{1}})
		}},
		{"many", "and ", func(ts []weights.Tensor) []weights.Tensor { return ts[:3] }},
	} {
		dir := folder(t, "bert", nil, tc.change)
		e, err := ReadEncoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.NewParams(1)
		if err := e.Load(dir, p); err == nil || !strings.Contains(err.Error(), tc.want) ||
			!strings.Contains(err.Error(), dir) {
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
	for _, name := range UnreadForms {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.Check(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) ||
			!strings.Contains(err.Error(), "save_pretrained(FOLDER, safe_serialization=True") {
			t.Errorf("%s alone: error %v, want one that names it and the remedy", name, err)
		}
	}
}

func TestReadPooling(t *testing.T) {
	const transformer, pooling, normalize = `{"path":"","type":"sentence_transformers.models.Transformer"}`, `{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}`, `{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}`
	mean := map[string]any{"word_embedding_dimension": 32, "pooling_mode_cls_token": false,
		"pooling_mode_mean_tokens": true}
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
		{"[" + transformer + "," + pooling + "," + normalize + "]", cls, Pooling{CLS: true}, ""},
		{"[" + transformer + "," + pooling + "]", both, Pooling{}, "pooling_mode_max_tokens"},
		// since sentence-transformers 5.4
		{"[" + transformer + "," + pooling + "]", map[string]any{"embedding_dimension": 32, "pooling_mode": "mean",
			"include_prompt": true}, Pooling{}, ""},
		{"[" + transformer + "," + pooling + "]", map[string]any{"pooling_mode": []string{"cls"},
			"pooling_mode_mean_tokens": true}, Pooling{CLS: true}, ""},
		{"[" + transformer + "," + pooling + "]", map[string]any{"embedding_dimension": 32}, Pooling{}, ""},
		{"[" + transformer + "," + pooling + "]", map[string]any{"pooling_mode": []string{"mean", "cls"}}, Pooling{},
			"pooling by [cls mean]"},
		{"[" + transformer + "," + pooling + "]", map[string]any{"pooling_mode": "lasttoken"}, Pooling{},
			"pooling by [lasttoken]"},
		{"[" + transformer + "," + pooling + "]", map[string]any{"pooling_mode": 3}, Pooling{}, "pooling by [3]"},
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
		switch {
		case tc.err != "":
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v, want one with %q", tc.modules, err, tc.err)
			}
		case err != nil:
			t.Errorf("%s: %v", tc.modules, err)
		case got != tc.want:
			t.Errorf("%s: %+v, want %+v", tc.modules, got, tc.want)
		}
	}
}

// TestMaxSentence: the limit that sentence-transformers writes, where it writes one.
func TestMaxSentence(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]int{"": 0, `{"max_seq_length": 256, "do_lower_case": false}`: 256,
		`{"max_seq_length": null}`: 0, `{"max_seq_length": 2}`: -1, `{"max_seq_length": "256"}`: -1, `[`: -1} {
		path := filepath.Join(dir, "sentence_bert_config.json")
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		n, err := MaxSentence(dir)
		switch {
		case want < 0:
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v, want one with %s", content, err, path)
			}
		case err != nil:
			t.Errorf("%s: %v", content, err)
		case n != want:
			t.Errorf("%s: %d, want %d", content, n, want)
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
