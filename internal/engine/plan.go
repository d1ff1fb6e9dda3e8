package engine

// The memory plan. Every intermediate has a life: from the step that writes it to the last step
// that reads it. Two whose lives do not overlap can share memory, and an op that may overwrite one
// of its inputs writes into it when that step is the input's last use.
//
// The plan is made once, greedily, largest first: each intermediate takes the lowest offset of one
// arena where nothing alive at the same time lies (the "greedy by size" planner of Pisarchyk and
// Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). Offsets are multiples of
// 64 bytes, so that vector loads never split a cache line.

import (
	"fmt"
	"slices"

	"dla/internal/kernel"
)

const alignFloats = 16 // 64 bytes

// block is memory for one intermediate, or for a chain of them that overwrite one another.
type block struct {
	floats      int
	first, last int // steps: written at first, last read at last
	offset      int
	views       []*Tensor
}

type planner struct {
	steps  int
	blocks []*block
	of     map[*Tensor]*block
	wishes []overwrite
}

// overwrite is a wish: out would like to live in in's memory, granted in layOut when nobody reads
// in after step at.
type overwrite struct {
	at      int
	out, in *Tensor
}

// add registers the outputs of the next steps, which run at the same time, and their use of their inputs.
func (p *planner) add(steps []step) error {
	if p.of == nil {
		p.of = map[*Tensor]*block{}
	}
	at := p.steps
	p.steps++
	readers := map[*block]int{}
	for i := range steps {
		for _, t := range steps[i].in {
			if b := p.of[t]; b != nil {
				b.last = at
				readers[b]++
			}
		}
	}
	for i := range steps {
		if err := p.addOutput(&steps[i], at, readers); err != nil {
			return err
		}
	}
	return nil
}

// addOutput registers the output of a step at the given time, when so many inputs lie in each block.
func (p *planner) addOutput(s *step, at int, readers map[*block]int) error {
	n := 1
	for _, d := range s.out.Shape {
		if d < 0 {
			return fmt.Errorf("engine: node %s has no size", describe(s.node))
		}
		n *= d
	}
	if _, ok := s.op.(Viewer); ok {
		if b := p.of[s.in[0]]; b != nil { // in a leaf's memory there is nothing to plan
			p.of[s.out] = b
		}
		return nil
	}
	b := &block{floats: n, first: at, last: at, views: []*Tensor{s.out}}
	p.blocks = append(p.blocks, b)
	p.of[s.out] = b
	i := s.op.InPlace()
	if i < 0 || i >= len(s.in) {
		return nil
	}
	own := 0 // of the readers, those of this step
	for _, t := range s.in {
		if p.of[t] == p.of[s.in[i]] {
			own++
		}
	}
	if src := p.of[s.in[i]]; src != nil && readers[src] == own {
		p.wishes = append(p.wishes, overwrite{at: at, out: s.out, in: s.in[i]})
	}
	return nil
}

// keep makes t's memory live to the end of the step: it is an output.
func (p *planner) keep(t *Tensor) {
	if b := p.of[t]; b != nil {
		b.last = p.steps
	}
}

// layOut allocates the arena, gives every intermediate its slice of it and returns its bytes. One that the machine has
// no memory for, beside leaves bytes that are there, is an error.
func (p *planner) layOut(leaves int64) (int64, error) {
	for _, w := range p.wishes {
		src, dst := p.of[w.in], p.of[w.out]
		if src == nil || src == dst || src.last != w.at || src.floats != dst.floats {
			continue // a leaf, still needed, or of another size
		}
		src.last = dst.last
		src.views = append(src.views, dst.views...)
		for _, v := range dst.views {
			p.of[v] = src
		}
		dst.views = nil
	}
	live := slices.DeleteFunc(p.blocks, func(b *block) bool { return b.views == nil })
	bySize := slices.Clone(live)
	slices.SortStableFunc(bySize, func(a, b *block) int { return b.floats - a.floats })
	var placed []*block // by offset
	total := 0
	for _, b := range bySize {
		b.offset = 0
		for _, o := range placed {
			if o.first > b.last || o.last < b.first {
				continue // never alive together
			}
			if b.offset+b.floats <= o.offset {
				break // fits in the gap before o
			}
			b.offset = max(b.offset, roundUp(o.offset+o.floats))
		}
		total = max(total, b.offset+b.floats)
		at, _ := slices.BinarySearchFunc(placed, b.offset, func(o *block, off int) int { return o.offset - off })
		placed = slices.Insert(placed, at, b)
	}
	if err := Fits(fmt.Sprintf("the intermediates and gradients of %.1f GB of weights and inputs", float64(leaves)/1e9),
		leaves+4*int64(total)); err != nil {
		return 0, fmt.Errorf("engine: %w", err)
	}
	arena := kernel.Alloc(total)
	for _, b := range live {
		for _, v := range b.views {
			v.F32 = arena[b.offset : b.offset+b.floats : b.offset+b.floats]
		}
	}
	return int64(total) * 4, nil
}

func roundUp(n int) int { return (n + alignFloats - 1) / alignFloats * alignFloats }
