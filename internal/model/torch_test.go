package model

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/torch"
)

// TestFromTorch: networks of PyTorch's programs give PyTorch's logits here, to float32, and with zeros on the wrong
// side others.
func TestFromTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/networks.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]float64
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 2*8*8*3)
	for i := range x {
		n, at := i/192, i%192
		x[i] = float32(0.5 + 0.5*math.Sin((0.37+0.31*float64(n))*float64(at)))
	}
	for _, c := range []struct{ file, as, shortcut, is string }{
		{"resnet-a", "resnet20", ShortcutPadBoth, "resnet20-w2-pad-both"},
		{"resnet-b", "resnet20", "", "resnet20-w2-b"},
		{"resnet18", "resnet18", "", "resnet18-w2"},
		{"wide", "wrn28-10", "", "wrn28-w2"},
	} {
		logits := func(shortcut string) []float32 {
			f, err := torch.Open("testdata/torch-" + c.file + ".pth")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, classes, err := Spec{Name: c.as, Res: true}.FromTorch(f.Reader)
			if err != nil || classes != 10 {
				t.Fatalf("%s: %d classes, %v", c.file, classes, err)
			}
			if shortcut != "" {
				s.Shortcut = shortcut
			}
			m, err := New(s, Pixels{Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}})
			if err != nil {
				t.Fatal(err)
			}
			if shortcut == c.shortcut && m.Name() != c.is {
				t.Errorf("%s is %s, want %s", c.file, m.Name(), c.is)
			}
			p := nn.NewParams(0)
			g := nn.NewGraph(p)
			in := g.Input("x", 2, 8, 8, 3)
			out := m.Logits(g, in, classes)
			if g.Err() != nil {
				t.Fatal(g.Err())
			}
			if err := ReadTorch(f.Reader, p); err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
			prog, err := engine.Compile(g.ExprGraph, out)
			if err != nil {
				t.Fatal(err)
			}
			copy(prog.Read(in).F32, x)
			if err := prog.Run(); err != nil {
				t.Fatal(err)
			}
			return slices.Clone(prog.Read(out).F32)
		}
		if off := largest(logits(c.shortcut), want[c.file]); off > 2e-5 {
			t.Errorf("%s: logits are off by %g", c.file, off)
		}
		if c.shortcut != "" {
			if off := largest(logits(ShortcutPad), want[c.file]); off < 1e-2 {
				t.Errorf("%s: with zeros behind the channels logits are off by %g alone", c.file, off)
			}
		}
	}
}

// largest is the largest difference.
func largest(a []float32, b []float64) (off float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		off = max(off, math.Abs(float64(a[i])-b[i]))
	}
	return off
}

// TestFromTorchRefuses: weights of another network, by the names that do not fit.
func TestFromTorchRefuses(t *testing.T) {
	f, err := torch.Open("testdata/torch-resnet-b.pth")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, classes, err := Spec{Name: "resnet32", Res: true}.FromTorch(f.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(s, CIFAR10)
	if err != nil {
		t.Fatal(err)
	}
	p := nn.NewParams(0)
	g := nn.NewGraph(p)
	m.Logits(g, g.Input("x", 1, 8, 8, 3), classes)
	if err := ReadTorch(f.Reader, p); err == nil || !strings.Contains(err.Error(), "layer1.3.conv1.weight is missing") ||
		!strings.Contains(err.Error(), "and 55 more") {
		t.Errorf("resnet20 as resnet32: %v", err)
	}
	if _, _, err := (Spec{Name: "large"}).FromTorch(f.Reader); err != nil {
		t.Errorf("its last layer is called fc: %v", err)
	}
}

// TestLargeNetworks: the parameters of the authors' programs (kuangliu/pytorch-cifar, xternalz/WideResNet-pytorch).
func TestLargeNetworks(t *testing.T) {
	for name, want := range map[string]int{"resnet18": 11173962, "wrn28-10": 36479194} {
		m, err := New(Spec{Name: name, Res: true}, CIFAR10)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name() != name {
			t.Errorf("%s is called %s", name, m.Name())
		}
		if n := buildOver(t, nn.Shapes(), m).Count(); n != want {
			t.Errorf("%s has %d parameters, want %d", name, n, want)
		}
	}
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{Spec{Name: "resnet20", Res: true, Shortcut: "pads"},
			`model.shortcut is "pads", want one of pad, pad-both, projection`},
		{Spec{Name: "resnet20", Shortcut: "pad"}, "add --res"},
		{Spec{Name: "small", Res: true, Shortcut: "pad"}, "no choice of shortcuts"},
		{Spec{Name: "resnet18", Res: true, Shortcut: "pad"}, "has projections"},
		{Spec{Name: "wrn28-10", Width: -1}, "width -1"},
	} {
		if _, err := New(c.s, CIFAR10); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.s, err, c.want)
		}
	}
}

// TestExportedToTorchAndBack: what is exported to PyTorch of any network of the zoo is that network here again, bit for
// bit, with the sizes that the weights tell.
func TestExportedToTorchAndBack(t *testing.T) {
	for _, n := range Zoo {
		s := Spec{Name: n.Name, Res: n.Skips}
		switch {
		case n.Name == "mlp":
			s.Depth, s.Width = 2, 8
		case slices.Contains([]string{"resnet18", "wrn28-10", "speedrun", "resnet110"}, n.Name):
			s.Width = 4
		}
		over := func(s Spec, p *nn.Params) *nn.Params {
			m, err := New(s, CIFAR10)
			if err != nil {
				t.Fatalf("%s: %v", n.Name, err)
			}
			return buildOver(t, p, m)
		}
		ours := over(s, nn.NewParams(3))
		path := filepath.Join(t.TempDir(), "model.pt")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(torch.Write(file, StateDict(ours)), file.Close()); err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		f, err := torch.Open(path)
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		found, classes, err := Spec{Name: n.Name, Res: n.Skips}.FromTorch(f.Reader)
		if err != nil || classes != 10 {
			t.Fatalf("%s: %d classes, %v", n.Name, classes, err)
		}
		back := over(found, nn.Blank())
		if err := ReadTorch(f.Reader, back); err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		f.Close()
		for i, q := range back.List() {
			if !slices.Equal(q.Data, ours.List()[i].Data) {
				t.Errorf("%s: %s is another", n.Name, q.Name)
			}
		}
	}
}
