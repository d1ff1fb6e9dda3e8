package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"dla/internal/spelling"
)

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
	// Accuracy on the test set; nil until the run is finished.
	TestAccuracy *float64 `json:"test_accuracy,omitempty"`
}

// Measure is loss and accuracy of one epoch on one part of the data.
type Measure struct {
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"accuracy"`
}

// Epoch is one line of metrics.jsonl.
type Epoch struct {
	Epoch    int      `json:"epoch"` // from 1
	Step     int      `json:"step"`  // optimiser steps so far
	LR       float64  `json:"lr"`    // of the epoch's last step
	Train    Measure  `json:"train"` // mean over the epoch's batches, each before its update
	Val      Measure  `json:"val"`
	GradNorm *float64 `json:"grad_norm,omitempty"` // mean norm before clipping, where clipping is on
}

// Record is all that is known of a run.
type Record struct {
	Summary
	Dir     string          `json:"dir"`
	Config  []byte          `json:"-"` // YAML
	Env     Env             `json:"env"`
	Result  json.RawMessage `json:"result,omitempty"` // nil until finished
	Metrics []Epoch         `json:"metrics"`
}

var validID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]*$`)

// List reads every run under root, oldest first. A directory that cannot be read as a run is listed
// as broken, with the reason. A root that is not there holds no runs.
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
		if !e.IsDir() || !validID.MatchString(e.Name()) {
			continue
		}
		for _, f := range []string{envName, statusName, lockName} {
			if _, err := os.Stat(filepath.Join(root, e.Name(), f)); err == nil {
				ids = append(ids, e.Name())
				break
			}
		}
	}
	return ids, nil
}

// Find reads the run whose id is, or uniquely begins with, id.
func Find(root, id string) (Record, error) {
	all, err := ids(root)
	if err != nil {
		return Record{}, err
	}
	if slices.Contains(all, id) {
		return read(root, id), nil
	}
	var match []string
	for _, x := range all {
		if id != "" && strings.HasPrefix(x, id) {
			match = append(match, x)
		}
	}
	switch {
	case len(match) == 1:
		return read(root, match[0]), nil
	case len(match) > 1:
		return Record{}, fmt.Errorf("%q may be any of %s", id, some(match))
	case len(all) == 0:
		return Record{}, fmt.Errorf("there are no runs under %s", root)
	}
	slices.SortStableFunc(all, func(a, b string) int { return spelling.Distance(a, id) - spelling.Distance(b, id) })
	return Record{}, fmt.Errorf("there is no run %q under %s; the nearest are %s", id, root, some(all))
}

func some(ids []string) string {
	if len(ids) > 3 {
		return strings.Join(ids[:3], ", ") + ", …"
	}
	return strings.Join(ids, ", ")
}

// read collects what the run's files say; what is wrong with them makes it broken.
func read(root, id string) Record {
	dir := filepath.Join(root, id)
	rec := Record{Summary: Summary{ID: id}, Dir: dir}
	broken := func(err error) Record {
		rec.Status, rec.Detail = StatusBroken, err.Error()
		return rec
	}
	var h header
	if err := readJSON(filepath.Join(dir, envName), &h); err != nil {
		return broken(err)
	}
	rec.Env, rec.Experiment, rec.Variant, rec.Seed = h.Env, h.Experiment, h.Variant, h.Seed
	rec.ConfigHash, rec.Started, rec.Fingerprint = h.ConfigHash, h.Started, h.Data.Fingerprint
	var st statusFile
	if err := readJSON(filepath.Join(dir, statusName), &st); err != nil {
		return broken(err)
	}
	rec.Status, rec.Detail = st.Status, st.Detail
	var err error
	if rec.Config, err = os.ReadFile(filepath.Join(dir, configName)); err != nil {
		return broken(err)
	}
	if rec.Metrics, err = readMetrics(filepath.Join(dir, metricsName)); err != nil {
		return broken(err)
	}
	rec.Epochs = len(rec.Metrics)
	switch rec.Status {
	case StatusFinished:
		if err := readJSON(filepath.Join(dir, resultName), &rec.Result); err != nil {
			return broken(err)
		}
		var res struct {
			Test *struct {
				Accuracy float64 `json:"accuracy"`
			} `json:"test"`
		}
		if err := json.Unmarshal(rec.Result, &res); err != nil {
			return broken(fmt.Errorf("%s: %w", resultName, err))
		}
		if res.Test != nil {
			rec.TestAccuracy = &res.Test.Accuracy
		}
	case StatusRunning:
		if !owned(dir) {
			rec.Status, rec.Detail = StatusInterrupted, "its process ended without a word"
		}
	case StatusInterrupted, StatusPaused, StatusFailed:
	default:
		return broken(fmt.Errorf("%s: unknown status %q", statusName, rec.Status))
	}
	return rec
}

// owned says whether a live process holds the run's lock.
func owned(dir string) bool {
	l := flock.New(filepath.Join(dir, lockName))
	ok, err := l.TryRLock()
	if err != nil {
		return false
	}
	if ok {
		return l.Unlock() != nil
	}
	return true
}

// readMetrics reads metrics.jsonl; a last line without its end is still being written and left out.
func readMetrics(path string) ([]Epoch, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Epoch
	for line := 1; ; line++ {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return all, nil
		}
		var e Epoch
		if err := json.Unmarshal(b[:end], &e); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		all, b = append(all, e), b[end+1:]
	}
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Remove deletes the run whose id is exactly id. A run that a live process owns is refused, and
// nothing outside root is ever touched.
func Remove(root, id string) error {
	all, err := ids(root)
	if err != nil {
		return err
	}
	if !slices.Contains(all, id) {
		_, err := Find(root, id)
		return errors.Join(fmt.Errorf("no run is removed: the whole id is needed"), err)
	}
	if owned(filepath.Join(root, id)) {
		return fmt.Errorf("run %s is being trained by another process; stop it first", id)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	if err := r.RemoveAll(id); err != nil {
		return errors.Join(fmt.Errorf("removing run %s: %w", id, err), r.Close())
	}
	return r.Close()
}
