package bench

import (
	"fmt"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// kernelCases are matrix products and convolutions.
func kernelCases() []Case {
	var all []Case
	for _, g := range []struct {
		layout  string // of the factors, T for transposed
		m, n, k int
	}{
		// The MLP at batch 128: forward, and the gradients of inputs and of weights.
		{"NT", 128, 128, 784}, {"NT", 128, 128, 128}, {"NN", 128, 128, 128}, {"TN", 128, 784, 128}, {"TN", 128, 128, 128},
		// Transformers: 1024 tokens, attention's projections and the feed-forward layers.
		{"NN", 1024, 768, 768}, {"NT", 1024, 768, 768}, {"TN", 768, 768, 1024}, {"NT", 1024, 3072, 768}, {"NT", 1024, 768,
			3072},
	} {
		all = append(all, gemmCase(g.layout, g.m, g.n, g.k))
	}
	for _, c := range []kernel.Conv{
		{H: 32, W: 32, IC: 16, OC: 16, K: 3, Stride: 1}, {H: 32, W: 32, IC: 32, OC: 32, K: 3, Stride: 1},
		{H: 16, W: 16, IC: 64, OC: 64, K: 3, Stride: 1}, {H: 8, W: 8, IC: 128, OC: 128, K: 3, Stride: 1},
	} {
		for _, pass := range convPasses {
			all = append(all, convCase(c, pass, false), convCase(c, pass, true))
		}
	}
	// The sides and channels of the network of a training in minutes, less what its poolings throw away.
	for _, c := range []kernel.Conv{
		{H: 31, W: 31, IC: 24, OC: 64, CropH: 30, CropW: 30}, {H: 15, W: 15, IC: 64, OC: 64},
		{H: 15, W: 15, IC: 64, OC: 256, CropH: 14, CropW: 14}, {H: 7, W: 7, IC: 256, OC: 256},
		{H: 7, W: 7, IC: 256, OC: 256, CropH: 6, CropW: 6}, {H: 3, W: 3, IC: 256, OC: 256},
	} {
		c.K, c.Stride, c.AnyShape = 3, 1, true
		for _, pass := range convPasses {
			all = append(all, convCase(c, pass, false))
		}
	}
	for _, c := range []kernel.Conv{
		{H: 32, W: 32, IC: 16, OC: 32, K: 3, Stride: 2}, {H: 32, W: 32, IC: 32, OC: 32, K: 1, Stride: 1},
		{H: 32, W: 32, IC: 3, OC: 16, K: 3, Stride: 1}, // a stem
		{H: 32, W: 32, IC: 3, OC: 24, K: 2, Stride: 1, Valid: true},
	} {
		for _, pass := range convPasses { // direct whatever is set
			all = append(all, convCase(c, pass, true))
		}
	}
	return all
}

// gemmCase multiplies [m, k] by [k, n].
func gemmCase(layout string, m, n, k int) Case {
	return Case{Group: Kernels, Name: fmt.Sprintf("gemm-%s-%dx%dx%d", layout, m, n, k), prepare: func(int) (*work, error) {
		g := &kernel.Gemm{M: m, N: n, K: k, A: numbers(m * k), LDA: k, B: numbers(k * n), LDB: n, C: kernel.Alloc(m * n),
			LDC: n}
		if layout[0] == 'T' {
			g.TransA, g.LDA = true, m
		}
		if layout[1] == 'T' {
			g.TransB, g.LDB = true, k
		}
		return &work{flops: 2 * float64(m) * float64(n) * float64(k), run: func() error { g.Do(); return nil }}, nil
	}}
}

var convPasses = []string{"forward", "backward-data", "backward-weight"}

// convCase is one pass of a convolution, by Winograd's algorithm unless direct.
func convCase(shape kernel.Conv, pass string, direct bool) Case {
	channels := fmt.Sprint(shape.IC)
	if shape.OC != shape.IC {
		channels = fmt.Sprintf("%d-%d", shape.IC, shape.OC)
	}
	name := fmt.Sprintf("conv%dx%d-%sch-%dx%d", shape.K, shape.K, channels, shape.H, shape.W)
	if shape.CropH > 0 {
		name += fmt.Sprintf("-to-%dx%d", shape.CropH, shape.CropW)
	}
	if shape.Stride > 1 {
		name += fmt.Sprintf("-stride%d", shape.Stride)
	}
	how := "winograd"
	if direct {
		how = "direct"
	}
	return Case{Group: Kernels, Name: name + "-" + pass + "-" + how, prepare: func(batch int) (*work, error) {
		c := shape
		c.N = batch
		in, out, window := c.N*c.H*c.W*c.IC, c.N*c.OutH()*c.OutW()*c.OC, c.K*c.K*c.IC*c.OC
		x, y, w := numbers(in), numbers(out), numbers(window)
		do := func() { c.Forward(y, x, w, nil, nil) }
		switch pass {
		case "backward-data":
			do = func() { c.BackwardData(x, y, w, false) }
		case "backward-weight":
			do = func() { c.BackwardWeight(w, y, x) }
		}
		return &work{flops: 2 * float64(out) * float64(c.K*c.K*c.IC), run: func() error {
			defer kernel.SetConvDirect(kernel.ConvDirect())
			kernel.SetConvDirect(direct)
			do()
			return nil
		}}, nil
	}}
}

// numbers is n floats from 0 to 1.
func numbers(n int) []float32 {
	s := rng.New(1, "bench", 0, uint64(n))
	v := kernel.Alloc(n)
	for i := range v {
		v[i] = float32(s.Float64())
	}
	return v
}
