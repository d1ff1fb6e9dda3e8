package labs

import (
	"fmt"
	"os"
	"path/filepath"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// Network is a trained network: a run's best weights, or a checkpoint that ships.
type Network struct {
	Name    string // of the variant
	Source  string // run id or folder
	Model   model.Model
	Params  *nn.Params       // weights and running statistics
	Weights string           // their fingerprint
	Data    run.DataInfo     // what it was trained on
	Images  data.Description // of that set
	Config  config.Resnet    // of its training: with the data, it says which images are of which part
	Result  Result
}

// CheckpointsDir is where checkpoints that ship are looked for by name.
const CheckpointsDir = "checkpoints"

// modelName is the file of a checkpoint folder that holds weights and running statistics; beside it lie
// the configuration, environment and result of the run that made them.
const modelName = "model.safetensors"

// FindNetwork loads the trained network that from names: a checkpoint's folder, the name of one under
// checkpoints/, or the id of a finished run under root.
func FindNetwork(root, from string) (*Network, error) {
	for _, dir := range []string{from, filepath.Join(CheckpointsDir, from)} {
		if _, err := os.Stat(filepath.Join(dir, modelName)); err == nil {
			return LoadCheckpoint(dir)
		}
	}
	if st, err := os.Stat(from); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s holds no %s; make it with `dla models export RUN_ID %s`", from, modelName, from)
	}
	n, err := LoadRun(root, from)
	if err != nil {
		return nil, fmt.Errorf("%q is no folder with a checkpoint, and as a run: %w", from, err)
	}
	return n, nil
}

// LoadRun loads the best weights of the finished run id under root.
func LoadRun(root, id string) (*Network, error) {
	rec, err := run.Find(root, id)
	if err != nil {
		return nil, err
	}
	if rec.Status != run.StatusFinished {
		return nil, fmt.Errorf("run %s is %s, not finished; `dla runs resume %s` finishes it", rec.ID, rec.Status, rec.ID)
	}
	f, _, err := rec.BestWeights()
	if err != nil {
		return nil, err
	}
	return restore(rec, f, rec.ID)
}

// LoadCheckpoint loads the folder of a checkpoint, as `dla models export` makes it.
func LoadCheckpoint(dir string) (*Network, error) {
	rec, err := run.ReadFolder(dir)
	if err != nil {
		return nil, err
	}
	f, err := weights.Load(filepath.Join(dir, modelName), "")
	if err != nil {
		return nil, err
	}
	return restore(rec, f, dir)
}

// restore builds the network that rec's run trained and gives it the weights of f. What does not fit,
// and weights that are not those of the run's result, are errors.
func restore(rec run.Record, f *weights.File, source string) (*Network, error) {
	fail := func(err error) (*Network, error) {
		return nil, fmt.Errorf("the network of %s cannot be loaded: %w; put back a good copy", source, err)
	}
	training, err := trainingOf(rec)
	if err != nil {
		return fail(err)
	}
	cfg := training.Model
	n := &Network{Source: source, Params: nn.NewParams(0), Data: rec.Env.Data, Config: training}
	if n.Images, err = data.Describe(n.Data.Name); err != nil {
		return fail(err)
	}
	if n.Result, err = resultOf(rec); err != nil {
		return fail(err)
	}
	if n.Model, err = network(cfg, n.Images.C); err != nil {
		return fail(err)
	}
	n.Name = n.Model.Name()
	// A configuration that is not the file's could ask for more memory than there is.
	elements := 0
	for _, t := range f.Tensors {
		elements += len(t.Data)
	}
	perSquare := 16 * 9 // of a ResNet's last convolutions
	if cfg.Name == "mlp" {
		perSquare = 2 * cfg.Depth
	}
	if perSquare*cfg.Width*cfg.Width > elements {
		return fail(fmt.Errorf("the configuration is of a larger network than the %d values of the weights", elements))
	}
	g := nn.NewGraph(n.Params)
	n.Model.Logits(g, g.Input("x", append([]int{1}, n.row()...)...), n.Images.Classes)
	if g.Err() != nil {
		return fail(g.Err())
	}
	state := n.state()
	if err := weights.Copy(state, f.Tensors); err != nil {
		return fail(err)
	}
	if n.Weights = weights.Fingerprint(state); n.Weights != n.Result.WeightsSHA256 {
		return fail(fmt.Errorf("the weights are not those of the run's result: fingerprint %.12s…, not %.12s…", n.Weights, n.Result.WeightsSHA256))
	}
	return n, nil
}

// state is the weights and running statistics.
func (n *Network) state() (ts []weights.Tensor) {
	for _, q := range n.Params.List() {
		ts = append(ts, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return ts
}

// trainingOf is the training of the network whose weights rec's run kept.
func trainingOf(rec run.Record) (config.Resnet, error) {
	switch rec.Experiment {
	case ResnetExperiment:
		return resnetConfig(rec)
	case DistillExperiment:
		cfg, err := distillConfig(rec)
		return cfg.Plain(), err
	}
	return config.Resnet{}, fmt.Errorf("it was made by experiment %q, which this version of dla does not know", rec.Experiment)
}

// row is the shape of an image as the network takes it.
func (n *Network) row() []int { return n.Model.Input(n.Images.H, n.Images.W, n.Images.C) }

// Scorer compiles the network for batches of up to rows images.
func (n *Network) Scorer(rows int) (*train.Scorer, error) {
	return train.NewScorer(n.Model, n.Params, n.row(), n.Images.Classes, rows)
}
