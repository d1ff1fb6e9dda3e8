package kernel

import (
	"fmt"
	"slices"
	"testing"
)

// TestConvPasses: a convolution that takes the passes before and after it has the bits of one that does not, and of
// those passes over memory, with any number of threads, and takes no memory.
func TestConvPasses(t *testing.T) {
	defer SetThreads(Threads())
	levels(t, func(level string) {
		for _, c := range []Conv{
			{N: 5, H: 8, W: 8, IC: 16, OC: 16, K: 3, Stride: 1},                                    // Winograd
			{N: 5, H: 7, W: 9, IC: 8, OC: 20, K: 3, Stride: 1, AnyShape: true, CropH: 6, CropW: 8}, // with edges
			{N: 3, H: 5, W: 6, IC: 16, OC: 10, K: 3, Stride: 2},                                    // direct
			{N: 3, H: 5, W: 35, IC: 3, OC: 9, K: 3, Stride: 1},                                     // to colours
		} {
			in, out := Norm{N: c.N, Pixels: c.H * c.W, C: c.IC}, Norm{N: c.N, Pixels: c.OutH() * c.OutW(), C: c.OC}
			size := func(m Norm) int { return m.N * m.Pixels * m.C }
			w := normals(9*c.IC*c.OC, 1)
			x, xRes, xMask, scaleX := normals(size(in), 2), normals(size(in), 3), normals(size(in), 4), normals(c.IC, 5)
			y, yRes, yMask := normals(size(out), 6), normals(size(out), 7), normals(size(out), 8)
			scaleY := normals(c.OC, 9)
			shift, zero := normals(max(c.IC, c.OC), 10), make([]float32, c.OC)
			sums, wantSums := make([]float32, 2*c.N*c.IC), make([]float32, 2*c.N*c.IC)
			check := func(what string, size int, together, apart func(result []float32)) {
				t.Helper()
				want := slices.Repeat([]float32{0.5}, size)
				apart(want)
				for _, threads := range []int{1, 2, 3} {
					SetThreads(threads)
					got := slices.Repeat([]float32{0.5}, size)
					together(got)
					where := fmt.Sprintf("%s, %s of %dx%dx%d at stride %d, %d threads", level, what, c.H, c.W, c.IC,
						c.Stride, threads)
					if !slices.Equal(got, want) || !slices.Equal(sums, wantSums) {
						t.Error(where, "other bits")
					}
					if n := testing.AllocsPerRun(3, func() { together(got) }); n != 0 {
						t.Errorf("%s: %v allocations", where, n)
					}
				}
			}
			for _, act := range []Activation{ActNone, ActReLU, ActGELU} {
				check("forward and "+act.String(), size(out), func(got []float32) {
					c.Before, c.After = Pass{}, out.ApplyPass(yRes, scaleY, shift, act)
					c.Forward(got, x, w, nil, nil)
				}, func(want []float32) {
					c.Before, c.After = Pass{}, Pass{}
					c.Forward(want, x, w, nil, nil)
					out.Apply(want, want, yRes, scaleY, shift, act)
				})
			}
			made, smooth := make([]float32, size(out)), make([]float32, size(out))
			out.GradScale(made, y, yMask, scaleY, zero)
			for i := range made {
				want := float32(0)
				if yMask[i] > 0 {
					want = y[i] * scaleY[i%c.OC]
				}
				if made[i] != want {
					t.Fatalf("%s: gradient %d is %g, want %g", level, i, made[i], want)
				}
			}
			out.GradFixed(smooth, y, yMask, yRes, scaleY, shift, ActGELU, true)
			for _, add := range []bool{false, true} {
				for what, pass := range map[string]struct {
					dy   []float32
					pass func() Pass
				}{
					"ReLU": {made, func() Pass { return out.GradScalePass(y, yMask, scaleY, zero) }},
					"GELU": {smooth, func() Pass {
						return out.GradFixedPass(y, yMask, yRes, scaleY, shift, ActGELU, true)
					}},
				} {
					check("backward from "+what, size(in), func(got []float32) {
						c.Before, c.After = pass.pass(), in.MaskPass(xMask)
						c.BackwardData(got, nil, w, add)
					}, func(want []float32) {
						c.Before, c.After = Pass{}, Pass{}
						c.BackwardData(want, pass.dy, w, add)
						ReLUGrad(want, want, xMask)
					})
				}
				for _, act := range []Activation{ActReLU, ActSiLU} {
					check("backward and sums of "+act.String(), size(in), func(got []float32) {
						c.Before, c.After = Pass{}, in.GradSumsPass(sums, xMask, x, xRes, scaleX, scaleX, shift, act)
						c.BackwardData(got, y, w, add)
					}, func(want []float32) {
						c.Before, c.After = Pass{}, Pass{}
						c.BackwardData(want, y, w, add)
						in.GradSums(want, wantSums, want, xMask, x, xRes, scaleX, scaleX, shift, act)
					})
				}
			}
		}
	})
}
