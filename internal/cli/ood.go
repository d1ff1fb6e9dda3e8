package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/ood"
	"dla/internal/record"
)

func newOODCmd(s *Streams) *cobra.Command {
	def := config.DefaultOOD()
	o := trainingFlags{seeds: 1}
	var sets []string
	cmd := &cobra.Command{
		Use:   "ood",
		Short: "Detect out-of-distribution images by the features and logits of a trained classifier",
		Long: `Tell images of other kinds from a classifier's test set: CIFAR-100's people (2,500 images, five
classes), seeded noise, JPEG copies of the test set (a shift, not outliers), and any set of images of ` + "`dla data ls`" + `,
as svhn and textures, or any folder of images. What of these is not 32x32 RGB is made so, as torchvision's
Resize and CenterCrop do, and the output and the record say how many images that were. Files of other kinds than
PNG and JPEG are passed over and counted. Links in a folder are followed; in an archive they are an error.

Of each set those images are left out, said and recorded by name, that are copies, pixel by pixel, of the
classifier's data or of outliers it was trained on: cifar100 has two of cifar10. A set of which more than 5 %
are copies is refused.

Detectors: max softmax and reconstruction error (the lab's), and those that --detectors names. The larger a score,
the more an image is out of distribution. What of them has a setting is tuned on validation images and distorted copies of
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
	}
	b := newSettingFlags(cmd, &def)
	o.experimentFlags.add(cmd, "lab4", b)
	f := cmd.Flags()
	f.Lookup("set").Usage = "one setting, as sets.fake=2500; repeatable"
	f.Lookup("seed").Usage = "seed of the noise, of the distorted images and of the bootstrap"
	b.bind("checkpoint", "checkpoint", "classifier: a checkpoint's name or folder, or a run's id")
	b.bind("autoencoder", "autoencoder", "autoencoder for the reconstruction error, likewise; empty: without it")
	f.StringArrayVar(&sets, "ood", nil,
		"further set of outliers: one of dla data ls, or name=folder (or tar, tar.gz) of images; repeatable")
	b.bind("detectors", "detectors", "detectors to evaluate, by their names; none named: all of "+strings.Join(ood.Names(), ", "))
	b.bind("limit", "limit", "use only so many images of each split; 0: all")
	f.Lookup("resume").Usage = "reuse a finished run of the same settings and data, continue an interrupted one"
	f.Lookup("dry-run").Usage = "print the resolved settings and what the evaluation will cost, and stop"
	f.Lookup("fast-dev-run").Usage = "500 images of each split and 100 resamples, to see that everything works; flags and --set that say otherwise win"
	f.Lookup("json").Usage = "print JSON"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := resolve(o.experimentFlags, b, 1, layers[config.OOD]{
			plain: config.DefaultOOD,
			special: func(c *config.OOD) error {
				if f.Changed("ood") {
					c.Sets.Further(sets)
				}
				return knownSets(sets)
			},
			small: smallOOD,
			check: config.OOD.Validate,
		})
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: oodLine(all[0]), small: o.smallLine(b, smallOOD), tasks: tasksOf(all)})
	}
	return cmd
}

// smallOOD is what --fast-dev-run makes of an evaluation.
var smallOOD = []small{{"limit", 500}, {"resamples", 100}}

// knownSets checks those of --ood that are no folders.
func knownSets(sets []string) error {
	for _, name := range sets {
		if !strings.Contains(name, "=") && !slices.Contains(data.Names(), name) {
			return fmt.Errorf("--ood %s: want NAME=FOLDER, or a set of images: %s", name, strings.Join(data.Names(), ", "))
		}
	}
	return nil
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

// oodCommand evaluates further sets as r was evaluated.
func oodCommand(r *record.OOD) []string {
	more, def := []string{"lab4", "ood"}, config.DefaultOOD()
	if r.Checkpoint != filepath.Join(labs.CheckpointsDir, def.Checkpoint) {
		more = append(more, "--checkpoint", r.Checkpoint)
	}
	if r.Autoencoder != filepath.Join(labs.CheckpointsDir, def.Autoencoder) {
		more = append(more, "--autoencoder", r.Autoencoder)
	}
	return append(more, "--ood", "NAME=FOLDER")
}
