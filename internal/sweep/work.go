package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dla/internal/run"
)

// pollEvery is how often a process looks for work while others have all of it.
var pollEvery = time.Second

// Part says how far to train a trial: see labs.Part.
type Part struct {
	Test  bool // evaluate the trained trial on the test set, as the winner
	Halt  func(epochs int) bool
	Guard func() error
	Data  func(name, fingerprint string) error
}

// Attempt is what came of training a trial.
type Attempt struct {
	Status  Status  // Trained, Halted, Stopped or Tested; Diverged or Failed with an error beside it
	Seconds float64 // of training, by all processes of the run
	Test    *Test
}

// Worker makes the trials of a sweep, one after the other, beside other workers on this machine or others.
type Worker struct {
	Folder *Folder
	// Train makes, or goes on with, the run called id under the folder.
	Train func(ctx context.Context, t Trial, id string, p Part) (Attempt, error)
	Only  int                      // the only trial to make; 0: all
	Leave bool                     // end where others have all work, instead of waiting for what they leave
	Begun func(t Trial, done int)  // before an attempt; done is the number of other trials that are, or were halted
	Ended func(s State, err error) // after it; err is that of a failure
	Waits func(states []State)     // when others have all work
}

// inARow is how many trials may fail one after the other before a worker gives up: what fails all of them would fail
// thousands.
const inARow = 3

// Run makes trials until none is left, ctx ends or a trial was stopped. It returns the state of all trials.
func (w *Worker) Run(ctx context.Context) ([]State, error) {
	failed := 0
	var waited bool
	for {
		states, err := w.Folder.Look()
		if err != nil {
			return nil, err
		}
		t, busy := w.Folder.Plan.next(states, w.Only)
		if ctx.Err() != nil || t == nil && (!busy || w.Leave && w.Only == 0) {
			return states, nil //nolint:nilerr // the caller knows that it ended ctx
		}
		if t == nil {
			if w.Only != 0 && w.Folder.alive(states[w.Only-1]) {
				s := states[w.Only-1]
				return states, fmt.Errorf("trial %d is being made by process %d on %s", s.N, s.PID, s.Host)
			}
			if !waited && w.Waits != nil {
				w.Waits(states)
			}
			waited = true
			select {
			case <-ctx.Done():
			case <-time.After(pollEvery):
			}
			continue
		}
		waited = false
		s, err := w.attempt(ctx, *t, states)
		switch {
		case errors.Is(err, errTaken):
			w.Folder.taken[t.n] = t.attempt // a network file system may list it later
		case errors.Is(err, ErrLost):
		case errors.Is(err, run.ErrOwned):
			select {
			case <-ctx.Done():
			case <-time.After(staleAfter):
			}
		case err != nil && s.Status != Failed && s.Status != Diverged:
			return states, err
		case s.Status == Failed:
			if failed++; failed == inARow || w.Only != 0 && s.Failures > w.Folder.Plan.Retries {
				return states, fmt.Errorf("%d attempts in a row failed, the last at trial %d: %w", failed, s.N, err)
			}
		case s.Status == Stopped:
			return w.Folder.Look()
		default:
			failed = 0
		}
	}
}

// errTaken is the error of a trial that another process was faster to take.
var errTaken = errors.New("another process has taken the trial")

// attempt takes and makes t, and returns the trial's state after it.
func (w *Worker) attempt(ctx context.Context, t task, states []State) (State, error) {
	f := w.Folder
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	trial := f.Plan.Trials[t.n-1]
	c, err := take(f.Dir, t.n, t.attempt, t.target, cancel)
	if err != nil {
		return State{}, err
	}
	if c == nil {
		return State{}, errTaken
	}
	defer c.stop()
	if w.Begun != nil {
		done := 0
		for _, s := range states {
			if s.N != t.n && (s.Done() || s.Status == Halted || s.Status == Diverged) {
				done++
			}
		}
		w.Begun(trial, done)
	}
	a, err := w.Train(ctx, trial, RunID(t.n), Part{Halt: w.halt(t), Guard: c.Err, Data: f.sameData(trial)})
	return w.ended(c, trial, a, err)
}

