package train

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/weights"
)

// Program is what the loop trains: parameters, a training step that leaves their gradients ready,
// and an evaluation step. A batch is written into the memory that the Program hands out, then the
// step is told how many rows of it count.
type Program interface {
	Evaluable
	// Params are the weights with the gradients a TrainStep computes, in a fixed order.
	Params() []optim.Param
	// State is all that makes the model, in a fixed order: the weights, and what a TrainStep changes
	// beside them (running statistics). Checkpoints hold it.
	State() []weights.Tensor
	// TrainBuffers are where a batch of the training goes: inputs row by row, and one label a row.
	TrainBuffers() (x []float32, y []int32)
	// TrainStep computes loss and gradients of the first rows rows.
	TrainStep(rows int) (Stats, error)
}

// Evaluable is what Evaluate takes: the evaluation's half of a Program.
type Evaluable interface {
	// EvalBuffers are where a batch goes: inputs row by row, and one label a row.
	EvalBuffers() (x []float32, y []int32)
	// EvalStep computes loss and accuracy, where there is one, of the first rows rows; it changes no state.
	EvalStep(rows int) (Stats, error)
}

// Preparer is a Program that needs more of a batch than its inputs and labels: it is shown each one
// before the TrainStep, with its epoch and its step of that, both from 0.
type Preparer interface {
	Prepare(b *data.Batch, epoch, step int) error
}

// Stats are sums over samples, so that batches of unequal size add up to exact means.
type Stats struct {
	N       int     `json:"n"`
	LossSum float64 `json:"loss_sum"`
	Correct int     `json:"correct"`

	// NoAccuracy: the program's outputs are no classes, and Correct means nothing.
	NoAccuracy bool `json:"no_accuracy,omitempty"`
}

// Add adds the samples of o.
func (s *Stats) Add(o Stats) {
	s.N += o.N
	s.LossSum += o.LossSum
	s.Correct += o.Correct
	s.NoAccuracy = s.NoAccuracy || o.NoAccuracy
}

// Loss is the mean loss; 0 of no samples.
func (s Stats) Loss() float64 { return s.LossSum / float64(max(1, s.N)) }

// Accuracy is the fraction of samples predicted right; NaN where there are no predictions.
func (s Stats) Accuracy() float64 {
	if s.NoAccuracy {
		return math.NaN()
	}
	return float64(s.Correct) / float64(max(1, s.N))
}

// better says whether s is a better validation than o: by accuracy, or by loss where that is asked for or there
// is no accuracy.
func (s Stats) better(o Stats, byLoss bool) bool {
	if s.NoAccuracy || byLoss {
		return s.Loss() < o.Loss()
	}
	return s.Accuracy() > o.Accuracy()
}

// Architecture builds a classifier's logits [rows, classes] from x [rows, …].
type Architecture interface {
	Logits(g *nn.Graph, x *G.Node, classes int) *G.Node
}

// Classifier is the Program of a network trained by cross-entropy.
type Classifier struct {
	*Scorer
	params  []optim.Param
	train   half
	running []running
	step    *engine.Tensor // the number that dropout draws by; nil: nothing is dropped
}

// running is one layer's running statistics and where a step leaves those of its batch.
type running struct {
	stats *nn.RunningStats
	batch *engine.Tensor
}

// half is one of the two graphs.
type half struct {
	prog         *engine.Program
	x, y         *engine.Tensor
	fullX, fullY int // capacities
	rowShape     []int
	loss, logits *engine.Tensor
	unlabelled   int // rows of x after those with labels
}

// NewClassifier builds and compiles the training graph for batches of up to batch rows of shape
// rowShape and the evaluation graph for up to evalBatch rows, over one set of parameters. smoothing is
// that of the labels in training.
func NewClassifier(arch Architecture, p *nn.Params, rowShape []int, classes, batch, evalBatch int, smoothing float64) (*Classifier, error) {
	return newClassifier(arch, p, rowShape, classes, batch, 0, evalBatch, func(g *nn.Graph, logits, y *G.Node) *G.Node {
		return nn.CrossEntropy(g, logits, y, smoothing)
	})
}

