package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Resnet holds the settings of lab1 resnet.
type Resnet struct {
	Experiment string `yaml:"experiment" json:"experiment"`
	Seed       uint64 `yaml:"seed" json:"seed"` // of the split, the initial weights and the order of batches
	Data       Data   `yaml:"data" json:"data"`
	Model      Model  `yaml:"model" json:"model"`
	Train      Train  `yaml:"train" json:"train"`
	Test       Test   `yaml:"test,omitempty" json:"test"`
}

// Data names the data set and its splits.
type Data struct {
	Name string `yaml:"name" json:"name"` // mnist, cifar10, synthetic-digits, …, or the path of the user's own
	// training images held out for validation; 0: none; -1: a tenth. Where the data have a validation set it is taken.
	Val     int     `yaml:"val" json:"val"`
	Limit   int     `yaml:"limit" json:"limit"` // images of each split to use; 0: all
	Augment Augment `yaml:"augment" json:"augment"`

	// How data of the user's own are read: see data.Reading. Records leave out what is not set.
	Size        int    `yaml:"size,omitempty" json:"size,omitempty"`         // side of the images in pixels
	Channels    int    `yaml:"channels,omitempty" json:"channels,omitempty"` // 1: grey, 3: colour
	Test        int    `yaml:"test,omitempty" json:"test,omitempty"`         // images held out as the test set
	Part        string `yaml:"part,omitempty" json:"part,omitempty"`         // of several idx sets in a folder
	SkipDamaged bool   `yaml:"skip_damaged,omitempty" json:"skip_damaged,omitempty"`
}

// Tenth is the value of data.val that holds out a tenth of the training images.
const Tenth = -1

// Augment holds the random augmentation of training images.
type Augment struct {
	Flip   bool `yaml:"flip" json:"flip"`     // mirror left to right
	Crop   int  `yaml:"crop" json:"crop"`     // padding in pixels before a random crop; 0: off
	Cutout int  `yaml:"cutout" json:"cutout"` // side of a black square; 0: off
	Copies int  `yaml:"copies" json:"copies"` // fixed augmented copies per image, used in turn; 0: a new one each epoch

	// Alternate makes flip mirror at random in the first epoch, then every image in every other epoch.
	Alternate bool `yaml:"alternate,omitempty" json:"alternate"`
	Reflect   bool `yaml:"reflect,omitempty" json:"reflect"` // crop pads by reflection, not with black
}

// validate returns an error that names the first invalid setting.
func (a Augment) validate() error {
	switch {
	case a.Alternate && !a.Flip:
		return fmt.Errorf("data.augment.alternate says when to mirror images, and data.augment.flip is false; turn " +
			"flip on, or alternate off")
	case a.Alternate && a.Copies%2 == 1:
		return fmt.Errorf("data.augment.copies is %d: with data.augment.alternate the first and the last copy would "+
			"be mirrored alike, in two epochs in a row; want an even number, or 0", a.Copies)
	case a.Reflect && a.Crop == 0:
		return fmt.Errorf("data.augment.reflect says how to pad images, and data.augment.crop is 0; set crop to the " +
			"pixels to pad, or turn reflect off")
	}
	return nil
}

const resnetExperiment = "lab1/resnet"

// Model names a network of the zoo.
type Model struct {
	Name  string `yaml:"name" json:"name"`   // mlp, small, …, resnet20, …: see dla models ls
	Depth int    `yaml:"depth" json:"depth"` // mlp: blocks of two layers
	Width int    `yaml:"width" json:"width"` // of mlp's layers; of a ResNet's first stage, 0: the paper's
	Res   bool   `yaml:"res" json:"res"`     // skip connections

	// random, dirac, whiten, whiten+dirac: how the weights of convolutions begin; left out: as the network has it
	Init string `yaml:"init,omitempty" json:"init"`

	// pad, pad-both, projection: how a ResNet's skip connections change shape; left out: as the network has it
	Shortcut string `yaml:"shortcut,omitempty" json:"shortcut,omitempty"`
}

