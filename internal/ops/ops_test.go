package ops_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/ops"
	"dla/internal/rng"
)

// leaf adds a float32 leaf of standard normal values.
func leaf(g *G.ExprGraph, seed uint64, name string, shape ...int) *G.Node {
	s := rng.New(seed, name, 0, 0)
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(s.Normal())
	}
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
}

func classes(g *G.ExprGraph, idx ...int32) *G.Node {
	return G.NewTensor(g, tensor.Int32, 1, G.WithShape(len(idx)), G.WithName("labels"),
		G.WithValue(tensor.New(tensor.WithShape(len(idx)), tensor.WithBacking(idx))))
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// graphs are the ops under test, each inside a small scalar loss. To test a new op, add a graph.
var graphs = []struct {
	name  string
	build func(t *testing.T, g *G.ExprGraph, seed uint64) (loss *G.Node, wrt []*G.Node)
}{
	{"cross-entropy", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x := leaf(g, seed, "logits", 5, 4)
		return must[*G.Node](t)(ops.CrossEntropy(x, classes(g, 0, 3, 2, 2, 1), 0)), []*G.Node{x}
	}},
	{"sum-cross-entropy", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x := leaf(g, seed, "logits", 5, 4)
		return must[*G.Node](t)(ops.SumCrossEntropy(x, classes(g, 0, 3, 2, 2, 1))), []*G.Node{x}
	}},
	{"outlier-exposure", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 7, 3), leaf(g, seed, "w", 5, 3), leaf(g, seed, "b", 5)
		y := must[*G.Node](t)(ops.Linear(x, w, b, false))
		return must[*G.Node](t)(ops.OutlierExposure(y, classes(g, 0, 3, 2, 4), 0.5, 0)), []*G.Node{x, w, b}
	}},
	{"distill", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 4, 3), leaf(g, seed, "w", 5, 3), leaf(g, seed, "b", 5)
		y := must[*G.Node](t)(ops.Linear(x, w, b, false))
		return must[*G.Node](t)(ops.Distill(y, leaf(g, seed, "teacher", 4, 5), classes(g, 0, 3, 2, 4), 0.7, 2)), []*G.Node{x,
			w, b}
	}},
	{"mse", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		n := &net{t: t, g: g, seed: seed}
		y := n.do(ops.Conv2D(n.leaf("x", 3, 4, 6, 4), n.leaf("w", 3, 3, 4, 2), n.leaf("b", 2), 1))
		return n.do(ops.MSE(y, leaf(g, seed, "target", 3, 4, 6, 2))), n.wrt
	}},
	{"linear", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 5), leaf(g, seed, "w", 4, 5), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, false))
		return must[*G.Node](t)(ops.CrossEntropy(y, classes(g, 0, 3, 1), 0)), []*G.Node{x, w, b}
	}},
	{"linear+relu", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 5), leaf(g, seed, "w", 4, 5), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, true))
		return must[*G.Node](t)(ops.CrossEntropy(y, classes(g, 0, 3, 1), 0)), []*G.Node{x, w, b}
	}},
	{"linear without bias, scaled", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w := leaf(g, seed, "x", 3, 5), leaf(g, seed, "w", 4, 5)
		y := must[*G.Node](t)(ops.Scale(must[*G.Node](t)(ops.Linear(x, w, nil, false)), 0.5))
		return must[*G.Node](t)(ops.CrossEntropy(y, classes(g, 0, 3, 1), 0)), []*G.Node{x, w}
	}},
	{"add of a node to what is made of it", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		x, w, b := leaf(g, seed, "x", 3, 4), leaf(g, seed, "w", 4, 4), leaf(g, seed, "b", 4)
		y := must[*G.Node](t)(ops.Linear(x, w, b, true))
		z := must[*G.Node](t)(ops.Add(x, y))
		return must[*G.Node](t)(ops.CrossEntropy(z, classes(g, 0, 3, 1), 0)), []*G.Node{x, w, b}
	}},
	{"two residual blocks", func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		h := leaf(g, seed, "x", 3, 4)
		wrt := []*G.Node{h}
		for i := range 2 {
			w, b := leaf(g, seed, fmt.Sprint("w", i), 4, 4), leaf(g, seed, fmt.Sprint("b", i), 4)
			y := must[*G.Node](t)(ops.Linear(h, w, b, true))
			h = must[*G.Node](t)(ops.Add(h, y))
			wrt = append(wrt, w, b)
		}
		return must[*G.Node](t)(ops.CrossEntropy(h, classes(g, 0, 3, 1), 0)), wrt
	}},
	{"conv2d 3x3", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2D(x, n.leaf("w", 3, 3, 4, 5), n.leaf("b", 5), 1))
	})},
	{"conv2d 3x3 by Winograd", imageGraph(func(n *net, x *G.Node) *G.Node {
		x = n.do(ops.Conv2D(x, n.leaf("w1", 1, 1, 4, 16), nil, 1))
		return n.do(ops.Conv2D(x, n.leaf("w", 3, 3, 16, 16), nil, 1))
	})},
	{"conv2d 3x3 at stride 2", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2D(x, n.leaf("w", 3, 3, 4, 6), nil, 2))
	})},
	{"conv2d 1x1 at stride 2", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2D(x, n.leaf("w", 1, 1, 4, 6), n.leaf("b", 6), 2))
	})},
	{"conv2d valid 2x2", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2DValid(x, n.leaf("w", 2, 2, 4, 5), n.leaf("b", 5)))
	})},
	{"conv2d valid 3x3", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2DValid(x, n.leaf("w", 3, 3, 4, 5), nil))
	})},
	{"conv2d of any shape", imageGraph(func(n *net, x *G.Node) *G.Node {
		x = n.do(ops.Conv2D(x, n.leaf("w1", 1, 1, 4, 10), nil, 1))
		return n.do(ops.Conv2DAnyShape(x, n.leaf("w", 3, 3, 10, 12), n.leaf("b", 12)))
	})},
	{"conv2d cropped", imageGraph(func(n *net, x *G.Node) *G.Node {
		x = n.do(ops.Conv2D(x, n.leaf("w1", 1, 1, 4, 16), nil, 1))
		return n.do(ops.Conv2DCropped(x, n.leaf("w", 3, 3, 16, 8), 4, 6))
	})},
	{"convolution cropped, beside its residual", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.Conv2DCropped(x, n.leaf("w1", 3, 3, 4, 8), 5, 7))
		return n.do(ops.Add(y, n.do(ops.Conv2DCropped(y, n.leaf("w2", 3, 3, 8, 8), 5, 7))))
	})},
	{"bias+relu", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BiasReLU(x, n.leaf("beta", 4)))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2))
	})},
	{"batchnorm+relu", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BatchNorm(x, n.leaf("gamma", 4), n.leaf("beta", 4), nil, 1e-5, ops.ActReLU))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2)) // the mean alone would be beta, whatever x is
	})},
	{"batchnorm", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BatchNorm(x, n.leaf("gamma", 4), n.leaf("beta", 4), nil, 1e-5, ops.ActNone))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2))
	})},
	{"convolution, batchnorm and residual", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.Conv2D(x, n.leaf("w1", 3, 3, 4, 4), nil, 1))
		y = n.do(ops.BatchNorm(y, n.leaf("gamma1", 4), n.leaf("beta1", 4), nil, 1e-5, ops.ActReLU))
		y = n.do(ops.Conv2D(y, n.leaf("w2", 3, 3, 4, 4), nil, 1))
		y = n.do(ops.BatchNorm(y, n.leaf("gamma2", 4), n.leaf("beta2", 4), x, 1e-5, ops.ActReLU))
		z := n.do(ops.Conv2D(y, n.leaf("w3", 3, 3, 4, 4), nil, 1))
		return n.do(ops.Add(y, z))
	})},
	{"fixednorm+relu+add", fixedNormGraph(true, true, ops.ActReLU)},
	{"fixednorm+gelu", fixedNormGraph(true, false, ops.ActGELU)},
	{"fixednorm+silu+add without scale", fixedNormGraph(false, true, ops.ActSiLU)},
	{"fixednorm without scale", fixedNormGraph(false, false, ops.ActNone)},
	{"convolutions evaluated", evaluated(func(n *net, conv convLayer, x *G.Node) *G.Node {
		x = conv(x, "1", 16, 1, nil, ops.ActNone)
		x = conv(x, "2", 16, 1, nil, ops.ActReLU)
		x = conv(x, "3", 3, 1, nil, ops.ActGELU)
		return conv(x, "4", 8, 2, nil, ops.ActReLU)
	})},
	{"residual blocks evaluated", evaluated(func(n *net, conv convLayer, x *G.Node) *G.Node {
		x = conv(x, "1", 16, 1, nil, ops.ActReLU)
		x = conv(conv(x, "2", 16, 1, nil, ops.ActReLU), "3", 16, 1, x, ops.ActReLU)
		y := conv(x, "4", 8, 2, nil, ops.ActSiLU)
		return conv(y, "5", 8, 1, conv(x, "6", 8, 2, nil, ops.ActNone), ops.ActReLU)
	})},
	{"batchnorm+gelu without scale", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BatchNorm(x, nil, n.leaf("shift", 4), nil, 1e-12, ops.ActGELU))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2))
	})},
	{"batchnorm+gelu and batchnorm+silu, residual", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.Conv2D(x, n.leaf("w1", 3, 3, 4, 4), nil, 1))
		y = n.do(ops.BatchNorm(y, n.leaf("gamma1", 4), n.leaf("shift1", 4), nil, 1e-5, ops.ActGELU))
		y = n.do(ops.Conv2D(y, n.leaf("w2", 3, 3, 4, 4), nil, 1))
		y = n.do(ops.BatchNorm(y, n.leaf("gamma2", 4), n.leaf("shift2", 4), x, 1e-5, ops.ActSiLU))
		return n.do(ops.Conv2D(y, n.leaf("w3", 3, 3, 4, 4), nil, 1))
	})},
	{"batchnorm without scale, of a residual", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BatchNorm(n.do(ops.Conv2D(x, n.leaf("w1", 3, 3, 4, 4), nil, 1)), nil, n.leaf("beta", 4), x, 1e-5,
			ops.ActNone))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2))
	})},
	{"gelu and silu of images", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.GELU(n.do(ops.Conv2D(x, n.leaf("w1", 3, 3, 4, 4), nil, 1))))
		return n.do(ops.SiLU(n.do(ops.Conv2D(y, n.leaf("w2", 3, 3, 4, 4), nil, 1))))
	})},
	{"standardize", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Standardize(x, []float64{0.1, 0.2, 0.3, 0.4}, []float64{0.5, 0.6, 0.7, 0.8}))
	})},
	{"standardize colours", imageGraph(func(n *net, x *G.Node) *G.Node {
		x = n.do(ops.Conv2D(x, n.leaf("w1", 1, 1, 4, 3), nil, 1))
		x = n.do(ops.Standardize(x, []float64{0.1, 0.2, 0.3}, []float64{0.5, 0.6, 0.7}))
		return n.do(ops.Conv2D(x, n.leaf("w2", 1, 1, 3, 4), nil, 1))
	})},
	{"max-pool", imageGraph(func(n *net, x *G.Node) *G.Node { return n.do(ops.MaxPool(x, 2)) })},
	{"max-pool of 3x3", imageGraph(func(n *net, x *G.Node) *G.Node { return n.do(ops.MaxPool(x, 3)) })},
	{"max-pool and batchnorm", imageGraph(func(n *net, x *G.Node) *G.Node {
		y := n.do(ops.BatchNorm(n.do(ops.MaxPool(x, 2)), n.leaf("gamma", 4), n.leaf("beta", 4), nil, 1e-5, ops.ActNone))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 4, 4), nil, 2))
	})},
	{"convolution, pooled, and batchnorm", imageGraph(func(n *net, x *G.Node) *G.Node {
		x = n.do(ops.Conv2D(x, n.leaf("w1", 1, 1, 4, 16), nil, 1))
		y := n.do(ops.MaxPool(n.do(ops.Conv2DCropped(x, n.leaf("w2", 3, 3, 16, 8), 2, 4)), 2))
		y = n.do(ops.BatchNorm(y, nil, n.leaf("shift", 8), nil, 1e-5, ops.ActGELU))
		return n.do(ops.Conv2D(y, n.leaf("w", 3, 3, 8, 4), nil, 1))
	})},
	{"upsample", imageGraph(func(n *net, x *G.Node) *G.Node {
		return n.do(ops.Conv2D(n.do(ops.Upsample(x)), n.leaf("w", 3, 3, 4, 4), nil, 1))
	})},
	{"embeddings and mean-pool", tokenGraph(func(n *net) *G.Node {
		y := n.do(ops.Embeddings(n.leaf("word", 7, 6), n.leaf("position", 9, 6), nil, n.ints("ids", 3, 0, 3, 6, 1, 2, 3),
			n.ints("positions", 0, 1, 2, 0, 1, 2, 3), 2))
		return n.do(ops.MeanPool(y, n.ints("offsets", 0, 3, 7)))
	})},
	{"embeddings with kinds and first-pool", tokenGraph(func(n *net) *G.Node {
		y := n.do(ops.Embeddings(n.leaf("word", 7, 6), n.leaf("position", 9, 6), n.leaf("kind", 2, 6),
			n.ints("ids", 3, 0, 3, 6, 1, 2, 3), n.ints("positions", 0, 1, 2, 0, 1, 2, 3), 0))
		return n.do(ops.FirstPool(y, n.ints("offsets", 0, 3, 7)))
	})},
	{"layernorm", tokenGraph(func(n *net) *G.Node {
		return n.do(ops.LayerNorm(n.leaf("x", 4, 6), nil, n.leaf("gamma", 6), n.leaf("shift", 6), 1e-5))
	})},
	{"add+layernorm", tokenGraph(func(n *net) *G.Node {
		return n.do(ops.LayerNorm(n.leaf("x", 4, 6), n.leaf("res", 4, 6), n.leaf("gamma", 6), n.leaf("shift", 6), 1e-5))
	})},
	{"gelu", tokenGraph(func(n *net) *G.Node { return n.do(ops.GELU(n.leaf("x", 4, 6))) })},
	{"tanh", tokenGraph(func(n *net) *G.Node { return n.do(ops.Tanh(n.leaf("x", 4, 6))) })},
	{"dropout", tokenGraph(func(n *net) *G.Node {
		return n.do(ops.Dropout(n.leaf("x", 5, 7), 0.4, ops.Draws{Seed: 1, Purpose: "d", Step: n.ints("step", 3)}))
	})},
	{"attention", tokenGraph(func(n *net) *G.Node {
		return n.do(ops.Attention(n.leaf("q", 7, 8), n.leaf("k", 7, 8), n.leaf("v", 7, 8), n.ints("offsets", 0, 3, 7), 2, nil,
			nil))
	})},
	{"attention with bias and dropout", tokenGraph(func(n *net) *G.Node {
		bias := &ops.RelativeBias{Table: n.leaf("table", 3, 2), Bucket: []int32{0, 1, 0, 1, 2, 1, 1}, Span: 4}
		drop := &ops.AttentionDropout{P: 0.2, Draws: ops.Draws{Seed: 1, Purpose: "a", Step: n.ints("step", 3)}}
		return n.do(ops.Attention(n.leaf("q", 7, 8), n.leaf("k", 7, 8), n.leaf("v", 7, 8), n.ints("offsets", 0, 3, 7), 2,
			bias, drop))
	})},
	{"low-rank", tokenGraph(func(n *net) *G.Node {
		return n.do(ops.LowRank(n.leaf("y", 5, 7), n.leaf("x", 5, 6), n.leaf("a", 3, 6), n.leaf("b", 7, 3), 0.7))
	})},
	{"low-rank beside a linear layer", tokenGraph(func(n *net) *G.Node {
		x := n.leaf("x", 5, 6)
		y := n.do(ops.Linear(x, n.leaf("w", 7, 6), n.leaf("bias", 7), false))
		return n.do(ops.LowRank(y, x, n.leaf("a", 2, 6), n.leaf("b", 7, 2), 1.5))
	})},
	{"encoder layer", tokenGraph(func(n *net) *G.Node {
		x, offsets := n.leaf("x", 7, 8), n.ints("offsets", 0, 3, 7)
		linear := func(name string, x *G.Node, out int) *G.Node {
			return n.do(ops.Linear(x, n.leaf(name, out, x.Shape()[1]), n.leaf(name+".bias", out), false))
		}
		y := n.do(ops.Attention(linear("q", x, 8), linear("k", x, 8), linear("v", x, 8), offsets, 2, nil, nil))
		n.wrt = slices.DeleteFunc(n.wrt, func(l *G.Node) bool { return l.Name() == "k.bias" }) // it shifts a row's scores alike: no gradient
		x = n.do(ops.LayerNorm(linear("o", y, 8), x, n.leaf("gamma1", 8), n.leaf("shift1", 8), 1e-5))
		y = linear("down", n.do(ops.GELU(linear("up", x, 12))), 8)
		return n.do(ops.LayerNorm(y, x, n.leaf("gamma2", 8), n.leaf("shift2", 8), 1e-5))
	})},
	{"pad-shortcut", imageGraph(func(n *net, x *G.Node) *G.Node { return n.do(ops.PadShortcut(x, 2, 6, 0)) })},
	{"pad-shortcut, both sides", imageGraph(func(n *net, x *G.Node) *G.Node { return n.do(ops.PadShortcut(x, 2, 7, 2)) })},
}

