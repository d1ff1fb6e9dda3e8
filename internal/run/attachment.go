package run

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
	"dla/internal/weights"
)

// Attachment names a small file beside a run's record, such as its test predictions. result.json holds it, which binds
// the file to the result.
type Attachment struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Attach writes content to the file name in the run's directory, atomically.
func (r *Run) Attach(name string, content []byte) (Attachment, error) {
	if err := r.writable(); err != nil {
		return Attachment{}, err
	}
	sha, _, err := atomicfile.Write(r.path(name), func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
	if err != nil {
		return Attachment{}, fmt.Errorf("run %s: %w; once that is possible, continue with %s", r.id, err,
			r.command("resume"))
	}
	return Attachment{File: name, SHA256: sha}, nil
}

// Attached reads a file that the run's result names. A missing or changed file is an error.
func (r Record) Attached(a Attachment) ([]byte, error) {
	path := filepath.Join(r.Dir, a.File)
	if !validID.MatchString(a.File) { // must not lead out of the directory
		return nil, fmt.Errorf("run %s: %s names the file %q; put back a good copy of the run", r.ID, resultName,
			a.File)
	}
	b, err := plainfile.Read(path, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w; put back a good copy of the run", r.ID, err)
	}
	if sum(b) != a.SHA256 {
		return nil, fmt.Errorf("run %s: %s is damaged (its SHA-256 is not the recorded one); put back a good copy "+
			"of the run", r.ID, path)
	}
	return b, nil
}

// BestWeights returns the weights that validation selected, and their epoch (from 1).
func (r Record) BestWeights() (*weights.File, int, error) {
	m, err := readManifest(filepath.Join(r.Dir, manifestName))
	if err != nil {
		return nil, 0, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return bestWeights(r.ID, r.Dir, m)
}

// bestWeights reads the best weights of the newest checkpoint of m.
func bestWeights(id, dir string, m manifest) (*weights.File, int, error) {
	if len(m.Checkpoints) == 0 || m.Checkpoints[0].Best == nil {
		return nil, 0, fmt.Errorf("run %s has no best weights yet", id)
	}
	b := m.Checkpoints[0].Best
	f, err := weights.Load(filepath.Join(dir, checkpointsName, b.Name), b.SHA256)
	if err != nil {
		return nil, 0, fmt.Errorf("run %s: %w", id, err)
	}
	epoch, err := strconv.Atoi(f.Meta[metaEpoch])
	if err != nil {
		return nil, 0, fmt.Errorf("run %s: %s does not say its epoch: %w", id, b.Name, err)
	}
	return f, epoch, nil
}

// WriteFolder writes the record of s, made at once, into the folder dir: its configuration, environment and result.
// What dla has not trained itself gets a record so.
func WriteFolder(dir string, s Spec, result any) error {
	if err := atomicfile.WriteBytes(filepath.Join(dir, configName), s.Config); err != nil {
		return err
	}
	h := header{s.Experiment, s.Variant, s.Seed, s.ConfigHash(), s.Label, s.Env}
	if err := writeJSON(filepath.Join(dir, envName), h); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, resultName), result)
}

// ReadFolder reads the record of a finished run from a folder with its configuration, environment and result. A shipped
// checkpoint is such a folder.
func ReadFolder(dir string) (Record, error) {
	rec, err := readIdentity(filepath.Base(dir), dir)
	if err == nil {
		rec.Status = StatusFinished
		err = rec.readResult()
	}
	if err != nil {
		return rec, fmt.Errorf("%s does not hold the record of a finished run: %w; put back a good copy", dir, err)
	}
	return rec, nil
}
