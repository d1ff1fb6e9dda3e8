package labs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dla/internal/atomicfile"
	"dla/internal/run"
)

// edit replaces old by new in the file name of the folder dir.
func edit(t *testing.T, dir, name, old, new string) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(b, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, b) {
		t.Fatalf("%s holds no %q", path, old)
	}
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// runsUnder counts the folders under root.
func runsUnder(t *testing.T, root string) int {
	t.Helper()
	list, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestDamagedRecordsAreNotTrainedAnew: neither a study with --resume nor runs resume nor export goes on from a
// record that is not what it was, and none of them makes another run instead.
func TestDamagedRecordsAreNotTrainedAnew(t *testing.T) {
	for _, c := range []struct{ file, old, new string }{
		{"config.yaml", " lr: 0.1\n", " lr: 0.3\n"},
		{"config.yaml", " lr: 0.1\n", ""},
		{"result.json", `"best_epoch"`, `"best_ep`},
		{"status.json", "finished", "fine"},
		{"metrics.jsonl", `"epoch":2`, `"epoch":3`},
	} {
		t.Run(c.file, func(t *testing.T) {
			root := t.TempDir()
			cfg := tiny(true)
			first := trained(t, root, cfg)
			edit(t, first.Dir, c.file, c.old, c.new)
			_, study := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, options(t, root))
			_, resumed := Resume(context.Background(), first.ID, options(t, root))
			_, exported := Export(root, first.ID, filepath.Join(t.TempDir(), "x"))
			for what, err := range map[string]error{"study": study, "resume": resumed, "export": exported} {
				if err == nil || !strings.Contains(err.Error(), c.file) ||
					!strings.Contains(err.Error(), "put back a good copy, or remove the run with `dla runs rm "+first.ID) {
					t.Errorf("%s: %v", what, err)
				}
				if err != nil && (strings.Contains(err.Error(), "finishes it") || strings.Contains(err.Error(), `experiment ""`)) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if n := runsUnder(t, root); n != 1 {
				t.Errorf("%d runs", n)
			}
		})
	}
}

// TestFinishedRunWithoutStatusIsReused: what it reached is there.
func TestFinishedRunWithoutStatusIsReused(t *testing.T) {
	root := t.TempDir()
	first := trained(t, root, tiny(true))
	if err := os.Remove(filepath.Join(first.Dir, "status.json")); err != nil {
		t.Fatal(err)
	}
	if again := trained(t, root, tiny(true)); !again.Reused || again.ID != first.ID {
		t.Errorf("%+v", again)
	}
	if _, err := os.Stat(filepath.Join(first.Dir, "status.json")); err == nil {
		t.Error("the finished run was written again")
	}
}

// TestStudyGoesOnWithAFailedRun: a disk that was full for a while costs a study nothing that was trained before.
func TestStudyGoesOnWithAFailedRun(t *testing.T) {
	cfg := tiny(true)
	cfg.Train.Epochs = 3
	whole := trained(t, t.TempDir(), cfg)
	t.Cleanup(func() { atomicfile.Fault = nil })
	for failing, continued := range map[string]bool{"ckpt-000002": true, "ckpt-000001": false} {
		root := t.TempDir()
		atomicfile.Fault = func(_, path string) error {
			if strings.Contains(path, failing) {
				return syscall.ENOSPC
			}
			return nil
		}
		failed, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, options(t, root))
		atomicfile.Fault = nil
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		again := trained(t, root, cfg)
		if (again.ID == failed.ID) != continued || runsUnder(t, root) == 1 != continued {
			t.Errorf("%s could not be written: %s failed, then %s finished", failing, failed.ID, again.ID)
		}
		if again.Result.WeightsSHA256 != whole.Result.WeightsSHA256 ||
			again.Result.LastWeightsSHA256 != whole.Result.LastWeightsSHA256 {
			t.Errorf("%s could not be written: other weights", failing)
		}
	}
}

// TestMissingFiguresAreDrawn: a process that is killed while it draws leaves a finished run without figures. Asked
// again, a study draws them, and nothing where there is no folder for them, as in a clone of the repository.
func TestMissingFiguresAreDrawn(t *testing.T) {
	root := t.TempDir()
	first := trained(t, root, tiny(true))
	dir, half := filepath.Join(first.Dir, figuresName), atomicfile.Temporary(first.Dir)
	half = strings.Replace(half, fmt.Sprintf("-%d-", os.Getpid()), "-999999999-", 1) // of a process that is gone
	if len(first.Figures) < 7 || filepath.Dir(first.Figures[0]) != dir {
		t.Fatalf("figures %v", first.Figures)
	}
	if again := trained(t, root, tiny(true)); again.Figures != nil {
		t.Errorf("drawn again: %v", again.Figures)
	}
	for what, kill := range map[string]func() error{
		"before it draws": func() error { return os.Mkdir(dir, 0o755) },
		"while it draws": func() error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(half, 0o755), os.WriteFile(filepath.Join(half, "x"), nil, 0o600))
		},
		"before they are in their place": func() error { return os.Mkdir(half, 0o755) },
	} {
		if err := errors.Join(os.RemoveAll(dir), kill()); err != nil {
			t.Fatal(err)
		}
		if again := trained(t, root, tiny(true)); !again.Reused || !slices.Equal(again.Figures, first.Figures) {
			t.Errorf("killed %s: %+v", what, again)
		}
		list, err := os.ReadDir(dir)
		if _, left := os.Lstat(half); err != nil || len(list) != len(first.Figures) || left == nil {
			t.Errorf("killed %s: %v, %v", what, list, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if again := trained(t, root, tiny(true)); again.Figures != nil {
		t.Errorf("drawn into a record of others: %v", again.Figures)
	}
}

// TestFinishedTrainingsKeepTheirBestWeights: what they could have gone on from is several times as large.
func TestFinishedTrainingsKeepTheirBestWeights(t *testing.T) {
	cfg := tiny(true)
	for keep, pattern := range map[bool]string{false: "best-000001.safetensors",
		true: "best-000001.safetensors ckpt-000001.safetensors ckpt-000002.safetensors"} {
		opt := options(t, t.TempDir())
		opt.KeepCheckpoints = keep
		tr, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, opt)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		list, err := os.ReadDir(filepath.Join(tr.Dir, "checkpoints"))
		for _, e := range list {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); err != nil || got != pattern {
			t.Errorf("kept are %s, want %s; %v", got, pattern, err)
		}
	}
}

// TestExportedRecordsAreVerified: a checkpoint's folder is read as a run is, and says with what the run went on.
func TestExportedRecordsAreVerified(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "shipped")
	cfg := tiny(true)
	opt := options(t, root)
	opt.MaxTime = 1
	if stopped, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, opt); err != nil || stopped.Done() {
		t.Fatalf("%+v, %v", stopped, err)
	}
	first := trained(t, root, cfg)
	export := func() {
		t.Helper()
		if _, err := Export(root, first.ID, dir); err != nil { // what is there is replaced
			t.Fatal(err)
		}
	}
	export()
	if rec, err := run.ReadFolder(dir); err != nil || len(rec.Resumed) != 1 {
		t.Errorf("resumed %+v, %v", rec.Resumed, err)
	}
	for _, c := range []struct{ file, old, new string }{{"result.json", `"n": 96`, `"n": 97`},
		{"env.json", `"seed": 0`, `"seed": 1`}, {"config.yaml", "lr: 0.1", "lr: 0.3"}} {
		export()
		edit(t, dir, c.file, c.old, c.new)
		if _, err := FindNetwork(root, dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, c.file)) {
			t.Errorf("%s was changed: %v", c.file, err)
		}
	}
}
