package sweep

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Stop is the rule by which trials are stopped early.
type Stop struct {
	Rule string `json:"rule,omitempty"` // "", ASHA or Median
	Eta  int    `json:"eta"`            // ASHA: of the settings of a rung, one in so many is promoted
	Min  int    `json:"min_epochs"`     // epochs of the first rung; Median: before the first comparison
}

// The rules.
//
// ASHA is asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934). Trials are trained to
// the first rung, of Min epochs. Whoever looks for work promotes settings that are among the best 1/Eta of those that
// have come to their rung, from the highest rung down, to the next one, of Eta times the epochs; where none is, it
// begins new settings. The last rung is the whole training. The seeds of equal settings are promoted together, by
// their mean.
//
// Median stops a trial whose objective is worse than the median of the other trials' after as many epochs (Golovin et
// al. 2017, section 3.2.1, with the best value so far in place of their running average). It stays stopped.
const (
	ASHA   = "asha"
	Median = "median"
)

// Rules lists the rules.
var Rules = []string{ASHA, Median}

// String describes s.
func (s Stop) String() string {
	switch s.Rule {
	case ASHA:
		return fmt.Sprintf("asha, eta %d, from epoch %d", s.Eta, s.Min)
	case Median:
		return fmt.Sprintf("median, from epoch %d", s.Min)
	}
	return "none"
}

// Check returns an error for a rule that does not fit trainings of so many epochs.
func (s Stop) Check(epochs int) error {
	switch {
	case s == Stop{}:
		return nil
	case s.Rule != ASHA && s.Rule != Median:
		return fmt.Errorf("the rule of early stopping is %q, want %s or %s", s.Rule, ASHA, Median)
	case s.Min < 1 || s.Min >= epochs:
		return fmt.Errorf("early stopping from epoch %d of %d: want at least 1, and less than all", s.Min, epochs)
	case s.Rule == ASHA && (s.Eta < 2 || s.Eta > 1000):
		return fmt.Errorf("eta is %d, want 2 to 1000", s.Eta)
	}
	return nil
}

// rungs returns the epochs of ASHA's rungs, the last of which is a whole training.
func (p *Plan) rungs() []int {
	var all []int
	for r := p.Stop.Min; r < p.Epochs; r *= p.Stop.Eta {
		all = append(all, r)
	}
	return append(all, p.Epochs)
}

// task is a trial to take, and how far to train it.
type task struct {
	n, attempt int
	target     int // epochs; 0: to the end
}

// allowed returns the epochs that each trial may come to; 0 for one that nobody may take now.
func (p *Plan) allowed(states []State) []int {
	all := make([]int, len(states))
	for i := range states {
		all[i] = p.Epochs
	}
	if p.Stop.Rule == ASHA {
		all = p.promoted(states)
	}
	for i, s := range states {
		if s.claimed || !p.open(s) || s.Status == Halted && (p.Stop.Rule == Median || len(s.Curve) >= all[i]) {
			all[i] = 0
		}
	}
	return all
}

// Left returns the numbers of the trials that may be taken now.
func (p *Plan) Left(states []State) []int {
	var left []int
	for i, epochs := range p.allowed(states) {
		if epochs > 0 {
			left = append(left, states[i].N)
		}
	}
	return left
}

// next returns the trial to take next, nil where there is none: any, or trial only where it is not 0. busy reports
// whether others are being made, so that there may be one later.
func (p *Plan) next(states []State, only int) (t *task, busy bool) {
	allowed := p.allowed(states)
	best := -1
	for i, s := range states {
		if only != 0 && s.N != only {
			continue
		}
		busy = busy || s.claimed
		if allowed[i] > 0 && (best < 0 || allowed[i] > allowed[best]) { // the highest rung first
			best = i
		}
	}
	if best < 0 {
		return nil, busy
	}
	t = &task{n: states[best].N, attempt: states[best].Attempts + 1}
	if p.Stop.Rule == ASHA {
		t.target = allowed[best]
	}
	return t, busy
}

