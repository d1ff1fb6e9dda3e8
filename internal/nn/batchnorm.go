package nn

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/ops"
)

// Norm is how a batch normalisation differs from torch.nn.BatchNorm2d, whose settings the zero value has.
type Norm struct {
	Eps        float64        // added to the variance; 0: 1e-5
	Momentum   float64        // the running statistics become (1-Momentum)·old + Momentum·new; 0: 0.1
	NoScale    bool           // the scale is 1 and no parameter: there is no name.weight
	Activation ops.Activation // applied to the result in the same pass
}

// The constants of torch.nn.BatchNorm2d.
const (
	batchNormEps      = 1e-5
	batchNormMomentum = 0.1
)

// BatchNorm normalises each channel of x [N, …, C]: parameters name.weight and name.bias [C], buffers
// name.running_mean and name.running_var [C]. In a training graph by the batch's statistics, which
// RunningStats collects into the buffers; in an evaluation graph by the buffers.
func BatchNorm(g *Graph, name string, x *G.Node) *G.Node { return batchNorm(g, name, x, nil, Norm{}) }

// BatchNormReLU is BatchNorm, then plus res (which may be nil), then ReLU, in one pass.
func BatchNormReLU(g *Graph, name string, x, res *G.Node) *G.Node {
	return batchNorm(g, name, x, res, Norm{Activation: ops.ActReLU})
}

// BatchNormWith is BatchNorm with other settings.
func BatchNormWith(g *Graph, name string, x *G.Node, norm Norm) *G.Node {
	return batchNorm(g, name, x, nil, norm)
}

func batchNorm(g *Graph, name string, x, res *G.Node, norm Norm) *G.Node {
	if norm.Eps == 0 {
		norm.Eps = batchNormEps
	}
	if norm.Momentum == 0 {
		norm.Momentum = batchNormMomentum
	}
	return g.layer(name, func() (*G.Node, error) {
		shape := x.Shape()
		c := []int{shape[len(shape)-1]}
		var gamma *G.Node
		if !norm.NoScale {
			gamma = g.Param(name+".weight", Constant(1), c...)
		}
		beta := g.Param(name+".bias", Constant(0), c...)
		meanNode, mean := g.param(name+".running_mean", Constant(0), true, c)
		varNode, variance := g.param(name+".running_var", Constant(1), true, c)
		if g.err != nil {
			return nil, g.err
		}
		if !g.training {
			return ops.FixedNorm(x, gamma, beta, meanNode, varNode, res, norm.Eps, norm.Activation)
		}
		y, err := ops.BatchNorm(x, gamma, beta, res, norm.Eps, norm.Activation)
		if err != nil {
			return nil, err
		}
		stats, err := ops.BatchStats(y)
		if err != nil {
			return nil, err
		}
		g.stats = append(g.stats, &RunningStats{Batch: stats, mean: mean.Data, variance: variance.Data,
			pixels: shape.TotalSize() / shape[0] / c[0], momentum: float32(norm.Momentum)})
		return y, nil
	})
}

// RunningStats is one batch normalisation's running mean and variance and the node of a training
// graph with those of the batch.
type RunningStats struct {
	Batch          *G.Node // [2, C]: mean and biased variance
	mean, variance []float32
	pixels         int // of a row
	momentum       float32
}

// RunningStats lists those of the graph's layers; their Batch nodes are to be outputs of the program
// that runs it.
func (g *Graph) RunningStats() []*RunningStats { return g.stats }

// Update moves the running statistics by the layer's momentum towards batch, the value of Batch for rows rows; the
// variance towards the unbiased estimate, as PyTorch does.
func (s *RunningStats) Update(batch []float32, rows int) {
	c, n := len(s.mean), float64(rows*s.pixels)
	unbiased := float32(n / max(n-1, 1))
	for i := range c {
		s.mean[i] += s.momentum * (batch[i] - s.mean[i])
		s.variance[i] += s.momentum * (unbiased*batch[c+i] - s.variance[i])
	}
}
