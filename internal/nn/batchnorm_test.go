package nn

import (
	"math"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/ops"
	"dla/internal/rng"
)

// TestBatchNormWith compares each setting with its definition: outputs in training, running statistics after two
// batches, outputs in evaluation, and the parameters that there are.
func TestBatchNormWith(t *testing.T) {
	const n, side, c = 3, 2, 5
	gelu := func(z float64) float64 { return z * math.Erfc(-z/math.Sqrt2) / 2 }
	same := func(z float64) float64 { return z }
	for _, tc := range []struct {
		norm          Norm
		eps, momentum float64
		act           func(float64) float64
		parameters    int
	}{
		{Norm{}, 1e-5, 0.1, same, 4},
		{Norm{Eps: 1e-12, Momentum: 0.4, NoScale: true, Activation: ops.ActGELU}, 1e-12, 0.4, gelu, 3},
		{Norm{Eps: 0.5, Activation: ops.ActSiLU}, 0.5, 0.1, func(z float64) float64 { return z / (1 + math.Exp(-z)) }, 4},
		{Norm{NoScale: true}, 1e-5, 0.1, same, 3},
	} {
		p := NewParams(1)
		program := func(g *Graph) (in, out *engine.Tensor, prog *engine.Program, stats *RunningStats) {
			x := g.Input("x", n, side, side, c)
			y := BatchNormWith(g, "bn", x, tc.norm)
			if g.Err() != nil {
				t.Fatal(g.Err())
			}
			nodes := []*G.Node{y}
			if g.training {
				stats = g.RunningStats()[0]
				nodes = append(nodes, stats.Batch)
			}
			prog, err := engine.Compile(g.ExprGraph, nodes...)
			if err != nil {
				t.Fatal(err)
			}
			return prog.Read(x), prog.Read(y), prog, stats
		}
		x, y, prog, stats := program(NewTrainingGraph(p))
		if len(p.List()) != tc.parameters || p.Has("bn.weight") == tc.norm.NoScale {
			t.Errorf("%+v: %d parameters, want %d", tc.norm, len(p.List()), tc.parameters)
		}
		scale, shift := func(int) float64 { return 1 }, p.byName["bn.bias"].Data
		s := rng.New(1, "test", 0, 0)
		for i := range shift {
			shift[i] = float32(s.Normal())
		}
		if !tc.norm.NoScale {
			w := p.byName["bn.weight"].Data
			for i := range w {
				w[i] = float32(s.Normal())
			}
			scale = func(i int) float64 { return float64(w[i]) }
		}
		near := func(what string, got float32, want float64) {
			t.Helper()
			if math.Abs(float64(got)-want) > 2e-5 {
				t.Errorf("%+v: %s is %g, want %g", tc.norm, what, got, want)
			}
		}
		normal := func(x []float32, i int, mean, variance float64) float64 {
			return tc.act((float64(x[i])-mean)/math.Sqrt(variance+tc.eps)*scale(i%c) + float64(shift[i%c]))
		}
		mean, variance := make([]float64, c), []float64{1, 1, 1, 1, 1}
		for range 2 {
			for i := range x.F32 {
				x.F32[i] = float32(2*s.Normal()) + 0.5
			}
			if err := prog.Run(); err != nil {
				t.Fatal(err)
			}
			stats.Update(prog.Read(stats.Batch).F32, n)
			const count = n * side * side
			for k := range c {
				m, v := 0.0, 0.0
				for i := k; i < len(x.F32); i += c {
					m += float64(x.F32[i]) / count
				}
				for i := k; i < len(x.F32); i += c {
					v += (float64(x.F32[i]) - m) * (float64(x.F32[i]) - m) / count
				}
				for i := k; i < len(x.F32); i += c {
					near("an output in training", y.F32[i], normal(x.F32, i, m, v))
				}
				mean[k] = (1-tc.momentum)*mean[k] + tc.momentum*m
				variance[k] = (1-tc.momentum)*variance[k] + tc.momentum*v*count/(count-1)
				near("a running mean", p.byName["bn.running_mean"].Data[k], mean[k])
				near("a running variance", p.byName["bn.running_var"].Data[k], variance[k])
			}
		}
		in, out, evaluation, _ := program(NewGraph(p))
		copy(in.F32, x.F32)
		if err := evaluation.Run(); err != nil {
			t.Fatal(err)
		}
		for i, v := range out.F32 {
			near("an output in evaluation", v, normal(x.F32, i, mean[i%c], variance[i%c]))
		}
	}
}
