package labs

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"slices"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/metrics"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// AutoencoderExperiment is the name of the experiment in records.
const AutoencoderExperiment = "lab4/autoencoder"

// reconstructionsName is the name of the file with record.Examples.
const reconstructionsName = "reconstructions.png"

// maxExamples bounds the number of examples.
const maxExamples = 10

// autoencoder trains a decoder on the frozen features of a classifier.
func autoencoder() Experiment {
	defaults := func() config.Autoencoder { return config.DefaultAutoencoder("") }
	e := newExperiment[config.Autoencoder, record.Autoencoder](AutoencoderExperiment, defaults, openAutoencoder,
		planAutoencoder)
	return checked(e, func(cfg config.Autoencoder, opt Options) error {
		_, err := findEncoder(cfg, opt)
		return err
	})
}

// openAutoencoder loads the frozen encoder and reads the data, which must be the encoder's training data.
func openAutoencoder(ctx context.Context, cfg config.Autoencoder, opt Options) (Job, error) {
	encoder, err := findEncoder(cfg, opt)
	if err != nil {
		return nil, err
	}
	ds, err := readImages(ctx, cfg.Data, opt)
	if err != nil {
		return nil, err
	}
	if encoder.Data.Fingerprint != ds.Fingerprint {
		return nil, fmt.Errorf("the encoder %s was trained on %s with fingerprint %.12s…, the decoder's data is %s "+
			"with %.12s…; train both on the same data", encoder.Source, encoder.Data.Name, encoder.Data.Fingerprint, ds.Name, ds.Fingerprint)
	}
	cfg.Data = adopted(cfg.Data, ds)
	t := autoencoderTraining(cfg, encoder)
	t.data = imagesInfo(ds)
	t.data.Mean, t.data.Std = encoder.Data.Mean, encoder.Data.Std
	t.build = func(context.Context, Options) (trainable, error) {
		b, err := newImageBatches(ds, t.cfg, t.cfg)
		if err != nil {
			return nil, err
		}
		d, err := newDecoder(t.cfg, encoder, b.train.Steps())
		if err != nil {
			b.close()
			return nil, err
		}
		d.imageBatches = b
		return d, nil
	}
	return t, nil
}

// autoencoderTraining returns the training of a decoder, without its data.
func autoencoderTraining(cfg config.Autoencoder, encoder *Network) *training {
	cfg.Encoder.Model, cfg.Encoder.Weights = encoder.Config.Model, encoder.Weights
	name := model.AutoEncoder{Encoder: encoder.Model}.Name()
	return &training{experiment: AutoencoderExperiment, variant: name, settings: cfg, cfg: cfg.Training()}
}

// findEncoder calls FindEncoder once for all runs of a study.
func findEncoder(cfg config.Autoencoder, opt Options) (*Network, error) {
	return once(opt, fmt.Sprintf("encoder %+v", cfg.Encoder), func() (*Network, error) {
		n, err := FindEncoder(opt.Root, cfg)
		if err == nil {
			opt.Say("encoder: %s of %s, frozen; test accuracy of its classifier %.2f %%", n.Name, n.Source,
				100*n.Result.Test.Accuracy)
		}
		return n, err
	})
}

// FindEncoder loads the classifier that cfg names. If cfg names weights or a network, others are an error.
func FindEncoder(root string, cfg config.Autoencoder) (*Network, error) {
	n, err := FindNetwork(root, cfg.Encoder.From)
	if err != nil {
		return nil, fmt.Errorf("the encoder: %w", err)
	}
	if w := cfg.Encoder.Weights; w != "" && w != n.Weights {
		return nil, fmt.Errorf("the encoder %s has weights with fingerprint %.12s…, want %.12s… (encoder.weights); "+
			"make the original encoder available again", n.Source, n.Weights, w)
	}
	if m := cfg.Encoder.Model; m != (config.Model{}) && m != n.Config.Model {
		return nil, fmt.Errorf("the encoder %s is %+v, want %+v (encoder.model); leave encoder.model out, since the "+
			"encoder determines it", n.Source, n.Config.Model, m)
	}
	g := nn.NewGraph(nn.NewParams(0))
	if (model.AutoEncoder{Encoder: n.Model}).Reconstruct(g, g.Input("x",
		append([]int{1}, n.row()...)...)); g.Err() != nil {
		return nil, fmt.Errorf("the encoder %s: %w; name a convolutional network whose features are 1/2, 1/4 or 1/8 of "+
			"the images' size, such as a ResNet of 32x32", n.Source, g.Err())
	}
	return n, nil
}

