package parquet

import (
	"encoding/binary"
	"errors"
	"math"
)

// The metadata of a parquet file is in Thrift's compact protocol
// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md): structs whose fields
// have numbers and types, with no names.

// fields is a struct: its fields by number.
type fields map[int16]value

// value is what a field holds: an integer or boolean (0 or 1), bytes, a list or a struct.
type value struct {
	n     int64
	bytes []byte
	list  []value
	of    fields
}

// list is the structs in the list that is field id.
func (f fields) list(id int16) []value { return f[id].list }

// thrift reads a struct off the front of what is left of b.
type thrift struct{ b []byte }

// maxDepth is more than the deepest metadata has.
const maxDepth = 16

var errThrift = errors.New("damaged metadata")

func (t *thrift) byte() (byte, error) {
	if len(t.b) == 0 {
		return 0, errThrift
	}
	c := t.b[0]
	t.b = t.b[1:]
	return c, nil
}

func (t *thrift) varint() (uint64, error) {
	n, size := binary.Uvarint(t.b)
	if size <= 0 {
		return 0, errThrift
	}
	t.b = t.b[size:]
	return n, nil
}

// zigzag reads a signed integer, the sign of which is its lowest bit.
func (t *thrift) zigzag() (int64, error) {
	n, err := t.varint()
	return int64(n>>1) ^ -int64(n&1), err
}

// length reads the length of something of which each element takes at least a byte.
func (t *thrift) length() (int, error) {
	n, err := t.varint()
	if err != nil || n > uint64(len(t.b)) {
		return 0, errThrift
	}
	return int(n), nil
}

func (t *thrift) fields(depth int) (fields, error) {
	if depth > maxDepth {
		return nil, errThrift
	}
	f, id := fields{}, int64(0)
	for {
		head, err := t.byte()
		if err != nil || head == 0 {
			return f, err
		}
		if delta := head >> 4; delta != 0 {
			id += int64(delta)
		} else if id, err = t.zigzag(); err != nil {
			return nil, err
		}
		if id < 0 || id > math.MaxInt16 {
			return nil, errThrift
		}
		kind := head & 15
		if kind == 1 || kind == 2 { // a boolean is all in its type
			f[int16(id)] = value{n: int64(2 - kind)}
			continue
		}
		if f[int16(id)], err = t.value(kind, depth); err != nil {
			return nil, err
		}
	}
}

func (t *thrift) value(kind byte, depth int) (v value, err error) {
	switch kind {
	case 1, 2, 3: // in a list a boolean is a byte
		var c byte
		c, err = t.byte()
		v.n = int64(int8(c))
	case 4, 5, 6:
		v.n, err = t.zigzag()
	case 7:
		if len(t.b) < 8 {
			return v, errThrift
		}
		t.b = t.b[8:] // nothing that is read here is a float
	case 8:
		var n int
		if n, err = t.length(); err != nil {
			return v, err
		}
		v.bytes, t.b = t.b[:n], t.b[n:]
	case 9, 10:
		v.list, err = t.elements(depth + 1)
	case 12:
		v.of, err = t.fields(depth + 1)
	default: // nothing that is read here is a map
		err = errThrift
	}
	return v, err
}

// elements reads a list.
func (t *thrift) elements(depth int) ([]value, error) {
	head, err := t.byte()
	if err != nil || depth > maxDepth {
		return nil, errThrift
	}
	n := int(head >> 4)
	if n == 15 {
		if n, err = t.length(); err != nil {
			return nil, err
		}
	}
	var list []value
	for range n {
		v, err := t.value(head&15, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
