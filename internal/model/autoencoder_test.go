package model

import (
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/nn"
)

// given is an encoder whose features are those of the test.
type given struct {
	Model
	features *G.Node
}

func (m given) Features(*nn.Graph, *G.Node) *G.Node { return m.features }

// TestDecoderAgainstPyTorch: reconstruction, loss, the error of each image and the gradients of all weights,
// by Winograd's algorithm and directly.
func TestDecoderAgainstPyTorch(t *testing.T) {
	defer kernel.SetConvDirect(kernel.ConvDirect())
	want := golden(t, "testdata/autoencoder.json")
	for _, direct := range []bool{false, true} {
		kernel.SetConvDirect(direct)
		p := nn.NewParams(1)
		g := nn.NewGraph(p)
		x, features := g.Input("x", 2, 16, 16, 3), g.Input("features", 2, 4, 4, 16)
		y := AutoEncoder{given{features: features}}.Reconstruct(g, x)
		loss, errors := nn.MSE(g, y, x), nn.SquaredErrors(g, y, x)
		grads, err := g.Gradients(loss)
		if err != nil {
			t.Fatal(err)
		}
		for seed, q := range p.List() {
			scale := 0.3
			if len(q.Shape) == 4 {
				scale = 0.15
			}
			wave(q.Data, seed+1, scale, 0)
		}
		prog, err := engine.Compile(g.ExprGraph, append([]*G.Node{y, loss, errors}, grads...)...)
		if err != nil {
			t.Fatal(err)
		}
		wave(prog.Read(features).F32, 90, 1, 0)
		wave(prog.Read(x).F32, 91, 0.5, 0.5)
		if err := prog.Run(); err != nil {
			t.Fatal(err)
		}
		near(t, "reconstruction", prog.Read(y).F32, want["y"])
		near(t, "loss", prog.Read(loss).F32, want["loss"])
		near(t, "errors", prog.Read(errors).F32, want["errors"])
		for i, q := range p.List() {
			got := prog.Read(grads[i]).F32
			if len(q.Shape) == 4 {
				var some []float32
				for j := 0; j < len(got); j += 17 {
					some = append(some, got[j])
				}
				got = some
			}
			near(t, "gradient of "+q.Name, got, want["grad/"+q.Name])
		}
	}
}

// TestAutoEncodersOfAllNetworks: every convolutional network whose features are not too small can be one's encoder, of
// colour and of grey images, and with what the encoder has asked for frozen the decoder alone is trained.
func TestAutoEncodersOfAllNetworks(t *testing.T) {
	for _, n := range Zoo {
		name := n.Name
		m, err := New(Spec{Name: name, Depth: map[string]int{"mlp": 1}[name], Width: map[string]int{"mlp": 8}[name],
			Res: n.Skips}, CIFAR10)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.Blank()
		g := nn.NewGraph(p)
		x := g.Input("x", append([]int{1}, m.Input(32, 32, 3)...)...)
		features := m.Features(g, x)
		p.Freeze()
		a := AutoEncoder{m}
		y := a.Reconstruct(g, x)
		if name == "mlp" {
			if g.Err() == nil || !strings.Contains(g.Err().Error(), "mlp-d1-res makes vectors of images") {
				t.Errorf("an autoencoder of an MLP: %v", g.Err())
			}
			continue
		}
		if g.Err() != nil && strings.Contains(g.Err().Error(), "do not become images") { // they are too small
			continue
		}
		if g.Err() != nil {
			t.Fatalf("%s: %v", name, g.Err())
		}
		if !y.Shape().Eq(x.Shape()) {
			t.Errorf("%s: reconstructions of shape %v", name, y.Shape())
		}
		if c := features.Shape()[3]; p.Count() != 9*c*64+64+9*64*32+32+9*32*3+3 || len(p.Trained()) != 6 {
			t.Errorf("%s: %d of %d tensors are trained, of %d values", name, len(p.Trained()), len(p.List()), p.Count())
		}
		if !strings.HasPrefix(a.Name(), "ae-"+m.Name()) {
			t.Errorf("%s is called %s", name, a.Name())
		}
	}
	g := nn.NewGraph(nn.NewParams(1))
	x := g.Input("x", 1, 28, 28, 1)
	if y := (AutoEncoder{ResNet{Blocks: 1, Width: 4, Res: true, Pixels: MNIST}}).Reconstruct(g, x); g.Err() != nil ||
		!y.Shape().Eq(x.Shape()) {
		t.Errorf("of grey images of 28x28: %v", g.Err())
	}
	g = nn.NewGraph(nn.NewParams(1))
	x = g.Input("x", 1, 30, 32, 1)
	if (AutoEncoder{ResNet{Blocks: 1, Width: 4, Res: true, Pixels: MNIST}}).Reconstruct(g, x); g.Err() == nil ||
		!strings.Contains(g.Err().Error(), "features of 8x8 pixels do not become images of 30x32") {
		t.Errorf("of images of 30x32: %v", g.Err())
	}
}