// decoder is a decoder in training on a frozen encoder.
type decoder struct {
	imageBatches
	encoder   *Network
	frozen    []weights.Tensor // the encoder's state, head included
	params    *nn.Params
	net       *train.Autoencoder
	optimizer optim.Optimizer
	schedule  optim.Schedule
	initial   []weights.Tensor // a copy of the state before training
}

// newDecoder makes the autoencoder from the classifier's frozen parameters and a decoder's, drawn from the seed.
func newDecoder(cfg config.Training, encoder *Network, steps int) (*decoder, error) {
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
	if d.net, err = train.NewAutoencoder(model.AutoEncoder{Encoder: encoder.Model}, d.params, encoder.row(),
		cfg.Train.BatchSize, evalBatch); err != nil {
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
	j := train.Job{Program: d.net, Optimizer: d.optimizer, Schedule: d.schedule}
	if d.imageBatches.train != nil {
		j.Train, j.Val = d.net.TrainBatches(d.imageBatches.train), d.net.Batches(d.val)
	}
	return j
}

func (d *decoder) graph() *engine.Program { return d.net.Train() }

func (d *decoder) macs() int { return d.net.Eval().MACs() / evalBatch }

// evaluate evaluates the autoencoder on the test set and checks that its encoder is unchanged.
func (d *decoder) evaluate(ctx context.Context, e finishedTraining) (record.Result, error) {
	live := d.net.State()
	frozen := record.Frozen{Network: d.encoder.Name, Source: d.encoder.Source, Params: d.encoder.Params.Count(),
		WeightsSHA256: weights.Fingerprint(d.frozen)}
	frozen.Unchanged = frozen.WeightsSHA256 == d.encoder.Weights
	test, err := d.squaredError(ctx, e)
	if err != nil {
		return nil, err
	}
	res := &record.Autoencoder{
		Test: test, BestEpoch: e.BestEpoch, Val: e.BestVal.Measure(), LastVal: e.LastVal.Measure(),
		Epochs: e.Epochs, Reason: string(e.Reason), WallSeconds: e.Seconds,
		Params: d.params.Count(), MACs: d.macs(), PeakBytes: d.net.Train().PeakBytes(),
		WeightsSHA256: weights.Fingerprint(live), LastWeightsSHA256: e.last, Encoder: frozen,
		Note: syntheticNote(d.set.Name, d.set.Synthetic),
	}
	if res.Examples, err = d.examples(e); err != nil {
		return nil, err
	}
	res.GradNorms, err = attachGradNorms(e)
	return res, err
}

// squaredError returns the mean squared error on the test set.
func (d *decoder) squaredError(ctx context.Context, e finishedTraining) (record.TestError, error) {
	all := make([]float64, 0, len(d.test.Index))
	stats, err := train.EvaluateEach(ctx, d.net, d.net.Batches(data.NewLoader(d.test, evalBatch, false, 0)), e.sink,
		func() {
			for _, v := range d.net.Errors() {
				all = append(all, float64(v))
			}
		})
	if err != nil {
		return record.TestError{}, err
	}
	return record.TestError{N: stats.N, MSE: stats.Loss(), CI95: errorInterval(all)}, nil
}

// errorInterval returns the normal 95 % interval of the mean of squared errors of pixel values from 0 to 1, clipped to
// [0,1]. A single error has an unknown spread and the interval [0,1].
func errorInterval(all []float64) [2]float64 {
	mean, sd := metrics.MeanStd(all)
	if math.IsNaN(sd) {
		return [2]float64{0, 1}
	}
	half := 1.959964 * sd / math.Sqrt(float64(len(all)))
	return [2]float64{max(0, mean-half), min(1, mean+half)}
}

// examples reconstructs the first test image of each class with the decoder before training, drawn again from the seed,
// and with the current one.
func (d *decoder) examples(e finishedTraining) (record.Examples, error) {
	set := d.test.Set
	some := data.Subset{Set: set}
	var ex record.Examples
	for class := range min(len(set.Classes), maxExamples) {
		if i := slices.IndexFunc(d.test.Index, func(i int32) bool { return int(set.Labels[i]) == class }); i >= 0 {
			some.Index = append(some.Index, d.test.Index[i])
			ex.Images = append(ex.Images, record.Example{Class: set.Classes[class]})
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
		if _, err := d.net.EvalStep(d.net.Batches(loader).Lay(0, 0)); err != nil {
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

// pictureSheet returns a PNG with rows of n pictures [h, w, c].
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

// planAutoencoder estimates the cost of training a decoder on the encoder's features.
func planAutoencoder(cfg config.Autoencoder, opt Options) (Plan, error) {
	encoder, err := findEncoder(cfg, opt)
	if err != nil {
		return Plan{}, err
	}
	t := autoencoderTraining(cfg, encoder)
	return Plan{Variant: t.variant, Seed: cfg.Seed, Config: t.settings, cost: func() (Cost, error) {
		return imagesCost(config.Model{}, t.cfg, opt, func(_ size, steps int) (trainable, TrainingCost, error) {
			d, err := newDecoder(t.cfg, encoder, steps)
			if err != nil {
				return nil, TrainingCost{}, err
			}
			graph := d.net.Train()
			return d, TrainingCost{Params: d.params.Count(), MACs: d.macs(), PeakBytes: graph.PeakBytes(),
				TrainFLOPs: 2 * float64(graph.MACs()) / float64(cfg.Train.BatchSize)}, nil
		})
	}}, nil
}

// Autoencoder is a trained autoencoder: the best weights of a run, or a shipped checkpoint.
type Autoencoder struct {
	Name    string // of the variant
	Source  string // run id or folder
	Model   model.AutoEncoder
	Params  *nn.Params       // the encoder's with its classifier's head, then the decoder's
	Weights string           // their fingerprint
	Encoder string           // fingerprint of the classifier whose features are decoded
	Data    run.DataInfo     // what it was trained on
	Images  data.Description // of that set
	Result  record.Autoencoder
}

// FindAutoencoder loads the trained autoencoder that from names: a checkpoint's folder, the name of one under
// checkpoints/, or the id of a finished run under root. Weights of encoder or decoder that differ from its record are
// an error.
func FindAutoencoder(root, from string) (*Autoencoder, error) {
	k, err := findKept(root, from)
	if err != nil {
		return nil, err
	}
	return restoreAutoencoder(k)
}

func restoreAutoencoder(k keptWeights) (*Autoencoder, error) {
	if k.Experiment != AutoencoderExperiment {
		return nil, fmt.Errorf("%s was made by experiment %q; want an autoencoder, made by `dla lab4 autoencoder`",
			k.source, k.Experiment)
	}
	cfg, err := settingsOf[config.Autoencoder](k.Record)
	if err != nil {
		return nil, k.unloadable(err)
	}
	a := &Autoencoder{Source: k.source, Params: nn.NewParams(0), Data: k.Env.Data}
	if a.Images, err = describeTraining(a.Data); err != nil {
		return nil, k.unloadable(err)
	}
	if err := record.Read(k.Record, &a.Result); err != nil {
		return nil, k.unloadable(err)
	}
	if err := k.mayHold(cfg.Encoder.Model, a.Images); err != nil {
		return nil, k.unloadable(err)
	}
	if a.Model.Encoder, err = network(cfg.Encoder.Model, pixelsOf(cfg.Encoder.Model, a.Data, a.Images.C)); err != nil {
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
		return nil, k.unloadable(fmt.Errorf("the weights are not those of the run's result: fingerprint %.12s…, not "+
			"%.12s…", a.Weights, want))
	}
	if want := a.Result.Encoder.WeightsSHA256; a.Encoder != want {
		return nil, k.unloadable(fmt.Errorf("the encoder's weights are not those of the run's result: fingerprint "+
			"%.12s…, not %.12s…", a.Encoder, want))
	}
	return a, nil
}

// row returns the shape of an input image.
func (a *Autoencoder) row() []int { return a.Model.Encoder.Input(a.Images.H, a.Images.W, a.Images.C) }

// Reconstructor compiles the autoencoder for batches of up to rows images.
func (a *Autoencoder) Reconstructor(rows int) (*train.Reconstructor, error) {
	return train.NewReconstructor(a.Model, a.Params, a.row(), rows)
}
