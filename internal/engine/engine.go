// Package engine runs a Gorgonia ExprGraph: the model and its symbolic gradient, as Gorgonia built
// them, without the cost of Gorgonia's TapeMachine.
//
// Compile walks the graph from the outputs asked for, so nodes that nothing needs are never run
// (dead-code removal: Grad builds the gradient of the input batch even when nobody wants it). It
// orders the nodes by Gorgonia's stabilised topological sort, works out when each intermediate is
// used for the last time, and lays all intermediates out in one arena where memory is handed on to
// later nodes (see plan.go). Run then calls one kernel per node and allocates nothing.
//
// Only ops that implement Op are run, plus the stock '+' that Grad inserts where a node has several
// consumers. Any other stock op is refused at compile time: several compute wrong numbers silently,
// and each op we run has passed a gradient check.
//
// Read is the only way to look at a result: an intermediate's memory belongs to somebody else by
// the time the step is over, so only nodes named as outputs (and leaves) can be read.
package engine

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/kernel"
)

// Op is a Gorgonia op the engine can run: it computes out from in, in memory it is given.
type Op interface {
	gorgonia.Op

	// Run computes out, whose capacity is the node's declared shape and whose shape Run sets with
	// Resize, from in. Inputs are read-only, except that out may share memory with in[i] when
	// InPlace returns i.
	Run(out *Tensor, in []*Tensor) error

	// InPlace is the input out may share memory with, or -1. (Gorgonia's OverwritesInput stays -1
	// for our ops: the TapeMachine's use of it is not ours to trust.)
	InPlace() int
}

// What an op may be able to do beside. Compile looks for each of these in every op; an op that has none of them is run
// as it stands. What they save is passes over memory; none changes what a graph computes but for the order in which two
// gradients are added.
type (
	// Viewer is an op whose output is a part of its first input: Run points out at it and computes nothing. The part's
	// memory lives as long as either is used.
	Viewer interface {
		Op
		View()
	}

	// Accumulator is an op that can add its result to what its output holds, in one pass: the sum of two gradients
	// then needs no pass of its own. See fuseSums.
	Accumulator interface {
		Op
		// RunAdd is Run with out += in place of out =.
		RunAdd(out *Tensor, in []*Tensor) error
	}

	// Joiner is an op whose Run may be a single phase of a kernel, which then runs together with those of its neighbours.
	// See join.
	Joiner interface {
		Op
		// Part is Run up to that phase, which it returns; where it is not ok, Run is to be called.
		Part(out *Tensor, in []*Tensor) (part kernel.Part, ok bool, err error)
	}

	// JoiningAccumulator is an Accumulator whose RunAdd may be a single phase of a kernel.
	JoiningAccumulator interface {
		Accumulator
		// PartAdd is for RunAdd what a Joiner's Part is for Run.
		PartAdd(out *Tensor, in []*Tensor) (part kernel.Part, ok bool, err error)
	}

	// Absorber is an op that can do the work of one whose first input it makes, for it alone, in the pass that computes
	// its own output. See absorb.
	Absorber interface {
		Op
		// Absorb is the op that does both, if there is one. Its inputs are the Absorber's, then the others of next.
		Absorb(next Op) (Op, bool)
	}

	// Taker is an op that can do the work of the one that makes its first input, for it alone. See take.
	Taker interface {
		Op
		// Take is the op that does both, if there is one. Its inputs are those of made, then the Taker's others.
		Take(made Op) (Op, bool)
	}

	// SumsGiver is an op that fills its output's SumsFor where that is not nil, while the output is in the cache. See
	// giveSums.
	SumsGiver interface {
		Op
		GivesSums()
	}

	// SumsTaker is an op that reads the SumsFor of its first input where that is not nil, in place of a pass over it.
	SumsTaker interface {
		Op
		TakesSums()
	}

	// MACCounter is an op that says how many multiply-adds it takes for inputs of the given shapes, counted directly.
	// An op that does not counts as none.
	MACCounter interface {
		Op
		MACs(in [][]int) int
	}
)

