package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/engine"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/weights"
)

// Reconstruction builds images of the shape of x [rows, …] from x.
type Reconstruction interface {
	Reconstruct(g *nn.Graph, x *G.Node) *G.Node
}

// Reconstructor evaluates a Reconstruction: images and the error of each, without a training graph.
type Reconstructor struct {
	state  []weights.Tensor
	prog   *engine.Program
	x      pixels
	images *engine.Tensor
	errors *engine.Tensor // of each image
	labels []int32        // where a batch's go; nobody asks for them
}

// pixels is the input of a graph.
type pixels struct {
	*engine.Tensor
	full  int // its capacity
	shape []int
}

func newPixels(t *engine.Tensor, rowShape []int) pixels {
	return pixels{t, len(t.F32), append([]int{0}, rowShape...)}
}

// setRows makes the first rows images count.
func (p *pixels) setRows(rows int) error {
	p.shape[0] = rows
	if err := p.Resize(p.shape...); err != nil {
		return fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	return nil
}

// NewReconstructor builds and compiles the evaluation graph over p, for batches of up to rows rows of shape
// rowShape.
func NewReconstructor(arch Reconstruction, p *nn.Params, rowShape []int, rows int) (*Reconstructor, error) {
	g := nn.NewGraph(p)
	x := g.Input("x", append([]int{rows}, rowShape...)...)
	y := arch.Reconstruct(g, x)
	errors := nn.SquaredErrors(g, y, x)
	if g.Err() != nil {
		return nil, g.Err()
	}
	prog, err := engine.Compile(g.ExprGraph, errors, y)
	if err != nil {
		return nil, fmt.Errorf("compiling the evaluation graph: %w", err)
	}
	r := &Reconstructor{prog: prog, x: newPixels(prog.Read(x), rowShape), images: prog.Read(y), errors: prog.Read(errors), labels: make([]int32, rows)}
	for _, q := range p.List() {
		r.state = append(r.state, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return r, nil
}

// State is the weights and the running statistics, the encoder's first.
func (r *Reconstructor) State() []weights.Tensor { return r.state }

// EvalBuffers are where a batch of images goes, at full size. Labels are not looked at.
func (r *Reconstructor) EvalBuffers() ([]float32, []int32) { return r.x.F32[:r.x.full], r.labels }

// EvalStep reconstructs the first rows images of EvalBuffers. The loss is the mean of their squared errors.
func (r *Reconstructor) EvalStep(rows int) (Stats, error) {
	s := Stats{N: rows, NoAccuracy: true}
	if err := r.x.setRows(rows); err != nil {
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

// Images are the reconstructions [rows, …] of the last EvalStep, good until the next. Their values may lie
// outside [0, 1].
func (r *Reconstructor) Images() []float32 { return r.images.F32 }

// Errors is the mean squared error [rows] of each image of the last EvalStep, good until the next.
func (r *Reconstructor) Errors() []float32 { return r.errors.F32 }

// Eval is the compiled evaluation graph.
func (r *Reconstructor) Eval() *engine.Program { return r.prog }

// Autoencoder is the Program of a Reconstruction trained by the mean squared error. What of its parameters
// is frozen runs as in an evaluation, and nothing is computed for it but what it gives.
type Autoencoder struct {
	*Reconstructor
	params []optim.Param
	prog   *engine.Program
	x      pixels
	loss   *engine.Tensor
	labels []int32
}

// NewAutoencoder builds and compiles the training graph for batches of up to batch rows of shape rowShape
// and the evaluation graph for up to evalBatch rows, over one set of parameters: those that p holds already
// are the encoder's and are frozen.
func NewAutoencoder(arch Reconstruction, p *nn.Params, rowShape []int, batch, evalBatch int) (*Autoencoder, error) {
	p.Freeze()
	g := nn.NewGraph(p) // the encoder keeps its running statistics, and the decoder has none
	x := g.Input("x", append([]int{batch}, rowShape...)...)
	loss := nn.MSE(g, arch.Reconstruct(g, x), x)
	grads, err := g.Gradients(loss)
	if err != nil {
		return nil, err
	}
	prog, err := engine.Compile(g.ExprGraph, append([]*G.Node{loss}, grads...)...)
	if err != nil {
		return nil, fmt.Errorf("compiling the training graph: %w", err)
	}
	a := &Autoencoder{prog: prog, x: newPixels(prog.Read(x), rowShape), loss: prog.Read(loss), labels: make([]int32, batch)}
	for i, q := range p.Trained() {
		a.params = append(a.params, optim.Param{Name: q.Name, Shape: q.Shape, Value: q.Data, Grad: prog.Read(grads[i]).F32})
	}
	a.Reconstructor, err = NewReconstructor(arch, p, rowShape, evalBatch)
	return a, err
}

// Params are the decoder's parameters and their gradients.
func (a *Autoencoder) Params() []optim.Param { return a.params }

// TrainBuffers are where a batch of images goes, at full size. Labels are not looked at.
func (a *Autoencoder) TrainBuffers() ([]float32, []int32) { return a.x.F32[:a.x.full], a.labels }

// TrainStep computes loss and gradients of the first rows images of TrainBuffers.
func (a *Autoencoder) TrainStep(rows int) (Stats, error) {
	s := Stats{N: rows, NoAccuracy: true}
	if err := a.x.setRows(rows); err != nil {
		return s, err
	}
	if err := a.prog.Run(); err != nil {
		return s, err
	}
	s.LossSum = float64(a.loss.Scalar()) * float64(rows)
	return s, nil
}

// Train is the compiled training graph, for those who time it.
func (a *Autoencoder) Train() *engine.Program { return a.prog }
