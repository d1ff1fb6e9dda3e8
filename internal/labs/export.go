package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"dla/internal/atomicfile"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/plainfile"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/weights"
)

// recordFiles lists the files of a run's record that a checkpoint ships.
var recordFiles = []string{"config.yaml", "env.json", "result.json"}

// vouchingFiles lists files that a checkpoint ships if the record has them: the hashes of the other files, the
// environments of resumed processes, and the metrics, which the hashes cover.
var vouchingFiles = []string{"status.json", "resumed.json", "metrics.jsonl"}

// recordOf returns the files of rec that a checkpoint ships.
func recordOf(rec run.Record) []string {
	files := slices.Clone(recordFiles)
	for _, name := range vouchingFiles {
		if _, err := os.Stat(filepath.Join(rec.Dir, name)); err == nil {
			files = append(files, name)
		}
	}
	return files
}

// Export writes the checkpoint of the finished run id under root to the folder dir: best weights and running
// statistics, the configuration, environment and result of the run and, for an adversarially fine-tuned network, the
// hashes of its training outliers. An existing checkpoint is replaced atomically; a folder with other files is an
// error.
func Export(root, id, dir string) (Checkpoint, error) {
	if rec, err := run.Find(root, id); err == nil && rec.Experiment == FinetuneExperiment {
		return exportAdapter(root, rec, dir)
	}
	k, err := keptRun(root, id)
	if err != nil {
		return Checkpoint{}, err
	}
	if _, err := describe(k); err != nil { // before writing: weights that cannot be loaded are not exported
		return Checkpoint{}, err
	}
	return exportKept(k, dir)
}

// exportKept is Export for the loadable weights k of a run.
func exportKept(k keptWeights, dir string) (Checkpoint, error) {
	if err := replaceable(dir); err != nil {
		return Checkpoint{}, err
	}
	files := recordOf(k.Record)
	if k.Experiment == RobustExperiment {
		files = append(files, hashesName) // images that it must not be evaluated on
	}
	return export(dir, k.Record, func(tmp string) (Checkpoint, error) {
		path := filepath.Join(tmp, modelName)
		if _, err := weights.Save(path, k.file.Tensors, nil); err != nil {
			return Checkpoint{}, err
		}
		if err := atomicfile.Narrow(path, atomicfile.Permissions(k.file.Path)); err != nil {
			return Checkpoint{}, err
		}
		if err := copyInto(tmp, k.Record, "", files...); err != nil {
			return Checkpoint{}, err
		}
		written, err := keptFolder(tmp) // check that the written folder can be read
		if err != nil {
			return Checkpoint{}, err
		}
		return describe(written)
	})
}

// export makes the checkpoint dir, or replaces it, with the files that write writes to a temporary folder.
func export(dir string, rec run.Record, write func(tmp string) (Checkpoint, error)) (c Checkpoint, err error) {
	err = atomicfile.ReplaceFolder(dir, atomicfile.Permissions(rec.Dir), func(tmp string) error {
		c, err = write(tmp)
		return err
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w; once that is fixed export it again, or name another folder", err)
	}
	c.Name = dir
	return c, nil
}

// replaceable returns an error if dir holds anything but an exported checkpoint. Hugging Face folders and PEFT adapters
// have files of the same names; a checkpoint also has the record.
func replaceable(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name another folder", err)
	}
	if len(list) == 0 {
		return nil
	}
	written := append([]string{modelName, lora.WeightsName, lora.ConfigName, model.CardName, hashesName},
		append(vouchingFiles, recordFiles...)...)
	for _, e := range list {
		if !slices.Contains(written, e.Name()) && !atomicfile.IsTemporary(e.Name()) {
			return fmt.Errorf("%s holds more than a checkpoint (%q); name another folder", dir, e.Name())
		}
	}
	for _, name := range []string{"env.json", "config.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s holds more than a checkpoint, which has the file %s; name another folder",
				dir, name)
		}
	}
	return nil
}

// maxCopied bounds a file of a record, in bytes: an adapter of all layers with a large rank has a few hundred MB.
const maxCopied = 1 << 30

// copyInto copies the named files of the folder below in rec's directory to dir.
func copyInto(dir string, rec run.Record, below string, names ...string) error {
	for _, name := range names {
		src := filepath.Join(rec.Dir, below, name)
		b, err := plainfile.Read(src, maxCopied)
		if err != nil {
			return fmt.Errorf("run %s: %w", rec.ID, err)
		}
		if err := atomicfile.WriteBytesAs(filepath.Join(dir, name), atomicfile.Permissions(src), b); err != nil {
			return err
		}
	}
	return nil
}

