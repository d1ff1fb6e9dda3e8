package lora

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/rng"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

var variants = filepath.Join("testdata", "variants")

// variantOf is the classifier of testdata/variants/base with an adapter of the given files, nothing dropped.
func variantOf(t *testing.T, config, file []byte) (*model.SentenceClassifier, Adapter, *nn.Params, error) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{ConfigName: config, WeightsName: file} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base := filepath.Join(variants, "base")
	e, err := model.ReadEncoder(base)
	if err != nil {
		t.Fatal(err)
	}
	e.Dropout, e.AttentionDropout = 0, 0
	p := nn.NewParams(1)
	if err := e.Load(base, p); err != nil {
		t.Fatal(err)
	}
	c, err := model.NewSentenceClassifier(e, base, model.HeadTransformers, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		return nil, Adapter{}, nil, err
	}
	a, err := f.Adapter(e)
	if err != nil {
		return nil, Adapter{}, nil, err
	}
	a.Dropout = 0
	a.Attach(e)
	return c, a, p, f.Load(a, c, p)
}

func variant(t *testing.T, name string) (config map[string]any, file []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(variants, name, ConfigName))
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err == nil {
		file, err = os.ReadFile(filepath.Join(variants, name, WeightsName))
	}
	if err != nil {
		t.Fatal(err)
	}
	return config, file
}

