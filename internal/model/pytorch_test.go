package model

import (
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/atomicfile"
	"dla/internal/nn"
	"dla/internal/rng"
	"dla/internal/torch"
	"dla/internal/weights"
)

var update = flag.Bool("update", false, "write testdata/pytorch anew; then run TestPyTorch with DLA_PYTHON")

// pythonNetworks are the networks of the zoo for CIFAR-10, and a ResNet with projections.
func pythonNetworks(t *testing.T) (all []Model) {
	t.Helper()
	add := func(s Spec) {
		m, err := New(s, CIFAR10)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	for _, n := range Zoo {
		s := Spec{Name: n.Name}
		if n.Name == "mlp" {
			s.Depth, s.Width = 2, 16
		}
		if n.Name == "wrn28-10" { // it has 36 million weights
			s.Width = 32
		}
		if add(s); n.Skips {
			s.Res = true
			add(s)
		}
	}
	return append(all, MLP{Depth: 1, Width: 8}, ResNet{Blocks: 3, Width: 16, Res: true, Projection: true, Pixels: CIFAR10},
		ResNet{Blocks: 1, Width: 5, Res: true, PadBoth: true, Pixels: CIFAR10}, Wide{Width: 16, Res: true, Pixels: CIFAR10})
}

// classes are ten.
var classes = []string{"a", "b", "c", "d", "e", "f", "g", "\"h\"", "größe", "j<k"}

// TestPyTorchModules: each network of the zoo has a module, and those in testdata are the ones that TestPyTorch ran.
func TestPyTorchModules(t *testing.T) {
	kept := []string{"mlp-d2-res", "cnn-small-res", "cnn-small-plain", "plain20", "resnet20", "resnet20-b", "resnet18",
		"wrn28-2", "speedrun"}
	for _, m := range pythonNetworks(t) {
		module, err := PyTorch(m, Images{32, 32, 3, classes})
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Contains(kept, m.Name()) {
			continue
		}
		path := filepath.Join("testdata", "pytorch", m.Name()+".py")
		if *update {
			if err := os.WriteFile(path, []byte(module), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || module != string(want) {
			t.Errorf("%s is not the module that PyTorch has run (%v); see -update", m.Name(), err)
		}
	}
}

// TestStateDict: the weights of convolutions have PyTorch's layout, the others stay.
func TestStateDict(t *testing.T) {
	p := nn.NewParams(0)
	for _, w := range []weights.Tensor{
		{Name: "c.weight", Shape: []int{1, 2, 2, 3}, Data: []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}, // [tap, in, out]
		{Name: "l.weight", Shape: []int{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
	} {
		if err := p.Put(w.Name, w.Shape, w.Data); err != nil {
			t.Fatal(err)
		}
	}
	got := StateDict(p)
	if !slices.Equal(got[0].Shape, []int{3, 2, 1, 2}) ||
		!slices.Equal(got[0].Data, []float32{0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11}) {
		t.Errorf("a convolution is %v", got[0])
	}
	if !slices.Equal(got[1].Shape, []int{2, 3}) || !slices.Equal(got[1].Data, []float32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("a linear layer is %v", got[1])
	}
}

// TestPyTorch runs testdata/pytorch/check.py, which compares the logits of each module with the engine's. It needs
// DLA_PYTHON, a Python that has torch.
func TestPyTorch(t *testing.T) {
	python := os.Getenv("DLA_PYTHON")
	if python == "" {
		t.Skip("DLA_PYTHON names no Python with torch")
	}
	const rows, side = 3, 32
	images := Images{side, side, 3, classes}
	args := []string{filepath.Join("testdata", "pytorch", "check.py")}
	for _, m := range pythonNetworks(t) {
		p := nn.NewParams(1)
		g := nn.NewGraph(p)
		prog, read, err := nn.Compile(g, m.Input(side, side, 3), rows, func(x *G.Node) ([]*G.Node, error) {
			return []*G.Node{m.Logits(g, x, len(classes))}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s := rng.New(1, "test", 0, 0)
		for _, q := range p.List() {
			for i := range q.Data {
				if len(q.Shape) == 1 { // statistics, scales and shifts
					q.Data[i] += float32(0.4 * s.Float64())
				}
			}
		}
		x := prog.Inputs()
		for i := range x {
			x[i] = float32(s.Float64())
		}
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		module, err := PyTorch(m, images)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), m.Name())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, ts := range map[string][]weights.Tensor{PyTorchWeights: StateDict(p), "want.pt": {
			{Name: "x", Shape: []int{rows, side, side, 3}, Data: x},
			{Name: "logits", Shape: []int{rows, len(classes)}, Data: read[0].F32},
		}} {
			if _, _, err := atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error {
				return torch.Write(w, ts)
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, PyTorchFile), []byte(module), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, dir)
	}
	out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
}
