package metrics

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// TestDetectionGolden compares with scikit-learn, most cases having ties (testdata/detection.py).
func TestDetectionGolden(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "detection.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name     string
		In, Out  []float64
		FPR, TPR []float64
		Detection
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 11 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		r, err := Rank(c.Name, c.In, c.Out)
		if err != nil {
			t.Fatal(err)
		}
		got, want := r.Detection(), c.Detection
		if !got.FPR95Out.Known || !want.FPR95Out.Known {
			t.Errorf("%s: FPR95 with outliers positive is not there: %+v, scikit-learn %+v", c.Name, got.FPR95Out, want.FPR95Out)
		}
		for m, v := range got.each() {
			if w := *want.each()[m]; math.Abs(*v-w) > 1e-12 {
				t.Errorf("%s: measure %d is %.15g, scikit-learn has %.15g", c.Name, m, *v, w)
			}
		}
		in, out := r.ROC(1000)
		if len(in) != len(c.FPR) || len(out) != len(c.FPR) {
			t.Fatalf("%s: %d points of the curve, scikit-learn has %d", c.Name, len(in), len(c.FPR))
		}
		for i := range in {
			if fpr, tpr := float64(out[i])/float64(len(c.Out)), float64(in[i])/float64(len(c.In)); math.Abs(fpr-c.FPR[i]) > 1e-12 || math.Abs(tpr-c.TPR[i]) > 1e-12 {
				t.Errorf("%s: point %d of the curve is %g, %g, scikit-learn has %g, %g", c.Name, i, fpr, tpr, c.FPR[i], c.TPR[i])
			}
		}
	}
}

