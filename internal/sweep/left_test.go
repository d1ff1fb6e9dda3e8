package sweep

import (
	"slices"
	"testing"
)

// TestLeft: what may be taken now, as a cluster is told, is what workers take: not what is done, claimed or failed too
// often, and again what a dead owner has left. Settings of which one seed has not begun have results so far.
func TestLeft(t *testing.T) {
	p := planned(t, study(), rates(2, 0.1, 0.2, 0.3))
	states := make([]State, len(p.Trials))
	for i, trial := range p.Trials {
		states[i] = State{Trial: trial, Status: Waiting}
	}
	states[0].Status, states[0].Curve = Trained, []float64{0.5, 0.6}
	states[2].Status, states[2].claimed = Running, true
	states[3].Status, states[3].Failures = Failed, p.Retries+1
	states[4].Status = Stopped
	if got, want := p.Left(states), []int{2, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	dead := states[2].Dead("its task has ended")
	if dead.Status != Stopped || dead.Detail != "its task has ended" {
		t.Errorf("dead: %+v", dead)
	}
	states[2] = dead
	if got, want := p.Left(states), []int{2, 3, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if r := p.Results(states); len(r.Settings) != 3 || r.Settings[0].N != 1 || r.Settings[0].Trained != 1 {
		t.Errorf("results so far: %+v", r.Settings)
	}

	p = planned(t, stopping(Stop{Rule: ASHA, Eta: 3, Min: 1}), rates(1, 0.1, 0.2, 0.3))
	states = states[:0]
	for i, trial := range p.Trials {
		states = append(states, State{Trial: trial, Status: Halted, Curve: []float64{0.5 + float64(i)/10}, target: 1})
	}
	if got, want := p.Left(states), []int{3}; !slices.Equal(got, want) {
		t.Errorf("of three at the first rung %v may go on, want %v", got, want)
	}
}
