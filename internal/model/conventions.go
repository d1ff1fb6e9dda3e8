package model

// Conventions are what programs for the same network do differently, and what its weights do not tell.
type Conventions struct {
	Layout   string    `json:"layout"` // of tensors
	Mean     []float64 `json:"mean,omitempty"`
	Std      []float64 `json:"std,omitempty"`
	Epsilon  float64   `json:"epsilon,omitempty"`  // of batch normalisation; 0: the network has none
	Shortcut string    `json:"shortcut,omitempty"` // where a block changes shape
}

// ConventionsOf says how m is computed.
func ConventionsOf(m Model) Conventions {
	c := Conventions{Layout: "images [rows, height, width, channels], filters [k, k, in, out] (PyTorch: [out, in, k, k])",
		Epsilon: 1e-5}
	var px Pixels
	switch m := m.(type) {
	case MLP:
		return Conventions{Layout: "images as rows of pixels, weights [out, in]", Mean: m.Mean, Std: m.Std}
	case CNN:
		px = m.Pixels
	case Speedrun:
		px, c.Epsilon = m.Pixels, speedrunNorm.Eps
	case Wide:
		px = m.Pixels
		if m.Res {
			c.Shortcut = "1x1 convolution (projection)"
		}
	case ResNet:
		px = m.Pixels
		switch {
		case !m.Res:
		case m.Projection:
			c.Shortcut = "1x1 convolution and batch normalisation (option B)"
		case m.PadBoth:
			c.Shortcut = "zeros before and behind the channels, as many (option A)"
		default:
			c.Shortcut = "zeros behind the channels (option A)"
		}
	}
	c.Mean, c.Std = px.Mean, px.Std
	return c
}
