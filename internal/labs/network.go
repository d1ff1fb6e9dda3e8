package labs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
	"dla/internal/weights"
)

// Network is a trained network: the best weights of a run, or a shipped checkpoint.
type Network struct {
	Name    string // of the variant
	Source  string // run id or folder
	Model   model.Model
	Params  *nn.Params        // weights and running statistics
	Weights string            // their fingerprint
	Data    run.DataInfo      // its training data
	Images  data.Description  // size and standardization of its images
	Config  config.Classifier // of its training; with Data it determines the splits
	Result  record.Classifier

	record run.Record // of its training
}

// CheckpointsDir is the folder where shipped checkpoints are found by name.
const CheckpointsDir = "checkpoints"

// CheckpointDirs are the folders where checkpoints are found by name: the shipped ones, then the imported ones, under
// the user's cache folder.
func CheckpointDirs() []string {
	dirs := []string{CheckpointsDir}
	if cache, err := os.UserCacheDir(); err == nil { // else nothing can have been imported
		dirs = append(dirs, filepath.Join(cache, "dla", "checkpoints"))
	}
	return dirs
}

// checkpointPlaces are where the checkpoint that from names may be: the folder, or one of that name.
func checkpointPlaces(from string) []string {
	places := []string{from}
	for _, dir := range CheckpointDirs() {
		places = append(places, filepath.Join(dir, from))
	}
	return places
}

// modelName is the file of a checkpoint with weights and running statistics. Configuration, environment and result of
// its run lie beside it.
const modelName = "model.safetensors"

// FindNetwork loads the trained network that from names: the folder of a checkpoint or of a finished run, the name of a
// checkpoint under checkpoints/, or the id of a finished run under root or under runs.
func FindNetwork(root, from string) (*Network, error) {
	k, err := findKept(root, from)
	if err != nil {
		return nil, err
	}
	return restore(k)
}

// LoadRun loads the best weights of the finished run id under root.
func LoadRun(root, id string) (*Network, error) {
	k, err := keptRun(root, id)
	if err != nil {
		return nil, err
	}
	return restore(k)
}

// LoadCheckpoint loads a checkpoint folder, as `dla models export` makes it.
func LoadCheckpoint(dir string) (*Network, error) {
	k, err := keptFolder(dir)
	if err != nil {
		return nil, err
	}
	return restore(k)
}

// IsCheckpoint reports whether name is a checkpoint's folder, or the name of a shipped or imported one.
func IsCheckpoint(name string) bool {
	for _, dir := range checkpointPlaces(name) {
		if _, err := os.Stat(filepath.Join(dir, modelName)); err == nil && !isHuggingFace(dir) {
			return true
		}
	}
	return false
}

// LoadCheckpointNamed loads the checkpoint called name, for which IsCheckpoint is true.
func LoadCheckpointNamed(name string) (*Network, error) { return FindNetwork(run.DefaultRoot, name) }

// keptWeights holds the record and the best weights of a finished training.
type keptWeights struct {
	run.Record
	file   *weights.File
	source string // run id or folder
}

// findKept finds the weights that from names, as FindNetwork does.
func findKept(root, from string) (keptWeights, error) {
	for _, dir := range checkpointPlaces(from) {
		if lora.IsFolder(dir) {
			return keptWeights{}, classifiesSentences("", from)
		}
		if _, err := os.Stat(filepath.Join(dir, modelName)); err == nil {
			if isHuggingFace(dir) {
				return keptWeights{}, fmt.Errorf("%s is a Hugging Face folder, not a checkpoint of a network "+
					"trained here; make one with `dla models export`, or classify sentences with `%s`", dir,
					run.Command("", "lab3", "predict", from, "TEXT"))
			}
			return keptFolder(dir)
		}
	}
	if in, id, ok := runFolder(from); ok {
		return keptRun(in, id)
	}
	if st, err := os.Stat(from); err == nil && st.IsDir() {
		return keptWeights{}, fmt.Errorf("%s holds no %s; make it with `%s`", from, modelName,
			run.Command("", "models", "export", "RUN_ID", from))
	}
	k, err := keptRun(root, from)
	if err != nil && root != run.DefaultRoot {
		if other, otherErr := keptRun(run.DefaultRoot, from); otherErr == nil {
			return other, nil
		}
	}
	if other := (*otherKind)(nil); errors.As(err, &other) {
		return k, err
	}
	if err != nil {
		return k, fmt.Errorf("%q is neither a folder with a checkpoint nor the name of one under %s, and as a run: "+
			"%w; `dla models ls` lists the checkpoints, `dla runs ls` the runs",
			from, strings.Join(CheckpointDirs(), " or "), err)
	}
	return k, nil
}

// runFolder returns the folder of runs that the run's folder dir lies in, and its id, as a shell completes runs/ID. ok
// is false for any other folder.
func runFolder(dir string) (root, id string, ok bool) {
	if _, err := os.Stat(filepath.Join(dir, "env.json")); err != nil {
		return "", "", false
	}
	if name := filepath.Base(dir); name == "." || name == ".." {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
	}
	dir = filepath.Clean(dir)
	return filepath.Dir(dir), filepath.Base(dir), true
}

// otherKind is the error of a trained network, or a run, of another kind than the one wanted.
type otherKind struct{ error }

// classifiesSentences returns the error of the classifier of sentences that from names where one of images is wanted.
func classifiesSentences(root, from string) error {
	return &otherKind{fmt.Errorf("%s classifies sentences, not images; use `%s`", from,
		run.Command(root, "lab3", "predict", from, "TEXT"))}
}

