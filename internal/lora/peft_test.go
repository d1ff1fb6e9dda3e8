package lora

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/weights"
)

var update = flag.Bool("update", false, "write testdata/ours anew; then run testdata/golden.py, which has PEFT load it")

const encoders = "../model/testdata/encoders"

var families = []string{"bert", "distilbert", "mpnet"}

// classifierOf is the small encoder of a family with a head for two classes, nothing dropped, its weights in p.
func classifierOf(t testing.TB, family, head string, p *nn.Params) *model.SentenceClassifier {
	t.Helper()
	dir := filepath.Join(encoders, family)
	e, err := model.ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	e.Dropout, e.AttentionDropout = 0, 0
	if err := e.Load(dir, p); err != nil {
		t.Fatal(err)
	}
	p.Freeze()
	c, err := model.NewSentenceClassifier(e, dir, head, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// compiled is a graph over the golden sentences, which are put into it.
type compiled struct {
	*engine.Program
	logits, loss *G.Node
	grads        []*G.Node
}

func compile(t testing.TB, c *model.SentenceClassifier, p *nn.Params, train bool) compiled {
	t.Helper()
	var s struct{ IDs [][]int32 }
	b, err := os.ReadFile(filepath.Join(encoders, "sentences.json"))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := nn.NewGraph(p)
	if train {
		g = nn.NewTrainingGraph(p)
	}
	in, labels := g.Packed(100, len(s.IDs)), g.Labels("labels", 4)
	o := compiled{logits: c.Logits(g, in)}
	o.loss = nn.CrossEntropy(g, o.logits, labels, 0)
	if train {
		if o.grads, err = g.Gradients(o.loss); err != nil {
			t.Fatal(err)
		}
	}
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	if o.Program, err = engine.Compile(g.ExprGraph, append([]*G.Node{o.loss, o.logits}, o.grads...)...); err != nil {
		t.Fatal(err)
	}
	var ids, positions []int32
	offsets := []int32{0}
	for _, sentence := range s.IDs {
		for i := range sentence {
			positions = append(positions, int32(i))
		}
		ids = append(ids, sentence...)
		offsets = append(offsets, int32(len(ids)))
	}
	for node, v := range map[*G.Node][]int32{in.IDs: ids, in.Positions: positions, in.Offsets: offsets,
		labels: {1, 0, 0, 1}} {
		leaf := o.Read(node)
		if err := leaf.Resize(len(v)); err != nil {
			t.Fatal(err)
		}
		copy(leaf.I32, v)
	}
	if err := o.Run(); err != nil {
		t.Fatal(err)
	}
	return o
}

func golden(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	f, err := weights.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for _, g := range f.Tensors {
		all[g.Name] = g.Data
	}
	return all
}

// far is the largest difference, over the largest value.
func far(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = max(diff, math.Abs(float64(got[i]-w))), max(size, math.Abs(float64(w)))
	}
	return diff / size
}

// loaded is the classifier of a family with the adapter in dir.
func loaded(t *testing.T, family, dir string) (*model.SentenceClassifier, Adapter, *nn.Params) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	head, classes, err := f.Head(family)
	if err != nil {
		t.Fatal(err)
	}
	p := nn.NewParams(1)
	c := classifierOf(t, family, head, p)
	a, err := f.Adapter(c.Encoder)
	if err != nil {
		t.Fatal(err)
	}
	if classes != 2 {
		t.Errorf("a head of %d classes, want 2", classes)
	}
	if err := f.Load(a, c, p); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadStart(filepath.Join(encoders, family), p); err != nil {
		t.Fatal(err)
	}
	a.Dropout = 0
	a.Attach(c.Encoder)
	return c, a, p
}

