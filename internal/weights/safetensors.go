package weights

// The safetensors format: 8 bytes of header length (little-endian), a JSON header that gives each
// tensor's type, shape and place, then the tensors' bytes without gaps. It holds numbers and strings
// only, so that reading a file runs nothing. https://huggingface.co/docs/safetensors
//
// Files are written by the library; reading is in reader.go.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nlpodyssey/safetensors"

	"dla/internal/atomicfile"
)

// File is what a safetensors file of float32 tensors holds: tensors sorted by name, and string metadata.
type File struct {
	Tensors []Tensor
	Meta    map[string]string
	Path    string // of the file
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

// Load reads the float32 tensors of path. With wantSHA not empty, a file of another SHA-256 is an
// error. What is malformed, truncated or of another type is an error that names the file; memory is
// bounded by the file's size.
func Load(path, wantSHA string) (*File, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close() // read only
	f := &File{Meta: r.Meta, Path: path}
	for _, info := range r.Tensors {
		if info.DType != "F32" {
			return nil, r.damaged(fmt.Errorf("tensor %q is of type %s, not F32", info.Name, info.DType))
		}
	}
	// In the order of the file, so that one pass reads and sums it.
	var sum hash.Hash
	if wantSHA != "" {
		sum = sha256.New()
		sum.Write(r.header)
	}
	for _, info := range r.Tensors {
		t := Tensor{Name: info.Name, Shape: info.Shape, Data: make([]float32, info.Len())}
		if err := r.raw(info, t.Data, sum); err != nil {
			return nil, err
		}
		f.Tensors = append(f.Tensors, t)
	}
	if wantSHA != "" && hex.EncodeToString(sum.Sum(nil)) != wantSHA {
		return nil, fmt.Errorf("%s is damaged (its SHA-256 is not the recorded one); replace it with a good copy", path)
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}
