package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"dla/internal/plainfile"
)

// Follower reads a run's folder again and again while its process trains. It asks the process nothing, writes nothing,
// and reads of metrics.jsonl and log.jsonl only what is new.
type Follower struct {
	Record // Metrics grow; all else is as of the last change of its files

	state   string // of the files that tell status and result, and whether a process owns the run
	metrics tail
	log     tail
	times   map[int]time.Time // by epoch
}

// Follow returns a Follower of the run in the folder dir. Update reads it.
func Follow(dir string) *Follower {
	dir = filepath.Clean(dir)
	f := &Follower{times: map[int]time.Time{}}
	f.ID, f.Dir = filepath.Base(dir), dir
	f.metrics.path, f.log.path = filepath.Join(dir, metricsName), filepath.Join(dir, logName)
	return f
}

// Folders returns the folders of the runs under root, oldest first. A missing root holds no runs.
func Folders(root string) ([]string, error) {
	all, err := ids(root)
	for i, id := range all {
		all[i] = filepath.Join(root, id)
	}
	return all, err
}

// IsFolder reports whether dir is the folder of a run.
func IsFolder(dir string) bool {
	for _, f := range []string{envName, statusName, lockName} {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			return validID.MatchString(filepath.Base(filepath.Clean(dir)))
		}
	}
	return false
}

// Update reads what is new. A run that is not readable becomes broken, as in List.
func (f *Follower) Update() {
	if state := f.stateNow(); state != f.state {
		f.state = state
		f.Record = read(filepath.Dir(f.Dir), f.ID)
		f.metrics.at = f.lines
	}
	if f.Status == StatusBroken {
		return
	}
	if err := f.grow(); err != nil {
		f.state = "" // the next Update may find it whole
		f.Status, f.Detail, f.broken = StatusBroken, err.Error(), err
		f.again()
	}
}

// again makes the next grow read metrics.jsonl from its begin.
func (f *Follower) again() { f.Metrics, f.metrics.at, f.Epochs = nil, 0, 0 }

// stateNow describes the files that tell what the run is and how far it has come, and whether a process owns it.
func (f *Follower) stateNow() string {
	state := fmt.Sprint(f.Status != StatusFinished && owned(f.Dir))
	for _, name := range []string{envName, configName, statusName, resumedName, resultName} {
		state += "|"
		if st, err := os.Stat(filepath.Join(f.Dir, name)); err == nil {
			state += fmt.Sprint(st.ModTime().UnixNano(), st.Size())
		}
	}
	return state
}

// grow reads the epochs that are new. A resumed run is cut back to its checkpoint, and then all are read.
func (f *Follower) grow() error {
	if f.metrics.cut() {
		f.again()
	}
	b, err := f.metrics.more()
	if err != nil {
		return err
	}
	more, err := parseMetrics(f.metrics.path, b)
	if err != nil {
		return err
	}
	if n := len(f.Metrics); n > 0 && len(more) > 0 && more[0].Epoch != f.Metrics[n-1].Epoch+1 {
		f.again() // cut back and grown again since the last time
		return f.grow()
	}
	f.Metrics = append(f.Metrics, more...)
	f.Epochs = len(f.Metrics)
	return nil
}

// Ended returns when each of Metrics was recorded, zero where log.jsonl does not say: it does so a moment later.
func (f *Follower) Ended() []time.Time {
	b, _ := f.log.more() // a log that cannot be read says nothing
	for line := range bytes.Lines(b) {
		var e struct {
			Msg   string    `json:"msg"`
			Epoch int       `json:"epoch"`
			Time  time.Time `json:"time"`
		}
		if json.Unmarshal(line, &e) == nil && e.Msg == "epoch" { // a process may have been killed within a line
			f.times[e.Epoch] = e.Time
		}
	}
	all := make([]time.Time, len(f.Metrics))
	for i, m := range f.Metrics {
		all[i] = f.times[m.Epoch]
	}
	return all
}

// tail is a file of lines that grows.
type tail struct {
	path string
	at   int64 // bytes read
}

// cut reports whether the file is shorter than what was read of it.
func (t *tail) cut() bool {
	st, err := os.Stat(t.path)
	return err == nil && st.Size() < t.at
}

// more returns the whole lines that were not read before. A file that is not there has none.
func (t *tail) more() ([]byte, error) {
	f, size, err := plainfile.Open(t.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size-t.at > MaxFile {
		return nil, fmt.Errorf("%s has more than %d bytes; put a good copy in its place", t.path, MaxFile)
	}
	if size <= t.at {
		return nil, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(f, t.at, size-t.at))
	if err != nil {
		return nil, err
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	t.at += int64(len(b))
	return b, nil
}
