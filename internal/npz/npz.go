// Package npz writes and reads NumPy's arrays: .npy files (https://numpy.org/doc/stable/reference/generated/
// numpy.lib.format.html) and .npz archives of them, as numpy.savez makes and numpy.load reads. Arrays are in C order
// and of float32, float64, int32, int64 or uint8.
package npz

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"dla/internal/plainfile"
)

// Array is a named array in C order.
type Array struct {
	Name  string // in an archive, without .npy
	Shape []int  // empty: a single number
	Data  any    // []float32, []float64, []int32, []int64 or []uint8, as many as the product of Shape
}

// Limits of an archive that is read.
const (
	maxArrays = 1 << 10
	maxHeader = 1 << 16
	maxDims   = 32 // as in NumPy
)

const magic = "\x93NUMPY"

// types are the element types by their names in files.
var types = []struct {
	name string
	size int
}{{"<f4", 4}, {"<f8", 8}, {"<i4", 4}, {"<i8", 8}, {"|u1", 1}}

// typeOf returns the index in types and the length of data; -1 for another type.
func typeOf(data any) (kind, n int) {
	switch d := data.(type) {
	case []float32:
		return 0, len(d)
	case []float64:
		return 1, len(d)
	case []int32:
		return 2, len(d)
	case []int64:
		return 3, len(d)
	case []uint8:
		return 4, len(d)
	}
	return -1, 0
}

// Write writes an archive of arrays to w, not compressed, in their order. The same arrays make the same bytes.
func Write(w io.Writer, arrays []Array) error {
	z := zip.NewWriter(w)
	seen := map[string]bool{}
	for _, a := range arrays {
		if a.Name == "" || seen[a.Name] {
			return fmt.Errorf("an array has the name %q, which is empty or taken", a.Name)
		}
		seen[a.Name] = true
		f, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := WriteArray(f, a); err != nil {
			return err
		}
	}
	return z.Close()
}

