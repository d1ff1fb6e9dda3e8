package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/model"
	"dla/internal/report"
)

func newLab1Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab1",
		Short: "Residual networks, with and without skip connections, and distillation",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newResnetCmd(s), newDistillCmd(s))
	return cmd
}

// resnetOptions are the flags of `dla lab1 resnet`.
type resnetOptions struct {
	trainingFlags
	models   []string
	depths   []int
	width    int
	res      string
	conv     string
	patience int

	gradNorms bool
}

func newResnetCmd(s *Streams) *cobra.Command {
	def := config.DefaultResnet()
	var o resnetOptions
	cmd := &cobra.Command{
		Use:   "resnet",
		Short: "Train MLPs on MNIST and CNNs on CIFAR-10, with and without skip connections",
		Long: `Train a network with or without skip connections (--res: each block is x + block(x)).

--model mlp, on MNIST: 784 -> 128, DEPTH blocks of two 128-wide linear layers with ReLU, a head.
--model small, medium, large (the lab's CNNs), resnet20, resnet32, … resnet110 (He et al. 2016; without
--res their plain twins), on CIFAR-10. ` + "`dla models ls`" + ` lists them.

The validation part (5,000 images) selects the epoch; the test set is touched once, with that
epoch's weights. Each run leaves a directory under --out with its configuration, environment,
metrics, checkpoints and figures. Several models or depths, both values of --res or several seeds
make a study: every combination is trained in turn and drawn together.

Settings come from, later ones winning: built-in defaults, --config, flags, --set.`,
		Example: `  dla lab1 resnet --depth 5 --res
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3
  dla lab1 resnet --model large --res
  dla lab1 resnet --model small,medium,large --res both
  dla lab1 resnet --config configs/lab1/resnet-paper.yaml --model resnet56
  dla lab1 resnet --depth 5 --res --set train.lr=0.05 --set train.schedule=constant
  dla lab1 resnet --model resnet56 --res both --grad-norms
  dla lab1 resnet --config configs/lab1/mlp.yaml --dry-run
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3 --resume    # goes on where it was stopped`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runResnet(cmd, s, o) },
	}
	f := cmd.Flags()
	o.add(cmd, "lab1", def)
	f.StringSliceVar(&o.models, "model", []string{def.Model.Name}, "network, or several: small,medium,large; with --data cifar10 the default is small")
	f.IntSliceVar(&o.depths, "depth", []int{def.Model.Depth}, "blocks of mlp; several: 1,2,3,4,5")
	f.IntVar(&o.width, "width", def.Model.Width, "width of mlp's layers; of a ResNet's first stage, 16 in the paper")
	f.StringVar(&o.res, "res", strconv.FormatBool(def.Model.Res), "skip connections: true, false or both")
	f.Lookup("res").NoOptDefVal = "true"
	f.StringVar(&o.conv, "conv", def.Train.Conv, "convolutions: winograd where it can be, or direct")
	f.IntVar(&o.patience, "patience", def.Train.Patience, "stop after this many epochs without a better validation accuracy; 0: never")
	f.BoolVar(&o.gradNorms, "grad-norms", def.Train.GradNorms, "record the norm of each weight tensor's gradient, and draw it layer by layer")
	completeWords(cmd, "model", model.Names)
	completeWords(cmd, "res", []string{"true", "false", "both"})
	completeWords(cmd, "conv", []string{"winograd", "direct"})
	return cmd
}

// base is what all runs have in common, but for --set. The network decides the defaults, so it is
// looked for first: in the flags, then in --set and the file.
func (o resnetOptions) base(cmd *cobra.Command) (config.Resnet, error) {
	set := cmd.Flags().Changed
	layers := func(c *config.Resnet) error {
		if o.config != "" {
			if err := config.LoadFile(c, o.config); err != nil {
				return err
			}
		}
		if set("data") {
			c.Data.Name = o.data
		}
		if set("model") {
			c.Model.Name = o.models[0]
		}
		return nil
	}
	probe := config.DefaultResnet()
	probe.Model.Name = ""
	if err := layers(&probe); err != nil {
		return probe, err
	}
	if err := o.assign(&probe); err != nil {
		return probe, err
	}
	name := probe.Model.Name
	if name == "" {
		name = "mlp"
		if d, err := data.Describe(probe.Data.Name); err == nil && d.C > 1 {
			name = "small"
		}
	}
	c := config.DefaultFor(name)
	if err := layers(&c); err != nil {
		return c, err
	}
	if set("width") {
		c.Model.Width = o.width
	}
	if set("seed") {
		c.Seed = o.seed
	}
	if set("epochs") {
		c.Train.Epochs = o.epochs
	}
	if set("patience") {
		c.Train.Patience = o.patience
	}
	if set("conv") {
		c.Train.Conv = o.conv
	}
	if set("grad-norms") {
		c.Train.GradNorms = o.gradNorms
	}
	o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 512}, small{"epochs", "train.epochs", &c.Train.Epochs, 2})
	return c, nil
}

