package nn

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/ops"
)

// LowRank is y + scale·(x·aᵀ)·bᵀ, the adapter of the layer name that gave y [rows, out] from x [rows, in]:
// parameters name.lora_A.weight [rank, in], drawn as torch.nn.Linear's, and name.lora_B.weight [out, rank],
// which starts at 0. In training x is dropped with probability drop, for the adapter alone.
func LowRank(g *Graph, name string, y, x *G.Node, rank int, scale, drop float64) *G.Node {
	x = Dropout(g, name+".lora_dropout", x, drop)
	return g.layer(name, func() (*G.Node, error) {
		in, out := x.Shape()[1], y.Shape()[1]
		a, b := g.Param(name+".lora_A.weight", FanIn(in), rank, in), g.Param(name+".lora_B.weight", Constant(0), out, rank)
		if g.err != nil {
			return nil, g.err
		}
		return ops.LowRank(y, x, a, b, scale)
	})
}
