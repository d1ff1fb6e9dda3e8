package engine_test

import (
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/model"
	"dla/internal/nn"
)

// TestSteps: of each node its op, its shape, its parameters and its multiply-adds, and those of a
// shorter batch after one was run.
func TestSteps(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 16, false)
	p := m.compile(t)
	s := p.Steps()
	if len(s) != p.Len() {
		t.Fatalf("%d steps listed of %d", len(s), p.Len())
	}
	stem, add := s[0], s[3]
	if stem.Op != "linear+relu" || !slices.Equal(stem.Shape, []int{16, 8}) ||
		!slices.Equal(stem.Leaves, []string{"x", "stem.weight", "stem.bias"}) || stem.MACs != 16*6*8 {
		t.Errorf("the first step is %+v", stem)
	}
	if add.Op != "add" || add.Leaves != nil || add.MACs != 0 {
		t.Errorf("the fourth step is %+v", add)
	}
	fill(p, m.x, m.y, 1)
	if err := p.Read(m.x).Resize(5, 6); err != nil {
		t.Fatal(err)
	}
	if err := p.Read(m.y).Resize(5); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got := p.Steps()[0]; got.MACs != 5*6*8 || got.Shape[0] != 5 {
		t.Errorf("after a batch of 5 the first step is %+v", got)
	}
}

// TestStepsOfTraining: backward costs twice the forward pass, less the gradient of the input, which
// nobody asked for; an op that adds onto another gradient is counted like any other.
func TestStepsOfTraining(t *testing.T) {
	g := nn.NewTrainingGraph(nn.NewParams(1))
	x, y := g.Input("x", 2, 8, 8, 3), g.Labels("y", 2)
	logits := model.CNN{Inner: []int{16, 16}, Res: true, Pixels: model.CIFAR10}.Logits(g, x, 10)
	grads, err := g.Gradients(nn.CrossEntropy(g, logits, y, 0))
	if err != nil {
		t.Fatal(err)
	}
	forward, err := engine.Compile(g.ExprGraph, logits)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := engine.Compile(g.ExprGraph, append([]*G.Node{logits}, grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	stem := forward.Steps()[1]
	if want := 3*forward.MACs() - stem.MACs; !strings.HasPrefix(stem.Op, "conv2d") || whole.MACs() != want {
		t.Errorf("%d multiply-adds in a step, want %d, which is three times %d less the %d of %s", whole.MACs(), want,
			forward.MACs(), stem.MACs, stem.Op)
	}
	if !slices.ContainsFunc(whole.Steps(), func(s engine.Step) bool {
		return s.Op == "conv2d-dx+batchnorm-sums (added)" && s.MACs > 0
	}) {
		t.Error("no gradient is added onto another")
	}
}
