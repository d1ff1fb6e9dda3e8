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
		Short: "Attack a trained network: FGSM, targeted and not, PGD, without gradients",
		Long: `Change the test images of a trained network so little that nobody would see it, and count what the
network gets wrong: FGSM (Goodfellow et al. 2015) towards no class and towards another one, over a sweep
of epsilon beside random noise of the same size; PGD (Madry et al. 2018) in L-infinity and L2; the Square
attack (Andriushchenko et al. 2020), which sees no gradients. Pixels are in [0,1]; epsilon in L-infinity
is in steps of 1/255, and 8/255 may be written for 8. The network runs as in evaluation and is left as it is.

--checkpoint is a name under checkpoints/ (` + "`dla models ls`" + `), a folder with a checkpoint or the id of a
finished run. Several, as a,b,c, give the matrix of what images made for the one do to the others as well.

Each run leaves a record with tables, figures and the self-checks (epsilon 0 changes nothing, no change
is larger than epsilon, PGD is no weaker than FGSM, …); a self-check that fails is an error, after the
record is written.

--save FOLDER makes one set of adversarial images instead, by --attack at --eps, as PNG files in folders
by class or as safetensors; --evaluate FOLDER shows such a set to the networks and prints their accuracy.

Settings come from, later ones winning: built-in defaults, --config, flags, --set.`,
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
	f.Lookup("set").Usage = "one setting, as pgd.steps=50; repeatable"
	f.Lookup("seed").Usage = "seed of random starts, of noise and of random target classes"
	b.bind("checkpoint", "checkpoints", "network: name under checkpoints/, folder, or id of a finished run; several: a,b,c")
	f.Var(&o.eps, "eps", "radii of the sweep, from 0; a plain number is in steps of 1/255, so 8 is 8/255; with --save the one radius, 8 by default (of pgd-l2 in pixel values of [0,1], 0.5 by default)")
	b.bind("attacks", "attacks", "attacks beside FGSM and noise: "+strings.Join(beside(), ", ")+"; none named: pgd and square")
	b.bind("target", "target", "target class of targeted attacks; random: another of each image")
	b.bind("limit", "limit", "attack only the first so many test images; 0: all")
	f.Lookup("resume").Usage = "reuse a finished run of the same settings, weights and data, continue an interrupted one"
	f.Lookup("dry-run").Usage = "print the resolved settings and what the attacks will cost, and stop"
	f.Lookup("fast-dev-run").Usage = "few images and few steps, to see that everything works; flags and --set that say otherwise win"
	f.Lookup("json").Usage = "print JSON"
	f.StringVar(&o.save, "save", "", "write one set of adversarial images to this new folder, and stop")
	f.StringVar(&o.saveAs, "save-as", labs.AsImages, "images (PNG, 8 bits) or safetensors (float32)")
	f.StringVar(&o.attack, "attack", "fgsm", "with --save: "+strings.Join(labs.AttackNames(), ", "))
	f.StringVar(&o.evaluate, "evaluate", "", "show the images of this folder, or safetensors file, to the networks, and stop")
	completeWords(cmd, "save-as", []string{labs.AsImages, labs.AsSafetensors})
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

// beside are the attacks that --attacks takes.
func beside() []string {
	return attack.Names(func(m attack.Method) bool { return m.Name != "fgsm" && m.Name != "noise" })
}

// smallAttacks is what --fast-dev-run makes of the attacks.
var smallAttacks = []small{{"limit", 32}, {"pgd.steps", 4}, {"square.images", 16}, {"square.queries", 20}, {"transfer.images", 16}}

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
				// PGD and Square are compared with FGSM, so they go along.
				c.PGD.Eps = slices.DeleteFunc(slices.Clone(c.PGD.Eps), func(e float64) bool { return !slices.Contains(eps, e) })
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

// modes names flags that do not go together.
func (o fgsmOptions) modes(set func(string) bool) error {
	switch {
	case o.save != "" && o.evaluate != "":
		return fmt.Errorf("--save and --evaluate are two commands; give one")
	case o.save == "" && (set("save-as") || set("attack")):
		return fmt.Errorf("--save-as and --attack go with --save")
	case o.save != "" && !slices.Contains(labs.AttackNames(), o.attack):
		return fmt.Errorf("--attack is %q, want one of %s", o.attack, strings.Join(labs.AttackNames(), ", "))
	case o.save != "" && o.saveAs != labs.AsImages && o.saveAs != labs.AsSafetensors:
		return fmt.Errorf("--save-as is %q, want %s or %s", o.saveAs, labs.AsImages, labs.AsSafetensors)
	case o.save != "" && set("eps") && (len(o.eps.all) != 1 || !(o.eps.all[0].n >= 0 && o.eps.all[0].n <= 255)):
		return fmt.Errorf("--eps is %s, want one radius of 0 to 255 with --save", o.eps.String())
	case (o.save != "" || o.evaluate != "") && (o.dryRun || o.resume):
		return fmt.Errorf("--dry-run and --resume are of runs, and --save and --evaluate leave none")
	}
	return nil
}

// fgsmLine shows the resolved settings.
func fgsmLine(c config.FGSM) string {
	line := fmt.Sprintf("lab4 fgsm: %s, epsilon %v /255, targets %s; PGD-%d, %d restarts; seed %d; %d threads, %s kernels", strings.Join(c.Checkpoints, ", "),
		c.Sweep.Eps, c.Target, c.PGD.Steps, c.PGD.Restarts, c.Seed, kernel.Threads(), kernel.Level())
	if c.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d test images", c.Limit)
	}
	return line
}

// saveFGSM makes an adversarial set.
func saveFGSM(cmd *cobra.Command, s *Streams, c config.FGSM, eps float64, o fgsmOptions) (err error) {
	o.setThreads()
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
	fmt.Fprintf(s.Out, "%d images in %s: %s has an accuracy of %.2f %% on them%s\n", set.N, o.save, set.Network, 100*accuracy, how)
	if c.Limit > 0 {
		fmt.Fprintf(s.Out, "NOTE: of the first %d test images only\n", set.N)
	}
	next(s.Out, run.Command(o.out, "lab4", "fgsm", "--checkpoint", "OTHER", "--evaluate", o.save))
	return nil
}

// evaluateFGSM shows an adversarial set to networks.
func evaluateFGSM(cmd *cobra.Command, s *Streams, c config.FGSM, o fgsmOptions) (err error) {
	o.setThreads()
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
		fmt.Fprintf(s.Out, "%-16s %6.2f %% of %d images in %s  (95 %% interval %.2f-%.2f; on the test set %.2f %%)\n", e.Network, 100*e.Accuracy, e.N, o.evaluate,
			100*e.CI95[0], 100*e.CI95[1], 100*e.Clean)
	}
	return nil
}
