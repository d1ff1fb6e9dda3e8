package train_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/train"
)

const px = side * side

// robustConfig attacks a quarter of each batch, and has half as many outliers of two sets.
func robustConfig() train.RobustConfig {
	return train.RobustConfig{Seed: 7, Fraction: 0.25, Attack: func(int) attack.Attack { return attack.FGSM{Eps: 0.1} },
		Outliers: []data.Subset{data.All(blobs(20, 3)), {Set: blobs(20, 4),
			Index: []int32{5, 6, 7}}}, Share: 0.5, Weight: 0.5}
}

// pgd is another attack in each epoch.
func pgd(epoch int) attack.Attack {
	return attack.PGD{Norm: attack.Linf, Eps: 0.1, Step: 0.05, Steps: 2, Restarts: 1, Seed: uint64(epoch)}
}

func robust(t *testing.T, m model.Model, h train.RobustConfig) (*train.Robust, *nn.Params) {
	t.Helper()
	p := nn.NewParams(5)
	r, err := train.NewRobust(m, p, m.Input(side, side, 1), classes, batch, 16, h)
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

// batchOf is a batch of so many rows as the loop would have it filled.
func batchOf(r *train.Robust, rows int) *data.Batch {
	b := r.TrainBatch()
	data.NewLoader(data.All(blobs(240, 1)).First(rows), batch, true, 9).Batch(0, 0, b)
	return b
}

// TestRobustPrepares: so many images are attacked as are to be, within the radius and on weights and
// statistics that stay; the rest and the labels are as they were; after them come outliers of the sets in
// turn. All of it depends on seed, epoch and step alone.
func TestRobustPrepares(t *testing.T) {
	for _, m := range networks {
		r, p := robust(t, m, robustConfig())
		before := fingerprint(p)
		prepared := func(rows, epoch, step int) (x []float32, chosen []int) {
			t.Helper()
			b := batchOf(r, rows)
			clean, labels := slices.Clone(b.X[:rows*px]), slices.Clone(b.Y[:rows])
			if err := r.Prepare(epoch, step, rows); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(labels, b.Y[:rows]) || fingerprint(p) != before {
				t.Errorf("%s: other labels or weights", m.Name())
			}
			for row := range rows {
				if d := attack.Linf.Distance(clean[row*px:(row+1)*px], b.X[row*px:(row+1)*px]); d > 0.1 {
					t.Errorf("%s: row %d was changed by %g", m.Name(), row, d)
				} else if d > 0 {
					chosen = append(chosen, row)
				}
			}
			outliers := (rows + 1) / 2
			for i := range outliers {
				want := robustConfig().Outliers[i%2]
				if !slices.ContainsFunc(want.Index, func(at int32) bool {
					image := make([]float32, px)
					kernel.BytesToFloats(image, want.Set.Pixels[at*px:(at+1)*px])
					return slices.Equal(image, b.X[(rows+i)*px:(rows+i+1)*px])
				}) {
					t.Errorf("%s: outlier %d of %d rows is none of its set", m.Name(), i, rows)
				}
			}
			return slices.Clone(b.X[:(rows+outliers)*px]), chosen
		}
		x, chosen := prepared(8, 1, 2)
		if len(chosen) != 2 {
			t.Errorf("%s: rows %v of 8 are changed, want a quarter", m.Name(), chosen)
		}
		if _, few := prepared(5, 1, 2); len(few) != 1 {
			t.Errorf("%s: rows %v of 5 are changed, want one", m.Name(), few)
		}
		if again, _ := prepared(8, 1, 2); !slices.Equal(again, x) {
			t.Errorf("%s: another batch the second time", m.Name())
		}
		for _, at := range [][2]int{{1, 3}, {2, 2}} {
			other, others := prepared(8, at[0], at[1])
			if slices.Equal(others, chosen) && slices.Equal(other[8*px:], x[8*px:]) {
				t.Errorf("%s: the same images and outliers in epoch %d, step %d", m.Name(), at[0], at[1])
			}
		}
	}
}

// TestRobustWithNothing trains as an ordinary classifier does, bit by bit.
func TestRobustWithNothing(t *testing.T) {
	for _, m := range networks {
		h := robustConfig()
		h.Fraction, h.Share = 0, 0
		r, p := robust(t, m, h)
		q := nn.NewParams(5)
		plain, err := train.NewClassifier(m, q, m.Input(side, side, 1), classes, batch, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := batchOf(r, batch)
		x, y := plain.TrainBatch().X, plain.TrainBatch().Y
		copy(x, b.X)
		copy(y, b.Y)
		opt := [2]optim.Optimizer{}
		for i, params := range [][]optim.Param{r.Params(), plain.Params()} {
			if opt[i], err = optim.New(optim.Config{Name: "sgd", Momentum: 0.9}, params); err != nil {
				t.Fatal(err)
			}
		}
		for step := range 5 {
			got, err := r.TrainStep(0, step, batch)
			if err != nil {
				t.Fatal(err)
			}
			if want, err := plain.TrainStep(0, step, batch); err != nil || got != want {
				t.Fatalf("%s: step %d: %+v, want %+v, %v", m.Name(), step, got, want, err)
			}
			opt[0].Step(0.1)
			opt[1].Step(0.1)
		}
		if fingerprint(p) != fingerprint(q) {
			t.Errorf("%s: other weights", m.Name())
		}
	}
}

// TestRobustLossAndStatistics: the loss is that of the two kinds of rows, and batch normalisation sees both.
func TestRobustLossAndStatistics(t *testing.T) {
	m := networks[1]
	h := robustConfig()
	h.Fraction, h.Share = 0, 1
	var loss [2]float64 // without weight and with
	var all []float32   // the rows of both kinds
	var labels []int32
	var state string
	for i, weight := range []float64{0, 0.5} {
		h.Weight = weight
		r, p := robust(t, m, h)
		b := batchOf(r, batch)
		s, err := r.TrainStep(0, 0, batch)
		all, labels = slices.Clone(b.X[:2*batch*px]), slices.Clone(b.Y)
		if err != nil || s.N != batch {
			t.Fatal(s, err)
		}
		loss[i], state = s.LossSum, fingerprint(p)
	}
	// The same rows as one ordinary batch, the outliers under each label in turn: the mean of its loss is the
	// cross-entropy of the images, and that of the outliers against the uniform distribution.
	sum := 0.0
	for label := range int32(classes) {
		p := nn.NewParams(5)
		whole, err := train.NewClassifier(m, p, m.Input(side, side, 1), classes, 2*batch, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		x, y := whole.TrainBatch().X, whole.TrainBatch().Y
		copy(x, all)
		copy(y, labels)
		for i := range batch {
			y[batch+i] = label
		}
		s, err := whole.TrainStep(0, 0, 2*batch)
		if err != nil {
			t.Fatal(err)
		}
		if fingerprint(p) != state {
			t.Error("other running statistics than those of all rows")
		}
		sum += s.LossSum
	}
	kl := sum/classes - loss[0] - batch*math.Log(classes)
	if math.Abs(loss[1]-loss[0]-0.5*kl) > 1e-5*loss[0] || kl <= 0 {
		t.Errorf("loss %g without weight and %g with 0.5, divergence %g", loss[0], loss[1], kl)
	}
}

// TestRobustValidates on the images as they are and attacked.
func TestRobustValidates(t *testing.T) {
	for _, a := range []func(int) attack.Attack{robustConfig().Attack, pgd} {
		h := robustConfig()
		h.Attack = a
		m := networks[1]
		p := nn.NewParams(5)
		const rows = 130 // more than are attacked at once
		r, err := train.NewRobust(m, p, m.Input(side, side, 1), classes, batch, rows, h)
		if err != nil {
			t.Fatal(err)
		}
		set := data.All(blobs(rows, 2))
		got, err := train.Evaluate(context.Background(), r, r.Batches(data.NewLoader(set, rows, false, 0)), nil)
		if err != nil {
			t.Fatal(err)
		}
		clean, err := train.Evaluate(context.Background(), r.Scorer, r.Batches(data.NewLoader(set, rows, false, 0)), nil)
		if err != nil {
			t.Fatal(err)
		}
		target, err := attack.NewTarget(m, p, m.Input(side, side, 1), classes, rows)
		if err != nil {
			t.Fatal(err)
		}
		b := data.Batch{X: make([]float32, rows*px), Y: make([]int32, rows), Index: make([]int32, rows)}
		data.NewLoader(set, rows, false, 0).Batch(0, 0, &b)
		changed := make([]float32, rows*px)
		if err := a(0).Run(context.Background(), target, attack.Batch{X: b.X, Y: b.Y, Index: b.Index}, changed); err != nil {
			t.Fatal(err)
		}
		x, y := r.EvalBatch().X, r.EvalBatch().Y
		copy(x, changed)
		copy(y, b.Y)
		attacked, err := r.Scorer.EvalStep(rows)
		if err != nil {
			t.Fatal(err)
		}
		if got.N != 2*rows || got.Correct != clean.Correct+attacked.Correct ||
			math.Abs(got.LossSum-clean.LossSum-attacked.LossSum) > 1e-6*got.LossSum || attacked.LossSum <= clean.LossSum {
			t.Errorf("%+v, want the sum of %+v and %+v", got, clean, attacked)
		}
	}
}

// TestRobustResumesBitExactly: interrupted after every so many steps and resumed, on one thread or three,
// the training ends in the bits of one that never was.
func TestRobustResumesBitExactly(t *testing.T) {
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	for name, tc := range map[string]struct {
		model.Model
		attack func(int) attack.Attack
	}{"mlp, pgd": {networks[0], pgd}, "cnn, fgsm": {networks[1], robustConfig().Attack}, "cnn, pgd": {networks[1], pgd}} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			fit := func(r *run.Run, stop int) (*nn.Params, int) {
				t.Helper()
				h := robustConfig()
				h.Attack = tc.attack
				s, p := robust(t, tc.Model, h)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				n := 0
				j, _ := jobOf(t, tc.Model, r, func(j *train.Job) {
					opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9}, s.Params())
					if err != nil {
						t.Fatal(err)
					}
					j.Program, j.Optimizer = s, opt
					j.Sink = func(e train.Event) {
						if e.Kind == train.Step {
							if n++; n == stop {
								cancel()
							}
						}
					}
				})
				if _, err := j.Fit(ctx); err != nil {
					t.Fatal(err)
				}
				return p, j.Train.Steps()
			}
			kernel.SetThreads(1)
			whole := create(t, root)
			p, steps := fit(whole, 0)
			want, wantMetrics := fingerprint(p), metricsOf(t, root, whole.ID())
			whole.Close()
			kernel.SetThreads(3)
			for stop := 1; stop < epochs*steps; stop += 29 {
				r := create(t, root)
				fit(r, stop)
				r.Close()
				r, err := run.Resume(root, r.ID(), run.Env{}, false)
				if err != nil {
					t.Fatal(err)
				}
				p, _ := fit(r, 0)
				r.Close()
				if fingerprint(p) != want || !bytes.Equal(metricsOf(t, root, r.ID()), wantMetrics) {
					t.Errorf("stopped at %d and resumed: other weights or metrics", stop)
				}
			}
		})
	}
}

