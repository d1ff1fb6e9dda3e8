package ops_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/ops"
	"dla/internal/rng"
)

// leaf adds a float32 leaf of standard normal values.
func leaf(g *G.ExprGraph, seed uint64, name string, shape ...int) *G.Node {
	s := rng.New(seed, name, 0, 0)
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(s.Normal())
	}
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
}

func classes(g *G.ExprGraph, idx ...int32) *G.Node {
	return G.NewTensor(g, tensor.Int32, 1, G.WithShape(len(idx)), G.WithName("labels"),
		G.WithValue(tensor.New(tensor.WithShape(len(idx)), tensor.WithBacking(idx))))
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// graphs are the ops under test, each inside a small scalar loss. To test a new op, add a graph.
var graphs = []struct {
	name  string
	build func(t *testing.T, g *G.ExprGraph, seed uint64) (loss *G.Node, wrt []*G.Node)
}{
	{"cross-entropy", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x := leaf(g, seed, "logits", 5, 4)
		return must[*G.Node](t)(ops.CrossEntropy(x, classes(g, 0, 3, 2, 2, 1))), []*G.Node{x}
	}},
	{"linear", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 5), leaf(g, seed, "w", 4, 5), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, false))
		return must[*G.Node](t)(ops.CrossEntropy(y, classes(g, 0, 3, 1))), []*G.Node{x, w, b}
	}},
	{"linear+relu", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 5), leaf(g, seed, "w", 4, 5), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, true))
		return must[*G.Node](t)(ops.CrossEntropy(y, classes(g, 0, 3, 1))), []*G.Node{x, w, b}
	}},
	{"add of a node to what is made of it", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 4), leaf(g, seed, "w", 4, 4), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, true))
		z := must[*G.Node](t)(ops.Add(x, y))
		return must[*G.Node](t)(ops.CrossEntropy(z, classes(g, 0, 3, 1))), []*G.Node{x, w, b}
	}},
	{"two residual blocks", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		h := leaf(g, seed, "x", 3, 4)
		wrt := []*G.Node{h}
		for i := range 2 {
			w, b := leaf(g, seed, fmt.Sprint("w", i), 4, 4), leaf(g, seed, fmt.Sprint("b", i), 4)
			y := must[*G.Node](t)(ops.Linear(h, w, b, true))
			h = must[*G.Node](t)(ops.Add(h, y))
			wrt = append(wrt, w, b)
		}
		return must[*G.Node](t)(ops.CrossEntropy(h, classes(g, 0, 3, 1))), wrt
	}},
}

// TestGradients compares each gradient with the central difference of the forward pass.
func TestGradients(t *testing.T) {
	for _, tc := range graphs {
		t.Run(tc.name, func(t *testing.T) {
			g := G.NewGraph()
			loss, wrt := tc.build(t, g, 7)
			grads := must[G.Nodes](t)(G.Grad(loss, wrt...))
			p := must[*engine.Program](t)(engine.Compile(g, append([]*G.Node{loss}, grads...)...))
			run := func() float64 {
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
				return float64(p.Read(loss).Scalar())
			}
			run()
			var got [][]float32
			for _, n := range grads {
				got = append(got, append([]float32(nil), p.Read(n).F32...))
			}
			for i, n := range wrt {
				w := p.Read(n).F32
				var diff, norm float64
				for j := range w {
					// A step this size keeps float32 rounding of the loss below 1e-4 of the
					// difference; the seed keeps every ReLU input farther than that from 0.
					const h = 5e-3
					old := w[j]
					w[j] = old + h
					up := run()
					w[j] = old - h
					down := run()
					w[j] = old
					num := (up - down) / (2 * h)
					diff += (num - float64(got[i][j])) * (num - float64(got[i][j]))
					norm += num * num
				}
				if rel := math.Sqrt(diff / norm); !(rel <= 1e-3) {
					t.Errorf("gradient of %s: relative error %.2g", n.Name(), rel)
				}
			}
		})
	}
}

