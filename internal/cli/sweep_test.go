package cli

import (
	"path/filepath"
	"testing"
)

// TestSweepPresets: the files under configs/sweep describe sweeps.
func TestSweepPresets(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	all, err := filepath.Glob("configs/sweep/*.yaml")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		want(t, 0, []string{"sweep", "--file", path, "--out", "absent", "--dry-run"}, "trials of")
	}
}
