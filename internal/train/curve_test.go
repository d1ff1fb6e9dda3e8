package train_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/train"
)

// spread and hashed are the formulas of testdata/curve.py.
func spread(dst []float32, seed int, bound float64) {
	for i := range dst {
		dst[i] = float32(bound * (2*hashed(uint32(seed*100003+i)) - 1))
	}
}

func hashed(i uint32) float64 {
	i = (i ^ i>>16) * 0x45D9F3B
	i = (i ^ i>>16) * 0x45D9F3B
	return float64(i^i>>16) / (1 << 32)
}

// TestLossCurveAgainstPyTorch trains a residual network for 200 steps from the weights and on the
// batches PyTorch had. Rounding grows exponentially in training, so the first 20 losses must agree to
// 1e-4 of their value and the later ones in the course they take.
func TestLossCurveAgainstPyTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/curve.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	defer kernel.SetConvDirect(kernel.ConvDirect())
	for _, direct := range []bool{false, true} {
		kernel.SetConvDirect(direct)
		const n, side = 16, 16
		m := model.ResNet{Blocks: 1, Width: 16, Res: true, Projection: true, Pixels: model.CIFAR10}
		p := nn.NewParams(1)
		prog, err := train.NewClassifier(m, p, m.Input(side, side, 3), 10, n, n, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, q := range p.Trained() {
			norm := strings.Contains(q.Name, "bn") || strings.Contains(q.Name, "downsample.1")
			if len(q.Shape) == 4 {
				spread(q.Data, i+1, math.Sqrt(6/float64(q.Shape[0]*q.Shape[1]*q.Shape[2])))
			} else if !norm {
				spread(q.Data, i+1, 0.125)
			}
		}
		opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true}, prog.Params())
		if err != nil {
			t.Fatal(err)
		}
		x, y := prog.TrainBatch().X, prog.TrainBatch().Y
		var got []float64
		for step := range len(want) {
			for i := range n {
				y[i] = int32((step*7 + i*3) % 10)
				for j := range side * side * 3 {
					bright := math.Sin(float64(y[i]+1) * float64(j/(side*3)) * 0.3)
					x[i*side*side*3+j] = float32(0.5*hashed(uint32((step%8*n+i)*side*side*3+j)) + 0.5*bright*bright)
				}
			}
			s, err := prog.TrainStep(0, 0, n)
			if err != nil {
				t.Fatal(err)
			}
			opt.Step(0.005)
			got = append(got, s.Loss())
		}
		largest := 0.0
		for i := range 20 {
			largest = max(largest, math.Abs(got[i]/want[i]-1))
		}
		t.Logf("direct %v: the first 20 losses agree to %.1e; loss %.4f at the end, PyTorch %.4f", direct, largest,
			mean(got[180:]), mean(want[180:]))
		if !(largest <= 1e-4) {
			t.Errorf("direct %v: the first 20 losses differ by %.2g of their value, want 1e-4 at most", direct, largest)
		}
		for at := 20; at < len(want); at += 20 {
			g, w := mean(got[at:at+20]), mean(want[at:at+20])
			if math.Abs(g-w) > 0.1*w+0.02 {
				t.Errorf("direct %v: mean loss of the 20 steps from %d is %.4f, PyTorch has %.4f", direct, at, g, w)
			}
		}
	}
}

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}
