package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"dla/internal/engine"
	"dla/internal/table"
)

// costTable returns the times of a compiled graph's ops, the most expensive first.
func costTable(costs []engine.OpCost) *table.Table {
	t := table.New("llrrrr", "op", "output", "steps", "ms a run", "share", "GFLOP/s")
	for _, c := range costs {
		var rate table.Cell
		if c.FLOPs > 0 {
			rate = table.Number("%.1f", c.FLOPs/c.Seconds/1e9)
		}
		t.Row(c.Op, c.Shape, c.Steps, table.Number("%.3f", 1e3*c.Seconds*float64(c.Steps)/float64(c.Runs)),
			shownAs(fmt.Sprintf("%.1f %%", 100*c.Share), c.Share), rate)
	}
	return t
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
