package engine

import (
	"errors"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"dla/internal/kernel"
)

// joiner is an op that can join others, and overwrites its first input where it may.
type joiner struct{ gorgonia.Op }

func (joiner) InPlace() int { return 0 }

func (joiner) Run(*Tensor, []*Tensor) error { return nil }

func (joiner) Part(*Tensor, []*Tensor) (kernel.Part, bool, error) { return kernel.Part{}, false, nil }

// loner is one that cannot.
type loner struct{ gorgonia.Op }

func (loner) InPlace() int { return -1 }

func (loner) Run(*Tensor, []*Tensor) error { return nil }

// TestJoin: neighbours that can run together do, unless one reads what another writes; and none of them overwrites what
// another reads, nor shares its memory.
func TestJoin(t *testing.T) {
	x, dz := &Tensor{Shape: []int{4}}, &Tensor{Shape: []int{4}}
	out := make([]*Tensor, 5)
	for i := range out {
		out[i] = &Tensor{Shape: []int{4}}
	}
	steps := []step{
		{op: loner{}, out: dz, in: []*Tensor{x}},
		{op: joiner{}, out: out[0], in: []*Tensor{dz}},     // these two read dz
		{op: joiner{}, out: out[1], in: []*Tensor{dz}},     //
		{op: joiner{}, out: out[2], in: []*Tensor{out[1]}}, // needs the one before, and may overwrite it
		{op: joiner{}, out: out[3], in: []*Tensor{out[0]}}, // joins that one
		{op: loner{}, out: out[4], in: []*Tensor{out[2], out[3]}},
	}
	join(steps)
	var with []int
	for _, s := range steps {
		with = append(with, s.with)
	}
	if want := []int{0, 1, 0, 1, 0, 0}; !slices.Equal(with, want) {
		t.Fatalf("steps run together with %v that follow, want %v", with, want)
	}
	var p planner
	for i := 0; i < len(steps); i += 1 + steps[i].with {
		if err := p.add(steps[i : i+1+steps[i].with]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.layOut(0); err != nil {
		t.Fatal(err)
	}
	same := func(a, b *Tensor) bool { return &a.F32[0] == &b.F32[0] }
	for i, a := range []*Tensor{dz, out[0], out[1]} {
		for _, b := range []*Tensor{dz, out[0], out[1]}[:i] {
			if same(a, b) {
				t.Error("two steps that run together share memory")
			}
		}
	}
	if !same(out[1], out[2]) || !same(out[0], out[3]) {
		t.Error("an input that no other step reads is not overwritten")
	}
}

// failing is an op that cannot be set up.
type failing struct{ joiner }

func (failing) Part(*Tensor, []*Tensor) (kernel.Part, bool, error) {
	return kernel.Part{}, false, errors.New("no")
}

func (failing) String() string { return "failing" }

// TestTogetherFails: the error of one of several steps is the program's.
func TestTogetherFails(t *testing.T) {
	node := gorgonia.NewScalar(gorgonia.NewGraph(), gorgonia.Float32, gorgonia.WithName("n"))
	p := &Program{steps: []step{{op: joiner{}, with: 1}, {op: failing{}, node: node}}}
	if err := p.Run(); err == nil || err.Error() != `op failing at node "n" (#0) of shape () with inputs []: no` {
		t.Errorf("error %v", err)
	}
}
