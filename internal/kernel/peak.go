package kernel

import "time"

// probe is a task whose every chunk does n rounds of twelve independent vector multiply-adds.
type probe struct{ n int }

func (p *probe) chunk(*lane, int) { simd.probe(p.n) }

// Peak measures the largest number of floating-point operations a second that the processor does on all Threads with
// the vectors of the present Level: multiply-adds, counted as two, that touch no memory. It warms the processor up
// for d, then measures for d and returns the best; some tens of milliseconds are enough.
func Peak(d time.Duration) float64 {
	const chains = 12
	p := &probe{n: 1000}
	chunks := 4 * Threads() // several a thread, so that one that comes late does less
	round := func() time.Duration {
		start := time.Now()
		run(p, chunks)
		return time.Since(start)
	}
	for round() < time.Millisecond { // beside which handing out the chunks is nothing
		p.n *= 2
	}
	for start := time.Now(); time.Since(start) < d; {
		round()
	}
	best := round()
	for start := time.Now(); time.Since(start) < d; {
		best = min(best, round())
	}
	return float64(chunks) * float64(p.n) * chains * 2 * float64(simd.floats) / best.Seconds()
}
