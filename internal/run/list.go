package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/plainfile"
	"dla/internal/spelling"
)

// Died is the detail of a run that says that it is being trained, and that no process owns.
const Died = "its process died"

// Summary is a run in a listing.
type Summary struct {
	ID          string    `json:"id"`
	Experiment  string    `json:"experiment"`
	Variant     string    `json:"variant"`
	Seed        uint64    `json:"seed"`
	Status      Status    `json:"status"`
	Detail      string    `json:"detail,omitempty"`
	Started     time.Time `json:"started"`
	ConfigHash  string    `json:"config_hash"`
	Fingerprint string    `json:"data_fingerprint"`
	Epochs      int       `json:"epochs"` // recorded so far
	// Accuracy on the test set; nil before the run is finished and for results without one.
	TestAccuracy *float64 `json:"test_accuracy,omitempty"`

	Annotation
}

// Record holds all that is known of a run.
type Record struct {
	Summary
	Dir     string          `json:"dir"`
	Label   *Label          `json:"label,omitempty"`   // nil in older records
	Config  []byte          `json:"-"`                 // YAML
	Env     Env             `json:"env"`               // when the run began
	Resumed []Env           `json:"resumed,omitempty"` // each time it was resumed
	Result  json.RawMessage `json:"result,omitempty"`  // nil until finished
	Metrics []Epoch         `json:"metrics"`

	broken error             // why it is broken, if its status is StatusBroken
	sha256 map[string]string // of its files, from status.json
}

// Damage returns the error of a broken run, with the remedy; nil for any other run.
func (r Record) Damage() error {
	if r.broken == nil {
		return nil
	}
	return unusable(r.Dir, r.broken)
}

// List reads every run under root, oldest first. It lists a directory that is not a readable run as broken, with the
// reason. A missing root holds no runs.
func List(root string) ([]Summary, error) {
	ids, err := ids(root)
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, id := range ids {
		all = append(all, read(root, id).Summary)
	}
	return all, nil
}

func ids(root string) ([]string, error) {
	dir, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("runs under %s: %w", root, err)
	}
	var ids []string
	for _, e := range dir {
		if validID.MatchString(e.Name()) && isFolder(root, e) && Is(filepath.Join(root, e.Name())) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Is reports whether the folder dir is that of a run, which may be damaged.
func Is(dir string) bool {
	if !validID.MatchString(filepath.Base(dir)) {
		return false
	}
	for _, f := range []string{envName, statusName, lockName} {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			return true
		}
	}
	return false
}

// isFolder reports whether the entry e of root is a folder or a link to one: runs may lie on another disk.
func isFolder(root string, e os.DirEntry) bool {
	if e.Type()&os.ModeSymlink == 0 {
		return e.IsDir()
	}
	st, err := os.Stat(filepath.Join(root, e.Name()))
	return err == nil && st.IsDir()
}

// notLinked returns an error where the run id under root is a link: dla writes and removes nothing through a link. verb
// is the refused command.
func notLinked(root, id, verb string) error {
	path := filepath.Join(root, id)
	st, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("run %s: %w", id, err)
	}
	if st.Mode()&os.ModeSymlink == 0 {
		return nil
	}
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("run %s: %w", id, err)
	}
	return fmt.Errorf("run %s is a link to %s, and a link to a run is only read; use `%s`", id, to,
		Command(filepath.Dir(to), "runs", verb, filepath.Base(to)))
}

// Saved reports whether r has a checkpoint to resume from.
func (r Record) Saved() bool {
	m, err := readManifest(filepath.Join(r.Dir, manifestName))
	return err != nil || len(m.Checkpoints) > 0 // Restore reports a damaged one
}

// Position returns the completed epochs of the newest checkpoint and the steps behind them; zero where there is none.
func (r Record) Position() (epoch, step int) {
	m, err := readManifest(filepath.Join(r.Dir, manifestName))
	if err != nil || len(m.Checkpoints) == 0 {
		return 0, 0
	}
	return m.Checkpoints[0].Epoch, m.Checkpoints[0].Step
}

// Find reads the run whose id is, or uniquely begins with, id. A broken run is an error that names the remedy: none of
// its content is reliable.
func Find(root, id string) (Record, error) {
	rec, err := Examine(root, id)
	if err == nil {
		err = rec.Damage()
	}
	return rec, err
}

