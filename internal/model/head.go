package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
)

// MLPHead classifies vectors by two linear layers: to Hidden with ReLU, then, with elements dropped in
// training, to the classes.
type MLPHead struct {
	Hidden  int
	Dropout float64 // probability
	// Mean and Std are constants by which each element is standardised first; nil: it is taken as it is.
	Mean, Std []float64
}

// Name is the head's name in records: mlp256.
func (h MLPHead) Name() string { return fmt.Sprintf("mlp%d", h.Hidden) }

// Logits maps x [rows, width] to [rows, classes].
func (h MLPHead) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	if h.Mean != nil {
		x = nn.Standardize(g, "standardize", x, h.Mean, h.Std)
	}
	y := nn.LinearReLU(g, "fc1", x, h.Hidden)
	y = nn.Dropout(g, "dropout", y, h.Dropout)
	return nn.Linear(g, "fc2", y, classes)
}
