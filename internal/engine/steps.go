package engine

import "slices"

// Step describes one node of a program: what `dla models show` prints as a layer.
type Step struct {
	Op     string   // name of the op
	Shape  []int    // of its output
	Leaves []string // names of those of its inputs that are leaves: parameters, buffers, the batch
	MACs   int      // multiply-adds, counted directly; 0 for an op that does not say
}

// Steps lists the nodes in the order in which Run executes them. Shapes and multiply-adds are of the
// last Run, of full size before the first.
func (p *Program) Steps() []Step {
	names := make(map[*Tensor]string, len(p.leaves))
	for n, t := range p.leaves {
		names[t] = n.Name()
	}
	all := make([]Step, len(p.steps))
	for i := range p.steps {
		s := &p.steps[i]
		all[i] = Step{Op: s.name(), Shape: slices.Clone(s.out.Shape), MACs: s.macs()}
		for _, t := range s.in {
			if name, ok := names[t]; ok {
				all[i].Leaves = append(all[i].Leaves, name)
			}
		}
	}
	return all
}

// name is the op's, marked where it adds onto another gradient.
func (s *step) name() string {
	if a, ok := s.op.(addInto); ok {
		return a.Accumulator.String() + " (added)"
	}
	return s.op.String()
}
