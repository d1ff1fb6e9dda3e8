package labs

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// AutoencoderExperiment is the name of the autoencoder in records.
const AutoencoderExperiment = "lab4/autoencoder"

// AutoencoderResult is what result.json holds of an autoencoder's training.
type AutoencoderResult struct {
	Test              TestError    `json:"test"`       // of the epoch with the smallest validation loss; touched once
	BestEpoch         int          `json:"best_epoch"` // 1-based
	Val               run.Measure  `json:"val"`        // of the best epoch
	LastVal           run.Measure  `json:"last_val"`   // of the last epoch
	Epochs            int          `json:"epochs"`
	Reason            train.Reason `json:"reason"`
	WallSeconds       float64      `json:"wall_seconds"` // training and validation, all processes of the run
	Params            int          `json:"params"`       // the decoder's: all that was trained
	MACs              int          `json:"macs"`         // multiply-adds of reconstructing one image
	PeakBytes         int64        `json:"peak_bytes"`   // planned memory of a training step's intermediates and gradients
	WeightsSHA256     string       `json:"weights_sha256"`
	LastWeightsSHA256 string       `json:"last_weights_sha256"`
	Encoder           Frozen       `json:"encoder"`
	Examples          Examples     `json:"examples"`

	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // where train.grad_norms asks for them
	Note      string          `json:"note,omitempty"`
}

// TestError is the mean squared error on the test set, of values in [0,1], with its 95 % interval: the
// mean's normal one, over images.
type TestError struct {
	N    int        `json:"n"`
	MSE  float64    `json:"mse"`
	CI95 [2]float64 `json:"ci95"`
}

// Frozen is the encoder as it was after the training.
type Frozen struct {
	Network       string `json:"network"`
	Source        string `json:"source"`
	Params        int    `json:"params"`
	WeightsSHA256 string `json:"weights_sha256"` // of the classifier it is of, head and all
	Unchanged     bool   `json:"unchanged"`      // bit by bit
}

// Examples are test images, the first of each class, with their reconstructions before and after training.
type Examples struct {
	// Pictures is a PNG with three rows of the images side by side: as they are, reconstructed by the
	// decoder before training and after it, cut to [0,1].
	Pictures run.Attachment `json:"pictures"`
	Images   []Example      `json:"images"`
}

// Example is one of the images.
type Example struct {
	Class     string  `json:"class"`
	MSEBefore float64 `json:"mse_before"`
	MSE       float64 `json:"mse"`
}

// reconstructionsName is the file of the Examples.
const reconstructionsName = "reconstructions.png"

// maxExamples bounds them.
const maxExamples = 10

// AutoencoderStudy trains a decoder of the encoder's features for every configuration: data, split, frozen
// encoder and new decoder, training, the best epoch's weights on the test set once, record and figures. It
// stops at the first that is interrupted or runs out of time (its Reason says so).
func AutoencoderStudy(ctx context.Context, encoder *Network, cfgs []config.Autoencoder, opt Options, each func(Trained)) ([]Trained, error) {
	ds, err := loadData(ctx, cfgs[0].Data, opt)
	if err != nil {
		return nil, err
	}
	if err := sameData(encoder, ds); err != nil {
		return nil, err
	}
	opt.Say("encoder: %s of %s, frozen; test accuracy of its classifier %.2f %%", encoder.Name, encoder.Source, 100*encoder.Result.Test.Accuracy)
	shared := budget{opt.MaxTime, time.Now()}
	var all []Trained
	for _, cfg := range cfgs {
		opt.MaxTime = shared.left()
		t, err := start(ctx, imageMaterial{ds}, autoencoderTraining(cfg, encoder), opt)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if !t.Done() {
			break
		}
		each(t)
	}
	return all, nil
}

// FindEncoder loads the classifier that cfg names, which must have the weights and be the network that cfg
// says, where it does.
func FindEncoder(root string, cfg config.Autoencoder) (*Network, error) {
	n, err := FindNetwork(root, cfg.Encoder.From)
	if err != nil {
		return nil, fmt.Errorf("the encoder: %w", err)
	}
	if w := cfg.Encoder.Weights; w != "" && w != n.Weights {
		return nil, fmt.Errorf("the encoder %s has weights with fingerprint %.12s…, wanted are %.12s… (encoder.weights); make the original encoder available again", n.Source, n.Weights, w)
	}
	if m := cfg.Encoder.Model; m != (config.Model{}) && m != n.Config.Model {
		return nil, fmt.Errorf("the encoder %s is %+v, wanted is %+v (encoder.model); leave that out: it follows from the encoder", n.Source, n.Config.Model, m)
	}
	g := nn.NewGraph(nn.NewParams(0))
	if (model.AutoEncoder{Encoder: n.Model}).Reconstruct(g, g.Input("x", append([]int{1}, n.row()...)...)); g.Err() != nil {
		return nil, fmt.Errorf("the encoder %s: %w; name a convolutional network", n.Source, g.Err())
	}
	return n, nil
}

