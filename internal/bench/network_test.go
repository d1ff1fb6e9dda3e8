package bench

import (
	"slices"
	"testing"

	"dla/internal/data"
	"dla/internal/model"
)

// TestDescribe: ResNet-20 of He et al. 2016 layer by layer; its totals are those of its layers.
func TestDescribe(t *testing.T) {
	set, err := data.Describe("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Describe(model.ResNet{Blocks: 3, Width: 16, Res: true, Pixels: model.CIFAR10}, set)
	if err != nil {
		t.Fatal(err)
	}
	// Products of 32x32, 16x16 and 8x8 pixels, 3x3 windows and channels, and the head.
	const macs = 1024*9*(3*16+6*16*16) + 256*9*(16*32+5*32*32) + 64*9*(32*64+5*64*64) + 640
	if n.Name != "resnet20" || n.Params != 269722 || n.MACs != macs || !slices.Equal(n.Input, []int{32, 32, 3}) {
		t.Errorf("%s of %v: %d parameters, %d multiply-adds, want %d", n.Name, n.Input, n.Params, n.MACs, macs)
	}
	params, sum := 0, 0
	byName := map[string]Layer{}
	for _, l := range n.Layers {
		params, sum = params+l.Params, sum+l.MACs
		if (l.Name == "") != (l.Params == 0) {
			t.Errorf("layer %q (%s) has %d parameters", l.Name, l.Op, l.Params)
		}
		if l.Name == "" {
			continue
		}
		if _, twice := byName[l.Name]; twice {
			t.Errorf("there are two layers %s", l.Name)
		}
		byName[l.Name] = l
	}
	if params != n.Params || sum != n.MACs {
		t.Errorf("layers have %d parameters and %d multiply-adds, the whole %d and %d", params, sum, n.Params, n.MACs)
	}
	if l := byName["layer2.0.conv1"]; l.Op != "conv2d" || !slices.Equal(l.Output, []int{16, 16, 32}) ||
		l.Params != 9*16*32 || l.MACs != 256*9*16*32 {
		t.Errorf("layer2.0.conv1: %+v", l)
	}
	if l := byName["layer3.2.bn2"]; l.Params != 128 || l.MACs != 0 { // without running mean and variance
		t.Errorf("layer3.2.bn2: %+v", l)
	}
	if l := byName["fc"]; l.Op != "linear" || !slices.Equal(l.Output, []int{10}) || l.Params != 650 || l.MACs != 640 {
		t.Errorf("fc: %+v", l)
	}
}

// TestEveryNetworkIsMeasured: the zoo with skips, and nothing by two names.
func TestEveryNetworkIsMeasured(t *testing.T) {
	var got []string
	for _, n := range networks() {
		if slices.Contains(got, n.Name()) {
			t.Errorf("%s is there twice", n.Name())
		}
		got = append(got, n.Name())
	}
	for _, n := range model.Zoo {
		spec := model.Spec{Name: n.Name, Res: n.Skips}
		if n.Name == "mlp" {
			spec.Depth, spec.Width = 5, 128
		}
		m, err := model.New(spec, model.CIFAR10)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(got, m.Name()) {
			t.Errorf("%s is not measured", m.Name())
		}
	}
}

func TestPlannedBytes(t *testing.T) {
	set, err := data.Describe("mnist")
	if err != nil {
		t.Fatal(err)
	}
	m := model.MLP{Depth: 2, Width: 64, Res: true}
	train8, eval8, err := PlannedBytes(m, set, 8)
	if err != nil {
		t.Fatal(err)
	}
	train16, eval16, err := PlannedBytes(m, set, 16)
	if err != nil {
		t.Fatal(err)
	}
	if !(0 < eval8 && eval8 < train8 && train8 < train16 && eval8 < eval16) {
		t.Errorf("batch 8: %d and %d bytes, batch 16: %d and %d", train8, eval8, train16, eval16)
	}
}
