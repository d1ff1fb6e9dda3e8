package cli

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/train"
)

// TestRemaining: a study of plain and residual networks from two seeds each, of which one was finished before.
func TestRemaining(t *testing.T) {
	var tasks []labs.Task
	for _, res := range []bool{false, true} {
		for seed := range uint64(3) {
			c := config.DefaultResnet()
			c.Model.Res, c.Seed = res, seed
			tasks = append(tasks, labs.Task{Settings: c})
		}
	}
	kinds := kindsOf(tasks)
	if kinds[0] != kinds[1] || kinds[3] != kinds[5] || kinds[0] == kinds[3] {
		t.Fatalf("kinds %q", kinds)
	}
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	var r remaining
	r.start(kinds, now)
	check := func(when string, want float64) {
		t.Helper()
		switch d, ok := r.left(now); {
		case ok != (want >= 0), ok && math.Abs(d.Seconds()-want) > 1e-3:
			t.Errorf("%s: %v, %v, want %v s", when, d, ok, want)
		}
	}
	wait := func(seconds float64) { now = now.Add(time.Duration(seconds * float64(time.Second))) }
	event := func(k train.Kind, epoch, step int) {
		r.event(train.Event{Kind: k, Epoch: epoch, Epochs: 10, Step: step, Steps: 100}, now)
	}
	check("nothing is known", -1)
	wait(5) // data are read
	event(train.EpochStart, 1, 0)
	check("it trains", -1)
	wait(1)
	event(train.Step, 1, 10)
	check("a tenth of an epoch, which takes 10 s", 99+5*100)
	wait(9)
	event(train.EpochEnd, 1, 100)
	check("an epoch", 90+5*100)
	wait(90)
	event(train.EpochEnd, 10, 100)
	check("all epochs, before the test", 5*100)
	wait(5)
	r.ended(false, now)
	check("the first run, which took 110 s", 5*110)
	r.ended(true, now)
	check("a run that was finished before", 4*110)
	wait(10)
	check("the third reads its data", 4*110-10)
	event(train.EpochStart, 5, 50) // goes on at half of the fifth epoch
	wait(5)
	event(train.EpochEnd, 5, 100)
	check("it goes on", 50+3*105) // three more of this kind or another: 110 and 100 so far
	wait(50)
	event(train.EpochEnd, 10, 100)
	r.ended(false, now)
	wait(1)
	check("residual ones, of which none has run: as those before", 3*(110.+65)/2-1)
	event(train.EpochStart, 1, 0)
	wait(2)
	event(train.EpochEnd, 1, 100)
	check("residual ones take 20 s", 18+2*20)
	event(train.EpochStart, 1, 0) // of another training, such as that of a teacher
	wait(4)
	event(train.EpochEnd, 1, 100)
	check("begun again", 36+2*40)
	r.ended(false, now)
	r.ended(true, now)
	r.ended(true, now)
	check("over", 0)
}

// TestTitle: the title is taken back once, and nothing sets it after that. A console without titles gets none.
func TestTitle(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	var out bytes.Buffer
	now := time.Unix(1, 0)
	title := titleLine{s: &Streams{Err: &out}}
	title.set("a\x1b\x07\n1/2", now)
	title.set("b", now.Add(time.Millisecond))
	title.set("c", now.Add(time.Second))
	title.restore()
	title.restore()
	title.set("d", now.Add(time.Minute))
	want := "\x1b[22;2t\x1b]2;" + `a\u001b\u0007 1/2` + "\x07\x1b]2;c\x07\x1b]2;\x07\x1b[23;2t"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	t.Setenv("TERM", "linux")
	title = titleLine{s: &Streams{Err: &out}}
	title.set("a", now)
	title.restore()
	if out.Len() > 0 {
		t.Errorf("on a console: %q", out.String())
	}
}

func TestSparkline(t *testing.T) {
	for want, values := range map[string][]float64{"": nil, "▄": {3}, "▄▄": {2, 2}, "█▅▁": {2, 1.2, 0},
		"▁ █": {0, math.NaN(), 1},
		strings.Repeat("▁", sparkWidth-1) + "█": append(make([]float64, 100), 1)} {
		if got := sparkline(values); got != want {
			t.Errorf("%v: %q, want %q", values, got, want)
		}
	}
}