// sameData says whether the encoder was trained on ds.
func sameData(encoder *Network, ds *data.Dataset) error {
	if encoder.Data.Fingerprint != ds.Fingerprint {
		return fmt.Errorf("the encoder %s was trained on %s with fingerprint %.12s…, the decoder's data is %s with %.12s…; train both on the same data", encoder.Source, encoder.Data.Name, encoder.Data.Fingerprint, ds.Name, ds.Fingerprint)
	}
	return nil
}

// AutoencoderSettings are cfg with what a run records of its encoder.
func AutoencoderSettings(cfg config.Autoencoder, encoder *Network) config.Autoencoder {
	cfg.Encoder.Model, cfg.Encoder.Weights = encoder.Config.Model, encoder.Weights
	return cfg
}

func autoencoderTraining(cfg config.Autoencoder, encoder *Network) training {
	return training{experiment: AutoencoderExperiment, variant: AutoencoderVariant(encoder), settings: AutoencoderSettings(cfg, encoder), cfg: cfg.Training(), encoder: encoder}
}

// resumeAutoencoder continues the run of rec.
func resumeAutoencoder(ctx context.Context, rec run.Record, opt Options) (Trained, error) {
	cfg, err := autoencoderConfig(rec)
	if err != nil {
		return Trained{}, err
	}
	encoder, err := FindEncoder(opt.Root, cfg)
	if err != nil {
		return Trained{}, err
	}
	ds, err := dataOf(ctx, rec, cfg.Data, opt)
	if err != nil {
		return Trained{}, err
	}
	if err := sameData(encoder, ds); err != nil {
		return Trained{}, err
	}
	r, err := opt.takeOver(rec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, imageMaterial{ds}, autoencoderTraining(cfg, encoder), opt)
}

