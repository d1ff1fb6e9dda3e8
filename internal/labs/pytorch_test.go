package labs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/hub"
	"dla/internal/model"
	"dla/internal/nn"
)

// inPyTorchsFiles is a copy of a small classifier with its weights in the files of testdata/pytorch instead, by their
// names in the folder.
func inPyTorchsFiles(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := classifierCopy(t, name, func(map[string]any) {})
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	for to, from := range files {
		b, err := os.ReadFile(filepath.Join("testdata/pytorch", from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var (
	bertFiles  = map[string]string{"pytorch_model.bin": "bert.bin"}
	mpnetFiles = map[string]string{"pytorch_model.bin.index.json": "pytorch_model.bin.index.json",
		"pytorch_model-00001-of-00002.bin": "pytorch_model-00001-of-00002.bin",
		"pytorch_model-00002-of-00002.bin": "pytorch_model-00002-of-00002.bin"}
)

// TestWeightsOfPyTorch: classifiers and encoders with their weights in pytorch_model.bin, of the oldest form or in
// several files, are those of model.safetensors: the same scores, fingerprints and start of a fine-tuning, in place and
// imported.
func TestWeightsOfPyTorch(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	texts := []string{"a fine film", "no"}
	for name, files := range map[string]map[string]string{"bert": bertFiles, "mpnet": mpnetFiles} {
		dir := inPyTorchsFiles(t, name, files)
		e, err := hub.Import(context.Background(), dir, "old-"+name, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		original := encoderIn(t, filepath.Join(classifiers, name))
		want, err := must(FindSentiment(t.TempDir(), filepath.Join(classifiers, name)))(t).Predict(context.Background(),
			texts)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{dir, e.Dir} {
			got, err := must(FindSentiment(t.TempDir(), from))(t).Predict(context.Background(), texts)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range got.All {
				if w := want.All[i]; *p.Label != *w.Label || p.Score() != w.Score() {
					t.Errorf("%s, %q: %s %g, want %s %g", from, p.Text, *p.Label, p.Score(), *w.Label, w.Score())
				}
			}
		}
		now := encoderIn(t, "old-"+name)
		if now.Content != original.Content {
			t.Errorf("%s: fingerprint %s, of model.safetensors %s", name, now.Content, original.Content)
		}
		if _, err := now.files(); err != nil {
			t.Error(err)
		}
		c, err := model.NewSentenceClassifier(now.Encoder, now.dir, model.HeadTransformers, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.NewParams(0)
		if err := c.LoadStart(now.dir, p); err != nil || p.Has("pooler.dense.weight") != (name == "bert") {
			t.Errorf("%s: a fine-tuning does not start from the pooler: %v", name, err)
		}
		if merged := filepath.Join(t.TempDir(), "merged"); must(FindSentiment("", dir))(t).Write(merged) != nil {
			t.Errorf("%s cannot be written anew", name)
		}
	}
}

// TestWeightFilesRefused: an index that leads elsewhere or to nothing, and damaged files.
func TestWeightFilesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		index string
		want  string
	}{
		"outside":      {`{"weight_map": {"a": "../../secret.bin"}}`, `lists the file "../../secret.bin"`},
		"absolute":     {`{"weight_map": {"a": "/etc/secret.bin"}}`, `lists the file "/etc/secret.bin"`},
		"another form": {`{"weight_map": {"a": "config.json"}}`, `lists the file "config.json"`},
		"missing":      {`{"weight_map": {"a": "pytorch_model-00003-of-00003.bin"}}`, "no such file"},
		"no files":     {`{"weight_map": {}}`, "lists no files"},
		"no JSON":      {`{`, "is not what it should be"},
		"half":         {`{"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}`, "is missing"},
	} {
		dir := inPyTorchsFiles(t, "mpnet", mpnetFiles)
		if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin.index.json"), []byte(c.index), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := FindSentiment(t.TempDir(), dir); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	dir := inPyTorchsFiles(t, "mpnet", mpnetFiles)
	second := filepath.Join(dir, "pytorch_model-00002-of-00002.bin")
	b, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, slices.Clone(b[:len(b)/2]), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FindSentiment(t.TempDir(), dir); err == nil || !strings.Contains(err.Error(), second) {
		t.Errorf("a part that is cut: %v", err)
	}
}
