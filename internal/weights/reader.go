package weights

// Reading streams: the header is parsed and checked against the file's size before anything else is read,
// and each tensor goes straight from the file to where it is wanted, so a model takes its own size in
// memory and no more. (A map of the file would save as much, but a file cut short while it is mapped ends
// the process.)
//
// The library parses the header; the places of the tensors are checked here, and what it lets pass: names
// given twice, sizes beyond int.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"unsafe"

	"github.com/nlpodyssey/safetensors"

	"dla/internal/plainfile"
)

// The bounds of what is read: far above any model here, far below what would hurt.
const (
	maxFile   = 4 << 30
	maxHeader = 16 << 20
)

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType string // F32, F16, BF16, I64, …
	Shape []int

	offset, size int64 // of its bytes in the file

	fill func(at int, dst []float32) error // instead of these, of a tensor of another format
}

// Len is the number of elements.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// Reader is an open safetensors file whose header has been read and checked, or a source of tensors in another format.
type Reader struct {
	Tensors []Info // in the order of the file
	Meta    map[string]string

	path   string
	f      io.ReaderAt
	closer io.Closer
	header []byte // with its length in front
	byName map[string]int
	buf    []byte // of widen
}

// Source is a tensor of another format. Fill fills dst with its elements from place at on, in row-major order.
type Source struct {
	Info
	Fill func(at int, dst []float32) error
}

// NewReader is a reader of the tensors of path, a file or several of another format, with names of their own. Close
// calls closer.
func NewReader(path string, tensors []Source, closer io.Closer) (*Reader, error) {
	r := &Reader{path: path, closer: closer, byName: make(map[string]int, len(tensors))}
	for i, t := range tensors {
		if _, twice := r.byName[t.Name]; twice {
			return nil, fmt.Errorf("%s: tensor %q is there twice", path, t.Name)
		}
		t.Info.fill = t.Fill
		r.Tensors = append(r.Tensors, t.Info)
		r.byName[t.Name] = i
	}
	return r, nil
}

// Join is one reader of the tensors of all parts, whose names it keeps. Closing it closes them. path names it in
// errors.
func Join(path string, parts []*Reader) (*Reader, error) {
	var all []Source
	var open closers
	for _, part := range parts {
		open = append(open, part)
		for _, info := range part.Tensors {
			all = append(all, Source{info, func(at int, dst []float32) error { return part.part(info, at, dst) }})
		}
	}
	return NewReader(path, all, open)
}

// closers closes all of them.
type closers []io.Closer

func (c closers) Close() error {
	var all error
	for _, one := range c {
		all = errors.Join(all, one.Close())
	}
	return all
}

// Open reads the header of path. What is malformed, truncated or hostile is an error that names the file;
// memory is bounded by the file's size.
func Open(path string) (*Reader, error) {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	if size > maxFile {
		err = fmt.Errorf("%s has %d bytes, and files of more than %d are not read; use a smaller model", path, size,
			int64(maxFile))
	}
	var r *Reader
	if err == nil {
		r, err = newReader(path, f, size)
	}
	if err != nil {
		f.Close() // read only
		return nil, err
	}
	r.closer = f
	return r, nil
}

// Path is the file's.
func (r *Reader) Path() string { return r.path }

// Close closes the file.
func (r *Reader) Close() error { return r.closer.Close() }

// damaged is the error of a file that is not what it should be.
func (r *Reader) damaged(err error) error {
	return fmt.Errorf("%s is not a whole safetensors file (%w); replace it with a good copy", r.path, err)
}

// ReadHeader is a reader of the file called path, of size bytes, of which only the beginning is at hand: Header
// says how much it takes. Its tensors cannot be read.
func ReadHeader(path string, beginning []byte, size int64) (*Reader, error) {
	return newReader(path, bytes.NewReader(beginning), size)
}

// Header is the number of bytes of the header of a file that begins with these bytes; 0: there are too few to
// tell, or they do not begin such a file.
func Header(beginning []byte) int {
	if len(beginning) < 8 {
		return 0
	}
	n := binary.LittleEndian.Uint64(beginning)
	if n > maxHeader {
		return 0
	}
	return 8 + int(n)
}