// ended records what came of an attempt.
func (w *Worker) ended(c *Claim, t Trial, a Attempt, err error) (State, error) {
	if c.Err() != nil {
		return State{}, c.end(attempt{})
	}
	end := attempt{Status: a.Status, Seconds: a.Seconds, Test: a.Test}
	if err != nil {
		end.Detail = err.Error()
		switch {
		case errors.Is(err, errOtherData): // another machine may have the right ones
			end.Status = Stopped
		case errors.Is(err, run.ErrOwned): // as a file server may say for a while, of a machine that is gone
			end.Status = Stopped
		case end.Status != Diverged:
			end.Status = Failed
		}
	}
	curve, curveErr := w.Folder.curve(RunID(t.N))
	if curveErr != nil && err == nil {
		end.Status, end.Detail, err = Failed, curveErr.Error(), curveErr
	}
	if end.Curve = curve; end.Status == Trained && len(curve) == 0 {
		err = errors.New("it was trained and has no validation")
		end.Status, end.Detail = Failed, err.Error()
	}
	if endErr := c.end(end); endErr != nil {
		return State{}, endErr
	}
	s, stateErr := w.Folder.state(t, c.a.Attempt)
	if stateErr != nil {
		return s, stateErr
	}
	if w.Ended != nil {
		w.Ended(s, err)
	}
	return s, err
}

// curve returns the objective after each epoch of the run called id; nil if it has not begun.
func (f *Folder) curve(id string) ([]float64, error) {
	if _, err := os.Lstat(filepath.Join(f.Dir, id)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	rec, err := run.Examine(f.Dir, id)
	if err == nil {
		err = rec.Damage()
	}
	if err != nil {
		return nil, err
	}
	return f.Plan.Objective.Curve(rec.Metrics)
}

// halt returns when a training of t ends for now; nil: never.
func (w *Worker) halt(t task) func(epochs int) bool {
	p := w.Folder.Plan
	switch {
	case p.Stop.Rule == ASHA && t.target < p.Epochs:
		return func(epochs int) bool { return epochs >= t.target }
	case p.Stop.Rule == Median:
		return func(epochs int) bool {
			if epochs < p.Stop.Min {
				return false
			}
			curve, err := w.Folder.curve(RunID(t.n))
			if err != nil || len(curve) < epochs {
				return false
			}
			states, err := w.Folder.Look() // an error is met again where it can be reported
			return err == nil && p.worse(states, t.n, curve[epochs-1], epochs)
		}
	}
	return nil
}

// Test evaluates the trained trial n on the test set. It waits while another process does.
func (w *Worker) Test(ctx context.Context, n int) (State, error) {
	for {
		states, err := w.Folder.Look()
		if err != nil {
			return State{}, err
		}
		s := states[n-1]
		switch {
		case s.Status == Tested:
			return s, nil
		case s.Status != Trained:
			return s, fmt.Errorf("trial %d is %s, not trained to its end", n, s.Status)
		case s.claimed:
			select {
			case <-ctx.Done():
				return s, ctx.Err()
			case <-time.After(pollEvery):
			}
			continue
		}
		ctx, cancel := context.WithCancelCause(ctx)
		c, err := take(w.Folder.Dir, n, s.Attempts+1, 0, cancel)
		if err == nil && c != nil {
			var a Attempt
			a, err = w.Train(ctx, s.Trial, RunID(n), Part{Test: true, Guard: c.Err})
			s, err = w.ended(c, s.Trial, a, err)
			c.stop()
			cancel(nil)
			return s, err
		}
		cancel(nil)
		if err != nil {
			return s, err
		}
	}
}
