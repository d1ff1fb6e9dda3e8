package model

import (
	"fmt"
	"slices"
	"strings"
)

// Network is an entry of the zoo.
type Network struct {
	Name  string // in settings and on the command line
	About string // in a line
	Skips bool   // there are two of it: with skip connections (Spec.Res) and without
	Build func(s Spec, px Pixels) (Model, error)
}

// Zoo are the networks there are. To add one is to write its file and to enter it here.
var Zoo = slices.Concat([]Network{mlpNetwork}, cnnNetworks, resnetNetworks)

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
	Width int    // of mlp's layers; of a ResNet's first stage, 0: the paper's 16
	Res   bool   // with skip connections
}

// New is the network s names, for images with the given constants. An unknown name, and a depth, a width or skip
// connections that the network has no use for are errors.
func New(s Spec, px Pixels) (Model, error) {
	n, err := Find(s.Name)
	if err != nil {
		return nil, err
	}
	if s.Res && !n.Skips {
		return nil, fmt.Errorf("model %s has no skip connections; leave out --res", s.Name)
	}
	return n.Build(s, px)
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
