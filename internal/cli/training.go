package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/optim"
	"dla/internal/run"
)

// trainingFlags holds the flags that every training command has beside its settings.
type trainingFlags struct {
	experimentFlags
	seeds   int
	maxTime time.Duration
	profile bool
	keep    bool
}

// add adds the flags to cmd.
func (o *trainingFlags) add(cmd *cobra.Command, lab string, b *settingFlags) {
	o.experimentFlags.add(cmd, lab, b)
	f := cmd.Flags()
	f.IntVar(&o.seeds, "seeds", 1, "train each variant from this many seeds: seed, seed+1, …")
	b.bind("data", "data.name", "data set (dla data ls), or a folder, zip, tar or tar.gz of your own images or idx files "+
		"(dla data --help); default: mnist for mlp, else cifar10")
	b.bind("epochs", "train.epochs", "passes over the training set")
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this time, such as 90s or 2h; exit code 3")
	addKeepCheckpoints(cmd, &o.keep)
	f.BoolVar(&o.profile, "profile", false, "time every op of the training steps and print the times; write "+
		"OUT/cpu.pprof for go tool pprof")
	if lab == "lab3" {
		f.Lookup("data").Usage = "set of sentences: " + strings.Join(data.SentenceNames(),
			", ") + ", or a FILE or FOLDER of " +
			"labelled texts"
		_ = cmd.RegisterFlagCompletionFunc("data", func(*cobra.Command, []string, string) ([]cobra.Completion,
			cobra.ShellCompDirective) {
			return data.SentenceNames(), cobra.ShellCompDirectiveDefault // and files
		})
		return
	}
	completeData(cmd)
}

// completeData completes --data from the sets' names and from files.
func completeData(cmd *cobra.Command) {
	// fails for an unknown flag only
	_ = cmd.RegisterFlagCompletionFunc("data", cobra.FixedCompletions(data.Names(), cobra.ShellCompDirectiveDefault))
}

// addDataAt adds the flag that says where the data of a network or a run are now.
func addDataAt(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "data", "", "where the data that the network was trained on are now, if they are your own "+
		"and were moved: a folder or archive")
	completeData(cmd)
}

// addViews adds the flag of test-time augmentation.
func addViews(cmd *cobra.Command, b *settingFlags) {
	b.bind("views", "test.views", "test-time augmentation, reported beside the accuracy without it: none; mirror, the "+
		"mean logits of the image and its mirror image; or shift, also of both shifted by a pixel")
	completeWords(cmd, "views", config.AllViews)
}

// addOptimizer adds the flags of how an image classifier's weights are updated and averaged.
func addOptimizer(cmd *cobra.Command, b *settingFlags) {
	b.bind("optimizer", "train.optimizer",
		"sgd, adamw, or muon for filters of convolutions (rate: train.muon.lr) and sgd "+
			"for the rest")
	b.bind("average", "train.average.kind", "evaluate and keep an average of the weights: none, ema or lookahead "+
		"(constants: train.average)")
	completeWords(cmd, "optimizer", optim.Names)
	completeWords(cmd, "average", append([]string{config.AverageNone}, optim.Averages...))
}

// addKeepCheckpoints adds the flag that keeps the checkpoints of finished trainings.
func addKeepCheckpoints(cmd *cobra.Command, keep *bool) {
	cmd.Flags().BoolVar(keep, "keep-checkpoints", false,
		"keep the checkpoints of finished runs (weights and optimiser state), not the best weights alone")
}

// begin starts the session of a training; close ends it.
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

// itemsOf returns what the data set of a run consists of: images or sentences.
func itemsOf(rec run.Record) string {
	if strings.HasPrefix(rec.Experiment, "lab3/") {
		return "sentences"
	}
	return "images"
}

func roundSeconds(sec float64) time.Duration {
	return time.Duration(sec * float64(time.Second)).Round(time.Second)
}