// net builds a graph of images, collecting the leaves as what to differentiate by.
type net struct {
	t    *testing.T
	g    *G.ExprGraph
	seed uint64
	wrt  []*G.Node
}

// leaf is a leaf of normal values; weights are scaled as an initialiser would, and shifts of a ReLU's
// input ("beta") lie around 4.5 and -4.5 in turn, so that no step of a difference crosses its kink.
func (n *net) leaf(name string, shape ...int) *G.Node {
	l := leaf(n.g, n.seed, name, shape...)
	data := l.Value().Data().([]float32)
	for i := range data {
		switch {
		case len(shape) == 4 && name[0] == 'w':
			data[i] /= float32(math.Sqrt(float64(shape[0] * shape[1] * shape[2])))
		case strings.HasPrefix(name, "beta"):
			data[i] = 0.1*data[i] + 4.5 - 9*float32(i%2)
		case strings.HasPrefix(name, "gamma"):
			data[i] = 0.5 + 0.1*data[i]
		}
	}
	n.wrt = append(n.wrt, l)
	return l
}

func (n *net) do(node *G.Node, err error) *G.Node {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
	return node
}

// ints is a leaf of indices, offsets or a step.
func (n *net) ints(name string, v ...int32) *G.Node {
	return G.NewTensor(n.g, tensor.Int32, 1, G.WithShape(len(v)), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v))))
}

