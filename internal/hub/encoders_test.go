package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dla/internal/atomicfile"
)

// put writes the files of a model into a new folder called name and returns its path.
func put(t *testing.T, in, name string, files map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(in, name)
	for file, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func importing(t *testing.T, dir, name string) Encoder {
	t.Helper()
	e, err := Import(context.Background(), dir, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFindOrder: a folder comes before $DLA_MODELS, that before what was imported, that before the hub's cache.
func TestFindOrder(t *testing.T) {
	s := serve(t)
	work := t.TempDir()
	t.Chdir(work)
	want := func(source, dir string) {
		t.Helper()
		for _, name := range []string{"minilm", "all-MiniLM-L6-v2"} {
			e, err := Find(name)
			if err != nil {
				t.Errorf("Find(%s): %v", name, err)
			}
			if e.Source != source {
				t.Errorf("Find(%s) has found it in %s, want %s", name, e.Source, source)
			}
			if e.Dir != dir && dir != name {
				t.Errorf("Find(%s) has found %s, want %s", name, e.Dir, dir)
			}
			if e.Params != params {
				t.Errorf("Find(%s) has %d parameters, want %d", name, e.Params, params)
			}
		}
	}
	_, err := Find("minilm")
	if err == nil || !strings.Contains(err.Error(),
		"get it with `dla models pull minilm`, without network with `dla models import FOLDER --name minilm`") {
		t.Errorf("error %v", err)
	}
	e := s.mustPull()
	want(hubCache, e.Dir)

	e = importing(t, put(t, t.TempDir(), "all-MiniLM-L6-v2", repository(t, 1)), "")
	want(imported, e.Dir)

	shared := t.TempDir()
	t.Setenv("DLA_MODELS", shared)
	want(imported, e.Dir)
	want(dlaModels, put(t, shared, "all-MiniLM-L6-v2", repository(t, 1)))

	list, err := List()
	if err != nil || len(list) != 5 {
		t.Fatalf("List is %+v, %v; want three copies and two that are absent", list, err)
	}
	for i, want := range []struct{ name, source string }{{"minilm", dlaModels}, {list[1].Dir, imported},
		{list[2].Dir, hubCache}, {"mpnet", "absent"}, {"distilbert", "absent"}} {
		if list[i].Name != want.name || list[i].Source != want.source || list[i].Broken != "" {
			t.Errorf("entry %d is %+v, want %v", i, list[i], want)
		}
		if found, err := Find(list[i].Name); want.source != "absent" && (err != nil || found.Dir != list[i].Dir) {
			t.Errorf("Find(%s) is %+v, %v", list[i].Name, found, err)
		}
	}

	// A folder that only happens to have the name is none of a model.
	if err := os.Mkdir("minilm", 0o755); err != nil {
		t.Fatal(err)
	}
	want(dlaModels, list[0].Dir)
	for _, name := range []string{"minilm", "all-MiniLM-L6-v2"} {
		put(t, work, name, repository(t, 1))
		if e, err := Find(name); err != nil || e.Source != folder || e.Dir != name {
			t.Errorf("Find(%s) is %+v, %v; want the folder", name, e, err)
		}
	}
}

// TestFindOfOldCaches: DistilBERT is found under the name that the hub gave it first, and brought up to
// date there; another model of that name is not taken for it.
func TestFindOfOldCaches(t *testing.T) {
	s := serve(t)
	commit := strings.Repeat("c3", 20)
	old := put(t, os.Getenv("HF_HOME"), "hub/models--distilbert-base-uncased/snapshots/"+commit, repository(t, 1))
	put(t, os.Getenv("HF_HOME"), "hub/models--distilbert-base-uncased/refs", map[string][]byte{"main": []byte(commit)})
	for _, name := range []string{"distilbert", "distilbert-base-uncased", "distilbert/distilbert-base-uncased"} {
		if e, err := Find(name); err != nil || e.Dir != old {
			t.Errorf("Find(%s) is %+v, %v", name, e, err)
		}
	}
	list, err := List()
	if err != nil || list[0].Name != "distilbert" || list[0].Dir != old {
		t.Errorf("List is %+v, %v", list, err)
	}
	s.repo = "distilbert/distilbert-base-uncased"
	e, _, err := s.hubPull("distilbert")
	if want := filepath.Join(os.Getenv("HF_HOME"), "hub", "models--distilbert-base-uncased", "snapshots",
		s.commit); err != nil || e.Dir != want {
		t.Errorf("pulled %+v, %v, want %s", e, err, want)
	}
	if e, err := Find("somebody/distilbert-base-uncased"); err == nil {
		t.Errorf("found %+v", e)
	}
}

func TestFindMistakes(t *testing.T) {
	serve(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"minlm":     `unknown model "minlm" (did you mean minilm?): known are minilm, mpnet, distilbert, and OWNER/NAME of the hub, and a folder; ` + "`dla models ls`",
		"./nowhere": `unknown model "./nowhere"`,
		"":          `unknown model ""`,
		"..":        "has no config.json",
		"empty":     "empty has no config.json; want a Hugging Face folder",
		"a/b":       "get it with `dla models pull a/b`, without network with `dla models import FOLDER --name b`",
	} {
		if _, err := Find(name); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
}

// TestImportRefuses: what is no encoder is told by its file, and nothing is kept of it.
func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		content []byte // nil: absent
		want    string
	}{
		"no configuration":    {"config.json", nil, "has no config.json"},
		"a configuration cut": {"config.json", []byte(`{"model_type": "be`), "config.json is not what it should be"},
		"a type of a number":  {"config.json", []byte(`{"model_type": 7}`), "config.json: model_type"},
		"another model": {"config.json", []byte(`{"model_type": "roberta"}`),
			`config.json: model_type is "roberta"; the encoders here are bert, distilbert and mpnet`},
		"no type":         {"config.json", []byte(`{}`), `model_type is ""`},
		"no tokenizer":    {"vocab.txt", nil, "neither tokenizer.json nor vocab.txt"},
		"a tokenizer cut": {"tokenizer.json", []byte(`{"model": `), "tokenizer.json: unexpected end of JSON input"},
		"no weights":      {"model.safetensors", nil, "model.safetensors: no such file"},
		"weights of another": {"model.safetensors", weightsOf(t, strings.Replace(config, "12000", "11999", 1), 1),
			"embeddings.word_embeddings.weight has shape [11999 4], want [12000 4]"},
		"too many tokens": {"config.json", []byte(strings.Replace(config, "12000", "5", 1)),
			"the tokenizer has 6 tokens and the encoder 5"},
		"weights cut": {"model.safetensors", repository(t, 1)["model.safetensors"][:1000],
			"model.safetensors is not a whole safetensors file"},
		"weights of Git LFS": {"model.safetensors", []byte("version https://git-lfs.github.com/spec/v1\n"),
			"model.safetensors is not a whole safetensors file"},
		"a large configuration": {"config.json", make([]byte, 2<<20), "config.json has more than"},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t)
			files := repository(t, 1)
			if files[c.file] = c.content; c.content == nil {
				delete(files, c.file)
			}
			dir := put(t, t.TempDir(), "m", files)
			_, err := Import(context.Background(), dir, "", nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if list, _ := List(); len(list) != len(Known) {
				t.Errorf("List is %+v", list)
			}
		})
	}
	serve(t)
	dir := put(t, t.TempDir(), "m", repository(t, 1))
	for _, name := range []string{"../m", "a/b", ".hidden", strings.Repeat("x", 200)} {
		if _, err := Import(context.Background(), dir, name, nil); err == nil ||
			!strings.Contains(err.Error(), "cannot be called") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// TestImportReplaces: a new import takes the place of the old, and one that fails leaves it.
func TestImportReplaces(t *testing.T) {
	serve(t)
	first := importing(t, put(t, t.TempDir(), "m", repository(t, 1)), "mine")
	atomicfile.Fault = func(op, path string) error {
		if op == "write" && filepath.Base(path) == "model.safetensors" {
			return syscall.ENOSPC
		}
		return nil
	}
	defer func() { atomicfile.Fault = nil }()
	next := put(t, t.TempDir(), "m", repository(t, 2))
	if _, err := Import(context.Background(), next, "mine", nil); !errors.Is(err, syscall.ENOSPC) ||
		!strings.Contains(err.Error(), "set DLA_MODELS=DIR") {
		t.Errorf("error %v", err)
	}
	atomicfile.Fault = nil
	weights := func() string {
		b, err := os.ReadFile(filepath.Join(first.Dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if weights() != string(repository(t, 1)["model.safetensors"]) {
		t.Error("a failed import spoilt the one before")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Import(ctx, next, "mine", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: error %v", err)
	}
	if e := importing(t, next, "mine"); e.Dir != first.Dir || weights() != string(repository(t, 2)["model.safetensors"]) {
		t.Errorf("imported %+v", e)
	}
	// Neither is there at a time when there is none of the name, nor is anything left of one that was killed.
	own := filepath.Dir(first.Dir)
	killed := strings.Replace(atomicfile.Temporary(own), fmt.Sprintf("-%d-", os.Getpid()), "-4194999-", 1) // no process has that number
	if err := os.Rename(put(t, own, "m", repository(t, 1)), killed); err != nil {
		t.Fatal(err)
	}
	if list, err := List(); err != nil || len(list) != 1+len(Known) {
		t.Errorf("List is %+v, error %v", list, err)
	}
	importing(t, next, "mine")
	list, err := os.ReadDir(own)
	var names []string
	for _, d := range list {
		names = append(names, d.Name())
	}
	if strings.Join(names, " ") != "mine" {
		t.Errorf("the folder holds %v (%v)", names, err)
	}
}

// TestImportOfLinks: a snapshot of the cache, which is links, is imported as files.
func TestImportOfLinks(t *testing.T) {
	s := serve(t)
	e := importing(t, s.mustPull().Dir, "mine")
	err := filepath.WalkDir(e.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			t.Errorf("%s is a link", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
