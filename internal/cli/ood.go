package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
)

// oodOptions are the flags of `dla lab4 ood`.
type oodOptions struct {
	experimentFlags
	checkpoint  string
	autoencoder string
	ood         []string
	limit       int
}

func newOODCmd(s *Streams) *cobra.Command {
	def := config.DefaultOOD()
	var o oodOptions
	cmd := &cobra.Command{
		Use:   "ood",
		Short: "Detect out-of-distribution images: fifteen detectors on a trained classifier",
		Long: `Tell images of other kinds from a classifier's test set: CIFAR-100's people (2,500 images, five
classes), seeded noise, JPEG copies of the test set (a shift, not outliers), and any set of images of ` + "`dla data ls`" + `,
as svhn and textures, or any folder of images. What of these is not 32x32 RGB is made so, as torchvision's
Resize and CenterCrop do, and the output and the record say how many images that were. Files of other kinds than
PNG and JPEG are passed over and counted. Links in a folder are followed; in an archive they are an error.

Of each set those images are left out, said and recorded by name, that are copies, pixel by pixel, of the
classifier's data or of outliers it was trained on: cifar100 has two of cifar10. A set of which more than 5 %
are copies is refused.

Detectors: max softmax and reconstruction error (the lab's), max logit, energy, ODIN, Mahalanobis, relative
Mahalanobis, KNN, ViM, GEN, ReAct, DICE, ASH-S, SHE, KL matching. The larger a score, the more an image
is out of distribution. What of them has a setting is tuned on validation images and distorted copies of
these, none of which is evaluated. The reconstruction error needs an autoencoder (--autoencoder).

For each detector and set: AUROC, AUPR both ways with its base rate, FPR95 both ways and detection accuracy, with
95 % intervals from a stratified bootstrap; sorted scores, histograms, ROC curves, the worst misses. Features are
computed once for all detectors and kept in the user's cache folder.

Settings come from, later ones winning: built-in defaults, --config, flags, --set.`,
		Example: `  dla lab4 ood                                                  # the checkpoint resnet20
  dla lab4 ood --checkpoint 20261124-093015-resnet20-s0 --ood dogs=photos/dogs --ood cats=cats.tar.gz
  dla lab4 ood --ood svhn --ood textures                        # fetched where they are not on this machine
  dla lab4 ood --checkpoint resnet20-w32 --autoencoder ''       # without the reconstruction error
  dla lab4 ood --set 'sets.names=[fake]' --set sets.fake=2500
  dla lab4 ood --fast-dev-run                                   # to see that everything works`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runOOD(cmd, s, o) },
	}
	f := cmd.Flags()
	o.add(cmd, "lab4", def.Seed)
	f.Lookup("set").Usage = "one setting, as sets.fake=2500; repeatable"
	f.Lookup("seed").Usage = "seed of the noise, of the distorted images and of the bootstrap"
	f.StringVar(&o.checkpoint, "checkpoint", def.Checkpoint, "classifier: a checkpoint's name or folder, or a run's id")
	f.StringVar(&o.autoencoder, "autoencoder", def.Autoencoder, "autoencoder for the reconstruction error, likewise; empty: without it")
	f.StringArrayVar(&o.ood, "ood", nil,
		"further set of outliers: one of dla data ls, or name=folder (or tar, tar.gz) of images; repeatable")
	f.IntVar(&o.limit, "limit", def.Limit, "use only so many images of each part; 0: all")
	f.Lookup("resume").Usage = "reuse a finished run of the same settings and data, continue an interrupted one"
	f.Lookup("dry-run").Usage = "print the resolved settings and what the evaluation will cost, and stop"
	f.Lookup("fast-dev-run").Usage = "500 images of each part and 100 resamples, to see that everything works; flags and --set that say otherwise win"
	return cmd
}

