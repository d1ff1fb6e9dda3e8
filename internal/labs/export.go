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

// recordFiles are those of a run's record that a checkpoint ships.
var recordFiles = []string{"config.yaml", "env.json", "result.json"}

// vouchingFiles are those that it ships where the record has them: what the others are held against, and what the run
// went on with after it was stopped.
var vouchingFiles = []string{"status.json", "resumed.json"}

// recordOf are the files of rec that a checkpoint ships.
func recordOf(rec run.Record) []string {
	files := slices.Clone(recordFiles)
	for _, name := range vouchingFiles {
		if _, err := os.Stat(filepath.Join(rec.Dir, name)); err == nil {
			files = append(files, name)
		}
	}
	return files
}

// Export writes the checkpoint of the finished run id under root to the folder dir: its best weights and
// running statistics, and beside them the configuration, environment and result of the run, and of a
// hardened network which outliers it was trained on. A checkpoint that is there is replaced whole or not at all; a
// folder with other things in it is refused.
func Export(root, id, dir string) (Checkpoint, error) {
	if rec, err := run.Find(root, id); err == nil && rec.Experiment == FinetuneExperiment {
		return exportAdapter(root, rec, dir)
	}
	k, err := keptRun(root, id)
	if err != nil {
		return Checkpoint{}, err
	}
	if _, err := describe(k); err != nil { // before anything is written: weights that cannot be loaded do not ship
		return Checkpoint{}, err
	}
	return exportKept(k, dir)
}

// exportKept is Export of what a run left, which can be loaded.
func exportKept(k keptWeights, dir string) (Checkpoint, error) {
	if err := replaceable(dir); err != nil {
		return Checkpoint{}, err
	}
	files := recordOf(k.Record)
	if k.Experiment == RobustExperiment {
		files = append(files, hashesName) // what it may not be evaluated on
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
		written, err := keptFolder(tmp) // what was written is what will be read
		if err != nil {
			return Checkpoint{}, err
		}
		return describe(written)
	})
}

// export makes dir, or replaces the checkpoint there, by what write puts into a folder and says of it.
func export(dir string, rec run.Record, write func(tmp string) (Checkpoint, error)) (c Checkpoint, err error) {
	err = atomicfile.ReplaceFolder(dir, atomicfile.Permissions(rec.Dir), func(tmp string) error {
		c, err = write(tmp)
		return err
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w; once that is mended export it again, or name another folder", err)
	}
	c.Name = dir
	return c, nil
}

// replaceable is an error where dir holds anything else than what an export has made. Weights in a folder
// of Hugging Face's form, and adapters that PEFT has saved, have files of the same names; what is ours has the record.
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
			return fmt.Errorf("%s holds other things than a checkpoint (%q); name another folder", dir, e.Name())
		}
	}
	for _, name := range []string{"env.json", "config.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s holds other things than a checkpoint made here, which has the file %s; name another folder",
				dir, name)
		}
	}
	return nil
}

// maxCopied bounds a file of a record: an adapter of all layers of a large rank has some hundred MB.
const maxCopied = 1 << 30

// copyInto copies files of rec's folder below to dir.
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

// exportAdapter is Export of a fine-tuning: its adapter, as PEFT reads it, and the record.
func exportAdapter(root string, rec run.Record, dir string) (Checkpoint, error) {
	s, err := FindSentiment(root, rec.ID) // before anything is written: what cannot be loaded does not ship
	if err != nil {
		return Checkpoint{}, err
	}
	if s.adapter == nil {
		return Checkpoint{}, fmt.Errorf("run %s trained no adapter; a whole model is written by `dla lab3 finetune --merge`", rec.ID)
	}
	if err := replaceable(dir); err != nil {
		return Checkpoint{}, err
	}
	return export(dir, rec, func(tmp string) (Checkpoint, error) {
		if err := errors.Join(copyInto(tmp, rec, AdapterDir, adapterFiles(rec)...),
			copyInto(tmp, rec, "", recordOf(rec)...)); err != nil {
			return Checkpoint{}, err
		}
		if _, err := loadAdapter(tmp); err != nil { // what was written is what will be read
			return Checkpoint{}, err
		}
		return describeAdapter(tmp)
	})
}

// adapterFiles are those of the adapter of rec; one from before adapters had a card has none.
func adapterFiles(rec run.Record) []string {
	files := []string{lora.WeightsName, lora.ConfigName}
	if _, err := os.Stat(filepath.Join(rec.Dir, AdapterDir, model.CardName)); err == nil {
		files = append(files, model.CardName)
	}
	return files
}

// describeAdapter says what the adapter in dir is, without its encoder, which need not be on this machine.
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

// shipped is the checkpoint under checkpoints/ with the given fingerprint; nil where there is none.
func shipped(fingerprint string) (*Network, error) {
	list, err := os.ReadDir(CheckpointsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if atomicfile.IsTemporary(e.Name()) {
			continue
		}
		if n, err := LoadCheckpoint(filepath.Join(CheckpointsDir, e.Name())); err == nil && n.Weights == fingerprint {
			return n, nil
		}
	}
	return nil, nil
}

// Checkpoint is a folder under checkpoints/ in a listing.
type Checkpoint struct {
	Name         string   `json:"name"` // of the folder
	Network      string   `json:"network,omitempty"`
	Data         string   `json:"data,omitempty"`
	Params       int      `json:"params,omitempty"`        // 0: not known
	TestAccuracy *float64 `json:"test_accuracy,omitempty"` // of a classifier
	TestMSE      *float64 `json:"test_mse,omitempty"`      // of an autoencoder
	Broken       string   `json:"broken,omitempty"`        // why it cannot be loaded
}

// describe loads k and says what it is. Its name is where it came from.
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

// Checkpoints lists the checkpoints under dir, by name. Where there is no dir there are none.
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
		if st, err := os.Stat(at); err == nil && !st.IsDir() { // a link counts as what it leads to
			continue
		}
		if atomicfile.IsTemporary(e.Name()) || isHuggingFace(at) { // none, or not yet
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

// isHuggingFace says whether dir is a model of Hugging Face's form, as `dla lab3 finetune --merge` makes one, whose
// weights have the name of a checkpoint's.
func isHuggingFace(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}
