package ops_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/ops"
)

// wave is the formula of testdata/golden.py.
func wave(n, seed int, scale, shift float64) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(shift + scale*math.Sin(0.37*float64(i)*float64(1+seed%5)+1.3*float64(seed)))
	}
	return w
}

// golden is a case of testdata/golden.json: the values of PyTorch by name.
func golden(t *testing.T, name string) func(value string) []float32 {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal(all[name], &values); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return func(value string) []float32 {
		t.Helper()
		b, err := base64.StdEncoding.DecodeString(values[value])
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %s: %d bytes, %v", name, value, len(b), err)
		}
		v := make([]float32, len(b)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return v
	}
}

// given is a leaf of the given values.
func given(g *G.ExprGraph, name string, data []float32, shape ...int) *G.Node {
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
}

// near compares with PyTorch's values, of which large ones are compared relatively; NaN is near NaN.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, PyTorch has %d", what, len(got), len(want))
	}
	for i, v := range got {
		w := float64(want[i])
		if float64(v) == w || v != v && w != w {
			continue
		}
		if !(math.Abs(float64(v)-w) <= tolerance*(1+math.Abs(w))) {
			t.Fatalf("%s[%d] = %g, PyTorch has %g", what, i, v, w)
		}
	}
}

// gradients runs the graph of y and of the gradients of the sum of y times dy. The op under the name of y has them by
// SymDiff: there is no loss that could hide a mistake in one of them.
func gradients(t *testing.T, g *G.ExprGraph, y, dy *G.Node, inputs ...*G.Node) (out []float32, grads [][]float32) {
	t.Helper()
	nodes, err := y.Op().(G.SDOp).SymDiff(inputs, y, dy)
	if err != nil {
		t.Fatal(err)
	}
	var wanted G.Nodes
	for _, n := range nodes {
		if n != nil {
			wanted = append(wanted, n)
		}
	}
	p := must[*engine.Program](t)(engine.Compile(g, append(G.Nodes{y}, wanted...)...))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for _, n := range wanted {
		grads = append(grads, p.Read(n).F32)
	}
	return p.Read(y).F32, grads
}

func TestMaxPoolAsPyTorch(t *testing.T) {
	for name, window := range map[string]int{"max-pool 2": 2, "max-pool 3": 3} {
		want := golden(t, name)
		data := wave(2*7*8*11, window, 1.5, 0)
		for i, v := range data {
			data[i] = float32(math.RoundToEven(2*float64(v)) / 2)
		}
		for i, v := range []float64{math.NaN(), math.Inf(-1), math.Inf(1), math.NaN()} {
			data[301*i+50] = float32(v)
		}
		g := G.NewGraph()
		x := given(g, "x", data, 2, 7, 8, 11)
		y := must[*G.Node](t)(ops.MaxPool(x, window))
		s := y.Shape()
		dy := given(g, "dy", wave(s.TotalSize(), 9, 1, 0), s...)
		got, grads := gradients(t, g, y, dy, x)
		near(t, name+": y", got, want("y"), 0)
		near(t, name+": dx", grads[0], want("dx"), 0)
	}
}