// Rename gives each tensor the name that to makes of its own. Two that would be called the same are an error.
func (r *Reader) Rename(to func(name string) string) error {
	byName := make(map[string]int, len(r.Tensors))
	for i := range r.Tensors {
		old := r.Tensors[i].Name
		name := to(old)
		if _, twice := byName[name]; twice {
			return r.damaged(fmt.Errorf("tensor %q is there twice, once as %q", name, old))
		}
		r.Tensors[i].Name, byName[name] = name, i
	}
	r.byName = byName
	return nil
}

// newReader reads the header of f, of size bytes.
func newReader(path string, f io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{path: path, f: f, byName: map[string]int{}}
	var length [8]byte
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return nil, r.damaged(shorter(err))
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, r.damaged(fmt.Errorf("its header of %d bytes is longer than the file, or than %d", n, maxHeader))
	}
	r.header = make([]byte, 8+n)
	if _, err := f.ReadAt(r.header, 0); err != nil {
		return nil, r.damaged(shorter(err))
	}
	if err := r.parse(size); err != nil {
		return nil, r.damaged(err)
	}
	return r, nil
}

// shorter says what an unexpected end of the file means.
func shorter(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it is cut short")
	}
	return err
}

// parse reads the header of a file of size bytes and checks that its tensors fill the rest, without gaps.
func (r *Reader) parse(size int64) error {
	if err := UniqueKeys(r.header[8:]); err != nil {
		return err
	}
	var meta safetensors.Metadata
	if err := json.Unmarshal(r.header[8:], &meta); err != nil {
		return err
	}
	r.Meta = meta.Metadata()
	start := int64(len(r.header))
	for name, t := range meta.Tensors() {
		info := Info{Name: name, DType: t.DType.String(), Shape: make([]int, len(t.Shape))}
		n := uint64(1)
		for i, d := range t.Shape {
			// Beside a dimension of 0 the product says nothing, so each is bounded.
			if d > math.MaxInt32 || d > 0 && n > uint64(maxFile)/d {
				return fmt.Errorf("tensor %q has the shape %v", name, t.Shape)
			}
			n *= d
			info.Shape[i] = int(d)
		}
		lo, hi := t.DataOffsets[0], t.DataOffsets[1]
		if lo > hi || hi > uint64(size-start) || hi-lo != n*t.DType.Size() {
			return fmt.Errorf("tensor %q of shape %v and type %s lies at bytes %d to %d of %d", name, t.Shape, info.DType, lo,
				hi, size-start)
		}
		info.offset, info.size = start+int64(lo), int64(hi-lo)
		r.Tensors = append(r.Tensors, info)
	}
	slices.SortFunc(r.Tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size), cmp.Compare(a.Name, b.Name))
	})
	for i, t := range r.Tensors {
		if t.offset != start {
			return fmt.Errorf("tensor %q begins at byte %d where the one before ends at %d", t.Name, t.offset, start)
		}
		start += t.size
		r.byName[t.Name] = i
	}
	if start != size {
		return fmt.Errorf("its tensors end at byte %d, the file at %d", start, size)
	}
	return nil
}

// Read fills dst with the elements of the tensor called name, of type F32, F16 or BF16; conversion is exact.
// Another type or number of elements, and an element that is not finite, are errors that name the file and
// the tensor.
func (r *Reader) Read(name string, dst []float32) error {
	at, ok := r.byName[name]
	if !ok {
		return fmt.Errorf("%s has no tensor %q", r.path, name)
	}
	info := r.Tensors[at]
	if info.Len() != len(dst) {
		return fmt.Errorf("%s: tensor %q has the shape %v, want %d elements", r.path, name, info.Shape, len(dst))
	}
	if info.DType == "F32" && info.fill == nil {
		if err := r.raw(info, dst, nil); err != nil {
			return err
		}
	} else {
		for at := 0; at < len(dst); at += atOnce {
			if err := r.part(info, at, dst[at:min(at+atOnce, len(dst))]); err != nil {
				return err
			}
		}
	}
	for i, v := range dst {
		if v-v != 0 { // NaN or infinite
			return fmt.Errorf("%s: element %d of tensor %q is %g, no weight; replace the file with a good copy", r.path, i, name,
				v)
		}
	}
	return nil
}

