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

// Measure is loss and accuracy of one epoch on one part of the data. Accuracy is NaN, and not written,
// where what is trained has none.
type Measure struct {
	Loss     float64
	Accuracy float64
}

// measureJSON is a Measure in a file.
type measureJSON struct {
	Loss     float64  `json:"loss"`
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// MarshalJSON leaves out an accuracy that there is not.
func (m Measure) MarshalJSON() ([]byte, error) {
	j := measureJSON{Loss: m.Loss}
	if !math.IsNaN(m.Accuracy) {
		j.Accuracy = &m.Accuracy
	}
	return json.Marshal(j)
}

// UnmarshalJSON makes an accuracy that was left out NaN.
func (m *Measure) UnmarshalJSON(b []byte) error {
	var j measureJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*m = Measure{j.Loss, math.NaN()}
	if j.Accuracy != nil {
		m.Accuracy = *j.Accuracy
	}
	return nil
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

// GradNorms is one line of grad_norms.jsonl: the norm of the gradient of each weight tensor, before
// clipping, as the mean over the steps of an epoch. Layers are in the order of the network.
type GradNorms struct {
	Epoch  int       `json:"epoch"` // from 1
	Layers []string  `json:"layers"`
	Norms  []float64 `json:"norms"`
}

// metricsFile is metrics.jsonl while it grows. It knows the SHA-256 of what it should hold, which
// every checkpoint records: what changed on the disk since is noticed when the run goes on.
type metricsFile struct {
	f   *os.File
	n   int64     // bytes it should hold
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

// add writes line whole, or leaves the file as it was.
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
		return 0, "", fmt.Errorf("%s has %d bytes where %d were written; let no other program change it", m.f.Name(), st.Size(), m.n)
	}
	return m.n, hex.EncodeToString(m.sha.Sum(nil)), nil
}

// begins is an error where the SHA-256 of the file's first n bytes is not want, and else what cut takes.
func (m *metricsFile) begins(n int64, want string) (hash.Hash, error) {
	h := sha256.New()
	got, err := io.Copy(h, io.NewSectionReader(m.f, 0, n))
	if err != nil {
		return nil, err
	}
	if got < n {
		return nil, fmt.Errorf("%s is damaged: %d bytes are left of the %d that the checkpoint counts on", m.f.Name(), got, n)
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return nil, fmt.Errorf("%s is damaged: its first %d bytes are not those the checkpoint counts on", m.f.Name(), n)
	}
	return h, nil
}

// cut takes the file back to its first n bytes, of which h is the hash.
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

// parseMetrics reads the content b of metrics.jsonl, which is called path; a last line without its end is still being
// written and left out.
func parseMetrics(path string, b []byte) ([]Epoch, error) {
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