func TestRobustStepsAllocateNothing(t *testing.T) {
	for _, a := range []func(int) attack.Attack{robustConfig().Attack, pgd} {
		h := robustConfig()
		h.Attack = a
		r, _ := robust(t, networks[1], h)
		b := batchOf(r, batch)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := r.TrainStep(0, 3, b.Rows); err != nil {
				t.Fatal(err)
			}
			if _, err := r.EvalStep(10); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations a step", n)
		}
	}
}

// TestRobustRefuses outliers that are none, or of another size; an attack that fails ends the training.
func TestRobustRefuses(t *testing.T) {
	m := networks[0]
	for want, outliers := range map[string][]data.Subset{
		"there is no set of outliers": nil,
		"0 outliers":                  {{Set: blobs(3, 1)}},
		"outliers of 3072 value":      {data.All(data.Fake(2, 1, nil))},
	} {
		h := robustConfig()
		h.Outliers = outliers
		if _, err := train.NewRobust(m, nn.NewParams(5), m.Input(side, side, 1), classes, batch, 16, h); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	h := robustConfig()
	h.Attack = func(int) attack.Attack { return failing{} }
	s, _ := robust(t, m, h)
	r := create(t, t.TempDir())
	defer r.Close()
	j, _ := job(t, r, func(j *train.Job) { j.Program = s })
	if _, err := j.Fit(context.Background()); err == nil ||
		!strings.Contains(err.Error(), "epoch 1, step 1: attacking 2 images of the batch: ill today") {
		t.Errorf("error %v", err)
	}
}

type failing struct{}

func (failing) Run(context.Context, *attack.Target, attack.Batch, []float32) error {
	return errors.New("ill today")
}
