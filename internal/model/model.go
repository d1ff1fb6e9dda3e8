// Package model is the zoo: each file builds one family's logits out of nn layers.
package model

import (
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
	// Layers says how deep the network is.
	Layers() Layers
	// Label is the network without its skips in readers' words, and its place among its kind in tables.
	Label() (network string, order int)
	// Skips is residual or plain; empty where there are no two such variants.
	Skips() string
}

// Layers are the blocks of a network, and its convolution layers in all.
type Layers struct{ Blocks, Convs int }

// Pixels are a data set's mean and deviation by channel, for the layer every convolutional network
// begins with.
type Pixels struct{ Mean, Std []float64 }

// CIFAR10 are the published constants of the training set of CIFAR-10, MNIST those of MNIST, as data.Catalogue has them.
var (
	CIFAR10 = Pixels{Mean: []float64{0.49139968, 0.48215841, 0.44653091},
		Std: []float64{0.24703223, 0.24348513, 0.26158784}}
	MNIST = Pixels{Mean: []float64{0.1307}, Std: []float64{0.3081}}
)

// PixelsFor are the constants of networks whose records have none, by the number of channels: of MNIST for grey, of
// CIFAR-10 for colour, and none for mlp, which then takes pixels as they are. They also serve where a network is
// described and not trained.
func PixelsFor(network string, channels int) Pixels {
	switch {
	case network == mlpNetwork.Name:
		return Pixels{}
	case channels == 1:
		return MNIST
	}
	return CIFAR10
}

// standardize is the first layer: for images of as many channels as p has constants for.
func (p Pixels) standardize(g *nn.Graph, x *G.Node) *G.Node {
	return nn.Standardize(g, "standardize", x, p.Mean, p.Std)
}

// skips is the word for a network with skip connections or without.
func skips(res bool) string {
	if res {
		return "residual"
	}
	return "plain"
}

func kind(res bool) string {
	if res {
		return "res"
	}
	return "plain"
}
