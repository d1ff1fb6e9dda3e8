package train

import (
	G "gorgonia.org/gorgonia"

	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/weights"
)

// Reconstruction builds the reconstructions of the images x [rows, …], in their shape.
type Reconstruction interface {
	Reconstruct(g *nn.Graph, x *G.Node) *G.Node
}

// Reconstructor computes reconstructions and their errors, without a training graph.
type Reconstructor struct {
	state  []weights.Tensor
	prog   *nn.Program
	batch  data.Batch // over the graph's inputs, at full size; its labels are ignored
	images *engine.Tensor
	errors *engine.Tensor // of each image
}

// NewReconstructor builds and compiles the evaluation graph over p, for batches of up to rows rows of shape
// rowShape.
func NewReconstructor(arch Reconstruction, p *nn.Params, rowShape []int, rows int) (*Reconstructor, error) {
	g := nn.NewGraph(p)
	prog, read, err := nn.Compile(g, rowShape, rows, func(x *G.Node) ([]*G.Node, error) {
		y := arch.Reconstruct(g, x)
		return []*G.Node{nn.SquaredErrors(g, y, x), y}, nil
	})
	if err != nil {
		return nil, err
	}
	r := &Reconstructor{prog: prog, errors: read[0], images: read[1],
		batch: data.Batch{X: prog.Inputs(), Y: make([]int32, rows)}}
	for _, q := range p.List() {
		r.state = append(r.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return r, nil
}

// State returns the weights and the running statistics, those of the encoder first.
func (r *Reconstructor) State() []weights.Tensor { return r.state }

// EvalBatch returns the buffer that EvalStep reads a batch of images from, at full size. Labels are ignored.
func (r *Reconstructor) EvalBatch() *data.Batch { return &r.batch }

// Batches feeds the batches of l to EvalStep.
func (r *Reconstructor) Batches(l Loader) Batches { return rows{l, &r.batch} }

// EvalStep reconstructs the first rows images of EvalBatch. The loss is their mean squared error.
func (r *Reconstructor) EvalStep(rows int) (Stats, error) {
	s := Stats{N: rows, NoAccuracy: true}
	if err := r.prog.Resize(rows); err != nil {
		return s, err
	}
	if err := r.prog.Run(); err != nil {
		return s, err
	}
	for _, e := range r.errors.F32 {
		s.LossSum += float64(e)
	}
	return s, nil
}

// Images returns the reconstructions [rows, …] of the last EvalStep, valid until the next. Their values may lie
// outside [0, 1].
func (r *Reconstructor) Images() []float32 { return r.images.F32 }

// Errors returns the mean squared error [rows] of each image of the last EvalStep, valid until the next.
func (r *Reconstructor) Errors() []float32 { return r.errors.F32 }

// Eval returns the compiled evaluation graph.
func (r *Reconstructor) Eval() *engine.Program { return r.prog.Program }

// Autoencoder is the Program of a Reconstruction trained on the mean squared error. Frozen layers run as in an
// evaluation: they get no gradient and update no running statistics.
type Autoencoder struct {
	*Reconstructor
	params []optim.Param
	prog   *nn.Program
	train  data.Batch // over the training graph's inputs, at full size; its labels are ignored
	loss   *engine.Tensor
}

// NewAutoencoder builds and compiles the training graph for batches of up to batch rows of shape rowShape
// and the evaluation graph for up to evalBatch rows, over one set of parameters. The parameters that p already
// holds are the encoder's and are frozen.
func NewAutoencoder(arch Reconstruction, p *nn.Params, rowShape []int, batch, evalBatch int) (*Autoencoder, error) {
	p.Freeze()
	g := nn.NewGraph(p) // the encoder keeps its running statistics, and the decoder has none
	prog, read, err := nn.Compile(g, rowShape, batch, func(x *G.Node) ([]*G.Node, error) {
		loss := nn.MSE(g, arch.Reconstruct(g, x), x)
		grads, err := g.Gradients(loss)
		return append([]*G.Node{loss}, grads...), err
	})
	if err != nil {
		return nil, err
	}
	a := &Autoencoder{prog: prog, loss: read[0], train: data.Batch{X: prog.Inputs(), Y: make([]int32, batch)}}
	for i, q := range p.Trained() {
		a.params = append(a.params, trained(q, read[1+i]))
	}
	a.Reconstructor, err = NewReconstructor(arch, p, rowShape, evalBatch)
	return a, err
}

// Params returns the decoder's parameters and their gradients.
func (a *Autoencoder) Params() []optim.Param { return a.params }

// TrainBatch returns the buffer that TrainStep reads a batch from, at full size. Labels are ignored.
func (a *Autoencoder) TrainBatch() *data.Batch { return &a.train }

// TrainBatches feeds the batches of l to TrainStep.
func (a *Autoencoder) TrainBatches(l Loader) Batches { return rows{l, &a.train} }

// TrainStep computes loss and gradients of the first rows images of TrainBatch.
func (a *Autoencoder) TrainStep(_, _, rows int) (Stats, error) {
	s := Stats{N: rows, NoAccuracy: true}
	if err := a.prog.Resize(rows); err != nil {
		return s, err
	}
	if err := a.prog.Run(); err != nil {
		return s, err
	}
	s.LossSum = float64(a.loss.Scalar()) * float64(rows)
	return s, nil
}

// Train returns the compiled training graph, for timing.
func (a *Autoencoder) Train() *engine.Program { return a.prog.Program }
