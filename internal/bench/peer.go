package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"dla/internal/metrics"
)

// Peer is a program that measures the same work by other means. It is called with a part of a case's
// name as its last argument, and prints one line of JSON for each of its cases that have it in their
// name: {"case": "resnet20-w16 nhwc step", "min_s": 0.2, "median_s": 0.21, "per_s": 609.5, "n": 10}.
type Peer struct {
	Command []string // the program and its arguments; "--compile" among them: it has compiled variants too
	Threads int      // that it is to use, told by the environment variable THREADS
}

// PeerResult is a line of the peer's.
type PeerResult struct {
	Case   string  `json:"case"`
	Min    float64 `json:"min_s"`
	Median float64 `json:"median_s"`
	PerS   float64 `json:"per_s"` // images at the median
	N      int     `json:"n"`
}

// Comparison is what the peer took for the work of a case, measured in turns with ours.
type Comparison struct {
	FP32      PeerResult   `json:"fp32"`           // its fastest variant in float32
	Ratio     float64      `json:"ratio"`          // our images a second over those, both of the median
	BF16      *PeerResult  `json:"bf16,omitempty"` // its fastest in bfloat16
	RatioBF16 float64      `json:"ratio_bf16,omitempty"`
	Note      string       `json:"note,omitempty"` // where the work is not quite the same
	Noisy     bool         `json:"noisy"`          // a median is far above its minimum: others kept the machine busy
	All       []PeerResult `json:"all"`            // every variant, turns taken together
}

// peerWork says which of a peer's cases are the work of one of ours.
type peerWork struct {
	name     string // of the case, without the words for layout, compilation and precision
	variants bool   // it is there in each of those
	note     string // where it is not quite the same
}

// turns is how often each variant of the peer is run, after a run of ours each time.
const turns = 2

// asks are what to call the peer with, one after the other.
func (w peerWork) asks(compiled bool) []string {
	what, kind, _ := strings.Cut(w.name, " ")
	if !w.variants {
		return []string{what} // there are not many
	}
	ways := []string{""}
	if compiled {
		ways = append(ways, " compile")
	}
	var all []string
	for _, precision := range []string{"", "-bf16"} {
		for _, layout := range []string{"nchw", "nhwc"} {
			for _, way := range ways {
				all = append(all, what+" "+layout+way+precision+" "+kind)
			}
		}
	}
	return all
}

