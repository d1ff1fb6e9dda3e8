package run

// Checkpoints. A save writes new files under new names and then replaces manifest.json, which names
// the current files with their SHA-256; only then are superseded files deleted. So whenever the
// process dies, the manifest names whole files. The checkpoint before the current one is kept:
// since training is deterministic, going on from it ends in the same bits.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"dla/internal/atomicfile"
	"dla/internal/weights"
)

// Checkpoint is all that a training needs to go on.
type Checkpoint struct {
	Epoch, Step int             // where it stands: completed epochs, steps into the current one
	State       json.RawMessage // the training loop's own state
	Tensors     []weights.Tensor
	Best        *Best // new best weights since the last Save; nil: unchanged
}

// Best are the weights that validation selected.
type Best struct {
	Epoch   int // 1-based
	Tensors []weights.Tensor
}

// manifest is manifest.json: the checkpoints there are, newest first.
type manifest struct {
	Serial      int     `json:"serial"` // of the newest file
	Checkpoints []entry `json:"checkpoints"`
}

type entry struct {
	file
	Epoch         int    `json:"epoch"`
	Step          int    `json:"step"`
	MetricsBytes  int64  `json:"metrics_bytes"` // length of metrics.jsonl when saved
	MetricsSHA256 string `json:"metrics_sha256"`
	Best          *file  `json:"best"`
}

type file struct {
	Name   string `json:"file"`
	SHA256 string `json:"sha256"`
}

var fileName = regexp.MustCompile(`^(ckpt|best)-\d{6,12}\.safetensors$`)

const keep = 2 // checkpoints

// Save makes c the current checkpoint.
func (r *Run) Save(c Checkpoint) error {
	if err := r.writable(); err != nil {
		return err
	}
	fail := func(err error) error {
		return fmt.Errorf("run %s: the checkpoint could not be saved, the one before stays: %w", r.id, err)
	}
	e := entry{Epoch: c.Epoch, Step: c.Step}
	if err := r.metrics.Sync(); err != nil {
		return fail(err)
	}
	var err error
	if e.MetricsBytes, e.MetricsSHA256, err = hashPrefix(r.path(metricsName), -1); err != nil {
		return fail(err)
	}
	m := manifest{Serial: r.manifest.Serial + 1}
	if len(r.manifest.Checkpoints) > 0 {
		e.Best = r.manifest.Checkpoints[0].Best
	}
	if c.Best != nil {
		name := fmt.Sprintf("best-%06d.safetensors", m.Serial)
		sha, err := weights.Save(r.path(filepath.Join("checkpoints", name)), c.Best.Tensors, map[string]string{"epoch": strconv.Itoa(c.Best.Epoch)})
		if err != nil {
			return fail(err)
		}
		e.Best = &file{name, sha}
	}
	e.Name = fmt.Sprintf("ckpt-%06d.safetensors", m.Serial)
	meta := map[string]string{"state": string(c.State), "epoch": strconv.Itoa(c.Epoch), "step": strconv.Itoa(c.Step)}
	if e.SHA256, err = weights.Save(r.path(filepath.Join("checkpoints", e.Name)), c.Tensors, meta); err != nil {
		return fail(err)
	}
	m.Checkpoints = append([]entry{e}, r.manifest.Checkpoints[:min(keep-1, len(r.manifest.Checkpoints))]...)
	if err := writeJSON(r.path(manifestName), m); err != nil {
		return fail(err)
	}
	r.manifest = m
	return r.sweep()
}

// sweep deletes checkpoint files that the manifest no longer names.
func (r *Run) sweep() error {
	used := map[string]bool{}
	for _, e := range r.manifest.Checkpoints {
		used[e.Name] = true
		if e.Best != nil {
			used[e.Best.Name] = true
		}
	}
	list, err := os.ReadDir(r.path("checkpoints"))
	if err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	for _, f := range list {
		if fileName.MatchString(f.Name()) && !used[f.Name()] {
			if err := atomicfile.Check("remove", f.Name()); err != nil {
				return err
			}
			if err := os.Remove(r.path(filepath.Join("checkpoints", f.Name()))); err != nil {
				return fmt.Errorf("run %s: superseded checkpoint: %w", r.id, err)
			}
		}
	}
	return nil
}

