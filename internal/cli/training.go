package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/run"
)

// trainingFlags are those that every command that trains has, but for its settings.
type trainingFlags struct {
	experimentFlags
	seeds   int
	maxTime time.Duration
	profile bool
	keep    bool
}

// add gives cmd the flags.
func (o *trainingFlags) add(cmd *cobra.Command, lab string, b *settingFlags) {
	o.experimentFlags.add(cmd, lab, b)
	f := cmd.Flags()
	f.IntVar(&o.seeds, "seeds", 1, "train each variant from this many seeds: seed, seed+1, …")
	b.bind("data", "data.name", "data set: mnist, cifar10, synthetic-digits, synthetic-shapes; default cifar10 for all models but mlp")
	b.bind("epochs", "train.epochs", "passes over the training set")
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this long, as 90s or 2h; exit code 3")
	addKeepCheckpoints(cmd, &o.keep)
	f.BoolVar(&o.profile, "profile", false, "time every op of the training steps and print what each took; write OUT/cpu.pprof, for go tool pprof")
	completeWords(cmd, "data", data.Names())
}

// addKeepCheckpoints gives cmd the flag that keeps what finished trainings need no more.
func addKeepCheckpoints(cmd *cobra.Command, keep *bool) {
	cmd.Flags().BoolVar(keep, "keep-checkpoints", false,
		"keep the checkpoints of finished runs, weights and optimiser; else the best weights alone stay")
}

// begin starts a training's session. close ends it.
func (o trainingFlags) begin(cmd *cobra.Command, s *Streams) (*session, error) {
	stopProfile := func() error { return nil }
	if o.profile {
		file := filepath.Join(o.out, "cpu.pprof")
		if err := os.MkdirAll(o.out, 0o777); err != nil {
			return nil, fmt.Errorf("--profile: %w; choose another folder with --out", err)
		}
		stop, err := startCPUProfile(file)
		if err != nil {
			return nil, fmt.Errorf("--profile: %w", err)
		}
		stopProfile = func() error {
			err := stop()
			if err == nil {
				fmt.Fprintf(s.Err, "\nCPU profile: %s\n", run.Quote("go", "tool", "pprof", "-top", file))
			}
			return err
		}
	}
	x := o.experimentFlags.begin(cmd, s)
	x.opt.MaxTime, x.opt.KeepCheckpoints = o.maxTime, o.keep
	if o.profile {
		x.opt.Profile = func(variant string, costs []engine.OpCost) {
			x.progress.Flush()
			fmt.Fprintf(s.Err, "\n%s, training steps:\n%s", variant, costTable(costs))
		}
	}
	end := x.close
	x.close = func() error { return errors.Join(end(), stopProfile()) }
	return x, nil
}

// itemsOf is what the data set called name is of.
func itemsOf(name string) string {
	if data.IsText(name) {
		return "sentences"
	}
	return "images"
}

func roundSeconds(sec float64) time.Duration {
	return time.Duration(sec * float64(time.Second)).Round(time.Second)
}
