package torch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"

	"dla/internal/pickle"
)

// magic begins a file of PyTorch before 1.6: the pickle of a number by protocol 2.
var magic = []byte{0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'}

var magicNumber, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

// legacyProtocol is the version of the format.
const legacyProtocol = 1001

// readLegacy reads the format of PyTorch before 1.6: the pickles of a number, of the format's version, of the system's
// properties, of the value, and of the storages' keys, then each storage as the number of its elements and their bytes.
func readLegacy(f io.ReaderAt, size int64) (any, error) {
	at := int64(0)
	next := func(o pickle.Options) (any, error) {
		v, n, err := pickle.Load(io.NewSectionReader(f, at, size-at), size-at, o)
		at += n
		return v, err
	}
	number, err := next(pickle.Options{})
	if err != nil {
		return nil, err
	}
	if v, ok := number.(*big.Int); !ok || v.Cmp(magicNumber) != 0 {
		return nil, errors.New("its first number is another")
	}
	version, err := next(pickle.Options{})
	if err != nil {
		return nil, err
	}
	if version != int64(legacyProtocol) {
		return nil, fmt.Errorf("its version is %v, want %d", version, legacyProtocol)
	}
	system, err := next(pickle.Options{})
	if err != nil {
		return nil, err
	}
	bigEndian := false
	if d, ok := system.(*pickle.Dict); ok {
		little, _ := d.Get("little_endian")
		bigEndian = little == false
	}

	roots, all := map[string]*storage{}, kinds(bigEndian)
	views, last := map[string]*storage{}, &lastRead{}
	value, err := next(options(bigEndian, func(id any) (any, error) {
		if t, ok := id.(pickle.Tuple); ok && len(t) > 1 && t[0] == "module" { // a class with its program's text
			return t[1], nil
		}
		want, err := storageOf(id, all)
		if err != nil {
			return nil, err
		}
		root, ok := roots[want.key]
		if !ok {
			root = &storage{source: &source{at: f, last: last}, elements: want.elements, kind: want.kind, all: all}
			roots[want.key] = root
		}
		if root.kind.name != want.kind.name || root.elements != want.elements {
			return nil, fmt.Errorf("storage %.100q is there with two types or sizes", want.key)
		}
		if len(want.rest) == 0 || want.rest[0] == nil {
			return root, nil
		}
		view, ok := want.rest[0].(pickle.Tuple) // of older versions: (key, offset, elements)
		if !ok || len(view) != 3 {
			return nil, errors.New("the view of a storage is not (key, offset, elements)")
		}
		key, ok1 := pickle.Text(view[0])
		offset, ok2 := view[1].(int64)
		elements, ok3 := view[2].(int64)
		if !ok1 || !ok2 || !ok3 || offset < 0 || elements < 0 || offset > root.elements ||
			elements > root.elements-offset {
			return nil, errors.New("a view lies beyond its storage")
		}
		if v, ok := views[key]; ok {
			return v, nil
		}
		views[key] = &storage{source: root.source, begin: offset * int64(root.kind.size), elements: elements,
			kind: root.kind, all: all}
		return views[key], nil
	}))
	if err != nil {
		return nil, err
	}

	keys, err := next(pickle.Options{})
	if err != nil {
		return nil, err
	}
	list, ok := keys.(*pickle.List)
	if !ok {
		return nil, errors.New("the storages have no list")
	}
	placed := 0
	for _, k := range list.Items {
		key, _ := pickle.Text(k)
		s, ok := roots[key]
		if !ok || s.source.begin != 0 {
			return nil, fmt.Errorf("storage %.100q is listed and unknown, or twice", key)
		}
		var length [8]byte
		if _, err := f.ReadAt(length[:], at); err != nil {
			return nil, short(err)
		}
		at += 8
		n := binary.LittleEndian.Uint64(length[:])
		if n != uint64(s.elements) {
			return nil, fmt.Errorf("storage %.100q has %d elements, want %d", key, n, s.elements)
		}
		if s.elements > (size-at)/int64(s.kind.size) {
			return nil, fmt.Errorf("storage %.100q is longer than the file", key)
		}
		s.source.begin, s.source.size = at, s.bytes()
		at += s.bytes()
		placed++
	}
	if placed != len(roots) {
		return nil, errors.New("a storage is not listed")
	}
	return value, nil
}
