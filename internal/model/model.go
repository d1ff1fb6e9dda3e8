// Package model is the zoo: each file builds one family's logits out of nn layers.
package model

import (
	"cmp"
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// Model is a classifier of the zoo.
type Model interface {
	// Name is the variant's name in records and figures.
	Name() string
	// Input is the shape of one row of what Logits takes, for images of h x w pixels in c channels.
	Input(h, w, c int) []int
	// Features maps x [rows, …], pixels in [0,1], to what the last layer before the head makes of them:
	// [rows, H, W, C] of a convolutional network, before its pooling, [rows, width] of the MLP. Errors
	// stick to g.
	Features(g *nn.Graph, x *G.Node) *G.Node
	// Head maps Features to what the linear layer takes, [rows, width], pooled, and to its logits
	// [rows, classes].
	Head(g *nn.Graph, features *G.Node, classes int) (pooled, logits *G.Node)
	// Logits is Head of Features.
	Logits(g *nn.Graph, x *G.Node, classes int) *G.Node
}

// Spec names a network of the zoo.
type Spec struct {
	Name  string // one of Names
	Depth int    // blocks, for mlp
	Width int    // of mlp's layers; of a ResNet's first stage, 0: the paper's 16
	Res   bool   // with skip connections
}

// Names are the networks there are: mlp, the lab's CNNs, and the ResNets of He et al. 2016.
var Names = []string{"mlp", "small", "medium", "large", "teacher", "student", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}

// resnetBlocks are the blocks of a stage: depth is six times as many, plus two.
var resnetBlocks = map[string]int{"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}

// New is the network s names, for images with the given constants. An unknown name and a depth or
// width that the network has no use for are errors.
func New(s Spec, px Pixels) (Model, error) {
	if s.Name == "mlp" {
		if s.Depth < 0 || s.Width < 1 {
			return nil, fmt.Errorf("model mlp of depth %d and width %d: want a depth of at least 0 and a width of at least 1", s.Depth, s.Width)
		}
		return MLP{Depth: s.Depth, Width: s.Width, Res: s.Res}, nil
	}
	if s.Depth != 0 {
		return nil, fmt.Errorf("model %s has its own depth; %d is for mlp", s.Name, s.Depth)
	}
	if inner, ok := cnnSizes[s.Name]; ok {
		if s.Width != 0 {
			return nil, fmt.Errorf("model %s has its own widths; %d is for mlp and the ResNets", s.Name, s.Width)
		}
		return CNN{Size: s.Name, Inner: inner, Res: s.Res, Pixels: px}, nil
	}
	if n, ok := resnetBlocks[s.Name]; ok {
		if s.Width < 0 {
			return nil, fmt.Errorf("model %s of width %d: want at least 1, or 0 for the paper's 16", s.Name, s.Width)
		}
		return ResNet{Blocks: n, Width: cmp.Or(s.Width, 16), Res: s.Res, Pixels: px}, nil
	}
	return nil, fmt.Errorf("unknown model %q: known are %s", s.Name, strings.Join(Names, ", "))
}

// Pixels are a data set's mean and deviation by channel, for the layer every convolutional network
// begins with.
type Pixels struct{ Mean, Std []float64 }

// CIFAR10 are the published constants of the training set of CIFAR-10, MNIST those of MNIST.
var (
	CIFAR10 = Pixels{Mean: []float64{0.49139968, 0.48215841, 0.44653091}, Std: []float64{0.24703223, 0.24348513, 0.26158784}}
	MNIST   = Pixels{Mean: []float64{0.1307}, Std: []float64{0.3081}}
)

// PixelsFor are the constants for images of the given number of channels: of MNIST for grey, of CIFAR-10
// for colour.
func PixelsFor(channels int) Pixels {
	if channels == 1 {
		return MNIST
	}
	return CIFAR10
}

// standardize is the first layer: for images of as many channels as p has constants for.
func (p Pixels) standardize(g *nn.Graph, x *G.Node) *G.Node {
	return nn.Standardize(g, "standardize", x, p.Mean, p.Std)
}

func kind(res bool) string {
	if res {
		return "res"
	}
	return "plain"
}
