package train_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// encoders have features of the images' size and of a quarter of it, and running statistics.
var encoders = []model.Model{model.CNN{Size: "tiny", Inner: []int{6}, Res: true, Pixels: model.MNIST},
	model.ResNet{Blocks: 1, Width: 8, Res: true, Pixels: model.MNIST}}

// autoencoder is one over m, with what of its state is the encoder's: weights that are not their initial
// ones, as after a training.
func autoencoder(t *testing.T, m model.Model) (a *train.Autoencoder, p *nn.Params, encoder []weights.Tensor) {
	t.Helper()
	p = nn.NewParams(5)
	g := nn.NewGraph(p)
	row := m.Input(side, side, 1)
	m.Logits(g, g.Input("x", append([]int{1}, row...)...), classes)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	for _, q := range p.List() {
		if q.Buffer {
			for i := range q.Data {
				q.Data[i] += 0.25 + float32(i%3)/8
			}
		}
	}
	n := len(p.List())
	a, err := train.NewAutoencoder(model.AutoEncoder{Encoder: m}, p, row, batch, 16)
	if err != nil {
		t.Fatal(err)
	}
	return a, p, a.State()[:n]
}

// autoencoderJob trains a as jobOf trains a classifier.
func autoencoderJob(t *testing.T, a *train.Autoencoder, r *run.Run, edit func(*train.Job)) *train.Job {
	t.Helper()
	opt, err := optim.New(optim.Config{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, a.Params())
	if err != nil {
		t.Fatal(err)
	}
	j, _ := job(t, r, func(j *train.Job) {
		sched, err := optim.NewSchedule(optim.ScheduleConfig{Name: "cosine"}, 0.01, epochs*j.Train.Steps())
		if err != nil {
			t.Fatal(err)
		}
		j.Program, j.Optimizer, j.Schedule = a, opt, sched
		if edit != nil {
			edit(j)
		}
	})
	return j
}

// TestAutoencoderLearns, and leaves its encoder as it was, running statistics included: to the bit. It has
// no accuracy, in its events and in its record, and the best epoch is that of the smallest loss.
func TestAutoencoderLearns(t *testing.T) {
	for _, m := range encoders {
		root := t.TempDir()
		r := create(t, root)
		defer r.Close()
		a, p, encoder := autoencoder(t, m)
		before := weights.Fingerprint(encoder)
		if len(a.Params()) != 6 || len(p.Trained()) != 6 {
			t.Errorf("%d tensors are trained, want the six of the decoder", len(a.Params()))
		}
		backward := map[string]int{}
		for _, step := range a.Train().Steps() {
			for _, op := range strings.Split(step.Op, "+") {
				backward[op]++
			}
		}
		if backward["conv2d-dw"] != 3 || backward["conv2d-dx"] != 2 || backward["fixednorm-dx"] != 0 {
			t.Errorf("%s: a step runs %v, want gradients of the decoder's three layers alone", m.Name(), backward)
		}
		var losses []float64
		j := autoencoderJob(t, a, r, func(j *train.Job) {
			for _, s := range j.Optimizer.Slots() {
				if !strings.Contains(s.Name, "decoder.") {
					t.Errorf("the optimiser has the state %s", s.Name)
				}
			}
			j.Sink = func(e train.Event) {
				if (e.Kind == train.Step || e.Kind == train.EvalStep) && !math.IsNaN(e.Accuracy) {
					t.Errorf("event %+v has an accuracy", e)
				}
				if e.Kind == train.EpochEnd {
					losses = append(losses, e.ValLoss)
				}
			}
		})
		out, err := j.Fit(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if weights.Fingerprint(encoder) != before {
			t.Errorf("%s: training changed the encoder", m.Name())
		}
		best := slices.Index(losses, slices.Min(losses)) + 1
		if out.BestEpoch != best || out.BestVal.Loss() != losses[best-1] || !math.IsNaN(out.BestVal.Accuracy()) ||
			losses[len(losses)-1] > losses[0]*0.9 {
			t.Errorf("%s: losses %v, outcome %+v", m.Name(), losses, out)
		}
		if b := metricsOf(t, root, r.ID()); bytes.Contains(b, []byte("accuracy")) || bytes.Count(b, []byte("\n")) != epochs {
			t.Errorf("metrics %s", b)
		}
		rec, err := run.Find(root, r.ID())
		if err != nil || len(rec.Metrics) != epochs || !math.IsNaN(rec.Metrics[0].Val.Accuracy) {
			t.Errorf("%+v, %v", rec.Metrics, err)
		}
	}
}

// TestAutoencoderStopsEarly by its loss.
func TestAutoencoderStopsEarly(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	a, _, _ := autoencoder(t, encoders[0])
	j := autoencoderJob(t, a, r, func(j *train.Job) {
		sched, err := optim.NewSchedule(optim.ScheduleConfig{Name: "constant"}, 0.5, 1) // far too large
		if err != nil {
			t.Fatal(err)
		}
		j.Schedule, j.Epochs, j.Patience = sched, 100, 2
	})
	out, err := j.Fit(context.Background())
	if err != nil || out.Reason != train.EarlyStop || out.Epochs != out.BestEpoch+2 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestAutoencoderResumesBitExactly: interrupted after every so many steps and resumed, it ends in the bits
// of one that never was.
func TestAutoencoderResumesBitExactly(t *testing.T) {
	for _, m := range encoders {
		root := t.TempDir()
		fit := func(r *run.Run, stop int) (*nn.Params, train.Outcome) {
			t.Helper()
			a, p, _ := autoencoder(t, m)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			n := 0
			out, err := autoencoderJob(t, a, r, func(j *train.Job) {
				j.Sink = func(e train.Event) {
					if e.Kind == train.Step || e.Kind == train.EvalStep {
						if n++; n == stop {
							cancel()
						}
					}
				}
			}).Fit(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return p, out
		}
		whole := create(t, root)
		p, out := fit(whole, 0)
		want, wantMetrics := fingerprint(p), metricsOf(t, root, whole.ID())
		whole.Close()
		for stop := 1; stop < epochs*30; stop += 16 {
			r := create(t, root)
			fit(r, stop)
			r.Close()
			r, err := run.Resume(root, r.ID(), run.Env{}, false)
			if err != nil {
				t.Fatal(err)
			}
			p, again := fit(r, 0)
			r.Close()
			if fingerprint(p) != want || !bytes.Equal(metricsOf(t, root, r.ID()), wantMetrics) ||
				again.BestEpoch != out.BestEpoch || again.BestVal != out.BestVal {
				t.Errorf("%s: stopped at %d and resumed: other weights, metrics or best epoch", m.Name(), stop)
			}
		}
	}
}

// TestReconstructor: the errors are those of the images it gives, a shorter batch has as many, and the
// training graph's loss is their mean.
func TestReconstructor(t *testing.T) {
	for _, m := range encoders {
		a, _, _ := autoencoder(t, m)
		set := blobs(16, 3)
		a.Batches(data.NewLoader(data.All(set), 16, false, 0)).Lay(0, 0)
		for _, rows := range []int{16, 5} {
			s, err := a.EvalStep(rows)
			if err != nil {
				t.Fatal(err)
			}
			const px = side * side
			images, errors := a.Images(), a.Errors()
			if len(images) != rows*px || len(errors) != rows || s.N != rows {
				t.Fatalf("%d values, %d errors, %+v of %d images", len(images), len(errors), s, rows)
			}
			total := 0.0
			for r, e := range errors {
				sum := 0.0
				for i := range px {
					d := float64(images[r*px+i]) - float64(set.Pixels[r*px+i])/255
					sum += d * d / px
				}
				total += sum
				if math.Abs(float64(e)-sum) > 1e-5*sum {
					t.Errorf("%s: image %d has an error of %g, want %g", m.Name(), r, e, sum)
				}
			}
			if math.Abs(s.LossSum-total) > 1e-5*total {
				t.Errorf("%s: the errors sum up to %g, want %g", m.Name(), s.LossSum, total)
			}
		}

		copy(a.TrainBatch().X, a.EvalBatch().X)
		s, err := a.TrainStep(0, 0, batch)
		if err != nil {
			t.Fatal(err)
		}
		e, err := a.EvalStep(batch)
		if err != nil || math.Abs(s.LossSum-e.LossSum) > 1e-5*e.LossSum {
			t.Errorf("%s: training has a loss of %g, evaluation of %g (%v): the encoder must be the same in both", m.Name(),
				s.LossSum, e.LossSum, err)
		}
	}
}

func TestAutoencoderStepsAllocateNothing(t *testing.T) {
	a, _, _ := autoencoder(t, encoders[1])
	if n := testing.AllocsPerRun(20, func() {
		if _, err := a.TrainStep(0, 0, batch); err != nil {
			t.Fatal(err)
		}
		if _, err := a.EvalStep(3); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
