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
		Short: "Fine-tune a classifier adversarially, with outlier exposure",
		Long: `Adversarial fine-tuning of a trained classifier, or adversarial training of the same architecture from
scratch, so that it resists attacks and is not confident on outliers. A fraction (--fraction) of each batch
is attacked by FGSM or PGD, in evaluation mode with the current weights, and keeps its labels. Outliers
follow. The loss is the cross-entropy of the images, attacked or not, plus WEIGHT times
KL(uniform ‖ softmax) of the outliers (outlier exposure, Hendrycks et al. 2019). Images and outliers share
one forward pass, so batch normalisation sees both.

--outliers: noise, which is drawn; NAME=FOLDER, images of a folder or archive, converted to the classifier's size; a
set of ` + "`dla data ls`" + `, such as svhn, or cifar100 without its people (outliers.without). Several are used in
turn. No image is both trained on and evaluated, and no outlier is an image of the classifier's data: images
with the same pixels as one of the data or of the evaluated sets are left out of the outliers and named in
output and record. If they are more than 5 % of a set, the run is refused.

Data and split are the original's. Validation selects the epoch by the mean of two accuracies, on the
unchanged and on the attacked validation images. Then the original and the fine-tuned network are compared
once on the test set, under FGSM and PGD over a sweep of radii, and on sets of outliers: accuracy,
McNemar's test, and the shift of the mean max softmax with its interval.

Settings, later ones take precedence: defaults, --config, flags, --set.`,
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
	f.Lookup("data").Usage = "data set: the original's, of your own images where they are now; any other is refused"
	f.Lookup("seed").Usage = "seed of the order of batches, the attacked images and the outliers"
	b.bind("original", "original.from", "classifier to fine-tune: name under checkpoints/, folder, or id of a "+
		"finished run")
	b.bind("scratch", "scratch", "start from initial weights, not from the original's")
	b.bind("attack", "attack.kind", "attack on the images of a batch: "+strings.Join(attack.Names(attack.InTraining),
		", "))
	b.bind("fraction", "attack.fraction", "fraction of each batch to attack; 0: none")
	f.Var(&eps, "eps", "radius of the attack, L-infinity, in units of 1/255: 8 means 8/255")
	b.bind("steps", "attack.steps", "steps of --attack pgd")
	b.bind("outliers", "outliers.sources", "outliers to train on: noise, NAME=FOLDER, or a data set; several: a,b,c")
	b.bind("share", "outliers.share", "outliers per image of a batch; 0: none")
	b.bind("weight", "outliers.weight", "weight of the outlier term of the loss")
	addOptimizer(cmd, b)
	f.StringArrayVar(&sets, "ood", nil, "another set of outliers to compare on: one of dla data ls, or NAME=FOLDER; "+
		"repeatable")
	addViews(cmd, b)
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
		for i := range cfgs { // adopt the original's settings before the data is read
			if cfgs[i], err = labs.RobustSettings(o.out, cfgs[i]); err != nil {
				return err
			}
		}
		return o.run(cmd, s, study{line: robustLine(cfgs), small: o.smallLine(b, smallRobust), tasks: tasksOf(cfgs)})
	}
	return cmd
}

// smallRobust holds the settings of --fast-dev-run.
var smallRobust = append(slices.Clip(smallTraining), small{"test.pgd", 128})

// robustLine summarises the resolved settings.
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
		parts = append(parts, fmt.Sprintf("%g outliers per image (%s) with weight %g", out.Share,
			strings.Join(out.Sources, ", "), out.Weight))
	}
	return strings.Join(parts, ", ") + "; " + recipe(c.Training(), len(cfgs), "images")
}
