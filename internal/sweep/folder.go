package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Status is the state of a trial.
type Status string

// The statuses.
const (
	Waiting  Status = "waiting"  // no attempt was made yet
	Running  Status = "running"  // claimed by a process, which is not known to be gone
	Stopped  Status = "stopped"  // by a signal or a time limit, or its process died: it goes on from its checkpoint
	Failed   Status = "failed"   // with an error; it is tried again as often as the plan says
	Halted   Status = "halted"   // by early stopping; ASHA may promote it, and then it goes on from its checkpoint
	Diverged Status = "diverged" // its loss or weights were not finite: it is worse than any other
	Trained  Status = "trained"  // to its end
	Tested   Status = "tested"   // and evaluated on the test set, as the winner
)

// Statuses lists them, in the order of a trial's life.
var Statuses = []Status{Waiting, Running, Stopped, Failed, Halted, Diverged, Trained, Tested}

// State is a trial and what has come of it.
type State struct {
	Trial
	Status   Status    `json:"status"`
	Run      string    `json:"run"`            // its id under the folder, where it has begun
	Attempts int       `json:"attempts"`       //
	Failures int       `json:"failures"`       // attempts with an error
	Host     string    `json:"host,omitempty"` // of the last attempt
	PID      int       `json:"pid"`
	Job      string    `json:"job,omitempty"` // of Slurm: 123_4
	Detail   string    `json:"detail,omitempty"`
	Seconds  float64   `json:"seconds"`         // of training
	Curve    []float64 `json:"curve,omitempty"` // the objective after each epoch
	Test     *Test     `json:"test,omitempty"`

	target  int  // the epoch that the trial was claimed to come to; 0: none was, or the last
	claimed bool // by a process that is not known to be gone
	owner   string
}

// Summary counts the trials of each status: 12 trained, 2 running.
func Summary(states []State) string {
	var parts []string
	for _, status := range Statuses {
		n := 0
		for _, s := range states {
			if s.Status == status {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	return strings.Join(parts, ", ")
}

// Done reports whether s was trained to its end.
func (s State) Done() bool { return s.Status == Trained || s.Status == Tested }

// Dead returns s as the state of a trial whose process is known to have died, for the reason given.
func (s State) Dead(reason string) State {
	s.Status, s.Detail, s.claimed = Stopped, reason, false
	return s
}

// Value returns the objective after so many epochs, or at the end of a shorter training; NaN for one that diverged or
// has not come so far.
func (s State) Value(epochs int) float64 {
	switch n := len(s.Curve); {
	case s.Status == Diverged || n == 0 || epochs < 1 || n < epochs && !s.Done():
		return math.NaN()
	default:
		return s.Curve[min(epochs, n)-1]
	}
}

// Last returns the objective after the last epoch so far; NaN where there is none.
func (s State) Last() float64 { return s.Value(len(s.Curve)) }

// Folder is a sweep's folder, as this process has seen it.
type Folder struct {
	Dir  string
	Plan *Plan

	forgiven map[int]int        // failures that do not count, by trial
	taken    map[int]int        // attempts that others were found to have made, by trial
	ended    map[string]attempt // claims that change no more
	looks    map[string]look    // of claims of other hosts
}

// Open opens the sweep in the folder dir.
func Open(dir string) (*Folder, error) {
	p, err := Read(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{Dir: dir, Plan: p, taken: map[int]int{}, ended: map[string]attempt{},
		looks: map[string]look{}}, nil
}

// RunID returns the id of trial n's run under the folder.
func RunID(n int) string { return fmt.Sprintf("trial-%05d", n) }

// Look reads the state of every trial.
func (f *Folder) Look() ([]State, error) {
	dir := filepath.Join(f.Dir, claimsDir)
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; make the empty folder again, and every trial whose run is whole is found",
			dir)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	attempts := make([]int, len(f.Plan.Trials)+1) // by trial
	for _, name := range names {
		if n, k, ok := parseClaim(name); ok && n < len(attempts) {
			attempts[n] = max(attempts[n], k)
		}
	}
	for n, k := range f.taken {
		attempts[n] = max(attempts[n], k)
	}
	states := make([]State, len(f.Plan.Trials))
	for i, t := range f.Plan.Trials {
		if states[i], err = f.state(t, attempts[t.N]); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// state returns the state of t after so many attempts.
func (f *Folder) state(t Trial, attempts int) (State, error) {
	s := State{Trial: t, Status: Waiting, Attempts: attempts}
	var final Status // what a further attempt does not undo: that of another taker, or the test of the winner
	for k := 1; k <= attempts; k++ {
		a, err := f.attempt(t.N, k, k == attempts)
		if err != nil {
			return s, err
		}
		s.Status, s.Detail, s.Run = a.Status, a.Detail, RunID(t.N)
		s.Host, s.PID, s.Job, s.owner = a.Host, a.PID, a.Job, a.Owner
		s.target, s.claimed = max(s.target, a.Target), a.Status == Running
		switch a.Status {
		case Failed:
			s.Failures++
		case Trained, Tested, Diverged:
			final = a.Status
		}
		if len(a.Curve) > 0 && len(a.Curve) >= len(s.Curve) {
			s.Curve, s.Seconds = a.Curve, a.Seconds
		}
		if a.Test != nil {
			s.Test = a.Test
		}
	}
	if final != "" {
		s.Status = final
	}
	s.Failures -= f.forgiven[t.N]
	return s, nil
}

// Forgive makes the failures so far count no more for this process, which then tries again what has failed too often.
func (f *Folder) Forgive() error {
	states, err := f.Look()
	if err != nil {
		return err
	}
	f.forgiven = map[int]int{}
	for _, s := range states {
		f.forgiven[s.N] = s.Failures
	}
	return nil
}

// attempt returns the k-th attempt at trial n. One that is not the last, or whose owner is gone, and has not ended is
// Stopped.
func (f *Folder) attempt(n, k int, last bool) (attempt, error) {
	name := claimName(n, k)
	if a, ok := f.ended[name]; ok {
		return a, nil
	}
	a, content, ok, err := readAttempt(filepath.Join(f.Dir, claimsDir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // missing: a network file system may show it later
		return a, err
	}
	if !ok {
		a = attempt{Status: Running}
	}
	if a.Status != Running {
		f.ended[name] = a
		return a, nil
	}
	if !last || f.gone(name, a, content) {
		a.Status, a.Detail = Stopped, "its process died"
	}
	return a, nil
}
