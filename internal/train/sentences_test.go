package train

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/rng"
	"dla/internal/text"
	"dla/internal/weights"
)

// someSentences are drawn at random for the small encoders of internal/model, whose vocabulary has 40 tokens.
func someSentences(n int) *text.Packed {
	p := text.NewPacked(n*20, n)
	one := text.NewPacked(20, 1)
	s := rng.New(1, "sentences", 0, 0)
	for i := range n {
		one.IDs, one.Positions = one.IDs[:0], one.Positions[:0]
		for range 2 + s.IntN(18) {
			one.IDs = append(one.IDs, int32(5+s.IntN(35)))
		}
		p.IDs = append(p.IDs, one.IDs...)
		for j := range one.IDs {
			p.Positions = append(p.Positions, int32(j))
		}
		p.Offsets, p.Labels, p.Index = append(p.Offsets, int32(len(p.IDs))), append(p.Labels, int32(i%2)), append(p.Index,
			int32(i))
	}
	return p
}

func loaderOf(t *testing.T, p *text.Packed, limit int, shuffle bool) *text.Loader {
	t.Helper()
	index := make([]int32, p.Len())
	for i := range index {
		index[i] = int32(i)
	}
	l, err := text.NewLoader(p, index, text.Limits{Sentences: limit}, shuffle, 3)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const sentenceBatch = 8

// adapted is a small encoder with adapters, to be trained on all in batches of sentenceBatch.
func adapted(t *testing.T, all *text.Packed, drop float64, parts int) (*SentenceClassifier, *nn.Params) {
	t.Helper()
	dir := filepath.Join("..", "model", "testdata", "encoders", "mpnet")
	e, err := model.ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	e.Dropout, e.AttentionDropout = drop, drop
	p := nn.NewParams(2)
	if err := e.Load(dir, p); err != nil {
		t.Fatal(err)
	}
	p.Freeze()
	arch, err := model.NewSentenceClassifier(e, dir, model.HeadTransformers, drop, 2)
	if err != nil {
		t.Fatal(err)
	}
	lora.Adapter{Targets: "qv", Rank: 2, Alpha: 4, Dropout: drop}.Attach(e)
	s := SentenceSizes{Batch: sentenceBatch, MicroBatches: parts, Eval: 16}
	s.BatchTokens, s.MicroBatchTokens, s.EvalTokens = loaderOf(t, all, s.Batch, false).MaxTokens(), loaderOf(t, all,
		s.MicroBatchSentences(), false).MaxTokens(), loaderOf(t, all, 16, false).MaxTokens()
	c, err := NewSentenceClassifier(arch, p, s)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// step makes one step of c, a plain one downhill.
func (c *SentenceClassifier) stepOf(t *testing.T, b Batches, epoch, step int) Stats {
	t.Helper()
	s, err := c.TrainStep(epoch, step, b.Lay(epoch, step))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Params() {
		for i, g := range p.Grad {
			p.Value[i] -= 0.05 * g
		}
	}
	return s
}

// TestSentenceParts: a batch in parts has the gradient of the whole, to rounding, also where it is a short one
// and where the parts are not of one size.
func TestSentenceParts(t *testing.T) {
	all := someSentences(21)
	whole, _ := adapted(t, all, 0, 1)
	for _, parts := range []int{2, 3, 8} {
		c, _ := adapted(t, all, 0, parts)
		if err := weights.Copy(whole.State(), c.State()); err != nil {
			t.Fatal(err)
		}
		bw, bc := whole.TrainBatches(loaderOf(t, all, sentenceBatch, true)), c.TrainBatches(loaderOf(t, all, sentenceBatch,
			true))
		if bw.Steps() != 3 || bw.Len() != 21 {
			t.Fatalf("%d steps of %d sentences", bw.Steps(), bw.Len())
		}
		for step := range 3 {
			a, b := whole.stepOf(t, bw, 0, step), c.stepOf(t, bc, 0, step)
			if a.N != b.N || a.Correct != b.Correct || math.Abs(a.LossSum-b.LossSum) > 1e-4 {
				t.Errorf("%d parts, step %d: %+v, whole %+v", parts, step, b, a)
			}
			for i, p := range whole.Params() {
				for j, g := range p.Grad {
					if d := math.Abs(float64(g - c.Params()[i].Grad[j])); d > 2e-5 {
						t.Fatalf("%d parts, step %d: gradient %d of %s differs by %g", parts, step, j, p.Name, d)
					}
				}
			}
		}
	}
}

// TestSentencesRepeat: the bits of a training do not depend on the threads, nor on what was computed before a
// step, dropout and all; frozen weights keep theirs and are not in the state.
func TestSentencesRepeat(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	all := someSentences(40)
	frozen := func(p *nn.Params) (ts []weights.Tensor) {
		for _, q := range p.List() {
			if q.Frozen {
				ts = append(ts, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
			}
		}
		return ts
	}
	var want string
	for _, threads := range []int{1, 2, 4} {
		kernel.SetThreads(threads)
		c, p := adapted(t, all, 0.3, 2)
		base := weights.Fingerprint(frozen(p))
		b := c.TrainBatches(loaderOf(t, all, sentenceBatch, true))
		start := weights.Fingerprint(c.State())
		for step := range 5 {
			c.stepOf(t, b, 1, step)
		}
		got := weights.Fingerprint(c.State())
		if want == "" {
			want = got
		}
		if got != want || got == start {
			t.Errorf("%d threads: weights %.8s, one thread %.8s, at first %.8s", threads, got, want, start)
		}
		if weights.Fingerprint(frozen(p)) != base || len(c.State())+len(frozen(p)) != len(p.List()) {
			t.Error("frozen weights are trained, or part of the state")
		}
		if slices.ContainsFunc(c.State(), func(s weights.Tensor) bool { return strings.Contains(s.Name, "embeddings") }) {
			t.Error("the state holds the encoder")
		}
	}
	// A program that begins in the middle, from the state there.
	kernel.SetThreads(2)
	first, _ := adapted(t, all, 0.3, 2)
	second, _ := adapted(t, all, 0.3, 2)
	b1, b2 := first.TrainBatches(loaderOf(t, all, sentenceBatch, true)), second.TrainBatches(loaderOf(t, all,
		sentenceBatch, true))
	for step := range 5 {
		if step == 3 {
			if err := weights.Copy(second.State(), first.State()); err != nil {
				t.Fatal(err)
			}
		}
		first.stepOf(t, b1, 1, step)
		if step >= 3 {
			second.stepOf(t, b2, 1, step)
		}
	}
	if got := weights.Fingerprint(second.State()); got != want || weights.Fingerprint(first.State()) != want {
		t.Error("a training that goes on in the middle ends in other bits")
	}
}

func TestSentenceStepsAllocateNothing(t *testing.T) {
	all := someSentences(40)
	c, _ := adapted(t, all, 0.3, 2)
	b := c.TrainBatches(loaderOf(t, all, sentenceBatch, true))
	if n := testing.AllocsPerRun(5, func() {
		if _, err := c.TrainStep(0, 1, b.Lay(0, 1)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

// TestSentenceEvaluation: loss and accuracy are those of all sentences, whatever the batches, and nothing is
// dropped.
func TestSentenceEvaluation(t *testing.T) {
	all := someSentences(21)
	c, _ := adapted(t, all, 0.5, 1)
	var want Stats
	var classes []int32
	for _, limit := range []int{16, 5, 1} {
		s, got, err := Predict(t.Context(), c, c.Batches(loaderOf(t, all, limit, false)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if limit == 16 {
			want, classes = s, got
		}
		if s.N != 21 || s.Correct != want.Correct || math.Abs(s.LossSum-want.LossSum) > 1e-4 || !slices.Equal(got, classes) {
			t.Errorf("batches of %d: %+v, of 16: %+v", limit, s, want)
		}
	}
	if !(Stats{N: 1, LossSum: 1}).better(Stats{N: 1, LossSum: 2, Correct: 1}, true) ||
		(Stats{N: 1, LossSum: 1}).better(Stats{N: 1, LossSum: 2, Correct: 1}, false) {
		t.Error("the better of two validations is not as asked for")
	}
}
