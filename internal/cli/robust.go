package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/labs"
)

func newRobustCmd(s *Streams) *cobra.Command {
	def := config.DefaultRobust(false)
	var o trainingFlags
	eps := radiiOf(def.Attack.Eps)
	eps.one = true
	var sets []string
	cmd := &cobra.Command{
		Use:   "robust",
		Short: "Train a classifier against attacks and to be unsure of outliers",
		Long: `Fine-tune a trained classifier, or train one like it from scratch, so that it withstands attacks and is
unsure of what is in none of its classes. Of the images of each batch a part (--fraction) is attacked on
the fly, on the weights of the moment and as in evaluation, by FGSM or PGD; their labels stay. After them
come outliers. The loss is the cross-entropy of the images, attacked or not, plus WEIGHT times
KL(uniform ‖ softmax) of the outliers (outlier exposure, Hendrycks et al. 2019); both kinds of rows make one
forward pass, so batch normalisation sees both.

--outliers: noise, which is drawn; NAME=FOLDER, images in a folder, tar or tar.gz, made 32x32 RGB; a set of
` + "`dla data ls`" + `, as svhn, or cifar100, of which the people are left out (outliers.without). Several are
taken in turn. Images that are trained on are never evaluated, and an outlier is none of the classifier's
images: copies of the data, and of what is evaluated, pixel by pixel, are left out of the outliers, said and
recorded by name. Where they are more than 5 % of a set, nothing is trained.

The original keeps its data and its split. Validation selects the epoch with the best mean of two
accuracies, on the validation images as they are and attacked as in training. Then, once, the original
and the hardened network face the test set, FGSM and PGD over a sweep of radii, and sets of outliers:
accuracy, its cost by McNemar's test, and how far the mean of max softmax moves, with its interval.

Settings come from, later ones winning: built-in defaults, --config, flags, --set.`,
		Example: `  dla lab4 robust
  dla lab4 robust --original 20261124-0930 --attack pgd --fraction 0.5
  dla lab4 robust --outliers noise,cifar100 --weight 1
  dla lab4 robust --scratch --epochs 30
  dla lab4 robust --ood svhn --ood pets=data/pets.tar --set test.pgd=10000
  dla lab4 robust --config configs/lab4/robust.yaml --dry-run`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.add(cmd, "lab4", b)
	f := cmd.Flags()
	f.Lookup("data").Usage = "the original's data set; another is refused"
	f.Lookup("seed").Usage = "seed of the order of batches, of what is attacked and of which outliers come"
	b.bind("original", "original.from", "classifier to fine-tune: name under checkpoints/, folder, or id of a finished run")
	b.bind("scratch", "scratch", "begin from initial weights, not from the original's")
	b.bind("attack", "attack.kind", "attack on the images of a batch: "+strings.Join(attack.Names(attack.InTraining), ", "))
	b.bind("fraction", "attack.fraction", "fraction of each batch's images that is attacked; 0: none")
	f.Var(&eps, "eps", "radius of that attack, L-infinity; a plain number is in steps of 1/255, so 8 is 8/255")
	b.bind("steps", "attack.steps", "steps of --attack pgd")
	b.bind("outliers", "outliers.sources", "outliers to train on: noise, NAME=FOLDER, or a data set; several: a,b,c")
	b.bind("share", "outliers.share", "outliers in a batch, for each of its images; 0: none")
	b.bind("weight", "outliers.weight", "of the outliers' part of the loss")
	f.StringArrayVar(&sets, "ood", nil, "another set of outliers to compare on: one of dla data ls, or NAME=FOLDER; repeatable")
	completeWords(cmd, "attack", attack.Names(attack.InTraining))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := resolve(o.experimentFlags, b, o.seeds, layers[config.Robust]{
			plain:   func() config.Robust { return config.DefaultRobust(false) },
			decided: func(c config.Robust) (config.Robust, error) { return config.DefaultRobust(c.Scratch), nil },
			special: func(c *config.Robust) error {
				if f.Changed("eps") {
					c.Attack.Eps = eps.steps()[0]
				}
				if f.Changed("ood") {
					c.Test.Sets.Further(sets)
				}
				return knownSets(sets)
			},
			small: smallRobust,
			check: config.Robust.Validate,
		})
		if err != nil {
			return usageError(err)
		}
		for i := range cfgs { // what the original decides is found before the data is read
			if cfgs[i], err = labs.RobustSettings(o.out, cfgs[i]); err != nil {
				return err
			}
		}
		return o.run(cmd, s, study{line: robustLine(cfgs), small: o.smallLine(b, smallRobust), tasks: tasksOf(cfgs)})
	}
	return cmd
}

// smallRobust is what --fast-dev-run makes of adversarial fine-tuning.
var smallRobust = append(slices.Clip(smallTraining), small{"test.pgd", 128})

// robustLine shows the resolved settings.
func robustLine(cfgs []config.Robust) string {
	c := cfgs[0]
	how := "fine-tuned"
	if c.Scratch {
		how = "trained from scratch"
	}
	parts := []string{fmt.Sprintf("lab4 robust: %s %s on %s", c.Original.From, how, c.Data.Name)}
	if a := c.Attack; a.Fraction > 0 {
		kind := a.Kind
		if kind != "fgsm" {
			kind = fmt.Sprintf("%s of %d steps", kind, a.Steps)
		}
		parts = append(parts, fmt.Sprintf("%g %% of each batch attacked by %s at %g/255", 100*a.Fraction, kind, a.Eps))
	}
	if out := c.Outliers; out.Share > 0 {
		parts = append(parts, fmt.Sprintf("%g outliers an image (%s) of weight %g", out.Share, strings.Join(out.Sources, ", "), out.Weight))
	}
	return strings.Join(parts, ", ") + "; " + recipe(c.Training(), len(cfgs))
}
