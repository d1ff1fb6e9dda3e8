package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/run"
)

// fgsmOptions are the flags of `dla lab4 fgsm` beside those of its settings.
type fgsmOptions struct {
	trainingFlags
	eps radii

	save, saveAs, attack string
	evaluate             string
}

func newFGSMCmd(s *Streams) *cobra.Command {
	def := config.DefaultFGSM()
	o := fgsmOptions{eps: radiiOf(def.Sweep.Eps...)}
	cmd := &cobra.Command{
		Use:   "fgsm",
		Short: "Attack a trained network with FGSM, PGD and gradient-free attacks",
		Long: `Make adversarial examples of the test images of a trained network and measure its accuracy on them: FGSM
(Goodfellow et al. 2015), untargeted and targeted, and random noise of the same size, over a sweep of
epsilon; PGD (Madry et al. 2018) in L-infinity and L2; the Square attack (Andriushchenko et al. 2020), which
uses no gradients. Pixels are in [0,1]; epsilon in L-infinity is in units of 1/255, and 8/255 may be written
for 8. The network runs in evaluation mode and is not changed.

--checkpoint is a name under checkpoints/ (` + "`dla models ls`" + `), a folder with a checkpoint or the id of a
finished run. Several, such as a,b,c, also give the transfer matrix: the accuracy of each network on the
adversarial examples of the others.

Each run leaves a record with tables, figures and self-checks (epsilon 0 changes nothing, no change is
larger than epsilon, PGD is no weaker than FGSM, …). A failed self-check is an error; the record is kept.

--save FOLDER instead writes one set of adversarial images, made by --attack at --eps, as PNG files in one
folder per class, as safetensors or as adversarial.npz for NumPy: images [n, H, W, C] from 0 to 1, labels, index
(row of the test set) and logits. --evaluate FOLDER prints the accuracy of the networks on such a set.

Settings, later ones take precedence: defaults, --config, flags, --set.`,
		Example: `  dla lab4 fgsm
  dla lab4 fgsm --checkpoint RUN_ID --limit 1000
  dla lab4 fgsm --checkpoint resnet20,student                # and what transfers between them
  dla lab4 fgsm --eps 0,1,2,4,8 --set pgd.eps=[8] --set pgd.restarts=5
  dla lab4 fgsm --target cat
  dla lab4 fgsm --config configs/lab4/fgsm.yaml --dry-run
  dla lab4 fgsm --save adversarial/pgd-8 --attack pgd --eps 8
  dla lab4 fgsm --checkpoint student --evaluate adversarial/pgd-8`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.experimentFlags.add(cmd, "lab4", b)
	f := cmd.Flags()
	f.Lookup("set").Usage = "one setting, such as pgd.steps=50; repeatable"
	f.Lookup("seed").Usage = "seed of random starts, noise and random target classes"
	b.bind("checkpoint", "checkpoints", "network: name under checkpoints/, folder, or id of a finished run; "+
		"several: a,b,c")
	f.Var(&o.eps, "eps", "radii of the sweep, from 0, in units of 1/255: 8 means 8/255; with --save a single "+
		"radius, by default 8 (pgd-l2: 0.5, in pixel values of [0,1])")
	b.bind("attacks", "attacks", "attacks beside FGSM and noise: "+strings.Join(beside(),
		", ")+"; default: pgd and square")
	b.bind("target", "target", "target class of targeted attacks; random: a wrong class drawn for each image")
	addDataAt(cmd, &o.dataAt)
	b.bind("limit", "limit", "attack only the first N test images; 0: all")
	f.Lookup("resume").Usage = "reuse a finished run with the same settings, weights and data, or continue an " +
		"interrupted one"
	f.Lookup("dry-run").Usage = "print the resolved settings and what the attacks will cost, and stop"
	f.Lookup("fast-dev-run").Usage = "quick check that everything works: few images and few steps; other flags and " +
		"--set take precedence"
	f.Lookup("json").Usage = "print JSON"
	f.StringVar(&o.save, "save", "", "write one set of adversarial images to this new folder, and stop")
	f.StringVar(&o.saveAs, "save-as", labs.AsImages, "images (PNG, 8 bits), safetensors or npz (float32)")
	f.StringVar(&o.attack, "attack", "fgsm", "with --save: "+strings.Join(labs.AttackNames(), ", "))
	f.StringVar(&o.evaluate, "evaluate", "", "evaluate the networks on the images of this folder, or safetensors "+
		"or npz file, and stop")
	completeWords(cmd, "save-as", labs.SaveFormats)
	completeWords(cmd, "attack", labs.AttackNames())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := fgsmSettings(o, b)
		if err != nil {
			return usageError(err)
		}
		st := study{line: fgsmLine(c), small: o.smallLine(b, smallAttacks), tasks: tasksOf([]config.FGSM{c})}
		switch {
		case o.save != "":
			eps, in := c.Examples.Eps, radius.steps
			if o.attack == "pgd-l2" {
				eps, in = 0.5, radius.pixels
			}
			if f.Changed("eps") {
				eps = in(o.eps.all[0])
			}
			return saveFGSM(cmd, s, c, eps, o)
		case o.evaluate != "":
			return evaluateFGSM(cmd, s, c, o)
		}
		return o.run(cmd, s, st)
	}
	return cmd
}

// beside returns the attacks that --attacks accepts.
func beside() []string {
	return attack.Names(func(m attack.Method) bool { return m.Name != "fgsm" && m.Name != "noise" })
}

