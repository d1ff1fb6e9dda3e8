// Package optim holds the optimisers, learning-rate schedules and gradient clipping.
//
// The optimisers replace Gorgonia's solvers, which do not export their state, so no training could be resumed, and some
// of which are wrong (AdamW never updates; the decay of Momentum is added to the velocity). They follow PyTorch's
// formulas and are checked against its values step by step (testdata/golden.py). Slots exports their state for
// checkpoints.
package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"dla/internal/kernel"
)

// Param is one tensor to optimise. Value and Grad have equal lengths.
type Param struct {
	Name        string
	Shape       []int
	Value, Grad []float32
	Epochs      int // trained in the first so many epochs alone; 0: in all
}

// Kind distinguishes parameters that recipes treat differently.
type Kind int

// The kinds of parameters.
const (
	Weight Kind = iota // matrix or filter
	Bias               // shift of a layer or of a normalisation
	Norm               // scale of a normalisation
)

// Kind returns the kind of p, by the names and shapes that package nn gives parameters.
func (p Param) Kind() Kind {
	switch {
	case strings.HasSuffix(p.Name, ".bias"):
		return Bias
	case len(p.Shape) == 1:
		return Norm
	}
	return Weight
}

// Group holds factors for the parameters of one kind: on the learning rate and on the weight decay. What decays the
// weights in a step is the product of both rates, so a group with a higher learning rate also decays faster unless
// Decay makes up for it.
type Group struct{ LR, Decay float64 }

// Slot is one tensor of an optimiser's state, named after its parameter: "momentum/stem.weight". Data is the live
// buffer: reading it saves the state, writing into it restores the state.
type Slot struct {
	Name  string
	Shape []int
	Data  []float32
}

// Optimizer updates parameters from their gradients.
type Optimizer interface {
	// Step makes one update with learning rate lr.
	Step(lr float64)
	// Slots returns the tensors of the state. With Steps they are the whole state.
	Slots() []Slot
	// Steps returns the number of updates made; SetSteps restores it.
	Steps() uint64
	SetSteps(n uint64)
}

// Config names an optimiser and its constants. Fields that the optimiser does not use are ignored.
type Config struct {
	Name              string // sgd, adamw or muon
	Momentum          float64
	Nesterov          bool
	WeightDecay       float64
	Decoupled         bool    // sgd: decay the weights directly (adamw always does)
	Beta1, Beta2, Eps float64 // adamw
	Muon              Muon    // muon: for filters; other parameters have the constants of sgd

	Groups     map[Kind]Group // factors of a kind; 1 for kinds that are missing
	EpochSteps int            // steps per epoch, for parameters with Epochs
}

// Names lists the optimisers that New knows.
var Names = []string{"sgd", "adamw", "muon"}

// New returns the optimiser of cfg for params: sgd is torch.optim.SGD, adamw is torch.optim.AdamW, muon trains
// filters in steps that are nearly orthogonal matrices and the rest as sgd. Invalid constants are errors, and a muon
// without filters.
func New(cfg Config, params []Param) (Optimizer, error) {
	for _, c := range []struct {
		name    string
		v, high float64
	}{{"momentum", cfg.Momentum, 1}, {"beta1", cfg.Beta1, 1}, {"beta2", cfg.Beta2, 1}, {"weight_decay", cfg.WeightDecay,
		math.Inf(1)}, {"eps", cfg.Eps, math.Inf(1)}, {"momentum of filters", cfg.Muon.Momentum, 1},
		{"factor on the rate of filters", cfg.Muon.LR, math.Inf(1)}} {
		if !(c.v >= 0 && c.v < c.high) {
			return nil, fmt.Errorf("optimizer %s: %s is %g, want at least 0 and below %g", cfg.Name, c.name, c.v,
				c.high)
		}
	}
	for _, p := range params {
		if len(p.Value) != len(p.Grad) {
			return nil, fmt.Errorf("optimizer %s: parameter %s has %d values and %d gradients", cfg.Name, p.Name,
				len(p.Value), len(p.Grad))
		}
		if p.Epochs > 0 && cfg.EpochSteps < 1 {
			return nil, fmt.Errorf("optimizer %s: parameter %s is trained for %d epochs, of an unknown number of steps",
				cfg.Name, p.Name, p.Epochs)
		}
	}
	for _, g := range cfg.Groups {
		for _, f := range []float64{g.LR, g.Decay} {
			if !(f >= 0) || math.IsInf(f, 0) {
				return nil, fmt.Errorf("optimizer %s: factor %g of a group of parameters, want a finite number of at "+
					"least 0", cfg.Name, f)
			}
		}
	}
	switch cfg.Name {
	case "sgd", "muon":
		if cfg.Nesterov && cfg.Momentum == 0 {
			return nil, fmt.Errorf("optimizer %s: nesterov needs a momentum above 0", cfg.Name)
		}
		if cfg.Name == "sgd" {
			return newSGD(cfg, params), nil
		}
		if !slices.ContainsFunc(params, isFilter) {
			return nil, fmt.Errorf("optimizer muon trains the filters of convolutions, and this network has none; set " +
				"train.optimizer to sgd or adamw")
		}
		return newMuon(cfg, params), nil
	case "adamw":
		if cfg.Eps == 0 {
			return nil, fmt.Errorf("optimizer adamw: eps must be above 0")
		}
		return &adamw{cfg: cfg, params: params, m: slots("exp_avg", params), v: slots("exp_avg_sq", params),
			part: partition(params), rules: rulesOf(cfg, params)}, nil
	}
	return nil, fmt.Errorf("unknown optimizer %q: known are %s", cfg.Name, strings.Join(Names, ", "))
}

