package optim

import (
	"math"

	"dla/internal/kernel"
)

// Clipper bounds the global norm of the gradients, as torch.nn.utils.clip_grad_norm_ does.
type Clipper struct {
	params []Param
	part   []stretch
	sums   []float64 // of squares, one per range
	scale  float32
	phase  int
}

// NewClipper returns a Clipper of params' gradients.
func NewClipper(params []Param) *Clipper {
	part := partition(params)
	return &Clipper{params: params, part: part, sums: make([]float64, len(part))}
}

// Clip scales all gradients so that their global norm is at most maxNorm, and returns the norm before. With maxNorm =
// +Inf it only measures.
func (c *Clipper) Clip(maxNorm float64) float64 {
	c.phase = 0
	kernel.Run(c, len(c.part))
	total := 0.0
	for _, s := range c.sums {
		total += s
	}
	norm := math.Sqrt(total)
	if f := maxNorm / (norm + 1e-6); f < 1 {
		c.phase, c.scale = 1, float32(f)
		kernel.Run(c, len(c.part))
	}
	return norm
}

// Chunk sums the squares of a range, or scales it.
func (c *Clipper) Chunk(i int) {
	s := c.part[i]
	g := c.params[s.param].Grad[s.lo:s.hi]
	if c.phase == 0 {
		c.sums[i] = kernel.SumSquares(g)
		return
	}
	for j := range g {
		g[j] *= c.scale
	}
}
