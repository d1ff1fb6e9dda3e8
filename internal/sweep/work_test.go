package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dla/internal/run"
)

// simulated trains a trial of rates without a network: after e epochs its accuracy is 1 - |lr - 0.3| - 0.2/e. It goes
// on from where the run was, as a training does. stop, where not nil, is asked before each epoch.
func simulated(t *testing.T, f *Folder,
	stop func(n, epoch int) error) func(context.Context, Trial, string, Part) (Attempt, error) {
	return func(ctx context.Context, trial Trial, id string, p Part) (Attempt, error) {
		c := *defaults()
		if err := f.Plan.Set(trial.N, &c); err != nil {
			return Attempt{}, err
		}
		var r *run.Run
		done := 0
		rec, err := run.Find(f.Dir, id)
		if err == nil {
			done = len(rec.Metrics)
			if r, err = run.Resume(f.Dir, id, run.Env{}, true); err == nil {
				_, err = r.Restore() // it has no checkpoint: the metrics are written again
			}
		} else {
			r, err = run.CreateAs(f.Dir, id, run.Spec{Experiment: "lab1/resnet", Variant: "mlp", Config: []byte("a: 1\n")})
		}
		if err != nil {
			return Attempt{}, err
		}
		defer func() { _ = r.Close() }()
		r.Guard = p.Guard
		for e := 1; e <= f.Plan.Epochs; e++ {
			if e > done && e > 1 && p.Halt != nil && p.Halt(e-1) {
				return Attempt{Status: Halted, Seconds: float64(e - 1)}, r.SetStatus(run.StatusPaused, "")
			}
			if e > done && stop != nil {
				if err := stop(trial.N, e); err != nil {
					return Attempt{Status: Stopped}, err
				}
			}
			if ctx.Err() != nil {
				return Attempt{Status: Stopped, Seconds: float64(e - 1)}, nil
			}
			acc := 1 - math.Abs(c.Train.LR-0.3) - 0.2/float64(e) - 0.001*float64(c.Seed)
			if err := r.AppendMetrics(run.Epoch{Epoch: e, Val: run.Measure{Loss: 1 - acc, Accuracy: acc}}); err != nil {
				return Attempt{}, err
			}
		}
		return Attempt{Status: Trained, Seconds: float64(f.Plan.Epochs)}, r.SetStatus(run.StatusTrained, "")
	}
}

// made makes what is left of the sweep in dir in so many workers at once, and returns the results.
func made(t *testing.T, dir string, workers int, stop func(n, epoch int) error) *Results {
	t.Helper()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			f, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := (&Worker{Folder: f, Train: simulated(t, f, stop)}).Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	states, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	return f.Plan.Results(states)
}

// TestWorkersShare: several workers make every trial once.
func TestWorkersShare(t *testing.T) {
	fast(t)
	dir := t.TempDir()
	if err := planned(t, study(), rates(2, 0.1, 0.2, 0.25, 0.4, 0.6)).Write(dir); err != nil {
		t.Fatal(err)
	}
	r := made(t, dir, 3, nil)
	for _, s := range r.Trials {
		if s.Status != Trained || s.Attempts != 1 || len(s.Curve) != 9 {
			t.Errorf("%+v", s)
		}
	}
	best := r.Winner()
	if best == nil || best.Values[0] != "0.25" || best.Trained != 2 || math.Abs(best.Mean-(0.95-0.2/9-0.0005)) > 1e-12 {
		t.Errorf("%+v", best)
	}
	if len(r.Importance) != 1 || r.Importance[0].Key != "train.lr" || r.Importance[0].N != 5 {
		t.Errorf("%+v", r.Importance)
	}
}

