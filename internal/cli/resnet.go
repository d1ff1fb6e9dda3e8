package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/model"
)

func newLab1Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab1",
		Short: "Networks with and without skip connections, and distillation",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newResnetCmd(s), newDistillCmd(s))
	return cmd
}

func newResnetCmd(s *Streams) *cobra.Command {
	def := config.DefaultResnet()
	var o trainingFlags
	cmd := &cobra.Command{
		Use:   "resnet",
		Short: "Train MLPs on MNIST and CNNs on CIFAR-10, with and without skip connections",
		Long: `Train a network with or without skip connections (--res: each block is x + block(x)).

--model mlp (the default on MNIST, and where --depth is given): 784 -> 128, DEPTH blocks of two 128-wide
linear layers with ReLU, a head. It takes the pixels of MNIST as they are and standardizes those of other sets.
--model small, medium, large (the lab's CNNs), resnet20, resnet32, … resnet110 (He et al. 2016; without
--res the plain networks of the same depth), on CIFAR-10. ` + "`dla models ls`" + ` lists them.

The accuracy on 5,000 held-out validation images selects the epoch; its weights are evaluated once on
the test set. Those of the last epoch, where they are others, are evaluated beside them, to be reported
alone. With --set data.val=0 all training images are trained on, and the weights of the last epoch
are kept and evaluated. --views evaluates them once more with test-time augmentation, which is reported
beside that. Each run leaves a directory under --out with its configuration, environment, metrics,
checkpoints and figures. Several models or depths, both values of --res or several seeds make a study:
every combination is trained in turn, and the figures show all of them.

Settings, later ones take precedence: defaults, --config, flags, --set.`,
		Example: `  dla lab1 resnet --depth 5 --res
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3
  dla lab1 resnet --model large --res
  dla lab1 resnet --model speedrun                                   # 94 % of CIFAR-10 in 9 epochs
  dla lab1 resnet --model small,medium,large --res both
  dla lab1 resnet --config configs/lab1/resnet-paper.yaml --model resnet56
  dla lab1 resnet --depth 5 --res --set train.lr=0.05 --set train.schedule=constant
  dla lab1 resnet --data photos/ --model resnet20 --res             # your own images, by class
  dla lab1 resnet --data photos.zip --set data.size=64 --set data.val=500
  dla lab1 resnet --model resnet56 --res both --grad-norms
  dla lab1 resnet --config configs/lab1/mlp.yaml --dry-run
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3 --resume    # goes on where it was stopped`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.add(cmd, "lab1", b)
	b.bindAxis("model", "model.name", "network, or several: small,medium,large; with --data cifar10 or your own images "+
		"the default is small")
	b.bindAxis("depth", "model.depth", "blocks of mlp; several: 1,2,3,4,5")
	b.bind("width", "model.width", "width of the layers of mlp, or of the first stage of a ResNet (16 in the paper)")
	f := cmd.Flags()
	f.String("res", "false", "skip connections: true, false or both")
	f.Lookup("res").NoOptDefVal = "true"
	b.axes = append(b.axes, axis{"res", "model.res",
		func() ([]any, error) { return skips(f.Lookup("res").Value.String()) }})
	addOptimizer(cmd, b)
	b.bind("conv", "train.conv", "algorithm of convolutions: winograd (where it applies) or direct")
	b.bind("init", "model.init",
		"how convolutions begin: random, dirac (the identity as far as there are filters for it), whiten "+
			"(the first one whitens patches of training images) or whiten+dirac; default: as the network has it")
	completeWords(cmd, "init", model.Initials)
	b.bind("patience", "train.patience", "stop after this many epochs without a better validation accuracy; 0: never")
	b.bind("grad-norms", "train.grad_norms", "record and draw the gradient norm of each weight tensor")
	addViews(cmd, b)
	completeWords(cmd, "model", model.Names)
	completeWords(cmd, "res", []string{"true", "false", "both"})
	completeWords(cmd, "conv", []string{"winograd", "direct"})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := resnetSettings(o, b)
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: resnetLine(cfgs), small: o.smallLine(b, smallTraining), tasks: tasksOf(cfgs)})
	}
	return cmd
}

// skips returns the values of --res.
func skips(text string) ([]any, error) {
	if text == "both" {
		return []any{false, true}, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fmt.Errorf("%q: want true, false or both", text)
	}
	return []any{b}, nil
}

// smallTraining holds the settings of --fast-dev-run.
var smallTraining = []small{{"data.limit", 512}, {"train.epochs", 2}}

