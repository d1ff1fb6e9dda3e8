package bench

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// TestAsks: the peer is called with names of its cases, or parts of them.
func TestAsks(t *testing.T) {
	conv := peerWork{name: "resnet20-w16 step", variants: true}
	for _, tc := range []struct {
		work     peerWork
		compiled bool
		want     []string
	}{
		{peerWork{name: "mlp d5 res step"}, true, []string{"mlp"}},
		{peerWork{name: "fgsm resnet20-w16"}, false, []string{"fgsm"}},
		{conv, false, []string{"resnet20-w16 nchw step", "resnet20-w16 nhwc step", "resnet20-w16 nchw-bf16 step",
			"resnet20-w16 nhwc-bf16 step"}},
		{conv, true, []string{"resnet20-w16 nchw step", "resnet20-w16 nchw compile step", "resnet20-w16 nhwc step",
			"resnet20-w16 nhwc compile step",
			"resnet20-w16 nchw-bf16 step", "resnet20-w16 nchw compile-bf16 step", "resnet20-w16 nhwc-bf16 step", "resnet20-w16 nhwc compile-bf16 step"}},
	} {
		if got := tc.work.asks(tc.compiled); !slices.Equal(got, tc.want) {
			t.Errorf("%s, compiled %v: %q, want %q", tc.work.name, tc.compiled, got, tc.want)
		}
	}
	for _, ask := range conv.asks(true) { // and every answer is recognised
		if work, bf16 := parseCase(ask); work != conv.name || bf16 != strings.Contains(ask, "bf16") {
			t.Errorf("%q is taken for %q, bf16 %v", ask, work, bf16)
		}
	}
}

func TestParseCase(t *testing.T) {
	for _, tc := range []struct {
		name, work string
		bf16       bool
	}{
		{"mlp d5 res step", "mlp d5 res step", false}, {"cnn-small nchw eval", "cnn-small eval", false},
		{"resnet20-w32 nhwc compile-bf16 step", "resnet20-w32 step", true}, {"fgsm resnet20-w16 nhwc", "fgsm resnet20-w16",
			false},
		{"import torch", "import torch", false}, {"", "", false},
	} {
		if work, bf16 := parseCase(tc.name); work != tc.work || bf16 != tc.bf16 {
			t.Errorf("%q: %q, bf16 %v; want %q, %v", tc.name, work, bf16, tc.work, tc.bf16)
		}
	}
}

func TestParsePeer(t *testing.T) {
	got, err := parsePeer([]byte(`{"case": "resnet20-w16 nchw step", "min_s": 0.2, "median_s": 0.25, "per_s": 512.0, "n": 9}` + "\r\n\n" +
		`{"case": "mlp d5 res step", "min_s": 1e-3, "median_s": 0.0025, "per_s": 51200, "n": 800, "more": "than asked for"}`))
	want := []PeerResult{{"resnet20-w16 nchw step", 0.2, 0.25, 512, 9}, {"mlp d5 res step", 1e-3, 0.0025, 51200, 800}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, error %v", got, err)
	}
	if got, err := parsePeer(nil); err != nil || got != nil {
		t.Errorf("nothing printed: %+v, error %v", got, err)
	}
	for _, nonsense := range []string{
		"Traceback (most recent call last):", "[]", "3", "null", `{"case": "a step"}`, `{"case": "", "min_s": 1, "median_s": 1, "per_s": 1, "n": 1}`,
		`{"case": "a", "min_s": 2, "median_s": 1, "per_s": 1, "n": 1}`, `{"case": "a", "min_s": -1, "median_s": 1, "per_s": 1, "n": 1}`,
		`{"case": "a", "min_s": 1, "median_s": 1, "per_s": 0, "n": 1}`, `{"case": "a", "min_s": 1, "median_s": 1, "per_s": 1, "n": 0}`,
		`{"case": "a", "min_s": "fast", "median_s": 1, "per_s": 1, "n": 1}`, `{"case": "a", "min_s": NaN, "median_s": 1, "per_s": 1, "n": 1}`,
		`{"case": "a", "min_s": 1, "median_s": 1, "per_s": 1, "n": 1} and more`,
	} {
		if got, err := parsePeer([]byte(nonsense)); err == nil {
			t.Errorf("%s was read as %+v", nonsense, got)
		}
	}
	long := strings.Repeat("x", 1000)
	if _, err := parsePeer([]byte(long)); err == nil || len(err.Error()) > 300 {
		t.Errorf("a long line gives the error %v", err)
	}
}

// line is a result of 128 images in so many seconds.
func line(name string, median float64) PeerResult {
	return PeerResult{Case: name, Min: median / 2, Median: median, PerS: 128 / median, N: 10}
}

// TestPair: the fastest variant of each precision, turns taken together, of the right work only.
func TestPair(t *testing.T) {
	w := peerWork{name: "resnet20-w16 step", variants: true, note: "not quite"}
	lines := []PeerResult{
		line("resnet20-w16 nchw step", 0.5), line("resnet20-w16 nhwc step", 0.2), line("resnet20-w16 nchw-bf16 step",
			0.1), line("resnet20-w16 nhwc-bf16 step", 0.15),
		line("resnet20-w16 nchw step", 0.7), line("resnet20-w16 nhwc step", 0.4), // a second turn
		line("resnet20-w16 nchw eval", 0.01), line("resnet20-w32 nchw step", 0.01), // other work
	}
	own, err := w.of(lines, 128)
	if err != nil || len(own) != 6 {
		t.Fatalf("%d results of this work, error %v; want 6", len(own), err)
	}
	if _, err := w.of(lines, 64); err == nil || !strings.Contains(err.Error(), "is of 128 images a run, ours of 64") {
		t.Errorf("another batch: error %v", err)
	}
	c, err := w.pair(own, 128/0.15)
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if f := c.FP32; f.Case != "resnet20-w16 nhwc step" || f.N != 20 {
		t.Errorf("fp32 is %d runs of %s, want 20 of resnet20-w16 nhwc step", f.N, f.Case)
	}
	for _, v := range []struct {
		what      string
		got, want float64
	}{
		{"median", c.FP32.Median, 0.3},
		{"minimum", c.FP32.Min, 0.1},
		{"rate", c.FP32.PerS, 128 / 0.3},
		{"ratio", c.Ratio, 2},
	} {
		if !near(v.got, v.want) {
			t.Errorf("fp32: the %s is %g, want %g", v.what, v.got, v.want)
		}
	}
	if b := c.BF16; b == nil || b.Case != "resnet20-w16 nchw-bf16 step" || !near(c.RatioBF16, 0.1/0.15) {
		t.Errorf("bf16: %+v, ratio %g", b, c.RatioBF16)
	}
	if len(c.All) != 4 || c.Note != "not quite" {
		t.Errorf("%d variants, note %q", len(c.All), c.Note)
	}

	if c, err := w.pair(own[:2], 1); err != nil || c.BF16 != nil || c.RatioBF16 != 0 {
		t.Errorf("without bf16: %+v, error %v", c, err)
	}
	if _, err := w.pair(own[2:4], 1); err == nil || !strings.Contains(err.Error(),
		`no case "resnet20-w16 step" in float32`) {
		t.Errorf("bf16 alone: error %v", err)
	}
}

func TestLastLine(t *testing.T) {
	for _, tc := range []struct{ in, want string }{{"", ""}, {"\n\n", ""}, {"a", "a"},
		{"Traceback:\n  x\nNameError: y\n", "NameError: y"}} {
		if got := lastLine([]byte(tc.in)); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
		}
	}
}
