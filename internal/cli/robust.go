package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/report"
)

// robustOptions are the flags of `dla lab4 robust`.
type robustOptions struct {
	trainingFlags
	original string
	scratch  bool
	attack   string
	fraction float64
	eps      radii
	steps    int
	outliers []string
	share    float64
	weight   float64
	ood      []string
}

func newRobustCmd(s *Streams) *cobra.Command {
	def := config.DefaultRobust(false)
	o := robustOptions{eps: radiiOf(def.Attack.Eps)}
	o.eps.one = true
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
		RunE: func(cmd *cobra.Command, _ []string) error { return runRobust(cmd, s, o) },
	}
	f := cmd.Flags()
	o.add(cmd, "lab4", def.Training())
	f.Lookup("data").Usage = "the original's data set; another is refused"
	f.Lookup("seed").Usage = "seed of the order of batches, of what is attacked and of which outliers come"
	f.StringVar(&o.original, "original", def.Original.From, "classifier to harden: name under checkpoints/, folder, or id of a finished run")
	f.BoolVar(&o.scratch, "scratch", def.Scratch, "begin from initial weights, not from the original's")
	f.StringVar(&o.attack, "attack", def.Attack.Kind, "attack on the images of a batch: fgsm or pgd")
	f.Float64Var(&o.fraction, "fraction", def.Attack.Fraction, "part of each batch's images that is attacked; 0: none")
	f.Var(&o.eps, "eps", "radius of that attack, L-infinity; a plain number is in steps of 1/255, so 8 is 8/255")
	f.IntVar(&o.steps, "steps", def.Attack.Steps, "steps of --attack pgd")
	f.StringSliceVar(&o.outliers, "outliers", def.Outliers.Sources, "outliers to train on: noise, NAME=FOLDER, or a data set; several: a,b,c")
	f.Float64Var(&o.share, "share", def.Outliers.Share, "outliers in a batch, for each of its images; 0: none")
	f.Float64Var(&o.weight, "weight", def.Outliers.Weight, "of the outliers' part of the loss")
	f.StringArrayVar(&o.ood, "ood", nil, "another set of outliers to compare on: one of dla data ls, or NAME=FOLDER; repeatable")
	completeWords(cmd, "attack", config.AttackKinds)
	return cmd
}

// settings resolves the settings of every seed. Whether training begins from scratch decides the defaults,
// so that is looked for first.
func (o robustOptions) settings(cmd *cobra.Command) ([]config.Robust, error) {
	set := cmd.Flags().Changed
	layers := func(c *config.Robust) error {
		if o.config != "" {
			if err := config.LoadFile(c, o.config); err != nil {
				return err
			}
		}
		if set("scratch") {
			c.Scratch = o.scratch
		}
		return nil
	}
	probe := config.DefaultRobust(false)
	if err := errors.Join(layers(&probe), o.assign(&probe)); err != nil {
		return nil, err
	}
	c := config.DefaultRobust(probe.Scratch)
	if err := layers(&c); err != nil {
		return nil, err
	}
	for flag, assign := range map[string]func(){
		"original": func() { c.Original.From = o.original }, "data": func() { c.Data.Name = o.data }, "seed": func() { c.Seed = o.seed },
		"attack": func() { c.Attack.Kind = o.attack }, "fraction": func() { c.Attack.Fraction = o.fraction }, "eps": func() { c.Attack.Eps = o.eps.steps()[0] },
		"steps": func() { c.Attack.Steps = o.steps }, "outliers": func() { c.Outliers.Sources = o.outliers }, "share": func() { c.Outliers.Share = o.share },
		"weight": func() { c.Outliers.Weight = o.weight }, "ood": func() { c.Test.Sets.Further(o.ood) }, "epochs": func() { c.Train.Epochs = o.epochs },
	} {
		if set(flag) {
			assign()
		}
	}
	o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 512}, small{"epochs", "train.epochs", &c.Train.Epochs, 2},
		small{"", "test.pgd", &c.Test.PGD, 128})
	if err := errors.Join(o.check(), knownSets(o.ood)); err != nil {
		return nil, err
	}
	return eachSeed(o.trainingFlags, c, func(c *config.Robust) *uint64 { return &c.Seed }, config.Robust.Validate)
}

func runRobust(cmd *cobra.Command, s *Streams, o robustOptions) (err error) {
	cfgs, err := o.settings(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	for i := range cfgs { // what the original decides is found before the data is read
		if cfgs[i], err = labs.RobustSettings(o.out, cfgs[i]); err != nil {
			return err
		}
	}
	if o.dryRun {
		return dryRunRobust(s, cfgs, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, robustLine(cfgs))
	all, err := labs.Robust(x.ctx, cfgs, x.opt, func(t labs.Trained) {
		x.progress.Flush()
		fmt.Fprintln(s.Err, reached(t))
	})
	x.progress.Close()
	if err != nil {
		return err
	}
	if last := all[len(all)-1]; !last.Done() {
		return stopped(s, last, x.code(), o.out, len(cfgs) > 1)
	}
	return closingRobust(s, all, o.out)
}

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
		if kind == config.AttackPGD {
			kind = fmt.Sprintf("%s of %d steps", kind, a.Steps)
		}
		parts = append(parts, fmt.Sprintf("%g %% of each batch attacked by %s at %g/255", 100*a.Fraction, kind, a.Eps))
	}
	if out := c.Outliers; out.Share > 0 {
		parts = append(parts, fmt.Sprintf("%g outliers an image (%s) of weight %g", out.Share, strings.Join(out.Sources, ", "), out.Weight))
	}
	return strings.Join(parts, ", ") + "; " + recipe(c.Training(), len(cfgs))
}

// closingRobust prints what the comparison came to.
func closingRobust(s *Streams, all []labs.Trained, root string) error {
	recs, err := recordsOf(all, root)
	if err != nil {
		return err
	}
	table, err := report.Robust(recs)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s", table)
	if len(all) > 1 {
		fmt.Fprintln(s.Out)
		return drawStudy(s, all, recs, root, "lab4-robust")
	}
	closing(s, all[0], root)
	return nil
}

// dryRunRobust prints the settings of every run and what the training will cost, reading no data. What the
// comparison in the end costs is not in it.
func dryRunRobust(s *Streams, cfgs []config.Robust, asJSON bool) error {
	var plans []plan
	for _, c := range cfgs {
		name, err := labs.RobustVariant(c)
		if err != nil {
			return err
		}
		plans = append(plans, plan{Variant: name, Seed: c.Seed, Config: c, cost: func() (labs.Cost, error) { return labs.RobustCost(c) }})
	}
	return dryRun(s, robustLine(cfgs), plans, asJSON)
}
