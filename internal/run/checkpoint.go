package run

// Checkpoints. A save writes new files under new names and then replaces manifest.json, which names the current files
// with their SHA-256; only then does it delete superseded files. So whenever the process dies, the manifest names whole
// files. One older checkpoint is kept: training is deterministic, so resuming from it ends in the same bits. The older
// checkpoint is the one saved together with the best weights, unless the current one was: the best weights thus exist
// twice, and either copy may be damaged.

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/weights"
)

// Checkpoint holds all that a training needs to resume.
type Checkpoint struct {
	Epoch, Step int             // completed epochs, and steps done in the current one
	State       json.RawMessage // the training loop's own state
	Tensors     []weights.Tensor
	Best        *Best // new best weights since the last Save; nil: unchanged
}

// Best holds the weights that validation selected.
type Best struct {
	Epoch   int // 1-based
	Tensors []weights.Tensor
}

// OptimPrefix begins the names of the optimiser's tensors in a checkpoint. All other tensors are weights. AveragePrefix
// begins those of an average of the weights, which validation evaluates in place of the weights where there is one.
const (
	OptimPrefix   = "optim/"
	AveragePrefix = OptimPrefix + "average/"
)

// Metadata of checkpoint files. The training's state is kept in the file of its tensors, so that one
// SHA-256 covers both.
const (
	metaState = "state"
	metaEpoch = "epoch"
	metaStep  = "step"
)

// Save makes c the current checkpoint. After an error the previous checkpoint is still current and whole.
func (r *Run) Save(c Checkpoint) error {
	if err := r.writable(); err != nil {
		return err
	}
	m, err := r.write(c)
	if err != nil {
		return fmt.Errorf("run %s: the checkpoint could not be saved, the previous one stays: %w; once %s can be "+
			"written to, continue with %s", r.id, err, r.dir, r.command("resume"))
	}
	r.manifest = m
	r.sweep()
	return nil
}

func (r *Run) write(c Checkpoint) (manifest, error) {
	m := manifest{Serial: r.manifest.Serial + 1}
	if !json.Valid(c.State) {
		return m, fmt.Errorf("its state is not JSON")
	}
	e := entry{Epoch: c.Epoch, Step: c.Step}
	var err error
	if e.MetricsBytes, e.MetricsSHA256, err = r.metrics.sync(); err != nil {
		return m, err
	}
	if len(r.manifest.Checkpoints) > 0 {
		e.Best = r.manifest.Checkpoints[0].Best
	}
	if c.Best != nil {
		f := file{Name: bestName(m.Serial)}
		if f.SHA256, err = weights.Save(r.checkpoint(f.Name), c.Best.Tensors,
			map[string]string{metaEpoch: strconv.Itoa(c.Best.Epoch)}); err != nil {
			return m, err
		}
		e.Best = &f
	}
	e.Name = ckptName(m.Serial)
	meta := map[string]string{metaState: string(c.State), metaEpoch: strconv.Itoa(c.Epoch),
		metaStep: strconv.Itoa(c.Step)}
	if e.SHA256, err = weights.Save(r.checkpoint(e.Name), c.Tensors, meta); err != nil {
		return m, err
	}
	m.Checkpoints = append([]entry{e}, r.older(e)...)
	return m, writeJSON(r.path(manifestName), m)
}

// older returns the checkpoints of m to keep beside the new one e.
func (r *Run) older(e entry) []entry {
	all := r.manifest.Checkpoints
	for i := range all {
		if e.Best != nil && all[i].with(*e.Best) {
			return all[i : i+1]
		}
	}
	return all[:min(keep-1, len(all))]
}

func (r *Run) checkpoint(name string) string { return filepath.Join(r.dir, checkpointsName, name) }

// sweep deletes checkpoint files that the manifest does not name. A failure to delete costs only space, so it is
// logged, and the next save tries again.
func (r *Run) sweep() {
	used := map[string]bool{}
	for _, e := range r.manifest.Checkpoints {
		used[e.Name] = true
		if e.Best != nil {
			used[e.Best.Name] = true
		}
	}
	list, err := os.ReadDir(r.path(checkpointsName))
	if err != nil {
		r.log.Warn("superseded checkpoints were not looked for", "error", err.Error())
	}
	for _, f := range list {
		name := f.Name()
		if !used[name] && serialOf(name, ckptName)+serialOf(name, bestName) > 0 {
			r.drop(r.checkpoint(name))
		}
	}
}

// DropCheckpoints deletes the checkpoints of a finished run, several times the size of its weights. Nothing reads them
// any more; the weights that validation selected stay.
func (r *Run) DropCheckpoints() {
	if !r.finished || r.lock == nil {
		return
	}
	for i, e := range r.manifest.Checkpoints {
		r.drop(r.checkpoint(e.Name))
		if selected := r.manifest.Checkpoints[0].Best; i > 0 && e.Best != nil &&
			(selected == nil || e.Best.Name != selected.Name) {
			r.drop(r.checkpoint(e.Best.Name))
		}
	}
}

// sweepTemporary deletes files that a killed process left half-written.
func (r *Run) sweepTemporary() {
	for _, dir := range []string{r.dir, r.path(checkpointsName)} {
		list, err := os.ReadDir(dir)
		if err != nil {
			r.log.Warn("temporary files were not looked for", "error", err.Error())
		}
		for _, f := range list {
			if atomicfile.IsTemporary(f.Name()) { // whosever it was: this process owns the run
				r.drop(filepath.Join(dir, f.Name()))
			}
		}
	}
}

