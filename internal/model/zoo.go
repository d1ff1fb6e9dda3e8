package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Network is an entry of the zoo.
type Network struct {
	Name    string // in settings and on the command line
	About   string // in a line
	Skips   bool   // there are two of it: with skip connections (Spec.Res) and without
	Initial        // of its weights, unless Spec.Init names another
	Build   func(s Spec, px Pixels) (Model, error)
}

// Initial says how the weights of convolutions begin, other than drawn at random.
type Initial struct {
	Whiten bool // the first convolution whitens patches of training images (nn.WhiteningFilters)
	Dirac  bool // the others begin as the identity, as far as they have filters for it (nn.Dirac)
}

// initials are the names of an Initial.
var initials = map[string]Initial{
	"random": {}, "whiten": {Whiten: true}, "dirac": {Dirac: true}, "whiten+dirac": {Whiten: true, Dirac: true},
}

// Initials are the values of Spec.Init.
var Initials = slices.Sorted(maps.Keys(initials))

// Zoo are the networks there are. To add one is to write its file and to enter it here.
var Zoo = slices.Concat([]Network{mlpNetwork}, cnnNetworks, resnetNetworks,
	[]Network{wideNetwork, speedrunNetwork})

// Names are those of the networks.
var Names = names()

func names() (all []string) {
	for _, n := range Zoo {
		all = append(all, n.Name)
	}
	return all
}

// Find is the network called name.
func Find(name string) (Network, error) {
	for _, n := range Zoo {
		if n.Name == name {
			return n, nil
		}
	}
	return Network{}, fmt.Errorf("unknown model %q: known are %s", name, strings.Join(Names, ", "))
}

// Spec names a network of the zoo.
type Spec struct {
	Name  string // one of Names
	Depth int    // blocks, for mlp
	Width int    // of mlp's layers; of a ResNet's first stage, 0: the paper's
	Res   bool   // with skip connections
	Init  string // of the weights, one of Initials; "": as the network has it

	Shortcut string // of a ResNet, one of Shortcuts; "": the paper's

	initial Initial // what Init names
}

// Initial says how the weights of the network begin. An unknown name is an error, and one that an MLP has no
// convolutions for.
func (s Spec) Initial() (Initial, error) {
	n, err := Find(s.Name)
	if err != nil || s.Init == "" {
		return n.Initial, err
	}
	initial, ok := initials[s.Init]
	switch {
	case !ok:
		return Initial{}, fmt.Errorf("model.init is %q, want one of %s", s.Init, strings.Join(Initials, ", "))
	case n.Name == mlpNetwork.Name && initial != Initial{}:
		return Initial{}, fmt.Errorf("model.init is %s, and model %s has no convolutions to begin so", s.Init, n.Name)
	}
	return initial, nil
}

// New is the network s names, for images with the given constants. An unknown name, and a depth, a width or skip
// connections that the network has no use for are errors.
func New(s Spec, px Pixels) (Model, error) {
	n, err := Find(s.Name)
	if err != nil {
		return nil, err
	}
	if s.initial, err = s.Initial(); err != nil {
		return nil, err
	}
	if s.Res && !n.Skips {
		return nil, fmt.Errorf("model %s has no skip connections; leave out --res (model.res)", s.Name)
	}
	if err := s.checkShortcut(); err != nil {
		return nil, err
	}
	return n.Build(s, px)
}

// checkShortcut is an error where s has a shortcut that is unknown, or a network without a choice of them.
func (s Spec) checkShortcut() error {
	switch {
	case s.Shortcut == "":
		return nil
	case !slices.Contains(Shortcuts, s.Shortcut):
		return fmt.Errorf("model.shortcut is %q, want one of %s", s.Shortcut, strings.Join(Shortcuts, ", "))
	case !strings.HasPrefix(s.Name, "resnet"):
		return fmt.Errorf("model.shortcut is %s, and model %s has no choice of shortcuts; leave it out", s.Shortcut, s.Name)
	case !s.Res:
		return fmt.Errorf("model.shortcut is %s, and the network has no skip connections; add --res", s.Shortcut)
	}
	return nil
}

// ownDepth is an error where s has a depth, of a network that has its own.
func (s Spec) ownDepth() error {
	if s.Depth != 0 {
		return fmt.Errorf("model %s has its own depth; %d is for mlp", s.Name, s.Depth)
	}
	return nil
}

// ownSize is an error where s has a depth or a width, of a network that has its own.
func (s Spec) ownSize() error {
	if err := s.ownDepth(); err != nil {
		return err
	}
	if s.Width != 0 {
		return fmt.Errorf("model %s has its own widths; %d is for mlp and the ResNets", s.Name, s.Width)
	}
	return nil
}