// tokenGraph is the loss of body's rows, each of which is its class's logits.
func tokenGraph(body func(n *net) *G.Node) func(*testing.T, *G.ExprGraph, uint64) (*G.Node, []*G.Node) {
	return func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		n := &net{t: t, g: g, seed: seed}
		y := body(n)
		labels := make([]int32, y.Shape()[0])
		for i := range labels {
			labels[i] = int32(2 * i % y.Shape()[1])
		}
		return n.do(ops.CrossEntropy(y, classes(g, labels...), 0)), n.wrt
	}
}

// imageGraph is the loss of body's images, of odd and even sizes, pooled to classes.
func imageGraph(body func(n *net, x *G.Node) *G.Node) func(*testing.T, *G.ExprGraph, uint64) (*G.Node, []*G.Node) {
	return func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		n := &net{t: t, g: g, seed: seed}
		height := 5
		if strings.Contains(t.Name(), "Winograd") || strings.Contains(t.Name(), "pool") {
			height = 4
		}
		y := body(n, n.leaf("x", 3, height, 8, 4))
		return n.loss(y), n.wrt
	}
}

// convLayer is a 3x3 convolution of x to out channels, and its normalisation by given statistics.
type convLayer func(x *G.Node, name string, out, stride int, res *G.Node, act ops.Activation) *G.Node