// Train holds the recipe of a training.
type Train struct {
	Epochs      int     `yaml:"epochs" json:"epochs"`
	BatchSize   int     `yaml:"batch_size" json:"batch_size"`
	Optimizer   string  `yaml:"optimizer" json:"optimizer"` // sgd, adamw, muon
	LR          float64 `yaml:"lr" json:"lr"`
	Momentum    float64 `yaml:"momentum" json:"momentum"` // sgd; muon: of all but filters, as the rest of sgd's settings
	Nesterov    bool    `yaml:"nesterov" json:"nesterov"` // sgd
	WeightDecay float64 `yaml:"weight_decay" json:"weight_decay"`
	Decoupled   bool    `yaml:"decoupled" json:"decoupled"` // sgd: decay the weights directly, not through the gradient
	Beta1       float64 `yaml:"beta1" json:"beta1"`         // adamw
	Beta2       float64 `yaml:"beta2" json:"beta2"`         // adamw
	Eps         float64 `yaml:"eps" json:"eps"`             // adamw
	Schedule    string  `yaml:"schedule" json:"schedule"`   // constant, linear, step, cosine, onecycle, triangle
	WarmupSteps int     `yaml:"warmup_steps" json:"warmup_steps"`
	Milestones  []int   `yaml:"milestones,flow" json:"milestones"` // epochs, for schedule step
	Gamma       float64 `yaml:"gamma" json:"gamma"`                // schedule step
	ClipNorm    float64 `yaml:"clip_norm" json:"clip_norm"`        // 0: off
	Patience    int     `yaml:"patience" json:"patience"`          // epochs; 0: no early stop

	LabelSmoothing float64 `yaml:"label_smoothing" json:"label_smoothing"`
	// winograd (where it applies) or direct; results differ in the last bits
	Conv string `yaml:"conv" json:"conv"`

	GradNorms bool `yaml:"grad_norms" json:"grad_norms"` // record the norm of each weight tensor's gradient

	// The settings below are left out of records where they have their defaults.

	// Steps ends the training after so many optimiser steps, within an epoch if need be; the schedule spans them. 0: the
	// steps of all epochs.
	Steps    int      `yaml:"steps,omitempty" json:"steps"`
	Triangle Triangle `yaml:"triangle,omitempty" json:"triangle"`
	Groups   Groups   `yaml:"groups,omitempty" json:"groups"`
	Average  Average  `yaml:"average,omitempty" json:"average"`
	Muon     Muon     `yaml:"muon,omitempty" json:"muon"`
}

// TotalSteps returns the optimiser steps of a training whose epochs have so many steps.
func (t Train) TotalSteps(epochSteps int) int {
	if all := t.Epochs * epochSteps; t.Steps == 0 || t.Steps > all {
		return all
	}
	return t.Steps
}

// Triangle holds the form of schedule triangle: the rate rises linearly from start·lr to lr, at the fraction peak of
// all steps, and falls linearly to end·lr.
type Triangle struct {
	Start float64 `yaml:"start" json:"start"`
	Peak  float64 `yaml:"peak" json:"peak"`
	End   float64 `yaml:"end" json:"end"`
}

// defaultTriangle is that of Jordan 2024 (https://arxiv.org/abs/2404.00498).
var defaultTriangle = Triangle{Start: 0.2, Peak: 0.23, End: 0.07}

// IsZero reports whether t is the default, which records leave out.
func (t Triangle) IsZero() bool { return t == defaultTriangle }

// Groups holds factors on learning rate and weight decay for kinds of parameters other than matrices and filters. What
// decays a parameter in one step is lr·weight_decay with both factors: to keep the decay where the rate is 64-fold,
// bias_decay is 1/64.
type Groups struct {
	BiasLR    float64 `yaml:"bias_lr" json:"bias_lr"`       // biases, of layers and of normalisations
	BiasDecay float64 `yaml:"bias_decay" json:"bias_decay"` // 0: no decay
	NormLR    float64 `yaml:"norm_lr" json:"norm_lr"`       // scales of normalisations
	NormDecay float64 `yaml:"norm_decay" json:"norm_decay"` // 0: no decay
}

