package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"dla/internal/kernel"
)

// AverageConfig names an average of a model's state over the steps of a training.
type AverageConfig struct {
	Name  string  // ema or lookahead
	Decay float64 // share of itself that the average keeps in a step
	Every int     // steps from one update to the next, which keeps Decay^Every; at most those of the training
	Power float64 // lookahead: at step s of T an update keeps Decay^Every·(s/T)^Power
}

// Averages lists the names that NewAverage knows.
var Averages = []string{"ema", "lookahead"}

// Average is a second copy of a model's state, weights and running statistics, that moves towards the first at some
// steps. ema is an exponential moving average and leaves the training alone; its first update copies the state, as
// torch.optim.swa_utils.AveragedModel does. lookahead begins with the initial state, and the training goes on from the
// average after each update and ends on it (Zhang et al. 2019, https://arxiv.org/abs/1907.08610, with the rising share
// of Jordan 2024, https://arxiv.org/abs/2404.00498).
type Average struct {
	cfg   AverageConfig
	state []Param // Value is the live state
	slots []Slot  // the average of each
	part  []stretch
	total int
	share float32 // of the state in the update
	do    func(o *Average, live, average []float32)
}

// NewAverage returns the average of state, of which Grad is not used, in a training of total steps. It begins as a
// copy. A training of fewer steps than Every has one update, after its last: without any the average would be the
// initial state. Invalid constants are errors.
func NewAverage(cfg AverageConfig, state []Param, total int) (*Average, error) {
	switch {
	case !slices.Contains(Averages, cfg.Name):
		return nil, fmt.Errorf("unknown average %q: known are %s", cfg.Name, strings.Join(Averages, ", "))
	case !(cfg.Decay >= 0 && cfg.Decay < 1):
		return nil, fmt.Errorf("average %s: decay is %g, want at least 0 and below 1", cfg.Name, cfg.Decay)
	case cfg.Every < 1:
		return nil, fmt.Errorf("average %s: an update every %d steps, want at least 1", cfg.Name, cfg.Every)
	case !(cfg.Power >= 0) || math.IsInf(cfg.Power, 0):
		return nil, fmt.Errorf("average %s: power is %g, want a finite number of at least 0", cfg.Name, cfg.Power)
	}
	cfg.Every = min(cfg.Every, max(1, total))
	o := &Average{cfg: cfg, state: state, slots: slots("average", state), part: partition(state), total: total}
	for i, p := range state {
		copy(o.slots[i].Data, p.Value)
	}
	return o, nil
}

// Update follows the given step, counted from 1, and takes the state in if one is due. After the last step of lookahead
// the state is that of the average.
func (o *Average) Update(step int) {
	if step%o.cfg.Every == 0 {
		keep := math.Pow(o.cfg.Decay, float64(o.cfg.Every))
		if o.cfg.Name == "lookahead" {
			keep *= math.Pow(float64(step)/float64(o.total), o.cfg.Power)
		} else if step == o.cfg.Every {
			keep = 0
		}
		o.share = float32(1 - keep)
		o.run(func(o *Average, live, average []float32) { kernel.Lerp(average, live, o.share) })
	}
	if o.cfg.Name == "lookahead" && (step%o.cfg.Every == 0 || step == o.total) {
		o.run(func(_ *Average, live, average []float32) { copy(live, average) })
	}
}

// Swap exchanges the state and its average: an evaluation between two calls is one of the average.
func (o *Average) Swap() {
	o.run(func(_ *Average, live, average []float32) {
		for i, v := range live {
			live[i], average[i] = average[i], v
		}
	})
}

// run performs do on all ranges.
func (o *Average) run(do func(o *Average, live, average []float32)) {
	o.do = do
	kernel.Run(o, len(o.part))
}

// Chunk performs do on one range.
func (o *Average) Chunk(i int) {
	s := o.part[i]
	o.do(o, o.state[s.param].Value[s.lo:s.hi], o.slots[s.param].Data[s.lo:s.hi])
}

// Slots returns the average of each tensor of the state, in order.
func (o *Average) Slots() []Slot { return o.slots }
