package weights

// The safetensors format: 8 bytes of header length (little-endian), a JSON header that gives each
// tensor's type, shape and place, then the tensors' bytes without gaps. It holds numbers and strings
// only, so that reading a file runs nothing. https://huggingface.co/docs/safetensors
//
// The library checks structure (bounds, gaps, overlaps, sizes); what it lets pass is checked here:
// names given twice and sizes beyond int. Elements are copied out, so alignment never matters.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nlpodyssey/safetensors"

	"dla/internal/atomicfile"
)

// File is what a safetensors file holds: tensors sorted by name, and string metadata.
type File struct {
	Tensors []Tensor
	Meta    map[string]string
}

// metaKey is the header's entry that is not a tensor.
const metaKey = "__metadata__"

// Save writes ts and meta to path, atomically, and returns the file's SHA-256 (hex). Equal content
// gives equal bytes, whatever the order of ts.
func Save(path string, ts []Tensor, meta map[string]string) (string, error) {
	views := make(map[string]view, len(ts))
	for _, t := range ts {
		if _, ok := views[t.Name]; ok {
			return "", fmt.Errorf("saving %s: two tensors are called %s", path, t.Name)
		}
		if t.Name == metaKey || !utf8.ValidString(t.Name) {
			return "", fmt.Errorf("saving %s: a tensor cannot be called %q", path, t.Name)
		}
		n := 1
		for _, d := range t.Shape {
			if d < 0 {
				return "", fmt.Errorf("saving %s: tensor %s has the shape %v", path, t.Name, t.Shape)
			}
			n *= d
		}
		if n != len(t.Data) {
			return "", fmt.Errorf("saving %s: tensor %s of shape %v has %d elements", path, t.Name, t.Shape, len(t.Data))
		}
		views[t.Name] = view{t}
	}
	for k, v := range meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return "", fmt.Errorf("saving %s: the metadata %q is not UTF-8", path, k)
		}
	}
	sha, _, err := atomicfile.Write(path, func(w io.Writer) error {
		return safetensors.SerializeToWriter(views, meta, w)
	})
	return sha, err
}

// view lets the library write a tensor. Bytes are made when asked for: one tensor's at a time.
type view struct{ t Tensor }

func (v view) DType() safetensors.DType { return safetensors.F32 }
func (v view) Data() []byte             { return littleEndian(v.t.Data) }
func (v view) DataLen() uint64          { return 4 * uint64(len(v.t.Data)) }
func (v view) Shape() []uint64 {
	s := make([]uint64, len(v.t.Shape))
	for i, d := range v.t.Shape {
		s[i] = uint64(d)
	}
	return s
}

func littleEndian(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// maxFile bounds what Load reads: far above any model here, far below what would hurt.
const maxFile = 4 << 30

// Load reads the float32 tensors of path. With wantSHA not empty, a file of another SHA-256 is an
// error. What is malformed, truncated or of another type is an error that names the file; memory is
// bounded by the file's size.
func Load(path, wantSHA string) (*File, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	if wantSHA != "" {
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != wantSHA {
			return nil, fmt.Errorf("%s is damaged (its SHA-256 is not the recorded one); replace it with a good copy", path)
		}
	}
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s is not a whole safetensors file of F32 tensors (%w); replace it with a good copy", path, err)
	}
	return f, nil
}

func read(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // opening a pipe would block
		return nil, fmt.Errorf("%s is not a regular file; name a safetensors file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, and files of more than %d are not read; use a smaller model", path, st.Size(), int64(maxFile))
	}
	b := make([]byte, st.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, nil
}

func parse(b []byte) (*File, error) {
	size, meta, err := safetensors.ReadMetadata(b)
	if err != nil {
		return nil, err
	}
	header, data := b[8:8+size], b[8+size:]
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	if err := uniqueKeys(d); err != nil {
		return nil, err
	}
	f := &File{Meta: meta.Metadata()}
	for name, info := range meta.Tensors() {
		if info.DType != safetensors.F32 {
			return nil, fmt.Errorf("tensor %q is of type %v", name, info.DType)
		}
		raw := data[info.DataOffsets[0]:info.DataOffsets[1]] // in bounds and as long as the shape says: ReadMetadata
		t := Tensor{Name: name, Shape: make([]int, len(info.Shape)), Data: make([]float32, len(raw)/4)}
		for i, d := range info.Shape {
			if d > math.MaxInt32 { // only beside a dimension of 0, where the product says nothing
				return nil, fmt.Errorf("tensor %q has the shape %v", name, info.Shape)
			}
			t.Shape[i] = int(d)
		}
		for i := range t.Data {
			t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		f.Tensors = append(f.Tensors, t)
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

// uniqueKeys reads one JSON value and refuses an object that names a key twice: readers disagree on
// which one counts, so such a file could mean different weights to different programs.
func uniqueKeys(d *json.Decoder) error {
	open, err := d.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			if seen[name] {
				return fmt.Errorf("key %q stands twice in the header", name)
			}
			seen[name] = true
		}
		if err := uniqueKeys(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
