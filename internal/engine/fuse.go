package engine

import (
	"slices"

	"dla/internal/kernel"
)

// addInto is an Accumulator that adds onto its last input, whose memory it would like to take.
type addInto struct {
	Accumulator
	last int
}

// InPlace is the input to add onto.
func (a addInto) InPlace() int { return a.last }

// Run computes out = in[last] + the op of the other inputs.
func (a addInto) Run(out *Tensor, in []*Tensor) error {
	if err := a.start(out, in); err != nil {
		return err
	}
	return a.RunAdd(out, in[:a.last])
}

// start makes out the input to add onto.
func (a addInto) start(out *Tensor, in []*Tensor) error {
	onto := in[a.last]
	if err := out.Resize(onto.Shape...); err != nil {
		return err
	}
	if len(out.F32) > 0 && &out.F32[0] != &onto.F32[0] {
		copy(out.F32, onto.F32)
	}
	return nil
}

// fuseSums does away with additions of two gradients, the later of which an Accumulator computes for
// this sum alone: it adds onto the earlier one, and a pass over memory is saved.
func fuseSums(steps []step, kept map[*Tensor]bool) []step {
	made, uses := map[*Tensor]int{}, map[*Tensor]int{}
	for i := range steps {
		made[steps[i].out] = i
		for _, t := range steps[i].in {
			uses[t]++
		}
	}
	gone := map[int]bool{}
	for i := range steps {
		sum := &steps[i]
		if _, ok := sum.op.(gradSum); !ok {
			continue
		}
		early, late := sum.in[0], sum.in[1]
		at, ok := made[early]
		if at2, ok2 := made[late]; !ok || !ok2 {
			continue // a leaf is nobody's to overwrite
		} else if at2 > at {
			at = at2
		} else {
			early, late = late, early
		}
		acc, ok := steps[at].op.(Accumulator)
		if !ok || uses[late] != 1 || kept[late] || early == late {
			continue
		}
		steps[at].op = addInto{acc, len(steps[at].in)}
		steps[at].in = append(steps[at].in, early)
		steps[at].out = sum.out
		made[sum.out] = at
		gone[i] = true
	}
	return without(steps, gone)
}

// take gives each Taker the op to do that makes its first input for it alone.
func take(steps []step, kept map[*Tensor]bool) []step {
	return merge(steps, kept, func(made, s *step) bool {
		t, ok := s.op.(Taker)
		if !ok {
			return false
		}
		op, ok := t.Take(made.op)
		if ok {
			s.op, s.in = op, slices.Concat(made.in, s.in[1:])
		}
		return ok
	})
}

// absorb gives each Absorber the op to do whose first input it makes, for it alone. Where it adds onto another
// gradient, that stays its last input.
func absorb(steps []step, kept map[*Tensor]bool) []step {
	return merge(steps, kept, func(made, s *step) bool {
		sum, added := made.op.(addInto)
		first := made.op
		if added {
			first = sum.Accumulator
		}
		a, ok := first.(Absorber)
		if !ok {
			return false
		}
		op, ok := a.Absorb(s.op)
		if !ok {
			return false
		}
		if !added {
			s.op, s.in = op, slices.Concat(made.in, s.in[1:])
			return true
		}
		both, ok := op.(Accumulator)
		if ok {
			s.in = slices.Concat(made.in[:sum.last], s.in[1:], made.in[sum.last:])
			s.op = addInto{both, len(s.in) - 1}
		}
		return ok
	})
}

// merge calls do with each step and the one that makes its first input, where nothing else needs that, for do to make
// one step of them in place of the later one. It tells whether it has.
func merge(steps []step, kept map[*Tensor]bool, do func(made, s *step) bool) []step {
	made, uses := map[*Tensor]int{}, map[*Tensor]int{}
	for i := range steps {
		made[steps[i].out] = i
		for _, t := range steps[i].in {
			uses[t]++
		}
	}
	gone := map[int]bool{}
	for i := range steps {
		for len(steps[i].in) > 0 {
			t := steps[i].in[0]
			at, ok := made[t]
			if !ok || uses[t] != 1 || kept[t] || !do(&steps[at], &steps[i]) {
				break
			}
			gone[at] = true
		}
	}
	return without(steps, gone)
}

// without is steps but those that are gone.
func without(steps []step, gone map[int]bool) []step {
	left := steps[:0]
	for i := range steps {
		if !gone[i] {
			left = append(left, steps[i])
		}
	}
	return left
}

// giveSums makes room for channel sums between each SumsGiver and the SumsTaker that reads its output, and returns the
// bytes.
func giveSums(steps []step) (bytes int64) {
	giver := map[*Tensor]bool{}
	for i := range steps {
		s := &steps[i]
		if _, ok := s.op.(SumsGiver); ok {
			giver[s.out] = true
		}
		if _, ok := s.op.(SumsTaker); ok && giver[s.in[0]] && s.in[0].sums == nil {
			t := s.in[0]
			t.sums = kernel.Alloc(t.Shape[0] * 2 * t.Shape[len(t.Shape)-1])
			bytes += 4 * int64(len(t.sums))
		}
	}
	return bytes
}