// Examine is Find for commands that show or remove a run: a broken run is no error.
func Examine(root, id string) (Record, error) {
	id, err := resolve(root, id)
	if err != nil {
		return Record{}, err
	}
	return read(root, id), nil
}

// IDs returns the ids of the runs under root, oldest first. A missing root holds no runs.
func IDs(root string) ([]string, error) { return ids(root) }

// resolve returns the full id of the run whose id is, or uniquely begins with, id.
func resolve(root, id string) (string, error) {
	if validID.MatchString(id) && Is(filepath.Join(root, id)) { // without reading root, which may hold thousands
		return id, nil
	}
	all, err := ids(root)
	if err != nil {
		return "", err
	}
	var match []string
	for _, x := range all {
		if id != "" && strings.HasPrefix(x, id) {
			match = append(match, x)
		}
	}
	switch {
	case len(match) == 1:
		return match[0], nil
	case len(match) > 1:
		return "", fmt.Errorf("%q may be any of %s; give more characters of the id", id, some(match))
	case len(all) == 0:
		return "", fmt.Errorf("there are no runs under %s", root)
	}
	slices.SortStableFunc(all, func(a, b string) int { return spelling.Distance(a, id) - spelling.Distance(b, id) })
	return "", fmt.Errorf("there is no run %q under %s; the nearest are %s", id, root, some(all))
}

func some(ids []string) string {
	if len(ids) > 3 {
		return strings.Join(ids[:3], ", ") + ", …"
	}
	return strings.Join(ids, ", ")
}

// readIdentity reads what a run records when it begins, and its recorded status. Every reader of records calls it:
// settings other than those that the run began with are an error.
func readIdentity(id, dir string) (Record, error) {
	rec := Record{Summary: Summary{ID: id}, Dir: dir}
	var h header
	env, err := readJSON(filepath.Join(dir, envName), &h)
	if err != nil {
		return rec, err
	}
	if err := h.checkNames(); err != nil {
		return rec, fmt.Errorf("%s: %w", filepath.Join(dir, envName), err)
	}
	rec.Env, rec.Experiment, rec.Variant, rec.Seed, rec.Label = h.Env, h.Experiment, h.Variant, h.Seed, h.Label
	rec.ConfigHash, rec.Started, rec.Fingerprint = h.ConfigHash, h.Started, h.Data.Fingerprint
	settings := filepath.Join(dir, configName)
	if rec.Config, err = plainfile.Read(settings, maxConfig); err != nil {
		return rec, err
	}
	if now := config.Hash(rec.Config); now != h.ConfigHash {
		return rec, fmt.Errorf("%s is not what the run began with: its SHA-256 is %.12s…, in %s it is %.12s… "+
			"(config_hash)",
			settings, now, envName, h.ConfigHash)
	}
	var st statusFile
	if _, err := readJSON(filepath.Join(dir, statusName), &st); errors.Is(err, os.ErrNotExist) {
		st.Status = StatusRunning // or it died before it recorded a status
		if _, err := os.Lstat(filepath.Join(dir, resultName)); err == nil {
			st.Status = StatusFinished // status.json was lost: only a finished run has a result
		}
	} else if err != nil {
		return rec, err
	}
	rec.Status, rec.Detail, rec.sha256 = st.Status, st.Detail, st.SHA256
	if err := rec.intact(envName, env); err != nil {
		return rec, err
	}
	resumed, err := readJSON(filepath.Join(dir, resumedName), &rec.Resumed)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return rec, err
	}
	if err := rec.intact(resumedName, resumed); err != nil {
		return rec, err
	}
	switch st.Status {
	case StatusRunning, StatusInterrupted, StatusPaused, StatusTrained, StatusFailed, StatusFinished:
		return rec, nil
	}
	return rec, fmt.Errorf("%s: unknown status %q", filepath.Join(dir, statusName), st.Status)
}

// read collects the content of the run's files. An error in them makes the run broken.
func read(root, id string) Record { return readWith(root, id, parseMetrics) }

