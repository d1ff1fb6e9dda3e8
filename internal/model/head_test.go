package model

import (
	"math"
	"testing"

	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/rng"
)

// TestMLPHead: logits are those of the formula, standardised or not, whatever the dropout in evaluation.
func TestMLPHead(t *testing.T) {
	const rows, width, classes = 5, 7, 3
	mean, std := make([]float64, width), make([]float64, width)
	r := rng.New(1, "head", 0, 0)
	for i := range width {
		mean[i], std[i] = r.Normal(), 0.5+r.Float64()
	}
	for _, h := range []MLPHead{{Hidden: 4}, {Hidden: 6, Dropout: 0.9, Mean: mean, Std: std}} {
		p := nn.NewParams(2)
		g := nn.NewGraph(p)
		x := g.Input("x", rows, width)
		y := h.Logits(g, x, classes)
		if g.Err() != nil {
			t.Fatal(g.Err())
		}
		prog, err := engine.Compile(g.ExprGraph, y)
		if err != nil {
			t.Fatal(err)
		}
		in := prog.Read(x).F32
		for i := range in {
			in[i] = float32(r.Normal())
		}
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		w := map[string][]float32{}
		for _, q := range p.List() {
			w[q.Name] = q.Data
		}
		if n := width*h.Hidden + h.Hidden + h.Hidden*classes + classes; p.Count() != n {
			t.Errorf("%d parameters, want %d", p.Count(), n)
		}
		for row := range rows {
			hidden := make([]float64, h.Hidden)
			for j := range hidden {
				sum := float64(w["fc1.bias"][j])
				for i := range width {
					v := float64(in[row*width+i])
					if h.Mean != nil {
						v = (v - mean[i]) / std[i]
					}
					sum += v * float64(w["fc1.weight"][j*width+i])
				}
				hidden[j] = max(0, sum)
			}
			for c := range classes {
				want := float64(w["fc2.bias"][c])
				for j, v := range hidden {
					want += v * float64(w["fc2.weight"][c*h.Hidden+j])
				}
				if got := float64(prog.Read(y).F32[row*classes+c]); math.Abs(got-want) > 1e-5 {
					t.Errorf("%s: logit %d of row %d is %g, want %g", h.Name(), c, row, got, want)
				}
			}
		}
	}
}