// settings resolves the settings.
func (o oodOptions) settings(cmd *cobra.Command) (config.OOD, error) {
	set := cmd.Flags().Changed
	c := config.DefaultOOD()
	if o.config != "" {
		if err := config.LoadFile(&c, o.config); err != nil {
			return c, err
		}
	}
	if set("seed") {
		c.Seed = o.seed
	}
	if set("checkpoint") {
		c.Checkpoint = o.checkpoint
	}
	if set("autoencoder") {
		c.Autoencoder = o.autoencoder
	}
	if set("ood") {
		if err := knownSets(o.ood); err != nil {
			return c, err
		}
		c.Sets.Further(o.ood)
	}
	if set("limit") {
		c.Limit = o.limit
	}
	o.devRun(cmd, small{"limit", "limit", &c.Limit, 500}, small{"", "resamples", &c.Resamples, 100})
	if err := errors.Join(o.assign(&c), o.check()); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// knownSets checks those of --ood that are no folders.
func knownSets(sets []string) error {
	for _, name := range sets {
		if !strings.Contains(name, "=") && !slices.Contains(data.Names(), name) {
			return fmt.Errorf("--ood %s: want NAME=FOLDER, or a set of images: %s", name, strings.Join(data.Names(), ", "))
		}
	}
	return nil
}

func runOOD(cmd *cobra.Command, s *Streams, o oodOptions) (err error) {
	cfg, err := o.settings(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	if o.dryRun {
		return dryRunOOD(s, cfg, labs.Options{Root: o.out}, o.json)
	}
	x := o.begin(cmd, s)
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, oodLine(cfg))
	d, err := labs.OOD(x.ctx, cfg, x.opt)
	x.progress.Close()
	if x.ctx.Err() != nil {
		fmt.Fprintln(s.Err, "\nstopped; the features computed so far are kept. Go on with the same command and --resume")
		return &ExitError{Code: max(x.code(), 130)}
	}
	if err != nil {
		return err
	}
	return closingOOD(s, d, o)
}

// oodLine shows the resolved settings.
func oodLine(c config.OOD) string {
	sets := strings.Join(append(append([]string{}, c.Sets.Names...), c.Sets.Folders...), " ")
	line := fmt.Sprintf("lab4 ood: %s against %s, seed %d; %d threads, %s kernels", c.Checkpoint, sets, c.Seed, kernel.Threads(), kernel.Level())
	if c.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d images of each part", c.Limit)
	}
	return line
}

// closingOOD prints the tables, the sign check, where the record is and what to type next.
func closingOOD(s *Streams, d labs.Detected, o oodOptions) error {
	if o.json {
		return writeJSON(s.Out, d.Result)
	}
	table, err := report.OODTable(d.Record, "")
	if err != nil {
		return err
	}
	w := s.Out
	fmt.Fprintf(w, "\n%s\n", table)
	if d.Result.Note != "" {
		fmt.Fprintf(w, "  NOTE            %s\n", d.Result.Note)
	}
	c := d.Result.Signs
	fmt.Fprintf(w, "  sign check      passed: AUROC %g of a perfect detector, %g of its negation, %g of a constant\n", c.Perfect, c.Negated, c.Constant)
	again := ""
	if d.Reused {
		again = ", finished before"
	}
	fmt.Fprintf(w, "  wall time       %s%s\n", time.Duration(d.Result.WallSeconds*float64(time.Second)).Round(100*time.Millisecond), again)
	fmt.Fprintf(w, "  record          %s\n", d.Record.Dir)
	if len(d.Figures) > 0 {
		fmt.Fprintf(w, "  figures         %s\n", filepath.Join(d.Record.Dir, "figures"))
	}
	more, def := []string{"lab4", "ood"}, config.DefaultOOD()
	if d.Result.Checkpoint != filepath.Join(labs.CheckpointsDir, def.Checkpoint) {
		more = append(more, "--checkpoint", d.Result.Checkpoint)
	}
	if d.Result.Autoencoder != filepath.Join(labs.CheckpointsDir, def.Autoencoder) {
		more = append(more, "--autoencoder", d.Result.Autoencoder)
	}
	next(w, run.Command(o.out, "runs", "show", d.Record.ID),
		run.Command(o.out, append(more, "--ood", "NAME=FOLDER")...)+"   # any images of your own")
	return nil
}

// dryRunOOD prints the settings and what the evaluation will cost, reading no data.
func dryRunOOD(s *Streams, cfg config.OOD, opt labs.Options, asJSON bool) error {
	cost, err := labs.CostOfOOD(cfg, opt)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.Out, map[string]any{"config": cfg, "cost": cost})
	}
	yaml, err := config.Marshal(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s\n%s\n%d images forward at %.1f MFLOP, %d input gradients: about %s, less where features are kept already\n", oodLine(cfg), yaml,
		cost.Images, 2*float64(cost.MACs)/1e6, cost.Gradients, roundSeconds(cost.Seconds))
	return nil
}