// Program is a compiled graph. It is not safe for concurrent use.
type Program struct {
	steps   []step
	leaves  map[*gorgonia.Node]*Tensor
	outputs map[*gorgonia.Node]*Tensor
	bytes   int64 // arena, see PeakBytes
	timed   bool  // see Profile

	together kernel.Together
}

type step struct {
	node *gorgonia.Node
	op   Op
	out  *Tensor
	in   []*Tensor
	cost cost // see profile.go
	skip bool // see Skip
	with int  // how many of the steps that follow it runs together with: see join
}

// Compile prepares g to compute outputs. Every leaf they depend on must have a value bound
// (gorgonia.WithValue or Let); the program shares that memory, so writing into it changes what the
// next Run computes. Errors name the node and its op.
func Compile(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (*Program, error) {
	order, err := Order(g, outputs)
	if err != nil {
		return nil, err
	}
	p := &Program{leaves: map[*gorgonia.Node]*Tensor{}, outputs: map[*gorgonia.Node]*Tensor{}}
	slot := make(map[*gorgonia.Node]*Tensor, len(order))
	for _, n := range order {
		if n.Op() == nil || isConstant(n) {
			v := n.Value()
			if v == nil && n.Op() != nil {
				if v, err = n.Op().Do(); err != nil {
					return nil, fmt.Errorf("engine: constant %s: %w", describe(n), err)
				}
			}
			t, err := FromValue(v)
			if err != nil {
				return nil, fmt.Errorf("engine: input %s: %w", describe(n), err)
			}
			slot[n], p.leaves[n] = t, t
			continue
		}
		op, err := lower(n)
		if err != nil {
			return nil, err
		}
		st := step{node: n, op: op, out: &Tensor{Shape: append([]int{}, n.Shape()...)}}
		for _, c := range Inputs(g, n) {
			st.in = append(st.in, slot[c])
		}
		slot[n] = st.out
		p.steps = append(p.steps, st)
	}
	kept := map[*Tensor]bool{}
	for _, n := range outputs {
		p.outputs[n] = slot[n]
		kept[slot[n]] = true
	}
	p.steps = absorb(fuseSums(take(p.steps, kept), kept), kept)
	join(p.steps)
	var pl planner
	for i := 0; i < len(p.steps); {
		next := i + 1 + p.steps[i].with
		if err := pl.add(p.steps[i:next]); err != nil {
			return nil, err
		}
		i = next
	}
	for t := range kept {
		pl.keep(t)
	}
	var leaves int64
	for _, t := range p.leaves {
		leaves += 4 * int64(len(t.F32)+len(t.I32))
	}
	if p.bytes, err = pl.layOut(leaves); err != nil {
		return nil, err
	}
	p.bytes += giveSums(p.steps)
	return p, nil
}

// Run executes the program once. An error names the op that failed, its node and the shapes of its inputs.
func (p *Program) Run() error {
	if p.timed {
		return p.runTimed()
	}
	for i := 0; i < len(p.steps); {
		s := &p.steps[i]
		next := i + 1 + s.with
		switch {
		case s.with > 0:
			if err := p.runTogether(p.steps[i:next]); err != nil {
				return err
			}
		case !s.skip:
			if err := s.op.Run(s.out, s.in); err != nil {
				return s.fail(err)
			}
		}
		i = next
	}
	return nil
}

// Skip makes Run leave out the given outputs from now on, and all that they alone need: gradients of weights that are
// no longer trained. Their memory holds anything then. Without outputs, Run computes all again. The memory plan stays.
func (p *Program) Skip(outputs ...*gorgonia.Node) {
	needed := make(map[*Tensor]bool, len(p.steps))
	for n, t := range p.outputs {
		needed[t] = needed[t] || !slices.Contains(outputs, n)
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		s := &p.steps[i]
		if s.skip = !needed[s.out]; !s.skip {
			for _, t := range s.in {
				needed[t] = true
			}
		}
	}
}

func (s *step) fail(err error) error {
	shapes := make([][]int, len(s.in))
	for i, t := range s.in {
		shapes[i] = t.Shape
	}
	return fmt.Errorf("op %v at node %s with inputs %v: %w", s.op, describe(s.node), shapes, err)
}

// Read returns the value of an output or a leaf. The view of an output stays valid, and its memory untouched, until
// the next Run. Reading any other node panics: that is a mistake of the calling program, not of its input, as the
// memory has been reused by then.
func (p *Program) Read(n *gorgonia.Node) *Tensor {
	if t, ok := p.outputs[n]; ok {
		return t
	}
	if t, ok := p.leaves[n]; ok {
		return t
	}
	panic(fmt.Sprintf("engine: node %s is neither an output nor a leaf of this program", describe(n)))
}

// PeakBytes returns the memory of all intermediates and outputs together, after reuse. Leaves (parameters, batches)
// are not counted.
func (p *Program) PeakBytes() int64 { return p.bytes }

// MACs returns the number of multiply-adds of the products and convolutions of one Run at full size, counted as
// direct ones.
func (p *Program) MACs() int {
	n := 0
	for i := range p.steps {
		if !p.steps[i].skip {
			n += p.steps[i].macs()
		}
	}
	return n
}

// Len returns the number of nodes that Run executes.
func (p *Program) Len() int { return len(p.steps) }

// Order returns what outputs depend on, inputs before consumers, in an order that depends on the graph alone.
func Order(g *gorgonia.ExprGraph, outputs []*gorgonia.Node) ([]*gorgonia.Node, error) {
	sorted, err := gorgonia.Sort(g) // consumers first
	if err != nil {
		return nil, fmt.Errorf("engine: sorting the graph: %w", err)
	}
	live := make(map[*gorgonia.Node]bool, len(sorted))
	for _, n := range outputs {
		live[n] = true
	}
	var order []*gorgonia.Node
	for _, n := range sorted {
		if !live[n] {
			continue
		}
		order = append(order, n)
		for _, c := range Inputs(g, n) {
			live[c] = true
		}
	}
	for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
		order[i], order[j] = order[j], order[i]
	}
	return order, nil
}