// atOnce is how many elements are widened or copied at once.
const atOnce = 64 << 10

// part fills dst, at most atOnce elements, with those of a tensor from place at on.
func (r *Reader) part(info Info, at int, dst []float32) error {
	switch {
	case info.fill != nil:
		return info.fill(at, dst)
	case info.DType == "F32":
		info.offset += 4 * int64(at)
		return r.raw(info, dst, nil)
	}
	return r.widen(info, at, dst)
}

// widen fills dst, at most atOnce elements, with those of a tensor of halves from place at on.
func (r *Reader) widen(info Info, at int, dst []float32) error {
	var wide func(uint16) float32
	switch info.DType {
	case "F16":
		wide = FromF16
	case "BF16":
		wide = func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
	default:
		return fmt.Errorf("%s: tensor %q is of type %s: weights are F32, F16 or BF16", r.path, info.Name, info.DType)
	}
	if r.buf == nil {
		r.buf = make([]byte, 2*atOnce)
	}
	if _, err := r.f.ReadAt(r.buf[:2*len(dst)], info.offset+2*int64(at)); err != nil {
		return r.damaged(shorter(err))
	}
	for i := range dst {
		dst[i] = wide(binary.LittleEndian.Uint16(r.buf[2*i:]))
	}
	return nil
}

// Copy writes the elements of the tensor called name to w as little-endian float32, whatever its type.
func (r *Reader) Copy(w io.Writer, name string) error {
	at, ok := r.byName[name]
	if !ok {
		return fmt.Errorf("%s has no tensor %q", r.path, name)
	}
	info := r.Tensors[at]
	if info.DType == "F32" && info.fill == nil {
		n, err := io.Copy(w, io.NewSectionReader(r.f, info.offset, info.size))
		if err == nil && n < info.size {
			err = r.damaged(shorter(io.EOF))
		}
		return err
	}
	part := make([]float32, min(atOnce, info.Len()))
	for at := 0; at < info.Len(); at += atOnce {
		part = part[:min(atOnce, info.Len()-at)]
		if err := r.part(info, at, part); err != nil {
			return err
		}
		if _, err := w.Write(littleEndian(part)); err != nil {
			return err
		}
	}
	return nil
}

// Expect checks that there is a tensor called name and that it has the shape dims.
func (r *Reader) Expect(name string, dims []int) error {
	at, ok := r.byName[name]
	if !ok {
		return fmt.Errorf("%s has no tensor %q", r.path, name)
	}
	if s := r.Tensors[at].Shape; !slices.Equal(s, dims) {
		return fmt.Errorf("%s: tensor %q has shape %v, want %v", r.path, name, s, dims)
	}
	return nil
}

// raw fills dst with the bits of a tensor of type F32, and adds its bytes to sum where not nil.
func (r *Reader) raw(info Info, dst []float32, sum hash.Hash) error {
	if len(dst) == 0 {
		return nil
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*len(dst))
	if _, err := r.f.ReadAt(b, info.offset); err != nil {
		return r.damaged(shorter(err))
	}
	if sum != nil {
		sum.Write(b)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 { // a big-endian machine
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return nil
}

// FromF16 widens an IEEE 754 half: a sign, five bits of exponent, ten of mantissa.
func FromF16(h uint16) float32 {
	sign, exp, mant := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0: // zero or subnormal: mant · 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(mant)*0x1p-24))
	case 31: // infinite or NaN
		return math.Float32frombits(sign | 0xFF<<23 | mant<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | mant<<13)
}

// maxDepth bounds how deep JSON from outside may be nested: no file that is read here needs a tenth of it.
const maxDepth = 100

// UniqueKeys refuses JSON in which an object names a key twice: readers disagree on which one counts, so such
// a file could mean different things to different programs. JSON that is nested deeper than a model's files are is
// refused as well, so that the stack that a reader takes does not grow with the file.
func UniqueKeys(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return uniqueKeys(d, maxDepth)
}

// uniqueKeys is UniqueKeys of the next value, which may be nested as deep as depth says.
func uniqueKeys(d *json.Decoder, depth int) error {
	open, err := d.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
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
				return fmt.Errorf("key %q stands twice", name)
			}
			seen[name] = true
		}
		if err := uniqueKeys(d, depth-1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
