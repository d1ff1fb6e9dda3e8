package run

import (
	"bytes"
	"os"
	"path/filepath"
)

// Glance reads the run in the folder dir as List does, with the last epoch alone of its metrics: Epochs counts them
// all. It takes little time however many there are.
func Glance(dir string) Record {
	return readWith(filepath.Dir(dir), filepath.Base(dir), lastEpoch)
}

// lastEpoch parses the last line of the content b of the file path, a metrics.jsonl.
func lastEpoch(path string, b []byte) ([]Epoch, error) {
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return nil, nil
	}
	b = b[:end+1]
	return parseMetrics(path, b[bytes.LastIndexByte(b[:end], '\n')+1:])
}

// Read reads the run in the folder dir, as Examine does for one of the folder it lies in.
func Read(dir string) Record { return read(filepath.Dir(dir), filepath.Base(dir)) }

// Owned reports whether a live process of this machine, or of another where the file system shares locks, owns the run
// in dir.
func Owned(dir string) bool { return owned(dir) }

// recorded are the files that a record and its annotation are read from, and of them the last growing ones change while
// a run goes on.
var recorded = [...]string{envName, configName, statusName, resumedName, resultName, annotationName, manifestName,
	metricsName}

const growing = 2

// Stamp is the sizes of a record's files and the times of their last changes. A record with the same Stamp is the same,
// unless it was changed in the instant before the Stamp was taken.
type Stamp [len(recorded)]struct {
	Size int64 // bytes; -1: there is no such file
	Time int64 // nanoseconds since 1970
}

// StampOf returns the Stamp of the run in dir.
func StampOf(dir string) (s Stamp) {
	for i, name := range recorded {
		s[i].Size = -1
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil {
			s[i].Size, s[i].Time = st.Size(), st.ModTime().UnixNano()
		}
	}
	return s
}

// Newest returns the time of the last change, in nanoseconds since 1970; 0 without files.
func (s Stamp) Newest() (t int64) {
	for _, f := range s {
		t = max(t, f.Time)
	}
	return t
}

// Grown reports whether the run has gone on between s and the later Stamp now, and nothing else has happened: metrics
// and checkpoints alone differ.
func (s Stamp) Grown(now Stamp) bool {
	was := s
	copy(s[len(s)-growing:], now[len(s)-growing:])
	return s == now && was != now
}
