package train_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/train"
)

// student is one of m's architecture.
func student(t *testing.T, m model.Model, d kernel.Distillation,
	teacher func(dst []float32, b *data.Batch, epoch int) error) (*train.Student, *nn.Params) {
	t.Helper()
	p := nn.NewParams(5)
	s, err := train.NewStudent(m, p, m.Input(side, side, 1), classes, batch, 16, d)
	if err != nil {
		t.Fatal(err)
	}
	s.Teacher = teacher
	return s, p
}

// opinion is a teacher that has something to say of every image, and other things in odd epochs.
func opinion(dst []float32, b *data.Batch, epoch int) error {
	for row, place := range b.Index {
		for c := range classes {
			dst[row*classes+c] = float32((int(place)*7+c*5+epoch)%11) / 3
		}
	}
	return nil
}

func firstBatch(s *train.Student) *data.Batch {
	b := s.TrainBatch()
	data.NewLoader(data.All(blobs(240, 1)), batch, true, 9).Batch(0, 0, b)
	return b
}

// TestStudentThatIsItsTeacher has no loss and no gradient but the labels'.
func TestStudentThatIsItsTeacher(t *testing.T) {
	var s *train.Student
	s, _ = student(t, networks[0], kernel.Distillation{Weight: 1, Temperature: 4},
		func(dst []float32, b *data.Batch, _ int) error {
			return s.Score(dst, b)
		})
	b := firstBatch(s)
	got, err := s.TrainStep(0, 0, b.Rows)
	if err != nil || math.Abs(got.LossSum) > 1e-9 {
		t.Errorf("loss %g, %v", got.LossSum, err)
	}
	for _, p := range s.Params() {
		for i, g := range p.Grad {
			if math.Abs(float64(g)) > 1e-6 {
				t.Fatalf("gradient of %s[%d] is %g", p.Name, i, g)
			}
		}
	}
}

// TestStudentWithoutWeight trains as one that has no teacher: step by step the same loss.
func TestStudentWithoutWeight(t *testing.T) {
	s, _ := student(t, networks[0], kernel.Distillation{Weight: 0, Temperature: 4}, opinion)
	p := nn.NewParams(5)
	plain, err := train.NewClassifier(networks[0], p, networks[0].Input(side, side, 1), classes, batch, 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := firstBatch(s)
	x, y := plain.TrainBatch().X, plain.TrainBatch().Y
	copy(x, b.X)
	copy(y, b.Y)
	opt := [2]optim.Optimizer{}
	for i, params := range [][]optim.Param{s.Params(), plain.Params()} {
		if opt[i], err = optim.New(optim.Config{Name: "sgd", Momentum: 0.9}, params); err != nil {
			t.Fatal(err)
		}
	}
	for step := range 10 {
		got, err := s.TrainStep(0, step, batch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.TrainStep(0, step, batch)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.LossSum-want.LossSum) > 1e-5*want.LossSum || got.Correct != want.Correct {
			t.Fatalf("step %d: %+v, want %+v", step, got, want)
		}
		opt[0].Step(0.1)
		opt[1].Step(0.1)
	}
}

// TestStudentResumesBitExactly: interrupted after every so many steps and resumed, the training of a
// student ends in the bits of one that never was.
func TestStudentResumesBitExactly(t *testing.T) {
	for _, m := range networks {
		t.Run(m.Name(), func(t *testing.T) {
			root := t.TempDir()
			fit := func(r *run.Run, stop int) (*nn.Params, int) {
				t.Helper()
				s, p := student(t, m, kernel.Distillation{Weight: 0.8, Temperature: 2}, opinion)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				n := 0
				j, _ := jobOf(t, m, r, func(j *train.Job) {
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
			whole := create(t, root)
			p, steps := fit(whole, 0)
			want, wantMetrics := fingerprint(p), metricsOf(t, root, whole.ID())
			whole.Close()
			for stop := 1; stop < epochs*steps; stop += 17 {
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

func TestStudentStepsAllocateNothing(t *testing.T) {
	s, _ := student(t, networks[0], kernel.Distillation{Weight: 0.8, Temperature: 2}, opinion)
	b := firstBatch(s)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := s.TrainStep(0, 0, b.Rows); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

// TestTeacherThatFails ends the training with its error and where it was.
func TestTeacherThatFails(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	s, _ := student(t, networks[0], kernel.Distillation{Weight: 0.8, Temperature: 2},
		func([]float32, *data.Batch, int) error { return errors.New("ill today") })
	j, _ := job(t, r, func(j *train.Job) { j.Program = s })
	if _, err := j.Fit(context.Background()); err == nil || !strings.Contains(err.Error(), "epoch 1, step 1: ill today") {
		t.Errorf("error %v", err)
	}
}

// TestPredict gives the classes in the order of the images, and the accuracy they come to.
func TestPredict(t *testing.T) {
	s, _ := student(t, networks[0], kernel.Distillation{Weight: 0, Temperature: 1}, nil)
	set := blobs(37, 3) // no whole number of batches
	stats, got, err := train.Predict(context.Background(), s.Scorer,
		s.Batches(data.NewLoader(data.All(set), 16, false, 0)), nil)
	if err != nil || len(got) != set.N || stats.N != set.N {
		t.Fatalf("%d predictions, %+v, %v", len(got), stats, err)
	}
	right := 0
	for i, c := range got {
		if c == set.Labels[i] {
			right++
		}
	}
	if right != stats.Correct {
		t.Errorf("%d predictions are right, %d were counted", right, stats.Correct)
	}
	b := data.Batch{X: make([]float32, 17*side*side), Y: make([]int32, 17), Rows: 17}
	if err := s.Score(make([]float32, 17*classes), &b); err == nil {
		t.Error("a batch larger than the evaluation graph was scored")
	}
}
