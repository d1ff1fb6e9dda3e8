package labs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dla/internal/atomicfile"
	"dla/internal/weights"
)

// faults does do again and again, each time with another of its operations on the file system failing, until it goes
// well, and looks each time whether what is left is right.
func faults(t *testing.T, do func() error, right func(failed string)) {
	t.Helper()
	defer func() { atomicfile.Fault = nil }()
	tried := map[string]bool{}
	for {
		failed := ""
		atomicfile.Fault = func(op, path string) error {
			if key := op + " " + filepath.Base(path); failed == "" && !tried[key] {
				failed, tried[key] = key, true
				return syscall.ENOSPC
			}
			return nil
		}
		err := do()
		atomicfile.Fault = nil
		if failed == "" {
			if err != nil {
				t.Fatal(err)
			}
			if len(tried) < 5 {
				t.Errorf("there were %d operations only", len(tried))
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "dla-tmp") {
			t.Errorf("%s fails: error %v", failed, err)
		}
		right(failed)
	}
}

// names are what dir holds.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, e := range must(os.ReadDir(dir))(t) {
		all = append(all, e.Name())
	}
	return all
}

// TestExportIsWhole: whatever fails, a checkpoint that is replaced is the old one or the new one, and the same command
// goes well then.
func TestExportIsWhole(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	other := tiny(true)
	other.Seed++
	one, two := must(keptRun(root, trained(t, root, tiny(true)).ID))(t), must(keptRun(root, trained(t, root, other).ID))(t)
	to := filepath.Join(dir, "net")
	if _, err := Export(root, one.ID, to); err != nil {
		t.Fatal(err)
	}
	holds := func(want keptWeights, failed string) {
		t.Helper()
		k, err := keptFolder(to)
		if err != nil || weights.Fingerprint(k.file.Tensors) != weights.Fingerprint(want.file.Tensors) ||
			!bytes.Equal(k.Result, want.Result) {
			t.Errorf("%s fails: seed %d, want %d; error %v", failed, k.Seed, want.Seed, err)
		}
		if list := names(t, dir); !slices.Equal(list, []string{"net"}) {
			t.Errorf("%s fails: left are %v", failed, list)
		}
	}
	faults(t, func() error { _, err := exportKept(two, to); return err }, func(failed string) {
		if failed != "syncdir net" { // else it has been renamed
			holds(one, failed)
		}
	})
	holds(two, "nothing")
	if _, err := Export(root, one.ID, to); err != nil {
		t.Error(err)
	}
	holds(one, "nothing")
}

// TestExportAsIsWhole: whatever fails, a folder for other programs is whole or not there, and nothing else is left.
func TestExportAsIsWhole(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	id := trained(t, root, tiny(true)).ID
	to := filepath.Join(dir, "net")
	for format, files := range map[string][]string{FormatPyTorch: {"README.md", "model.pt", "model.py"},
		FormatONNX: {"README.md", "model.onnx"}} {
		faults(t, func() error { _, err := ExportAs(root, id, to, format); return err }, func(failed string) {
			if list := names(t, dir); len(list) > 0 && (!slices.Equal(list, []string{"net"}) ||
				!slices.Equal(names(t, to), files)) {
				t.Errorf("%s, %s fails: left are %v", format, failed, list)
			}
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
		})
		if list := names(t, to); !slices.Equal(list, files) {
			t.Errorf("%s: %v", format, list)
		}
		if _, err := ExportAs(root, id, to, format); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("%s: a folder was overwritten, error %v", format, err)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignFoldersStay: weights of Hugging Face's form, adapters that PEFT has saved and whatever else is no
// checkpoint of ours is neither replaced nor taken for one.
func TestForeignFoldersStay(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	id := trained(t, root, tiny(true)).ID
	for name, files := range map[string][]string{
		"hugging face": {"config.json", "tokenizer.json", modelName},
		"weights":      {modelName},
		"peft":         {"adapter_config.json", "adapter_model.safetensors", "README.md"},
		"notes":        {modelName, "env.json", "config.yaml", "result.json", "notes.txt"},
	} {
		to := filepath.Join(dir, name)
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(to, f), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Export(root, id, to); err == nil || !strings.Contains(err.Error(),
			to+" holds more than a checkpoint") || !strings.Contains(err.Error(), "name another folder") {
			t.Errorf("%s: error %v", name, err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(filepath.Join(to, f)); err != nil || string(b) != name {
				t.Errorf("%s: %s holds %q, error %v", name, f, b, err)
			}
		}
	}
	if _, err := FindNetwork(root, filepath.Join(dir, "hugging face")); err == nil ||
		!strings.Contains(err.Error(), "is a Hugging Face folder, not a checkpoint") {
		t.Errorf("taken for a checkpoint: error %v", err)
	}
	// One that a killed export left is no checkpoint either, nor is it listed.
	if err := os.Rename(filepath.Join(dir, "weights"), atomicfile.Temporary(dir)); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, c := range must(Checkpoints(dir))(t) {
		listed = append(listed, c.Name)
	}
	if !slices.Equal(listed, []string{"notes", "peft"}) {
		t.Errorf("listed are %v", listed)
	}
}

// TestMergeIsWhole: a merged model is there whole or not at all.
func TestMergeIsWhole(t *testing.T) {
	dir := t.TempDir()
	s := must(FindSentiment(dir, filepath.Join(classifiers, "mpnet")))(t)
	to := filepath.Join(dir, "below", "merged")
	faults(t, func() error { return s.Write(to) }, func(failed string) {
		if failed == "syncdir merged" {
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
		}
		if list := names(t, filepath.Dir(to)); len(list) > 0 {
			t.Errorf("%s fails: left are %v", failed, list)
		}
	})
	if _, err := FindSentiment(dir, to); err != nil {
		t.Error(err)
	}
}

// TestSavedSetIsWhole: an adversarial set is there whole or not at all.
func TestSavedSetIsWhole(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	cfg := tinyAttacks(t, root, true)
	cfg.Limit = 4
	nets, ds := networksAndData(t, root, &cfg)
	to := filepath.Join(dir, "set")
	save := func() error {
		_, err := saveOn(context.Background(), nets[0], ds, cfg, "fgsm", 8, to, AsSafetensors, options(t, root))
		return err
	}
	faults(t, save, func(failed string) {
		if failed == "syncdir set" {
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
		}
		if list := names(t, dir); len(list) > 0 {
			t.Errorf("%s fails: left are %v", failed, list)
		}
	})
	if _, err := weights.Load(filepath.Join(to, adversarialName), ""); err != nil {
		t.Error(err)
	}
}
