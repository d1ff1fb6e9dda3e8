package cli

import (
	"errors"
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
	"dla/internal/run"
)

func newOODCmd(s *Streams) *cobra.Command {
	def := config.DefaultOOD()
	o := trainingFlags{seeds: 1}
	var sets []string
	var save string
	cmd := &cobra.Command{
		Use:   "ood",
		Short: "Detect out-of-distribution images from the features and logits of a trained classifier",
		Long: `Separate outliers from a classifier's test set: the people of CIFAR-100 (2,500 images, five classes),
seeded noise, JPEG copies of the test set (a covariate shift, not outliers), any set of images of ` + "`dla data ls`" + `,
such as svhn and textures, or any folder of images. Images of another size or kind than the classifier's
are converted as torchvision's Resize and CenterCrop do; output and record give their number. Files that are
no images (png, jpg, jpeg, webp, bmp, gif) are skipped and counted. Links in a folder are followed; in an
archive they are an error.

Images with the same pixels as an image of the classifier's data, or as an outlier it was trained on, are
left out of each set and named in output and record: cifar100 has two of cifar10. A set with more than 5 %
of such copies is refused.

--detectors lists the detectors; the lab's are max softmax and reconstruction error. A larger score means
more out of distribution. Hyper-parameters are tuned on validation images and distorted copies of them, none
of which is evaluated. For a classifier that was trained on all images, training images take their place.
The reconstruction error needs an autoencoder (--autoencoder).

For each detector and set: AUROC, AUPR both ways with its base rate, FPR95 (false-positive rate at 95 %
true-positive rate) both ways and detection accuracy, with 95 % intervals from a stratified bootstrap; sorted
scores, histograms, ROC curves, the worst misses. Features are computed once for all detectors and kept in the
user's cache folder.

--save FOLDER instead writes what a detector of another program needs, as .npz for NumPy: train, val, in (the
test set) and out-SET for each set, with features [n, width], logits [n, classes], labels and index, and
scores.npz with the scores of the detectors here. --scores FILE.npz reads scores in that layout, DETECTOR/in and
DETECTOR/out-SET for each set, one number an image in the same order, and puts their detectors into tables and
figures beside those here.

Settings, later ones take precedence: defaults, --config, flags, --set.`,
		Example: `  dla lab4 ood                                                  # the checkpoint resnet20
  dla lab4 ood --checkpoint 20261124-093015-resnet20-s0 --ood dogs=photos/dogs --ood cats=cats.tar.gz
  dla lab4 ood --ood svhn --ood textures                        # fetched where they are not on this machine
  dla lab4 ood --checkpoint resnet20-w32 --autoencoder ''       # without the reconstruction error
  dla lab4 ood --set 'sets.names=[fake]' --set sets.fake=2500
  dla lab4 ood --save ood-features                              # for a detector of your own in Python
  dla lab4 ood --scores mine.npz                                # and what it makes of the same images
  dla lab4 ood --fast-dev-run                                   # to see that everything works`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.experimentFlags.add(cmd, "lab4", b)
	f := cmd.Flags()
	f.Lookup("set").Usage = "one setting, such as sets.fake=2500; repeatable"
	f.Lookup("seed").Usage = "seed of noise, distorted images and bootstrap"
	b.bind("checkpoint", "checkpoint", "classifier: a checkpoint's name or folder, or a run's id")
	b.bind("autoencoder", "autoencoder", "autoencoder for the reconstruction error: a checkpoint's name or folder, "+
		"or a run's id; empty: none")
	f.StringArrayVar(&sets, "ood", nil,
		"further set of outliers: one of dla data ls, or name=path of a folder, zip, tar or tar.gz of images; repeatable")
	addDataAt(cmd, &o.dataAt)
	b.bind("detectors", "detectors", "detectors to evaluate; default: all of "+strings.Join(ood.Names(), ", "))
	b.bind("scores", "scores", "file of scores of detectors of other programs (.npz, see above)")
	f.StringVar(&save, "save", "", "write features, logits and scores to this new folder, and stop")
	b.bind("limit", "limit", "use only N images of each split; 0: all")
	f.Lookup("resume").Usage = "reuse a finished run with the same settings and data, or continue an interrupted one"
	f.Lookup("dry-run").Usage = "print the resolved settings and what the evaluation will cost, and stop"
	f.Lookup("fast-dev-run").Usage = "quick check that everything works: 500 images of each split and 100 " +
		"resamples; other flags and --set take precedence"
	f.Lookup("json").Usage = "print JSON"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := resolve(o.experimentFlags, b, 1, layers[config.OOD]{
			plain: config.DefaultOOD,
			special: func(c *config.OOD) error {
				if f.Changed("ood") {
					c.Sets.Further(sets)
				}
				if f.Changed("scores") {
					c.ScoresSHA256 = ""
				}
				return knownSets(sets)
			},
			small: smallOOD,
			check: config.OOD.Validate,
		})
		if err == nil && save != "" && (o.dryRun || o.resume) {
			err = fmt.Errorf("--dry-run and --resume apply to runs; --save makes none")
		}
		if err != nil {
			return usageError(err)
		}
		if save != "" {
			return saveOOD(cmd, s, all[0], save, o)
		}
		return o.run(cmd, s, study{line: oodLine(all[0]), small: o.smallLine(b, smallOOD), tasks: tasksOf(all)})
	}
	return cmd
}

// saveOOD writes features, logits and scores.
func saveOOD(cmd *cobra.Command, s *Streams, c config.OOD, dir string, o trainingFlags) (err error) {
	x := o.experimentFlags.begin(cmd, s)
	defer func() { err = errors.Join(err, x.close()) }()
	files, err := labs.SaveOOD(x.ctx, c, dir, x.opt)
	x.progress.Close()
	if x.ctx.Err() != nil {
		fmt.Fprintf(s.Err, "\nstopped; %s is not written\n", dir)
		return &ExitError{Code: max(x.code(), 130)}
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.Out, struct {
			Folder string   `json:"folder"`
			Files  []string `json:"files"`
		}{dir, files})
	}
	fmt.Fprintf(s.Out, "%s: %s\n", dir, strings.Join(files, " "))
	next(s.Out, run.Command(o.out, "lab4", "ood", "--scores", "MINE.npz"))
	return nil
}

// smallOOD holds the settings of --fast-dev-run.
var smallOOD = []small{{"limit", 500}, {"resamples", 100}}

// knownSets checks the names of --ood that are not folders.
func knownSets(sets []string) error {
	for _, name := range sets {
		if !strings.Contains(name, "=") && !slices.Contains(data.Names(), name) {
			return fmt.Errorf("--ood %s: want NAME=FOLDER, or a set of images: %s", name,
				strings.Join(data.Names(), ", "))
		}
	}
	return nil
}

// oodLine summarises the resolved settings.
func oodLine(c config.OOD) string {
	sets := strings.Join(append(append([]string{}, c.Sets.Names...), c.Sets.Folders...), " ")
	line := fmt.Sprintf("lab4 ood: %s against %s, seed %d; %d threads, %s kernels", c.Checkpoint, sets, c.Seed,
		kernel.Threads(), kernel.Level())
	if c.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d images of each split", c.Limit)
	}
	return line
}

// oodCommand returns the command that evaluates further sets with the networks of r.
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
