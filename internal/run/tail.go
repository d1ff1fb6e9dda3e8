package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dla/internal/plainfile"
)

// Tail reads metrics.jsonl while a training appends to it, each line once. It looks at the file alone, so it costs the
// training nothing, and the training may run on another machine that shares the folder. The zero value of all but Dir
// is ready to use.
type Tail struct {
	Dir string // the run's folder

	at   int64  // bytes read
	last []byte // the last line of them, by which the file is known again
}

// Next returns the epochs that were recorded since the last call. again is true where the file no longer begins with
// what was read, as a resumed run is cut back to its checkpoint: epochs then begin with the first. A line that is
// still being written is left for the next call, and a file that is not there yet holds none.
func (t *Tail) Next() (epochs []Epoch, again bool, err error) {
	path := filepath.Join(t.Dir, metricsName)
	f, size, err := plainfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		again = t.at > 0
		t.at, t.last = 0, nil
		return nil, again, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if size > MaxFile {
		return nil, false, fmt.Errorf("%s has more than %d bytes, and such a file of more is not read", path, MaxFile)
	}
	if same, err := t.known(f); err != nil {
		return nil, false, err
	} else if !same {
		t.at, t.last, again = 0, nil, true
	}
	b, err := io.ReadAll(io.NewSectionReader(f, t.at, max(size-t.at, 0)))
	if err != nil {
		return nil, again, err
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	if len(b) == 0 {
		return nil, again, nil
	}
	epochs, err = parseMetrics(path, b)
	if err != nil {
		return nil, again, err
	}
	t.at += int64(len(b))
	t.last = bytes.Clone(b[bytes.LastIndexByte(b[:len(b)-1], '\n')+1:])
	return epochs, again, nil
}

// known reports whether the last line that was read still is where it was.
func (t *Tail) known(f io.ReaderAt) (bool, error) {
	b := make([]byte, len(t.last))
	n, err := f.ReadAt(b, t.at-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(b[:n], t.last), nil
}
