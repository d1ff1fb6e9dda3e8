package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestManySeeds: settings are told apart in one pass, not in pairs, and each stands there once.
func TestManySeeds(t *testing.T) {
	began := time.Now()
	var out bytes.Buffer
	if code := Main([]string{"lab1", "resnet", "--depth", "1,2,1", "--seeds", "4000", "--dry-run"}, &Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != 0 {
		t.Fatalf("exit %d: %.200s", code, out.String())
	}
	if n := strings.Count(out.String(), "\nmlp-d1-plain "); n != 4000 || !strings.Contains(out.String(), "\n8000 runs, about ") {
		t.Errorf("%d runs of depth 1, want 4000: …%s", n, out.String()[max(0, out.Len()-100):])
	}
	if d := time.Since(began); d > 20*time.Second { // in pairs it takes hours
		t.Errorf("it took %v", d)
	}
	out.Reset()
	if code := Main([]string{"lab1", "resnet", "--seeds", "3", "--set", "seed=7", "--dry-run"}, &Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != 0 || strings.Count(out.String(), " seed 7 ") != 1 {
		t.Errorf("exit %d: %s", code, out.String())
	}
}