func (r *Run) drop(path string) {
	err := atomicfile.Check("remove", path)
	if err == nil {
		err = os.RemoveAll(path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("a superseded file was not deleted", "file", path, "error", err.Error())
	}
}

// Restore returns the newest undamaged checkpoint, or nil where none was saved yet, and truncates metrics.jsonl to it.
// A damaged checkpoint is skipped with a warning in the log. If all are damaged, Restore changes nothing and returns an
// error that says what is wrong with each.
func (r *Run) Restore() (*Checkpoint, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	m, err := readManifest(r.path(manifestName))
	if err != nil {
		return nil, unusable(r.dir, err)
	}
	if len(m.Checkpoints) == 0 {
		list, err := os.ReadDir(r.path(checkpointsName))
		if err != nil {
			return nil, unusable(r.dir, err)
		}
		for _, f := range list { // a first save that was killed leaves serial 1, never a later one
			if serialOf(f.Name(), ckptName) > 1 {
				return nil, unusable(r.dir, fmt.Errorf("%s is missing though %s was saved", r.path(manifestName),
					f.Name()))
			}
		}
		if err := r.metrics.cut(0, sha256.New()); err != nil {
			return nil, r.notNow(err)
		}
		r.restored = true
		return nil, nil
	}
	var bad []string
	for i, e := range m.Checkpoints {
		c, err := r.load(e, m)
		var metrics hash.Hash
		if err == nil {
			metrics, err = r.metrics.begins(e.MetricsBytes, e.MetricsSHA256)
		}
		if err != nil {
			bad = append(bad, err.Error())
			r.log.Warn("a damaged checkpoint is skipped", "file", e.Name, "error", err.Error())
			continue
		}
		if err := r.metrics.cut(e.MetricsBytes, metrics); err != nil { // nothing is damaged
			return nil, r.notNow(err)
		}
		// The serial is kept, so that the next save takes a name that no file had.
		r.manifest = manifest{Serial: m.Serial, Checkpoints: m.Checkpoints[i:]}
		r.restored = true
		return c, nil
	}
	return nil, unusable(r.dir, fmt.Errorf("no checkpoint is whole: %s", strings.Join(bad, "; ")))
}

// notNow returns the error of an undamaged run that cannot be written to.
func (r *Run) notNow(err error) error {
	return fmt.Errorf("run %s: %w; once %s can be written to, continue with %s", r.id, err, r.dir,
		r.command("resume"))
}

// load reads and verifies the files that e, an entry of m, names.
func (r *Run) load(e entry, m manifest) (*Checkpoint, error) {
	f, err := weights.Load(r.checkpoint(e.Name), e.SHA256)
	if err != nil {
		return nil, err
	}
	if e.Best != nil {
		if _, err := weights.Load(r.checkpoint(e.Best.Name), e.Best.SHA256); err != nil {
			if again := r.writeBestAgain(*e.Best, m); again != nil {
				return nil, fmt.Errorf("the best weights so far are lost: %w; %w", err, again)
			}
			r.log.Warn("damaged best weights were made again from the checkpoint saved with them", "file", e.Best.Name,
				"error",
				err.Error())
		}
	}
	if f.Meta[metaEpoch] != strconv.Itoa(e.Epoch) || f.Meta[metaStep] != strconv.Itoa(e.Step) {
		return nil, fmt.Errorf("%s is damaged: it says that %s stands at epoch %d, step %d, which says epoch %s, "+
			"step %s itself",
			r.path(manifestName), e.Name, e.Epoch, e.Step, f.Meta[metaEpoch], f.Meta[metaStep])
	}
	return &Checkpoint{Epoch: e.Epoch, Step: e.Step, State: json.RawMessage(f.Meta[metaState]), Tensors: f.Tensors}, nil
}

// writeBestAgain restores the file of best, bit for bit, from the checkpoint of m that was saved together with it.
func (r *Run) writeBestAgain(best file, m manifest) error {
	i := slices.IndexFunc(m.Checkpoints, func(e entry) bool { return e.with(best) })
	if i < 0 {
		return errors.New("no checkpoint that is kept was saved with them")
	}
	e := m.Checkpoints[i]
	f, err := weights.Load(r.checkpoint(e.Name), e.SHA256)
	if err != nil {
		return err
	}
	ts := evaluated(f.Tensors)
	name := atomicfile.Temporary(r.path(checkpointsName))
	sha, err := weights.Save(name, ts, map[string]string{metaEpoch: strconv.Itoa(e.Epoch)})
	if err != nil {
		return err
	}
	if sha != best.SHA256 {
		r.drop(name)
		return fmt.Errorf("those in %s are others", e.Name)
	}
	if err := os.Rename(name, r.checkpoint(best.Name)); err != nil {
		return err
	}
	return atomicfile.SyncDir(r.path(checkpointsName))
}

// evaluated returns the weights among the tensors of a checkpoint that validation evaluates.
func evaluated(ts []weights.Tensor) []weights.Tensor {
	var plain, average []weights.Tensor
	for _, t := range ts {
		if name, ok := strings.CutPrefix(t.Name, AveragePrefix); ok {
			t.Name = name
			average = append(average, t)
		} else if !strings.HasPrefix(t.Name, OptimPrefix) {
			plain = append(plain, t)
		}
	}
	if len(average) > 0 {
		return average
	}
	return plain
}

// BestWeights returns the weights that validation selected, and their epoch (from 1).
func (r *Run) BestWeights() (*weights.File, int, error) {
	return bestWeights(r.id, r.dir, r.manifest)
}
