package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/nn"
	"dla/internal/weights"
)

// sentences are what testdata/encoders/golden.py gave the models.
type sentences struct {
	IDs    [][]int32
	Labels []int32
}

func readTest(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// put writes sentences into the leaves of a program.
func put(t *testing.T, p *engine.Program, in nn.Packed, ids [][]int32) {
	t.Helper()
	var all, positions []int32
	offsets := []int32{0}
	for _, s := range ids {
		for i := range s {
			positions = append(positions, int32(i))
		}
		all = append(all, s...)
		offsets = append(offsets, int32(len(all)))
	}
	for node, v := range map[*G.Node][]int32{in.IDs: all, in.Positions: positions, in.Offsets: offsets} {
		leaf := p.Read(node)
		if err := leaf.Resize(len(v)); err != nil {
			t.Fatal(err)
		}
		copy(leaf.I32, v)
	}
}

// far is the largest difference, over the largest value.
func far(got, want []float32) float64 {
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = max(diff, math.Abs(float64(got[i]-w))), max(size, math.Abs(float64(w)))
	}
	return diff / size
}

// TestEncodersAgainstHuggingFace: hidden states, pooled states, a loss and its gradient by every weight, of a
// small model of each family, equal what transformers and PyTorch compute.
func TestEncodersAgainstHuggingFace(t *testing.T) {
	var s sentences
	readTest(t, "testdata/encoders/sentences.json", &s)
	for _, family := range []string{"bert", "distilbert", "mpnet"} {
		t.Run(family, func(t *testing.T) {
			dir := filepath.Join("testdata", "encoders", family)
			want := map[string][]float32{}
			golden, err := weights.Load(filepath.Join(dir, "golden.safetensors"), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range golden.Tensors {
				want[g.Name] = g.Data
			}
			e, err := ReadEncoder(dir)
			if err != nil {
				t.Fatal(err)
			}
			if e.Dropout != 0.1 || e.AttentionDropout != 0.1 {
				t.Errorf("dropout of %g and %g was read", e.Dropout, e.AttentionDropout)
			}
			e.Dropout, e.AttentionDropout = 0, 0
			params := nn.NewParams(1)
			if err := e.Load(dir, params); err != nil {
				t.Fatal(err)
			}
			g := nn.NewTrainingGraph(params)
			in, labels := g.Packed(100, 8), g.Labels("labels", 8) // more room than is used
			hidden := e.Hidden(g, in)
			pooled := Pooling{CLS: family == "distilbert"}.Embedding(g, hidden, in)
			loss := nn.CrossEntropy(g, pooled, labels, 0)
			grads, err := g.Gradients(loss)
			if err != nil {
				t.Fatal(err)
			}
			if e.Parameters() != params.Count() || len(params.List()) != len(e.weights()) {
				t.Errorf("%d parameters in the graph, %d by the sizes", params.Count(), e.Parameters())
			}
			p, err := engine.Compile(g.ExprGraph, append([]*G.Node{hidden, pooled, loss}, grads...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, order := range []int{1, 0} { // first other sentences, so that nothing of them may be left
				put(t, p, in, s.IDs[order:])
				if err := p.Read(labels).Resize(len(s.Labels) - order); err != nil {
					t.Fatal(err)
				}
				copy(p.Read(labels).I32, s.Labels[order:])
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range []struct {
				name string
				node *G.Node
			}{{"hidden", hidden}, {"pooled", pooled}, {"loss", loss}} {
				if d := far(p.Read(c.node).F32, want[c.name]); !(d < 5e-6) {
					t.Errorf("%s differs by %.2g", c.name, d)
				}
			}
			left := len(want) - 3
			for i, q := range params.Trained() {
				w, ok := want["grad/"+q.Name]
				if !ok {
					t.Errorf("%s has no golden gradient", q.Name)
					continue
				}
				left--
				got := p.Read(grads[i]).F32
				if strings.Contains(q.Name, "k_lin.bias") || strings.Contains(q.Name, "key.bias") ||
					strings.Contains(q.Name, "attn.k.bias") {
					for _, v := range got { // zero but for rounding: it shifts all scores of a query alike
						if math.Abs(float64(v)) > 1e-6 {
							t.Errorf("gradient of %s is %g", q.Name, v)
						}
					}
					continue
				}
				if d := far(got, w); !(d < 5e-5) {
					t.Errorf("gradient of %s differs by %.2g", q.Name, d)
				}
			}
			if left != 0 {
				t.Errorf("%d golden gradients have no parameter", left)
			}
		})
	}
}

// TestRandomEncoders: without a folder an encoder draws its weights, the same ones and in the same order as
// Load puts them there, and builds its linear layers by the hook that adapters use.
func TestRandomEncoders(t *testing.T) {
	for family := range families {
		e, err := ReadEncoder(filepath.Join("testdata", "encoders", family))
		if err != nil {
			t.Fatal(err)
		}
		built := map[string]bool{}
		e.Linear = func(g *nn.Graph, name string, x *G.Node, out int) *G.Node {
			built[name] = true
			return nn.Linear(g, name, x, out)
		}
		params := nn.NewParams(1)
		g := nn.NewGraph(params)
		if e.Hidden(g, g.Packed(8, 2)); g.Err() != nil {
			t.Fatal(g.Err())
		}
		for i, w := range e.weights() {
			if q := params.List()[i]; q.Name != w.name || !slices.Equal(q.Shape, w.dims) {
				t.Errorf("%s: weight %d is %s %v, want %s %v", family, i, q.Name, q.Shape, w.name, w.dims)
			}
		}
		for layer := range e.Layers {
			q, k, v, o := e.Projections(layer)
			for _, name := range []string{q, k, v, o} {
				if !built[name] {
					t.Errorf("%s: %s was not built by Linear", family, name)
				}
			}
		}
		if len(built) != 6*e.Layers {
			t.Errorf("%s: %d linear layers, want %d", family, len(built), 6*e.Layers)
		}
	}
}

// TestDistanceBuckets: those of the reference for every distance to 600.
func TestDistanceBuckets(t *testing.T) {
	var want []int32
	readTest(t, "testdata/encoders/buckets.json", &want)
	const span = 601
	for i, b := range distanceBuckets(span, 32) {
		if b != want[i] {
			t.Errorf("distance %d is in bucket %d, want %d", i-(span-1), b, want[i])
		}
	}
}

// TestEmbeddingsOfRealModels: the vectors of sentence-transformers, for the models that $DLA_MODELS has.
func TestEmbeddingsOfRealModels(t *testing.T) {
	folder := os.Getenv("DLA_MODELS")
	if folder == "" {
		t.Skip("DLA_MODELS names no folder of models")
	}
	var golden []struct {
		Name, DType string // rounded to halves, MiniLM is another model
		IDs         [][]int32
		Step        int
		Embeddings  [][]float64
	}
	readTest(t, "testdata/encoders/embeddings.json", &golden)
	for _, want := range golden {
		t.Run(want.Name+"/"+want.DType, func(t *testing.T) {
			dir := filepath.Join(folder, want.Name)
			r, err := weights.Open(filepath.Join(dir, "model.safetensors"))
			if err != nil {
				t.Skipf("%s is not in DLA_MODELS: %v", want.Name, err)
			}
			defer r.Close()
			if !slices.ContainsFunc(r.Tensors, func(i weights.Info) bool { return i.DType == want.DType }) {
				t.Skipf("%s in DLA_MODELS is not of type %s", want.Name, want.DType)
			}
			e, err := ReadEncoder(dir)
			if err != nil {
				t.Fatal(err)
			}
			pooling, err := ReadPooling(dir)
			if err != nil {
				t.Fatal(err)
			}
			if pooling.CLS {
				t.Error("the first token is pooled, want the mean of all")
			}
			params := nn.NewParams(1)
			if err := e.Load(dir, params); err != nil {
				t.Fatal(err)
			}
			g := nn.NewGraph(params)
			in := g.Packed(400, len(want.IDs))
			y := pooling.Embedding(g, e.Hidden(g, in), in)
			if g.Err() != nil {
				t.Fatal(g.Err())
			}
			p, err := engine.Compile(g.ExprGraph, y)
			if err != nil {
				t.Fatal(err)
			}
			put(t, p, in, want.IDs)
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for s, row := range want.Embeddings { // which sentence-transformers brings to length 1
				got := p.Read(y).F32[s*e.Width:][:e.Width]
				length := math.Sqrt(kernel.SumSquares(got))
				for i, w := range row {
					worst = max(worst, math.Abs(float64(got[i*want.Step])/length-w))
				}
			}
			if !(worst < 2e-6) {
				t.Errorf("an element differs by %.2g", worst)
			}
		})
	}
}

// trainStep is a training graph of the golden BERT, with dropout.
type trainStep struct {
	*engine.Program
	in     nn.Packed
	labels *G.Node
	step   *G.Node
	loss   *G.Node
	grads  []*G.Node
}

func newTrainStep(t *testing.T, freeze bool, tokens int) *trainStep {
	t.Helper()
	dir := filepath.Join("testdata", "encoders", "mpnet")
	e, err := ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(1)
	if err := e.Load(dir, params); err != nil {
		t.Fatal(err)
	}
	if freeze {
		params.Freeze()
	}
	g := nn.NewTrainingGraph(params)
	s := &trainStep{in: g.Packed(tokens, 8), labels: g.Labels("labels", 8)}
	y := nn.Linear(g, "head", Pooling{}.Embedding(g, e.Hidden(g, s.in), s.in), 2)
	s.loss = nn.CrossEntropy(g, y, s.labels, 0)
	if s.grads, err = g.Gradients(s.loss); err != nil {
		t.Fatal(err)
	}
	s.step = g.StepNode()
	if s.Program, err = engine.Compile(g.ExprGraph, append([]*G.Node{s.loss}, s.grads...)...); err != nil {
		t.Fatal(err)
	}
	return s
}

// run is the loss and all gradients of the given sentences, as training step n.
func (s *trainStep) run(t *testing.T, ids [][]int32, n int32) (all []float32) {
	t.Helper()
	put(t, s.Program, s.in, ids)
	if err := s.Read(s.labels).Resize(len(ids)); err != nil {
		t.Fatal(err)
	}
	s.Read(s.step).I32[0] = n
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	for _, n := range append([]*G.Node{s.loss}, s.grads...) {
		all = append(all, s.Read(n).F32...)
	}
	return all
}

// TestDropoutBySteps: a step's gradients depend on its number, and not on what came before it, how much room
// there is or how many threads there are.
func TestDropoutBySteps(t *testing.T) {
	var s sentences
	readTest(t, "testdata/encoders/sentences.json", &s)
	a, b := newTrainStep(t, false, 100), newTrainStep(t, false, 64)
	first := a.run(t, s.IDs, 5)
	if slices.Equal(a.run(t, s.IDs[1:], 6), first) || slices.Equal(a.run(t, s.IDs, 6), first) {
		t.Error("step 6 dropped what step 5 did")
	}
	for name, p := range map[string]*trainStep{"again": a, "in another graph": b} {
		if !slices.Equal(p.run(t, s.IDs, 5), first) {
			t.Errorf("step 5 %s has other gradients", name)
		}
	}
	defer kernel.SetThreads(kernel.Threads())
	for _, threads := range []int{1, 2, 4} {
		kernel.SetThreads(threads)
		if !slices.Equal(a.run(t, s.IDs, 5), first) {
			t.Errorf("step 5 has other gradients on %d threads", threads)
		}
	}
}

// TestFrozenEncoder: what is frozen has no gradient and costs none: only the head's are computed.
func TestFrozenEncoder(t *testing.T) {
	frozen, whole := newTrainStep(t, true, 64), newTrainStep(t, false, 64)
	if len(frozen.grads) != 2 {
		t.Errorf("%d gradients, want those of the head", len(frozen.grads))
	}
	if frozen.Len() > whole.Len()/2 {
		t.Errorf("%d nodes are run, %d without freezing", frozen.Len(), whole.Len())
	}
}

// TestAdaptersAlone: with small layers beside q and v of a frozen encoder, theirs are the only gradients by
// weights that are computed, and none goes further down than the lowest of them.
func TestAdaptersAlone(t *testing.T) {
	dir := filepath.Join("testdata", "encoders", "distilbert")
	e, err := ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(1)
	if err := e.Load(dir, params); err != nil {
		t.Fatal(err)
	}
	params.Freeze()
	e.Linear = func(g *nn.Graph, name string, x *G.Node, out int) *G.Node {
		y := nn.Linear(g, name, x, out)
		if !strings.HasSuffix(name, "q_lin") && !strings.HasSuffix(name, "v_lin") {
			return y
		}
		return nn.Add(g, name, y, nn.Linear(g, name+".up", nn.Linear(g, name+".down", x, 2), out))
	}
	g := nn.NewTrainingGraph(params)
	in, labels := g.Packed(64, 8), g.Labels("labels", 8)
	loss := nn.CrossEntropy(g, Pooling{}.Embedding(g, e.Hidden(g, in), in), labels, 0)
	grads, err := g.Gradients(loss)
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(g.ExprGraph, append([]*G.Node{loss}, grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, s := range p.Steps() {
		counts[strings.TrimSuffix(s.Op, " (added)")]++
	}
	// Four adapters of two matrices. Gradients by an input: of all six linear layers of the second layer and of
	// the three above the first's attention, of all upper matrices, of the second layer's lower ones.
	for op, want := range map[string]int{"linear-dw": 4 * 2, "linear-dx": 6 + 3 + 4 + 2, "embeddings-dtable": 0,
		"layernorm-dgamma": 0} {
		if counts[op] != want {
			t.Errorf("%d of %s are run, want %d", counts[op], op, want)
		}
	}
}

func TestEncoderStepAllocatesNothing(t *testing.T) {
	var s sentences
	readTest(t, "testdata/encoders/sentences.json", &s)
	p := newTrainStep(t, false, 64)
	p.run(t, s.IDs, 1)
	if n := testing.AllocsPerRun(5, func() {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