// Restore returns the newest checkpoint that is whole, or nil where none was saved yet, and cuts
// metrics.jsonl back to it. A damaged checkpoint is passed over with a warning in the log; when no
// whole one is left, the error says what is wrong with each.
func (r *Run) Restore() (*Checkpoint, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	m, err := readManifest(r.path(manifestName))
	if err != nil {
		return nil, fmt.Errorf("run %s: %w; remove the run with `dla runs rm %s` and train again", r.id, err, r.id)
	}
	r.manifest.Serial = m.Serial
	if len(m.Checkpoints) == 0 {
		return nil, r.cutMetrics(0)
	}
	var bad []error
	for i, e := range m.Checkpoints {
		c, err := r.load(e)
		if err != nil {
			bad = append(bad, err)
			r.log.Warn("a damaged checkpoint is passed over", "file", e.Name, "error", err.Error())
			continue
		}
		if err := r.cutMetrics(e.MetricsBytes); err != nil {
			return nil, err
		}
		r.manifest.Checkpoints = m.Checkpoints[i:]
		return c, nil
	}
	return nil, fmt.Errorf("run %s: no checkpoint is whole: %w; remove the run with `dla runs rm %s` and train again", r.id, errors.Join(bad...), r.id)
}

// load reads and verifies everything e names.
func (r *Run) load(e entry) (*Checkpoint, error) {
	f, err := weights.Load(r.path(filepath.Join("checkpoints", e.Name)), e.SHA256)
	if err != nil {
		return nil, err
	}
	if e.Best != nil {
		if _, err := weights.Load(r.path(filepath.Join("checkpoints", e.Best.Name)), e.Best.SHA256); err != nil {
			return nil, err
		}
	}
	n, sha, err := hashPrefix(r.path(metricsName), e.MetricsBytes)
	if err != nil {
		return nil, err
	}
	if n != e.MetricsBytes || sha != e.MetricsSHA256 {
		return nil, fmt.Errorf("%s is not what it was when the checkpoint was saved", r.path(metricsName))
	}
	c := &Checkpoint{State: json.RawMessage(f.Meta["state"]), Tensors: f.Tensors}
	if c.Epoch, err = strconv.Atoi(f.Meta["epoch"]); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	if c.Step, err = strconv.Atoi(f.Meta["step"]); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	if !json.Valid(c.State) {
		return nil, fmt.Errorf("%s has no training state", e.Name)
	}
	return c, nil
}

// BestWeights are the weights validation selected, and their epoch (from 1).
func (r *Run) BestWeights() (*weights.File, int, error) {
	if len(r.manifest.Checkpoints) == 0 || r.manifest.Checkpoints[0].Best == nil {
		return nil, 0, fmt.Errorf("run %s has no best weights yet", r.id)
	}
	b := r.manifest.Checkpoints[0].Best
	f, err := weights.Load(r.path(filepath.Join("checkpoints", b.Name)), b.SHA256)
	if err != nil {
		return nil, 0, fmt.Errorf("run %s: %w", r.id, err)
	}
	epoch, err := strconv.Atoi(f.Meta["epoch"])
	if err != nil {
		return nil, 0, fmt.Errorf("run %s: %s does not say its epoch: %w", r.id, b.Name, err)
	}
	return f, epoch, nil
}

func (r *Run) cutMetrics(n int64) error {
	if err := r.metrics.Truncate(n); err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	return nil
}

// readManifest reads manifest.json strictly; a missing one is an empty one.
func readManifest(path string) (manifest, error) {
	var m manifest
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, fmt.Errorf("%s is damaged: something follows its end", path)
	}
	if len(m.Checkpoints) == 0 || len(m.Checkpoints) > keep {
		return m, fmt.Errorf("%s is damaged: it lists %d checkpoints", path, len(m.Checkpoints))
	}
	for _, e := range m.Checkpoints {
		if !fileName.MatchString(e.Name) || e.Best != nil && !fileName.MatchString(e.Best.Name) {
			return m, fmt.Errorf("%s is damaged: it names the file %q", path, e.Name)
		}
	}
	return m, nil
}

// hashPrefix is the SHA-256 of the first n bytes of path, of all of it where n < 0, and how many
// bytes those were.
func hashPrefix(path string, n int64) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	var src io.Reader = f
	if n >= 0 {
		src = io.LimitReader(f, n)
	}
	h := sha256.New()
	got, err := io.Copy(h, src)
	return got, hex.EncodeToString(h.Sum(nil)), err
}
