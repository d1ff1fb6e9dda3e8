//go:build long && !windows

package cli

import "testing"

func TestSweepSurvivesManyKills(t *testing.T) { killedSweep(t, 200, 50) }
