package kernel

import (
	"math"
	"testing"
	"time"
)

// TestPeak: at every level there is a rate; what it is depends on the machine.
func TestPeak(t *testing.T) {
	levels(t, func(level string) {
		p := Peak(time.Millisecond)
		if !(p > 0) || math.IsInf(p, 0) {
			t.Errorf("%s: a peak of %g", level, p)
		}
		t.Logf("%s: %.1f GFLOP/s", level, p/1e9)
	})
}