// defaultGroups treats all parameters alike.
var defaultGroups = Groups{1, 1, 1, 1}

// IsZero reports whether g is the default, which records leave out.
func (g Groups) IsZero() bool { return g == defaultGroups }

// Muon holds the settings of optimizer muon for the filters of convolutions, which it trains in steps that are nearly
// orthogonal matrices (https://kellerjordan.github.io/posts/muon). The schedule is that of lr, and filters do not
// decay: before each step they are scaled to a fixed norm. All other parameters are trained by sgd.
type Muon struct {
	LR       float64 `yaml:"lr" json:"lr"`
	Momentum float64 `yaml:"momentum" json:"momentum"` // Nesterov's
}

// defaultMuon is that of Jordan's recipe for CIFAR-10 (https://github.com/KellerJordan/cifar10-airbench).
var defaultMuon = Muon{LR: 0.24, Momentum: 0.6}

// IsZero reports whether m is the default, which records leave out.
func (m Muon) IsZero() bool { return m == defaultMuon }

// Average holds the settings of a running average of weights and running statistics. Validation, test and the weights
// that are kept are those of the average.
type Average struct {
	// Kind is none, ema, an exponential moving average beside the training, or lookahead, which sets the weights to
	// their average at every update and after the last step (https://arxiv.org/abs/1907.08610).
	Kind  string  `yaml:"kind" json:"kind"`
	Decay float64 `yaml:"decay" json:"decay"` // of the average, per step
	Every int     `yaml:"every" json:"every"` // steps from one update to the next, which keeps decay^every
	Power float64 `yaml:"power" json:"power"` // lookahead: step s of T keeps decay^every·(s/T)^power; 0: constant
}

// Kinds of averages.
const (
	AverageNone      = "none"
	AverageEMA       = "ema"
	AverageLookahead = "lookahead"
)

// defaultAverage has the constants of lookahead in Jordan 2024 (https://arxiv.org/abs/2404.00498).
var defaultAverage = Average{Kind: AverageNone, Decay: 0.95, Every: 5, Power: 3}

// IsZero reports whether a is the default, which records leave out.
func (a Average) IsZero() bool { return a == defaultAverage }

// DefaultResnet trains the lab's MLP of depth 5 without skip connections on MNIST.
func DefaultResnet() Resnet {
	return Resnet{
		Experiment: resnetExperiment,
		Data:       Data{Name: "mnist", Val: 5000},
		Model:      Model{Name: "mlp", Depth: 5, Width: 128},
		Train: Train{Epochs: 10, BatchSize: 128, Optimizer: "sgd", LR: 0.1, Momentum: 0.9, Beta1: 0.9, Beta2: 0.999,
			Eps:      1e-8,
			Schedule: "cosine", Milestones: []int{}, Gamma: 0.1, Conv: "winograd", Triangle: defaultTriangle,
			Groups: defaultGroups, Average: defaultAverage, Muon: defaultMuon},
		Test: Test{NoViews},
	}
}

// DefaultFor returns the defaults of the network called model: DefaultResnet for mlp, else that network without skip
// connections on CIFAR-10.
func DefaultFor(model string) Resnet {
	c := DefaultResnet()
	if model == c.Model.Name {
		return c
	}
	c.Data = Data{Name: "cifar10", Val: 5000, Augment: Augment{Flip: true, Crop: 4}}
	c.Model = Model{Name: model}
	c.Train.Schedule, c.Train.Nesterov, c.Train.WeightDecay = "onecycle", true, 5e-4
	if model == "speedrun" {
		speedrun(&c)
	}
	return c
}

