package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Array is an array of numpy: Data has the elements of Shape, last dimension fastest or, with Fortran, the first.
type Array struct {
	Shape   []int
	DType   string // byte order and type, as numpy writes them: |u1, <i8, <f4
	Fortran bool
	Data    []byte
}

// maxDims is numpy's bound.
const maxDims = 64

// dtype is numpy.dtype.
type dtype struct {
	code  string // u1
	order string // |, < or >
}

// String is the form of Array.DType.
func (t *dtype) String() string { return t.order + t.code }

// size is the number of bytes of an element.
func (t *dtype) size() (int, error) {
	if len(t.code) > 1 {
		switch t.code[0] {
		case 'b', 'u', 'i', 'f':
			if n, err := strconv.Atoi(t.code[1:]); err == nil && n >= 1 && n <= 8 {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("the array's type %q is not read", t.code)
}

// SetState takes (version, byte order, …).
func (t *dtype) SetState(state any) error {
	s, ok := state.(Tuple)
	if !ok || len(s) < 2 {
		return errors.New("want a tuple")
	}
	order, ok := Text(s[1])
	if !ok || order != "|" && order != "<" && order != ">" && order != "=" {
		return errors.New("the byte order is unknown")
	}
	t.order = order
	return nil
}

// SetState takes (version, shape, dtype, Fortran, data).
func (a *Array) SetState(state any) error {
	s, ok := state.(Tuple)
	if !ok || len(s) != 5 {
		return errors.New("want a tuple of five")
	}
	fortran, ok := s[3].(bool)
	if !ok {
		n, whole := s[3].(int64)
		fortran, ok = n != 0, whole
	}
	if !ok {
		return errors.New("the order of the dimensions is not stated")
	}
	return a.fill(s[1], s[2], fortran, s[4])
}

func (a *Array) fill(shape, kind any, fortran bool, data any) error {
	if s, ok := shape.(Tuple); !ok || len(s) > maxDims {
		return fmt.Errorf("want a tuple of at most %d dimensions", maxDims)
	}
	dims, ok := Ints(shape)
	t, ok2 := kind.(*dtype)
	b, ok3 := Bytes(data)
	if !ok || !ok2 || !ok3 {
		return errors.New("want a shape, a dtype and bytes")
	}
	n, err := t.size()
	if err != nil {
		return err
	}
	for _, d := range dims {
		if d < 0 || d > 0 && n > len(b)/d && len(b) > 0 {
			return fmt.Errorf("shape %v does not fit %d bytes", dims, len(b))
		}
		n *= d
	}
	if n != len(b) {
		return fmt.Errorf("shape %v does not fit %d bytes", dims, len(b))
	}
	a.Shape, a.DType, a.Fortran, a.Data = dims, t.String(), fortran, b
	return nil
}

// Numpy returns the names that arrays and scalars of numpy need, of its versions 1 and 2.
func Numpy() map[string]Constructor {
	names := map[string]Constructor{
		"numpy.ndarray": nil,
		"numpy.dtype": func(args Tuple) (any, error) {
			if len(args) == 0 {
				return nil, errors.New("want a type")
			}
			code, ok := Text(args[0])
			if !ok || len(code) > 16 {
				return nil, errors.New("want a type")
			}
			return &dtype{code, "|"}, nil
		},
	}
	for _, core := range []string{"numpy.core.", "numpy._core."} {
		names[core+"multiarray._reconstruct"] = func(args Tuple) (any, error) {
			if len(args) == 0 || args[0] != Global("numpy.ndarray") {
				return nil, errors.New("want numpy.ndarray")
			}
			return &Array{}, nil
		}
		names[core+"numeric._frombuffer"] = func(args Tuple) (any, error) {
			if len(args) != 4 {
				return nil, errors.New("want four arguments")
			}
			a := &Array{}
			order, _ := Text(args[3])
			return a, a.fill(args[2], args[1], order == "F", args[0])
		}
		names[core+"multiarray.scalar"] = scalarOf
	}
	return names
}

// scalarOf is numpy's scalar(dtype, bytes), as a bool, an int64 or a float64.
func scalarOf(args Tuple) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("want two arguments")
	}
	t, ok := args[0].(*dtype)
	b, ok2 := Bytes(args[1])
	if !ok || !ok2 {
		return nil, errors.New("want a dtype and bytes")
	}
	if n, err := t.size(); err != nil || n != len(b) {
		return nil, errors.Join(err, fmt.Errorf("%d bytes are no %s", len(b), t))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if t.order == ">" {
		order = binary.BigEndian
	}
	switch t.code {
	case "b1":
		return b[0] != 0, nil
	case "u1":
		return int64(b[0]), nil
	case "i1":
		return int64(int8(b[0])), nil
	case "u2":
		return int64(order.Uint16(b)), nil
	case "i2":
		return int64(int16(order.Uint16(b))), nil
	case "u4":
		return int64(order.Uint32(b)), nil
	case "i4":
		return int64(int32(order.Uint32(b))), nil
	case "i8":
		return int64(order.Uint64(b)), nil
	case "f4":
		return float64(math.Float32frombits(order.Uint32(b))), nil
	case "f8":
		return math.Float64frombits(order.Uint64(b)), nil
	}
	return nil, fmt.Errorf("a scalar of type %s is not read", t)
}
