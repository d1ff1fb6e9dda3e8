package train_test

import (
	"path/filepath"
	"slices"
	"testing"

	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// TestDropoutIsOfItsStep: what a classifier drops depends on the epoch and the step alone, each has its own,
// and an evaluation drops nothing.
func TestDropoutIsOfItsStep(t *testing.T) {
	v := randomVectors(16)
	c := dropper(t)
	gradient := func(epoch, step int) []float32 {
		t.Helper()
		rows := c.TrainBatches(data.NewVectorLoader(v, all(16), 16, false, 0)).Lay(0, 0)
		if _, err := c.TrainStep(epoch, step, rows); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(c.Params()[0].Grad)
	}
	first := gradient(2, 3)
	for _, other := range [][2]int{{2, 4}, {3, 3}, {0, 0}, {0, 3}} {
		if slices.Equal(gradient(other[0], other[1]), first) {
			t.Errorf("epoch %d, step %d drops what epoch 2, step 3 does", other[0], other[1])
		}
	}
	if !slices.Equal(gradient(2, 3), first) {
		t.Error("epoch 2, step 3 drops other elements the second time")
	}
	var logits [][]float32
	for range 2 {
		if _, err := c.EvalStep(c.Batches(data.NewVectorLoader(v, all(16), 16, false, 0)).Lay(0, 0)); err != nil {
			t.Fatal(err)
		}
		logits = append(logits, slices.Clone(c.Logits()))
	}
	if !slices.Equal(logits[0], logits[1]) {
		t.Error("an evaluation drops something")
	}
}

// TestResumeWithDropout: a training on vectors that is stopped after each step and resumed ends in the same
// bits.
func TestResumeWithDropout(t *testing.T) {
	v := randomVectors(40)
	fit := func(root string, stops bool) string {
		t.Helper()
		r, err := run.Create(root, run.Spec{Experiment: "test", Variant: "head"})
		if err != nil {
			t.Fatal(err)
		}
		id := r.ID()
		for {
			c := dropper(t)
			o, err := optim.New(optim.Config{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}, c.Params())
			if err != nil {
				t.Fatal(err)
			}
			s, err := optim.NewSchedule(optim.ScheduleConfig{Name: "cosine"}, 0.01, 6)
			if err != nil {
				t.Fatal(err)
			}
			j := train.Job{Program: c, Optimizer: o, Schedule: s,
				Train: c.TrainBatches(data.NewVectorLoader(v, all(32), 16, true, 1)),
				Val:   c.Batches(data.NewVectorLoader(v, []int32{32, 33, 34, 35, 36, 37, 38, 39}, 16, false, 0)), Epochs: 3, Run: r}
			if stops {
				j.MaxTime = 1
			}
			out, err := j.Fit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if out.Reason == train.Finished {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				return weights.Fingerprint(c.State())
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if r, err = run.Resume(root, id, run.Env{}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if whole, parts := fit(filepath.Join(t.TempDir(), "a"), false), fit(filepath.Join(t.TempDir(), "b"),
		true); whole != parts {
		t.Errorf("weights %.12s, and %.12s where it was stopped", whole, parts)
	}
}

// dropper is a head for the vectors of randomVectors that drops half of its elements.
func dropper(t *testing.T) *train.Classifier {
	t.Helper()
	c, err := train.NewClassifier(model.MLPHead{Hidden: 12, Dropout: 0.5}, nn.NewParams(5), []int{6}, 2, 16, 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func randomVectors(n int) *data.Vectors {
	v := &data.Vectors{Width: 6, X: make([]float32, n*6), Labels: make([]int32, n)}
	r := rng.New(1, "vectors", 0, 0)
	for i := range v.X {
		v.X[i] = float32(r.Normal())
	}
	for i := range v.Labels {
		v.Labels[i] = int32(r.IntN(2))
	}
	return v
}

// all are the first n places.
func all(n int) (index []int32) {
	for i := range n {
		index = append(index, int32(i))
	}
	return index
}