// smallAttacks holds the settings of --fast-dev-run.
var smallAttacks = []small{{"limit", 32}, {"pgd.steps", 4}, {"square.images", 16}, {"square.queries", 20},
	{"transfer.images", 16}}

// fgsmSettings resolves the settings.
func fgsmSettings(o fgsmOptions, b *settingFlags) (config.FGSM, error) {
	set := b.flags.Changed
	all, err := resolve(o.experimentFlags, b, 1, layers[config.FGSM]{
		plain: config.DefaultFGSM,
		special: func(c *config.FGSM) error {
			if set("checkpoint") {
				c.Weights = nil
			}
			if set("eps") && o.save == "" {
				eps := o.eps.steps()
				c.Sweep.Eps = eps
				// PGD and Square are compared with FGSM, so they follow its radii.
				c.PGD.Eps = slices.DeleteFunc(slices.Clone(c.PGD.Eps),
					func(e float64) bool { return !slices.Contains(eps, e) })
				if !slices.Contains(eps, c.Square.Eps) {
					c.Square.Eps = eps[len(eps)-1]
				}
			}
			return nil
		},
		small: smallAttacks,
		check: config.FGSM.Validate,
	})
	if err != nil {
		return config.FGSM{}, err
	}
	return all[0], o.modes(set)
}

// modes returns an error for flags that exclude each other.
func (o fgsmOptions) modes(set func(string) bool) error {
	switch {
	case o.save != "" && o.evaluate != "":
		return fmt.Errorf("--save and --evaluate exclude each other; give one")
	case o.save == "" && (set("save-as") || set("attack")):
		return fmt.Errorf("--save-as and --attack need --save")
	case o.save != "" && !slices.Contains(labs.AttackNames(), o.attack):
		return fmt.Errorf("--attack is %q, want one of %s", o.attack, strings.Join(labs.AttackNames(), ", "))
	case o.save != "" && !slices.Contains(labs.SaveFormats, o.saveAs):
		return fmt.Errorf("--save-as is %q, want one of %s", o.saveAs, strings.Join(labs.SaveFormats, ", "))
	case o.save != "" && set("eps") && (len(o.eps.all) != 1 || !(o.eps.all[0].n >= 0 && o.eps.all[0].n <= 255)):
		return fmt.Errorf("--eps is %s, want one radius of 0 to 255 with --save", o.eps.String())
	case (o.save != "" || o.evaluate != "") && (o.dryRun || o.resume):
		return fmt.Errorf("--dry-run and --resume apply to runs; --save and --evaluate make none")
	}
	return nil
}

// fgsmLine summarises the resolved settings.
func fgsmLine(c config.FGSM) string {
	line := fmt.Sprintf("lab4 fgsm: %s, epsilon %v /255, targets %s; PGD-%d, %d restarts; seed %d; %d threads, %s "+
		"kernels", strings.Join(c.Checkpoints, ", "),
		c.Sweep.Eps, c.Target, c.PGD.Steps, c.PGD.Restarts, c.Seed, kernel.Threads(), kernel.Level())
	if c.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d test images", c.Limit)
	}
	return line
}

// saveFGSM writes an adversarial set.
func saveFGSM(cmd *cobra.Command, s *Streams, c config.FGSM, eps float64, o fgsmOptions) (err error) {
	x := o.experimentFlags.begin(cmd, s)
	defer func() { err = errors.Join(err, x.close()) }()
	set, err := labs.Save(x.ctx, c, o.attack, eps, o.save, o.saveAs, x.opt)
	x.progress.Close()
	if x.ctx.Err() != nil {
		fmt.Fprintf(s.Err, "\nstopped; %s is not written\n", o.save)
		return &ExitError{Code: max(x.code(), 130)}
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.Out, set)
	}
	accuracy, how := set.Accuracy, ""
	if o.saveAs == labs.AsImages {
		accuracy, how = set.Rounded, ", rounded to 8 bits"
	}
	fmt.Fprintf(s.Out, "%d images in %s: the accuracy of %s on them is %.2f %%%s\n", set.N, o.save, set.Network,
		100*accuracy, how)
	if c.Limit > 0 {
		fmt.Fprintf(s.Out, "NOTE: ONLY the first %d test images\n", set.N)
	}
	next(s.Out, run.Command(o.out, "lab4", "fgsm", "--checkpoint", "OTHER", "--evaluate", o.save))
	return nil
}

// evaluateFGSM evaluates networks on an adversarial set.
func evaluateFGSM(cmd *cobra.Command, s *Streams, c config.FGSM, o fgsmOptions) (err error) {
	x := o.experimentFlags.begin(cmd, s)
	defer func() { err = errors.Join(err, x.close()) }()
	all, err := labs.EvaluateSet(x.ctx, c, o.evaluate, x.opt)
	x.progress.Close()
	if x.ctx.Err() != nil {
		return &ExitError{Code: max(x.code(), 130)}
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.Out, all)
	}
	for _, e := range all {
		fmt.Fprintf(s.Out, "%-16s %6.2f %% of %d images in %s  (95 %% interval %.2f-%.2f; on the test set %.2f %%)\n",
			e.Network, 100*e.Accuracy, e.N, o.evaluate,
			100*e.CI95[0], 100*e.CI95[1], 100*e.Clean)
	}
	return nil
}