// TestTapeMachine compares the engine with Gorgonia's own machine, bit by bit: loss and gradients
// come from the same kernels, so any difference is a mistake in the engine's order or memory.
func TestTapeMachine(t *testing.T) {
	for _, tc := range graphs {
		t.Run(tc.name, func(t *testing.T) {
			g := G.NewGraph()
			loss, wrt := tc.build(t, g, 3)
			grads := must[G.Nodes](t)(G.Grad(loss, wrt...))
			reads := make([]G.Value, len(grads)+1)
			G.Read(loss, &reads[0])
			for i, n := range grads {
				G.Read(n, &reads[i+1])
			}
			p := must[*engine.Program](t)(engine.Compile(g, append([]*G.Node{loss}, grads...)...))
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			m := G.NewTapeMachine(g)
			defer m.Close()
			if err := m.RunAll(); err != nil {
				t.Fatal(err)
			}
			for i, n := range append(G.Nodes{loss}, grads...) {
				want, err := engine.FromValue(reads[i])
				if err != nil {
					t.Fatal(err)
				}
				equal(t, n.Name(), p.Read(n).F32, want.F32)
			}
		})
	}
}

func equal(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s[%d] = %g, want %g", name, i, got[i], want[i])
		}
	}
}

// TestLinearAgainstStockOps compares with Gorgonia's own matrix product, broadcast sum and rectifier.
func TestLinearAgainstStockOps(t *testing.T) {
	g := G.NewGraph()
	x, w, b := leaf(g, 1, "x", 6, 9), leaf(g, 1, "w", 7, 9), leaf(g, 1, "b", 7)
	y := must[*G.Node](t)(ops.Linear(x, w, b, true))
	p := must[*engine.Program](t)(engine.Compile(g, y))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	wt := must[*G.Node](t)(G.Transpose(w, 1, 0))
	z := must[*G.Node](t)(G.Mul(x, wt))
	z = must[*G.Node](t)(G.BroadcastAdd(z, b, nil, []byte{0}))
	z = must[*G.Node](t)(G.Rectify(z))
	var want G.Value
	G.Read(z, &want)
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	got, ref := p.Read(y).F32, want.Data().([]float32)
	positive := 0
	for i := range got {
		if math.Abs(float64(got[i]-ref[i])) > 1e-5 {
			t.Fatalf("y[%d] = %g, stock ops give %g", i, got[i], ref[i])
		}
		if ref[i] > 0 {
			positive++
		}
	}
	if positive == 0 || positive == len(ref) {
		t.Fatalf("%d of %d outputs positive: the ReLU is not tested", positive, len(ref))
	}
}

// TestCrossEntropyIsSafe: rows that differ by far more than exp can hold, where Gorgonia's SoftMax
// gives NaN.
func TestCrossEntropyIsSafe(t *testing.T) {
	g := G.NewGraph()
	data := []float32{1e4, -1e4, 0, -1e4, -1e4 + 1, -1e4}
	x := G.NewTensor(g, tensor.Float32, 2, G.WithShape(2, 3), G.WithName("x"), G.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(data))))
	loss := must[*G.Node](t)(ops.CrossEntropy(x, classes(g, 0, 1)))
	grad := must[G.Nodes](t)(G.Grad(loss, x))
	p := must[*engine.Program](t)(engine.Compile(g, loss, grad[0]))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	e := math.E
	want := (0 + math.Log((e+2)/e)) / 2
	if got := float64(p.Read(loss).Scalar()); math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %g, want %g", got, want)
	}
	for i, v := range p.Read(grad[0]).F32 {
		if v-v != 0 || math.Abs(float64(v)) > 1 {
			t.Errorf("gradient[%d] = %g", i, v)
		}
	}
}

// TestShapeErrors: a mistake in shapes is found when the graph is built, and names op and shapes.
func TestShapeErrors(t *testing.T) {
	g := G.NewGraph()
	x, w, b := leaf(g, 1, "x", 6, 9), leaf(g, 1, "w", 7, 8), leaf(g, 1, "b", 7)
	for name, build := range map[string]func() (*G.Node, error){
		"linear":        func() (*G.Node, error) { return ops.Linear(x, w, b, false) },
		"add":           func() (*G.Node, error) { return ops.Add(x, w) },
		"cross-entropy": func() (*G.Node, error) { return ops.CrossEntropy(x, classes(g, 1, 2)) },
	} {
		_, err := build()
		if err == nil {
			t.Errorf("%s of shapes that do not fit was accepted", name)
			continue
		}
		for _, want := range []string{name, "(6, 9)"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}
