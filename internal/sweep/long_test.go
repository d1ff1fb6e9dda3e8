//go:build long

package sweep

import "testing"

func TestTenThousandClaims(t *testing.T) { tenThousandTrials(t, 10000) }