// readWith is read with the function that parses metrics.jsonl.
func readWith(root, id string, parse func(path string, b []byte) ([]Epoch, error)) Record {
	dir := filepath.Join(root, id)
	rec, err := readIdentity(id, dir)
	rec.Annotation = annotationOf(dir)
	if errors.Is(err, os.ErrNotExist) && owned(dir) {
		rec.Status, rec.Detail = StatusRunning, "starting"
		return rec
	}
	if errors.Is(err, os.ErrNotExist) && empty(dir) {
		err = errors.New("its process died before the run began; it holds nothing")
		if stub(dir) {
			err = fmt.Errorf("%w; the next run that is begun under %s deletes it", err, root)
		}
	}
	if err == nil {
		err = rec.readMetrics(parse)
	}
	if err == nil && rec.Status == StatusFinished {
		err = rec.readResult()
	}
	if err != nil {
		rec.Status, rec.Detail, rec.broken = StatusBroken, err.Error(), err
		return rec
	}
	if rec.Status == StatusRunning && !owned(dir) {
		rec.Status, rec.Detail = StatusInterrupted, Died
	}
	return rec
}

// empty reports whether the run in dir never began.
func empty(dir string) bool {
	for _, name := range []string{envName, statusName, manifestName, resultName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// intact returns an error unless the file name with content b is unchanged since r was finished. Records are read whole
// anyway, so the check is cheap. Older and unfinished records have no SHA-256 to compare with.
func (r *Record) intact(name string, b []byte) error {
	if want, known := r.sha256[name]; known && sum(b) != want {
		return fmt.Errorf("%s is damaged: its SHA-256 is not the one in %s", filepath.Join(r.Dir, name), statusName)
	}
	return nil
}

// readMetrics reads metrics.jsonl. That of a finished run must be unchanged.
func (r *Record) readMetrics(parse func(path string, b []byte) ([]Epoch, error)) error {
	path := filepath.Join(r.Dir, metricsName)
	b, err := plainfile.Read(path, MaxFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if r.Status == StatusFinished {
		if err := r.intact(metricsName, b); err != nil {
			return err
		}
		if r.sha256 == nil { // an older record: its last checkpoint has the SHA-256
			m, err := readManifest(filepath.Join(r.Dir, manifestName))
			if err != nil {
				return err
			}
			if len(m.Checkpoints) > 0 && sum(b) != m.Checkpoints[0].MetricsSHA256 {
				return fmt.Errorf("%s is damaged: its SHA-256 is not the one in %s", path, manifestName)
			}
		}
	}
	if r.Metrics, err = parse(path, b); err != nil {
		return err
	}
	r.Epochs = bytes.Count(b, []byte{'\n'})
	return nil
}

func (r *Record) readResult() error {
	path := filepath.Join(r.Dir, resultName)
	b, err := readJSON(path, &r.Result)
	if err != nil {
		return err
	}
	if err := r.intact(resultName, b); err != nil {
		return err
	}
	var res struct {
		Test struct {
			Accuracy *float64 `json:"accuracy"`
		} `json:"test"`
	}
	if err := json.Unmarshal(r.Result, &res); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := checkSets(r.Result); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.TestAccuracy = res.Test.Accuracy
	return nil
}

// readJSON reads the file path into v and returns its content.
func readJSON(path string, v any) ([]byte, error) {
	b, err := plainfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return b, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Remove deletes the run whose id is exactly id. It refuses a run that a live process owns, and touches nothing outside
// root: it deletes links inside the run and does not follow them.
func Remove(root, id string) error {
	full, err := resolve(root, id)
	if err != nil {
		return err
	}
	if full != id {
		return fmt.Errorf("%q is the beginning of %s; to remove that run give its whole id", id, full)
	}
	if err := notLinked(root, id, "rm"); err != nil {
		return err
	}
	atomicfile.Sweep(root)
	dir := filepath.Join(root, id)
	lock, err := take(id, dir)
	if err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return errors.Join(fmt.Errorf("removing run %s: %w", id, err), lock.Unlock())
	}
	// Rename the run under the lock first: if anything interrupts the rest, the run is gone, and the next writer of
	// root deletes the remains. Release the lock before deleting: some systems delete no open file, and Windows renames
	// no folder that contains one.
	if runtime.GOOS == "windows" {
		err = lock.Unlock()
	}
	gone := filepath.Base(atomicfile.Temporary(root))
	if err == nil {
		err = r.Rename(id, gone)
	}
	if err == nil { // or a power cut may bring the run back without what is deleted now
		err = atomicfile.SyncDir(root)
	}
	err = errors.Join(err, lock.Unlock())
	if err == nil {
		err = atomicfile.Check("remove", dir)
	}
	if err == nil {
		err = r.RemoveAll(gone)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("removing run %s: %w; check the permissions of %s", id, err, dir)
	}
	return nil
}
