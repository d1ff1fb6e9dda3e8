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
	if line := recipe(c, 1, "images"); !strings.Contains(line, "sgd lr 0.1 momentum 0.9 ") ||
		strings.Contains(line, "average") {
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

// TestLineOfSeveralRecipes: networks that are trained by different recipes are not said to be trained by the first's.
func TestLineOfSeveralRecipes(t *testing.T) {
	of := func(name string, seed uint64) config.Resnet {
		c := config.DefaultFor(name)
		c.Seed = seed
		return c
	}
	line := resnetLine([]config.Resnet{of("speedrun", 0), of("speedrun", 1), of("small", 0), of("small", 1),
		of("resnet20", 0), of("resnet20", 1)})
	speedrun, others, _ := strings.Cut(line, "; cnn-small-plain plain20: ")
	if !strings.HasPrefix(speedrun, "lab1 resnet: on cifar10, speedrun: 9 epochs, batch 2000, muon lr 0.24") ||
		!strings.HasPrefix(others, "10 epochs, batch 128, sgd lr 0.1") || !strings.Contains(others, "onecycle, seeds 0-1;") ||
		!strings.Contains(speedrun, "linear, seeds 0-1;") {
		t.Error(line)
	}
	line = resnetLine([]config.Resnet{of("small", 3), of("resnet20", 3)})
	if !strings.HasPrefix(line, "lab1 resnet: cnn-small-plain plain20 on cifar10, 10 epochs, batch 128, sgd") ||
		!strings.Contains(line, ", seed 3;") {
		t.Error(line)
	}
}