// speedrun sets the recipe of Jordan 2024 (https://arxiv.org/abs/2404.00498) in its form with Muon
// (https://github.com/KellerJordan/cifar10-airbench, airbench94_muon.py) for 94 % on CIFAR-10, with an epoch more.
// There the loss is summed over the batch, the head's weights have a standard deviation of 1 and its outputs are
// divided by 256; here the loss is a mean and outputs are divided by 9. The head's rate 0.67 becomes
// 0.67·2000·(9/256)² = 1.656, that of biases 0.053 becomes 0.053·2000 = 106 = 64·1.656. What decays a weight in a step
// is 1.656·0.002415 = 0.004.
func speedrun(c *Resnet) {
	c.Data.Val, c.Test.Views = 0, ShiftViews
	c.Data.Augment = Augment{Flip: true, Alternate: true, Crop: 2, Reflect: true}
	t := &c.Train
	t.Epochs, t.BatchSize, t.Schedule, t.LabelSmoothing = 9, 2000, "linear", 0.2
	t.Optimizer, t.Muon, t.LR, t.Momentum, t.Nesterov = "muon", Muon{LR: 0.24, Momentum: 0.6}, 1.656, 0.85, true
	t.WeightDecay, t.Groups = 0.002415, Groups{BiasLR: 64, BiasDecay: 1.0 / 64, NormLR: 1, NormDecay: 1}
}

// Training holds the settings that every training has: seed, data and recipe.
type Training struct {
	Seed  uint64 // of the split, the initial weights and the order of batches
	Data  Data
	Train Train
}

// Classifier holds a network of the zoo and the settings of its training.
type Classifier struct {
	Training
	Model Model
}

// Training returns the settings that every training has.
func (c Resnet) Training() Training { return Training{c.Seed, c.Data, c.Train} }

// Classifier returns the settings of the classifier that a run trains.
func (c Resnet) Classifier() Classifier { return Classifier{c.Training(), c.Model} }

// Validate returns an error that names the first invalid setting.
func (c Resnet) Validate() error {
	if c.Experiment != resnetExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, resnetExperiment)
	}
	if err := c.Test.Views.validate("test.views"); err != nil {
		return err
	}
	return c.Classifier().Validate()
}

// Validate returns an error that names the first invalid setting.
func (c Classifier) Validate() error {
	for _, n := range []struct {
		key     string
		v, high int
	}{{"model.depth", c.Model.Depth, 200}, {"model.width", c.Model.Width, 1 << 14}} {
		if n.v < 0 || n.v > n.high {
			return fmt.Errorf("%s is %d, want 0 to %d", n.key, n.v, n.high)
		}
	}
	if c.Model.Name == DefaultResnet().Model.Name {
		if err := c.Train.withoutFilters("model.name " + c.Model.Name); err != nil {
			return err
		}
	}
	return c.Training.Validate()
}

// withoutFilters returns an error if t's optimiser trains filters, which the network called name lacks.
func (t Train) withoutFilters(name string) error {
	if t.Optimizer == "muon" {
		return fmt.Errorf("train.optimizer is muon, which trains filters of convolutions, and %s has none; want sgd or "+
			"adamw", name)
	}
	return nil
}