func slots(kind string, params []Param) []Slot {
	s := make([]Slot, len(params))
	for i, p := range params {
		s[i] = Slot{Name: kind + "/" + p.Name, Shape: p.Shape, Data: kernel.Alloc(len(p.Value))}
	}
	return s
}

// rule says how one parameter is updated.
type rule struct {
	Group
	steps uint64 // the first so many alone
}

// rulesOf returns the rules of params.
func rulesOf(cfg Config, params []Param) []rule {
	all := make([]rule, len(params))
	for i, p := range params {
		all[i] = rule{Group{1, 1}, math.MaxUint64}
		if g, ok := cfg.Groups[p.Kind()]; ok {
			all[i].Group = g
		}
		if p.Epochs > 0 {
			all[i].steps = uint64(p.Epochs) * uint64(cfg.EpochSteps)
		}
	}
	return all
}

// stretch is a range of one parameter: a chunk of an update over all parameters.
type stretch struct{ param, lo, hi int }

// partition splits the parameters into ranges, by their sizes alone.
func partition(params []Param) (part []stretch) {
	const size = 16 << 10
	for i, p := range params {
		for lo := 0; lo < len(p.Value); lo += size {
			part = append(part, stretch{i, lo, min(len(p.Value), lo+size)})
		}
	}
	return part
}

// sgd is stochastic gradient descent with momentum.
type sgd struct {
	cfg    Config
	params []Param
	v      []Slot
	part   []stretch
	rules  []rule
	steps  uint64
	now    kernel.SGDParams
}

func newSGD(cfg Config, params []Param) *sgd {
	return &sgd{cfg: cfg, params: params, v: slots("momentum", params), part: partition(params),
		rules: rulesOf(cfg, params)}
}

// Step makes one update.
func (o *sgd) Step(lr float64) {
	o.now = kernel.SGDParams{LR: lr, Momentum: o.cfg.Momentum, WeightDecay: o.cfg.WeightDecay,
		Nesterov: o.cfg.Nesterov, Decoupled: o.cfg.Decoupled, First: o.steps == 0}
	kernel.Run(o, len(o.part))
	o.steps++
}

// Chunk updates one range of one parameter.
func (o *sgd) Chunk(i int) {
	s := o.part[i]
	p, r, now := o.params[s.param], o.rules[s.param], o.now
	if o.steps >= r.steps {
		return
	}
	now.LR, now.WeightDecay = now.LR*r.LR, now.WeightDecay*r.Decay
	kernel.SGD(p.Value[s.lo:s.hi], p.Grad[s.lo:s.hi], o.v[s.param].Data[s.lo:s.hi], now)
}

// Slots returns the velocities.
func (o *sgd) Slots() []Slot { return o.v }

// Steps returns the number of updates made.
func (o *sgd) Steps() uint64 { return o.steps }

// SetSteps restores the number of updates made.
func (o *sgd) SetSteps(n uint64) { o.steps = n }

// adamw is Adam with decoupled weight decay.
type adamw struct {
	cfg    Config
	params []Param
	m, v   []Slot
	part   []stretch
	rules  []rule
	steps  uint64
	now    kernel.AdamWParams
}

// Step makes one update.
func (o *adamw) Step(lr float64) {
	o.steps++
	t := float64(o.steps)
	c := o.cfg
	o.now = kernel.AdamWParams{LR: lr, Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay,
		Bias1: 1 - math.Pow(c.Beta1, t), Bias2: 1 - math.Pow(c.Beta2, t)}
	kernel.Run(o, len(o.part))
}

// Chunk updates one range of one parameter.
func (o *adamw) Chunk(i int) {
	s := o.part[i]
	p, r, now := o.params[s.param], o.rules[s.param], o.now
	if o.steps > r.steps { // this step is counted already
		return
	}
	now.LR, now.WeightDecay = now.LR*r.LR, now.WeightDecay*r.Decay
	kernel.AdamW(p.Value[s.lo:s.hi], p.Grad[s.lo:s.hi], o.m[s.param].Data[s.lo:s.hi], o.v[s.param].Data[s.lo:s.hi],
		now)
}

// Slots returns the first and second moments.
func (o *adamw) Slots() []Slot { return append(append([]Slot(nil), o.m...), o.v...) }

// Steps returns the number of updates made.
func (o *adamw) Steps() uint64 { return o.steps }

// SetSteps restores the number of updates made.
func (o *adamw) SetSteps(n uint64) { o.steps = n }