// TestRetries: what fails is tried again as often as the plan says, and not more; a person can have it tried again.
func TestRetries(t *testing.T) {
	fast(t)
	dir, open := folder(t)
	broken := errors.New("no space left")
	var mu sync.Mutex
	tries := map[int]int{}
	stop := func(n, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if tries[n]++; n == 2 && tries[n] < 6 {
			return broken
		}
		return nil
	}
	f := open()
	states, err := (&Worker{Folder: f, Train: simulated(t, f, stop)}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "3 attempts in a row failed, the last at trial 2: no space left") {
		t.Fatalf("%v, %v", states, err) // its three attempts come one after the other
	}
	r := made(t, dir, 1, stop)
	if s := r.Trials[1]; s.Status != Failed || s.Failures != 3 || s.Detail != "no space left" || tries[2] != 3 {
		t.Errorf("%+v, %d tries", s, tries[2])
	}
	if r.Trials[2].Status != Trained {
		t.Errorf("%+v", r.Trials[2])
	}
	if err := f.Forgive(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // another three in a row
		_, err = (&Worker{Folder: f, Train: simulated(t, f, stop)}).Run(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, open(), 2); s.Status != Trained || s.Attempts != 6 {
		t.Errorf("%+v", s)
	}
}

// TestLockedRuns: a trial whose run's lock is held, as a file server holds that of a machine that is gone for a while,
// is tried again when it is free; that is no failure.
func TestLockedRuns(t *testing.T) {
	fast(t)
	hasty(t)
	dir, open := folder(t)
	r, err := run.CreateAs(dir, RunID(1), run.Spec{Experiment: "lab1/resnet", Variant: "mlp", Config: []byte("a: 1\n")})
	if err != nil {
		t.Fatal(err)
	}
	f := open()
	w := &Worker{Folder: f, Train: simulated(t, f, nil), Ended: func(s State, err error) {
		if s.N == 1 && err != nil {
			_ = r.Close()
		}
	}}
	if _, err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, open(), 1); s.Status != Trained || s.Attempts != 2 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

// TestOnly: a worker for one trial makes that one, and says who has it if another process does.
func TestOnly(t *testing.T) {
	fast(t)
	dir, open := folder(t)
	f := open()
	if _, err := (&Worker{Folder: f, Only: 2, Train: simulated(t, f, nil)}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]Status{1: Waiting, 2: Trained, 3: Waiting} {
		if s := statusOf(t, open(), n); s.Status != want {
			t.Errorf("%+v", s)
		}
	}
	c, err := take(dir, 3, 1, 0, func(error) {})
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	defer c.stop()
	_, err = (&Worker{Folder: f, Only: 3, Train: simulated(t, f, nil)}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "trial 3 is being made by process") {
		t.Error(err)
	}
}

// TestWinnerAloneIsTested: a test is an attempt at a trained trial, which nothing undoes.
func TestWinnerAloneIsTested(t *testing.T) {
	fast(t)
	dir, open := folder(t)
	made(t, dir, 1, nil)
	f := open()
	fails := true
	w := &Worker{Folder: f, Train: func(_ context.Context, _ Trial, _ string, p Part) (Attempt, error) {
		if !p.Test {
			t.Error("it was trained")
		}
		if fails {
			return Attempt{}, errors.New("no memory")
		}
		return Attempt{Status: Tested, Test: &Test{Reached: "test accuracy 90.00 %"}}, nil
	}}
	if _, err := w.Test(t.Context(), 3); err == nil {
		t.Error("a failed test is no error")
	}
	if s := statusOf(t, open(), 3); s.Status != Trained || len(s.Curve) != 9 {
		t.Errorf("%+v", s)
	}
	fails = false
	if s, err := w.Test(t.Context(), 3); err != nil || s.Status != Tested || s.Test == nil {
		t.Errorf("%+v, %v", s, err)
	}
	states, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	r := f.Plan.Results(states)
	if tested := r.Tested(); len(tested) != 1 || tested[0].N != 3 ||
		!strings.Contains(r.Tables().Page(), "settings 3 alone") {
		t.Errorf("%+v\n%s", tested, r.Tables().Page())
	}
	files, err := r.Write(dir, "toy data", "")
	if err != nil || len(files) != 6 {
		t.Fatalf("%v, %v", files, err)
	}
	table, err := os.ReadFile(filepath.Join(dir, "trials.csv"))
	if err != nil || !strings.HasPrefix(string(table),
		"trial,settings,train.lr,seed,status,epochs,val_acc,seconds,attempts,run\n"+"1,1,0.1,0,trained,9,0.777") {
		t.Errorf("%s, %v", table, err)
	}
}

// TestOtherData: a machine that has other data than the trials before makes none, and uses up no retries.
func TestOtherData(t *testing.T) {
	fast(t)
	_, open := folder(t)
	for i, fingerprint := range []string{"aa", "bb", "aa"} {
		f := open()
		train := simulated(t, f, nil)
		w := &Worker{Folder: f, Only: i%2 + 1}
		w.Train = func(ctx context.Context, trial Trial, id string, p Part) (Attempt, error) {
			if err := p.Data("mnist", fingerprint); err != nil {
				return Attempt{}, err
			}
			return train(ctx, trial, id, p)
		}
		_, err := w.Run(t.Context())
		if i == 1 && (err == nil || !strings.Contains(err.Error(),
			"trained on mnist with fingerprint aa…, and this machine has mnist with bb…")) || i != 1 && err != nil {
			t.Errorf("%s: %v", fingerprint, err)
		}
	}
	if s := statusOf(t, open(), 2); s.Status != Stopped || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
	f := open()
	trial := f.Plan.Trials[0]
	trial.Set = map[string]json.RawMessage{"data.name": json.RawMessage(`"cifar10"`)}
	if err := f.sameData(trial)("cifar10", "cc"); err != nil { // data may be varied
		t.Error(err)
	}
}