// exportAdapter is Export for lab3 finetune: the adapter in PEFT's format, and the record.
func exportAdapter(root string, rec run.Record, dir string) (Checkpoint, error) {
	s, err := FindSentiment(root, rec.ID) // before writing: an adapter that cannot be loaded is not exported
	if err != nil {
		return Checkpoint{}, err
	}
	if s.adapter == nil {
		return Checkpoint{}, fmt.Errorf("run %s trained no adapter; `dla lab3 finetune --merge` writes a whole model",
			rec.ID)
	}
	if err := replaceable(dir); err != nil {
		return Checkpoint{}, err
	}
	return export(dir, rec, func(tmp string) (Checkpoint, error) {
		if err := errors.Join(copyInto(tmp, rec, AdapterDir, adapterFiles(rec)...),
			copyInto(tmp, rec, "", recordOf(rec)...)); err != nil {
			return Checkpoint{}, err
		}
		if _, err := loadAdapter(tmp); err != nil { // check that the written folder can be read
			return Checkpoint{}, err
		}
		return describeAdapter(tmp)
	})
}

// adapterFiles returns the files of the adapter of rec. Older adapters have no card.
func adapterFiles(rec run.Record) []string {
	files := []string{lora.WeightsName, lora.ConfigName}
	if _, err := os.Stat(filepath.Join(rec.Dir, AdapterDir, model.CardName)); err == nil {
		files = append(files, model.CardName)
	}
	return files
}

// describeAdapter describes the adapter in dir without its encoder, which need not be on this machine.
func describeAdapter(dir string) (Checkpoint, error) {
	if _, err := lora.Open(dir); err != nil {
		return Checkpoint{}, err
	}
	rec, err := run.ReadFolder(dir)
	if err != nil {
		return Checkpoint{}, err
	}
	var res record.Classifier
	if err := record.Read(rec, &res); err != nil {
		return Checkpoint{}, err
	}
	return Checkpoint{Network: rec.Variant, Data: rec.Env.Data.Name, Params: res.Params,
		TestAccuracy: &res.Test.Accuracy}, nil
}

// shipped returns the shipped or imported checkpoint with the given fingerprint, nil if there is none.
func shipped(fingerprint string) (*Network, error) {
	for _, dir := range CheckpointDirs() {
		list, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			if atomicfile.IsTemporary(e.Name()) {
				continue
			}
			if n, err := LoadCheckpoint(filepath.Join(dir, e.Name())); err == nil && n.Weights == fingerprint {
				return n, nil
			}
		}
	}
	return nil, nil
}

// Checkpoint describes a folder under checkpoints/ in a listing.
type Checkpoint struct {
	Name         string   `json:"name"` // of the folder
	Network      string   `json:"network,omitempty"`
	Data         string   `json:"data,omitempty"`
	Params       int      `json:"params,omitempty"`        // 0: unknown
	TestAccuracy *float64 `json:"test_accuracy,omitempty"` // of a classifier
	TestMSE      *float64 `json:"test_mse,omitempty"`      // of an autoencoder
	Broken       string   `json:"broken,omitempty"`        // why it cannot be loaded
}

// describe loads and describes k. Name is its source.
func describe(k keptWeights) (Checkpoint, error) {
	if k.Experiment == AutoencoderExperiment {
		a, err := restoreAutoencoder(k)
		if err != nil {
			return Checkpoint{}, err
		}
		return Checkpoint{Name: a.Source, Network: a.Name, Data: a.Data.Name, Params: a.Params.Count(),
			TestMSE: &a.Result.Test.MSE}, nil
	}
	n, err := restore(k)
	if err != nil {
		return Checkpoint{}, err
	}
	return Checkpoint{Name: n.Source, Network: n.Name, Data: n.Data.Name, Params: n.Params.Count(),
		TestAccuracy: &n.Result.Test.Accuracy}, nil
}

// Checkpoints lists the checkpoints under dir by name, none if dir does not exist.
func Checkpoints(dir string) ([]Checkpoint, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Checkpoint
	for _, e := range list {
		at := filepath.Join(dir, e.Name())
		if st, err := os.Stat(at); err == nil && !st.IsDir() { // follows links
			continue
		}
		if atomicfile.IsTemporary(e.Name()) || forOthers(at) { // not a checkpoint, or not finished
			continue
		}
		var c Checkpoint
		var err error
		if lora.IsFolder(at) {
			c, err = describeAdapter(at)
		} else {
			var k keptWeights
			if k, err = keptFolder(at); err == nil {
				c, err = describe(k)
			}
		}
		if c.Name = e.Name(); err != nil {
			c.Broken = err.Error()
		}
		all = append(all, c)
	}
	return all, nil
}

// forOthers reports whether dir is what ExportAs writes for other programs.
func forOthers(dir string) bool {
	for _, name := range []string{model.PyTorchWeights, onnxName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return isHuggingFace(dir)
}

// isHuggingFace reports whether dir is a Hugging Face model, such as `dla lab3 finetune --merge` writes. Its weights
// have the file name of a checkpoint's.
func isHuggingFace(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}