// Validate returns an error that names the first invalid setting.
func (c Training) Validate() error {
	for _, n := range []struct {
		key          string
		v, low, high int
	}{
		{"data.val", c.Data.Val, Tenth, 59000}, {"data.size", c.Data.Size, 0, 1024}, {"data.test", c.Data.Test, 0,
			math.MaxInt32}, {"data.limit", c.Data.Limit, 0, math.MaxInt32},
		{"data.augment.crop", c.Data.Augment.Crop, 0, 1 << 10}, {"data.augment.cutout", c.Data.Augment.Cutout, 0,
			1 << 10},
		{"data.augment.copies", c.Data.Augment.Copies, 0, 1000},
		{"train.epochs", c.Train.Epochs, 1, 100000}, {"train.batch_size", c.Train.BatchSize, 1, 1 << 16},
		{"train.warmup_steps", c.Train.WarmupSteps, 0, math.MaxInt32}, {"train.patience", c.Train.Patience, 0,
			math.MaxInt32},
		{"train.steps", c.Train.Steps, 0, math.MaxInt32}, {"train.average.every", c.Train.Average.Every, 1,
			math.MaxInt32},
	} {
		if n.v < n.low || n.v > n.high {
			return fmt.Errorf("%s is %d, want %d to %d", n.key, n.v, n.low, n.high)
		}
	}
	if c.Data.Val == 0 && c.Train.Patience > 0 {
		return fmt.Errorf("train.patience is %d: without validation images (data.val is 0) no epoch is better than "+
			"another; hold images out, or set train.patience to 0", c.Train.Patience)
	}
	if n := c.Data.Channels; n != 0 && n != 1 && n != 3 {
		return fmt.Errorf("data.channels is %d, want 1 for grey, 3 for colour, or 0 for what the images have", n)
	}
	if err := c.Data.Augment.validate(); err != nil {
		return err
	}
	for _, x := range []struct {
		key       string
		v, low    float64
		exclusive bool
	}{
		{"train.lr", c.Train.LR, 0, true}, {"train.clip_norm", c.Train.ClipNorm, 0, false}, {"train.weight_decay",
			c.Train.WeightDecay, 0, false},
		{"train.gamma", c.Train.Gamma, 0, true}, {"train.eps", c.Train.Eps, 0, true},
		{"train.groups.bias_lr", c.Train.Groups.BiasLR, 0, false}, {"train.groups.bias_decay",
			c.Train.Groups.BiasDecay, 0, false},
		{"train.groups.norm_lr", c.Train.Groups.NormLR, 0, false}, {"train.groups.norm_decay",
			c.Train.Groups.NormDecay, 0, false},
		{"train.average.power", c.Train.Average.Power, 0, false}, {"train.muon.lr", c.Train.Muon.LR, 0, true},
	} {
		if !(x.v >= x.low) || x.exclusive && x.v == x.low || math.IsInf(x.v, 0) {
			bound := "of at least"
			if x.exclusive {
				bound = "above"
			}
			return fmt.Errorf("%s is %g, want a finite number %s %g", x.key, x.v, bound, x.low)
		}
	}
	for _, w := range []struct {
		key, v string
		known  []string
	}{
		{"train.optimizer", c.Train.Optimizer, []string{"sgd", "adamw", "muon"}},
		{"train.schedule", c.Train.Schedule, []string{"constant", "linear", "step", "cosine", "onecycle",
			"triangle"}},
		{"train.conv", c.Train.Conv, []string{"winograd", "direct"}},
		{"train.average.kind", c.Train.Average.Kind, []string{AverageNone, AverageEMA, AverageLookahead}},
	} {
		if !slices.Contains(w.known, w.v) {
			return fmt.Errorf("%s is %q, want one of %s", w.key, w.v, strings.Join(w.known, ", "))
		}
	}
	for i, m := range c.Train.Milestones {
		if m < 1 || i > 0 && m <= c.Train.Milestones[i-1] {
			return fmt.Errorf("train.milestones is %v, want ascending epochs from 1", c.Train.Milestones)
		}
	}
	for _, x := range []struct {
		key string
		v   float64
	}{{"train.momentum", c.Train.Momentum}, {"train.beta1", c.Train.Beta1}, {"train.beta2",
		c.Train.Beta2}, {"train.label_smoothing", c.Train.LabelSmoothing}, {"train.average.decay",
		c.Train.Average.Decay}, {"train.muon.momentum", c.Train.Muon.Momentum}} {
		if !(x.v >= 0 && x.v < 1) {
			return fmt.Errorf("%s is %g, want at least 0 and below 1", x.key, x.v)
		}
	}
	for _, x := range []struct {
		key string
		v   float64
	}{{"train.triangle.start", c.Train.Triangle.Start}, {"train.triangle.peak", c.Train.Triangle.Peak},
		{"train.triangle.end", c.Train.Triangle.End}} {
		if !(x.v >= 0 && x.v <= 1) {
			return fmt.Errorf("%s is %g, want 0 to 1", x.key, x.v)
		}
	}
	if c.Train.Nesterov && c.Train.Momentum == 0 {
		return fmt.Errorf("train.nesterov needs a train.momentum above 0")
	}
	return nil
}