// evaluated is the loss of body's images [3, 4, 4, 4] by layers as in evaluation: the images alone have a gradient.
func evaluated(body func(n *net, conv convLayer, x *G.Node) *G.Node) func(*testing.T, *G.ExprGraph,
	uint64) (*G.Node, []*G.Node) {
	return func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		n, fixed := &net{t: t, g: g, seed: seed}, &net{t: t, g: g, seed: seed}
		x := n.leaf("x", 3, 4, 4, 4)
		return n.loss(body(n, func(x *G.Node, name string, out, stride int, res *G.Node, act ops.Activation) *G.Node {
			y := n.do(ops.Conv2D(x, fixed.leaf("w"+name, 3, 3, x.Shape()[3], out), nil, stride))
			return fixed.normalised(y, name, res, act)
		}, x)), n.wrt
	}
}

// normalised is FixedNorm of x with leaves of the given name.
func (n *net) normalised(x *G.Node, name string, res *G.Node, act ops.Activation) *G.Node {
	c := x.Shape()[x.Dims()-1]
	variance, shift := n.leaf("variance"+name, c), "shift"
	for i, v := range variance.Value().Data().([]float32) {
		variance.Value().Data().([]float32)[i] = v*v + 0.5
	}
	if act == ops.ActReLU {
		shift = "beta"
	}
	return n.do(ops.FixedNorm(x, n.leaf("gamma"+name, c), n.leaf(shift+name, c), n.leaf("mean"+name, c), variance, res,
		1e-5, act))
}

// fixedNormGraph is a normalisation by given statistics, with the options named: x and res alone have gradients.
func fixedNormGraph(scale, add bool, act ops.Activation) func(*testing.T, *G.ExprGraph, uint64) (*G.Node, []*G.Node) {
	return func(t *testing.T, g *G.ExprGraph, seed uint64) (*G.Node, []*G.Node) {
		n, fixed := &net{t: t, g: g, seed: seed}, &net{t: t, g: g, seed: seed}
		x := n.leaf("x", 3, 4, 4, 4)
		var gamma, res *G.Node
		if add {
			res = n.leaf("res", 3, 4, 4, 4)
		}
		if scale {
			gamma = fixed.leaf("gamma", 4)
		}
		variance, shift := fixed.leaf("variance", 4), "shift"
		for i, v := range variance.Value().Data().([]float32) {
			variance.Value().Data().([]float32)[i] = v*v + 0.5
		}
		if act == ops.ActReLU {
			shift = "beta"
		}
		return n.loss(n.do(ops.FixedNorm(x, gamma, fixed.leaf(shift, 4), fixed.leaf("mean", 4), variance, res, 1e-5,
			act))), n.wrt
	}
}

// loss pools y and scales the logits up: the mean of many pixels would leave gradients so small that
// the loss's float32 rounding shows beside them.
func (n *net) loss(y *G.Node) *G.Node {
	n.t.Helper()
	y = n.do(ops.GlobalAvgPool(y))
	c := y.Shape()[1]
	y = n.do(ops.Standardize(y, make([]float64, c), slices.Repeat([]float64{1. / 4}, c)))
	return n.do(ops.CrossEntropy(y, classes(n.g, 0, 3, 1), 0))
}

