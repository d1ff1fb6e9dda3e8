// Package weights reads and writes named tensors as safetensors files.
package weights

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

	"github.com/nlpodyssey/safetensors"

	"dla/internal/atomicfile"
)

// Tensor is a named float32 tensor, row-major; len(Data) is the product of Shape.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// File is what a safetensors file holds: tensors sorted by name, and string metadata.
type File struct {
	Tensors []Tensor
	Meta    map[string]string
}

// Save writes ts and meta to path, atomically, and returns the file's SHA-256 (hex). Equal content
// gives equal bytes.
func Save(path string, ts []Tensor, meta map[string]string) (string, error) {
	views := make(map[string]safetensors.TensorView, len(ts))
	for _, t := range ts {
		if _, ok := views[t.Name]; ok {
			return "", fmt.Errorf("saving %s: two tensors are called %s", path, t.Name)
		}
		shape, n := make([]uint64, len(t.Shape)), 1
		for i, d := range t.Shape {
			shape[i] = uint64(d)
			n *= d
		}
		if n != len(t.Data) {
			return "", fmt.Errorf("saving %s: tensor %s of shape %v has %d elements", path, t.Name, t.Shape, len(t.Data))
		}
		v, err := safetensors.NewTensorView(safetensors.F32, shape, littleEndian(t.Data))
		if err != nil {
			return "", fmt.Errorf("saving %s: tensor %s: %w", path, t.Name, err)
		}
		views[t.Name] = v
	}
	b, err := safetensors.Serialize(views, meta)
	if err != nil {
		return "", fmt.Errorf("saving %s: %w", path, err)
	}
	sha, _, err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	return sha, err
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
// error. What is malformed, truncated or of another type is an error that names the file.
func Load(path, wantSHA string) (*File, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	if wantSHA != "" {
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != wantSHA {
			return nil, fmt.Errorf("%s is corrupt: its SHA-256 is not the recorded one", path)
		}
	}
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s is not a whole safetensors file: %w", path, err)
	}
	return f, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, int64(maxFile))
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func parse(b []byte) (*File, error) {
	size, meta, err := safetensors.ReadMetadata(b)
	if err != nil {
		return nil, err
	}
	if err := uniqueKeys(b[8 : 8+size]); err != nil {
		return nil, err
	}
	st, err := safetensors.Deserialize(b)
	if err != nil {
		return nil, err
	}
	f := &File{Meta: meta.Metadata()}
	for _, t := range st.Tensors() {
		v := t.TensorView
		if v.DType() != safetensors.F32 {
			return nil, fmt.Errorf("tensor %s is of type %v, want F32", t.Name, v.DType())
		}
		raw, n := v.Data(), uint64(1)
		out := Tensor{Name: t.Name, Data: make([]float32, len(raw)/4)}
		for _, d := range v.Shape() {
			out.Shape = append(out.Shape, int(d))
			n *= d
		}
		if n*4 != uint64(len(raw)) {
			return nil, fmt.Errorf("tensor %s of shape %v has %d bytes", t.Name, out.Shape, len(raw))
		}
		for i := range out.Data { // copied: the file's bytes need not be aligned
			out.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		f.Tensors = append(f.Tensors, out)
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

// uniqueKeys refuses a header that names a tensor twice, which the library lets pass.
func uniqueKeys(header []byte) error {
	d := json.NewDecoder(bytes.NewReader(header))
	type level struct {
		object, key bool
		seen        map[string]bool
	}
	var stack []level
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var top *level
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		if s, ok := tok.(string); ok && top != nil && top.object && top.key {
			if top.seen[s] {
				return fmt.Errorf("key %q stands twice in the header", s)
			}
			top.seen[s], top.key = true, false
			continue
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			stack = append(stack, level{object: tok == json.Delim('{'), key: true, seen: map[string]bool{}})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				top = &stack[len(stack)-1]
			} else {
				top = nil
			}
		}
		if top != nil {
			top.key = true
		}
	}
}

// Copy fills dst from the tensors of src with the same names. Missing, extra and misshapen tensors
// are an error that names them, and then nothing is copied.
func Copy(dst, src []Tensor) error {
	have := make(map[string]Tensor, len(src))
	for _, t := range src {
		have[t.Name] = t
	}
	var wrong []string
	for _, d := range dst {
		s, ok := have[d.Name]
		switch {
		case !ok:
			wrong = append(wrong, d.Name+" is missing")
		case !slices.Equal(s.Shape, d.Shape):
			wrong = append(wrong, fmt.Sprintf("%s has shape %v, want %v", d.Name, s.Shape, d.Shape))
		}
		delete(have, d.Name)
	}
	var extra []string
	for name := range have {
		extra = append(extra, name+" is not wanted")
	}
	slices.Sort(extra)
	if wrong = append(wrong, extra...); len(wrong) > 0 {
		if len(wrong) > 5 {
			wrong = append(wrong[:5], fmt.Sprintf("and %d more", len(wrong)-5))
		}
		return fmt.Errorf("tensors do not match: %s", strings.Join(wrong, "; "))
	}
	for _, t := range src {
		have[t.Name] = t
	}
	for _, d := range dst {
		copy(d.Data, have[d.Name].Data)
	}
	return nil
}

// Fingerprint is the SHA-256 (hex) over the names, shapes and bits of ts, in the order given.
func Fingerprint(ts []Tensor) string {
	h := sha256.New()
	for _, t := range ts {
		fmt.Fprintf(h, "%q %v\n", t.Name, t.Shape)
		h.Write(littleEndian(t.Data))
	}
	return hex.EncodeToString(h.Sum(nil))
}
