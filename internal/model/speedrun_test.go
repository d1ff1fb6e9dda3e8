package model

import (
	"math"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
)

// every17th holds what testdata/speedrun.py stores of large tensors.
func every17th(all []float32, dims int) []float32 {
	if dims != 4 {
		return all
	}
	var some []float32
	for i := 0; i < len(all); i += 17 {
		some = append(some, all[i])
	}
	return some
}

// nearly compares got with what PyTorch computes in float64, to 5e-4 of its largest value: normalisations of a few
// values, without an epsilon to speak of, magnify rounding. PyTorch in float32 is as far away (1.4e-4).
func nearly(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	largest, far := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(float64(w)))
		far = max(far, math.Abs(float64(got[i]-w)))
	}
	if !(far <= 5e-4*largest) {
		t.Errorf("%s: off by %.2g of the largest value", what, far/largest)
	}
}

// TestSpeedrunAgainstPyTorch: forward, gradients of everything, running statistics, and evaluation with the gradient of
// its input.
func TestSpeedrunAgainstPyTorch(t *testing.T) {
	want := golden(t, "testdata/speedrun.json")
	m, err := New(Spec{Name: "speedrun", Width: 8}, CIFAR10)
	if err != nil {
		t.Fatal(err)
	}
	p := nn.NewParams(1)
	build := func(g *nn.Graph) (x, y, logits, loss *G.Node) {
		x, y = g.Input("x", 3, 32, 32, 3), g.Labels("y", 3)
		logits = m.Logits(g, x, 10)
		loss = nn.CrossEntropy(g, logits, y, 0.2)
		if g.Err() != nil {
			t.Fatal(g.Err())
		}
		return x, y, logits, loss
	}
	g := nn.NewTrainingGraph(p)
	x, y, logits, loss := build(g)
	seed := 0
	for _, q := range p.List() {
		if q.Buffer {
			continue
		}
		seed++
		switch len(q.Shape) {
		case 4:
			wave(q.Data, seed, 0.15, 0)
		case 1:
			wave(q.Data, seed, 0.3, 0.1)
		default:
			wave(q.Data, seed, 0.3, 0)
		}
	}
	trained := p.Trained()
	if trained[0].Name != "whiten.bias" || trained[0].Epochs != 3 || !p.List()[0].Frozen {
		t.Errorf("trained are %+v…, want the bias of the whitening for 3 epochs, and not its weight", trained[0])
	}
	wrt, names, dims := G.Nodes{x}, []string{"x"}, []int{4}
	for _, q := range trained {
		wrt = append(wrt, g.Param(q.Name, nil, q.Shape...))
		names, dims = append(names, q.Name), append(dims, len(q.Shape))
	}
	grads, err := G.Grad(loss, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	outputs := append(G.Nodes{loss, logits}, grads...)
	for _, s := range g.RunningStats() {
		outputs = append(outputs, s.Batch)
	}
	run := func(g *nn.Graph, x, y *G.Node, outputs ...*G.Node) *engine.Program {
		prog, err := engine.Compile(g.ExprGraph, outputs...)
		if err != nil {
			t.Fatal(err)
		}
		wave(prog.Read(x).F32, 90, 0.5, 0.5)
		copy(prog.Read(y).I32, []int32{0, 3, 2})
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		return prog
	}
	prog := run(g, x, y, outputs...)
	nearly(t, "loss", prog.Read(loss).F32, want["loss"])
	nearly(t, "logits", prog.Read(logits).F32, want["logits"])
	for i, n := range grads {
		nearly(t, "gradient of "+names[i], every17th(prog.Read(n).F32, dims[i]), want["grad/"+names[i]])
	}
	for _, s := range g.RunningStats() {
		s.Update(prog.Read(s.Batch).F32, 3)
	}
	for _, q := range p.List() {
		if q.Buffer {
			nearly(t, q.Name, q.Data, want[q.Name])
		}
	}

	g = nn.NewGraph(p)
	x, y, logits, loss = build(g)
	if grads, err = G.Grad(loss, x); err != nil {
		t.Fatal(err)
	}
	prog = run(g, x, y, logits, grads[0])
	nearly(t, "logits in evaluation", prog.Read(logits).F32, want["eval/logits"])
	nearly(t, "gradient of x in evaluation", every17th(prog.Read(grads[0]).F32, 4), want["eval/grad/x"])
}

// TestSpeedrunOfOtherImages: grey images, larger ones and the smallest; one that is smaller is an error.
func TestSpeedrunOfOtherImages(t *testing.T) {
	m, err := New(Spec{Name: "speedrun", Width: 8}, MNIST)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []int{9, 28, 50, 64} {
		g := nn.NewGraph(nn.NewParams(1))
		features := m.Features(g, g.Input("x", 2, side, side, 1))
		pooled, logits := m.Head(g, features, 7)
		if g.Err() != nil {
			t.Fatalf("%d pixels: %v", side, g.Err())
		}
		if want := (side - 1) / 8; features.Shape()[1] != want || features.Shape()[2] != want {
			t.Errorf("%d pixels: features of %v, want %d pixels", side, features.Shape(), want)
		}
		if s := pooled.Shape(); s[0] != 2 || s[1] != 32 || logits.Shape()[1] != 7 {
			t.Errorf("%d pixels: pooled %v, logits %v", side, s, logits.Shape())
		}
	}
	g := nn.NewGraph(nn.NewParams(1))
	m.Logits(g, g.Input("x", 2, 8, 8, 1), 7)
	if err := g.Err(); err == nil || !strings.Contains(err.Error(), "8x8 pixels are too small") {
		t.Errorf("8 pixels: %v", err)
	}
}

// TestInitial: how the weights of each network begin, and what cannot be had.
func TestInitial(t *testing.T) {
	for _, tc := range []struct {
		name, init string
		want       Initial
		err        string
	}{
		{"speedrun", "", Initial{Whiten: true, Dirac: true}, ""},
		{"speedrun", "random", Initial{}, ""},
		{"speedrun", "dirac", Initial{Dirac: true}, ""},
		{"resnet20", "", Initial{}, ""},
		{"resnet20", "whiten+dirac", Initial{Whiten: true, Dirac: true}, ""},
		{"mlp", "random", Initial{}, ""},
		{"mlp", "dirac", Initial{}, "model mlp has no convolutions"},
		{"small", "orthogonal", Initial{}, `model.init is "orthogonal", want one of dirac, random, whiten, whiten+dirac`},
	} {
		s := Spec{Name: tc.name, Init: tc.init}
		if tc.name == "mlp" {
			s.Depth, s.Width = 1, 8
		}
		got, err := s.Initial()
		_, newErr := New(s, MNIST)
		if tc.err != "" {
			if err == nil || newErr == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s, %s: error %v and %v, want %s", tc.name, tc.init, err, newErr, tc.err)
			}
			continue
		}
		if err != nil || newErr != nil || got != tc.want {
			t.Errorf("%s, %s: %+v, errors %v and %v, want %+v", tc.name, tc.init, got, err, newErr, tc.want)
		}
	}
	m, err := New(Spec{Name: "speedrun", Init: "dirac", Width: 8}, CIFAR10)
	if err != nil {
		t.Fatal(err)
	}
	p := build(t, m)
	if p.List()[0].Frozen || p.Trained()[0].Name != "whiten.weight" || p.Trained()[1].Epochs != 0 {
		t.Error("without whitening the first convolution is not trained as others are")
	}
}
