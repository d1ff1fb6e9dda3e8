package labs

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/run"
	"dla/internal/weights"
)

// TestLastEpochIsTested: where validation selects an earlier epoch, the last epoch's weights, which the last checkpoint
// holds, are tested as well. Where it selects the last, nothing is recorded twice.
func TestLastEpochIsTested(t *testing.T) {
	root := t.TempDir()
	opt := options(t, root)
	opt.KeepCheckpoints = true
	cfg := tiny(true)
	cfg.Model.Res, cfg.Data.Limit = true, 256
	cfg.Train.Epochs, cfg.Train.Schedule, cfg.Train.LR = 3, "constant", 0.4 // the accuracy goes up and down
	early, last := false, false
	for seed := uint64(0); seed < 20 && !(early && last); seed++ {
		cfg.Seed = seed
		tr, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, opt)
		if err != nil {
			t.Fatal(err)
		}
		res := tr.Result
		if res.BestEpoch == res.Epochs {
			last = true
			if got := res.LastTested(); res.TestLast != nil || *got != res.Test {
				t.Errorf("seed %d, the last epoch was selected: %+v, want %+v", seed, got, res.Test)
			}
			continue
		}
		early = true
		if res.TestLast == nil {
			t.Errorf("seed %d, epoch %d of %d was selected: the last was not tested", seed, res.BestEpoch, res.Epochs)
			continue
		}
		n, err := LoadRun(root, tr.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := weights.Copy(n.state(), lastCheckpoint(t, tr.Dir)); err != nil {
			t.Fatal(err)
		}
		s, err := n.Scorer(evalBatch)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := testOnce(context.Background(), s, split(set(t, cfg.Data.Name), cfg.Training()).test, nil)
		if err != nil || *res.TestLast != want || weights.Fingerprint(n.state()) != res.LastWeightsSHA256 ||
			want.Loss == res.Test.Loss {
			t.Errorf("seed %d: %+v, %v, want %+v, which differs from %+v", seed, res.TestLast, err, want, res.Test)
		}
	}
	if !early || !last {
		t.Fatal("no seed selects an earlier epoch, or none the last")
	}
}

// lastCheckpoint returns the model's state in the last checkpoint of the run in dir.
func lastCheckpoint(t *testing.T, dir string) []weights.Tensor {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "checkpoints", "ckpt-*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%q, %v", names, err)
	}
	f, err := weights.Load(slices.Max(names), "")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(f.Tensors, func(x weights.Tensor) bool { return strings.HasPrefix(x.Name, run.OptimPrefix) })
}
