package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/weights"
)

// sentences are what testdata/encoders/golden.py gave the models.
type sentences struct {
	IDs    [][]int32
	Labels []int32
}

func readTest(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// put writes sentences into the leaves of a program.
func put(t *testing.T, p *engine.Program, in nn.Packed, ids [][]int32) {
	t.Helper()
	var all, positions []int32
	offsets := []int32{0}
	for _, s := range ids {
		for i := range s {
			positions = append(positions, int32(i))
		}
		all = append(all, s...)
		offsets = append(offsets, int32(len(all)))
	}
	for node, v := range map[*G.Node][]int32{in.IDs: all, in.Positions: positions, in.Offsets: offsets} {
		leaf := p.Read(node)
		if err := leaf.Resize(len(v)); err != nil {
			t.Fatal(err)
		}
		copy(leaf.I32, v)
	}
}

// far is the largest difference, over the largest value.
func far(got, want []float32) float64 {
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = max(diff, math.Abs(float64(got[i]-w))), max(size, math.Abs(float64(w)))
	}
	return diff / size
}

// TestEncodersAgainstHuggingFace: hidden states, pooled states, a loss and its gradient by every weight, of a
// small model of each family, equal what transformers and PyTorch compute.
func TestEncodersAgainstHuggingFace(t *testing.T) {
	var s sentences
	readTest(t, "testdata/encoders/sentences.json", &s)
	for _, family := range []string{"bert", "distilbert", "mpnet"} {
		t.Run(family, func(t *testing.T) {
			dir := filepath.Join("testdata", "encoders", family)
			want := map[string][]float32{}
			golden, err := weights.Load(filepath.Join(dir, "golden.safetensors"), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range golden.Tensors {
				want[g.Name] = g.Data
			}
			e, err := ReadEncoder(dir)
			if err != nil {
				t.Fatal(err)
			}
			if e.Dropout != 0.1 || e.AttentionDropout != 0.1 {
				t.Errorf("dropout of %g and %g was read", e.Dropout, e.AttentionDropout)
			}
			e.Dropout, e.AttentionDropout = 0, 0
			params := nn.NewParams(1)
			if err := e.Load(dir, params); err != nil {
				t.Fatal(err)
			}
			g := nn.NewTrainingGraph(params)
			in, labels := g.Packed(100, 8), g.Labels("labels", 8) // more room than is used
			hidden := e.Hidden(g, in)
			pooled := Pooling{CLS: family == "distilbert"}.Embedding(g, hidden, in)
			loss := nn.CrossEntropy(g, pooled, labels, 0)
			grads, err := g.Gradients(loss)
			if err != nil {
				t.Fatal(err)
			}
			if e.Parameters() != params.Count() || len(params.List()) != len(e.weights()) {
				t.Errorf("%d parameters in the graph, %d by the sizes", params.Count(), e.Parameters())
			}
			p, err := engine.Compile(g.ExprGraph, append([]*G.Node{hidden, pooled, loss}, grads...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, order := range []int{1, 0} { // first other sentences, so that nothing of them may be left
				put(t, p, in, s.IDs[order:])
				if err := p.Read(labels).Resize(len(s.Labels) - order); err != nil {
					t.Fatal(err)
				}
				copy(p.Read(labels).I32, s.Labels[order:])
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range []struct {
				name string
				node *G.Node
			}{{"hidden", hidden}, {"pooled", pooled}, {"loss", loss}} {
				if d := far(p.Read(c.node).F32, want[c.name]); !(d < 5e-6) {
					t.Errorf("%s differs by %.2g", c.name, d)
				}
			}
			left := len(want) - 3
			for i, q := range params.Trained() {
				w, ok := want["grad/"+q.Name]
				if !ok {
					t.Errorf("%s has no golden gradient", q.Name)
					continue
				}
				left--
				got := p.Read(grads[i]).F32
				if strings.Contains(q.Name, "k_lin.bias") || strings.Contains(q.Name, "key.bias") || strings.Contains(q.Name, "attn.k.bias") {
					for _, v := range got { // zero but for rounding: it shifts all scores of a query alike
						if math.Abs(float64(v)) > 1e-6 {
							t.Errorf("gradient of %s is %g", q.Name, v)
						}
					}
					continue
				}
				if d := far(got, w); !(d < 5e-5) {
					t.Errorf("gradient of %s differs by %.2g", q.Name, d)
				}
			}
			if left != 0 {
				t.Errorf("%d golden gradients have no parameter", left)
			}
		})
	}
}

// TestDistanceBuckets: those of the reference for every distance to 600.
func TestDistanceBuckets(t *testing.T) {
	var want []int32
	readTest(t, "testdata/encoders/buckets.json", &want)
	const span = 601
	for i, b := range distanceBuckets(span, 32) {
		if b != want[i] {
			t.Errorf("distance %d is in bucket %d, want %d", i-(span-1), b, want[i])
		}
	}
}
