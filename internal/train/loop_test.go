package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

const (
	side, classes = 4, 3
	batch, epochs = 8, 4
)

// blobs is a toy set: the class is which third of the image is brightest.
func blobs(n int, seed uint64) *data.Set {
	s := &data.Set{N: n, H: side, W: side, C: 1, Pixels: make([]uint8, n*side*side), Labels: make([]int32, n),
		Classes: []string{"a", "b", "c"}}
	r := rng.New(seed, "blobs", 0, 0)
	for i := range n {
		s.Labels[i] = int32(r.IntN(classes))
		for j := range side * side {
			s.Pixels[i*side*side+j] = uint8(r.IntN(120))
			if j%classes == int(s.Labels[i]) {
				s.Pixels[i*side*side+j] += 70
			}
		}
	}
	return s
}

// networks are what the tests train: a residual MLP, and one with convolutions, running statistics and
// augmented images.
var networks = []model.Model{model.MLP{Depth: 2, Width: 8, Res: true},
	model.ResNet{Blocks: 1, Width: 8, Res: true, Pixels: model.MNIST}}

// job is a training of the first of networks that belongs to r.
func job(t *testing.T, r *run.Run, edit func(*train.Job)) (*train.Job, *nn.Params) {
	t.Helper()
	return jobOf(t, networks[0], r, edit)
}

func jobOf(t *testing.T, m model.Model, r *run.Run, edit func(*train.Job)) (*train.Job, *nn.Params) {
	t.Helper()
	p := nn.NewParams(5)
	prog, err := train.NewClassifier(m, p, m.Input(side, side, 1), classes, batch, 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9, EpochSteps: 240 / batch}, prog.Params())
	if err != nil {
		t.Fatal(err)
	}
	var trainer train.Loader = data.NewLoader(data.All(blobs(240, 1)), batch, true, 9)
	val := data.NewLoader(data.All(blobs(30, 2)), 16, false, 0)
	if _, conv := m.(model.ResNet); conv {
		ahead := data.NewPrefetch(data.NewAugmentedLoader(data.All(blobs(240, 1)), batch, 9,
			data.Augment{Flip: true, Crop: 1, Cutout: 1}), 2)
		t.Cleanup(ahead.Close)
		trainer = ahead
	}
	sched, err := optim.NewSchedule(optim.ScheduleConfig{Name: "cosine"}, 0.1, epochs*trainer.Steps())
	if err != nil {
		t.Fatal(err)
	}
	j := &train.Job{Program: prog, Optimizer: opt, Schedule: sched, Train: prog.TrainBatches(trainer),
		Val:    prog.Batches(val),
		Epochs: epochs, ClipNorm: 1, GradNorms: true, Run: r}
	if edit != nil {
		edit(j)
	}
	fed, ok := j.Program.(interface { // edit may have set another
		TrainBatches(train.Loader) train.Batches
		Batches(train.Loader) train.Batches
	})
	if !ok {
		t.Fatalf("no rows can be laid for a %T", j.Program)
	}
	j.Train = fed.TrainBatches(trainer)
	if j.Val != nil {
		j.Val = fed.Batches(val)
	}
	return j, p
}

