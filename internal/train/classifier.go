package train

import (
	"fmt"
	"math"
	"slices"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/metrics"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/weights"
)

// Program is a model that the loop trains: its parameters, a training step that computes their gradients, and an
// evaluation step. Batches write their samples into the program's buffers and return how many they wrote.
type Program interface {
	Evaluable
	// Params returns the weights with the gradients that TrainStep computes, in a fixed order.
	Params() []optim.Param
	// State returns the whole state of the model in a fixed order: weights and running statistics. Checkpoints hold it.
	State() []weights.Tensor
	// TrainStep computes loss and gradients of the batch in the buffers, which has the given number of samples. epoch
	// and step count from 0.
	TrainStep(epoch, step, samples int) (Stats, error)
}

// Evaluable is the half of a Program that Evaluate needs.
type Evaluable interface {
	// EvalStep computes the loss, and for a classifier the accuracy, of the batch in the buffers, which has the given
	// number of samples. It changes no state.
	EvalStep(samples int) (Stats, error)
}

// Batches is one pass over a set in batches, written into the buffers of one Program.
type Batches interface {
	Len() int   // samples in a pass
	Steps() int // batches in a pass
	// Lay writes the batch of the given epoch and step, both from 0, into the buffers and returns its number of
	// samples.
	Lay(epoch, step int) int
}

// Loader provides batches of rows, as data.Loader does.
type Loader interface {
	Len() int
	Steps() int
	Batch(epoch, step int, b *data.Batch)
}

// rows writes the batches of a Loader into b.
type rows struct {
	Loader
	b *data.Batch
}

func (r rows) Lay(epoch, step int) int {
	r.Batch(epoch, step, r.b)
	return r.b.Rows
}

// Stats holds sums over samples, so that batches of unequal size add up to exact means.
type Stats struct {
	N       int     `json:"n"`
	LossSum float64 `json:"loss_sum"`
	Correct int     `json:"correct"`

	// NoAccuracy is set where the program predicts no classes; Correct then means nothing.
	NoAccuracy bool `json:"no_accuracy,omitempty"`
}

// Add adds the samples of o.
func (s *Stats) Add(o Stats) {
	s.N += o.N
	s.LossSum += o.LossSum
	s.Correct += o.Correct
	s.NoAccuracy = s.NoAccuracy || o.NoAccuracy
}

// Loss returns the mean loss, 0 for no samples.
func (s Stats) Loss() float64 { return s.LossSum / float64(max(1, s.N)) }

// Accuracy returns the fraction of correct predictions, NaN where there are none.
func (s Stats) Accuracy() float64 {
	if s.NoAccuracy {
		return math.NaN()
	}
	return float64(s.Correct) / float64(max(1, s.N))
}

// Measure returns the recorded form of s; without samples nothing was measured.
func (s Stats) Measure() run.Measure {
	if s.N == 0 {
		return run.Unmeasured()
	}
	return run.Measure{Loss: s.Loss(), Accuracy: s.Accuracy()}
}

// better reports whether s is a better validation result than o: by accuracy, or by loss if byLoss is set or there is
// no accuracy.
func (s Stats) better(o Stats, byLoss bool) bool {
	if s.NoAccuracy || byLoss {
		return s.Loss() < o.Loss()
	}
	return s.Accuracy() > o.Accuracy()
}

// Classifier is the Program of a network trained on the cross-entropy.
type Classifier struct {
	*Scorer
	params  []optim.Param
	train   half
	running []running
	grads   []*G.Node      // of params
	step    *engine.Tensor // seeds the masks of dropout; nil: no dropout
	epoch   int            // that gradients are computed for
}

// running pairs a layer's running statistics with those of a step's batch.
type running struct {
	stats *nn.RunningStats
	batch *engine.Tensor
}

// half is the training or the evaluation graph of a classifier: inputs, labels, loss and logits.
type half struct {
	*nn.Program
	y            *engine.Tensor
	batch        data.Batch // over the graph's inputs and labels, at full size
	loss, logits *engine.Tensor
	unlabelled   int // rows of x without labels, after those with labels
}

// newHalf compiles the graph g of arch for up to rows inputs, of which the first labels have a label. loss builds the
// loss from logits and labels; more adds outputs.
func newHalf(g *nn.Graph, arch nn.Architecture, rowShape []int, classes, inputs, labels int,
	loss func(logits, y *G.Node) *G.Node, more func(loss *G.Node) ([]*G.Node, error)) (half, []*engine.Tensor, error) {
	var y *G.Node
	prog, read, err := nn.Compile(g, rowShape, inputs, func(x *G.Node) ([]*G.Node, error) {
		y = g.Labels("y", labels)
		logits := arch.Logits(g, x, classes)
		l := loss(logits, y)
		if g.Err() != nil {
			return nil, g.Err()
		}
		others, err := more(l)
		return append([]*G.Node{l, logits}, others...), err
	})
	if err != nil {
		return half{}, nil, err
	}
	h := half{Program: prog, y: prog.Read(y), loss: read[0], logits: read[1]}
	h.batch = data.Batch{X: prog.Inputs(), Y: h.y.I32, Index: make([]int32, labels)}
	return h, read[2:], nil
}

// run computes the first samples rows of h.batch and the unlabelled rows after them.
func (h *half) run(samples int) (Stats, error) {
	if err := h.Resize(samples + h.unlabelled); err != nil {
		return Stats{}, err
	}
	if err := h.y.Resize(samples); err != nil {
		return Stats{}, fmt.Errorf("batch of %d rows: %w", samples, err)
	}
	if err := h.Run(); err != nil {
		return Stats{}, err
	}
	return scored(h.loss, h.logits, h.y.I32), nil
}