// TestGradients compares each gradient with the central difference of the forward pass.
func TestGradients(t *testing.T) {
	for _, tc := range graphs {
		t.Run(tc.name, func(t *testing.T) {
			g := G.NewGraph()
			loss, wrt := tc.build(t, g, 7)
			grads := must[G.Nodes](t)(G.Grad(loss, wrt...))
			it := g.From(loss.ID())
			it.Next()
			logits := it.Node().(*G.Node)
			var rest []*G.Node // labels, and before them the teacher's logits; or a target
			for it.Next() {
				rest = append(rest, it.Node().(*G.Node))
			}
			p := must[*engine.Program](t)(engine.Compile(g, append([]*G.Node{loss, logits}, grads...)...))
			// The loss in float64, from the logits: its own float32 would be the largest error.
			run := func() float64 {
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
				z, labels := p.Read(logits), p.Read(rest[len(rest)-1]).I32
				if labels == nil {
					return mse64(z.F32, p.Read(rest[0]).F32)
				}
				hard := crossEntropy64(z, labels)
				switch tc.name {
				case "sum-cross-entropy":
					hard *= float64(len(labels))
				case "outlier-exposure":
					hard += 0.5 * uniformDivergence64(z, len(labels))
				}
				if len(rest) == 1 {
					return hard
				}
				return 0.3*hard + 0.7*2*2*divergence64(z, p.Read(rest[0]), 2)
			}
			run()
			var got [][]float32
			for _, n := range grads {
				got = append(got, append([]float32(nil), p.Read(n).F32...))
			}
			// The fourth-order difference at several steps, the best of which counts: a small step drowns
			// in float32 rounding, a large one leaves the tangent or crosses a kink of ReLU or max-pool.
			difference := func(w []float32, got []float32, h float32) (rel float64) {
				var diff, norm float64
				for j := range w {
					old := w[j]
					at := func(d float32) float64 {
						w[j] = old + d
						return run()
					}
					num := (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / float64(12*h)
					w[j] = old
					diff += (num - float64(got[j])) * (num - float64(got[j]))
					norm += num * num
				}
				return math.Sqrt(diff / norm)
			}
			for i, n := range wrt {
				best := math.Inf(1)
				for _, h := range []float32{5e-3, 2e-2, 5e-2, 1e-1} {
					if best > 1e-3 {
						best = min(best, difference(p.Read(n).F32, got[i], h))
					}
				}
				if !(best <= 1e-3) {
					t.Errorf("gradient of %s: relative error %.2g", n.Name(), best)
				}
			}
		})
	}
}

// TestTapeMachine compares the engine with Gorgonia's own machine: loss and gradients come from the
// same kernels, so any difference is a mistake in the engine's order or memory. It is bit by bit but
// where the engine adds a gradient in the kernel that computes it, which rounds once less.
func TestTapeMachine(t *testing.T) {
	for _, tc := range graphs {
		t.Run(tc.name, func(t *testing.T) {
			g := G.NewGraph()
			loss, wrt := tc.build(t, g, 3)
			grads := must[G.Nodes](t)(G.Grad(loss, wrt...))
			reads := make([]G.Value, len(grads)+1)
			G.Read(loss, &reads[0])
			for i, n := range grads {
				G.Read(n, &reads[i+1])
			}
			p := must[*engine.Program](t)(engine.Compile(g, append([]*G.Node{loss}, grads...)...))
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			m := G.NewTapeMachine(g)
			defer m.Close()
			if err := m.RunAll(); err != nil {
				t.Fatal(err)
			}
			for i, n := range append(G.Nodes{loss}, grads...) {
				want, err := engine.FromValue(reads[i])
				if err != nil {
					t.Fatal(err)
				}
				tolerance := 0.0
				if strings.Contains(tc.name, "residual") || tc.name == "encoder layer" {
					tolerance = 1e-6
				}
				equal(t, n.Name(), p.Read(n).F32, want.F32, tolerance)
			}
		})
	}
}

// crossEntropy64 is the mean cross-entropy of logits [rows, classes].
func crossEntropy64(logits *engine.Tensor, labels []int32) float64 {
	total, classes := 0.0, logits.Cols()
	for r, l := range labels {
		row, z := logits.F32[r*classes:(r+1)*classes], 0.0
		for _, v := range row {
			z += math.Exp(float64(v))
		}
		total += math.Log(z) - float64(row[l])
	}
	return total / float64(len(labels))
}

// mse64 is the mean of (y - target)².
func mse64(y, target []float32) float64 {
	sum := 0.0
	for i, v := range y {
		d := float64(v) - float64(target[i])
		sum += d * d
	}
	return sum / float64(len(y))
}

// divergence64 is the mean KL(teacher || student) of logits [rows, classes] at temperature T.
func divergence64(z, teacher *engine.Tensor, T float64) float64 {
	total, classes := 0.0, z.Cols()
	for r := range z.Rows() {
		var sumZ, sumT float64
		for i := range classes {
			sumZ += math.Exp(float64(z.F32[r*classes+i]) / T)
			sumT += math.Exp(float64(teacher.F32[r*classes+i]) / T)
		}
		for i := range classes {
			a, b := float64(z.F32[r*classes+i])/T-math.Log(sumZ), float64(teacher.F32[r*classes+i])/T-math.Log(sumT)
			total += math.Exp(b) * (b - a)
		}
	}
	return total / float64(z.Rows())
}

// uniformDivergence64 is the mean KL(uniform || softmax) of the rows of logits from the given one on.
func uniformDivergence64(logits *engine.Tensor, from int) float64 {
	total, classes := 0.0, logits.Cols()
	for r := from; r < logits.Rows(); r++ {
		row, z := logits.F32[r*classes:(r+1)*classes], 0.0
		for _, v := range row {
			z += math.Exp(float64(v))
		}
		for _, v := range row {
			total -= math.Log(float64(classes)*math.Exp(float64(v))/z) / float64(classes)
		}
	}
	return total / float64(logits.Rows()-from)
}

func equal(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > tolerance {
			t.Fatalf("%s[%d] = %g, want %g", name, i, got[i], want[i])
		}
	}
}

// TestLinearAgainstStockOps compares with Gorgonia's own matrix product, broadcast sum and rectifier.
func TestLinearAgainstStockOps(t *testing.T) {
	g := G.NewGraph()
	x, w, b := leaf(g, 1, "x", 6, 9), leaf(g, 1, "w", 7, 9), leaf(g, 1, "b", 7)
	y := must[*G.Node](t)(ops.Linear(x, w, b, true))
	p := must[*engine.Program](t)(engine.Compile(g, y))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	wt := must[*G.Node](t)(G.Transpose(w, 1, 0))
	z := must[*G.Node](t)(G.Mul(x, wt))
	z = must[*G.Node](t)(G.BroadcastAdd(z, b, nil, []byte{0}))
	z = must[*G.Node](t)(G.Rectify(z))
	var want G.Value
	G.Read(z, &want)
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	got, ref := p.Read(y).F32, want.Data().([]float32)
	positive := 0
	for i := range got {
		if math.Abs(float64(got[i]-ref[i])) > 1e-5 {
			t.Fatalf("y[%d] = %g, stock ops give %g", i, got[i], ref[i])
		}
		if ref[i] > 0 {
			positive++
		}
	}
	if positive == 0 || positive == len(ref) {
		t.Fatalf("%d of %d outputs positive: the ReLU is not tested", positive, len(ref))
	}
}

// TestCrossEntropyIsSafe: rows that differ by far more than exp can hold, where Gorgonia's SoftMax
// gives NaN.
func TestCrossEntropyIsSafe(t *testing.T) {
	g := G.NewGraph()
	data := []float32{1e4, -1e4, 0, -1e4, -1e4 + 1, -1e4}
	x := G.NewTensor(g, tensor.Float32, 2, G.WithShape(2, 3), G.WithName("x"),
		G.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(data))))
	loss := must[*G.Node](t)(ops.CrossEntropy(x, classes(g, 0, 1), 0))
	grad := must[G.Nodes](t)(G.Grad(loss, x))
	p := must[*engine.Program](t)(engine.Compile(g, loss, grad[0]))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	e := math.E
	want := (0 + math.Log((e+2)/e)) / 2
	if got := float64(p.Read(loss).Scalar()); math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %g, want %g", got, want)
	}
	for i, v := range p.Read(grad[0]).F32 {
		if v-v != 0 || math.Abs(float64(v)) > 1 {
			t.Errorf("gradient[%d] = %g", i, v)
		}
	}
}

