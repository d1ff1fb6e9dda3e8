package model

import (
	"math"
	"strings"
	"testing"

	"dla/internal/nn"
)

// build returns the parameters of m for CIFAR-10.
func build(t *testing.T, m Model) *nn.Params { return buildOver(t, nn.NewParams(1), m) }

func buildOver(t *testing.T, p *nn.Params, m Model) *nn.Params {
	t.Helper()
	g := nn.NewGraph(p)
	x := g.Input("x", append([]int{1}, m.Input(32, 32, 3)...)...)
	logits := m.Logits(g, x, 10)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	if s := logits.Shape(); s[0] != 1 || s[1] != 10 {
		t.Fatalf("%s: logits of shape %v", m.Name(), s)
	}
	return p
}

// TestParameterCounts: the lab's, to 5 %, and those of He et al. 2016, table 6 (0.27M to 1.7M).
func TestParameterCounts(t *testing.T) {
	for name, want := range map[string]struct{ count, tolerance float64 }{
		"small": {13e3, 0.05}, "medium": {160e3, 0.05}, "large": {240e3, 0.05}, "teacher": {1e6, 0.05}, "student": {200e3,
			0.05},
		"resnet20": {0.27e6, 0.02}, "resnet32": {0.46e6, 0.02}, "resnet44": {0.66e6, 0.02}, "resnet56": {0.85e6,
			0.02}, "resnet110": {1.7e6, 0.02},
	} {
		var counts []int
		for _, res := range []bool{false, true} {
			m, err := New(Spec{Name: name, Res: res}, CIFAR10)
			if err != nil {
				t.Fatal(err)
			}
			counts = append(counts, build(t, m).Count())
		}
		if counts[0] != counts[1] {
			t.Errorf("%s has %d parameters without skips, %d with: want as many", name, counts[0], counts[1])
		}
		if off := math.Abs(float64(counts[0])/want.count - 1); off > want.tolerance {
			t.Errorf("%s has %d parameters, %.1f %% off %g", name, counts[0], 100*off, want.count)
		}
	}
}

// TestVariantsStartAlike: with and without skips a network starts from the same weights.
func TestVariantsStartAlike(t *testing.T) {
	a, b := build(t, CNN{Inner: []int{4, 8}, Pixels: CIFAR10}).List(), build(t,
		CNN{Inner: []int{4, 8}, Res: true, Pixels: CIFAR10}).List()
	for i := range a {
		if a[i].Name != b[i].Name || a[i].Data[0] != b[i].Data[0] {
			t.Errorf("%s and %s differ", a[i].Name, b[i].Name)
		}
	}
}

// TestLayers counts the filters a network has: a convolution layer each.
func TestLayers(t *testing.T) {
	models := []Model{MLP{Depth: 3, Width: 8, Res: true}, ResNet{Blocks: 2, Width: 4, Res: true, Projection: true,
		Pixels: CIFAR10}}
	for _, n := range Zoo {
		for _, res := range []bool{false, true} {
			if n.Name == "mlp" || res && !n.Skips {
				continue
			}
			m, err := New(Spec{Name: n.Name, Res: res}, CIFAR10)
			if err != nil {
				t.Fatal(err)
			}
			models = append(models, m)
		}
	}
	for _, m := range models {
		convs, blocks := 0, map[string]bool{}
		for _, q := range buildOver(t, nn.Blank(), m).List() {
			if len(q.Shape) == 4 {
				convs++
			}
			if parts := strings.Split(q.Name, "."); len(parts) > 3 || parts[0] == "blocks" {
				blocks[parts[0]+parts[1]] = true
			} else if strings.HasPrefix(q.Name, "layer") {
				blocks[parts[0]+parts[1]] = true
			}
		}
		got := m.Layers()
		if got.Convs != convs {
			t.Errorf("%s: %d convolutions, its parameters are of %d", m.Name(), got.Convs, convs)
		}
		if got.Blocks > 0 && got.Blocks != len(blocks) {
			t.Errorf("%s: %d blocks, its parameters are of %d", m.Name(), got.Blocks, len(blocks))
		}
	}
}

func TestUnknownModels(t *testing.T) {
	for _, tc := range []struct {
		s    Spec
		want string
	}{
		{Spec{Name: "resnet21"}, `unknown model "resnet21": known are mlp, small`},
		{Spec{Name: "large", Depth: 5}, "has its own depth"},
		{Spec{Name: "large", Width: 5}, "has its own widths"},
		{Spec{Name: "mlp", Depth: 1}, "width of at least 1"},
		{Spec{Name: "resnet20", Width: -1}, "width -1"},
	} {
		if _, err := New(tc.s, CIFAR10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one with %q", tc.s, err, tc.want)
		}
	}
}
