package cli

import (
	"errors"
	"fmt"
	"testing"
)

// TestExitCodes: 2 is a mistake in what was typed, 1 is everything that went wrong after it was
// understood. (3 and 130 are in testdata/script/stop.txtar and in the tests of resume.)
func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tc := range []struct {
		code int
		args []string
	}{
		{0, []string{}},
		{0, []string{"--help"}},
		{0, []string{"version"}},
		{0, []string{"runs", "ls"}},
		{2, []string{"lab9"}},
		{2, []string{"runs", "lst"}},
		{2, []string{"--colour"}},
		{2, []string{"runs", "show"}},
		{2, []string{"version", "please"}},
		{2, []string{"lab1", "resnet", "--depth", "deep"}},
		{2, []string{"lab1", "resnet", "--set", "train.lrr=1"}},
		{2, []string{"lab1", "resnet", "--set", "train.lr=0"}},
		{2, []string{"lab1", "resnet", "--config", "absent.yaml"}},
		{2, []string{"plot"}},
		{1, []string{"plot", "--all"}},
		{1, []string{"runs", "show", "2026"}},
	} {
		want(t, tc.code, tc.args)
	}
}

// TestErrorsAreOneLine: what several things that went wrong say is one line, as scripts read it.
func TestErrorsAreOneLine(t *testing.T) {
	err := fmt.Errorf("writing: %w; free some space", errors.Join(errors.New("no space left"), errors.New("\tx is left")))
	if got, want := inOneLine(err), "writing: no space left; x is left; free some space"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