// open reports whether there is something left to train of s.
func (p *Plan) open(s State) bool {
	switch s.Status {
	case Waiting, Stopped, Halted:
		return true
	case Failed:
		return s.Failures <= p.Retries
	}
	return false
}

// settings are the trials of equal settings.
type settings struct {
	trials []int // indices of states
	target int   // of the rung that they are trained to, from 0
}

// promoted returns the epochs that each trial may come to, under ASHA.
func (p *Plan) promoted(states []State) []int {
	rungs := p.rungs()
	top := len(rungs) - 1
	groups := p.groups(states)
	for _, g := range groups {
		for _, i := range g.trials {
			for g.target < top && states[i].target > rungs[g.target] {
				g.target++
			}
		}
	}
	// come returns the settings all of whose trials have come to rung k, the best first, without those that diverged,
	// and the number of all of them.
	come := func(k int) (all []*settings, n int) {
		value := map[*settings]float64{}
		for _, g := range groups {
			sum, n, whole := 0.0, 0, true
			for _, i := range g.trials {
				switch s := states[i]; {
				case s.Status == Diverged:
					sum, n = math.NaN(), n+1
				case s.Status == Failed && !p.open(s): // counts for nothing
				case s.Done() || len(s.Curve) >= rungs[k]:
					sum, n = sum+s.Value(rungs[k]), n+1
				default:
					whole = false
				}
			}
			if whole && n > 0 && g.target >= k {
				all, value[g] = append(all, g), sum/float64(n)
			}
		}
		slices.SortStableFunc(all, func(a, b *settings) int { return p.Objective.compare(value[a], value[b]) })
		for n = len(all); len(all) > 0 && math.IsNaN(value[all[len(all)-1]]); {
			all = all[:len(all)-1]
		}
		return all, n
	}
	promote := func(k, most int, all []*settings) {
		for _, g := range all[:min(most, len(all))] {
			g.target = max(g.target, k+1)
		}
	}
	for k := top - 1; k >= 0; k-- {
		all, n := come(k)
		promote(k, n/p.Stop.Eta, all)
	}
	allowed := func() (all []int, idle bool) {
		all, idle = make([]int, len(states)), true
		for _, g := range groups {
			for _, i := range g.trials {
				all[i] = rungs[g.target]
				s := states[i]
				idle = idle && !s.claimed && (!p.open(s) || s.Status == Halted && len(s.Curve) >= all[i])
			}
		}
		return all, idle
	}
	all, idle := allowed()
	if at, _ := come(top); !idle || len(at) > 0 {
		return all
	}
	// Nothing is left to do and nobody came to the top, since a rung had fewer than Eta settings: the best goes on.
	for k := top - 1; k >= 0; k-- {
		if at, _ := come(k); len(at) > 0 {
			promote(k, 1, at)
			break
		}
	}
	all, _ = allowed()
	return all
}

// groups returns the trials of equal settings, in the order of their numbers.
func (p *Plan) groups(states []State) []*settings {
	var all []*settings
	for i, s := range states {
		for len(all) < s.Settings {
			all = append(all, &settings{})
		}
		all[s.Settings-1].trials = append(all[s.Settings-1].trials, i)
	}
	return all
}

// compare orders values from the best to the worst; NaN is worse than all.
func (o Objective) compare(a, b float64) int {
	switch {
	case math.IsNaN(a) || math.IsNaN(b):
		return cmp.Compare(btoi(math.IsNaN(a)), btoi(math.IsNaN(b)))
	case o.Better(a, b):
		return -1
	case o.Better(b, a):
		return 1
	}
	return 0
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fewest is how many other trials Median compares with at least.
const fewest = 3

// worse reports whether the value of trial n after so many epochs is worse than the median of the others'.
func (p *Plan) worse(states []State, n int, value float64, epochs int) bool {
	var others []float64
	for _, s := range states {
		if v := s.Value(epochs); s.N != n && !math.IsNaN(v) {
			others = append(others, v)
		}
	}
	if len(others) < fewest {
		return false
	}
	slices.Sort(others)
	median := (others[(len(others)-1)/2] + others[len(others)/2]) / 2
	return p.Objective.Better(median, value)
}