// resnetSettings resolves the settings of every run. The network determines the defaults, or the data set if no network
// is named; a depth is one of mlp.
func resnetSettings(o trainingFlags, b *settingFlags) ([]config.Resnet, error) {
	all, err := resolve(o.experimentFlags, b, o.seeds, layers[config.Resnet]{
		plain: func() config.Resnet {
			c := config.DefaultResnet()
			c.Model.Name, c.Model.Depth = "", -1
			return c
		},
		decided: func(c config.Resnet) (config.Resnet, error) {
			name := c.Model.Name
			if name == "" {
				name = "mlp"
				d, err := data.Describe(c.Data.Name)
				if c.Model.Depth < 0 && (err == nil && d.C > 1 || data.IsOwn(c.Data.Name)) {
					name = "small"
				}
			}
			def := config.DefaultFor(name)
			ownDefaults(&def.Data, c.Data)
			return def, nil
		},
		small: smallTraining,
		check: checkResnet,
	})
	for _, c := range all {
		if c.Data.Name != all[0].Data.Name {
			return nil, fmt.Errorf("--model %s, %s: mlp and the convolutional networks have different defaults; "+
				"train them in separate studies", all[0].Model.Name, c.Model.Name)
		}
	}
	return all, err
}

// ownDefaults sets the defaults def for data of the user's own, where given names such: a tenth of the training images
// takes the place of a number that is meant for the course's sets.
func ownDefaults(def *config.Data, given config.Data) {
	if data.IsOwn(given.Name) && def.Val > 0 {
		def.Val = config.Tenth
	}
}

// checkResnet checks the settings and the name of the network.
func checkResnet(c config.Resnet) error {
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := labs.ResnetVariant(c)
	return err
}

// resnetLine summarises the resolved settings: the networks of each recipe.
func resnetLine(cfgs []config.Resnet) string {
	c := cfgs[0]
	runs, names := map[string]int{}, []string{} // by network
	for _, x := range cfgs {
		n := variantName(x)
		if runs[n]++; runs[n] == 1 {
			names = append(names, n)
		}
	}
	var recipes []string
	networks := map[string][]string{}
	for _, x := range cfgs {
		n := variantName(x)
		if x.Seed != c.Seed { // the recipe names all seeds
			continue
		}
		r := recipe(x.Training(), runs[n], "images")
		if networks[r] == nil {
			recipes = append(recipes, r)
		}
		networks[r] = append(networks[r], n)
	}
	if len(recipes) == 1 {
		return fmt.Sprintf("lab1 resnet: %s on %s, %s", strings.Join(names, " "), c.Data.Name, recipes[0])
	}
	var parts []string
	for _, r := range recipes {
		parts = append(parts, strings.Join(networks[r], " ")+": "+r)
	}
	return fmt.Sprintf("lab1 resnet: on %s, %s", c.Data.Name, strings.Join(parts, "; "))
}

// recipe summarises the recipe of c for the given number of seeds.
func recipe(c config.Training, seeds int, items string) string {
	t := c.Train
	opt := fmt.Sprintf("%s lr %g", t.Optimizer, t.LR)
	if t.Optimizer == "muon" {
		opt = fmt.Sprintf("muon lr %g momentum %g and sgd lr %g", t.Muon.LR, t.Muon.Momentum, t.LR)
	}
	if t.Optimizer != "adamw" && t.Momentum > 0 {
		opt += fmt.Sprintf(" momentum %g", t.Momentum)
	}
	if t.WeightDecay > 0 {
		opt += fmt.Sprintf(" weight_decay %g", t.WeightDecay)
	}
	from := fmt.Sprintf("seed %d", c.Seed)
	if seeds > 1 {
		from = fmt.Sprintf("seeds %d-%d", c.Seed, c.Seed+uint64(seeds)-1)
	}
	epochs := fmt.Sprintf("%d epochs", t.Epochs)
	if t.Steps > 0 {
		epochs += fmt.Sprintf(", at most %d steps", t.Steps)
	}
	line := fmt.Sprintf("%s, batch %d, %s, %s, %s; %d threads, %s kernels",
		epochs, t.BatchSize, opt, t.Schedule, from, kernel.Threads(), kernel.Level())
	if t.Average.Kind != config.AverageNone {
		line += ", average " + t.Average.Kind
	}
	if c.Train.Conv == "direct" {
		line += ", convolutions direct"
	}
	if c.Data.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d %s of each split", c.Data.Limit, items)
	}
	return line
}

// variantName returns the name of a network that checkResnet has checked.
func variantName(c config.Resnet) string {
	name, err := labs.ResnetVariant(c)
	if err != nil {
		return c.Model.Name
	}
	return name
}