// WriteArray writes a as a .npy file to w.
func WriteArray(w io.Writer, a Array) error {
	kind, n := typeOf(a.Data)
	if kind < 0 {
		return fmt.Errorf("the array %s has elements of the type %T, which is not written", a.Name, a.Data)
	}
	if want, ok := count(a.Shape, math.MaxInt); !ok || want != n {
		return fmt.Errorf("the array %s has %d elements, but the shape %v", a.Name, n, a.Shape)
	}
	if _, err := w.Write(header(types[kind].name, a.Shape)); err != nil {
		return err
	}
	const part = 1 << 14 // elements at a time
	b := make([]byte, 0, 8*part)
	for from := 0; from < n; from += part {
		to := min(from+part, n)
		b = b[:0]
		switch d := a.Data.(type) {
		case []float32:
			for _, v := range d[from:to] {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		case []float64:
			for _, v := range d[from:to] {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
		case []int32:
			for _, v := range d[from:to] {
				b = binary.LittleEndian.AppendUint32(b, uint32(v))
			}
		case []int64:
			for _, v := range d[from:to] {
				b = binary.LittleEndian.AppendUint64(b, uint64(v))
			}
		case []uint8:
			b = append(b, d[from:to]...)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// header returns what stands before the elements: its length is a multiple of 64, so that they lie aligned in memory
// where the file is mapped.
func header(descr string, shape []int) []byte {
	var dims strings.Builder
	for _, d := range shape {
		fmt.Fprintf(&dims, "%d, ", d)
	}
	s := dims.String()
	if len(shape) > 1 {
		s = strings.TrimSuffix(s, ", ")
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, strings.TrimSuffix(s, " "))
	text += strings.Repeat(" ", 63-(len(magic)+4+len(text))%64) + "\n"
	b := append([]byte(magic), 1, 0)
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
}

// count returns the product of shape; false if it is more than most or a dimension is negative.
func count(shape []int, most int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > most/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// ReadFile reads the archive or the .npy file at path, whichever its content says it is. Elements of more than most
// bytes in all are an error, as is an array that is not of the types and the order of this package; each names the
// file.
func ReadFile(path string, most int64) ([]Array, error) {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := readAny(f, size, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// readAny reads an archive or an array of size bytes.
func readAny(f io.ReaderAt, size, most int64) ([]Array, error) {
	head := make([]byte, len(magic))
	if n, _ := f.ReadAt(head, 0); string(head[:n]) == magic {
		a, err := ReadArray(io.NewSectionReader(f, 0, size), most)
		return []Array{a}, err
	}
	return Read(f, size, most)
}

// Read reads all arrays of the archive r of size bytes, in their order. Elements of more than most bytes in all are an
// error. What is allocated grows with what is read, whatever the archive says.
func Read(r io.ReaderAt, size, most int64) ([]Array, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errors.New("is neither an .npz archive nor an .npy file; write it with numpy.savez or numpy.save")
	}
	if len(z.File) > maxArrays {
		return nil, fmt.Errorf("has %d arrays, more than %d", len(z.File), maxArrays)
	}
	var all []Array
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok || name == "" {
			return nil, fmt.Errorf("holds %q, which is no array (.npy)", f.Name)
		}
		if slices.ContainsFunc(all, func(a Array) bool { return a.Name == name }) {
			return nil, fmt.Errorf("holds the array %q twice", name)
		}
		if f.Method != zip.Store && f.Method != zip.Deflate {
			return nil, fmt.Errorf("the array %q is compressed by a method that is not read; write it with numpy.savez", name)
		}
		a, err := readEntry(f, most)
		if err != nil {
			return nil, fmt.Errorf("the array %q: %w", name, err)
		}
		a.Name = name
		kind, n := typeOf(a.Data)
		most -= int64(n) * int64(types[kind].size)
		all = append(all, a)
	}
	return all, nil
}

// readEntry reads the array in f.
func readEntry(f *zip.File, most int64) (Array, error) {
	r, err := f.Open()
	if err != nil {
		return Array{}, err
	}
	defer r.Close()
	return ReadArray(r, most)
}

var errDamaged = errors.New("is damaged or cut short; write it again with numpy.save or numpy.savez")

// ReadArray reads a .npy file from r to its end. Elements of more than most bytes are an error.
func ReadArray(r io.Reader, most int64) (Array, error) {
	head := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(magic)]) != magic {
		return Array{}, errDamaged
	}
	length := make([]byte, 2)
	switch head[len(magic)] {
	case 1:
	case 2, 3:
		length = make([]byte, 4)
	default:
		return Array{}, fmt.Errorf("is of version %d of NumPy's format, want 1 to 3", head[len(magic)])
	}
	if _, err := io.ReadFull(r, length); err != nil {
		return Array{}, errDamaged
	}
	n := binary.LittleEndian.Uint32(append(length, 0, 0)) // of the 4 bytes of version 2, these alone
	if n > maxHeader {
		return Array{}, errDamaged
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return Array{}, errDamaged
	}
	kind, shape, err := parseHeader(string(text))
	if err != nil {
		return Array{}, err
	}
	size := types[kind].size
	elements, ok := count(shape, int(min(most/int64(size), math.MaxInt)))
	if !ok {
		return Array{}, fmt.Errorf("has the shape %v of %s, more than the %d bytes that are left to it",
			shape, types[kind].name, most)
	}
	a := Array{Shape: shape}
	switch kind {
	case 0:
		a.Data, err = elementsOf(r, elements, 4, func(b []byte) float32 {
			return math.Float32frombits(binary.LittleEndian.Uint32(b))
		})
	case 1:
		a.Data, err = elementsOf(r, elements, 8, func(b []byte) float64 {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		})
	case 2:
		a.Data, err = elementsOf(r, elements, 4, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
	case 3:
		a.Data, err = elementsOf(r, elements, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
	default:
		a.Data, err = elementsOf(r, elements, 1, func(b []byte) uint8 { return b[0] })
	}
	if err != nil {
		return Array{}, err
	}
	if n, err := io.ReadFull(r, head[:1]); n > 0 || !errors.Is(err, io.EOF) { // a checksum fails here
		return Array{}, errDamaged
	}
	return a, nil
}

// elementsOf reads n elements of size bytes. It allocates as it reads: a shape alone takes no memory.
func elementsOf[T any](r io.Reader, n, size int, decode func([]byte) T) ([]T, error) {
	const part = 1 << 14
	all := make([]T, 0, min(n, part))
	b := make([]byte, min(n, part)*size)
	for len(all) < n {
		b = b[:min(n-len(all), part)*size]
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, errDamaged
		}
		for at := 0; at < len(b); at += size {
			all = append(all, decode(b[at:]))
		}
	}
	return all, nil
}

// parseHeader reads the literal of a Python dictionary with the keys descr, fortran_order and shape.
func parseHeader(text string) (kind int, shape []int, err error) {
	s := strings.TrimSpace(text)
	s, open := strings.CutPrefix(s, "{")
	s, closed := strings.CutSuffix(s, "}")
	if !open || !closed {
		return 0, nil, errDamaged
	}
	kind = -1
	seen := map[string]bool{}
	for s = strings.TrimSpace(s); s != ""; {
		key, rest, ok := strings.Cut(s, ":")
		key = strings.Trim(strings.TrimSpace(key), `'"`)
		if !ok || seen[key] {
			return 0, nil, errDamaged
		}
		seen[key] = true
		rest = strings.TrimSpace(rest)
		var value string
		if tuple, ok := strings.CutPrefix(rest, "("); ok {
			value, s, ok = strings.Cut(tuple, ")")
			if !ok {
				return 0, nil, errDamaged
			}
			s, _ = strings.CutPrefix(strings.TrimSpace(s), ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		value, s = strings.TrimSpace(value), strings.TrimSpace(s)
		switch key {
		case "descr":
			if kind, err = typeNamed(value); err != nil {
				return 0, nil, err
			}
		case "fortran_order":
			if value != "False" && value != "True" {
				return 0, nil, errDamaged
			}
			if value == "True" {
				err = errors.New("is in Fortran order; write numpy.ascontiguousarray of it")
			}
		case "shape":
			if shape, ok = dimensions(value); !ok {
				return 0, nil, errDamaged
			}
		default:
			return 0, nil, errDamaged
		}
	}
	if len(seen) != 3 {
		return 0, nil, errDamaged
	}
	return kind, shape, err
}

// typeNamed returns the index in types of a quoted name.
func typeNamed(quoted string) (int, error) {
	name := strings.Trim(quoted, `'"`)
	if name == "<u1" || name == "u1" {
		name = "|u1"
	}
	for i, t := range types {
		if t.name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("has elements of the type %.40s, want float32, float64, int32, int64 or uint8, little-endian; "+
		"convert it with astype before it is written", quoted)
}

// dimensions reads the elements of a tuple.
func dimensions(s string) ([]int, bool) {
	shape := []int{}
	s, _ = strings.CutSuffix(s, ",")
	if s = strings.TrimSpace(s); s == "" {
		return shape, true
	}
	for d := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(d), "L"))
		if err != nil || n < 0 || len(shape) == maxDims {
			return nil, false
		}
		shape = append(shape, n)
	}
	return shape, true
}
