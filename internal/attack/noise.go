package attack

import (
	"context"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// Noise adds or subtracts eps at random to every value, within [0,1]. The change is as large as that of FGSM but
// independent of the network: the baseline for any attack.
type Noise struct {
	Eps  float64 // in pixel values of [0,1]
	Seed uint64
}

var noiseMethod = Method{Name: "noise", Label: "random noise", Source: "the comparison that an attack needs",
	New:       func(s Settings) Attack { return Noise{Eps: s.Eps, Seed: s.Seed} },
	Gradients: func(Settings) int { return 0 },
}

// Run implements Attack.
func (a Noise) Run(_ context.Context, t *Target, b Batch, dst []float32) error {
	if err := b.check(t, dst); err != nil {
		return err
	}
	kernel.Run(&noiseTask{b, dst, t.px, radius(a.Eps), a.Seed}, len(b.Y))
	return nil
}

type noiseTask struct {
	Batch
	dst  []float32
	px   int
	eps  float32
	seed uint64
}

// Chunk changes image i.
func (a *noiseTask) Chunk(i int) {
	r := rng.New(a.seed, "noise", 0, uint64(a.Index[i]))
	dst, x := a.dst[i*a.px:(i+1)*a.px], a.X[i*a.px:(i+1)*a.px]
	bits := uint32(0)
	for j, v := range x {
		if j%32 == 0 {
			bits = r.Uint32()
		}
		lo, hi := bounds(v, a.eps)
		dst[j] = lo
		if bits>>(j%32)&1 == 1 {
			dst[j] = hi
		}
	}
}