// TestLater: what a record does not have is not 0, and 0 is not left out.
func TestLater(t *testing.T) {
	type record struct {
		Detection
		CI95 Intervals `json:"ci95"`
	}
	const keys = `"auroc":1,"aupr_in":1,"aupr_out":1,"fpr95":0,"accuracy":1`
	const intervals = `"auroc":[1,1],"aupr_in":[1,1],"aupr_out":[1,1],"fpr95":[0,0],"accuracy":[1,1]`
	for _, text := range []string{
		`{` + keys + `,"ci95":{` + intervals + `}}`,
		`{` + keys + `,"fpr95_outliers_positive":0,"ci95":{` + intervals + `,"fpr95_outliers_positive":[0,0]}}`,
	} {
		known := strings.Contains(text, "outliers")
		var r record
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.FPR95Out.Known != known ||
			r.CI95.FPR95Out.Known != known {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
		if again, err := json.Marshal(r); err != nil || string(again) != text {
			t.Errorf("%s is written as %s, %v", text, again, err)
		}
	}
	r, err := Rank("x", []float64{0, 1}, []float64{2, 3})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(record{r.Detection(), Bootstrap([]*Ranking{r}, 10, 0)[0]})
	if err != nil || strings.Count(string(b), `"fpr95_outliers_positive":`) != 2 {
		t.Errorf("%s, %v", b, err)
	}
}

func TestRankRefuses(t *testing.T) {
	for _, c := range []struct {
		in, out []float64
		want    string
	}{
		{nil, []float64{1}, "detector x: 0 samples in distribution and 1 out of it"},
		{[]float64{1}, nil, "detector x: 1 samples in distribution and 0 out of it"},
		{[]float64{1, math.NaN()}, []float64{1}, "detector x: the score of sample 1 in distribution is NaN"},
		{[]float64{1, 2}, []float64{1, math.Inf(1)}, "detector x: the score of sample 1 out of distribution is +Inf"},
	} {
		if _, err := Rank("x", c.in, c.out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %v: error %v, want %q", c.in, c.out, err, c.want)
		}
	}
}

func TestCheckSigns(t *testing.T) {
	s, err := CheckSigns(10, 3)
	if err != nil || s != (Signs{1, 0, 0.5}) {
		t.Errorf("%+v, %v", s, err)
	}
	for in := 1; in < 200; in++ { // 1/49 times 49 is not 1 in floating point, and 49 is a legal number of samples
		for out := 1; out < 20; out++ {
			if s, err := CheckSigns(in, out); err != nil || s != (Signs{1, 0, 0.5}) {
				t.Fatalf("%d and %d samples: %+v, %v", in, out, s, err)
			}
		}
	}
	if _, err := CheckSigns(10, 0); err == nil {
		t.Error("one class was accepted")
	}
}

// scores are n made-up ones around mean, with ties where step is not 0.
func scores(seed uint64, n int, mean, step float64) []float64 {
	r := rng.New(seed, "scores", 0, 0)
	x := make([]float64, n)
	for i := range x {
		x[i] = mean + r.Normal()
		if step > 0 {
			x[i] = math.Round(x[i]/step) * step
		}
	}
	return x
}

// TestROCThinned: what is left of a long curve is on it, and nowhere far from the next point.
func TestROCThinned(t *testing.T) {
	r, err := Rank("x", scores(1, 5000, 0, 0), scores(2, 3000, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	wholeIn, wholeOut := r.ROC(1 << 20)
	in, out := r.ROC(300)
	last := len(in) - 1
	if len(wholeIn) < 7000 {
		t.Fatalf("the whole curve has %d points, want 7000 or more", len(wholeIn))
	}
	if len(in) < 150 || len(in) > 301 {
		t.Fatalf("%d points are left of %d, want 150 to 301", len(in), len(wholeIn))
	}
	if first := [2]int{in[0], out[0]}; first != [2]int{} {
		t.Fatalf("the curve begins at %v, want 0, 0", first)
	}
	if end := [2]int{in[last], out[last]}; end != [2]int{5000, 3000} {
		t.Fatalf("the curve ends at %v, want 5000, 3000", end)
	}
	at := 0
	for i := range in {
		for at < len(wholeIn) && (wholeIn[at] != in[i] || wholeOut[at] != out[i]) {
			at++
		}
		if at == len(wholeIn) {
			t.Fatalf("point %d, %d is not on the curve", in[i], out[i])
		}
		if i > 0 && (in[i]-in[i-1] > 5000/100 || out[i]-out[i-1] > 3000/100) {
			t.Errorf("points %d and %d are far apart", i-1, i)
		}
	}
}

func TestHistogram(t *testing.T) {
	r, err := Rank("x", []float64{0, 1, 1, 2, 10}, []float64{9, 10})
	if err != nil {
		t.Fatal(err)
	}
	lo, hi, in, out := r.Histogram(5)
	if lo != 0 || hi != 10 || !slices.Equal(in, []int{3, 1, 0, 0, 1}) || !slices.Equal(out, []int{0, 0, 0, 0, 2}) {
		t.Errorf("from %g to %g: %v, %v", lo, hi, in, out)
	}
	far := append(scores(1, 4999, 0, 0), 1e9) // one score far away is in the last bin
	if r, err = Rank("x", far, scores(2, 5000, 0, 0)); err != nil {
		t.Fatal(err)
	}
	lo, hi, in, out = r.Histogram(20)
	sum := func(x []int) (n int) {
		for _, v := range x {
			n += v
		}
		return n
	}
	if lo < -5 || hi > 5 {
		t.Errorf("the bins go from %g to %g, want within ±5", lo, hi)
	}
	if sum(in) != 5000 || sum(out) != 5000 {
		t.Errorf("%d and %d samples are in bins, want 5000 each", sum(in), sum(out))
	}
	if in[19] == 0 {
		t.Errorf("the last bin is empty: %v", in)
	}
	if r, err = Rank("x", []float64{3, 3}, []float64{3}); err != nil {
		t.Fatal(err)
	}
	if lo, hi, in, _ = r.Histogram(4); lo != 3 || hi != 3 || in[0] != 2 {
		t.Errorf("of one value: from %g to %g, %v", lo, hi, in)
	}
}

func TestQuantiles(t *testing.T) {
	r, err := Rank("x", []float64{5, 1, 4, 2, 3}, []float64{9, 9})
	if err != nil {
		t.Fatal(err)
	}
	in, out := r.Quantiles(3)
	if !slices.Equal(in, []float64{1, 3, 5}) || !slices.Equal(out, []float64{9, 9}) {
		t.Errorf("%v, %v", in, out)
	}
}

// TestBootstrapResamples: a draw of weights gives what the samples written out so many times would.
func TestBootstrapResamples(t *testing.T) {
	in, out := scores(3, 50, 0, 0.5), scores(4, 30, 1, 0.5)
	r, err := Rank("x", in, out)
	if err != nil {
		t.Fatal(err)
	}
	weights := make([]uint16, 80)
	s := rng.New(9, "test", 0, 0)
	var in2, out2 []float64
	for range in {
		i := s.IntN(50)
		weights[i]++
		in2 = append(in2, in[i])
	}
	for range out {
		i := s.IntN(30)
		weights[50+i]++
		out2 = append(out2, out[i])
	}
	r2, err := Rank("x", in2, out2)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.weighted(weights), r2.Detection(); got != want {
		t.Errorf("%+v, written out %+v", got, want)
	}
}

// TestBootstrapCovers: the interval of AUROC is about as wide as theory has it (Hanley and McNeil 1982,
// https://doi.org/10.1148/radiology.143.1.7063747), holds the estimate, and does not depend on the
// number of threads.
func TestBootstrapCovers(t *testing.T) {
	r, err := Rank("x", scores(5, 1000, 0, 0), scores(6, 250, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	a := r.Detection().AUROC
	q1, q2 := a/(2-a), 2*a*a/(1+a)
	se := math.Sqrt((a*(1-a) + 249*(q1-a*a) + 999*(q2-a*a)) / (1000 * 250))
	got := Bootstrap([]*Ranking{r, r}, 500, 1)
	if w := (got[0].AUROC[1] - got[0].AUROC[0]) / (2 * 1.96 * se); w < 0.85 || w > 1.15 {
		t.Errorf("interval %v is %.2f times as wide as it should be", got[0].AUROC, w)
	}
	d := r.Detection()
	for m, v := range got[0].each() {
		if x := *d.each()[m]; m != 4 && (x < v[0] || x > v[1]) { // the best of all thresholds is biased upward
			t.Errorf("measure %d: %g is outside %v", m, x, *v)
		}
	}
	if got[0] != got[1] {
		t.Error("two equal detectors have different intervals")
	}
	threads := kernel.Threads()
	defer kernel.SetThreads(threads)
	kernel.SetThreads(threads + 2)
	if again := Bootstrap([]*Ranking{r}, 500, 1); again[0] != got[0] {
		t.Error("more threads give other intervals")
	}
	if other := Bootstrap([]*Ranking{r}, 500, 2); other[0] == got[0] {
		t.Error("another seed gives the same intervals")
	}
}
