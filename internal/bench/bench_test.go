package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func names(cases []Case) string {
	var all []string
	for _, c := range cases {
		all = append(all, c.Group+" "+c.Name)
	}
	return strings.Join(all, ", ")
}

func TestSelect(t *testing.T) {
	cases := []Case{
		{Group: Kernels, Name: "gemm-NT-8x8x8"}, {Group: Steps, Name: "resnet20"}, {Group: Steps, Name: "resnet110",
			large: true},
		{Group: Eval, Name: "resnet20-b", peer: peerWork{name: "resnet20-w16 eval"}}, {Group: Memory, Name: "resnet20"},
	}
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{nil, "kernels gemm-NT-8x8x8, steps resnet20, eval resnet20-b"}, // no memory, nothing large
		{[]string{"steps"}, "steps resnet20"},
		{[]string{"eval", "kernels"}, "kernels gemm-NT-8x8x8, eval resnet20-b"},
		{[]string{"memory"}, "memory resnet20"},
		{[]string{"steps", "resnet"}, "steps resnet20, steps resnet110"}, // named, so the large one too
		{[]string{"nt-8"}, "kernels gemm-NT-8x8x8"},
		{[]string{"memory resnet20"}, "memory resnet20"}, // in quotes
		{[]string{"gemm", "20-b"}, "kernels gemm-NT-8x8x8, eval resnet20-b"},
	} {
		got, err := Select(cases, tc.words)
		if err != nil || names(got) != tc.want {
			t.Errorf("%q: %s, error %v; want %s", tc.words, names(got), err, tc.want)
		}
	}
	if _, err := Select(cases, []string{"w16"}); err == nil {
		t.Error("a name of the peer's picked a case where there is no peer")
	}
	if got, err := Select(WithPeer(cases), []string{"w16"}); err != nil || names(got) != "eval resnet20-b" {
		t.Errorf("by the peer's name: %s, error %v", names(got), err)
	}
	var none *NoCaseError
	if _, err := Select(cases, []string{"steps", "gemm"}); !errors.As(err, &none) || none.Word != "gemm" ||
		!strings.Contains(err.Error(), "no case of steps") {
		t.Errorf("steps gemm: error %v", err)
	}
	if _, err := Select(WithPeer(cases), []string{"kernels"}); err == nil {
		t.Error("a group without cases was accepted")
	}
}

// TestCases: names are unique in their group, can be typed without quotes and picked alone.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		full := c.Group + " " + c.Name
		if seen[full] || strings.ContainsAny(c.Name, " '\"") {
			t.Errorf("case %q is there twice, or has to be quoted", full)
		}
		seen[full] = true
		if !slices.Contains(Groups, c.Group) {
			t.Errorf("case %q is of no group", full)
		}
	}
	if n := len(WithPeer(Cases())); n != 20 { // steps of 7 networks, evaluation of 6, FGSM of 1, 3 of each of 2 encoders
		t.Errorf("%d cases have a peer, want 20", n)
	}
}

// TestMeasure runs every kernel and layer on one image, and the small networks on two, and wants rates
// that follow from the times.
func TestMeasure(t *testing.T) {
	cases, err := Select(Cases(), []string{Kernels, Layers, "conv", "gemm-NT-128", "gemm-N", "gemm-TN", "batchnorm",
		"cross", "sgd-270k", "adamw-270k"})
	if err != nil {
		t.Fatal(err)
	}
	small, err := Select(Cases(), []string{Steps, Eval, FGSM, "mlp-d5", "cnn-small-res"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(cases, small...) {
		if strings.Contains(c.Name, "1024") {
			continue // slow where there is no vector code
		}
		r, err := c.Measure(context.Background(), Options{Batch: 2, Seconds: 1e-9, Peak: 1e9, Profile: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.N != minRuns || !(r.Min > 0) || !(r.Median >= r.Min) {
			t.Errorf("%s %s: timing %+v", c.Group, c.Name, r.Timing)
		}
		if (c.Group == Layers) != (r.GBs > 0) || (c.Group == Layers) != (r.GFLOPS == 0) || r.PeakShare != r.GFLOPS {
			t.Errorf("%s %s: %g GB/s, %g GFLOP/s, %g of the peak", c.Group, c.Name, r.GBs, r.GFLOPS, r.PeakShare)
		}
		if c.Graph() != (r.PerS > 0 && r.PlanBytes > 0 && len(r.Costs) > 0) {
			t.Errorf("%s %s: %g images/s, %d bytes, %d ops", c.Group, c.Name, r.PerS, r.PlanBytes, len(r.Costs))
		}
	}
}

// TestFLOPsOfNetworks: evaluation takes what the layers take, a step less than three times as much (no
// gradient of the image), FGSM less than twice (no gradients of weights) but more than once.
func TestFLOPsOfNetworks(t *testing.T) {
	for _, n := range networks() {
		if n.Name() != "cnn-small-res" && n.Name() != "mlp-d5-res" {
			continue
		}
		flops := func(prepare func(network, int) (*work, error)) float64 {
			w, err := prepare(n, 4)
			if err != nil {
				t.Fatal(err)
			}
			return w.flops
		}
		eval, step, fgsm := flops(evalWork), flops(stepWork), flops(fgsmWork)
		if !(step > 2*eval && step < 3*eval) || fgsm != 2*eval {
			t.Errorf("%s: %g an evaluation, %g a step, %g an attack", n.Name(), eval, step, fgsm)
		}
	}
}

func TestTimeRuns(t *testing.T) {
	runs := 0
	times, err := timeRuns(context.Background(), 1e-9, func() error { runs++; return nil })
	if err != nil || runs != 2+minRuns || len(times) != minRuns {
		t.Errorf("%d runs, %d times, error %v", runs, len(times), err)
	}
	broken := errors.New("broken")
	if _, err := timeRuns(context.Background(), 1, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := timeRuns(ctx, 3600, func() error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context had ended: error %v", err)
	}
}

func TestParsePeak(t *testing.T) {
	got, err := parsePeak("Name:\tdla\nVmPeak:\t  999 kB\nVmHWM:\t  226356 kB\nVmRSS:\t 12 kB\n")
	if err != nil || got != 226356<<10 {
		t.Errorf("%d, error %v", got, err)
	}
	for _, bad := range []string{"", "Name:\tdla\n", "VmHWM:\tmuch kB\n"} {
		if _, err := parsePeak(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
