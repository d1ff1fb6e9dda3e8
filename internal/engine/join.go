package engine

import (
	"slices"

	"dla/internal/kernel"
)

// join lets neighbours run together that may be single phases of kernels and of which none reads what another writes:
// the gradients of a linear layer. The threads then wait for each other once.
func join(steps []step) {
	for i := 0; i < len(steps); {
		next := i + 1
		if joins(steps[i].op) {
			for next < len(steps) && joins(steps[next].op) && !reads(steps[next], steps[i:next]) {
				next++
			}
		}
		steps[i].with = next - i - 1
		i = next
	}
}

func joins(op Op) bool {
	if a, ok := op.(addInto); ok {
		_, ok := a.Accumulator.(JoiningAccumulator)
		return ok
	}
	_, ok := op.(Joiner)
	return ok
}

// reads says whether s reads what one of the earlier steps writes.
func reads(s step, earlier []step) bool {
	return slices.ContainsFunc(earlier, func(e step) bool { return slices.Contains(s.in, e.out) })
}

// runTogether runs what join has found.
func (p *Program) runTogether(steps []step) error {
	for i := range steps {
		s := &steps[i]
		if s.skip {
			continue
		}
		part, ok, err := s.op.(Joiner).Part(s.out, s.in)
		switch {
		case err != nil:
		case ok:
			p.together.Add(part)
		default:
			err = s.op.Run(s.out, s.in)
		}
		if err != nil {
			p.together.Drop()
			return s.fail(err)
		}
	}
	p.together.Run()
	return nil
}

// Part is Run as a part, where the Accumulator is a JoiningAccumulator.
func (a addInto) Part(out *Tensor, in []*Tensor) (kernel.Part, bool, error) {
	if err := a.start(out, in); err != nil {
		return kernel.Part{}, false, err
	}
	return a.Accumulator.(JoiningAccumulator).PartAdd(out, in[:a.last])
}
