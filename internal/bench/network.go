package bench

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/train"
)

// Network is what a network is made of. Everything is counted off the compiled evaluation graph.
type Network struct {
	Name   string  `json:"variant"`
	Input  []int   `json:"input"` // of one image
	Params int     `json:"params"`
	MACs   int     `json:"macs"` // one image, forward
	Layers []Layer `json:"layers"`
}

// Layer is one node of the forward pass.
type Layer struct {
	Name   string `json:"name"` // what its parameters' names begin with; empty where it has none
	Op     string `json:"op"`
	Output []int  `json:"output"` // of one image
	Params int    `json:"params"` // weights, without buffers
	MACs   int    `json:"macs"`   // of one image
}

// Describe builds m for the images of set and lists its layers.
func Describe(m model.Model, set data.Description) (Network, error) {
	params := nn.Blank()
	g := nn.NewGraph(params)
	n := Network{Name: m.Name(), Input: m.Input(set.H, set.W, set.C)}
	logits := m.Logits(g, g.Input("x", append([]int{1}, n.Input...)...), set.Classes)
	if g.Err() != nil {
		return n, g.Err()
	}
	// Every node is an output, so that none is merged into another.
	nodes, err := engine.Order(g.ExprGraph, []*gorgonia.Node{logits})
	if err != nil {
		return n, err
	}
	prog, err := engine.Compile(g.ExprGraph, nodes...)
	if err != nil {
		return n, err
	}
	n.Params, n.MACs = params.Count(), prog.MACs()
	size := map[string]int{}
	for _, p := range params.Trained() {
		size[p.Name] = len(p.Data)
	}
	for _, s := range prog.Steps() {
		l := Layer{Op: s.Op, Output: s.Shape[1:], MACs: s.MACs}
		for _, leaf := range s.Leaves {
			if size[leaf] == 0 {
				continue // the image, or a buffer
			}
			l.Name = leaf[:max(0, strings.LastIndexByte(leaf, '.'))]
			l.Params += size[leaf]
			delete(size, leaf) // a shared weight counts once
		}
		n.Layers = append(n.Layers, l)
	}
	return n, nil
}

// PlannedBytes is the memory that the engine plans for m on batches of so many images of set:
// intermediates and gradients of a training step, and of an evaluation.
func PlannedBytes(m model.Model, set data.Description, batch int) (training, evaluation int64, err error) {
	c, err := classifier(m, set, batch)
	if err != nil {
		return 0, 0, err
	}
	return c.Train().PeakBytes(), c.Eval().PeakBytes(), nil
}

// classifier compiles m for batches of images of set.
func classifier(m model.Model, set data.Description, batch int) (*train.Classifier, error) {
	return train.NewClassifier(m, nn.NewParams(1), m.Input(set.H, set.W, set.C), set.Classes, batch, batch, 0)
}

// network is a network of the zoo, or one of the peer's, with the images it is measured on.
type network struct {
	model.Model
	set   string // of data
	large bool
	peer  string // what the peer calls it
	conv  bool   // the peer has it in several layouts and precisions
	note  string // where the peer's is not quite the same
	err   error  // why there is no Model, which its cases then say
	name  string // of the zoo, where there is none
}

// Name is the variant's name, or that of the zoo where there is no network to be had.
func (n network) Name() string {
	if n.err != nil {
		return n.name
	}
	return n.Model.Name()
}

// largeNetworks are measured only when they are named: speedrun since its peer is another program, of other batches.
var largeNetworks = []string{"resnet32", "resnet44", "resnet56", "resnet110", "resnet18", "wrn28-10", "speedrun"}

// networks are the zoo, with skips where there are any, and the peer's architectures.
func networks() []network {
	all := []network{{Model: model.MLP{Depth: 5, Width: 128, Res: true}, set: "mnist", peer: "mlp d5 res"}}
	for _, n := range model.Zoo {
		if n.Name == "mlp" {
			continue
		}
		m, err := model.New(model.Spec{Name: n.Name, Res: n.Skips}, model.CIFAR10)
		all = append(all, network{Model: m, set: "cifar10", large: slices.Contains(largeNetworks, n.Name), err: err,
			name: n.Name})
		if n.Name == "speedrun" {
			last := &all[len(all)-1]
			last.peer, last.conv = "speedrun", true
		}
	}
	all = append(all, network{Model: model.ResNet{Blocks: 3, Width: 32, Res: true, Pixels: model.CIFAR10}, set: "cifar10"})
	for _, c := range []struct {
		peer   string
		blocks int
	}{{"cnn-small", 2}, {"cnn-medium", 5}, {"cnn-large", 7}} {
		m := model.CNN{Size: fmt.Sprintf("%dx32", c.blocks), Inner: slices.Repeat([]int{32}, c.blocks), Res: true,
			Pixels: model.CIFAR10}
		all = append(all, network{Model: m, set: "cifar10", peer: c.peer, conv: true,
			note: "ours has a batch normalisation more in every block and one after the stem (the peer has biases instead, and a ReLU after the sum): more work than the peer's"})
	}
	for _, w := range []struct {
		peer  string
		width int
	}{{"resnet20-w16", 16}, {"resnet20-w32", 32}} {
		m := model.ResNet{Blocks: 3, Width: w.width, Res: true, Projection: true, Pixels: model.CIFAR10}
		all = append(all, network{Model: m, set: "cifar10", peer: w.peer, conv: true})
	}
	return all
}
