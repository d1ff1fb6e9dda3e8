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

// Robust is a Classifier in adversarial training with outlier exposure. A fraction of each batch is attacked, in
// evaluation mode with the current weights and running statistics, and keeps its labels; outliers follow the images,
// with the loss of nn.OutlierExposure.
//
// All rows of a batch share one forward pass, so batch normalisation computes its statistics over images, attacked
// images and outliers together, as the reference implementation of Hendrycks et al. 2019 does
// (https://github.com/hendrycks/outlier-exposure). Evaluation normalises all of them by one set of running statistics,
// so training must too: outliers normalised by their own statistics would look like images, and the mean and variance
// that distinguish them would never reach the loss.
//
// The attacked images and the outliers of a step depend on (seed, epoch, step) alone.
type Robust struct {
	*Classifier
	h        RobustConfig
	px       int
	target   *attack.Target // nil: no image is attacked
	attack   attack.Attack  // of epoch
	epoch    int            // -1: none yet
	order    []int32        // of a batch's rows
	original attack.Batch   // the images to attack, at full size
	changed  []float32
}

// RobustConfig holds the settings of a Robust.
type RobustConfig struct {
	Seed      uint64
	Smoothing float64 // label smoothing

	Attack   func(epoch int) attack.Attack // the attack of an epoch, from 0
	Fraction float64                       // of a batch's images to attack; 0: none

	Outliers []data.Subset // sets to draw from in turn, with replacement
	Share    float64       // outliers per image of a batch; 0: none
	Weight   float64       // of the outlier term of the loss
}

// attackRows is the number of images that validation attacks at once.
const attackRows = 50

// NewRobust is NewClassifier for adversarial training with the settings h.
func NewRobust(arch nn.Architecture, p *nn.Params, rowShape []int, classes, batch, evalBatch int,
	h RobustConfig) (*Robust, error) {
	r := &Robust{h: h, px: 1, epoch: -1}
	for _, d := range rowShape {
		r.px *= d
	}
	if h.Share > 0 && len(h.Outliers) == 0 {
		return nil, fmt.Errorf("the share of outliers is above 0, and there is no set of outliers")
	}
	for _, o := range h.Outliers {
		if n := o.Set.H * o.Set.W * o.Set.C; n != r.px || len(o.Index) == 0 {
			return nil, fmt.Errorf("a set has %d outliers of %d values; want at least 1 of %d values", len(o.Index), n,
				r.px)
		}
	}
	var err error
	r.Classifier, err = newClassifier(arch, p, rowShape, classes, batch, round(h.Share, batch), evalBatch,
		func(g *nn.Graph, logits, y *G.Node) *G.Node {
			return nn.OutlierExposure(g, logits, y, h.Weight, h.Smoothing)
		})
	if err != nil || h.Fraction == 0 {
		return r, err
	}
	rows := max(round(h.Fraction, batch), attackRows)
	r.order, r.changed = make([]int32, batch), make([]float32, rows*r.px)
	r.original = attack.Batch{X: make([]float32, rows*r.px), Y: make([]int32, rows), Index: make([]int32, rows)}
	r.target, err = attack.NewTarget(arch, p, rowShape, classes, rows)
	return r, err
}

// round returns share*n, rounded to the nearest integer.
func round(share float64, n int) int { return int(math.Round(share * float64(n))) }

// TrainStep attacks a fraction of the batch, appends outliers and takes the training step of a Classifier.
func (r *Robust) TrainStep(epoch, step, samples int) (Stats, error) {
	if err := r.prepare(epoch, step, samples); err != nil {
		return Stats{}, err
	}
	return r.Classifier.TrainStep(epoch, step, samples)
}

// prepare attacks a fraction of the batch and appends outliers.
func (r *Robust) prepare(epoch, step, samples int) error {
	b := r.TrainBatch()
	b.Rows = samples
	if err := r.attackSome(b, epoch, step); err != nil {
		return err
	}
	r.train.unlabelled = round(r.h.Share, b.Rows)
	draw := rng.New(r.h.Seed, "outliers", uint64(epoch), uint64(step))
	for i := range r.train.unlabelled {
		o := r.h.Outliers[i%len(r.h.Outliers)]
		at := int(o.Index[draw.IntN(len(o.Index))])
		kernel.BytesToFloats(b.X[(b.Rows+i)*r.px:(b.Rows+i+1)*r.px], o.Set.Pixels[at*r.px:(at+1)*r.px])
	}
	return nil
}

// attackSome attacks a fraction of b's images.
func (r *Robust) attackSome(b *data.Batch, epoch, step int) error {
	n := round(r.h.Fraction, b.Rows)
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

// run attacks b with the attack of an epoch and writes the images to r.changed.
func (r *Robust) run(epoch int, b attack.Batch) error {
	if epoch != r.epoch {
		r.attack, r.epoch = r.h.Attack(epoch), epoch
	}
	if err := r.attack.Run(context.Background(), r.target, b, r.changed); err != nil {
		return fmt.Errorf("attacking %d images of the batch: %w", len(b.Y), err)
	}
	return nil
}

// EvalStep evaluates the first rows samples of EvalBatch twice, unchanged and under the attack of the first epoch, and
// returns the statistics of both together. Validation thus selects an epoch by clean and robust accuracy, not by the
// clean accuracy that adversarial training costs. Without an attack in training, EvalStep evaluates the images once.
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
