// Package run keeps the record of an experiment: a directory with its configuration, environment, metrics, checkpoints
// and result. Everything shown later is made from it.
//
//	config.yaml      the resolved configuration
//	env.json         version, machine, kernels and data fingerprint at the start; the SHA-256 of config.yaml
//	resumed.json     the same for each time it was resumed
//	status.json      running, interrupted, paused, trained, failed or finished; then the SHA-256 of the record's files
//	metrics.jsonl    one line an epoch; nothing in it depends on time or machine load
//	log.jsonl        times and warnings
//	manifest.json    which checkpoint files are current, with their SHA-256 (checkpoint.go)
//	checkpoints/     safetensors
//	result.json      the result of a finished run
//	figures/
//	annotation.json  what its owner says about the run: a note, tags; no part of the record
//
// One process owns a run: it holds a lock that the system releases when the process dies, so a killed run needs no
// clean-up. Nothing writes to a finished run.
package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/plainfile"
)

// Status is the state of a run.
type Status string

// The statuses. List gives StatusBroken to a directory that is not a readable run.
const (
	StatusRunning     Status = "running"
	StatusInterrupted Status = "interrupted" // by a signal, or its process died
	StatusPaused      Status = "paused"      // by a time limit
	StatusTrained     Status = "trained"     // all epochs are done; not evaluated on the test set: a trial of a sweep
	StatusFailed      Status = "failed"
	StatusFinished    Status = "finished"
	StatusBroken      Status = "broken"
)

// DataInfo identifies the data of a run.
type DataInfo struct {
	Name        string `json:"name"`
	Source      string `json:"source"`
	Fingerprint string `json:"fingerprint"`
	Synthetic   bool   `json:"synthetic"`

	// Mean and standard deviation that the network standardizes each channel with. They are missing for a network that
	// does not standardize, and from older records.
	Mean []float64 `json:"mean,omitempty"`
	Std  []float64 `json:"std,omitempty"`

	Own *OwnData `json:"own,omitempty"` // of data of the user's own, which no catalogue describes
}

// OwnData describes data of the user's own. Name in DataInfo is the short name of Path.
type OwnData struct {
	Path     string   `json:"path"` // absolute, of the machine that the run was made on
	Height   int      `json:"height"`
	Width    int      `json:"width"`
	Channels int      `json:"channels"`
	Classes  []string `json:"classes"`
	Train    int      `json:"train"`         // images
	Val      int      `json:"val,omitempty"` // of the validation set that the data have; 0: it was drawn
	Test     int      `json:"test"`
}

// Env identifies program, machine and data of a run.
type Env struct {
	Version   string    `json:"version"`
	Revision  string    `json:"revision"`
	Dirty     bool      `json:"dirty"`
	GoVersion string    `json:"go_version"`
	OS        string    `json:"os"`
	Arch      string    `json:"arch"`
	CPU       string    `json:"cpu"`
	Threads   int       `json:"threads"`
	Kernel    string    `json:"kernel"`
	Data      DataInfo  `json:"data"`
	Command   []string  `json:"command"`
	Started   time.Time `json:"started"`
}

// Spec is what a run records when it begins.
type Spec struct {
	Experiment string // lab1/resnet
	Variant    string // mlp-d5-res
	Seed       uint64
	Config     []byte // resolved, YAML
	Label      *Label // nil: tables show the variant's name
	Env        Env
}

// Label describes what a run trains, for tables and figures. Older records have none.
type Label struct {
	Network string `json:"network"`          // without skip connections: d5, small, 20 layers; MiniLM
	Order   int    `json:"order"`            // rank of the network in tables
	Skips   string `json:"skips,omitempty"`  // residual or plain; empty for networks without the choice
	Method  string `json:"method,omitempty"` // distilled, adversarially fine-tuned; LoRA q,v, rank 8
	Recipe  string `json:"recipe,omitempty"` // settings of the method that distinguish two runs of a network
}

// ConfigHash returns the SHA-256 (hex) of the settings, which identifies runs with equal settings.
func (s Spec) ConfigHash() string { return config.Hash(s.Config) }

// header is the content of env.json.
type header struct {
	Experiment string `json:"experiment"`
	Variant    string `json:"variant"`
	Seed       uint64 `json:"seed"`
	ConfigHash string `json:"config_hash"`
	Label      *Label `json:"label,omitempty"`
	Env
}

