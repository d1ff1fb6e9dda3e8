package cli

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/train"
)

// remaining estimates how long a command goes on: the rest of the training that runs, and each run that is to come,
// which takes as long as those before it with the same settings but the seed, or as all before it where there is none.
type remaining struct {
	kinds []string // of the command's runs: their settings but the seed
	at    int      // the present run
	took  map[string][]time.Duration
	began time.Time // of the present run

	trains time.Time // since when its training runs in this process
	from   float64   // epochs that were done then
	done   float64   // epochs done, with the part of the present one
	epochs int       // 0: it has none so far
}

// kindsOf returns the kinds of tasks.
func kindsOf(tasks []labs.Task) []string {
	var all []string
	for _, t := range tasks {
		c := reflect.New(reflect.TypeOf(t.Settings))
		c.Elem().Set(reflect.ValueOf(t.Settings))
		_ = config.SetValue(c.Interface(), "seed", uint64(0)) // settings without a seed are their own kind
		all = append(all, fmt.Sprintf("%#v", c.Elem().Interface()))
	}
	return all
}

// start begins a command with runs of the given kinds.
func (r *remaining) start(kinds []string, now time.Time) {
	*r = remaining{kinds: kinds, took: map[string][]time.Duration{}, began: now}
}

// ended notes the end of the present run. One that was finished before took no time.
func (r *remaining) ended(reused bool, now time.Time) {
	if !reused && r.at < len(r.kinds) {
		k := r.kinds[r.at]
		r.took[k] = append(r.took[k], now.Sub(r.began))
	}
	r.at++
	r.began, r.epochs, r.from, r.done = now, 0, 0, 0
}

// event takes note of the position in a training.
func (r *remaining) event(e train.Event, now time.Time) {
	switch e.Kind {
	case train.EpochStart:
		at := position(e)
		if r.epochs != e.Epochs || at < r.done { // another training, such as that of a teacher
			r.trains, r.from, r.epochs = now, at, e.Epochs
		}
		r.done = at
	case train.Step:
		r.done = position(e)
	case train.EpochEnd:
		r.done = float64(e.Epoch)
	}
}

// position returns the epochs done at e, an event in an epoch.
func position(e train.Event) float64 {
	return float64(e.Epoch-1) + float64(e.Step)/float64(max(e.Steps, 1))
}

// left returns the estimate. ok is false where nothing is known yet.
func (r *remaining) left(now time.Time) (d time.Duration, ok bool) {
	full := time.Duration(-1) // of the present run
	if r.epochs > 0 && r.done > r.from {
		each := float64(now.Sub(r.trains)) / (r.done - r.from)
		d = time.Duration(each * max(0, float64(r.epochs)-r.done))
		full = time.Duration(each * float64(r.epochs))
	} else if r.at < len(r.kinds) {
		t, known := r.expected(r.kinds[r.at], full)
		if !known {
			return 0, false
		}
		d = max(0, t-now.Sub(r.began))
	}
	for i := r.at + 1; i < len(r.kinds); i++ {
		t, known := r.expected(r.kinds[i], full)
		if !known {
			return 0, false
		}
		d += t
	}
	return d, true
}

// expected returns how long a run of kind takes. full is the estimate for the present run; negative: there is none.
func (r *remaining) expected(kind string, full time.Duration) (time.Duration, bool) {
	same, all := r.took[kind], []time.Duration(nil)
	for _, t := range r.took {
		all = append(all, t...)
	}
	if full >= 0 {
		all = append(all, full)
		if r.kinds[r.at] == kind {
			same = append(same[:len(same):len(same)], full)
		}
	}
	if len(same) > 0 {
		all = same
	}
	if len(all) == 0 {
		return 0, false
	}
	sum := time.Duration(0)
	for _, t := range all {
		sum += t
	}
	return sum / time.Duration(len(all)), true
}

// titleLine keeps the title of the terminal's window.
type titleLine struct {
	mu    sync.Mutex
	s     *Streams
	text  string
	on    bool // the terminal has a title of ours
	over  bool
	shown time.Time
}

// Control sequences of xterm: put the title on the terminal's stack, set it, and take it back.
const (
	pushTitle = "\x1b[22;2t"
	setTitle  = "\x1b]2;%s\x07"
	popTitle  = "\x1b[23;2t"
)

// set sets the title, once a second at most. On a console that has none it does nothing.
func (t *titleLine) set(text string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || text == t.text || now.Sub(t.shown) < time.Second || os.Getenv("TERM") == "linux" {
		return
	}
	push := ""
	if !t.on {
		push = pushTitle
	}
	t.on, t.text, t.shown = true, text, now
	fmt.Fprintf(t.s.barsOut(), push+setTitle, strings.ReplaceAll(string(escaped([]byte(text))), "\n", " "))
}

// restore gives the terminal its title back, or clears it where the terminal has kept none. Nothing sets it after that.
func (t *titleLine) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.on {
		fmt.Fprintf(t.s.barsOut(), setTitle+popTitle, "")
	}
	t.on, t.over = false, true
}

// sparkWidth is the number of characters of a sparkline.
const sparkWidth = 24

// sparkline draws the last values as a line of blocks, from the smallest to the largest.
func sparkline(values []float64) string {
	values = values[max(0, len(values)-sparkWidth):]
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case hi > lo:
			b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(math.Round(7*(v-lo)/(hi-lo)))])
		default:
			b.WriteRune('▄')
		}
	}
	return b.String()
}
