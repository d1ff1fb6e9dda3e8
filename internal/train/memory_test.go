package train

import (
	"strings"
	"testing"

	"dla/internal/engine"
	"dla/internal/model"
	"dla/internal/nn"
)

// TestWhatDoesNotFit: a network that the machine has no memory for is refused with the numbers, before its weights are
// made, and one whose steps it has none for before they are.
func TestWhatDoesNotFit(t *testing.T) {
	defer func(m func() int64) { engine.Memory = m }(engine.Memory)
	m := model.MLP{Depth: 200, Width: 1 << 14, Res: true}
	for _, c := range []struct {
		memory int64
		m      model.MLP
		batch  int
		want   string
	}{
		{64e9, m, 1, "parameters, their gradients and the optimiser's state take 1288.7 GB, and this machine has 64.0 GB of memory"},
		{8e6, model.MLP{Depth: 2, Width: 16}, 4096,
			"batches of the shape [4096 784] take 0.0 GB"},
		{2e7, model.MLP{Depth: 2, Width: 128}, 4096,
			"the intermediates and gradients of 0.0 GB of weights and inputs take 0.0 GB"},
		{1e9, model.MLP{Depth: 2, Width: 16}, 64, ""},
	} {
		engine.Memory = func() int64 { return c.memory }
		p := nn.NewParams(1)
		_, err := NewClassifier(c.m, p, []int{784}, 10, c.batch, 1, 0)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d bytes, batches of %d: error %v, want one with %q", c.memory, c.batch, err, c.want)
		}
		if c.m.Depth == m.Depth && len(p.List()) > 0 {
			t.Errorf("%d tensors of weights were made", len(p.List()))
		}
	}
}
