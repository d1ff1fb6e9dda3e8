package onnx

import (
	"bytes"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/atomicfile"
	"dla/internal/engine"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/ops"
	"dla/internal/rng"
	"dla/internal/torch"
	"dla/internal/weights"
)

// exported is a network as it was written, with inputs and what the engine makes of them.
type exported struct {
	name   string
	file   []byte
	inputs []weights.Tensor // as ONNX has them
	want   weights.Tensor
}

func (e exported) run(t *testing.T) (*loaded, array) {
	t.Helper()
	m, err := load(e.file)
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]array{}
	for _, in := range e.inputs {
		a := array{dims: in.Shape}
		for _, v := range in.Data {
			a.v = append(a.v, float64(v))
		}
		inputs[in.Name] = a
	}
	out, err := m.run(inputs)
	if err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	return m, out
}

// draw fills weights of one dimension, statistics among them, with values that differ.
func draw(p *nn.Params, s *rng.Stream) {
	for _, q := range p.List() {
		for i := range q.Data {
			if len(q.Shape) == 1 {
				q.Data[i] += float32(0.4 * s.Float64())
			}
		}
	}
}

// written is the model as a file.
func written(t *testing.T, m *Model, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m.Producer, m.Version, m.Meta = "dla", "test", map[string]string{"classes": `["a"]`, "about": "a test"}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// network exports what build makes of images of h x w pixels in c channels, rows of shape row.
func network(t *testing.T, name string, row []int, h, w, c int, build func(g *nn.Graph, x *G.Node) *G.Node) exported {
	t.Helper()
	const rows = 2
	p, s := nn.NewParams(1), rng.New(1, "test", 0, 0)
	run := nn.NewGraph(p)
	prog, read, err := nn.Compile(run, row, rows, func(x *G.Node) ([]*G.Node, error) {
		return []*G.Node{build(run, x)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	draw(p, &s)
	x := prog.Inputs()
	for i := range x {
		x[i] = float32(s.Float64())
	}
	if err := prog.Run(); err != nil {
		t.Fatal(err)
	}
	pixels := make([]float32, len(x))
	for i, v := range x { // [rows, h, w, c] as [rows, c, h, w]
		n, at := i/(h*w*c), i%(h*w*c)
		pixels[(n*c+at%c)*h*w+at/c] = v
	}
	want := weights.Tensor{Name: "out", Shape: read[0].Shape, Data: read[0].F32}
	if len(want.Shape) == 4 { // images
		i, o := want.Shape, make([]float32, len(want.Data))
		for k, v := range want.Data {
			o[(k/(i[1]*i[2]*i[3])*i[3]+k%i[3])*i[1]*i[2]+k/i[3]%(i[1]*i[2])] = v
		}
		want.Shape, want.Data = []int{i[0], i[3], i[1], i[2]}, o
	}
	g := nn.NewGraph(p)
	leaf := g.Input("x", append([]int{1}, row...)...)
	m, err := Images(g, leaf, build(g, leaf), h, w, c, name, "out")
	return exported{name, written(t, m, err), []weights.Tensor{{Name: Pixels, Shape: []int{rows, c, h, w}, Data: pixels}},
		want}
}

// classifiers are the networks of the zoo, all of them or, smaller, one of each kind.
func classifiers(t *testing.T, all bool, side int) (list []exported) {
	t.Helper()
	add := func(m model.Model, h, w, c int) {
		list = append(list, network(t, m.Name(), m.Input(h, w, c), h, w, c, func(g *nn.Graph, x *G.Node) *G.Node {
			return m.Logits(g, x, 10)
		}))
	}
	for _, n := range model.Zoo {
		if !all && slices.Contains([]string{"medium", "large", "teacher", "student", "resnet32", "resnet44", "resnet56",
			"resnet110", "resnet18", "wrn28-10"}, n.Name) {
			continue // of the same layers as others
		}
		for _, res := range []bool{false, true} {
			s := model.Spec{Name: n.Name, Res: res}
			switch {
			case res && !n.Skips:
				continue
			case n.Name == "mlp":
				s.Depth, s.Width = 2, 16
			case n.Name == "wrn28-10": // smaller: it has 36 million weights
				s.Width = 32
			case (n.Name == "speedrun" || strings.HasPrefix(n.Name, "resnet")) && !all:
				s.Width = 4
			}
			m, err := model.New(s, model.CIFAR10)
			if err != nil {
				t.Fatal(err)
			}
			add(m, side, side, 3)
		}
	}
	add(model.ResNet{Blocks: 1, Width: 4, Res: true, Projection: true, Pixels: model.MNIST}, 14, 14, 1)
	add(model.ResNet{Blocks: 1, Width: 6, Res: true, PadBoth: true, Pixels: model.CIFAR10}, 12, 12, 3)
	add(model.ResNet{Blocks: 2, Width: 4, Stages: 4, Res: true, Projection: true, Pixels: model.CIFAR10}, 12, 12, 3)
	add(model.Wide{Width: 8, Res: true, Pixels: model.CIFAR10}, 8, 8, 3)
	add(model.Speedrun{Width: 4, Pixels: model.CIFAR10}, 10, 11, 3) // whose poolings drop rows and columns
	auto := model.AutoEncoder{Encoder: model.ResNet{Blocks: 1, Width: 4, Res: true, Pixels: model.CIFAR10}}
	return append(list, network(t, auto.Name(), []int{16, 16, 3}, 16, 16, 3, auto.Reconstruct),
		network(t, "silu", []int{8, 8, 3}, 8, 8, 3, func(g *nn.Graph, x *G.Node) *G.Node {
			y := nn.BatchNormWith(g, "bn", nn.Conv2DBias(g, "conv", x, 4, 5, 2), nn.Norm{Activation: ops.ActSiLU})
			return nn.SiLU(g, "silu", nn.GlobalAvgPool(g, "pool", y))
		}))
}

// encoders are small ones of each family, as vectors by the mean or the first token, and as classifiers.
func encoders(t *testing.T) (list []exported) {
	t.Helper()
	for _, family := range []string{"bert", "distilbert", "mpnet"} {
		e := &model.Encoder{Family: family, Vocabulary: 30, Positions: 50, Width: 8, Layers: 2, Heads: 2, Inner: 12,
			Eps: 1e-12}
		switch family {
		case "bert":
			e.Kinds = 2
		case "mpnet":
			e.Buckets = 8
		}
		head := &model.SentenceClassifier{Encoder: e, Head: model.HeadTransformers, Pooling: model.Pooling{CLS: true},
			Classes: 3}
		list = append(list,
			sentenceNetwork(t, family+" mean", e.Vocabulary, func(g *nn.Graph, in nn.Packed) *G.Node {
				return model.Pooling{}.Embedding(g, e.Hidden(g, in), in)
			}),
			sentenceNetwork(t, family+" classifier", e.Vocabulary, head.Logits))
	}
	return list
}

// sentenceNetwork exports what build makes of sentences. In ONNX they are padded on the right, and one on the left.
func sentenceNetwork(t *testing.T, name string, vocabulary int,
	build func(g *nn.Graph, in nn.Packed) *G.Node) exported {
	t.Helper()
	lengths := []int{7, 3, 40, 1, 5}
	const longest, left = 40, 4 // sentence left has its padding on the left
	p, s := nn.NewParams(1), rng.New(1, "test", 0, 0)
	g := nn.NewGraph(p)
	tokens := 0
	for _, n := range lengths {
		tokens += n
	}
	in := g.Packed(tokens, len(lengths))
	result := build(g, in)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	for _, q := range p.List() { // larger than at first, so that words differ
		for i := range q.Data {
			q.Data[i] = float32(0.5*s.Normal()) + q.Data[i]
		}
	}
	prog, err := engine.Compile(g.ExprGraph, result)
	if err != nil {
		t.Fatal(err)
	}
	ids := weights.Tensor{Name: InputIDs, Shape: []int{len(lengths), longest}, Data: make([]float32, len(lengths)*longest)}
	mask := weights.Tensor{Name: AttentionMask, Shape: ids.Shape, Data: make([]float32, len(ids.Data))}
	at := 0
	for i, n := range lengths {
		prog.Read(in.Offsets).I32[i+1] = int32(at + n)
		for k := range n {
			id := 1 + s.IntN(vocabulary-1)
			prog.Read(in.IDs).I32[at], prog.Read(in.Positions).I32[at] = int32(id), int32(k)
			place := i*longest + k
			if i == left {
				place += longest - n
			}
			ids.Data[place], mask.Data[place] = float32(id), 1
			at++
		}
	}
	if err := prog.Run(); err != nil {
		t.Fatal(err)
	}
	y := prog.Read(result)
	again := nn.NewGraph(p)
	leaves := again.Packed(2, 1)
	m, err := Sentences(again, leaves, build(again, leaves), name, "out")
	return exported{name, written(t, m, err), []weights.Tensor{ids, mask},
		weights.Tensor{Name: "out", Shape: y.Shape, Data: y.F32}}
}

// TestModels: models are complete and compute what the engine does.
func TestModels(t *testing.T) {
	for _, e := range append(classifiers(t, false, 12), encoders(t)...) {
		m, got := e.run(t)
		if !slices.Equal(got.dims, e.want.Shape) {
			t.Errorf("%s: shape %v, want %v", e.name, got.dims, e.want.Shape)
			continue
		}
		largest, far := 0.0, 0.0
		for i, w := range e.want.Data {
			largest = max(largest, math.Abs(float64(w)))
			far = max(far, math.Abs(got.v[i]-float64(w)))
		}
		if !(far <= 1e-5*max(1, largest)) || largest == 0 {
			t.Errorf("%s: off by %.2g, of values up to %.2g", e.name, far, largest)
		}
		if m.fields.ints(modelIRVersion)[0] != 8 || m.graph.text(graphName) != e.name ||
			m.fields.text(modelProducer) != "dla" || len(m.fields[modelMeta]) != 2 {
			t.Errorf("%s: the model is of version %v, called %q", e.name, m.fields.ints(modelIRVersion), m.graph.text(graphName))
		}
	}
}

// TestNames: nodes have the names of layers, and weights those of checkpoints.
func TestNames(t *testing.T) {
	e := classifiers(t, false, 12)
	i := slices.IndexFunc(e, func(e exported) bool { return e.name == "resnet20-w4" })
	m, err := load(e[i].file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range m.nodes {
		all = append(all, n.text(nodeName))
	}
	for _, want := range []string{"standardize/Mul", "conv1/Conv", "layer2.0.shortcut/Pad",
		"layer2.0.bn2/BatchNormalization", "layer2.0.bn2/Add", "layer2.0.bn2/Relu", "avgpool/GlobalAveragePool", "fc/Gemm"} {
		if !slices.Contains(all, want) {
			t.Errorf("no node is called %s; there are %s", want, strings.Join(all, " "))
		}
	}
	for _, want := range []string{"conv1.weight", "layer3.2.bn1.running_var", "fc.bias"} {
		if _, ok := m.weights[want]; !ok {
			t.Errorf("no weight is called %s", want)
		}
	}
}

// TestTooLarge: a model of more than a file holds is refused by its size, which is that of the file.
func TestTooLarge(t *testing.T) {
	p := nn.NewParams(1)
	g := nn.NewGraph(p)
	x := g.Input("x", 1, 10)
	m, err := Images(g, x, nn.Linear(g, "fc", x, 1000), 2, 5, 1, "large", "out")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil || b.Len() < 44000 {
		t.Errorf("%d bytes are written, error %v", b.Len(), err)
	}
	if err := m.fits(int64(b.Len()) - 1); err == nil || !strings.Contains(err.Error(), "a file of ONNX holds at most") {
		t.Errorf("error %v", err)
	}
	if err := m.fits(int64(b.Len())); err != nil {
		t.Error(err)
	}
}

// TestTrainingGraph: what only a training needs is an error that names the layer.
func TestTrainingGraph(t *testing.T) {
	g := nn.NewTrainingGraph(nn.NewParams(1))
	x := g.Input("x", 1, 4, 4, 3)
	_, err := Images(g, x, nn.BatchNorm(g, "bn1", x), 4, 4, 3, "training", "out")
	if err == nil || !strings.Contains(err.Error(), "layer bn1: op batchnorm") {
		t.Errorf("error %v", err)
	}
}

// TestOnnxruntime runs testdata/check.py: the checker of ONNX, and the results of onnxruntime against the engine's. It
// needs DLA_PYTHON, a Python that has onnx, onnxruntime and torch.
func TestOnnxruntime(t *testing.T) {
	python := os.Getenv("DLA_PYTHON")
	if python == "" {
		t.Skip("DLA_PYTHON names no Python with onnxruntime")
	}
	args := []string{filepath.Join("testdata", "check.py")}
	for _, e := range append(classifiers(t, true, 32), encoders(t)...) {
		dir := filepath.Join(t.TempDir(), strings.ReplaceAll(e.name, " ", "-"))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.onnx"), e.file, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := atomicfile.Write(filepath.Join(dir, "want.pt"), func(w io.Writer) error {
			return torch.Write(w, append(slices.Clone(e.inputs), e.want))
		}); err != nil {
			t.Fatal(err)
		}
		args = append(args, dir)
	}
	out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
}
