package engine

import "dla/internal/kernel"

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

// absorb merges each op with one input into the Absorber that computes that input for it alone.
func absorb(steps []step, kept map[*Tensor]bool) []step {
	made, uses := map[*Tensor]int{}, map[*Tensor]int{}
	for i := range steps {
		made[steps[i].out] = i
		for _, t := range steps[i].in {
			uses[t]++
		}
	}
	gone := map[int]bool{}
	for i := range steps {
		if len(steps[i].in) != 1 {
			continue
		}
		t := steps[i].in[0]
		at, ok := made[t]
		if !ok || uses[t] != 1 || kept[t] {
			continue
		}
		a, ok := steps[at].op.(Absorber)
		if !ok {
			continue
		}
		if op, ok := a.Absorb(steps[i].op); ok {
			steps[at].op, steps[at].out = op, steps[i].out
			made[steps[at].out] = at
			gone[i] = true
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
