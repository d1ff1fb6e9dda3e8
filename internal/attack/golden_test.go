package attack

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/kernel"
	"dla/internal/nn"
)

// wave is the formula of testdata/golden.py.
func wave(n, seed int, scale, shift float64) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(shift + scale*math.Sin(0.37*float64(i)*float64(1+seed%5)+1.3*float64(seed)))
	}
	return w
}

// small is the network of testdata/golden.py.
type small struct{}

func (small) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	h := nn.Standardize(g, "standardize", x, []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25})
	h = nn.BatchNormReLU(g, "bn1", nn.Conv2D(g, "conv1", h, 16, 3, 1), nil)
	h = nn.BatchNormReLU(g, "bn2", nn.Conv2D(g, "conv2", h, 16, 3, 2), nil)
	return nn.Linear(g, "fc", nn.GlobalAvgPool(g, "pool", h), classes)
}

const side, channels, smallClasses = 8, 3, 5

// smallTarget is the network with its weights, for batches of up to rows.
func smallTarget(t testing.TB, rows int) (*Target, *nn.Params) {
	t.Helper()
	p := nn.NewParams(1)
	target, err := NewTarget(small{}, p, []int{side, side, channels}, smallClasses, rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range p.List() {
		seed := i + 1
		scale, shift := 0.3, 0.0
		switch {
		case q.Name == "fc.weight":
			scale = 2
		case q.Name == "fc.bias":
			scale = 0.4
		case strings.HasSuffix(q.Name, "running_mean"):
			scale = 0.2
		case strings.HasSuffix(q.Name, "running_var"), strings.Contains(q.Name, "bn") && strings.HasSuffix(q.Name, "weight"):
			shift = 1
		case strings.HasSuffix(q.Name, "bias"):
			shift = 0.1
		}
		copy(q.Data, wave(len(q.Data), seed, scale, shift))
	}
	return target, p
}

// someImages are those of golden.py, the first four of them, and more.
func someImages(n int) Batch {
	b := Batch{X: wave(n*side*side*channels, 41, 0.5, 0.5)}
	for i := range n {
		b.Y, b.Index = append(b.Y, []int32{0, 3, 2, 1}[i%4]), append(b.Index, int32(100+i))
	}
	return b
}

// TestAgainstPyTorch: the gradient, FGSM and five steps of PGD in either norm from given points, by
// Winograd's algorithm and directly.
func TestAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	defer kernel.SetConvDirect(kernel.ConvDirect())
	for _, direct := range []bool{false, true} {
		kernel.SetConvDirect(direct)
		target, _ := smallTarget(t, 4)
		away, towards := someImages(4), someImages(4)
		towards.Y = []int32{1, 4, 4, 0}
		check := func(name string, got []float32, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(want[name])
			if err != nil || len(raw) != 4*len(got) {
				t.Fatalf("%s: %d values, want %d (%v)", name, len(got), len(raw)/4, err)
			}
			for i, v := range got {
				if w := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); !(math.Abs(float64(v-w)) <= 1e-5) {
					t.Errorf("%s[%d] = %g, want %g (direct %v)", name, i, v, w, direct)
					return
				}
			}
		}
		logits, err := target.Logits(away.X)
		check("logits", logits, err)
		g, err := target.Gradient(away)
		check("gradient", g, err)

		dst := make([]float32, len(away.X))
		check("fgsm", dst, FGSM{Eps: 8. / 255}.Run(context.Background(), target, away, dst))
		check("fgsm targeted", dst, FGSM{Eps: 8. / 255, Targeted: true}.Run(context.Background(), target, towards, dst))

		unit := wave(len(away.X), 43, 1, 0) // where to start, in units of the radius
		for _, c := range []struct {
			name string
			a    PGD
			b    Batch
		}{
			{"pgd linf", PGD{Norm: Linf, Eps: 8. / 255, Step: 2. / 255, Steps: 5}, away},
			{"pgd linf targeted", PGD{Norm: Linf, Eps: 8. / 255, Step: 2. / 255, Steps: 5, Targeted: true}, towards},
			{"pgd l2", PGD{Norm: L2, Eps: 0.5, Step: 0.125, Steps: 5}, away},
			{"pgd l2 targeted", PGD{Norm: L2, Eps: 0.5, Step: 0.125, Steps: 5, Targeted: true}, towards},
		} {
			at, scale := target.gradient.pixels, c.a.Eps
			if c.a.Norm == L2 {
				scale /= math.Sqrt(float64(target.px))
			}
			c.a.task(target, c.b)
			for i, x := range c.b.X {
				at[i] = x + float32(scale)*unit[i]
				if lo, hi := bounds(x, radius(c.a.Eps)); c.a.Norm == Linf {
					at[i] = min(hi, max(lo, at[i]))
				}
			}
			for i := 0; c.a.Norm == L2 && i < 4; i++ {
				target.pgd.projectL2(at[i*target.px:(i+1)*target.px], c.b.X[i*target.px:(i+1)*target.px])
			}
			check(c.name, at, c.a.descend(context.Background(), target, c.b))
		}
	}
}