// statusFile is the content of status.json.
type statusFile struct {
	Status  Status    `json:"status"`
	Detail  string    `json:"detail,omitempty"`
	Updated time.Time `json:"updated"`

	// SHA256 (hex) covers the files of a finished run that no other hash covers. Older records have none.
	SHA256 map[string]string `json:"sha256,omitempty"`
}

const (
	configName      = "config.yaml"
	envName         = "env.json"
	resumedName     = "resumed.json"
	statusName      = "status.json"
	metricsName     = "metrics.jsonl"
	logName         = "log.jsonl"
	resultName      = "result.json"
	checkpointsName = "checkpoints"
	figuresName     = "figures"
)

// Bounds on the size of a run's files, in bytes, far above real ones. Checkpoints have the bound of package weights.
const (
	MaxFile   = 64 << 20
	maxConfig = 64 << 10 // parsing YAML takes time quadratic in its keys
)

// validID matches a run's id: a plain file name on every system.
var validID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]*$`)

// Run is a run this process owns.
type Run struct {
	id, dir  string
	lock     *flock.Flock // nil once closed
	metrics  *metricsFile
	logFile  *os.File
	log      *slog.Logger
	manifest manifest
	restored bool // manifest and metrics match the disk
	finished bool

	// Guard is called before each write to the record, where not nil, and fails it by returning an error: the process
	// may have lost the run to one on another machine, whose lock this one does not see.
	Guard func() error
}

// Create makes a new run under root, named after time, variant and seed. This process owns it.
func Create(root string, s Spec) (*Run, error) {
	base := fmt.Sprintf("%s-%s-s%d", time.Now().Format("20060102-150405"), s.Variant, s.Seed)
	if !validID.MatchString(base) {
		return nil, fmt.Errorf("%q is not a valid name of a run; a variant's name has letters, digits, dots and dashes",
			base)
	}
	if err := atomicfile.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("no run can be recorded under %s: %w; choose another folder with --out", root, err)
	}
	sweepStubs(root)
	for n := 1; ; n++ {
		id := base
		if n > 1 {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		if _, err := os.Lstat(filepath.Join(root, id)); err == nil {
			continue
		}
		r, err := CreateAs(root, id, s)
		if errors.Is(err, atomicfile.ErrNotEmpty) { // another process began one of the same name in the meantime
			continue
		}
		return r, err
	}
}

// CreateAs is Create of a run called id, under a root that is there. If there is one, the error wraps
// atomicfile.ErrNotEmpty.
func CreateAs(root, id string, s Spec) (*Run, error) {
	if !validID.MatchString(id) {
		return nil, fmt.Errorf("%q is not a valid name of a run", id)
	}
	r := &Run{id: id, restored: true}
	if err := r.begin(root, s); err != nil {
		return nil, fmt.Errorf("no run can be recorded under %s: %w; free some space there or choose another folder "+
			"with --out", root, errors.Join(err, r.Close()))
	}
	return r, nil
}

// begin makes the run's folder, in one step: there is none of which nobody can tell what it was to be.
func (r *Run) begin(root string, s Spec) (err error) {
	dir := filepath.Join(root, r.id)
	var made os.FileInfo // a file in the folder, by which it is known again
	defer func() {
		at, statErr := os.Stat(filepath.Join(dir, envName))
		if err != nil && made != nil && statErr == nil && os.SameFile(made, at) {
			err = errors.Join(err, r.Close(), os.RemoveAll(dir)) // nothing is in it yet
		}
	}()
	err = atomicfile.NewFolder(dir, 0o777, func(tmp string) error {
		r.dir = tmp
		for _, d := range []string{checkpointsName, figuresName} {
			if err := os.Mkdir(r.path(d), 0o777); err != nil {
				return err
			}
		}
		if err := atomicfile.WriteBytes(r.path(configName), s.Config); err != nil {
			return err
		}
		h := header{s.Experiment, s.Variant, s.Seed, s.ConfigHash(), s.Label, s.Env}
		if err := writeJSON(r.path(envName), h); err != nil {
			return err
		}
		if err := r.writeStatus(statusFile{Status: StatusRunning}); err != nil {
			return err
		}
		if runtime.GOOS != "windows" { // where no folder is renamed that a file is open in
			if r.lock, err = take(r.id, tmp); err != nil {
				return err
			}
		}
		made, err = os.Stat(r.path(envName))
		return err
	})
	r.dir = dir
	if err != nil {
		return err
	}
	if r.lock == nil {
		if r.lock, err = take(r.id, dir); err != nil {
			return err
		}
	}
	return r.openFiles()
}

// stubAge is how long a stub must have been there to be deleted: an earlier version may be beginning it.
const stubAge = time.Minute

// sweepStubs deletes from root the folders of runs that processes of earlier versions were killed in beginning: they
// hold nothing, and nobody can tell what they were to be.
func sweepStubs(root string) {
	list, _ := os.ReadDir(root) // what cannot be looked at or deleted is in nobody's way
	for _, e := range list {
		dir := filepath.Join(root, e.Name())
		if st, err := e.Info(); err == nil && e.IsDir() && stub(dir) && !owned(dir) &&
			time.Since(st.ModTime()) > stubAge {
			_ = os.RemoveAll(dir)
		}
	}
}

// stub says whether dir is the folder of a run that was never begun, and holds no file of anybody else's.
func stub(dir string) bool {
	list, err := os.ReadDir(dir)
	if err != nil || !slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() == lockName }) {
		return false
	}
	for _, e := range list {
		switch name := e.Name(); {
		case name == lockName, name == configName, atomicfile.IsTemporary(name):
		case name == checkpointsName, name == figuresName:
			if in, err := os.ReadDir(filepath.Join(dir, name)); err != nil || len(in) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// Resume takes over the interrupted, paused or failed run id for this process, which here describes; the record keeps
// here. It refuses a finished run, a run that a live process owns and, unless otherKernels is set, a run made with
// other kernels so far. The caller must call Restore next.
func Resume(root, id string, here Env, otherKernels bool) (*Run, error) {
	id, err := resolve(root, id)
	if err != nil {
		return nil, err
	}
	if err := notLinked(root, id, "resume"); err != nil {
		return nil, err
	}
	r := &Run{id: id, dir: filepath.Join(root, id)}
	if err := ownFiles(r.dir); err != nil {
		return nil, unusable(r.dir, err)
	}
	if r.lock, err = take(r.id, r.dir); err != nil {
		return nil, err
	}
	if err := r.takeOver(here, otherKernels); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// takeOver readies a run that this process has just locked.
func (r *Run) takeOver(here Env, otherKernels bool) error {
	rec, err := readIdentity(r.id, r.dir)
	if err != nil {
		return unusable(r.dir, err)
	}
	if rec.Status == StatusFinished {
		return fmt.Errorf("run %s is finished and stays as it is; see it with %s", r.id, r.command("show"))
	}
	if err := rec.SameKernels(here); err != nil && !otherKernels {
		return err
	}
	for _, d := range []string{checkpointsName, figuresName} { // the process may have died before it made them
		if err := os.MkdirAll(r.path(d), 0o777); err != nil {
			return unusable(r.dir, err)
		}
	}
	if err := r.openFiles(); err != nil {
		return fmt.Errorf("run %s: %w; check the permissions of %s", r.id, err, r.dir)
	}
	r.sweepTemporary()
	here.Data = rec.Env.Data // the caller has compared the data
	if err := writeJSON(r.path(resumedName), append(rec.Resumed, here)); err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	if err := r.SetStatus(StatusRunning, "resumed"); err != nil {
		return err
	}
	r.log.Info("resumed")
	return nil
}

// SameKernels returns an error where r was made with other kernels so far than those of here: kernels round
// differently, so the run would end in other bits.
func (r Record) SameKernels(here Env) error {
	so := r.Env
	if n := len(r.Resumed); n > 0 {
		so = r.Resumed[n-1]
	}
	if so.Kernel == here.Kernel && so.Arch == here.Arch {
		return nil
	}
	remedy := "go on where it was"
	if so.Arch == here.Arch {
		remedy = fmt.Sprintf("set DLA_KERNEL=%s on a machine that has them", so.Kernel)
	}
	return fmt.Errorf("run %s was made with %s kernels (%s) so far; this process has %s kernels (%s), which round "+
		"differently; %s, or continue with other bits by --allow-other-kernels, which the record will say",
		r.ID, so.Kernel, so.Arch, here.Kernel, here.Arch, remedy)
}

// openFiles opens the files that are appended to. Their names are durable before any checkpoint depends on them.
func (r *Run) openFiles() error {
	var err error
	if r.metrics, err = openMetrics(r.path(metricsName)); err != nil {
		return err
	}
	if r.logFile, err = os.OpenFile(r.path(logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666); err != nil {
		return err
	}
	r.log = slog.New(slog.NewJSONHandler(r.logFile, nil))
	return atomicfile.SyncDir(r.dir)
}

func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Run) command(verb string) string { return command(r.dir, verb) }

// command returns the command line that applies verb to the run in dir, for error messages.
func command(dir, verb string) string {
	return "`" + Record{Summary: Summary{ID: filepath.Base(dir)}, Dir: dir}.Command(verb) + "`"
}

// unusable adds the remedy to err, which makes the run in dir unusable.
func unusable(dir string, err error) error {
	return fmt.Errorf("run %s: %w; put back a good copy, or remove the run with %s and train again", filepath.Base(dir),
		err, command(dir, "rm"))
}

// ID returns the run's id, unique under its root.
func (r *Run) ID() string { return r.id }

// Dir returns the run's directory.
func (r *Run) Dir() string { return r.dir }

// Logger returns the logger that writes to log.jsonl.
func (r *Run) Logger() *slog.Logger { return r.log }

// AppendMetrics appends one line to metrics.jsonl. The next Save makes it part of the record.
func (r *Run) AppendMetrics(rec any) error {
	if err := r.writable(); err != nil {
		return err
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("run %s: metrics: %w", r.id, err)
	}
	if err := r.metrics.add(append(b, '\n')); err != nil {
		return fmt.Errorf("run %s: writing %s: %w; once that is possible, continue with %s", r.id, r.path(metricsName),
			err, r.command("resume"))
	}
	return nil
}

// SetStatus records the run's status with an optional reason. Only Finish sets StatusFinished.
func (r *Run) SetStatus(s Status, detail string) error {
	if err := r.open(); err != nil {
		return err
	}
	if !slices.Contains([]Status{StatusRunning, StatusInterrupted, StatusPaused, StatusTrained, StatusFailed}, s) {
		return fmt.Errorf("run %s cannot be given the status %q", r.id, s)
	}
	return r.writeStatus(statusFile{Status: s, Detail: detail})
}

func (r *Run) writeStatus(st statusFile) error {
	st.Updated = time.Now().UTC().Truncate(time.Second)
	if err := writeJSON(r.path(statusName), st); err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	return nil
}

// Finish records the result and closes the run to all further writing.
func (r *Run) Finish(result any) error {
	if err := r.writable(); err != nil {
		return err
	}
	_, metricsSHA, err := r.metrics.sync()
	if err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	if err := writeJSON(r.path(resultName), result); err != nil {
		return fmt.Errorf("run %s: %w", r.id, err)
	}
	sums := map[string]string{metricsName: metricsSHA}
	for _, name := range []string{envName, resumedName, resultName} {
		b, err := plainfile.Read(r.path(name), MaxFile)
		if name == resumedName && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("run %s: %w", r.id, err)
		}
		sums[name] = sum(b)
	}
	// Write the status last: it makes the result valid.
	if err := r.writeStatus(statusFile{Status: StatusFinished, SHA256: sums}); err != nil {
		return err
	}
	r.finished = true
	return nil
}

// open returns an error once the run is closed or finished.
func (r *Run) open() error {
	if r.finished {
		return fmt.Errorf("run %s is finished and cannot be changed", r.id)
	}
	if r.lock == nil {
		return fmt.Errorf("run %s is closed", r.id)
	}
	if r.Guard != nil {
		return r.Guard()
	}
	return nil
}

// writable returns an error where the record cannot be appended to: a resumed run must be restored first, or its
// checkpoints would be forgotten.
func (r *Run) writable() error {
	if err := r.open(); err != nil {
		return err
	}
	if !r.restored {
		return fmt.Errorf("run %s was resumed and not restored", r.id)
	}
	return nil
}

// Close releases the run. From then on, a run that is neither finished nor given another status is listed as
// interrupted.
func (r *Run) Close() error {
	var errs []error
	if r.metrics != nil {
		errs = append(errs, r.metrics.f.Close())
		r.metrics = nil
	}
	if r.logFile != nil {
		errs = append(errs, r.logFile.Close())
		r.logFile = nil
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Unlock())
		r.lock = nil
	}
	return errors.Join(errs...)
}

// sum returns the SHA-256 (hex) of b.
func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, append(b, '\n'))
}
