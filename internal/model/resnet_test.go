package model

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/nn"
)

// wave is the formula of testdata/golden.py.
func wave(dst []float32, seed int, scale, shift float64) {
	for i := range dst {
		dst[i] = float32(shift + scale*math.Sin(0.37*float64(i)*float64(1+seed%5)+1.3*float64(seed)))
	}
}

// golden reads what PyTorch computed.
func golden(t *testing.T, file string) map[string][]float32 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]string
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for name, s := range raw {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, len(b)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		out[name] = v
	}
	return out
}

// twoBlocks is the network of golden.py over p.
func twoBlocks(t *testing.T, g *nn.Graph) (x, y, logits, loss *G.Node) {
	t.Helper()
	m := ResNet{Res: true, Projection: true}
	x, y = g.Input("x", 3, 8, 8, 16), g.Labels("y", 3)
	h := m.block(g, "a", x, 16, 1)
	h = m.block(g, "b", h, 24, 2)
	logits = nn.Linear(g, "fc", nn.GlobalAvgPool(g, "pool", h), 5)
	loss = nn.CrossEntropy(g, logits, y, 0)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	return x, y, logits, loss
}

// TestResidualBlocksAgainstPyTorch: forward, gradients of everything, running statistics, and
// evaluation with the gradient of its input, by Winograd's algorithm and directly.
func TestResidualBlocksAgainstPyTorch(t *testing.T) {
	defer kernel.SetConvDirect(kernel.ConvDirect())
	for _, direct := range []bool{false, true} {
		kernel.SetConvDirect(direct)
		want := golden(t, "testdata/golden.json")
		p := nn.NewParams(1)
		g := nn.NewTrainingGraph(p)
		x, y, logits, loss := twoBlocks(t, g)
		for seed, q := range p.Trained() {
			norm := strings.Contains(q.Name, "bn") || strings.Contains(q.Name, "downsample.1")
			switch {
			case len(q.Shape) == 4:
				wave(q.Data, seed+1, 0.15, 0)
			case norm && strings.HasSuffix(q.Name, "weight"):
				wave(q.Data, seed+1, 0.3, 1)
			case norm:
				wave(q.Data, seed+1, 0.3, 0.1)
			default:
				wave(q.Data, seed+1, 0.4, 0)
			}
		}
		wrt := G.Nodes{x}
		names := []string{"x"}
		for _, q := range p.Trained() {
			wrt = append(wrt, g.Param(q.Name, nil, q.Shape...))
			names = append(names, q.Name)
		}
		grads, err := G.Grad(loss, wrt...)
		if err != nil {
			t.Fatal(err)
		}
		outputs := append(G.Nodes{loss, logits}, grads...)
		for _, s := range g.RunningStats() {
			outputs = append(outputs, s.Batch)
		}
		prog, err := engine.Compile(g.ExprGraph, outputs...)
		if err != nil {
			t.Fatal(err)
		}
		wave(prog.Read(x).F32, 90, 1, 0)
		copy(prog.Read(y).I32, []int32{0, 3, 2})
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		near(t, "loss", prog.Read(loss).F32, want["loss"])
		near(t, "logits", prog.Read(logits).F32, want["logits"])
		for i, n := range grads {
			near(t, "gradient of "+names[i], prog.Read(n).F32, want["grad/"+names[i]])
		}
		for _, s := range g.RunningStats() {
			s.Update(prog.Read(s.Batch).F32, 3)
		}
		for _, q := range p.List() {
			if q.Buffer {
				near(t, q.Name, q.Data, want[q.Name])
			}
		}

		g = nn.NewGraph(p)
		x, y, logits, loss = twoBlocks(t, g)
		grads, err = G.Grad(loss, x)
		if err != nil {
			t.Fatal(err)
		}
		if prog, err = engine.Compile(g.ExprGraph, logits, grads[0]); err != nil {
			t.Fatal(err)
		}
		wave(prog.Read(x).F32, 90, 1, 0)
		copy(prog.Read(y).I32, []int32{0, 3, 2})
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		near(t, "evaluation: logits", prog.Read(logits).F32, want["eval/logits"])
		near(t, "evaluation: gradient of x", prog.Read(grads[0]).F32, want["eval/grad/x"])
	}
}

// near compares within 2e-5 of the largest value.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	largest := 1e-3
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 2e-5*largest) {
			t.Errorf("%s[%d] = %g, want %g (direct %v)", what, i, got[i], want[i], kernel.ConvDirect())
			return
		}
	}
}

// TestResNetOfSmallImages: images that the stages cannot halve are refused with the numbers.
func TestResNetOfSmallImages(t *testing.T) {
	for name, least := range map[string]int{"resnet20": 4, "resnet18": 8} {
		m, err := New(Spec{Name: name, Res: true}, CIFAR10)
		if err != nil {
			t.Fatal(err)
		}
		for side, fits := range map[int]bool{least: true, least - 1: false, 1: false} {
			g := nn.NewGraph(nn.Shapes())
			m.Logits(g, g.Input("x", 1, least, side, 3), 10)
			want := fmt.Sprintf("images of %dx%d pixels are too small for %s: ", side, least, m.Name())
			if err := g.Err(); fits && err != nil || !fits && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, images of %dx%d: %v", name, side, least, err)
			}
		}
	}
}
