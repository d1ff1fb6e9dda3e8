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
	metrics Tail
	logged  int64             // bytes read of log.jsonl
	times   map[int]time.Time // of epochs, from it
}

// Follow returns a Follower of the run in the folder dir. Update reads it.
func Follow(dir string) *Follower {
	dir = filepath.Clean(dir)
	f := &Follower{times: map[int]time.Time{}}
	f.ID, f.Dir = filepath.Base(dir), dir
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

// Update reads what is new. A run that is not readable becomes broken, as in List.
func (f *Follower) Update() {
	if state := f.stateNow(); state != f.state {
		f.state = state
		f.Record, f.metrics = Glance(f.Dir), Tail{Dir: f.Dir}
		f.Metrics = nil // Tail reads them
	}
	if f.Status == StatusBroken {
		return
	}
	epochs, again, err := f.metrics.Next()
	if err != nil {
		f.state = "" // the next Update may find it whole
		f.Status, f.Detail, f.broken = StatusBroken, err.Error(), err
		f.Metrics, f.Epochs = nil, 0
		return
	}
	if again {
		f.Metrics = nil
	}
	f.Metrics = append(f.Metrics, epochs...)
	f.Epochs = len(f.Metrics)
}

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

// Ended returns when each of Metrics was recorded, zero where log.jsonl does not say: it does so a moment later.
func (f *Follower) Ended() []time.Time {
	b, _ := f.newLog() // a log that cannot be read says nothing
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

// newLog returns the whole lines of log.jsonl that were not read before. A log that is not there has none.
func (f *Follower) newLog() ([]byte, error) {
	path := filepath.Join(f.Dir, logName)
	file, size, err := plainfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size-f.logged > MaxFile {
		return nil, fmt.Errorf("%s has more than %d bytes; put a good copy in its place", path, MaxFile)
	}
	if size <= f.logged {
		return nil, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(file, f.logged, size-f.logged))
	if err != nil {
		return nil, err
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	f.logged += int64(len(b))
	return b, nil
}