// variants resolves the settings of every run asked for.
func (o resnetOptions) variants(cmd *cobra.Command) ([]config.Resnet, error) {
	set := cmd.Flags().Changed
	base, err := o.base(cmd)
	if err != nil {
		return nil, err
	}
	models := []string{base.Model.Name}
	if set("model") {
		models = o.models
	}
	for _, m := range models {
		if len(models) > 1 && (m == "mlp") != (models[0] == "mlp") {
			return nil, usageError(fmt.Errorf("--model %s: mlp and the convolutional networks have different defaults; train them apart", strings.Join(models, ",")))
		}
	}
	depths, res := []int{base.Model.Depth}, []bool{base.Model.Res}
	if set("depth") {
		depths = o.depths
	}
	if set("res") {
		switch o.res {
		case "both":
			res = []bool{false, true}
		default:
			b, err := strconv.ParseBool(o.res)
			if err != nil {
				return nil, usageError(fmt.Errorf("--res %q: want true, false or both", o.res))
			}
			res = []bool{b}
		}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	var all distinct[config.Resnet]
	for _, m := range models {
		for _, d := range depths {
			for _, r := range res {
				c := base
				c.Model.Name, c.Model.Depth, c.Model.Res = m, d, r
				seeds, err := eachSeed(o.trainingFlags, c, func(c *config.Resnet) *uint64 { return &c.Seed }, checkResnet)
				if err != nil {
					return nil, err
				}
				all.add(seeds...)
			}
		}
	}
	return all.list, nil
}

// checkResnet checks the settings and that there is such a network.
func checkResnet(c config.Resnet) error {
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := labs.ResnetVariant(c)
	return err
}

func runResnet(cmd *cobra.Command, s *Streams, o resnetOptions) (err error) {
	cfgs, err := o.variants(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	if o.dryRun {
		return dryRunResnet(s, cfgs, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, oneLine(cfgs))
	each := func(i int, t labs.Trained) {
		x.progress.Flush()
		if len(cfgs) > 1 && t.Done() {
			fmt.Fprintf(s.Err, "[%d/%d] %s\n", i+1, len(cfgs), reached(t))
		}
	}
	all, err := labs.ResnetStudy(x.ctx, cfgs, x.opt, each)
	x.progress.Close()
	if err != nil {
		if len(all) > 0 {
			fmt.Fprintf(s.Err, "%d of %d runs are finished; the same command with --resume goes on from here\n", len(all), len(cfgs))
		}
		return err
	}
	return x.conclude(s, all, len(cfgs), o.out, report.Table, "lab1-resnet")
}

// oneLine shows the resolved settings.
func oneLine(cfgs []config.Resnet) string {
	c := cfgs[0]
	var names []string
	for _, x := range cfgs {
		if n := variantName(x); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return fmt.Sprintf("lab1 resnet: %s on %s, %s", strings.Join(names, " "), c.Data.Name, recipe(c, len(cfgs)/len(names)))
}

// recipe says how c trains, from so many seeds.
func recipe(c config.Resnet, seeds int) string {
	t := c.Train
	opt := fmt.Sprintf("%s lr %g", t.Optimizer, t.LR)
	if t.Optimizer == "sgd" && t.Momentum > 0 {
		opt += fmt.Sprintf(" momentum %g", t.Momentum)
	}
	if t.WeightDecay > 0 {
		opt += fmt.Sprintf(" weight_decay %g", t.WeightDecay)
	}
	from := fmt.Sprintf("seed %d", c.Seed)
	if seeds > 1 {
		from = fmt.Sprintf("seeds %d-%d", c.Seed, c.Seed+uint64(seeds)-1)
	}
	line := fmt.Sprintf("%d epochs, batch %d, %s, %s, %s; %d threads, %s kernels",
		t.Epochs, t.BatchSize, opt, t.Schedule, from, kernel.Threads(), kernel.Level())
	if c.Train.Conv == "direct" {
		line += ", convolutions direct"
	}
	if c.Data.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d %s of each split", c.Data.Limit, itemsOf(c.Data.Name))
	}
	return line
}

// variantName is the name of a network that variants has checked.
func variantName(c config.Resnet) string {
	name, err := labs.ResnetVariant(c)
	if err != nil {
		return c.Model.Name
	}
	return name
}

// dryRunResnet prints the settings of every run and what the training will cost, reading no data.
func dryRunResnet(s *Streams, cfgs []config.Resnet, asJSON bool) error {
	var plans []plan
	for _, c := range cfgs {
		plans = append(plans, planned(variantName(c), c.Seed, c, c))
	}
	return dryRun(s, oneLine(cfgs), plans, asJSON)
}