// Inputs returns the inputs of n in the order its op takes them.
func Inputs(g *gorgonia.ExprGraph, n *gorgonia.Node) []*gorgonia.Node {
	it := g.From(n.ID())
	var kids []*gorgonia.Node
	for it != nil && it.Next() {
		kids = append(kids, it.Node().(*gorgonia.Node))
	}
	return kids
}

func isConstant(n *gorgonia.Node) bool { return n.Op().Arity() == 0 }

func describe(n *gorgonia.Node) string {
	return fmt.Sprintf("%q (#%d) of shape %v", n.Name(), n.ID(), n.Shape())
}

// lower finds what runs n: the op itself when it is ours, our addition for the stock '+' by which
// Grad sums the gradients of a node with several consumers.
func lower(n *gorgonia.Node) (Op, error) {
	if op, ok := n.Op().(Op); ok {
		return op, nil
	}
	if n.Op().String() == "+ false" && n.Op().Arity() == 2 && n.Dtype() == tensor.Float32 {
		return gradSum{n.Op()}, nil
	}
	return nil, fmt.Errorf("engine: node %s: op %v is not one of ours; stock Gorgonia ops are not run (internal/ops has the ones that are)", describe(n), n.Op())
}

// gradSum runs the stock '+' of two float32 tensors of one shape.
type gradSum struct{ gorgonia.Op }

// InPlace lets the sum be written over its first term.
func (gradSum) InPlace() int { return 0 }

// Run computes out = in[0] + in[1], element by element.
func (gradSum) Run(out *Tensor, in []*Tensor) error {
	a, b := in[0], in[1]
	if len(a.F32) != len(b.F32) || len(a.Shape) != len(b.Shape) {
		return fmt.Errorf("shapes %v and %v differ", a.Shape, b.Shape)
	}
	if err := out.Resize(a.Shape...); err != nil {
		return err
	}
	kernel.Add(out.F32, a.F32, b.F32)
	return nil
}
