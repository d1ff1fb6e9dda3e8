package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"

	"dla/internal/engine"
)

// costTable formats the times of a compiled graph's ops, the most expensive first.
func costTable(costs []engine.OpCost) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %-20s %5s %10s %7s %9s\n", "op", "output", "steps", "ms a run", "share", "GFLOP/s")
	for _, c := range costs {
		rate := ""
		if c.FLOPs > 0 {
			rate = fmt.Sprintf(" %9.1f", c.FLOPs/c.Seconds/1e9)
		}
		fmt.Fprintf(&b, "%-28s %-20s %5d %10.3f %5.1f %%%s\n", c.Op, c.Shape, c.Steps,
			1e3*c.Seconds*float64(c.Steps)/float64(c.Runs), 100*c.Share, rate)
	}
	return b.String()
}

// startCPUProfile writes a profile, for go tool pprof, to path until stop is called.
func startCPUProfile(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