// parseCase takes the words for layout, compilation and precision out of a case's name.
func parseCase(name string) (work string, bf16 bool) {
	var words []string
	for _, w := range strings.Fields(name) {
		w, half := strings.CutSuffix(w, "-bf16")
		bf16 = bf16 || half
		if !slices.Contains([]string{"nchw", "nhwc", "compile"}, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, " "), bf16
}

// compare measures ours and the peer's in turns.
func (c Case) compare(ctx context.Context, w *work, o Options) (Timing, *Comparison, error) {
	var ours []float64
	var theirs []PeerResult
	for range turns {
		for _, ask := range c.peer.asks(slices.Contains(o.Peer.Command, "--compile")) {
			t, err := timeRuns(ctx, o.Seconds, w.run)
			if err != nil {
				return Timing{}, nil, err
			}
			lines, err := o.Peer.run(ctx, ask)
			if err == nil {
				lines, err = c.peer.of(lines, w.images)
			}
			if err != nil {
				return Timing{}, nil, err
			}
			ours, theirs = append(ours, t...), append(theirs, lines...)
		}
	}
	t := timingOf(ours)
	both, err := c.peer.pair(theirs, float64(w.images)/t.Median)
	if err != nil {
		return t, nil, fmt.Errorf("peer `%s`: %w", o.Peer, err)
	}
	both.Noisy = noisy(t.Min, t.Median) || noisy(both.FP32.Min, both.FP32.Median)
	return t, both, nil
}

// noisy says that half of the runs took half as long again as the fastest, or longer: on a machine of
// one's own they differ by some per cent, while two programs that want all threads can make one of them
// a hundred times slower.
func noisy(least, median float64) bool { return median > 1.5*least }

// of are those of the peer's results that are this work. Another number of images in a run than ours is
// an error.
func (w peerWork) of(lines []PeerResult, images int) ([]PeerResult, error) {
	var own []PeerResult
	for _, r := range lines {
		if work, _ := parseCase(r.Case); work != w.name {
			continue
		}
		if n := r.PerS * r.Median; math.Abs(n/float64(images)-1) > 0.05 { // both are rounded
			return nil, fmt.Errorf("the peer's %q is of %.0f images a run, ours of %d: leave --batch at its default", r.Case, n,
				images)
		}
		own = append(own, r)
	}
	return own, nil
}

// pair picks the fastest of the peer's variants of this work, for ours of so many images a second.
func (w peerWork) pair(lines []PeerResult, perS float64) (*Comparison, error) {
	c := &Comparison{Note: w.note, All: joinTurns(lines)}
	for _, r := range c.All {
		if _, bf16 := parseCase(r.Case); bf16 {
			if c.BF16 == nil || r.PerS > c.BF16.PerS {
				c.BF16, c.RatioBF16 = &r, perS/r.PerS
			}
		} else if r.PerS > c.FP32.PerS {
			c.FP32, c.Ratio = r, perS/r.PerS
		}
	}
	if c.FP32.Case == "" {
		return nil, fmt.Errorf("it printed no case %q in float32", w.name)
	}
	return c, nil
}

// joinTurns makes one result of those of a case, in the order of the first.
func joinTurns(lines []PeerResult) []PeerResult {
	var all []PeerResult
	medians := map[string][]float64{}
	for _, l := range lines {
		medians[l.Case] = append(medians[l.Case], l.Median)
		i := slices.IndexFunc(all, func(r PeerResult) bool { return r.Case == l.Case })
		if i < 0 {
			all = append(all, l)
			continue
		}
		r := &all[i]
		images := r.PerS * r.Median
		r.Min, r.Median, r.N = min(r.Min, l.Min), metrics.Median(medians[l.Case]), r.N+l.N
		r.PerS = images / r.Median
	}
	return all
}

func (p *Peer) String() string { return strings.Join(p.Command, " ") }

// run calls the peer and reads what it prints. An ended ctx ends it and all it has started.
func (p *Peer) run(ctx context.Context, ask string) ([]PeerResult, error) {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("peer `%s %q`: %w; run it by itself to see why, or leave --peer out", p, ask,
			fmt.Errorf(format, args...))
	}
	cmd := exec.CommandContext(ctx, p.Command[0], append(slices.Clone(p.Command[1:]), ask)...)
	cmd.Env = append(os.Environ(), "THREADS="+strconv.Itoa(p.Threads))
	cmd.WaitDelay = time.Second // what it has started may hold its output open
	endWithAll(cmd)
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fail("%w: %s", err, cmp.Or(lastLine(exit.Stderr), "it says nothing"))
		}
		return nil, fail("%w", err)
	}
	lines, err := parsePeer(out)
	if err != nil {
		return nil, fail("%w", err)
	}
	return lines, nil
}

// lastLine is the last that is not empty: in Python's tracebacks the error itself.
func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(bytes.TrimSpace(b[bytes.LastIndexByte(b, '\n')+1:]))
}

// parsePeer reads the peer's output.
func parsePeer(out []byte) ([]PeerResult, error) {
	var all []PeerResult
	for line := range bytes.Lines(out) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var r PeerResult
		if err := json.Unmarshal(line, &r); err != nil || r.Case == "" || !(r.Min > 0) || !(r.Median >= r.Min) ||
			!(r.PerS > 0) || r.N < 1 {
			return nil, fmt.Errorf("it printed %.100q where a line like {\"case\": …, \"min_s\": …, \"median_s\": …, \"per_s\": …, \"n\": …} was expected", line)
		}
		all = append(all, r)
	}
	return all, nil
}