// TestAdaptersOfPEFT: of adapters that PEFT made, logits, loss and every gradient equal PEFT's.
func TestAdaptersOfPEFT(t *testing.T) {
	for name, targets := range map[string]string{"bert": "qkvo", "distilbert": "qv", "mpnet": "q", "bert-seqcls": "qv",
		"bert-seqcls-frozen": "qv", "mpnet-seqcls": "qv"} {
		t.Run(name, func(t *testing.T) {
			family, _, _ := strings.Cut(name, "-")
			dir := filepath.Join("testdata", "peft", name)
			c, a, p := loaded(t, family, dir)
			same := Adapter{Targets: targets, Rank: 3, Alpha: 5}
			if !slices.Equal(a.layers(c.Encoder), same.layers(c.Encoder)) {
				t.Errorf("read %+v", a)
			}
			if (c.TransformersClass() != "") != (family == "distilbert" || name != family) {
				t.Errorf("the head is %s", c.Describe())
			}
			o := compile(t, c, p, true)
			if n := a.Count(c.Encoder) + c.HeadParameters(); n != p.Count() {
				t.Errorf("%d weights are trained, %d by the formula", p.Count(), n)
			}
			want := golden(t, filepath.Join(dir, "golden.safetensors"))
			for name, node := range map[string]*G.Node{"logits": o.logits, "loss": o.loss} {
				if d := far(o.Read(node).F32, want[name]); !(d < 5e-6) {
					t.Errorf("%s differ by %.2g", name, d)
				}
			}
			trained := len(p.Trained())
			if strings.HasSuffix(name, "-frozen") {
				trained -= 2 // the pooler, which the encoder's file has
			}
			if len(want) != 2+trained {
				t.Errorf("PEFT trains %d tensors, here %d", len(want)-2, trained)
			}
			for i, q := range p.Trained() {
				if strings.HasSuffix(name, "-frozen") && strings.HasPrefix(q.Name, "pooler.") {
					continue
				}
				if d := far(o.Read(o.grads[i]).F32, want["grad/"+q.Name]); !(d < 5e-5) {
					t.Errorf("gradient of %s differs by %.2g", q.Name, d)
				}
			}
		})
	}
}

// TestAdaptersForPEFT: what is written is what PEFT has loaded (testdata/ours, checked by golden.py), and gives
// the logits that PEFT computed with it.
func TestAdaptersForPEFT(t *testing.T) {
	for name, targets := range map[string]string{"bert": "qv", "distilbert": "qkvo", "mpnet": "qvk", "bert-seqcls": "qv",
		"mpnet-seqcls": "q"} {
		t.Run(name, func(t *testing.T) {
			family, _, seqcls := strings.Cut(name, "-")
			head := model.HeadPooled
			if seqcls || family == "distilbert" {
				head = model.HeadTransformers
			}
			p := nn.NewParams(5)
			c := classifierOf(t, family, head, p)
			if err := c.LoadStart(filepath.Join(encoders, family), p); err != nil {
				t.Fatal(err)
			}
			a := Adapter{Targets: targets, Rank: 4, Alpha: 16, Dropout: 0.1}
			a.Attach(c.Encoder)
			compile(t, c, p, false) // makes the weights
			for _, q := range p.Trained() {
				if strings.HasSuffix(q.Name, loraB) {
					for i := range q.Data {
						q.Data[i] = float32(i%7-3) / 16
					}
				}
			}
			o := compile(t, c, p, false)
			dir := filepath.Join("testdata", "ours", name)
			at := dir
			if !*update {
				at = t.TempDir()
			}
			if err := a.Write(at, c, family, p, []string{"neg", "pos"},
				map[string]string{"labels": `["neg","pos"]`}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{ConfigName, WeightsName, model.CardName} {
				got, err := os.ReadFile(filepath.Join(at, name))
				if err != nil {
					t.Fatal(err)
				}
				want, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s is not the one that PEFT has loaded; see -update", name)
				}
			}
			if d := far(o.Read(o.logits).F32, golden(t, filepath.Join(dir, "golden.safetensors"))["logits"]); !(d < 5e-6) {
				t.Errorf("logits differ from PEFT's by %.2g", d)
			}
			again, _, p2 := loaded(t, family, at)
			o2 := compile(t, again, p2, false)
			if !slices.Equal(o2.Read(o2.logits).F32, o.Read(o.logits).F32) {
				t.Error("read back, the logits are others")
			}
		})
	}
}