// NewClassifier builds and compiles the training graph for batches of up to batch rows of shape
// rowShape and the evaluation graph for up to evalBatch rows, over one set of parameters. smoothing is
// the label smoothing of the training loss.
func NewClassifier(arch nn.Architecture, p *nn.Params, rowShape []int, classes, batch, evalBatch int,
	smoothing float64) (*Classifier, error) {
	return newClassifier(arch, p, rowShape, classes, batch, 0, evalBatch, func(g *nn.Graph, logits, y *G.Node) *G.Node {
		return nn.CrossEntropy(g, logits, y, smoothing)
	})
}

// newClassifier is NewClassifier with any training loss of logits [rows, classes] and labels, and with room for up to
// unlabelled rows without labels after those with labels.
func newClassifier(arch nn.Architecture, p *nn.Params, rowShape []int, classes, batch, unlabelled, evalBatch int,
	trainingLoss func(g *nn.Graph, logits, y *G.Node) *G.Node) (*Classifier, error) {
	if err := fits(arch, rowShape, classes); err != nil {
		return nil, err
	}
	c := &Classifier{}
	g := nn.NewTrainingGraph(p)
	var read []*engine.Tensor
	var err error
	c.train, read, err = newHalf(g, arch, rowShape, classes, batch+unlabelled, batch,
		func(logits, y *G.Node) *G.Node { return trainingLoss(g, logits, y) }, func(loss *G.Node) ([]*G.Node, error) {
			outputs, err := g.Gradients(loss)
			c.grads = slices.Clone(outputs)
			for _, s := range g.RunningStats() {
				outputs = append(outputs, s.Batch)
			}
			return outputs, err
		})
	if err != nil {
		return nil, err
	}
	for i, q := range p.Trained() {
		c.params = append(c.params, trained(q, read[i]))
	}
	for i, s := range g.RunningStats() {
		c.running = append(c.running, running{s, read[len(c.grads)+i]})
	}
	if n := g.StepNode(); n != nil {
		c.step = c.train.Read(n)
	}
	c.Scorer, err = NewScorer(arch, p, rowShape, classes, evalBatch)
	return c, err
}

// trained returns q with its gradient, for the optimiser.
func trained(q *nn.Param, grad *engine.Tensor) optim.Param {
	return optim.Param{Name: q.Name, Shape: q.Shape, Value: q.Data, Grad: grad.F32, Epochs: q.Epochs}
}

// fits returns an error, before any allocation, where the machine lacks memory for the weights of a training, each with
// a gradient and one value of optimiser state.
func fits(arch nn.Architecture, rowShape []int, classes int) error {
	p := nn.Shapes()
	g := nn.NewTrainingGraph(p)
	arch.Logits(g, g.Input("x", append([]int{1}, rowShape...)...), classes)
	if g.Err() != nil {
		return g.Err()
	}
	n := p.Count()
	return engine.Fits(fmt.Sprintf("%d parameters, their gradients and the optimiser's state", n), 3*4*int64(n))
}

// Params returns the parameters and their gradients.
func (c *Classifier) Params() []optim.Param { return c.params }

// TrainBatch returns the buffer that TrainStep reads a batch from, at full size.
func (c *Classifier) TrainBatch() *data.Batch { return &c.train.batch }

// TrainBatches feeds the batches of l to TrainStep.
func (c *Classifier) TrainBatches(l Loader) Batches { return rows{l, &c.train.batch} }

// TrainStep computes loss, accuracy and gradients of the first samples of TrainBatch and updates the running
// statistics. The masks of dropout depend on epoch and step alone, so a resumed training draws the same ones; they are
// distinct for the first 65,536 steps of an epoch.
func (c *Classifier) TrainStep(epoch, step, samples int) (Stats, error) {
	if c.step != nil {
		c.step.I32[0] = int32(uint32(epoch)<<16 + uint32(step))
	}
	c.enter(epoch)
	s, err := c.train.run(samples)
	if err != nil {
		return s, err
	}
	for _, r := range c.running {
		r.stats.Update(r.batch.F32, samples+c.train.unlabelled)
	}
	return s, nil
}

// enter leaves out, from epoch on, the gradients of parameters that are not trained in it.
func (c *Classifier) enter(epoch int) {
	if c.epoch == epoch {
		return
	}
	c.epoch = epoch
	var done []*G.Node
	for i, p := range c.params {
		if p.Epochs > 0 && epoch >= p.Epochs {
			done = append(done, c.grads[i])
		}
	}
	c.train.Skip(done...)
}

// PeakBytes returns the planned memory of intermediates and gradients of a training step, in bytes.
func (c *Classifier) PeakBytes() int64 { return c.train.PeakBytes() }

// Train returns the compiled training graph, for timing.
func (c *Classifier) Train() *engine.Program { return c.train.Program.Program }

// scored returns the statistics of a batch from its mean loss, logits [rows, classes] and labels [rows].
func scored(loss, logits *engine.Tensor, labels []int32) Stats {
	s := Stats{N: len(labels), LossSum: float64(loss.Scalar()) * float64(len(labels))}
	classes := logits.Cols()
	for i, label := range labels {
		if int32(metrics.Argmax(logits.F32[i*classes:(i+1)*classes])) == label {
			s.Correct++
		}
	}
	return s
}