// classifiesImages returns the error of the network for images that from names where one for sentences is wanted.
func classifiesImages(root, from string) error {
	return fmt.Errorf("%s takes images, not sentences; use `%s`", from, run.Command(root, "predict", from, "FILE"))
}

func keptRun(root, id string) (keptWeights, error) {
	rec, err := run.Find(root, id)
	if err != nil {
		return keptWeights{}, err
	}
	if rec.Status != run.StatusFinished {
		return keptWeights{}, fmt.Errorf("run %s is %s, not finished; `%s` finishes it", rec.ID, rec.Status,
			rec.Command("resume"))
	}
	switch rec.Experiment {
	case FinetuneExperiment:
		return keptWeights{}, classifiesSentences(root, rec.ID)
	case FGSMExperiment, OODExperiment:
		return keptWeights{}, &otherKind{fmt.Errorf("run %s is of %s, which trains no network; name the network",
			rec.ID, rec.Experiment)}
	}
	f, _, err := rec.BestWeights()
	return keptWeights{rec, f, rec.ID}, err
}

func keptFolder(dir string) (keptWeights, error) {
	rec, err := run.ReadFolder(dir)
	if err != nil {
		return keptWeights{}, err
	}
	f, err := weights.Load(filepath.Join(dir, modelName), "")
	return keptWeights{rec, f, dir}, err
}

// unloadable returns the error of a damaged checkpoint.
func (k keptWeights) unloadable(err error) error {
	return fmt.Errorf("the network of %s cannot be loaded: %w; put back a good copy", k.source, err)
}

// mayHold returns an error if the weights are too few for a network of cfg: a wrong configuration could need more
// memory than there is.
func (k keptWeights) mayHold(cfg config.Model, images data.Description) error {
	elements := 0
	for _, t := range k.file.Tensors {
		elements += len(t.Data)
	}
	perSquare := 16 * 9 // of a ResNet's last convolutions
	if cfg.Name == "mlp" {
		perSquare = 2 * cfg.Depth
	}
	inputs := 0
	if cfg.Name == "mlp" {
		inputs = images.H * images.W * images.C * cfg.Width
	}
	if perSquare*cfg.Width*cfg.Width > elements || inputs > elements || images.Classes > elements {
		return fmt.Errorf("the configuration describes a larger network than the %d values of the weights", elements)
	}
	return nil
}

// restore builds the classifier that k's run trained and loads its weights. Weights that do not fit, or differ from the
// run's result, are errors.
func restore(k keptWeights) (*Network, error) {
	switch k.Experiment {
	case AutoencoderExperiment:
		return nil, fmt.Errorf("%s is an autoencoder, want a classifier", k.source)
	case BaselineExperiment:
		return nil, fmt.Errorf("%s classifies features of sentences, not images", k.source)
	}
	training, err := trainingOf(k.Record)
	if err != nil {
		return nil, k.unloadable(err)
	}
	n := &Network{Source: k.source, Params: nn.NewParams(0), Data: k.Env.Data, Config: training, record: k.Record}
	if n.Images, err = describeTraining(n.Data); err != nil {
		return nil, k.unloadable(err)
	}
	if err = record.Read(k.Record, &n.Result); err != nil {
		return nil, k.unloadable(err)
	}
	if err := k.mayHold(training.Model, n.Images); err != nil {
		return nil, k.unloadable(err)
	}
	if n.Model, err = network(training.Model, pixelsOf(training.Model, n.Data, n.Images.C)); err != nil {
		return nil, k.unloadable(err)
	}
	n.Name = n.Model.Name()
	if err := define(n.Params, n.Model, n.Images); err != nil {
		return nil, k.unloadable(err)
	}
	state := n.state()
	if err := weights.Copy(state, k.file.Tensors); err != nil {
		return nil, k.unloadable(err)
	}
	if n.Weights = weights.Fingerprint(state); n.Weights != n.Result.WeightsSHA256 {
		return nil, k.unloadable(fmt.Errorf("the weights are not those of the run's result: fingerprint %.12s…, not "+
			"%.12s…", n.Weights, n.Result.WeightsSHA256))
	}
	return n, nil
}

// define defines all parameters of the classifier m in p.
func define(p *nn.Params, m model.Model, images data.Description) error {
	g := nn.NewGraph(p)
	m.Logits(g, g.Input("x", append([]int{1}, m.Input(images.H, images.W, images.C)...)...), images.Classes)
	return g.Err()
}

// state returns weights and running statistics.
func (n *Network) state() []weights.Tensor { return stateOf(n.Params) }

func stateOf(p *nn.Params) (ts []weights.Tensor) {
	for _, q := range p.List() {
		ts = append(ts, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	return ts
}

// trainingOf returns the settings of the image classifier that rec's run trained, with the seed of the split.
func trainingOf(rec run.Record) (config.Classifier, error) {
	all, err := Settings(rec)
	if err != nil {
		return config.Classifier{}, err
	}
	if c, ok := all.(interface{ Classifier() config.Classifier }); ok {
		return c.Classifier(), nil
	}
	return config.Classifier{}, fmt.Errorf("it was made by experiment %s, which trains no classifier of images",
		rec.Experiment)
}

// row returns the shape of an input image.
func (n *Network) row() []int { return n.Model.Input(n.Images.H, n.Images.W, n.Images.C) }

// Scorer compiles the network for batches of up to rows images.
func (n *Network) Scorer(rows int) (*train.Scorer, error) {
	return train.NewScorer(n.Model, n.Params, n.row(), n.Images.Classes, rows)
}
