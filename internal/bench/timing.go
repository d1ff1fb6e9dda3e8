package bench

import (
	"context"
	"slices"
	"time"

	"dla/internal/metrics"
)

// Timing is what runs of one thing took, in seconds.
type Timing struct {
	Min    float64 `json:"min_s,omitempty"`
	Median float64 `json:"median_s,omitempty"`
	N      int     `json:"n,omitempty"` // runs, after the first two, which warm up
}

// minRuns is how often a case is run however long it takes: a median of fewer says little.
const minRuns = 5

// timeRuns runs f twice to warm up and then for so many seconds, at least minRuns times, and returns
// what each of those runs took.
func timeRuns(ctx context.Context, seconds float64, f func() error) ([]float64, error) {
	var times []float64
	var total float64
	for i := 0; i < 2+minRuns || total < seconds; i++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		if i < 2 {
			continue
		}
		t := time.Since(start).Seconds()
		times = append(times, t)
		total += t
	}
	return times, nil
}

// timingOf sums times up; there is at least one.
func timingOf(times []float64) Timing {
	return Timing{Min: slices.Min(times), Median: metrics.Median(times), N: len(times)}
}
