package train

import (
	"context"
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/nn"
	"dla/internal/rng"
)

// Robust is a Classifier that is trained to withstand attacks and to be sure of nothing that is in none of
// its classes. Of the images of each batch some are attacked, on the weights and running statistics of the
// moment and as in evaluation, and keep their labels; after them come outliers, by nn.OutlierExposure.
//
// All rows of a batch make one forward pass, so batch normalisation takes the statistics of images, attacked
// images and outliers together, as in the reference implementation of Hendrycks et al. 2019
// (https://github.com/hendrycks/outlier-exposure). In evaluation all of them meet one set of running
// statistics, and so they must in training: outliers normalised by statistics of their own would look like
// images, and what tells them apart, their mean and variance, would never reach the loss.
//
// Which images are attacked and which outliers come is drawn anew in each step, by (seed, epoch, step) alone.
type Robust struct {
	*Classifier
	h        Hardening
	px       int
	target   *attack.Target // nil: no image is attacked
	attack   attack.Attack  // of epoch
	epoch    int            // -1: none yet
	order    []int32        // of a batch's rows
	original attack.Batch   // those to be attacked, at full size
	changed  []float32
}

// Hardening says how a Robust is trained.
type Hardening struct {
	Seed      uint64
	Smoothing float64 // of the labels

	Attack   func(epoch int) attack.Attack // that of an epoch, from 0
	Fraction float64                       // of a batch's images that are attacked; 0: none

	Outliers []data.Subset // drawn from in turn, with replacement
	Share    float64       // outliers in a batch, for each of its images; 0: none
	Weight   float64       // of their part of the loss
}

// attackRows is how many images the validation attacks at once.
const attackRows = 50

// NewRobust is NewClassifier for a training as h says.
func NewRobust(arch nn.Architecture, p *nn.Params, rowShape []int, classes, batch, evalBatch int, h Hardening) (*Robust, error) {
	r := &Robust{h: h, px: 1, epoch: -1}
	for _, d := range rowShape {
		r.px *= d
	}
	if h.Share > 0 && len(h.Outliers) == 0 {
		return nil, fmt.Errorf("outliers are wanted in each batch and there are none")
	}
	for _, o := range h.Outliers {
		if n := o.Set.H * o.Set.W * o.Set.C; n != r.px || len(o.Index) == 0 {
			return nil, fmt.Errorf("a set of %d outliers of %d values, where images of %d are wanted", len(o.Index), n, r.px)
		}
	}
	var err error
	r.Classifier, err = newClassifier(arch, p, rowShape, classes, batch, part(h.Share, batch), evalBatch, func(g *nn.Graph, logits, y *G.Node) *G.Node {
		return nn.OutlierExposure(g, logits, y, h.Weight, h.Smoothing)
	})
	if err != nil || h.Fraction == 0 {
		return r, err
	}
	rows := max(part(h.Fraction, batch), attackRows)
	r.order, r.changed = make([]int32, batch), make([]float32, rows*r.px)
	r.original = attack.Batch{X: make([]float32, rows*r.px), Y: make([]int32, rows), Index: make([]int32, rows)}
	r.target, err = attack.NewTarget(arch, p, rowShape, classes, rows)
	return r, err
}

// part is share of n, to the nearest whole number.
func part(share float64, n int) int { return int(math.Round(share * float64(n))) }

// TrainStep attacks some images of the batch and puts outliers after them, and is then a Classifier's.
func (r *Robust) TrainStep(epoch, step, samples int) (Stats, error) {
	if err := r.prepare(epoch, step, samples); err != nil {
		return Stats{}, err
	}
	return r.Classifier.TrainStep(epoch, step, samples)
}

// prepare attacks some images of the batch, and puts outliers after them.
func (r *Robust) prepare(epoch, step, samples int) error {
	b := r.TrainBatch()
	b.Rows = samples
	if err := r.attackSome(b, epoch, step); err != nil {
		return err
	}
	r.train.unlabelled = part(r.h.Share, b.Rows)
	draw := rng.New(r.h.Seed, "outliers", uint64(epoch), uint64(step))
	for i := range r.train.unlabelled {
		o := r.h.Outliers[i%len(r.h.Outliers)]
		at := int(o.Index[draw.IntN(len(o.Index))])
		kernel.BytesToFloats(b.X[(b.Rows+i)*r.px:(b.Rows+i+1)*r.px], o.Set.Pixels[at*r.px:(at+1)*r.px])
	}
	return nil
}

// attackSome attacks a part of b's images.
func (r *Robust) attackSome(b *data.Batch, epoch, step int) error {
	n := part(r.h.Fraction, b.Rows)
	if n == 0 {
		return nil
	}
	draw := rng.New(r.h.Seed, "attacked", uint64(epoch), uint64(step))
	order := r.order[:b.Rows]
	draw.Perm(order)
	some := attack.Batch{X: r.original.X[:n*r.px], Y: r.original.Y[:n], Index: r.original.Index[:n]}
	for i, row := range order[:n] {
		copy(some.X[i*r.px:(i+1)*r.px], r.image(b.X, int(row)))
		some.Y[i], some.Index[i] = b.Y[row], b.Index[row]
	}
	if err := r.run(epoch, some); err != nil {
		return err
	}
	for i, row := range order[:n] {
		copy(r.image(b.X, int(row)), r.changed[i*r.px:(i+1)*r.px])
	}
	return nil
}

func (r *Robust) image(x []float32, row int) []float32 { return x[row*r.px : (row+1)*r.px] }

// run attacks b as in an epoch; the images are then in r.changed.
func (r *Robust) run(epoch int, b attack.Batch) error {
	if epoch != r.epoch {
		r.attack, r.epoch = r.h.Attack(epoch), epoch
	}
	if err := r.attack.Run(context.Background(), r.target, b, r.changed); err != nil {
		return fmt.Errorf("attacking %d images of the batch: %w", len(b.Y), err)
	}
	return nil
}

// EvalStep evaluates the first rows samples of EvalBatch twice, as they are and attacked as in the first
// epoch of training: loss and accuracy are means of the two. So validation selects an epoch by both, not by
// the one that hardening costs. Where training attacks none, neither does this.
func (r *Robust) EvalStep(rows int) (Stats, error) {
	s, err := r.Scorer.EvalStep(rows)
	if err != nil || r.target == nil {
		return s, err
	}
	x, y := r.EvalBatch().X, r.EvalBatch().Y
	for at := 0; at < rows; at += attackRows {
		n := min(attackRows, rows-at)
		b := attack.Batch{X: x[at*r.px : (at+n)*r.px], Y: y[at : at+n], Index: r.original.Index[:n]}
		for i := range b.Index {
			b.Index[i] = int32(at + i)
		}
		if err := r.run(0, b); err != nil {
			return s, err
		}
		copy(b.X, r.changed)
	}
	attacked, err := r.Scorer.EvalStep(rows)
	s.Add(attacked)
	return s, err
}
