package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/engine"
)

// TestRecipeNamesOptimizerAndAverage: both rates of muon, and an average.
func TestRecipeNamesOptimizerAndAverage(t *testing.T) {
	c := config.DefaultFor("small").Training()
	if line := recipe(c, 1, "images"); !strings.Contains(line, "sgd lr 0.1 momentum 0.9 ") || strings.Contains(line, "average") {
		t.Error(line)
	}
	c.Train.Optimizer, c.Train.Average.Kind = "muon", config.AverageEMA
	if line := recipe(c, 1, "images"); !strings.Contains(line, "muon lr 0.24 momentum 0.6 and sgd lr 0.1 momentum 0.9 ") ||
		!strings.Contains(line, ", average ema") {
		t.Error(line)
	}
}

// TestManySeeds: settings are told apart in one pass, not in pairs, and each stands there once.
func TestManySeeds(t *testing.T) {
	began := time.Now()
	var out bytes.Buffer
	if code := Main([]string{"lab1", "resnet", "--depth", "1,2,1", "--seeds", "4000", "--dry-run"},
		&Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != 0 {
		t.Fatalf("exit %d: %.200s", code, out.String())
	}
	if n := strings.Count(out.String(), "\nmlp-d1-plain "); n != 4000 ||
		!strings.Contains(out.String(), "\n8000 runs, about ") {
		t.Errorf("%d runs of depth 1, want 4000: …%s", n, out.String()[max(0, out.Len()-100):])
	}
	if d := time.Since(began); d > 20*time.Second { // in pairs it takes hours
		t.Errorf("it took %v", d)
	}
	out.Reset()
	if code := Main([]string{"lab1", "resnet", "--seeds", "3", "--set", "seed=7", "--dry-run"},
		&Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != 0 ||
		strings.Count(out.String(), " seed 7 ") != 1 {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// TestDryRunOfWhatDoesNotFit: what the machine has no memory for is one error with the numbers.
func TestDryRunOfWhatDoesNotFit(t *testing.T) {
	defer func(m func() int64) { engine.Memory = m }(engine.Memory)
	engine.Memory = func() int64 { return 16e9 }
	for _, args := range [][]string{{"--depth", "200", "--set", "model.width=16384"},
		{"--model", "resnet20", "--set", "train.batch_size=65536"}} {
		var out, errOut bytes.Buffer
		code := Main(append([]string{"lab1", "resnet", "--dry-run"}, args...),
			&Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
		if code != exitFailure || strings.Count(errOut.String(), "\n") != 1 ||
			!strings.Contains(errOut.String(), "and this machine has 16.0 GB of memory") {
			t.Errorf("%q: exit %d, %s%s", args, code, out.String(), errOut.String())
		}
	}
}
