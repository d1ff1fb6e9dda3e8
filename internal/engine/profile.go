package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// cost is what a step has taken since Profile was turned on.
type cost struct {
	time  time.Duration
	flops float64
	runs  int
}

// Profile turns the timing of every op on or off and discards earlier timings. While they are timed, ops that would run
// together run one after the other.
func (p *Program) Profile(on bool) {
	p.timed = on
	for i := range p.steps {
		p.steps[i].cost = cost{}
	}
}

func (p *Program) runTimed() error {
	for i := range p.steps {
		s := &p.steps[i]
		if s.skip {
			continue
		}
		start := time.Now()
		if err := s.op.Run(s.out, s.in); err != nil {
			return s.fail(err)
		}
		s.cost.time += time.Since(start)
		s.cost.runs++
		s.cost.flops += 2 * float64(s.macs())
	}
	return nil
}

// macs is the number of multiply-adds of the step at the inputs' present size; 0 for an op that does
// not say.
func (s *step) macs() int {
	op := s.op
	if a, ok := op.(addInto); ok {
		op = a.Accumulator
	}
	m, ok := op.(MACCounter)
	if !ok {
		return 0
	}
	shapes := make([][]int, len(s.in))
	for j, t := range s.in {
		shapes[j] = t.Shape
	}
	return m.MACs(shapes)
}

// OpCost is the cost of all steps of one op and one size together.
type OpCost struct {
	Op      string  `json:"op"`    // name of the op
	Shape   string  `json:"shape"` // of its output
	Steps   int     `json:"steps"` // number of such nodes in the graph
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
	FLOPs   float64 `json:"flops"` // two a multiply-add of products and convolutions, counted directly
	Share   float64 `json:"share"` // of the time of all
}

// Costs lists what was timed since Profile was turned on, the most expensive ops first.
func (p *Program) Costs() []OpCost {
	byKey := map[string]*OpCost{}
	var all []*OpCost
	total := 0.0
	for i := range p.steps {
		s := &p.steps[i]
		if s.cost.runs == 0 {
			continue
		}
		name := s.name()
		shape := fmt.Sprint(s.node.Shape())
		c := byKey[name+shape]
		if c == nil {
			c = &OpCost{Op: name, Shape: shape}
			byKey[name+shape] = c
			all = append(all, c)
		}
		c.Steps++
		c.Runs += s.cost.runs
		c.Seconds += s.cost.time.Seconds()
		c.FLOPs += s.cost.flops
		total += s.cost.time.Seconds()
	}
	slices.SortStableFunc(all, func(a, b *OpCost) int { return cmp.Compare(b.Seconds, a.Seconds) })
	out := make([]OpCost, len(all))
	for i, c := range all {
		c.Share = c.Seconds / total
		out[i] = *c
	}
	return out
}
