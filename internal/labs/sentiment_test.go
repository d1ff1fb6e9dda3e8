package labs

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/weights"
)

const classifiers = "testdata/classifiers"

// classifierCopy is a copy of one of the small classifiers, whose config.json edit changes.
func classifierCopy(t *testing.T, name string, edit func(config map[string]any)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(classifiers, name))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	edit(config)
	if b, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPredictAsTransformers compares labels and scores with transformers' pipeline: of each family's own head, of two
// classes without names, of one class, of several at once, and of a regression.
func TestPredictAsTransformers(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(classifiers, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Texts    []string
		Expected map[string][]struct {
			Label string
			Score float64
		}
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	for name, want := range golden.Expected {
		s, err := FindSentiment(t.TempDir(), filepath.Join(classifiers, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Predict(context.Background(), golden.Texts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, w := range want {
			p := got.All[i]
			if *p.Label != w.Label {
				t.Errorf("%s, %q: label %s, transformers has %s", name, p.Text, *p.Label, w.Label)
			}
			if d := math.Abs(p.Score() - w.Score); !(d < 2e-6) {
				t.Errorf("%s, %q: score %.7f, transformers has %.7f", name, p.Text, p.Score(), w.Score)
			}
		}
		if first := got.All[0]; (first.Value != nil) != (name == "regression") {
			t.Errorf("%s: value %v", name, first.Value)
		}
		if n := len(got.All[0].Classes); name == "multi-label" && n != 3 {
			t.Errorf("%s: scores of %d classes, want 3", name, n)
		}
	}
}

// TestMergedAgain: a classifier that was read is written as the folder that transformers reads again.
func TestMergedAgain(t *testing.T) {
	for _, name := range []string{"bert", "mpnet"} {
		s, err := FindSentiment(t.TempDir(), filepath.Join(classifiers, name))
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "again")
		if err := s.Write(dir); err != nil {
			t.Fatal(err)
		}
		got, err := weights.Load(filepath.Join(dir, "model.safetensors"), "")
		if err != nil {
			t.Fatal(err)
		}
		want, err := weights.Load(filepath.Join(classifiers, name, "model.safetensors"), "")
		if err != nil {
			t.Fatal(err)
		}
		if a, b := weights.Fingerprint(got.Tensors), weights.Fingerprint(want.Tensors); a != b {
			t.Errorf("%s: written again, the tensors are others: %d and %d", name, len(got.Tensors), len(want.Tensors))
		}
		var config struct{ Architectures []string }
		b, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err == nil {
			err = json.Unmarshal(b, &config)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := config.Architectures; len(a) != 1 || a[0] != s.arch.TransformersClass() {
			t.Errorf("%s: architectures %v, want %s", name, a, s.arch.TransformersClass())
		}
	}
}

// TestHeadsRefused: what config.json says about the head and is not computed, or contradicts the weights, is refused
// by its name.
func TestHeadsRefused(t *testing.T) {
	for _, c := range []struct {
		name, folder string
		edit         func(map[string]any)
		want         string
	}{
		{"unknown problem", "two-classes", func(m map[string]any) { m["problem_type"] = "ranking" },
			`problem_type is "ranking"`},
		{"one class alone", "one-class", func(m map[string]any) { m["problem_type"] = "single_label_classification" },
			"problem_type is single_label_classification"},
		{"other labels", "multi-label", func(m map[string]any) { m["id2label"] = map[string]string{"0": "a", "1": "b"} },
			"id2label has 2 labels"},
		{"no label 1", "multi-label", func(m map[string]any) {
			m["id2label"] = map[string]string{"0": "a", "2": "b",
				"3": "c"}
		}, "none for class 1"},
		{"num_labels", "two-classes", func(m map[string]any) { m["num_labels"] = 5 }, "num_labels is 5"},
		{"another task", "bert", func(m map[string]any) { m["architectures"] = []string{"BertForMultipleChoice"} },
			"BertForMultipleChoice"},
	} {
		dir := classifierCopy(t, c.folder, c.edit)
		if _, err := FindSentiment(t.TempDir(), dir); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names %s and %s", c.name, err, dir, c.want)
		}
	}
	// Of DistilBERT a file could not tell the pooled head from its own.
	e := encoderIn(t, filepath.Join(classifiers, "two-classes"))
	cfg := config.DefaultFinetune(config.MethodHead)
	cfg.Head.Kind = config.HeadPooled
	if _, err := sentenceArchitecture(cfg, e, 2); err == nil ||
		!strings.Contains(err.Error(), "head.kind pooled is of BERT and MPNet") {
		t.Errorf("a pooled head on DistilBERT: %v", err)
	}
	// An encoder without a head, and BERT's classifier without its pooler, which transformers would draw at random.
	dir := classifierCopy(t, "bert", func(map[string]any) {})
	path := filepath.Join(dir, "model.safetensors")
	f, err := weights.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	for want, drop := range map[string]string{"no head": "classifier.", "pooler.dense.weight": "bert.pooler."} {
		var left []weights.Tensor
		for _, tensor := range f.Tensors {
			if !strings.HasPrefix(tensor.Name, drop) {
				left = append(left, tensor)
			}
		}
		if _, err := weights.Save(path, left, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := FindSentiment(t.TempDir(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: error %v, want one that names %s", drop, err, want)
		}
	}
}

// TestShippedAdapterInPEFT compares the adapter that ships with what PEFT and transformers say with it, on the same
// encoder in half or in full precision.
func TestShippedAdapterInPEFT(t *testing.T) {
	t.Setenv(anyEncoder, "1") // half precision is another encoder than the one it was trained on
	e, err := FindSentenceEncoder("minilm", "")
	if err != nil {
		t.Skipf("no MiniLM on this machine: %v", err)
	}
	r, err := weights.Open(filepath.Join(e.dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at := slices.IndexFunc(r.Tensors, func(i weights.Info) bool { return i.Name == "embeddings.word_embeddings.weight" })
	b, err := os.ReadFile("testdata/adapter.json")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		Text   string
		Logits []float64
	}
	var all struct{ F16, F32 []answer }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	golden := map[string][]answer{"F16": all.F16, "F32": all.F32}
	if at < 0 || golden[r.Tensors[at].DType] == nil {
		t.Fatalf("%s is not in the precision of a golden value", e.dir)
	}
	s, err := FindSentiment(t.TempDir(), "../../checkpoints/minilm-lora")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range golden[r.Tensors[at].DType] {
		got, err := s.Predict(context.Background(), []string{want.Text})
		if err != nil {
			t.Fatal(err)
		}
		d := want.Logits[1] - want.Logits[0]
		label, p := "pos", 1/(1+math.Exp(-d))
		if d < 0 {
			label, p = "neg", 1-p
		}
		if one := got.All[0]; *one.Label != label || math.Abs(one.Score()-p) > 1e-5 {
			t.Errorf("%q: %s %.6f, PEFT has %s %.6f", want.Text, *one.Label, one.Score(), label, p)
		}
	}
}

// TestShippedAdapterAccuracyInPEFT: of the test split PEFT gets as many sentences right as the record says.
func TestShippedAdapterAccuracyInPEFT(t *testing.T) {
	var peft struct {
		Test struct{ Correct, N int }
	}
	var rec struct {
		Test struct{ Correct, N int }
	}
	for path, v := range map[string]any{"testdata/adapter.json": &peft,
		"../../checkpoints/minilm-lora/result.json": &rec} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if peft.Test.N == 0 || peft.Test != rec.Test {
		t.Errorf("PEFT gets %+v, the record has %+v", peft.Test, rec.Test)
	}
}