// newClassifier is NewClassifier with the training graph's loss, of logits [rows, classes] and labels, and
// with room for as many as unlabelled rows after those that have labels.
func newClassifier(arch Architecture, p *nn.Params, rowShape []int, classes, batch, unlabelled, evalBatch int, trainingLoss func(g *nn.Graph, logits, y *G.Node) *G.Node) (*Classifier, error) {
	if err := fits(arch, rowShape, classes); err != nil {
		return nil, err
	}
	c := &Classifier{}
	g := nn.NewTrainingGraph(p)
	logits, x, y := logitsGraph(g, arch, rowShape, classes, batch+unlabelled, batch)
	loss := trainingLoss(g, logits, y)
	grads, err := g.Gradients(loss)
	if err != nil {
		return nil, err
	}
	outputs := append([]*G.Node{loss, logits}, grads...)
	for _, s := range g.RunningStats() {
		outputs = append(outputs, s.Batch)
	}
	prog, err := engine.Compile(g.ExprGraph, outputs...)
	if err != nil {
		return nil, fmt.Errorf("compiling the training graph: %w", err)
	}
	c.train = newHalf(prog, x, y, loss, logits, rowShape)
	for i, q := range p.Trained() {
		c.params = append(c.params, optim.Param{Name: q.Name, Shape: q.Shape, Value: q.Data, Grad: prog.Read(grads[i]).F32})
	}
	for _, s := range g.RunningStats() {
		c.running = append(c.running, running{s, prog.Read(s.Batch)})
	}
	if n := g.StepNode(); n != nil {
		c.step = prog.Read(n)
	}
	c.Scorer, err = NewScorer(arch, p, rowShape, classes, evalBatch)
	return c, err
}

// fits says, before any memory is taken, whether the machine has enough for the weights of a training, each with its
// gradient and one value of the optimiser's.
func fits(arch Architecture, rowShape []int, classes int) error {
	p := nn.Shapes()
	g := nn.NewTrainingGraph(p)
	arch.Logits(g, g.Input("x", append([]int{1}, rowShape...)...), classes)
	if g.Err() != nil {
		return g.Err()
	}
	n := p.Count()
	return engine.Fits(fmt.Sprintf("%d parameters, their gradients and the optimiser's state", n), 3*4*int64(n))
}

func logitsGraph(g *nn.Graph, arch Architecture, rowShape []int, classes, rows, labels int) (logits, x, y *G.Node) {
	x = g.Input("x", append([]int{rows}, rowShape...)...)
	y = g.Labels("y", labels)
	return arch.Logits(g, x, classes), x, y
}

func newHalf(prog *engine.Program, x, y, loss, logits *G.Node, rowShape []int) half {
	h := half{prog: prog, x: prog.Read(x), y: prog.Read(y), loss: prog.Read(loss), logits: prog.Read(logits)}
	h.rowShape = append([]int{0}, rowShape...)
	h.fullX, h.fullY = len(h.x.F32), len(h.y.I32)
	return h
}

// Params are the parameters and their gradients.
func (c *Classifier) Params() []optim.Param { return c.params }

// TrainBuffers are the inputs and labels of the training graph, at full size.
func (c *Classifier) TrainBuffers() ([]float32, []int32) { return c.train.buffers() }

// Prepare numbers the step, for dropout: by its epoch and its place there, so that a resumed training drops
// what it would have. The first 65,536 steps of an epoch have numbers of their own.
func (c *Classifier) Prepare(_ *data.Batch, epoch, step int) error {
	if c.step != nil {
		c.step.I32[0] = int32(uint32(epoch)<<16 + uint32(step))
	}
	return nil
}

// TrainStep computes loss, accuracy and gradients of the first rows samples of TrainBuffers, and moves
// the running statistics.
func (c *Classifier) TrainStep(rows int) (Stats, error) {
	s, err := c.train.run(rows)
	if err != nil {
		return s, err
	}
	for _, r := range c.running {
		r.stats.Update(r.batch.F32, rows+c.train.unlabelled)
	}
	return s, nil
}

// PeakBytes is the planned memory of intermediates and gradients of a training step.
func (c *Classifier) PeakBytes() int64 { return c.train.prog.PeakBytes() }

// Train is the compiled training graph, for those who time it.
func (c *Classifier) Train() *engine.Program { return c.train.prog }

func (h *half) buffers() ([]float32, []int32) { return h.x.F32[:h.fullX], h.y.I32[:h.fullY] }

func (h *half) run(rows int) (Stats, error) {
	h.rowShape[0] = rows + h.unlabelled
	if err := h.x.Resize(h.rowShape...); err != nil {
		return Stats{}, fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	if err := h.y.Resize(rows); err != nil {
		return Stats{}, fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	if err := h.prog.Run(); err != nil {
		return Stats{}, err
	}
	return scored(h.loss, h.logits, h.y.I32), nil
}

// scored are the statistics of a batch with the given mean loss, logits [rows, classes] and labels [rows].
func scored(loss, logits *engine.Tensor, labels []int32) Stats {
	s := Stats{N: len(labels), LossSum: float64(loss.Scalar()) * float64(len(labels))}
	classes := logits.Cols()
	for i, label := range labels {
		if int32(argmax(logits.F32[i*classes:(i+1)*classes])) == label {
			s.Correct++
		}
	}
	return s
}

// argmax is the index of the largest element, the first of equals.
func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
