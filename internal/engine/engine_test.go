package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/ops"
	"dla/internal/rng"
)

// mlp is a small residual MLP with its loss and gradients.
type mlp struct {
	*nn.Graph
	x, y, logits, loss *G.Node
	grads              []*G.Node
}

func newMLP(t *testing.T, p *nn.Params, rows int, withGrad bool) mlp {
	t.Helper()
	g := nn.NewGraph(p)
	m := mlp{Graph: g, x: g.Input("x", rows, 6), y: g.Labels("y", rows)}
	m.logits = model.MLP{Depth: 3, Width: 8, Res: true}.Logits(g, m.x, 4)
	m.loss = nn.CrossEntropy(g, m.logits, m.y, 0)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	if withGrad {
		grads, err := g.Gradients(m.loss)
		if err != nil {
			t.Fatal(err)
		}
		m.grads = grads
	}
	return m
}

func (m mlp) compile(t *testing.T) *engine.Program {
	t.Helper()
	p, err := engine.Compile(m.ExprGraph, append([]*G.Node{m.loss, m.logits}, m.grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fill(p *engine.Program, x, y *G.Node, seed uint64) {
	s := rng.New(seed, "test", 0, 0)
	for i := range p.Read(x).F32 {
		p.Read(x).F32[i] = float32(s.Normal())
	}
	for i := range p.Read(y).I32 {
		p.Read(y).I32[i] = int32(s.IntN(4))
	}
}

func TestNothingIsAllocatedPerStep(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 32, true)
	p := m.compile(t)
	fill(p, m.x, m.y, 1)
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

// TestDeadCode: Gorgonia builds the gradient of the input as well; nobody asked for it.
func TestDeadCode(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 4, true)
	p := m.compile(t)
	all := 0
	for _, n := range m.AllNodes() {
		if n.Op() != nil && n.Op().Arity() > 0 {
			all++
		}
	}
	if p.Len() >= all {
		t.Errorf("%d of the graph's %d nodes are run: the input's gradient should not be", p.Len(), all)
	}
	fwd, err := engine.Compile(m.ExprGraph, m.logits)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 3*3 + 1; fwd.Len() != want { // stem, three blocks of two layers and a sum, head
		t.Errorf("the logits take %d nodes, want %d", fwd.Len(), want)
	}
}

// TestSkip: a gradient that is skipped, and the products that it alone needs, are not computed; the other outputs keep
// their bits, and so does everything once nothing is skipped.
func TestSkip(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 16, true)
	p := m.compile(t)
	fill(p, m.x, m.y, 1)
	run := func(outputs ...*G.Node) (all [][]float32) {
		t.Helper()
		p.Skip(outputs...)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for _, n := range append([]*G.Node{m.loss, m.logits}, m.grads...) {
			all = append(all, slices.Clone(p.Read(n).F32))
		}
		return all
	}
	want, macs := run(), p.MACs()
	stem := m.grads[:2] // of the first layer's weights and bias
	got := run(stem...)
	for i := range want {
		if i != 2 && i != 3 && !slices.Equal(got[i], want[i]) {
			t.Errorf("output %d has other bits", i)
		}
	}
	// The weights' gradient is a product of 16 rows, 6 inputs and 8 outputs; the input of the layer after needs one of
	// 16 rows, 8 inputs and 8 outputs.
	if saved := macs - p.MACs(); saved != 16*8*(6+8) {
		t.Errorf("%d multiply-adds are saved, want %d", saved, 16*8*(6+8))
	}
	for i, g := range run() {
		if !slices.Equal(g, want[i]) {
			t.Errorf("output %d has other bits after nothing is skipped", i)
		}
	}
}

// TestTogether: the gradients of a layer have the same bits when they run together as when they run one after the
// other, as they do while they are timed, and so with any number of threads.
func TestTogether(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	m := newMLP(t, nn.NewParams(1), 32, true)
	p := m.compile(t)
	fill(p, m.x, m.y, 1)
	run := func(timed bool) (all [][]float32) {
		p.Profile(timed)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for _, n := range append([]*G.Node{m.loss, m.logits}, m.grads...) {
			all = append(all, slices.Clone(p.Read(n).F32))
		}
		return all
	}
	want := run(true)
	for _, threads := range []int{1, 2, 3} {
		kernel.SetThreads(threads)
		for i, g := range run(false) {
			if !slices.Equal(g, want[i]) {
				t.Errorf("output %d has other bits with %d threads", i, threads)
			}
		}
	}
}

// TestMemoryIsReused: the evaluation graph of a deep net needs about the memory of its widest
// place, not of all its layers; the sum of all is what no reuse would take.
func TestMemoryIsReused(t *testing.T) {
	const rows, width, depth = 64, 32, 12
	g := nn.NewGraph(nn.NewParams(1))
	x := g.Input("x", rows, 6)
	logits := model.MLP{Depth: depth, Width: width, Res: true}.Logits(g, x, 4)
	p, err := engine.Compile(g.ExprGraph, logits)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(4*rows*width*3 + 4*rows*4); p.PeakBytes() > limit {
		t.Errorf("%d bytes planned, three layers' worth is %d", p.PeakBytes(), limit)
	}
}

// TestFewerRows: a step of fewer rows than the graph was built for equals a graph of that size.
func TestFewerRows(t *testing.T) {
	params := nn.NewParams(1)
	big, small := newMLP(t, params, 16, true), newMLP(t, params, 5, true)
	pb, ps := big.compile(t), small.compile(t)
	fill(pb, big.x, big.y, 2)
	if err := pb.Run(); err != nil { // a full step first, so that stale rows lie behind the short one
		t.Fatal(err)
	}
	if err := pb.Read(big.x).Resize(5, 6); err != nil {
		t.Fatal(err)
	}
	if err := pb.Read(big.y).Resize(5); err != nil {
		t.Fatal(err)
	}
	fill(pb, big.x, big.y, 3)
	fill(ps, small.x, small.y, 3)
	for _, p := range []*engine.Program{pb, ps} {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	for i, pair := range append([][2]*G.Node{{big.loss, small.loss}, {big.logits, small.logits}},
		zip(big.grads, small.grads)...) {
		a, b := pb.Read(pair[0]).F32, ps.Read(pair[1]).F32
		if len(a) != len(b) {
			t.Fatalf("output %d: %d and %d elements", i, len(a), len(b))
		}
		for j := range a {
			if a[j] != b[j] {
				t.Fatalf("output %d[%d]: %g and %g", i, j, a[j], b[j])
			}
		}
	}
}

func zip(a, b []*G.Node) (pairs [][2]*G.Node) {
	for i := range a {
		pairs = append(pairs, [2]*G.Node{a[i], b[i]})
	}
	return pairs
}

// TestRandomGraphs runs random graphs of sums and layers, with random nodes as outputs, on the
// engine twice and on the TapeMachine: a memory plan that hands on memory too early shows here.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(60) {
		s := rng.New(seed, "graph", 0, 0)
		g := G.NewGraph()
		mk := func(name string, shape ...int) *G.Node {
			data := make([]float32, tensor.Shape(shape).TotalSize())
			for i := range data {
				data[i] = float32(s.Normal())
			}
			return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
				G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
		}
		nodes := []*G.Node{mk("x", 3, 4), mk("z", 3, 4)}
		for i := range 12 {
			a, b := nodes[s.IntN(len(nodes))], nodes[s.IntN(len(nodes))]
			var n *G.Node
			var err error
			if s.IntN(2) == 0 {
				n, err = ops.Add(a, b)
			} else {
				n, err = ops.Linear(a, mk(fmt.Sprint("w", i), 4, 4), mk(fmt.Sprint("b", i), 4), s.IntN(2) == 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		outs := []*G.Node{nodes[len(nodes)-1]}
		for _, n := range nodes[2 : len(nodes)-1] {
			if s.IntN(3) == 0 {
				outs = append(outs, n)
			}
		}
		reads := make([]G.Value, len(outs))
		for i, n := range outs {
			G.Read(n, &reads[i])
		}
		p, err := engine.Compile(g, outs...)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
		}
		m := G.NewTapeMachine(g)
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		m.Close()
		for i, n := range outs {
			want := reads[i].Data().([]float32)
			for j, v := range p.Read(n).F32 {
				if v != want[j] && (v == v || want[j] == want[j]) {
					t.Fatalf("graph %d, output %d[%d]: engine %g, TapeMachine %g", seed, i, j, v, want[j])
				}
			}
		}
	}
}

func TestStockOpsAreRefused(t *testing.T) {
	g := nn.NewGraph(nn.NewParams(1))
	x := g.Input("x", 2, 3)
	n, err := G.SoftMax(x)
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Compile(g.ExprGraph, n)
	if err == nil || !strings.Contains(err.Error(), "not one of ours") {
		t.Errorf("error %v: want one saying that the op is not one of ours", err)
	}
}

func TestFailingOpIsNamed(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 3, false)
	p := m.compile(t)
	p.Read(m.y).I32[1] = 99
	err := p.Run()
	if err == nil {
		t.Fatal("a label outside the classes was accepted")
	}
	for _, want := range []string{"cross-entropy", "label 99 of row 1", "[3 4]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

func TestReadingAnIntermediatePanics(t *testing.T) {
	m := newMLP(t, nn.NewParams(1), 3, false)
	p, err := engine.Compile(m.ExprGraph, m.loss)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an intermediate was read, though its memory may hold something else")
		}
	}()
	p.Read(m.logits)
}