// TestImageShapeErrors: the same for ops of images.
func TestImageShapeErrors(t *testing.T) {
	g := G.NewGraph()
	x, w, even := leaf(g, 1, "x", 2, 5, 1, 3), leaf(g, 1, "w", 3, 3, 4, 8), leaf(g, 1, "even", 2, 2, 3, 8)
	for name, build := range map[string]func() (*G.Node, error){
		"conv2d":   func() (*G.Node, error) { return ops.Conv2D(x, w, nil, 1) },
		"an odd k": func() (*G.Node, error) { return ops.Conv2D(x, even, nil, 1) },
		"conv2d-any-shape": func() (*G.Node, error) {
			return ops.Conv2DAnyShape(x, leaf(g, 1, "5x5", 5, 5, 3, 8), nil)
		},
		"conv2d-cropped": func() (*G.Node, error) { return ops.Conv2DCropped(x, leaf(g, 1, "3x3", 3, 3, 3, 8), 6, 1) },
		"output's size":  func() (*G.Node, error) { return ops.Conv2DCropped(x, leaf(g, 1, "3x3", 3, 3, 3, 8), 5, 0) },
		"conv2d-valid":   func() (*G.Node, error) { return ops.Conv2DValid(x, even, nil) },
		"max-pool":       func() (*G.Node, error) { return ops.MaxPool(x, 2) },
		"a window":       func() (*G.Node, error) { return ops.MaxPool(x, 0) },
		"pad-shortcut":   func() (*G.Node, error) { return ops.PadShortcut(x, 2, 1, 0) },
		"bias+relu":      func() (*G.Node, error) { return ops.BiasReLU(x, leaf(g, 1, "b", 5)) },
	} {
		_, err := build()
		if err == nil {
			t.Errorf("%s of shapes that do not fit was accepted", name)
			continue
		}
		for _, want := range []string{name, "(2, 5, 1, 3)"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}

// TestLinearAbsorbsGELU: where nothing needs what comes before it, and there alone; with the same values.
func TestLinearAbsorbsGELU(t *testing.T) {
	n := &net{t: t, g: G.NewGraph(), seed: 1}
	x := n.leaf("x", 20, 9)
	z := n.do(ops.Linear(x, n.leaf("w", 37, 9), n.leaf("b", 37), false))
	y := n.do(ops.GELU(z))
	both, apart := must[*engine.Program](t)(engine.Compile(n.g, y)), must[*engine.Program](t)(engine.Compile(n.g, y, z))
	for p, want := range map[*engine.Program]int{both: 1, apart: 2} {
		if p.Len() != want {
			t.Errorf("%d nodes, want %d", p.Len(), want)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "y", both.Read(y).F32, apart.Read(y).F32, 1e-6)
}

// TestConvolutionAbsorbsPooling: where nothing needs what comes before it, and there alone, as TestLinearAbsorbsGELU
// has it; with the same bits.
func TestConvolutionAbsorbsPooling(t *testing.T) {
	n := &net{t: t, g: G.NewGraph(), seed: 1}
	z := n.do(ops.Conv2DCropped(n.leaf("x", 3, 7, 7, 16), n.leaf("w", 3, 3, 16, 8), 6, 6))
	y := n.do(ops.MaxPool(z, 2))
	both, apart := must[*engine.Program](t)(engine.Compile(n.g, y)), must[*engine.Program](t)(engine.Compile(n.g, y, z))
	for p, want := range map[*engine.Program]int{both: 1, apart: 2} {
		if p.Len() != want {
			t.Errorf("%d nodes, want %d", p.Len(), want)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "y", both.Read(y).F32, apart.Read(y).F32, 0)
	if got, want := both.MACs(), 3*6*6*9*16*8; got != want {
		t.Errorf("%d multiply-adds, want %d", got, want)
	}
}

// TestConvolutionAbsorbsNormalisation: where nothing else needs what comes before it, with the same bits; after a bias,
// after a pooling, and where the residual is made after the convolution.
func TestConvolutionAbsorbsNormalisation(t *testing.T) {
	for _, tc := range []struct {
		name  string
		build func(n *net, x *G.Node) (conv, y *G.Node)
		want  string
	}{
		{"bias", func(n *net, x *G.Node) (*G.Node, *G.Node) {
			z := n.do(ops.Conv2DAnyShape(x, n.leaf("w", 3, 3, 16, 9), n.leaf("b", 9)))
			return z, n.normalised(z, "", nil, ops.ActSiLU)
		}, "conv2d-any-shape+fixednorm+silu"},
		{"pooling", func(n *net, x *G.Node) (*G.Node, *G.Node) {
			z := n.do(ops.MaxPool(n.do(ops.Conv2DCropped(x, n.leaf("w", 3, 3, 16, 8), 6, 6)), 2))
			return z, n.normalised(z, "", nil, ops.ActGELU)
		}, "conv2d+max-pool+fixednorm+gelu"},
		{"residual", func(n *net, x *G.Node) (*G.Node, *G.Node) {
			z := n.do(ops.Conv2D(x, n.leaf("w", 3, 3, 16, 16), nil, 2))
			res := n.do(ops.PadShortcut(x, 2, 16, 0))
			return z, n.normalised(z, "", res, ops.ActReLU)
		}, "conv2d+fixednorm+relu+add"},
	} {
		n := &net{t: t, g: G.NewGraph(), seed: 1}
		z, y := tc.build(n, n.leaf("x", 3, 7, 7, 16))
		both := must[*engine.Program](t)(engine.Compile(n.g, y))
		apart := must[*engine.Program](t)(engine.Compile(n.g, y, z))
		for _, p := range []*engine.Program{both, apart} {
			if err := p.Run(); err != nil {
				t.Fatal(tc.name, err)
			}
		}
		equal(t, tc.name, both.Read(y).F32, apart.Read(y).F32, 0)
		if steps := both.Steps(); steps[len(steps)-1].Op != tc.want || both.Len() != apart.Len()-1 {
			t.Errorf("%s: %+v, want one %s", tc.name, steps, tc.want)
		}
		if both.MACs() != apart.MACs() {
			t.Errorf("%s: %d multiply-adds, apart %d", tc.name, both.MACs(), apart.MACs())
		}
	}
}

// TestGradientsAreFused: the passes that TestTapeMachine compares are those that are meant.
func TestGradientsAreFused(t *testing.T) {
	for name, want := range map[string][]string{
		"convolutions evaluated": {"relu-grad+fixednorm-dx+conv2d-dx", "fixednorm-g+conv2d-dx",
			"fixednorm-dx+conv2d-dx"},
		"residual blocks evaluated": {"fixednorm-g+conv2d-dx+relu-grad (added)",
			"relu-grad+fixednorm-dx+conv2d-dx (added)"},
		"convolution, batchnorm and residual": {"conv2d-dx+batchnorm-sums", "conv2d-dx+batchnorm-sums (added)"},
	} {
		for _, tc := range graphs {
			if tc.name != name {
				continue
			}
			g := G.NewGraph()
			loss, wrt := tc.build(t, g, 3)
			grads := must[G.Nodes](t)(G.Grad(loss, wrt...))
			p := must[*engine.Program](t)(engine.Compile(g, append([]*G.Node{loss}, grads...)...))
			var got []string
			for _, s := range p.Steps() {
				got = append(got, s.Op)
			}
			for _, op := range want {
				if !slices.Contains(got, op) {
					t.Errorf("%s: no %s in %q", name, op, got)
				}
			}
		}
	}
}

// TestTokenOpsRefuse: ids, positions, offsets and lengths that do not fit are errors of the run, which name
// the op and the place.
func TestTokenOpsRefuse(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		build      func(n *net) *G.Node
	}{
		{"an id beyond the vocabulary", "id 7 of token 1 is not in [0, 7)", func(n *net) *G.Node {
			return n.do(ops.Embeddings(n.leaf("word", 7, 6), n.leaf("position", 9, 6), nil, n.ints("ids", 0, 7),
				n.ints("positions", 0, 1), 0))
		}},
		{"a position beyond the table", "position 7 of token 0 is not in [0, 7)", func(n *net) *G.Node {
			return n.do(ops.Embeddings(n.leaf("word", 7, 6), n.leaf("position", 9, 6), nil, n.ints("ids", 0, 6),
				n.ints("positions", 7, 1), 2))
		}},
		{"an empty sentence", "sentence 1 begins at token 2 and ends at 2", func(n *net) *G.Node {
			return n.do(ops.MeanPool(n.leaf("x", 4, 6), n.ints("offsets", 0, 2, 2, 4)))
		}},
		{"offsets that end early", "end with the number of tokens, 4", func(n *net) *G.Node {
			return n.do(ops.FirstPool(n.leaf("x", 4, 6), n.ints("offsets", 0, 3)))
		}},
		{"a sentence longer than the bias reaches", "sentence 0 has 4 tokens, and the bias reaches over 2",
			func(n *net) *G.Node {
				x := n.leaf("x", 4, 6)
				return n.do(ops.Attention(x, x, x, n.ints("offsets", 0, 4), 2,
					&ops.RelativeBias{Table: n.leaf("table", 3, 2), Bucket: []int32{0, 1, 2}, Span: 2}, nil))
			}},
	} {
		n := &net{t: t, g: G.NewGraph(), seed: 1}
		p := must[*engine.Program](t)(engine.Compile(n.g, tc.build(n)))
		if err := p.Run(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
	n := &net{t: t, g: G.NewGraph(), seed: 1}
	for _, p := range []float64{0, 1, -1, math.NaN()} {
		draws := ops.Draws{Step: n.ints("step", 0)}
		if _, err := ops.Dropout(n.leaf("x", 2, 3), p, draws); err == nil {
			t.Errorf("dropout with probability %g was accepted", p)
		}
	}
}

// TestTokenShapeErrors: mistakes in shapes are found when the graph is built.
func TestTokenShapeErrors(t *testing.T) {
	n := &net{t: t, g: G.NewGraph(), seed: 1}
	x, odd, v, idx := n.leaf("x", 6, 9), n.leaf("odd", 6, 8), n.leaf("v", 8), n.ints("idx", 0, 6)
	for name, build := range map[string]func() (*G.Node, error){
		"embeddings":    func() (*G.Node, error) { return ops.Embeddings(x, odd, nil, idx, idx, 0) },
		"layernorm":     func() (*G.Node, error) { return ops.LayerNorm(x, nil, v, v, 1e-5) },
		"add+layernorm": func() (*G.Node, error) { return ops.LayerNorm(x, odd, n.leaf("v", 9), n.leaf("u", 9), 1e-5) },
		"attention":     func() (*G.Node, error) { return ops.Attention(x, x, odd, idx, 3, nil, nil) },
		"heads":         func() (*G.Node, error) { return ops.Attention(x, x, x, idx, 2, nil, nil) },
		"bias table": func() (*G.Node, error) {
			return ops.Attention(x, x, x, idx, 3, &ops.RelativeBias{Table: odd, Bucket: []int32{0}, Span: 1}, nil)
		},
		"mean-pool": func() (*G.Node, error) { return ops.MeanPool(x, n.ints("none", 0)) },
	} {
		_, err := build()
		if err == nil {
			t.Errorf("%s of shapes that do not fit was accepted", name)
			continue
		}
		for _, want := range []string{name, "(6, 9)"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}

// TestDistillRefuses: constants that make no loss, at once; labels and rows that do not fit, at the run.
func TestDistillRefuses(t *testing.T) {
	g := G.NewGraph()
	x, teacher := leaf(g, 1, "x", 2, 3), leaf(g, 1, "teacher", 2, 3)
	for _, c := range [][2]float64{{-0.1, 1}, {1.1, 1}, {math.NaN(), 1}, {0.5, 0}, {0.5, -1}, {0.5, math.NaN()}} {
		if _, err := ops.Distill(x, teacher, classes(g, 0, 1), c[0], c[1]); err == nil {
			t.Errorf("weight %g and temperature %g were accepted", c[0], c[1])
		}
	}
	g = G.NewGraph()
	x, teacher = leaf(g, 1, "x", 2, 3), leaf(g, 1, "teacher", 2, 3)
	y := classes(g, 0, 3)
	p := must[*engine.Program](t)(engine.Compile(g, must[*G.Node](t)(ops.Distill(x, teacher, y, 0.5, 2))))
	if err := p.Run(); err == nil || !strings.Contains(err.Error(), "label 3 of row 1 is not in [0, 3)") {
		t.Errorf("a label of 3 among 3 classes: %v", err)
	}
	p.Read(y).I32[1] = 2
	if err := p.Read(x).Resize(1, 3); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err == nil || !strings.Contains(err.Error(), "1 rows of logits, 2 of the teacher's, 2 labels") {
		t.Errorf("a row too few: %v", err)
	}
}

// TestOutlierExposure: without outliers it is the cross-entropy, bit by bit and with smoothing; rows may come
// and go from step to step; what cannot be is refused.
func TestOutlierExposure(t *testing.T) {
	g := G.NewGraph()
	x, y := leaf(g, 1, "x", 5, 3), classes(g, 0, 2, 1)
	loss := must[*G.Node](t)(ops.OutlierExposure(x, y, 0.7, 0.1))
	grad := must[G.Nodes](t)(G.Grad(loss, x))[0]
	p := must[*engine.Program](t)(engine.Compile(g, loss, grad))
	z := must[*engine.Tensor](t)(engine.FromValue(x.Value()))
	run := func(rows, labels int) error {
		return errors.Join(p.Read(x).Resize(rows, 3), p.Read(y).Resize(labels), p.Run())
	}
	for labels := 1; labels <= 3; labels++ {
		for rows := labels; rows <= 5; rows++ {
			if err := run(rows, labels); err != nil {
				t.Fatal(err)
			}
			want := float64(kernel.SoftmaxCrossEntropy(z.F32, []int32{0, 2, 1}, labels, 3, 0.1))
			if rows > labels {
				want += 0.7 * uniformDivergence64(p.Read(x), labels)
			}
			if got := float64(p.Read(loss).Scalar()); math.Abs(got-want) > 1e-6 || rows == labels && got != want {
				t.Errorf("%d rows, %d labels: %g, want %g", rows, labels, got, want)
			}
			if n := len(p.Read(grad).F32); n != 3*rows {
				t.Errorf("a gradient of %d values for %d rows", n, rows)
			}
		}
	}
	if err := run(1, 2); err == nil || !strings.Contains(err.Error(), "1 rows of logits, 2 labels") {
		t.Errorf("more labels than rows: %v", err)
	}
	p.Read(y).I32[0] = 3
	if err := run(2, 1); err == nil || !strings.Contains(err.Error(), "label 3 of row 0 is not in [0, 3)") {
		t.Errorf("a label of 3 among 3 classes: %v", err)
	}
	for _, c := range [][2]float64{{-1, 0}, {math.NaN(), 0}, {math.Inf(1), 0}, {1, 1}, {1, -0.1}} {
		if _, err := ops.OutlierExposure(x, y, c[0], c[1]); err == nil {
			t.Errorf("weight %g and smoothing %g were accepted", c[0], c[1])
		}
	}
}

// TestShapeErrors: a mistake in shapes is found when the graph is built, and names op and shapes.
func TestShapeErrors(t *testing.T) {
	g := G.NewGraph()
	x, w, b, c := leaf(g, 1, "x", 6, 9), leaf(g, 1, "w", 7, 8), leaf(g, 1, "b", 7), leaf(g, 1, "c", 9)
	for name, build := range map[string]func() (*G.Node, error){
		"linear":         func() (*G.Node, error) { return ops.Linear(x, w, b, false) },
		"add":            func() (*G.Node, error) { return ops.Add(x, w) },
		"cross-entropy":  func() (*G.Node, error) { return ops.CrossEntropy(x, classes(g, 1, 2), 0) },
		"batchnorm":      func() (*G.Node, error) { return ops.BatchNorm(x, b, b, nil, 1e-5, ops.ActReLU) },
		"fixednorm":      func() (*G.Node, error) { return ops.FixedNorm(x, b, b, b, b, nil, 1e-5, ops.ActReLU) },
		"batchnorm+gelu": func() (*G.Node, error) { return ops.BatchNorm(x, nil, b, nil, 1e-5, ops.ActGELU) },
		"fixednorm+silu": func() (*G.Node, error) { return ops.FixedNorm(x, nil, b, b, b, nil, 1e-5, ops.ActSiLU) },
		"the residual":   func() (*G.Node, error) { return ops.BatchNorm(x, nil, c, w, 1e-5, ops.ActNone) },
		"standardize":    func() (*G.Node, error) { return ops.Standardize(x, []float64{0}, []float64{1}) },
		"mse":            func() (*G.Node, error) { return ops.MSE(x, w) },
		"squared-errors": func() (*G.Node, error) { return ops.SquaredErrors(x, w) },
		"lowrank-down":   func() (*G.Node, error) { return ops.LowRank(x, x, w, w, 1) },
		"lowrank-up":     func() (*G.Node, error) { return ops.LowRank(x, w, w, x, 1) },
		"distill":        func() (*G.Node, error) { return ops.Distill(x, w, classes(g, 1, 2, 3, 4, 5, 0), 0.5, 2) },
	} {
		_, err := build()
		if err == nil {
			t.Errorf("%s of shapes that do not fit was accepted", name)
			continue
		}
		for _, want := range []string{name, "(6, 9)"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}

// TestLowRankOfZero: where b is 0 the sum is y, to the bit.
func TestLowRankOfZero(t *testing.T) {
	g := G.NewGraph()
	x, w, bias := leaf(g, 1, "x", 33, 20), leaf(g, 1, "w", 40, 20), leaf(g, 1, "bias", 40)
	b := leaf(g, 1, "b", 40, 8)
	clear(must[*engine.Tensor](t)(engine.FromValue(b.Value())).F32)
	y := must[*G.Node](t)(ops.Linear(x, w, bias, false))
	sum := must[*G.Node](t)(ops.LowRank(y, x, leaf(g, 1, "a", 8, 20), b, 2))
	p := must[*engine.Program](t)(engine.Compile(g, y, sum))
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Read(sum).F32, p.Read(y).F32) {
		t.Error("an adapter of 0 changes the layer")
	}
}

// TestSquaredErrors: one value a row, whose mean is the MSE; of fewer rows after a shorter batch.
func TestSquaredErrors(t *testing.T) {
	g := G.NewGraph()
	y, target := leaf(g, 1, "y", 4, 2, 3, 2), leaf(g, 2, "target", 4, 2, 3, 2)
	rows, loss := must[*G.Node](t)(ops.SquaredErrors(y, target)), must[*G.Node](t)(ops.MSE(y, target))
	p := must[*engine.Program](t)(engine.Compile(g, rows, loss))
	for _, n := range []int{4, 1, 3} {
		for _, l := range []*G.Node{y, target} {
			if err := p.Read(l).Resize(n, 2, 3, 2); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		got := p.Read(rows).F32
		if len(got) != n {
			t.Fatalf("%d errors of %d rows", len(got), n)
		}
		sum := 0.0
		for r, e := range got {
			want := mse64(p.Read(y).F32[r*12:(r+1)*12], p.Read(target).F32[r*12:(r+1)*12])
			if math.Abs(float64(e)-want) > 1e-6 {
				t.Errorf("row %d: %g, want %g", r, e, want)
			}
			sum += want / float64(n)
		}
		if l := float64(p.Read(loss).Scalar()); math.Abs(l-sum) > 1e-6 {
			t.Errorf("loss of %d rows %g, want %g", n, l, sum)
		}
	}
}