func encoded(t *testing.T, config map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVariantsOfPEFT: adapters that PEFT made with each of the settings that change what they compute give PEFT's
// logits, also when they are merged.
func TestVariantsOfPEFT(t *testing.T) {
	for _, name := range []string{"pissa", "pissa-all", "olora", "rslora", "patterns", "ending", "regex", "all-linear",
		"layers", "bias-all", "bias-lora"} {
		t.Run(name, func(t *testing.T) {
			config, file := variant(t, name)
			c, a, p, err := variantOf(t, encoded(t, config), file)
			if err != nil {
				t.Fatal(err)
			}
			o := compile(t, c, p, false)
			want := golden(t, filepath.Join(variants, name, "golden.safetensors"))["logits"]
			if d := far(o.Read(o.logits).F32, want); !(d < 1e-5) {
				t.Errorf("logits differ by %.2g: %v, want %v", d, o.Read(o.logits).F32, want)
			}
			m, err := a.Merged(c.Encoder, p)
			if err != nil {
				t.Fatal(err)
			}
			c.Linear = nil
			o = compile(t, c, m, false)
			if d := far(o.Read(o.logits).F32, want); !(d < 1e-5) {
				t.Errorf("merged, logits differ by %.2g", d)
			}
		})
	}
}

// TestTargets: the layers, ranks and scales are those that PEFT gives its adapters.
func TestTargets(t *testing.T) {
	var cases []struct {
		Family string
		Config map[string]json.RawMessage // as it stands: the order of patterns counts
		Layers map[string][2]float64
	}
	b, err := os.ReadFile(filepath.Join(variants, "targets.json"))
	if err == nil {
		err = json.Unmarshal(b, &cases)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		config := map[string]any{"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 6, "lora_alpha": 4}
		for key, v := range c.Config {
			config[key] = v
		}
		s, err := readSettings(encoded(t, config))
		if strings.Contains(string(c.Config["target_modules"]), "(?=") {
			if err == nil || !strings.Contains(err.Error(), "target_modules") {
				t.Errorf("%s: error %v, want one that names target_modules: Go has no lookahead", c.Config, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Config, err)
		}
		e := &model.Encoder{Family: c.Family, Width: 8, Inner: 12,
			Layers: map[string]int{"distilbert": 12, "bert": 3, "mpnet": 3}[c.Family]}
		all, err := s.layers(e, e.Prefix())
		if err != nil {
			t.Errorf("%s: %v", c.Config, err)
		}
		if len(all) != len(c.Layers) {
			t.Errorf("%s: %d layers, want %d", c.Config, len(all), len(c.Layers))
		}
		for _, l := range all {
			if want := c.Layers[e.Prefix()+l.name]; want[0] != float64(l.rank) || math.Abs(want[1]-l.scale) > 1e-12 {
				t.Errorf("%s: %s has rank %d and scale %g, want %v", c.Config, l.name, l.rank, l.scale, want)
			}
		}
	}
}

// TestSettings: each key that changes what is computed is read or refused by its name, an unknown one as well, and
// what changes nothing is passed over.
func TestSettings(t *testing.T) {
	config, file := variant(t, "ending")
	with := func(key string, v any) error {
		was, had := config[key]
		config[key] = v
		_, _, _, err := variantOf(t, encoded(t, config), file)
		if delete(config, key); had {
			config[key] = was
		}
		return err
	}
	object := map[string]any{"a": 1}
	for _, c := range []struct {
		key string
		v   any
	}{
		{"peft_type", "IA3"}, {"task_type", "TOKEN_CLS"}, {"task_type", "CAUSAL_LM"}, {"auto_mapping",
			map[string]any{"base_model_class": "BertForTokenClassification"}},
		{"revision", "v2.0"}, {"r", 0}, {"r", 1 << 20}, {"r", "2"}, {"lora_alpha", 0}, {"lora_alpha", -1}, {"lora_dropout",
			2},
		{"target_modules", nil}, {"target_modules", []string{}}, {"target_modules", []string{"query"}}, {"target_modules",
			"q_lin"}, {"target_modules", []int{1}},
		{"target_modules", "[a-"}, {"target_modules", ".*layer.{1,2}.*"}, {"target_modules", "a)|(b"}, {"target_modules",
			strings.Repeat("a", maxPattern+1)},
		{"layers_to_transform", 2}, {"layers_to_transform", "1"}, {"layers_pattern", "layer"}, {"exclude_modules",
			".*"}, {"exclude_modules", "*"},
		{"rank_pattern", map[string]any{"q_lin": 0}}, {"rank_pattern", map[string]any{"q_lin": 1.5}}, {"rank_pattern",
			map[string]any{"(": 1}}, {"rank_pattern", []int{1}},
		{"alpha_pattern", map[string]any{"q_lin": 0}}, {"alpha_pattern", map[string]any{"q_lin": "x"}}, {"bias",
			"some"}, {"bias", ""},
		{"init_lora_weights", "pissa_niter_4"}, {"init_lora_weights", "corda"}, {"init_lora_weights",
			"loftq"}, {"init_lora_weights", "lora_ga"},
		{"init_lora_weights", "tomorrow's"}, {"init_lora_weights", 3},
		{"use_dora", true}, {"use_qalora", true}, {"use_bdlora", object}, {"layer_replication",
			[][]int{{0, 1}}}, {"target_parameters", []string{"q_lin.weight"}},
		{"trainable_token_indices", []int{3}}, {"alora_invocation_tokens", []int{3}}, {"arrow_config",
			object}, {"velora_config", object},
		{"monteclora_config", object}, {"kasa_config", object}, {"megatron_config", object}, {"enable_lora",
			[]bool{true, false}},
		{"a_key_of_tomorrow", 0.5}, {"a_key_of_tomorrow", "yes"}, {"R", 3},
	} {
		name := map[string]string{"lora_alpha": "alpha", "alpha_pattern": "alpha", "rank_pattern": "rank", "r": "r",
			"layers_to_transform": "", "exclude_modules": ""}[c.key]
		if name == "" {
			name = c.key
		}
		if c.key == "layers_to_transform" || c.key == "exclude_modules" {
			name = "_modules" // nothing is left to adapt
			if c.key == "layers_to_transform" && c.v == "1" {
				name = c.key
			}
		}
		if err := with(c.key, c.v); err == nil || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), ConfigName) {
			t.Errorf("%s = %v: error %v, want one that names the file and the key", c.key, c.v, err)
		}
	}
	for _, c := range []struct {
		key string
		v   any
	}{
		{"task_type", nil}, {"auto_mapping",
			map[string]any{"base_model_class": "DistilBertForSequenceClassification"}}, {"revision", "main"},
		{"lora_dropout", 0.5}, {"target_modules", []string{"q_lin", "lin2"}}, {"target_modules",
			".*(q_lin|lin2)"}, {"layers_to_transform", []int{0, 1}},
		{"layers_to_transform", []int{}}, {"exclude_modules", []string{"lin1"}}, {"exclude_modules",
			".*attention"}, {"rank_pattern", map[string]any{"k_lin": 9}},
		{"rank_pattern", nil}, {"alpha_pattern", map[string]any{}}, {"init_lora_weights", false}, {"init_lora_weights",
			nil}, {"init_lora_weights", "Gaussian"},
		{"init_lora_weights", "eva"}, {"init_lora_weights", "orthogonal"}, {"init_lora_weights", "mica"}, {"use_dora",
			false}, {"use_dora", nil},
		{"fan_in_fan_out", true}, {"peft_version", "9.9"}, {"inference_mode", false}, {"eva_config",
			object}, {"lora_ga_config", object}, {"loftq_config", object},
		{"corda_config", object}, {"qalora_group_size", 32}, {"ensure_weight_tying", true}, {"merge_weights",
			true}, {"modules_to_save", nil},
		{"a_key_of_tomorrow", nil}, {"a_key_of_tomorrow", false}, {"a_key_of_tomorrow", ""}, {"a_key_of_tomorrow",
			[]int{}}, {"a_key_of_tomorrow", map[string]int{}},
	} {
		if err := with(c.key, c.v); err != nil {
			t.Errorf("%s = %v: %v", c.key, c.v, err)
		}
	}
}

// TestPrincipal: the part found is that along the largest singular values, also where some are close together,
// equal or 0.
func TestPrincipal(t *testing.T) {
	random := rng.New(3, "test", 0, 0)
	for _, c := range []struct {
		out, in, rank int
		values        func(i int) float64
	}{
		{40, 30, 3, func(i int) float64 { return 1 / float64(1+i) }},
		{30, 70, 5, func(i int) float64 { return 1 + float64(30-i)/1000 }},
		{150, 130, 8, func(i int) float64 { return math.Exp(-float64(i) / 40) }},
		{20, 20, 4, func(i int) float64 { return []float64{5, 5, 3, 3, 1}[min(i, 4)] }},
		{20, 20, 6, func(i int) float64 { return float64(max(0, 3-i)) }},
		{170, 160, 5, func(i int) float64 { return 1 + float64(160-i)/1000 }},
		{90, 100, 4, func(i int) float64 { return []float64{5, 5, 3, 3, 1}[min(i, 4)] }},
		{12, 9, 9, func(i int) float64 { return 1 / float64(1+i) }},
		{9, 12, 2, func(int) float64 { return 0 }},
	} {
		n := min(c.out, c.in)
		u, v := basisOf(n, c.out, &random), basisOf(n, c.in, &random)
		w, want := mat.NewDense(c.out, c.in, nil), mat.NewDense(c.out, c.in, nil)
		for i := range n {
			w.RankOne(w, c.values(i), mat.NewVecDense(c.out, u[i]), mat.NewVecDense(c.in, v[i]))
			if i < c.rank {
				want.Copy(w)
			}
		}
		if got := principal(w, c.rank); !mat.EqualApprox(got, want, 1e-9) {
			t.Errorf("%d x %d, rank %d: the part along the largest singular values is another", c.out, c.in, c.rank)
		}
	}
}

// basisOf are n random orthonormal vectors of the given length.
func basisOf(n, length int, random *rng.Stream) [][]float64 {
	var all [][]float64
	for len(all) < n {
		v := make([]float64, length)
		for i := range v {
			v[i] = random.Normal()
		}
		if orthonormal(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// TestOrthonormal: what lies along a basis leaves nothing.
func TestOrthonormal(t *testing.T) {
	random := rng.New(4, "test", 0, 0)
	basis := basisOf(5, 8, &random)
	v := slices.Clone(basis[1])
	floats.AddScaled(v, 3, basis[4])
	if orthonormal(basis, v) {
		t.Error("a sum of the basis is said to be outside of it")
	}
	if orthonormal(nil, make([]float64, 8)) {
		t.Error("0 was given a length")
	}
}

// TestOLoRADependent: weights whose first columns do not decide the QR decomposition are refused.
func TestOLoRADependent(t *testing.T) {
	l := layer{name: "x", in: 3, out: 3, rank: 2, scale: 1}
	err := initial{olora}.subtract([]layer{l}, map[string]*nn.Param{"x.weight": {Shape: []int{3, 3},
		Data: []float32{1, 2, 0, 1, 2, 0, 1, 2, 5}}})
	if err == nil || !strings.Contains(err.Error(), "dependent") {
		t.Errorf("error %v", err)
	}
}

func TestDeepSettings(t *testing.T) {
	for _, b := range []string{strings.Repeat("[", 1<<19), `{"peft_type":` + strings.Repeat(`{"a":`, 1<<17)} {
		if _, err := readSettings([]byte(b)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
			t.Errorf("%.20s…: error %v", b, err)
		}
	}
}