// TestMerged: merged weights give the logits of the adapters, in plain layers.
func TestMerged(t *testing.T) {
	for _, name := range []string{"bert", "distilbert", "mpnet", "bert-seqcls", "mpnet-seqcls"} {
		family, _, _ := strings.Cut(name, "-")
		c, a, p := loaded(t, family, filepath.Join("testdata", "peft", name))
		o := compile(t, c, p, false)
		m, err := a.Merged(c.Encoder, p)
		if err != nil {
			t.Fatal(err)
		}
		c.Linear = nil
		o2 := compile(t, c, m, false)
		if d := far(o2.Read(o2.logits).F32, o.Read(o.logits).F32); !(d > 0 && d < 1e-5) {
			t.Errorf("%s: merged, the logits differ by %.2g", family, d)
		}
		if _, err := a.Merged(c.Encoder, m); err == nil {
			t.Errorf("%s: adapters that are not there were merged", family)
		}
		// As a folder it is read again.
		dir := filepath.Join(t.TempDir(), "merged")
		if err := c.Write(dir, filepath.Join(encoders, family), m, []string{"neg", "pos"}); err != nil {
			t.Fatal(err)
		}
		e, err := model.ReadEncoder(dir)
		if err != nil {
			t.Fatal(err)
		}
		p3 := nn.NewParams(0)
		if err := e.Load(dir, p3); err != nil {
			t.Fatal(err)
		}
		r, err := weights.Open(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		head, classes, err := model.FindHead(r, "", family)
		r.Close() // read only
		if err != nil || head != c.Head || classes != 2 {
			t.Fatalf("%s: head %q for %d classes, %v", name, head, classes, err)
		}
		c3, err := model.NewSentenceClassifier(e, dir, head, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := c3.LoadHead(dir, p3); err != nil {
			t.Fatal(err)
		}
		o3 := compile(t, c3, p3, false)
		if !slices.Equal(o3.Read(o3.logits).F32, o2.Read(o2.logits).F32) {
			t.Errorf("%s: read from a folder, the logits are others", family)
		}
		if l, err := model.ReadLabelling(dir, 2); err != nil || !slices.Equal(l.Labels, []string{"neg", "pos"}) ||
			l.Function != model.Softmax {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		if err := c.Write(dir, filepath.Join(encoders, family), m, []string{"neg", "pos"}); err == nil ||
			!strings.Contains(err.Error(), "name another folder") {
			t.Errorf("%s: a folder was written over: %v", family, err)
		}
	}
}

// TestZeroAdapter: adapters that have learned nothing change nothing, to the bit, and frozen weights have no
// gradient.
func TestZeroAdapter(t *testing.T) {
	for _, family := range families {
		p := nn.NewParams(3)
		c := classifierOf(t, family, model.HeadTransformers, p)
		o := compile(t, c, p, false)
		a := Adapter{Targets: "qkvo", Rank: 2, Alpha: 4, Dropout: 0.5}
		a.Attach(c.Encoder)
		o2 := compile(t, c, p, true)
		o3 := compile(t, c, p, false)
		for _, z := range []compiled{o2, o3} {
			if !slices.Equal(z.Read(z.logits).F32, o.Read(o.logits).F32) {
				t.Errorf("%s: an adapter of 0 changes the logits", family)
			}
		}
		if len(o2.grads) != 2*4*c.Layers+4 {
			t.Errorf("%s: %d gradients, want those of %d adapters and the head", family, len(o2.grads), 4*c.Layers)
		}
	}
}

// TestRefusals: what is no adapter that can be used here is an error that names the file and the reason.
func TestRefusals(t *testing.T) {
	good := filepath.Join("testdata", "peft", "bert")
	config, err := os.ReadFile(filepath.Join(good, ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(good, WeightsName))
	if err != nil {
		t.Fatal(err)
	}
	set := func(key string, v any) []byte {
		var m map[string]any
		if err := json.Unmarshal(config, &m); err != nil {
			t.Fatal(err)
		}
		m[key] = v
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		config, file []byte
		want         string
	}{
		"another kind": {set("peft_type", "IA3"), file, `peft_type is "IA3"`},
		"biases":       {set("bias", "all"), file, `bias is "all"`},
		"dora":         {set("use_dora", true), file, "use_dora is true"},
		"patterns":     {set("rank_pattern", map[string]int{"query": 4}), file, "want [4 32]"},
		"a regex":      {set("target_modules", "query|key"), file, "target_modules"},
		"other layers": {set("target_modules", []string{"query", "intermediate.dense"}), file,
			"intermediate.dense.lora_A.weight"},
		"rank 0":         {set("r", 0), file, "rank is 0"},
		"another rank":   {set("r", 4), file, "want [4 32]"},
		"more than said": {set("target_modules", []string{"query"}), file, "does not name"},
		"no JSON":        {[]byte("{"), file, ConfigName},
		"twice":          {[]byte(`{"r":1,"r":2}`), file, "stands twice"},
		"cut short":      {config, file[:len(file)-1], WeightsName},
		"no weights":     {config, nil, WeightsName},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ConfigName), c.config, 0o644); err != nil {
			t.Fatal(err)
		}
		if c.file != nil {
			if err := os.WriteFile(filepath.Join(dir, WeightsName), c.file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(dir)
		if err == nil {
			var a Adapter
			p := nn.NewParams(1)
			c := classifierOf(t, "bert", model.HeadPooled, p)
			if a, err = f.Adapter(c.Encoder); err == nil {
				err = f.Load(a, c, p)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names %s and %s", name, err, dir, c.want)
		}
	}
	for _, a := range []Adapter{{"", 1, 1, 0, nil}, {"qq", 1, 1, 0, nil}, {"x", 1, 1, 0, nil}, {"q", 0, 1, 0, nil},
		{"q", 1, 0, 0, nil}, {"q", 1, math.NaN(), 0, nil}, {"q", 1, 1, 1, nil}} {
		if a.Validate() == nil {
			t.Errorf("%+v was accepted", a)
		}
	}
}

// FuzzAdapter: whatever the files of an adapter hold, reading them ends in an adapter or in an error, in memory
// bounded by their size.
func FuzzAdapter(f *testing.F) {
	good := filepath.Join("testdata", "peft", "bert")
	config, err := os.ReadFile(filepath.Join(good, ConfigName))
	if err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(good, WeightsName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config, file)
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["query"]}`), file)
	for _, more := range []string{
		`"target_modules":".*(query|key)","init_lora_weights":"pissa","use_rslora":true`,
		`"target_modules":"all-linear","rank_pattern":{"layer.0.*":2,"((a*)*)*":7},"alpha_pattern":{"(x|y|)+":1e308},"bias":"all","lora_bias":true`,
		`"target_modules":["query"],"exclude_modules":".*1.*","layers_to_transform":[0,-1],"layers_pattern":["(l|m).*"],"init_lora_weights":"olora"`,
	} {
		f.Add([]byte(`{"peft_type":"LORA","r":3,"lora_alpha":1,`+more+`}`), file)
	}
	f.Fuzz(func(t *testing.T, config, file []byte) {
		dir := t.TempDir()
		for name, b := range map[string][]byte{ConfigName: config, WeightsName: file} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		a, err := Open(dir)
		if err != nil {
			return
		}
		for _, family := range families {
			e := model.Encoder{Family: family, Width: 32, Inner: 48, Layers: 2}
			adapter, err := a.Adapter(&e)
			if err != nil {
				continue
			}
			head, classes, err := a.Head(family)
			if err != nil {
				continue
			}
			q := nn.NewParams(1)
			if err := a.Load(adapter, &model.SentenceClassifier{Encoder: &e, Head: head, Classes: classes}, q); err != nil {
				continue
			}
			if n := len(q.List()); n != 2*len(adapter.Layers(&e))+4 {
				t.Errorf("%d tensors were loaded", n)
			}
		}
	})
}
