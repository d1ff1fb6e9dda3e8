package optim

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
)

// golden is testdata/golden.json, what PyTorch computes; golden.py there says how.
type golden struct {
	Start      []float32
	Optimizers map[string][][]float32
	Groups     map[string][][]float32
	Averages   map[string][][]float32
	Muon       []map[string][]float32
	Schedules  map[string][]float64
	Clip       []struct {
		Limit, Norm float64
		Grads       []float32
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// gradient is golden.py's: element i at step t.
func gradient(dst []float32, t int) {
	for i := range dst {
		dst[i] = float32(math.Sin(1.7*float64(i) + 0.9*float64(t) + 0.3))
	}
}

var optimizers = map[string]struct {
	cfg Config
	lr  float64
}{
	"sgd":                {Config{Name: "sgd"}, 0.1},
	"sgd-momentum":       {Config{Name: "sgd", Momentum: 0.9}, 0.1},
	"sgd-nesterov":       {Config{Name: "sgd", Momentum: 0.9, Nesterov: true}, 0.1},
	"sgd-decay":          {Config{Name: "sgd", Momentum: 0.9, WeightDecay: 0.05}, 0.1},
	"sgd-nesterov-decay": {Config{Name: "sgd", Momentum: 0.8, Nesterov: true, WeightDecay: 0.1}, 0.05},
	"sgd-decoupled":      {Config{Name: "sgd", Momentum: 0.9, WeightDecay: 0.05, Decoupled: true}, 0.1},
	"adamw":              {Config{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, 0.01},
	"adamw-decay":        {Config{Name: "adamw", Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.1}, 0.02},
}

// TestAgainstPyTorch compares the weights after each step, to two units in the last place of a weight near 1:
// PyTorch's loops fuse some products and sums, ours round each. A constant that is formed in float32 (1 - 0.999)
// fails this from the third step on.
func TestAgainstPyTorch(t *testing.T) {
	g := readGolden(t)
	if len(g.Optimizers) != len(optimizers) {
		t.Errorf("%d golden optimisers, %d tested", len(g.Optimizers), len(optimizers))
	}
	for name, tc := range optimizers {
		w, grad := slices.Clone(g.Start), make([]float32, len(g.Start))
		o, err := New(tc.cfg, []Param{{Name: "w", Value: w, Grad: grad}})
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range g.Optimizers[name] {
			gradient(grad, step)
			o.Step(tc.lr)
			for i := range w {
				if d := math.Abs(float64(w[i] - want[i])); d > 1.2e-7*max(1, math.Abs(float64(want[i]))) {
					t.Fatalf("%s, step %d: w[%d] = %.9g, PyTorch has %.9g", name, step+1, i, w[i], want[i])
				}
			}
		}
	}
}

// mixed returns a matrix, a shift and a scale over w and its gradient.
func mixed(w, grad []float32) []Param {
	return []Param{{Name: "fc.weight", Shape: []int{2, 2}, Value: w[:4], Grad: grad[:4]},
		{Name: "bn.bias", Shape: []int{2}, Value: w[4:6], Grad: grad[4:6]},
		{Name: "bn.weight", Shape: []int{1}, Value: w[6:], Grad: grad[6:]}}
}

// TestGroupsAgainstPyTorch: the factors are those on lr and weight_decay of PyTorch's param_groups.
func TestGroupsAgainstPyTorch(t *testing.T) {
	g := readGolden(t)
	for name, tc := range map[string]struct {
		cfg Config
		lr  float64
	}{
		"sgd":   {Config{Name: "sgd", Momentum: 0.85, Nesterov: true, WeightDecay: 0.1}, 0.05},
		"adamw": {Config{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}, 0.01},
	} {
		tc.cfg.Groups = map[Kind]Group{Bias: {8, 1. / 8}, Norm: {0.5, 0}}
		w, grad := slices.Clone(g.Start), make([]float32, len(g.Start))
		o, err := New(tc.cfg, mixed(w, grad))
		if err != nil || len(g.Groups[name]) == 0 {
			t.Fatal(name, err)
		}
		for step, want := range g.Groups[name] {
			gradient(grad, step)
			o.Step(tc.lr)
			for i := range w {
				if d := math.Abs(float64(w[i] - want[i])); d > 5e-7*max(1, math.Abs(float64(want[i]))) {
					t.Fatalf("%s, step %d: w[%d] = %.9g, PyTorch has %.9g", name, step+1, i, w[i], want[i])
				}
			}
		}
	}
}

// TestTrainedForEpochs: a parameter with Epochs stays as it is after them, and the others do not.
func TestTrainedForEpochs(t *testing.T) {
	for name, tc := range optimizers {
		w, grad := make([]float32, 7), make([]float32, 7)
		ps := mixed(w, grad)
		ps[1].Epochs = 2
		if _, err := New(tc.cfg, ps); err == nil || !strings.Contains(err.Error(), "bn.bias is trained for 2 epochs") {
			t.Errorf("%s: epochs of an unknown length: %v", name, err)
		}
		tc.cfg.EpochSteps = 3
		o, err := New(tc.cfg, ps)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 9 {
			before := slices.Clone(w)
			gradient(grad, step)
			o.Step(tc.lr)
			if moved := w[4] != before[4]; moved != (step < 6) || w[0] == before[0] || w[6] == before[6] {
				t.Errorf("%s, step %d: from %v to %v", name, step, before, w)
			}
		}
	}
}

// noise is golden.py's gradient of full rank: element i at step t.
func noise(dst []float32, t int) {
	for i := range dst {
		x := math.Sin(12.9898*float64(i+1)+78.233*float64(t+1)) * 43758.5453
		dst[i] = float32(2*(x-math.Floor(x)) - 1)
	}
}

// filtersAndRest returns two filters, of more and of fewer weights than outputs, a matrix and a shift, with golden.py's
// values.
func filtersAndRest() []Param {
	ps := []Param{{Name: "a.weight", Shape: []int{3, 3, 2, 5}}, {Name: "b.weight", Shape: []int{1, 1, 3, 8}},
		{Name: "head.weight", Shape: []int{2, 3}}, {Name: "bn.bias", Shape: []int{4}}}
	for i := range ps {
		n := 1
		for _, d := range ps[i].Shape {
			n *= d
		}
		ps[i].Value, ps[i].Grad = make([]float32, n), make([]float32, n)
		noise(ps[i].Value, 100+i)
	}
	return ps
}

// TestMuonAgainstPyTorch: PyTorch sums products in another order, which orthogonal enlarges where a singular value is
// small.
func TestMuonAgainstPyTorch(t *testing.T) {
	ps := filtersAndRest()
	cfg := Config{Name: "muon", Momentum: 0.85, Nesterov: true, WeightDecay: 0.004,
		Groups: map[Kind]Group{Bias: {0.125, 8}}, Muon: Muon{LR: 0.24 / 0.67, Momentum: 0.6}}
	o, err := New(cfg, ps)
	if err != nil {
		t.Fatal(err)
	}
	golden := readGolden(t).Muon
	s, err := NewSchedule(ScheduleConfig{Name: "linear"}, 0.67, len(golden))
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range golden {
		for i, p := range ps {
			noise(p.Grad, 10*step+i)
		}
		o.Step(s.LR(step))
		for _, p := range ps {
			for i, v := range p.Value {
				w := want[p.Name][i]
				if d := math.Abs(float64(v - w)); !(d <= 1e-6*max(1, math.Abs(float64(w)))) {
					t.Fatalf("step %d: %s[%d] = %.9g, PyTorch has %.9g", step+1, p.Name, i, v, w)
				}
			}
		}
	}
	if len(golden) != 6 {
		t.Errorf("%d steps", len(golden))
	}
}

// TestMuonsRules: a filter with Epochs stays as it is after them, a filter without gradient keeps its direction, and
// the state goes on from what Slots saved.
func TestMuonsRules(t *testing.T) {
	ps := filtersAndRest()
	ps[1].Epochs = 1
	cfg := Config{Name: "muon", Momentum: 0.9, EpochSteps: 2, Muon: Muon{LR: 0.5, Momentum: 0.6}}
	again := filtersAndRest()
	again[1].Epochs = 1
	o, err := New(cfg, ps)
	if err != nil {
		t.Fatal(err)
	}
	for step := range 4 {
		if step == 3 { // go on in another optimiser
			other, err := New(cfg, again)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range o.Slots() {
				if into := other.Slots()[i]; into.Name != s.Name || copy(into.Data, s.Data) != len(s.Data) {
					t.Fatal(into.Name, s.Name)
				}
			}
			other.SetSteps(o.Steps())
			for i, p := range ps {
				copy(again[i].Value, p.Value)
				noise(again[i].Grad, step)
			}
			other.Step(0.1)
		}
		before := slices.Clone(ps[1].Value)
		for _, p := range ps {
			noise(p.Grad, step)
		}
		o.Step(0.1)
		if moved := !slices.Equal(before, ps[1].Value); moved != (step < 2) {
			t.Errorf("step %d: the filter of the first epoch moved: %v", step, moved)
		}
	}
	for i, p := range ps {
		if !slices.Equal(p.Value, again[i].Value) {
			t.Errorf("%s goes on otherwise than it was saved", p.Name)
		}
	}
	if len(o.Slots()) != len(ps) {
		t.Errorf("%d slots of %d parameters", len(o.Slots()), len(ps))
	}
	p := Param{Name: "c.weight", Shape: []int{1, 1, 2, 2}, Value: []float32{3, 0, 0, 4}, Grad: make([]float32, 4)}
	if o, err = New(cfg, []Param{p}); err != nil {
		t.Fatal(err)
	}
	o.Step(1)
	for i, want := range []float64{3 * math.Sqrt2 / 5, 0, 0, 4 * math.Sqrt2 / 5} {
		if !(math.Abs(float64(p.Value[i])-want) <= 1e-6) {
			t.Errorf("without a gradient the filter becomes %v, want it of norm sqrt 2", p.Value)
		}
	}
	clear(p.Value)
	if o.Step(1); p.Value[0] != 0 {
		t.Errorf("a filter of zeros becomes %v", p.Value)
	}
}

// TestAveragesAgainstPyTorch: of weights in training by SGD and of a running statistic, which is 0.1 of the step.
func TestAveragesAgainstPyTorch(t *testing.T) {
	g := readGolden(t)
	for name, cfg := range map[string]AverageConfig{
		"ema":                {Name: "ema", Decay: 0.9, Every: 1},
		"ema-every-2":        {Name: "ema", Decay: 0.9, Every: 2},
		"lookahead":          {Name: "lookahead", Decay: 0.95, Every: 5, Power: 3},
		"lookahead-constant": {Name: "lookahead", Decay: 0.9, Every: 3},
	} {
		w, grad, stat := slices.Clone(g.Start), make([]float32, len(g.Start)), make([]float32, 1)
		ps := []Param{{Name: "w", Value: w, Grad: grad}}
		o, err := New(Config{Name: "sgd", Momentum: 0.9}, ps)
		if err != nil || len(g.Averages[name]) == 0 {
			t.Fatal(name, err)
		}
		a, err := NewAverage(cfg, append(ps, Param{Name: "b", Value: stat}), len(g.Averages[name]))
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range g.Averages[name] {
			gradient(grad, step)
			o.Step(0.1)
			stat[0] = float32(0.1 * float64(step+1))
			a.Update(step + 1)
			live := append(slices.Clone(w), stat...)
			if cfg.Name == "ema" {
				a.Swap()
			}
			got := append(slices.Clone(w), stat...)
			for i := range got {
				if d := math.Abs(float64(got[i] - want[i])); !(d <= 2.4e-7*max(1, math.Abs(float64(want[i])))) {
					t.Fatalf("%s, step %d: %d is %.9g, PyTorch has %.9g", name, step+1, i, got[i], want[i])
				}
			}
			if cfg.Name == "ema" {
				a.Swap()
			}
			if !slices.Equal(append(slices.Clone(w), stat...), live) {
				t.Fatalf("%s, step %d: an evaluation of the average changes the state", name, step+1)
			}
		}
	}
}

func TestSchedulesAgainstPyTorch(t *testing.T) {
	g := readGolden(t)
	for name, cfg := range map[string]ScheduleConfig{
		"step":     {Name: "step", Milestones: []int{20, 35}, Gamma: 0.1},
		"cosine":   {Name: "cosine"},
		"onecycle": {Name: "onecycle"},
		"warmup":   {Name: "constant", Warmup: 4},
		"linear":   {Name: "linear", Warmup: 4},
		"triangle": {Name: "triangle", Start: 0.2, Peak: 0.23, End: 0.07},
	} {
		want := g.Schedules[name]
		s, err := NewSchedule(cfg, 0.4, len(want))
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got := s.LR(i); math.Abs(got-w) > 1e-12+1e-9*w {
				t.Errorf("%s, step %d: %.12g, PyTorch has %.12g", name, i, got, w)
			}
		}
	}
}

func TestClipAgainstPyTorch(t *testing.T) {
	for _, tc := range readGolden(t).Clip {
		grad := make([]float32, 7)
		gradient(grad, 0)
		c := NewClipper([]Param{{Grad: grad[:3], Value: make([]float32, 3)}, {Grad: grad[3:], Value: make([]float32, 4)}})
		if norm := c.Clip(tc.Limit); math.Abs(norm-tc.Norm) > 1e-6 {
			t.Errorf("norm %g, PyTorch has %g", norm, tc.Norm)
		}
		for i := range grad {
			if math.Abs(float64(grad[i]-tc.Grads[i])) > 1e-7 {
				t.Errorf("limit %g: gradient[%d] = %g, PyTorch has %g", tc.Limit, i, grad[i], tc.Grads[i])
			}
		}
	}
}

// TestRestoredStateContinues: an optimiser made anew and given the state of another goes on with
// the same bits.
func TestRestoredStateContinues(t *testing.T) {
	for name, tc := range optimizers {
		a, grad := make([]float32, 50), make([]float32, 50)
		for i := range a {
			a[i] = float32(i) / 10
		}
		first, err := New(tc.cfg, []Param{{Name: "w", Value: a, Grad: grad}})
		if err != nil {
			t.Fatal(err)
		}
		for step := range 5 {
			gradient(grad, step)
			first.Step(tc.lr)
		}
		b := slices.Clone(a)
		second, err := New(tc.cfg, []Param{{Name: "w", Value: b, Grad: grad}})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range first.Slots() {
			if second.Slots()[i].Name != s.Name {
				t.Fatalf("%s: slots %s and %s", name, s.Name, second.Slots()[i].Name)
			}
			copy(second.Slots()[i].Data, s.Data)
		}
		second.SetSteps(first.Steps())
		for step := 5; step < 10; step++ {
			gradient(grad, step)
			first.Step(tc.lr)
			second.Step(tc.lr)
		}
		if !slices.Equal(a, b) {
			t.Errorf("%s: other bits after restoring", name)
		}
	}
}

// TestThreadsDoNotMatter: many stretches, several threads, the same bits; and nothing allocated.
func TestThreadsDoNotMatter(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	var want []float32
	var wantNorm float64
	for _, threads := range []int{1, 2, 4} {
		kernel.SetThreads(threads)
		w, g := make([]float32, 100003), make([]float32, 100003)
		gradient(g, 1)
		ps := []Param{{Name: "a", Value: w[:70001], Grad: g[:70001]}, {Name: "b", Value: w[70001:], Grad: g[70001:]}}
		o, err := New(Config{Name: "adamw", Beta1: 0.9, Beta2: 0.99, Eps: 1e-8}, ps)
		if err != nil {
			t.Fatal(err)
		}
		filters := []Param{{Name: "c", Shape: []int{3, 3, 24, 200}, Value: w[:43200], Grad: g[:43200]},
			{Name: "d", Shape: []int{1, 1, 100, 300}, Value: w[50000:80000], Grad: g[50000:80000]}}
		m, err := New(Config{Name: "muon", Muon: Muon{LR: 1, Momentum: 0.6}}, filters)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClipper(ps)
		a, err := NewAverage(AverageConfig{Name: "lookahead", Decay: 0.5, Every: 1, Power: 1}, ps, 2)
		if err != nil {
			t.Fatal(err)
		}
		var norm float64
		step := func() { norm = c.Clip(1); o.Step(0.1); m.Step(0.1); a.Update(1); a.Swap() }
		step()
		if want == nil {
			want, wantNorm = slices.Clone(w), norm
		}
		if !slices.Equal(w, want) || norm != wantNorm {
			t.Errorf("%d threads give other bits than one", threads)
		}
		if n := testing.AllocsPerRun(5, step); n != 0 && !raceDetector {
			t.Errorf("%d threads: %v allocations a step", threads, n)
		}
	}
}

func TestMistakes(t *testing.T) {
	p := []Param{{Name: "w", Value: make([]float32, 2), Grad: make([]float32, 2)}}
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Name: "adam"}, "sgd, adamw, muon"},
		{Config{Name: "muon"}, "this network has none"},
		{Config{Name: "muon", Muon: Muon{Momentum: 1}}, "momentum of filters"},
		{Config{Name: "muon", Muon: Muon{LR: -1}}, "factor on the rate of filters"},
		{Config{Name: "sgd", Momentum: 1}, "momentum"},
		{Config{Name: "sgd", Momentum: math.NaN()}, "momentum"},
		{Config{Name: "sgd", Nesterov: true}, "nesterov"},
		{Config{Name: "sgd", WeightDecay: -1}, "weight_decay"},
		{Config{Name: "adamw", Beta1: 0.9, Beta2: 1, Eps: 1}, "beta2"},
		{Config{Name: "adamw"}, "eps"},
	} {
		if _, err := New(tc.cfg, p); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one that names %s", tc.cfg, err, tc.want)
		}
	}
	if _, err := New(Config{Name: "sgd", Groups: map[Kind]Group{Norm: {-1, 1}}}, p); err == nil ||
		!strings.Contains(err.Error(), "factor -1 of a group") {
		t.Errorf("a negative factor: %v", err)
	}
	if _, err := New(Config{Name: "sgd"}, []Param{{Name: "w", Value: make([]float32, 2)}}); err == nil ||
		!strings.Contains(err.Error(), "w has 2 values") {
		t.Errorf("a parameter without gradient: error %v", err)
	}
	for _, tc := range []struct {
		cfg  AverageConfig
		want string
	}{
		{AverageConfig{Name: "swa"}, "ema, lookahead"},
		{AverageConfig{Name: "ema", Decay: 1, Every: 1}, "decay is 1"},
		{AverageConfig{Name: "ema", Decay: 0.9}, "every 0 steps"},
		{AverageConfig{Name: "lookahead", Every: 1, Power: math.NaN()}, "power is NaN"},
	} {
		if _, err := NewAverage(tc.cfg, p, 1); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one with %q", tc.cfg, err, tc.want)
		}
	}
	for _, tc := range []struct {
		cfg   ScheduleConfig
		lr    float64
		total int
		want  string
	}{
		{ScheduleConfig{Name: "poly"}, 1, 1, "onecycle"}, {ScheduleConfig{Name: "cosine"}, math.NaN(), 1, "learning rate"},
		{ScheduleConfig{Name: "cosine"}, 1, 0, "0 steps"}, {ScheduleConfig{Name: "constant", Warmup: -1}, 1, 1,
			"warm-up"}, {ScheduleConfig{Name: "step"}, 1, 1, "gamma"},
		{ScheduleConfig{Name: "triangle", Peak: 1.5}, 1, 1, "fraction 1.5"},
	} {
		if _, err := NewSchedule(tc.cfg, tc.lr, tc.total); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one that names %s", tc.cfg, err, tc.want)
		}
	}
}

// TestAverageOfFewSteps: a training shorter than the interval between updates is averaged once, after its last step.
// Without that it would be undone: lookahead ends on its average, and of ema the initial weights would be kept.
func TestAverageOfFewSteps(t *testing.T) {
	// The first update of ema copies the state, and that of lookahead keeps 0.5^2 of the initial weight, 1.
	for name, want := range map[string]float32{"ema": 3, "lookahead": 0.25*1 + 0.75*3} {
		w := []float32{1}
		a, err := NewAverage(AverageConfig{Name: name, Decay: 0.5, Every: 1000, Power: 3}, []Param{{Name: "w", Value: w}}, 2)
		if err != nil {
			t.Fatal(err)
		}
		for step := 1; step <= 2; step++ {
			w[0]++
			a.Update(step)
		}
		if got := a.Slots()[0].Data[0]; got != want {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
		if name == "lookahead" && w[0] != want {
			t.Errorf("the training ends on %g, want %g", w[0], want)
		}
	}
}
