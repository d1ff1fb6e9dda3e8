package sweep

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

// stopping is study with a rule.
func stopping(s Stop) Study {
	st := study()
	st.Stop = s
	return st
}

// lengths returns the number of trials that have come to each number of epochs.
func lengths(r *Results) map[int]int {
	all := map[int]int{}
	for _, s := range r.Trials {
		all[len(s.Curve)]++
	}
	return all
}

// TestASHA: one in three comes to the next rung, the best come to the end, whatever the number of workers, and what
// was left out is counted.
func TestASHA(t *testing.T) {
	fast(t)
	var lr []float64
	for i := range 9 {
		lr = append(lr, 0.05*float64(1+(i*4)%9)) // 0.05 to 0.45, 0.3 among them
	}
	for _, workers := range []int{1, 3} {
		dir := t.TempDir()
		p := planned(t, stopping(Stop{Rule: ASHA, Eta: 3, Min: 1}), rates(1, lr...))
		if got := p.rungs(); !slices.Equal(got, []int{1, 3, 9}) {
			t.Fatalf("rungs %v", got)
		}
		if err := p.Write(dir); err != nil {
			t.Fatal(err)
		}
		r := made(t, dir, workers, nil)
		n := lengths(r)
		if n[1]+n[3]+n[9] != 9 || n[9] < 1 || n[9] > 3 || n[1] < 4 {
			t.Errorf("%d workers: trials by epochs: %v", workers, n)
		}
		best := r.Winner()
		if best == nil || !strings.HasPrefix(best.Values[0], "0.3") || best.Epochs != 9 {
			t.Errorf("%d workers: the winner is %+v", workers, best)
		}
		trained := n[1] + 3*n[3] + 9*n[9]
		if c := r.Cost; c.Epochs != trained || c.Full != 81 || c.Stopped != 9-n[9] ||
			math.Abs(c.Saved-float64(81-trained)) > 1e-9 { // an epoch takes a second
			t.Errorf("%d workers: %+v, %v", workers, c, n)
		}
		for _, s := range r.Trials {
			if s.Attempts != map[int]int{1: 1, 3: 2, 9: 3}[len(s.Curve)] {
				t.Errorf("%d attempts came to epoch %d", s.Attempts, len(s.Curve))
			}
		}
		again := made(t, dir, 1, func(n, epoch int) error { t.Errorf("trial %d goes on to epoch %d", n, epoch); return nil })
		if again.Cost != r.Cost {
			t.Errorf("%+v, then %+v", r.Cost, again.Cost)
		}
	}
}

// TestFewSettings: where a rung has fewer settings than eta, the best of them still comes to the end.
func TestFewSettings(t *testing.T) {
	fast(t)
	dir := t.TempDir()
	if err := planned(t, stopping(Stop{Rule: ASHA, Eta: 4, Min: 2}), rates(2, 0.5, 0.31)).Write(dir); err != nil {
		t.Fatal(err)
	}
	r := made(t, dir, 1, nil)
	if n := lengths(r); n[2] != 2 || n[9] != 2 || r.Winner().Values[0] != "0.31" || r.Winner().Trained != 2 {
		t.Errorf("trials by epochs: %v; the winner is %+v", n, r.Winner())
	}
}

// TestPromotion: seeds are promoted together, by their mean; what diverged is not, and counts; what failed does not.
func TestPromotion(t *testing.T) {
	p := planned(t, stopping(Stop{Rule: ASHA, Eta: 2, Min: 1}), rates(2, 0.1, 0.2, 0.3, 0.4))
	states := make([]State, 8)
	set := func(i int, status Status, v float64) {
		states[i].Trial, states[i].Status = p.Trials[i], status
		if status != Waiting {
			states[i].Curve, states[i].Attempts, states[i].target = []float64{v}, 1, 1
		}
	}
	set(0, Halted, 0.9)
	set(1, Halted, 0.1) // mean 0.5
	set(2, Halted, 0.6)
	set(3, Waiting, 0)
	for i := 4; i < 8; i++ {
		set(i, Waiting, 0)
	}
	if got, _ := p.next(states, 0); got == nil || *got != (task{4, 1, 1}) {
		t.Errorf("%+v: the second seed is begun before any is promoted", got)
	}
	set(3, Halted, 0.6) // mean 0.6
	if got, _ := p.next(states, 0); got == nil || *got != (task{3, 2, 2}) {
		t.Errorf("%+v: settings 2 are promoted by their mean", got)
	}
	if got, _ := p.next(states, 1); got != nil {
		t.Errorf("%+v: trial 1 has come to its rung", got)
	}
	if got, _ := p.next(states, 4); got == nil || *got != (task{4, 2, 2}) {
		t.Errorf("%+v: trial 4 is promoted with trial 3", got)
	}
	states[2].claimed, states[2].Status, states[2].target = true, Running, 2
	if got, busy := p.next(states, 0); got == nil || got.n != 4 || !busy {
		t.Errorf("%+v, busy %v", got, busy)
	}
	states[2].claimed = false
	for _, i := range []int{2, 3} {
		set(i, Diverged, math.NaN())
		states[i].target = 2
	}
	if got, _ := p.next(states, 0); got == nil || got.n != 1 || got.target != 2 {
		t.Errorf("%+v: of two settings, of which one diverged, the other is promoted", got)
	}
	states[0].Status, states[0].Failures = Failed, 3
	if got, _ := p.next(states, 0); got == nil || got.n != 2 {
		t.Errorf("%+v: a seed that failed for good holds nobody up", got)
	}
}

