package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"

	"dla/internal/atomicfile"
)

// Measure holds loss and accuracy of one epoch on one split. Accuracy is NaN, and not written, for a model that
// predicts no classes. Both are NaN, and null is written, where nothing was measured: see Unmeasured.
type Measure struct {
	Loss     float64
	Accuracy float64
}

// Unmeasured returns the Measure of a training without validation images.
func Unmeasured() Measure { return Measure{math.NaN(), math.NaN()} }

// Measured reports whether m holds a measurement.
func (m Measure) Measured() bool { return !math.IsNaN(m.Loss) || !math.IsNaN(m.Accuracy) }

// measureJSON is a Measure in a file.
type measureJSON struct {
	Loss     float64  `json:"loss"`
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// MarshalJSON omits an accuracy that is NaN. It writes null where nothing was measured.
func (m Measure) MarshalJSON() ([]byte, error) {
	if !m.Measured() {
		return []byte("null"), nil
	}
	j := measureJSON{Loss: m.Loss}
	if !math.IsNaN(m.Accuracy) {
		j.Accuracy = &m.Accuracy
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads an omitted accuracy as NaN, and null as Unmeasured.
func (m *Measure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*m = Unmeasured()
		return nil
	}
	var j measureJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*m = j.measure()
	return nil
}

// Epoch is one line of metrics.jsonl.
type Epoch struct {
	Epoch    int      `json:"epoch"`               // from 1
	Step     int      `json:"step"`                // optimiser steps so far
	LR       float64  `json:"lr"`                  // of the epoch's last step
	Train    Measure  `json:"train"`               // mean over the epoch's batches, each before its update
	Val      Measure  `json:"val"`                 // null without validation images
	GradNorm *float64 `json:"grad_norm,omitempty"` // mean norm before clipping, where clipping is on
}

// GradNorms is one line of grad_norms.jsonl: the gradient norm of each weight tensor before clipping, averaged over the
// steps of an epoch. Layers are in the order of the network.
type GradNorms struct {
	Epoch  int       `json:"epoch"` // from 1
	Layers []string  `json:"layers"`
	Norms  []float64 `json:"norms"`
}

// metricsFile appends to metrics.jsonl and keeps the SHA-256 of what it should hold. Every checkpoint records that
// SHA-256, so a resumed run notices changes on the disk.
type metricsFile struct {
	f   *os.File
	n   int64     // bytes that the file should hold
	sha hash.Hash // of those
}

func openMetrics(path string) (*metricsFile, error) {
	// Not O_APPEND: on Windows such a file cannot be cut.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	return &metricsFile{f: f, sha: sha256.New()}, nil
}

// add appends line whole, or leaves the file unchanged.
func (m *metricsFile) add(line []byte) error {
	err := atomicfile.Check("write", m.f.Name())
	if err == nil {
		_, err = m.f.WriteAt(line, m.n)
	}
	if err != nil {
		return errors.Join(err, m.f.Truncate(m.n))
	}
	m.n += int64(len(line))
	m.sha.Write(line) // a hash never fails
	return nil
}

// sync makes the file durable and returns its length and SHA-256 (hex).
func (m *metricsFile) sync() (int64, string, error) {
	err := atomicfile.Check("sync", m.f.Name())
	if err == nil {
		err = m.f.Sync()
	}
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", m.f.Name(), err)
	}
	st, err := m.f.Stat()
	if err != nil {
		return 0, "", err
	}
	if st.Size() != m.n {
		return 0, "", fmt.Errorf("%s has %d bytes where %d were written; let no other program change it", m.f.Name(),
			st.Size(), m.n)
	}
	return m.n, hex.EncodeToString(m.sha.Sum(nil)), nil
}

// begins returns the hash of the file's first n bytes for cut, or an error if their SHA-256 is not want.
func (m *metricsFile) begins(n int64, want string) (hash.Hash, error) {
	h := sha256.New()
	got, err := io.Copy(h, io.NewSectionReader(m.f, 0, n))
	if err != nil {
		return nil, err
	}
	if got < n {
		return nil, fmt.Errorf("%s is damaged: %d bytes are left of the %d that the checkpoint counts on", m.f.Name(),
			got, n)
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return nil, fmt.Errorf("%s is damaged: its first %d bytes are not those the checkpoint counts on", m.f.Name(),
			n)
	}
	return h, nil
}

// cut truncates the file to its first n bytes, whose hash is h.
func (m *metricsFile) cut(n int64, h hash.Hash) error {
	err := atomicfile.Check("truncate", m.f.Name())
	if err == nil {
		err = m.f.Truncate(n)
	}
	if err != nil {
		return err
	}
	m.n, m.sha = n, h
	return nil
}

// parseMetrics parses the content b of the file path, a metrics.jsonl. It ignores a last line without a newline, which
// is still being written.
func parseMetrics(path string, b []byte) ([]Epoch, error) {
	var all []Epoch
	for line := 1; ; line++ {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return all, nil
		}
		e, err := parseEpoch(b[:end])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		all, b = append(all, e), b[end+1:]
	}
}

// parseEpoch parses a line of metrics.jsonl in one pass, in half the time that Measure.UnmarshalJSON takes, which has
// its value scanned twice.
func parseEpoch(line []byte) (Epoch, error) {
	e := struct { // Epoch
		Epoch    int          `json:"epoch"`
		Step     int          `json:"step"`
		LR       float64      `json:"lr"`
		Train    *measureJSON `json:"train"`
		Val      *measureJSON `json:"val"`
		GradNorm *float64     `json:"grad_norm"`
	}{}
	if err := json.Unmarshal(line, &e); err != nil {
		return Epoch{}, err
	}
	return Epoch{e.Epoch, e.Step, e.LR, e.Train.measure(), e.Val.measure(), e.GradNorm}, nil
}

// measure returns j; nil is what was not measured.
func (j *measureJSON) measure() Measure {
	if j == nil {
		return Unmeasured()
	}
	m := Measure{j.Loss, math.NaN()}
	if j.Accuracy != nil {
		m.Accuracy = *j.Accuracy
	}
	return m
}
