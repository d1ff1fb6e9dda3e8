package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/run"
	"dla/internal/weights"
)

// recordFiles are those of a run's record that a checkpoint ships.
var recordFiles = []string{"config.yaml", "env.json", "result.json"}

// Export writes the checkpoint of the finished run id under root to the folder dir: its best weights and
// running statistics, and beside them the configuration, environment and result of the run. A folder
// with other things in it than a checkpoint is refused.
func Export(root, id, dir string) (*Network, error) {
	n, err := LoadRun(root, id)
	if err != nil {
		return nil, err
	}
	rec, err := run.Find(root, n.Source)
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; name another folder", err)
	}
	_, err = os.Stat(filepath.Join(dir, modelName))
	if len(list) > 0 && err != nil {
		return nil, fmt.Errorf("%s holds other things than a checkpoint; name another folder", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w; name another folder", err)
	}
	if _, err := weights.Save(filepath.Join(dir, modelName), n.state(), nil); err != nil {
		return nil, err
	}
	for _, name := range recordFiles {
		b, err := os.ReadFile(filepath.Join(rec.Dir, name))
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", rec.ID, err)
		}
		if err := atomicfile.WriteBytes(filepath.Join(dir, name), b); err != nil {
			return nil, err
		}
	}
	return LoadCheckpoint(dir) // what was written is what will be read
}

// shipped is the checkpoint under checkpoints/ with the given fingerprint; nil where there is none.
func shipped(fingerprint string) (*Network, error) {
	list, err := os.ReadDir(CheckpointsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if n, err := LoadCheckpoint(filepath.Join(CheckpointsDir, e.Name())); err == nil && n.Weights == fingerprint {
			return n, nil
		}
	}
	return nil, nil
}

// Checkpoint is a folder under checkpoints/ in a listing.
type Checkpoint struct {
	Name         string  `json:"name"` // of the folder
	Network      string  `json:"network,omitempty"`
	Data         string  `json:"data,omitempty"`
	Params       int     `json:"params,omitempty"`
	TestAccuracy float64 `json:"test_accuracy,omitempty"`
	Broken       string  `json:"broken,omitempty"` // why it cannot be loaded
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
		if !e.IsDir() {
			continue
		}
		c := Checkpoint{Name: e.Name()}
		if n, err := LoadCheckpoint(filepath.Join(dir, e.Name())); err != nil {
			c.Broken = err.Error()
		} else {
			c.Network, c.Data, c.Params, c.TestAccuracy = n.Name, n.Data.Name, n.Params.Count(), n.Result.Test.Accuracy
		}
		all = append(all, c)
	}
	return all, nil
}