// TestMedian: a trial that is worse than the median of the others after as many epochs is stopped, and stays so.
func TestMedian(t *testing.T) {
	fast(t)
	dir := t.TempDir()
	p := planned(t, stopping(Stop{Rule: Median, Min: 2}), rates(1, 0.2, 0.3, 0.4, 0.9, 0.25, 0.7, 0.31))
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	r := made(t, dir, 1, nil)
	want := map[string]int{"0.2": 9, "0.3": 9, "0.4": 9, "0.9": 2, "0.25": 9, "0.7": 2, "0.31": 9}
	for _, s := range r.Trials {
		if lr := p.Line(s.Trial); len(s.Curve) != want[strings.TrimSuffix(strings.TrimPrefix(lr, "train.lr="), " seed 0")] {
			t.Errorf("%s: %s after %d epochs", lr, s.Status, len(s.Curve))
		}
	}
	if c := r.Cost; c.Stopped != 2 || c.Epochs != 49 || c.Full != 63 {
		t.Errorf("%+v", c)
	}
	if again := made(t, dir, 1, nil); again.Cost != r.Cost {
		t.Errorf("it went on: %+v", again.Cost)
	}
}

func TestMistakesOfRules(t *testing.T) {
	for _, c := range []struct {
		s    Stop
		want string
	}{
		{Stop{}, ""}, {Stop{Rule: ASHA, Eta: 3, Min: 1}, ""}, {Stop{Rule: Median, Min: 8}, ""},
		{Stop{Rule: "x"}, "want asha or median"}, {Stop{Rule: ASHA, Eta: 1, Min: 1}, "eta is 1"},
		{Stop{Rule: Median, Min: 9}, "from epoch 9 of 9"}, {Stop{Rule: ASHA, Eta: 2, Min: 0}, "from epoch 0"},
	} {
		if err := c.s.Check(9); c.want == "" && err != nil || c.want != "" && (err == nil ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
}

// TestRanks: Spearman's correlation, with ties, as scipy.stats.spearmanr gives it; the correlation ratio of words.
func TestRanks(t *testing.T) {
	if got := ranks([]float64{3, 1, 3, 2}); !slices.Equal(got, []float64{3.5, 1, 3.5, 2}) {
		t.Errorf("ranks %v", got)
	}
	p := planned(t, study(), rates(1, 0.1, 0.2, 0.3, 0.4))
	states := make([]State, 4)
	for i, v := range []float64{0.5, 0.7, 0.7, 0.9} {
		states[i] = State{Trial: p.Trials[i], Status: Trained, Curve: []float64{v}}
	}
	r := p.Results(states)
	if im := r.Importance[0]; math.Abs(im.Rank-0.9486832980505138) > 1e-12 || im.Words || im.N != 4 {
		t.Errorf("%+v", im)
	}
	if got := correlationRatio([]string{"a", "a", "b", "b"}, []float64{1, 2, 3, 4}); math.Abs(got-math.Sqrt(0.8)) > 1e-12 {
		t.Errorf("correlation ratio %g", got)
	}
}

// TestAxes: few numbers stand side by side, as words do, in their order; many are on an axis, logarithmic if they span
// much.
func TestAxes(t *testing.T) {
	few := variable("batch", []string{"256", "64", "1024", "64"})
	if !slices.Equal(few.Names, []string{"64", "256", "1024"}) || !slices.Equal(few.Values, []float64{1, 0, 2, 0}) {
		t.Errorf("%+v", few)
	}
	words := variable("model", []string{"small", "mlp"})
	if !slices.Equal(words.Names, []string{"mlp", "small"}) || !slices.Equal(words.Values, []float64{1, 0}) {
		t.Errorf("%+v", words)
	}
	for text, log := range map[string]bool{"1 2 3 4 5 6 7": false, "0.001 0.01 0.1 0.2 0.3 0.4 0.5": true,
		"0 1 2 3 4 5 600": false} {
		if v := variable("x", strings.Fields(text)); v.Names != nil || v.Log != log || len(v.Values) != 7 {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

// TestResultsSoFar: settings of which a seed has not begun are shown by those that have; what has none has no mean; a
// seed that diverged leaves none.
func TestResultsSoFar(t *testing.T) {
	p := planned(t, study(), rates(2, 0.1, 0.2, 0.3, 0.4))
	states := make([]State, len(p.Trials))
	for i, trial := range p.Trials {
		states[i] = State{Trial: trial, Status: Waiting}
	}
	states[0].Status, states[0].Curve = Trained, []float64{0.5, 0.6}
	states[2].Status, states[2].Curve = Stopped, []float64{0.7}
	states[3].Status, states[3].Curve = Trained, []float64{0.8, 0.9}
	states[4].Status, states[4].Curve = Diverged, []float64{0.9}
	states[5].Status, states[5].Curve = Trained, []float64{0.9, 0.9}
	r := p.Results(states)
	for _, s := range r.Settings {
		want := map[int]struct {
			epochs int
			mean   float64
		}{1: {9, 0.6}, 2: {1, 0.75}, 3: {9, math.NaN()}, 4: {0, math.NaN()}}[s.N]
		if s.Epochs != want.epochs || !(math.Abs(s.Mean-want.mean) < 1e-12 || math.IsNaN(s.Mean) && math.IsNaN(want.mean)) {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	if b := r.Winner(); b == nil || b.N != 1 {
		t.Errorf("%+v", b)
	}
	if text := r.Tables().Page(); !strings.Contains(text, "| 3 | 0.3 | 1 of 2 | 9 | - |") {
		t.Error(text)
	}
	if _, err := json.Marshal(r.Settings); err != nil {
		t.Error(err)
	}
}
