package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"

	"dla/internal/weights"
)

// alignment is that of the elements in the file, as torch.save has it: they can be mapped into memory.
const alignment = 64

// Write writes ts to w in their order as a state dict, a file that torch.load(path, weights_only=True) reads as a
// dictionary from names to float32 tensors. The same tensors make the same bytes. A name that is empty or taken, and a
// shape that does not fit the elements, is an error.
//
// The file is a zip archive, as torch.save makes since version 1.6: archive/data.pkl holds the dictionary as a pickle,
// archive/data/0, archive/data/1, … the elements of each tensor, little-endian and not compressed. The pickle is of
// protocol 2 and uses the few opcodes that dictionaries, strings, whole numbers, tuples and calls need; what it calls
// is torch._utils._rebuild_tensor_v2, which the restricted reader of weights_only allows.
func Write(w io.Writer, ts []weights.Tensor) error {
	for i, t := range ts {
		n := 1
		for _, d := range t.Shape {
			if d < 0 || d > math.MaxInt32 {
				return fmt.Errorf("the tensor %s has the shape %v", t.Name, t.Shape)
			}
			n *= d
		}
		if n != len(t.Data) || n > math.MaxInt32 {
			return fmt.Errorf("the tensor %s of shape %v has %d elements", t.Name, t.Shape, len(t.Data))
		}
		if t.Name == "" || slices.ContainsFunc(ts[:i], func(o weights.Tensor) bool { return o.Name == t.Name }) {
			return fmt.Errorf("a tensor has the name %q, which is empty or taken", t.Name)
		}
	}
	a := archiveWriter{to: w}
	a.z = zip.NewWriter(&a)
	a.entry("data.pkl", dictionary(ts))
	a.entry("byteorder", []byte("little"))
	for i, t := range ts {
		a.entry("data/"+strconv.Itoa(i), littleEndian(t.Data))
	}
	a.entry("version", []byte("3\n"))
	if a.err == nil {
		a.err = a.z.Close()
	}
	return a.err
}

func littleEndian(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// archiveWriter writes entries and counts the bytes; the first error sticks.
type archiveWriter struct {
	to  io.Writer
	z   *zip.Writer
	at  int64
	err error
}

// Write writes b behind what was written.
func (a *archiveWriter) Write(b []byte) (int, error) {
	n, err := a.to.Write(b)
	a.at += int64(n)
	return n, err
}

// entry writes a file of the archive. Its length and checksum stand before it, as the reader of PyTorch wants, and its
// content begins at a multiple of alignment.
func (a *archiveWriter) entry(name string, content []byte) {
	if a.err != nil {
		return
	}
	if a.err = a.z.Flush(); a.err != nil { // at counts what has reached to
		return
	}
	h := &zip.FileHeader{Name: "archive/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
		CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))}
	const local = 30 // bytes of a local header before the name
	begin := a.at + local + int64(len(h.Name)) + 4
	pad := int(-begin & (alignment - 1))
	h.Extra = append([]byte{'F', 'B'}, binary.LittleEndian.AppendUint16(nil, uint16(pad))...)
	h.Extra = append(h.Extra, bytes.Repeat([]byte{'Z'}, pad)...)
	w, err := a.z.CreateRaw(h)
	if err == nil {
		_, err = w.Write(content)
	}
	a.err = err
}

// Opcodes of pickles (Python's pickletools has all of them).
const (
	opProtocol  = "\x80\x02"
	opStop      = "."
	opMark      = "("
	opDict      = "}" // an empty one
	opSetItems  = "u" // of the dictionary below the mark
	opGlobal    = "c" // module\nname\n
	opString    = "X" // length in 4 bytes, UTF-8
	opInt       = "J" // 4 bytes
	opFalse     = "\x89"
	opTuple     = "t" // of all above the mark
	opEmpty     = ")" // tuple
	opCall      = "R" // of a function with a tuple
	opPersisted = "Q" // what the tuple names outside the pickle: elements
)

// dictionary is the pickle of the dictionary of ts, whose elements are numbered in order.
func dictionary(ts []weights.Tensor) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.WriteString(opString)
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		b.WriteString(s)
	}
	number := func(n int) {
		b.WriteString(opInt)
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	}
	tuple := func(all []int) {
		b.WriteString(opMark)
		for _, n := range all {
			number(n)
		}
		b.WriteString(opTuple)
	}
	b.WriteString(opProtocol + opDict + opMark)
	for i, t := range ts {
		text(t.Name)
		// _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)
		b.WriteString(opGlobal + "torch._utils\n_rebuild_tensor_v2\n" + opMark)
		// storage: ("storage", type, key, device, elements)
		b.WriteString(opMark)
		text("storage")
		b.WriteString(opGlobal + "torch\nFloatStorage\n")
		text(strconv.Itoa(i))
		text("cpu")
		number(len(t.Data))
		b.WriteString(opTuple + opPersisted)
		number(0)
		tuple(t.Shape)
		tuple(strides(t.Shape))
		b.WriteString(opFalse + opGlobal + "collections\nOrderedDict\n" + opEmpty + opCall)
		b.WriteString(opTuple + opCall)
	}
	b.WriteString(opSetItems + opStop)
	return b.Bytes()
}

// strides are those of a row-major tensor, in elements.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