func autoencoderConfig(rec run.Record) (config.Autoencoder, error) {
	cfg := config.DefaultAutoencoder(rec.Env.Data.Name)
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// decoder is the learner of a decoder over a frozen encoder.
type decoder struct {
	encoder   *Network
	frozen    []weights.Tensor // the encoder's part of the state, head and all
	params    *nn.Params
	net       *train.Autoencoder
	optimizer optim.Optimizer
	schedule  optim.Schedule
	initial   []weights.Tensor // a copy of the state before training
}

// newDecoder makes the autoencoder: the classifier's parameters, frozen, and a decoder's, drawn from the seed.
func newDecoder(cfg config.Resnet, encoder *Network, steps int) (*decoder, error) {
	setConv(cfg.Train)
	d := &decoder{encoder: encoder, params: nn.NewParams(cfg.Seed)}
	if err := define(d.params, encoder.Model, encoder.Images); err != nil {
		return nil, err
	}
	d.frozen = stateOf(d.params)
	if err := weights.Copy(d.frozen, encoder.state()); err != nil {
		return nil, err
	}
	var err error
	if d.net, err = train.NewAutoencoder(model.AutoEncoder{Encoder: encoder.Model}, d.params, encoder.row(), cfg.Train.BatchSize, evalBatch); err != nil {
		return nil, err
	}
	for _, t := range d.net.State() {
		t.Data = slices.Clone(t.Data)
		d.initial = append(d.initial, t)
	}
	d.optimizer, d.schedule, err = optimise(cfg.Train, d.net.Params(), steps)
	return d, err
}

func (d *decoder) job() train.Job {
	return train.Job{Program: d.net, Optimizer: d.optimizer, Schedule: d.schedule}
}

func (d *decoder) steps() *engine.Program { return d.net.Train() }

func (d *decoder) macs() int { return d.net.Eval().MACs() / evalBatch }

// conclude is the test of an autoencoder, and the proof that its encoder is still the classifier's.
func (d *decoder) conclude(ctx context.Context, e ended, t *Trained) (any, error) {
	live := d.net.State()
	frozen := Frozen{Network: d.encoder.Name, Source: d.encoder.Source, Params: d.encoder.Params.Count(), WeightsSHA256: weights.Fingerprint(d.frozen)}
	if frozen.Unchanged = frozen.WeightsSHA256 == d.encoder.Weights; !frozen.Unchanged {
		return nil, fmt.Errorf("self-check: the encoder's weights changed in training, from fingerprint %.12s… to %.12s…", d.encoder.Weights, frozen.WeightsSHA256)
	}
	test, err := d.test(ctx, e)
	if err != nil {
		return nil, err
	}
	res := &AutoencoderResult{
		Test: test, BestEpoch: e.BestEpoch, Val: measured(e.BestVal), LastVal: measured(e.LastVal),
		Epochs: e.Epochs, Reason: e.Reason, WallSeconds: e.Seconds,
		Params: d.params.Count(), MACs: d.macs(), PeakBytes: d.net.Train().PeakBytes(),
		WeightsSHA256: weights.Fingerprint(live), LastWeightsSHA256: e.last, Encoder: frozen, Note: noteOf(e.data),
	}
	if res.Examples, err = d.examples(e); err != nil {
		return nil, err
	}
	if res.GradNorms, err = attachGradNorms(e); err != nil {
		return nil, err
	}
	t.Autoencoder = res
	return res, nil
}

// test is the mean squared error on the test set.
func (d *decoder) test(ctx context.Context, e ended) (TestError, error) {
	all := make([]float64, 0, len(e.test.Index))
	stats, err := train.EvaluateEach(ctx, d.net, data.NewLoader(e.test, evalBatch, false, 0), e.sink, func() {
		for _, v := range d.net.Errors() {
			all = append(all, float64(v))
		}
	})
	if err != nil {
		return TestError{}, err
	}
	return TestError{N: stats.N, MSE: stats.Loss(), CI95: errorInterval(all)}, nil
}

// errorInterval is the 95 % interval of the mean of squared errors of pixel values from 0 to 1, by the normal
// distribution and within what there can be. Of a single one nothing is known of the spread: 0 to 1.
func errorInterval(all []float64) [2]float64 {
	mean, sd := metrics.MeanStd(all)
	if math.IsNaN(sd) {
		return [2]float64{0, 1}
	}
	half := 1.959964 * sd / math.Sqrt(float64(len(all)))
	return [2]float64{max(0, mean-half), min(1, mean+half)}
}

// examples reconstructs the first test image of each class as the decoder did before training, which
// follows from the seed, and as it does now.
func (d *decoder) examples(e ended) (Examples, error) {
	set := e.test.Set
	some := data.Subset{Set: set}
	var ex Examples
	for class := range min(len(set.Classes), maxExamples) {
		if i := slices.IndexFunc(e.test.Index, func(i int32) bool { return int(set.Labels[i]) == class }); i >= 0 {
			some.Index = append(some.Index, e.test.Index[i])
			ex.Images = append(ex.Images, Example{Class: set.Classes[class]})
		}
	}
	n, px := len(some.Index), set.H*set.W*set.C
	rows := make([][]uint8, 3) // of pictures
	for _, i := range some.Index {
		rows[0] = append(rows[0], set.Pixels[int(i)*px:][:px]...)
	}
	live := d.net.State()
	now := make([]weights.Tensor, len(live))
	for i, t := range live {
		t.Data = slices.Clone(t.Data)
		now[i] = t
	}
	loader := data.NewLoader(some, n, false, 0)
	for after, state := range [][]weights.Tensor{d.initial, now} {
		if err := weights.Copy(live, state); err != nil {
			return ex, err
		}
		var b data.Batch
		b.X, b.Y = d.net.EvalBuffers()
		loader.Batch(0, 0, &b)
		if _, err := d.net.EvalStep(n); err != nil {
			return ex, err
		}
		for i, v := range d.net.Errors() {
			if after == 0 {
				ex.Images[i].MSEBefore = float64(v)
			} else {
				ex.Images[i].MSE = float64(v)
			}
		}
		for _, v := range d.net.Images() {
			rows[after+1] = append(rows[after+1], uint8(math.Round(255*float64(max(0, min(1, v))))))
		}
	}
	if err := weights.Copy(live, now); err != nil {
		return ex, err
	}
	b, err := pictureSheet(rows, n, set.H, set.W, set.C)
	if err != nil {
		return ex, err
	}
	ex.Pictures, err = e.run.Attach(reconstructionsName, b)
	return ex, err
}

// pictureSheet is a PNG of rows of n pictures [h, w, c] side by side.
func pictureSheet(rows [][]uint8, n, h, w, c int) ([]byte, error) {
	img := image.NewNRGBA(image.Rect(0, 0, n*w, len(rows)*h))
	for r, pictures := range rows {
		for at := range n * h * w {
			x, y := at%w, at/w%h
			to := img.Pix[img.PixOffset(at/(h*w)*w+x, r*h+y):][:4]
			px := pictures[at*c:][:c]
			to[0], to[1], to[2], to[3] = px[0], px[c/2], px[c-1], 0xff // grey: three times the same
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// AutoencoderCost is CostOf of the training of a decoder of the encoder's features.
func AutoencoderCost(encoder *Network, cfg config.Autoencoder) (Cost, error) {
	return costOf(cfg.Training(), func(_ data.Description, steps int) (learner, Cost, error) {
		d, err := newDecoder(cfg.Training(), encoder, steps)
		if err != nil {
			return nil, Cost{}, err
		}
		return d, Cost{Params: d.params.Count(), MACs: d.macs(), PeakBytes: d.net.Train().PeakBytes(), TrainFLOPs: 2 * float64(d.net.Train().MACs()) / float64(cfg.Train.BatchSize)}, nil
	})
}

// AutoencoderVariant is the name in records of an autoencoder over the encoder.
func AutoencoderVariant(encoder *Network) string {
	return model.AutoEncoder{Encoder: encoder.Model}.Name()
}

// Autoencoder is a trained one: a run's best weights, or a checkpoint that ships.
type Autoencoder struct {
	Name    string // of the variant
	Source  string // run id or folder
	Model   model.AutoEncoder
	Params  *nn.Params       // the encoder's with its classifier's head, then the decoder's
	Weights string           // their fingerprint
	Encoder string           // fingerprint of the classifier whose features are decoded
	Data    run.DataInfo     // what it was trained on
	Images  data.Description // of that set
	Result  AutoencoderResult
}

// FindAutoencoder loads the trained autoencoder that from names: a checkpoint's folder, the name of one
// under checkpoints/, or the id of a finished run under root. Weights that are not those of its record, of
// the encoder or of the decoder, are an error.
func FindAutoencoder(root, from string) (*Autoencoder, error) {
	k, err := findKept(root, from)
	if err != nil {
		return nil, err
	}
	return restoreAutoencoder(k)
}

func restoreAutoencoder(k keptWeights) (*Autoencoder, error) {
	if k.Experiment != AutoencoderExperiment {
		return nil, fmt.Errorf("%s was made by experiment %q; wanted is an autoencoder, as `dla lab4 autoencoder` makes it", k.source, k.Experiment)
	}
	cfg, err := autoencoderConfig(k.Record)
	if err != nil {
		return nil, k.unloadable(err)
	}
	a := &Autoencoder{Source: k.source, Params: nn.NewParams(0), Data: k.Env.Data}
	if a.Images, err = data.Describe(a.Data.Name); err != nil {
		return nil, k.unloadable(err)
	}
	if err := readResult(k.Record, &a.Result); err != nil {
		return nil, k.unloadable(err)
	}
	if err := k.mayHold(cfg.Encoder.Model); err != nil {
		return nil, k.unloadable(err)
	}
	if a.Model.Encoder, err = network(cfg.Encoder.Model, a.Images.C); err != nil {
		return nil, k.unloadable(err)
	}
	a.Name = a.Model.Name()
	err = define(a.Params, a.Model.Encoder, a.Images)
	encoder := stateOf(a.Params)
	g := nn.NewGraph(a.Params)
	if err == nil {
		a.Model.Reconstruct(g, g.Input("x", append([]int{1}, a.row()...)...))
		err = g.Err()
	}
	state := stateOf(a.Params)
	if err == nil {
		err = weights.Copy(state, k.file.Tensors)
	}
	if err != nil {
		return nil, k.unloadable(err)
	}
	a.Weights, a.Encoder = weights.Fingerprint(state), weights.Fingerprint(encoder)
	if want := a.Result.WeightsSHA256; a.Weights != want {
		return nil, k.unloadable(fmt.Errorf("the weights are not those of the run's result: fingerprint %.12s…, not %.12s…", a.Weights, want))
	}
	if want := a.Result.Encoder.WeightsSHA256; a.Encoder != want {
		return nil, k.unloadable(fmt.Errorf("the encoder's weights are not those of the run's result: fingerprint %.12s…, not %.12s…", a.Encoder, want))
	}
	return a, nil
}

// row is the shape of an image as the network takes it.
func (a *Autoencoder) row() []int { return a.Model.Encoder.Input(a.Images.H, a.Images.W, a.Images.C) }

// Reconstructor compiles the autoencoder for batches of up to rows images.
func (a *Autoencoder) Reconstructor(rows int) (*train.Reconstructor, error) {
	return train.NewReconstructor(a.Model, a.Params, a.row(), rows)
}
