package ood

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/rng"
)

// golden is testdata/golden.json: made-up features and the scores others give them.
type golden struct {
	Weight, Bias   []float32
	Width, Classes int
	Features       struct{ Train, Val, Test []float32 }
	Labels         []int32
	Scores         map[string][]float64 // by name and parameter
}

func readGolden(t *testing.T) (g golden, n *Network, test *Features) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	head := &Network{Head: Head{g.Weight, g.Bias}, Width: g.Width, Classes: g.Classes}
	features := func(pooled []float32) *Features {
		return &Features{N: len(pooled) / g.Width, Pooled: pooled, Logits: head.headOf(pooled, g.Weight)}
	}
	train := features(g.Features.Train)
	train.Labels = g.Labels
	if n, err = NewNetwork(head.Head, train, features(g.Features.Val)); err != nil {
		t.Fatal(err)
	}
	test = features(g.Features.Test)
	test.Stepped = map[float64][]float32{0: test.Logits}
	test.Errors = make([]float64, test.N)
	for i := range test.Errors {
		test.Errors[i] = float64(i)
	}
	return g, n, test
}

// TestGolden compares every detector with pytorch-ood and NumPy (testdata/golden.py).
func TestGolden(t *testing.T) {
	g, n, test := readGolden(t)
	for key, want := range g.Scores {
		name, value, _ := strings.Cut(key, " ")
		v, _ := strconv.ParseFloat(value, 64) // 0 where there is none
		i := slices.IndexFunc(Methods, func(m Method) bool { return m.Name == name })
		if i < 0 {
			t.Fatalf("there is no detector %s", name)
		}
		d, err := Methods[i].Fit(n, v)
		if err != nil {
			t.Fatal(err)
		}
		got := d(test)
		if len(got) != len(want) {
			t.Fatalf("%s: %d scores, want %d", key, len(got), len(want))
		}
		for i, w := range want {
			if math.Abs(got[i]-w) > 1e-4*math.Abs(w) {
				t.Errorf("%s: image %d has %.8g, want %.8g", key, i, got[i], w)
			}
		}
	}
}

// TestThreads: scores are the same bits on any number of threads, and finite.
func TestThreads(t *testing.T) {
	_, n, test := readGolden(t)
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	for _, m := range Methods {
		v := 0.0
		if len(m.Values) > 0 {
			v = m.Values[0]
		}
		var all [2][]float64
		for i := range all {
			kernel.SetThreads(1 + 3*i)
			d, err := m.Fit(n, v)
			if err != nil {
				t.Fatal(err)
			}
			all[i] = d(test)
		}
		if !slices.Equal(all[0], all[1]) {
			t.Errorf("%s depends on the number of threads", m.Name)
		}
	}
}

