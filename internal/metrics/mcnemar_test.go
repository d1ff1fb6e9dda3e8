package metrics

import (
	"math"
	"testing"
)

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		a, b  int
		exact bool
		p     float64
	}{
		{0, 0, true, 1},
		{3, 3, true, 1},
		{0, 5, true, 2.0 / 32},           // 2·(½)⁵
		{1, 9, true, 2 * 11.0 / 1024},    // 2·(1 + 10)·(½)¹⁰
		{9, 1, true, 2 * 11.0 / 1024},    // whichever is the better one
		{4, 8, true, 2 * 794.0 / 4096},   // 2·(1 + 12 + 66 + 220 + 495)·(½)¹²
		{12, 13, false, 1},               // the correction takes all of the difference
		{59, 121, false, 5.450094825e-6}, // χ² = 61²/180
		{6, 59, false, 1.12e-10},         // χ² = 52²/65
	} {
		got := McNemar(c.a, c.b)
		if got.Exact != c.exact || math.Abs(got.P-c.p) > 2e-3*c.p || got.OnlyA != c.a || got.OnlyB != c.b {
			t.Errorf("%d and %d: %+v, want exact %v, P %g", c.a, c.b, got, c.exact, c.p)
		}
	}
}

// TestMcNemarQuantile: a statistic at the 95 % quantile of chi-square, 3.841459, has a P of 5 %.
func TestMcNemarQuantile(t *testing.T) {
	n, d := 1_000_000, int(math.Round(math.Sqrt(3.841459*1_000_000)))+1
	if p := McNemar((n+d)/2, (n-d)/2).P; math.Abs(p-0.05) > 1e-3 {
		t.Errorf("P is %g at the quantile of 5 %%", p)
	}
}

// TestMcNemarBothWays: where the one test gives way to the other, they agree.
func TestMcNemarBothWays(t *testing.T) {
	few, many := McNemar(7, 17), McNemar(7, 18)
	if !few.Exact || many.Exact || math.Abs(few.P-0.0639) > 1e-3 || math.Abs(many.P-0.0455) > 2e-3 {
		t.Errorf("%+v, %+v", few, many)
	}
}

func TestPredictions(t *testing.T) {
	labels := []int32{0, 2, 2, 2, 127}
	a, err := NewPredictions([]int32{0, 1, 2, 3, 0}, labels)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewPredictions([]int32{0, 1, 3, 2, 127}, labels)
	if err != nil {
		t.Fatal(err)
	}
	onlyA, onlyB, err := a.Discordant(b)
	if err != nil {
		t.Fatal(err)
	}
	if onlyA != 1 || onlyB != 2 {
		t.Errorf("%d and %d discordant, want 1 and 2", onlyA, onlyB)
	}
	if a.Correct() != 2 || b.Correct() != 3 {
		t.Errorf("%d and %d right, want 2 and 3", a.Correct(), b.Correct())
	}
	if _, _, err := a.Discordant(b[1:]); err == nil {
		t.Error("predictions of other samples were compared")
	}
	for _, class := range []int32{-1, 32768} {
		if _, err := NewPredictions([]int32{class}, labels[:1]); err == nil {
			t.Errorf("class %d was kept", class)
		}
	}
	if _, err := NewPredictions(labels[:1], labels); err == nil {
		t.Error("one prediction for five labels was accepted")
	}
}
