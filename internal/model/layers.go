package model

// Layers says how deep a network is.
type Layers struct{ Blocks, Convs int } // blocks, and convolution layers in all

// LayersOf counts m's.
func LayersOf(m Model) Layers {
	switch m := m.(type) {
	case MLP:
		return Layers{Blocks: m.Depth}
	case CNN:
		return Layers{Blocks: len(m.Inner), Convs: 1 + 3*len(m.Inner)}
	case ResNet:
		l := Layers{Blocks: 3 * m.Blocks, Convs: 1 + 6*m.Blocks}
		if m.Res && m.Projection {
			l.Convs += 2
		}
		return l
	}
	return Layers{}
}