func create(t *testing.T, root string) *run.Run {
	t.Helper()
	r, err := run.Create(root, run.Spec{Experiment: "test", Variant: "toy", Config: []byte("a: 1\n")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fingerprint(p *nn.Params) string {
	var ts []weights.Tensor
	for _, q := range p.List() {
		ts = append(ts, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return weights.Fingerprint(ts)
}

func metricsOf(t *testing.T, root, id string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, id, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestItLearns(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	defer r.Close()
	j, _ := job(t, r, nil)
	out, err := j.Fit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if out.Reason != train.Finished || out.Epochs != epochs {
		t.Errorf("outcome %+v", out)
	}
	if acc := out.BestVal.Accuracy(); acc < 0.8 {
		t.Errorf("validation accuracy %.2f of three well separated classes", acc)
	}
	if lines := bytes.Count(metricsOf(t, root, r.ID()), []byte("\n")); lines != epochs {
		t.Errorf("%d lines of metrics, want one an epoch", lines)
	}
}

// TestResumeIsBitExact interrupts a training after every number of steps there is, resumes it with
// everything built anew, and wants the bits of the training that was never stopped.
func TestResumeIsBitExact(t *testing.T) {
	for _, m := range networks {
		t.Run(m.Name(), func(t *testing.T) { resumeIsBitExact(t, m, 7, func(*train.Job) {}) })
	}
	for name, edit := range recipes(t) {
		t.Run(name, func(t *testing.T) { resumeIsBitExact(t, networks[1], 19, edit) })
	}
}

// recipes are what a training may have beside its optimiser.
func recipes(t *testing.T) map[string]func(*train.Job) {
	return map[string]func(*train.Job){
		"steps": func(j *train.Job) { j.Steps = 100 },
		"muon": func(j *train.Job) {
			opt, err := optim.New(optim.Config{Name: "muon", Momentum: 0.9, Nesterov: true, EpochSteps: 240 / batch,
				Muon: optim.Muon{LR: 2, Momentum: 0.6}}, j.Program.Params())
			if err != nil {
				t.Fatal(err)
			}
			j.Optimizer = opt
		},
		"ema": func(j *train.Job) {
			j.Average = optim.AverageConfig{Name: "ema", Decay: 0.9, Every: 2}
		},
		"lookahead": func(j *train.Job) {
			j.Steps, j.Average = 103, optim.AverageConfig{Name: "lookahead", Decay: 0.95, Every: 5, Power: 3}
		},
		"without validation": func(j *train.Job) { j.Steps, j.Val = 100, nil },
	}
}

// resumeIsBitExact interrupts a training of m that edit has changed at every stride-th step or batch of validation.
func resumeIsBitExact(t *testing.T, m model.Model, stride int, edit func(*train.Job)) {
	root := t.TempDir()
	whole := create(t, root)
	j, p := jobOf(t, m, whole, edit)
	want, err := j.Fit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	wantWeights, wantMetrics := fingerprint(p), metricsOf(t, root, whole.ID())
	steps := epochs * j.Train.Steps()
	whole.Close()

	if j.Steps > 0 {
		steps = j.Steps
	}
	for stop := 1; stop < steps; stop += stride {
		r := create(t, root)
		ctx, cancel := context.WithCancel(context.Background())
		n := 0
		j, _ := jobOf(t, m, r, func(j *train.Job) {
			edit(j)
			j.Sink = func(e train.Event) {
				if e.Kind == train.Step || e.Kind == train.EvalStep {
					if n++; n == stop {
						cancel()
					}
				}
			}
		})
		out, err := j.Fit(ctx)
		cancel()
		if err != nil {
			t.Fatalf("interrupted at %d: %v", stop, err)
		}
		if out.Reason != train.Interrupted {
			t.Fatalf("interrupted at %d: outcome %q", stop, out.Reason)
		}
		if err := r.SetStatus(run.StatusInterrupted, ""); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if r, err = run.Resume(root, r.ID(), run.Env{}, false); err != nil {
			t.Fatal(err)
		}
		j2, p2 := jobOf(t, m, r, edit)
		got, err := j2.Fit(context.Background())
		if err != nil {
			t.Fatalf("resumed from %d: %v", stop, err)
		}
		r.Close()
		if fingerprint(p2) != wantWeights {
			t.Errorf("stopped at %d and resumed: other weights", stop)
		}
		if m := metricsOf(t, root, r.ID()); !bytes.Equal(m, wantMetrics) {
			t.Errorf("stopped at %d and resumed: metrics\n%swant\n%s", stop, m, wantMetrics)
		}
		if !reflect.DeepEqual(got.GradNorms, want.GradNorms) {
			t.Errorf("stopped at %d and resumed: gradient norms %v, want %v", stop, got.GradNorms, want.GradNorms)
		}
		if got.BestEpoch != want.BestEpoch || got.BestVal != want.BestVal {
			t.Errorf("stopped at %d and resumed: best %+v, want %+v", stop, got, want)
		}
	}
}

// TestStepsEndWithinAnEpoch: the last epoch has the steps that are left, and is validated and recorded as any other.
func TestStepsEndWithinAnEpoch(t *testing.T) {
	for _, tc := range []struct{ steps, epochs, last int }{{70, 3, 70}, {60, 2, 60}, {1, 1, 1}, {1000, epochs, 120}} {
		root := t.TempDir()
		r := create(t, root)
		seen, named := 0, 0
		j, _ := job(t, r, func(j *train.Job) {
			j.Steps = tc.steps
			j.Sink = func(e train.Event) {
				if e.Kind == train.Step {
					seen, named = seen+1, e.Epochs
				}
			}
		})
		out, err := j.Fit(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(metricsOf(t, root, r.ID())), []byte("\n"))
		var last run.Epoch
		if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
			t.Fatal(err)
		}
		lr := j.Schedule.LR(tc.last - 1)
		if out.Reason != train.Finished || out.Epochs != tc.epochs || seen != tc.last || named != tc.epochs ||
			len(lines) != tc.epochs || last.Step != tc.last || last.LR != lr || out.LastVal.N != 30 {
			t.Errorf("%d steps: %+v after %d of %d epochs, %d lines, the last %s", tc.steps, out, seen, named, len(lines),
				lines[len(lines)-1])
		}
		r.Close()
	}
}

// watched is a Classifier that calls before before each batch of validation.
type watched struct {
	*train.Classifier
	before func()
}

func (w watched) EvalStep(samples int) (train.Stats, error) {
	w.before()
	return w.Classifier.EvalStep(samples)
}

// TestAverageIsWhatIsEvaluated: validation evaluates the average of weights and running statistics, the best epoch
// keeps it and the program ends with it; ema leaves the training as it is without.
func TestAverageIsWhatIsEvaluated(t *testing.T) {
	// fit returns the state that a training ends with and that of its best epoch.
	fit := func(a optim.AverageConfig, seen func(kind train.Kind, state []float32)) (last, best []float32, epoch int) {
		r := create(t, t.TempDir())
		defer r.Close()
		var all func() []float32
		j, _ := jobOf(t, networks[1], r, func(j *train.Job) {
			j.Average, j.Steps = a, 70
			all = func() (state []float32) {
				for _, s := range j.Program.State() {
					state = append(state, s.Data...)
				}
				return state
			}
			c := j.Program.(*train.Classifier)
			j.Sink = func(e train.Event) {
				if e.Kind == train.Step {
					seen(e.Kind, all())
				}
			}
			j.Program = watched{c, func() { seen(train.EvalStep, all()) }}
		})
		if _, err := j.Fit(context.Background()); err != nil {
			t.Fatal(err)
		}
		last = all()
		f, epoch, err := r.BestWeights()
		if err != nil || weights.Copy(j.Program.(watched).State(), f.Tensors) != nil {
			t.Fatal(err)
		}
		return last, all(), epoch
	}
	var plain [][]float32
	fit(optim.AverageConfig{}, func(k train.Kind, s []float32) {
		if k == train.Step {
			plain = append(plain, s)
		}
	})
	for _, name := range optim.Averages {
		a := optim.AverageConfig{Name: name, Decay: 0.5, Every: 1}
		step := 0
		var average, start []float32
		var evaluated [][]float32
		last, best, epoch := fit(a, func(k train.Kind, s []float32) {
			if k == train.Step {
				step++
			}
			switch {
			case name == "ema" && k == train.Step:
				if !slices.Equal(s, plain[step-1]) {
					t.Fatalf("step %d: the average changes the training", step)
				}
				if average == nil {
					average = slices.Clone(s)
				}
				for i := range s {
					average[i] += 0.5 * (s[i] - average[i])
				}
			case name == "lookahead" && k == train.Step:
				average = s
				if start == nil {
					start = s
				}
			default:
				for i := range s {
					if d := math.Abs(float64(s[i] - average[i])); d > 1e-6*max(1, math.Abs(float64(s[i]))) {
						t.Fatalf("%s, validation after step %d: %v, want %v", name, step, s[i], average[i])
					}
				}
				evaluated = append(evaluated, s)
			}
		})
		// 30 images are two batches of validation, and 70 steps are three epochs.
		if len(evaluated) != 6 || !slices.Equal(last, evaluated[5]) || !slices.Equal(best, evaluated[2*epoch-1]) {
			t.Errorf("%s: evaluated %d times; the last or the best weights are not those of epoch %d", name,
				len(evaluated), epoch)
		}
		if name == "lookahead" && slices.Equal(start, plain[0]) {
			t.Error("lookahead does not go on from the average")
		}
	}
}

// early trains its first layer in the first epoch alone.
type early struct{ model.MLP }

func (m early) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	y := m.MLP.Logits(g, x, classes)
	g.TrainFor("stem.weight", 1)
	g.TrainFor("stem.bias", 1)
	return y
}

// TestTrainedForAnEpoch: what is trained in the first epoch alone stays as it is after it. Its gradient is no longer
// computed, and does not count in the norm that is clipped.
func TestTrainedForAnEpoch(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	j, p := jobOf(t, early{networks[0].(model.MLP)}, r, nil)
	at := slices.IndexFunc(p.List(), func(q *nn.Param) bool { return q.Name == "stem.bias" })
	bias := p.List()[at].Data
	seen := [][]float32{slices.Clone(bias)}
	graph := j.Program.(*train.Classifier).Train()
	macs := graph.MACs()
	j.Sink = func(e train.Event) {
		if e.Kind == train.EpochEnd {
			seen = append(seen, slices.Clone(bias))
		}
	}
	if _, err := j.Fit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(seen[0], seen[1]) || !slices.Equal(seen[1], seen[2]) || !slices.Equal(seen[1], seen[epochs]) {
		t.Errorf("the bias after each epoch: %v", seen)
	}
	for _, q := range j.Program.Params() {
		if zero := kernel.SumSquares(q.Grad) == 0; zero != strings.HasPrefix(q.Name, "stem.") {
			t.Errorf("%s: gradient %v", q.Name, q.Grad[:2])
		}
	}
	if after := graph.MACs(); after >= macs {
		t.Errorf("%d multiply-adds a step in the first epoch, %d in the last", macs, after)
	}
	g := nn.NewGraph(p)
	g.TrainFor("steam.bias", 1)
	if err := g.Err(); err == nil || !strings.Contains(err.Error(), "steam.bias") {
		t.Errorf("an unknown parameter: %v", err)
	}
}

// TestWithoutValidation: the last epoch's weights are kept, no measure of a validation is written, and the training is
// that with validation, bit for bit.
func TestWithoutValidation(t *testing.T) {
	root := t.TempDir()
	validated, r := create(t, root), create(t, root)
	defer validated.Close()
	defer r.Close()
	j, p := job(t, validated, nil)
	if _, err := j.Fit(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := fingerprint(p)

	var ends []train.Event
	j, p = job(t, r, func(j *train.Job) {
		j.Val = nil
		j.Sink = func(e train.Event) {
			switch e.Kind {
			case train.EpochEnd:
				ends = append(ends, e)
			case train.EvalStart:
				t.Error("something was evaluated")
			}
		}
	})
	out, err := j.Fit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := fingerprint(p); got != want {
		t.Error("validation changes the training")
	}
	if out.BestEpoch != epochs || out.Epochs != epochs || out.BestVal.Measure().Measured() ||
		out.LastVal.Measure().Measured() {
		t.Errorf("outcome %+v, want the last epoch and no measure", out)
	}
	best, epoch, err := r.BestWeights()
	if err != nil {
		t.Fatal(err)
	}
	if err := weights.Copy(j.Program.State(), best.Tensors); err != nil || epoch != epochs || fingerprint(p) != want {
		t.Errorf("kept the weights of epoch %d (error %v), want those of the last", epoch, err)
	}
	if len(ends) != epochs {
		t.Errorf("%d epochs, want %d", len(ends), epochs)
	}
	for _, e := range ends {
		if !math.IsNaN(e.ValLoss) || !math.IsNaN(e.ValAcc) || e.Best {
			t.Errorf("%+v reports a validation", e)
		}
	}
	if lines := bytes.Count(metricsOf(t, root, r.ID()), []byte(`"val":null`)); lines != epochs {
		t.Errorf("%d lines without validation, want %d:\n%s", lines, epochs, metricsOf(t, root, r.ID()))
	}
}

// TestGradNorms: of every weight tensor and no bias, in the network's order, each epoch.
func TestGradNorms(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	j, _ := job(t, r, nil)
	out, err := j.Fit(context.Background())
	if err != nil || len(out.GradNorms) != epochs {
		t.Fatalf("%+v, %v", out, err)
	}
	want := []string{"stem.weight", "blocks.0.fc1.weight", "blocks.0.fc2.weight", "blocks.1.fc1.weight",
		"blocks.1.fc2.weight", "head.weight"}
	for i, n := range out.GradNorms {
		if n.Epoch != i+1 || !slices.Equal(n.Layers, want) || len(n.Norms) != len(want) {
			t.Errorf("epoch %d: %+v", i+1, n)
		}
		for _, v := range n.Norms {
			if !(v > 0 && v < 100) {
				t.Errorf("epoch %d: norms %v", i+1, n.Norms)
			}
		}
	}
}

func TestEarlyStop(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	j, _ := job(t, r, func(j *train.Job) { j.Epochs, j.Patience = 40, 2 })
	out, err := j.Fit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if out.Reason != train.EarlyStop || out.Epochs != out.BestEpoch+2 {
		t.Errorf("stopped by %q after epoch %d, best epoch %d: want two epochs later", out.Reason, out.Epochs, out.BestEpoch)
	}
}

func TestMaxTime(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	j, _ := job(t, r, func(j *train.Job) { j.MaxTime = time.Nanosecond })
	out, err := j.Fit(context.Background())
	if err != nil || out.Reason != train.OutOfTime {
		t.Fatalf("outcome %q, error %v", out.Reason, err)
	}
	if c, err := r.Restore(); err != nil || c == nil || c.Step != 1 {
		t.Errorf("checkpoint %+v, error %v: want one after the first step", c, err)
	}
}

// TestHalt: a training that Halt ends after an epoch goes on from there, to the bits of one that it never ended.
func TestHalt(t *testing.T) {
	root := t.TempDir()
	whole := create(t, root)
	defer whole.Close()
	j, p := job(t, whole, nil)
	if _, err := j.Fit(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, metrics := fingerprint(p), metricsOf(t, root, whole.ID())
	r := create(t, root)
	id := r.ID()
	for at := 1; at <= epochs; at++ {
		var asked []int
		j, p = job(t, r, func(j *train.Job) {
			j.Halt = func(done int) bool { asked = append(asked, done); return done >= at }
		})
		out, err := j.Fit(t.Context())
		if reason := map[bool]train.Reason{true: train.Halted, false: train.Finished}[at < epochs]; err != nil ||
			out.Reason != reason || out.Epochs != at || at < epochs && asked[len(asked)-1] != at {
			t.Fatalf("%q after epoch %d of %d, asked after %v, error %v", out.Reason, out.Epochs, at, asked, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if at == epochs {
			break
		}
		if r, err = run.Resume(root, id, run.Env{}, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := fingerprint(p); got != want || string(metricsOf(t, root, id)) != string(metrics) {
		t.Error("it ends in other bits")
	}
}

// TestDivergenceIsAnError: a huge learning rate gives NaN; the error names a tensor and the last
// good checkpoint stays.
func TestDivergenceIsAnError(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	sched, err := optim.NewSchedule(optim.ScheduleConfig{Name: "constant"}, 1e38, 1)
	if err != nil {
		t.Fatal(err)
	}
	j, _ := job(t, r, func(j *train.Job) { j.Schedule, j.ClipNorm = sched, 0 })
	_, err = j.Fit(context.Background())
	if !errors.Is(err, train.ErrDiverged) || !strings.Contains(err.Error(), "train.lr") {
		t.Fatalf("error %v: want ErrDiverged with a remedy", err)
	}
	if c, err := r.Restore(); err != nil || c != nil {
		t.Errorf("a diverged run left checkpoint %+v (error %v)", c, err)
	}
}

// TestDivergenceAtTheLastStep: weights that are finite, and of which the loss is not, are found by the validation. The
// error has the step and the remedy as well.
func TestDivergenceAtTheLastStep(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	sched, err := optim.NewSchedule(optim.ScheduleConfig{Name: "constant"}, 1e25, 1)
	if err != nil {
		t.Fatal(err)
	}
	j, _ := job(t, r, func(j *train.Job) { j.Schedule, j.Steps = sched, 1 })
	_, err = j.Fit(context.Background())
	if !errors.Is(err, train.ErrDiverged) || !strings.Contains(err.Error(),
		"the loss of the validation is not finite after epoch 1, step 1 (lr 1e+25)") ||
		!strings.Contains(err.Error(), train.Remedy) {
		t.Fatalf("error %v: want ErrDiverged with step and remedy", err)
	}
}

// TestStepsAllocateNothing covers the whole step: batch, forward, backward, clipping, update.
func TestStepsAllocateNothing(t *testing.T) {
	for _, m := range networks {
		r := create(t, t.TempDir())
		j, _ := jobOf(t, m, r, nil)
		clip := optim.NewClipper(j.Program.Params())
		step := 0
		if n := testing.AllocsPerRun(20, func() {
			at := step % j.Train.Steps()
			s, err := j.Program.TrainStep(0, at, j.Train.Lay(0, at))
			if err != nil || math.IsNaN(s.LossSum) {
				t.Fatal(s, err)
			}
			clip.Clip(1)
			j.Optimizer.Step(j.Schedule.LR(step))
			step++
		}); n != 0 {
			t.Errorf("%s: %v allocations a step", m.Name(), n)
		}
		r.Close()
	}
}