// TestDirection: by every detector larger scores mean out of distribution, where all of them can tell.
func TestDirection(t *testing.T) {
	const width, classes = 8, 4
	r := rng.New(1, "direction", 0, 0)
	head := Head{make([]float32, classes*width), make([]float32, classes)}
	for c := range classes { // class c has features c and c+4
		head.Weight[c*width+c], head.Weight[c*width+c+4] = 2, 2
	}
	images := func(count int, of func(i, j int) float64) *Features {
		f := &Features{N: count, Labels: make([]int32, count), Errors: make([]float64, count)}
		for i := range count {
			f.Labels[i] = int32(i % classes)
			for j := range width {
				f.Pooled = append(f.Pooled, float32(math.Abs(of(i, j)+0.1*r.Normal())))
			}
		}
		f.Logits = (&Network{Head: head, Width: width, Classes: classes}).headOf(f.Pooled, head.Weight)
		f.Stepped = map[float64][]float32{}
		for _, s := range ODINSteps {
			f.Stepped[s] = f.Logits
		}
		return f
	}
	inside := func(i, j int) float64 {
		if j%classes == i%classes {
			return 2
		}
		return 0
	}
	train, val, in := images(400, inside), images(100, inside), images(50, inside)
	out := images(50, func(i, j int) float64 { // only one of a class's two features, and weaker
		if j == i%width {
			return 1
		}
		return 0
	})
	for i := range out.Errors {
		out.Errors[i] = 1
	}
	n, err := NewNetwork(head, train, val)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Methods {
		d, value, tried, err := m.Choose(n, n.Val, out)
		if err != nil {
			t.Fatal(err)
		}
		if rank, err := metrics.Rank(m.Name, d(in), d(out)); err != nil || rank.Detection().AUROC < 0.95 {
			t.Errorf("%s: %+v, %v", m.Name, rank.Detection(), err)
		}
		if len(tried) != len(m.Values) || len(m.Values) > 0 && !slices.Contains(m.Values, value) {
			t.Errorf("%s: %g chosen, tried were %v", m.Name, value, tried)
		}
		for _, x := range tried {
			if i := slices.IndexFunc(tried, func(o Tried) bool { return o.Value == value }); x.AUROC > tried[i].AUROC {
				t.Errorf("%s: %g chosen, %g is better: %v", m.Name, value, x.Value, tried)
			}
		}
	}
}

func TestKthLargest(t *testing.T) {
	r := rng.New(2, "kth", 0, 0)
	for n := 1; n < 60; n += 7 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.IntN(20))
		}
		sorted := slices.Clone(x)
		slices.Sort(sorted)
		for k := 1; k <= n; k++ {
			if got := x[kthLargest(x, k)]; got != sorted[n-k] {
				t.Errorf("%d-th largest of %v is %g", k, x, got)
			}
		}
	}
}

// TestDeadFeature: a feature that is always 0 in training makes the covariance singular; distances go on
// without it.
func TestDeadFeature(t *testing.T) {
	_, n, test := readGolden(t)
	for i := range n.Train.N {
		n.Train.Pooled[i*n.Width+3] = 0
	}
	for _, name := range []string{"mahalanobis", "rel-mahalanobis", "vim"} {
		i := slices.IndexFunc(Methods, func(m Method) bool { return m.Name == name })
		d, err := Methods[i].Fit(n, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range d(test) {
			if v-v != 0 {
				t.Fatalf("%s: %g", name, v)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	_, n, test := readGolden(t)
	nan := *test
	nan.Logits = slices.Clone(test.Logits)
	nan.Logits[n.Classes*7+1] = float32(math.NaN())
	if err := n.Check(&nan); err == nil || !strings.Contains(err.Error(), "a logit of image 7 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	short := *test
	short.N++
	if err := n.Check(&short); err == nil {
		t.Error("features of another shape were accepted")
	}
	train := *n.Train
	train.Labels = slices.Clone(train.Labels)
	for i, l := range train.Labels {
		if l == 2 {
			train.Labels[i] = 0
		}
	}
	if _, err := NewNetwork(n.Head, &train, n.Val); err == nil ||
		!strings.Contains(err.Error(), "none of the 60 training images is of class 2") {
		t.Errorf("a class without images: %v", err)
	}
	head := n.Head
	head.Bias = slices.Clone(head.Bias)
	head.Bias[1]++
	if _, err := NewNetwork(head, n.Train, n.Val); err == nil ||
		!strings.Contains(err.Error(), "for the features of training image 0, the network") {
		t.Errorf("another head: %v", err)
	}
	bad := Method{Name: "bad", Parameter: "p", Values: []float64{3}, Fit: func(*Network, float64) (Detector, error) {
		return func(f *Features) []float64 { return slices.Repeat([]float64{math.NaN()}, f.N) }, nil
	}}
	if _, _, _, err := bad.Choose(n, n.Val, test); err == nil ||
		!strings.Contains(err.Error(), "detector bad with p 3: the score of sample 0 in distribution is NaN") {
		t.Errorf("NaN scores: %v", err)
	}
}
