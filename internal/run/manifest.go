package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"dla/internal/plainfile"
)

// manifest is the content of manifest.json: the checkpoints, newest first.
type manifest struct {
	Serial      int     `json:"serial"` // of the newest checkpoint's files
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

// with reports whether e was saved together with best, so that both hold the same weights.
func (e entry) with(best file) bool {
	n := serialOf(e.Name, ckptName)
	return n > 0 && n == serialOf(best.Name, bestName)
}

type file struct {
	Name   string `json:"file"`
	SHA256 string `json:"sha256"`
}

const (
	manifestName = "manifest.json"
	keep         = 2 // checkpoints
)

func ckptName(serial int) string { return fmt.Sprintf("ckpt-%06d.safetensors", serial) }
func bestName(serial int) string { return fmt.Sprintf("best-%06d.safetensors", serial) }

// serialOf returns the serial in the name of a checkpoint file, 0 for any other name.
func serialOf(name string, named func(serial int) string) int {
	digits, _, _ := strings.Cut(name[min(len("ckpt-"), len(name)):], ".")
	if n, err := strconv.Atoi(digits); err == nil && n > 0 && name == named(n) {
		return n
	}
	return 0
}

// readManifest reads manifest.json strictly; a missing file is an empty manifest. It checks all that no SHA-256 covers,
// so that a damaged manifest is an error and never causes a good file to be overwritten or deleted.
func readManifest(path string) (manifest, error) {
	var m manifest
	b, err := plainfile.Read(path, MaxFile)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	damaged := func(format string, args ...any) (manifest, error) {
		return manifest{}, fmt.Errorf("%s is damaged: %w", path, fmt.Errorf(format, args...))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return damaged("%w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return damaged("something follows its end")
	}
	if n := len(m.Checkpoints); n == 0 || n > keep {
		return damaged("it lists %d checkpoints", n)
	}
	next := m.Serial + 1
	for i, e := range m.Checkpoints {
		n := serialOf(e.Name, ckptName)
		if n == 0 || n >= next || i == 0 && n != m.Serial {
			return damaged("it names the checkpoint %q", e.Name)
		}
		next = n
		if e.Best != nil && serialOf(e.Best.Name, bestName) == 0 {
			return damaged("it names the best weights %q", e.Best.Name)
		}
		if e.Epoch < 0 || e.Step < 0 || e.MetricsBytes < 0 {
			return damaged("it holds negative numbers")
		}
	}
	return m, nil
}
