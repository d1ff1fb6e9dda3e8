// Package bench measures: what a network is made of and how much memory it plans (network.go), and how
// fast this machine does kernels, layers, training steps, evaluation and gradients of the input, beside
// a peer that does the same work where there is one (peer.go).
//
// Operations are counted as the direct algorithm needs them, two for a multiply-add, whatever is
// computed; so Winograd's algorithm may exceed the processor's peak. Rates are of the median.
package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"dla/internal/engine"
)

// The groups of cases.
const (
	Kernels  = "kernels"  // matrix products and convolutions
	Layers   = "layers"   // what is bound by memory: normalisation, loss, updates
	Steps    = "steps"    // a training step: forward, backward, update
	Eval     = "eval"     // forward and loss
	FGSM     = "fgsm"     // the gradient of the loss by the input, and a step along its sign
	Encoders = "encoders" // of sentences: forward, and training steps of all weights and of LoRA's
	Memory   = "memory"   // peak resident memory of a process that trains; Linux only
)

// Groups are all groups in the order of Cases.
var Groups = []string{Kernels, Layers, Steps, Eval, FGSM, Encoders, Memory}

// Case is one piece of work to be measured.
type Case struct {
	Group, Name string

	peer    peerWork
	alias   string // what Select finds it by as well
	large   bool   // only when it is named
	prepare func(batch int) (*work, error)
}

// WithPeer are those of cases that a peer has too; Select finds them by the peer's names as well.
func WithPeer(cases []Case) []Case {
	var both []Case
	for _, c := range cases {
		if c.peer.name != "" {
			c.alias = c.peer.name
			both = append(both, c)
		}
	}
	return both
}

// Graph says whether the case runs a graph, whose ops can be timed.
func (c Case) Graph() bool { return slices.Contains([]string{Steps, Eval, FGSM, Encoders}, c.Group) }

// work is a case made ready for one size of batch.
type work struct {
	run          func() error
	images       int             // of a run, or sentences; 0: it is about neither
	flops, bytes float64         // of a run; bytes are what has to be read and written
	program      *engine.Program // what run spends its time in, where that is a graph
}

// Result is what a case took.
type Result struct {
	Group string `json:"group"`
	Case  string `json:"case"`
	Timing
	Images    int             `json:"images,omitempty"` // of a run, or sentences
	PerS      float64         `json:"images_per_s,omitempty"`
	GFLOPS    float64         `json:"gflops,omitempty"`
	PeakShare float64         `json:"peak_share,omitempty"` // of Options.Peak
	GBs       float64         `json:"gb_per_s,omitempty"`
	PlanBytes int64           `json:"plan_bytes,omitempty"` // intermediates and gradients, as the engine lays them out
	RSSBytes  int64           `json:"peak_rss_bytes,omitempty"`
	Costs     []engine.OpCost `json:"ops,omitempty"`
	Peer      *Comparison     `json:"peer,omitempty"`
}

// Options say how to measure.
type Options struct {
	Batch   int     // images; FGSM takes twice as many and Encoders 32 sentences, as the peer does
	Seconds float64 // of runs, after warming up; there are always a few
	Peak    float64 // operations a second the processor can do, from kernel.Peak
	Profile bool    // time every op of a graph as well
	Peer    *Peer   // measure in turns with it; nil: alone
}

// Cases are all there are on this system, group by group.
func Cases() []Case {
	all := slices.Concat(kernelCases(), layerCases(), networkCases(), encoderCases())
	if runtime.GOOS == "linux" {
		all = append(all, memoryCases()...)
	}
	return all
}

// Select picks from cases by words: those of the named groups (of all but Memory where none is named)
// whose names contain one of the other words, in either case of letters. Without other words the large
// ones are left out. A word that picks nothing is an error.
func Select(cases []Case, words []string) ([]Case, error) {
	var groups, parts []string
	for _, w := range words {
		if slices.Contains(Groups, w) {
			groups = append(groups, w)
		} else {
			parts = append(parts, strings.ToLower(w))
		}
	}
	hits := make([]int, len(parts))
	picked := slices.DeleteFunc(slices.Clone(cases), func(c Case) bool {
		if len(groups) > 0 && !slices.Contains(groups, c.Group) {
			return true
		}
		if len(parts) == 0 {
			return c.large || c.Group == Memory && len(groups) == 0
		}
		found := false
		for i, p := range parts {
			if strings.Contains(strings.ToLower(c.Group+" "+c.Name), p) || strings.Contains(c.alias, p) {
				hits[i]++
				found = true
			}
		}
		return !found
	})
	for i, n := range hits {
		if n == 0 {
			return nil, &NoCaseError{Word: parts[i], Groups: groups}
		}
	}
	if len(picked) == 0 {
		return nil, fmt.Errorf("there is no case in %s", strings.Join(groups, " or "))
	}
	return picked, nil
}

// NoCaseError is a word that no case has in its name.
type NoCaseError struct {
	Word   string
	Groups []string // that were looked in; none: all
}

func (e *NoCaseError) Error() string {
	if len(e.Groups) > 0 {
		return fmt.Sprintf("no case of %s has %q in its name", strings.Join(e.Groups, " or "), e.Word)
	}
	return fmt.Sprintf("no group and no case has %q in its name", e.Word)
}

// Measure runs the case. With Options.Peer it must be one of WithPeer. It ends early, with its cause, when
// ctx does.
func (c Case) Measure(ctx context.Context, o Options) (Result, error) {
	r := Result{Group: c.Group, Case: c.Name}
	fail := func(err error) (Result, error) {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		return r, fmt.Errorf("%s %s: %w", c.Group, c.Name, err)
	}
	runtime.GC() // what the case before has left
	batch := o.Batch
	if c.Group == FGSM {
		batch *= 2
	}
	w, err := c.prepare(batch)
	if err != nil {
		return fail(err)
	}
	switch {
	case c.Group == Memory:
		if r.RSSBytes, err = peakRSS(w.run); err != nil {
			return fail(err)
		}
	case o.Peer != nil:
		if r.Timing, r.Peer, err = c.compare(ctx, w, o); err != nil {
			return fail(err)
		}
	default:
		times, err := timeRuns(ctx, o.Seconds, w.run)
		if err != nil {
			return fail(err)
		}
		r.Timing = timingOf(times)
	}
	r.Images = w.images
	if r.Median > 0 {
		r.PerS, r.GFLOPS, r.GBs = float64(w.images)/r.Median, w.flops/r.Median/1e9, w.bytes/r.Median/1e9
	}
	if o.Peak > 0 {
		r.PeakShare = 1e9 * r.GFLOPS / o.Peak
	}
	if w.program == nil {
		return r, nil
	}
	r.PlanBytes = w.program.PeakBytes()
	if o.Profile {
		w.program.Profile(true)
		if _, err := timeRuns(ctx, o.Seconds, w.run); err != nil {
			return fail(err)
		}
		r.Costs = w.program.Costs()
		w.program.Profile(false)
	}
	return r, nil
}
