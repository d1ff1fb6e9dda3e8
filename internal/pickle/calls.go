package pickle

import (
	"errors"
	"fmt"
	"strconv"
)

// callOp carries out the opcodes that name, call or build.
func (d *decoder) callOp(op byte) (done bool, err error) {
	switch op {
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		var v any
		if op == 'c' {
			v, err = d.namedInLines()
		} else {
			v, err = d.namedOnStack()
		}
		if err == nil {
			d.push(v)
		}
	case 'R', 0x81: // REDUCE, NEWOBJ
		var f, args any
		if args, err = d.pop(); err == nil {
			f, err = d.pop()
		}
		if err == nil {
			err = d.call(f, args)
		}
	case 0x92: // NEWOBJ_EX: with arguments by name, which no known class takes
		var f, args, named any
		if named, err = d.pop(); err == nil {
			if args, err = d.pop(); err == nil {
				f, err = d.pop()
			}
		}
		if err != nil {
			return true, err
		}
		if n, ok := named.(*Dict); !ok || n.Len() > 0 {
			if _, opaque := f.(unknown); !opaque {
				return true, fmt.Errorf("it calls %s with arguments by name", kind(f))
			}
		}
		err = d.call(f, args)
	case 'i': // INST
		var f any
		var args []any
		if f, err = d.namedInLines(); err == nil {
			args, err = d.popMark()
		}
		if err == nil {
			err = d.call(f, Tuple(args))
		}
	case 'o': // OBJ
		var args []any
		if args, err = d.popMark(); err == nil && len(args) == 0 {
			err = errEmpty
		}
		if err == nil {
			err = d.call(args[0], Tuple(args[1:]))
		}
	case 'b': // BUILD
		var state, v any
		if state, err = d.pop(); err == nil {
			v, err = d.top()
		}
		if err == nil {
			err = build(v, state)
		}
	case 'P', 'Q': // PERSID, BINPERSID
		var id, v any
		if op == 'P' {
			id, err = d.line(maxName)
		} else {
			id, err = d.pop()
		}
		if err == nil && d.o.Persistent == nil {
			err = errors.New("it refers to something outside (a persistent id)")
		}
		if err == nil {
			v, err = d.o.Persistent(id)
		}
		if err == nil {
			d.push(v)
		}
	default:
		return false, nil
	}
	return true, err
}

// unknown is a name that is kept because the caller said so.
type unknown string

// named returns what a pickle gets for a name.
func (d *decoder) named(module, name string) (any, error) {
	switch module { // their names in Python 3
	case "__builtin__":
		module = "builtins"
	case "copy_reg":
		module = "copyreg"
	}
	full := module + "." + name
	if _, ok := d.o.Globals[full]; ok {
		return Global(full), nil
	}
	if _, ok := basic[full]; ok {
		return Global(full), nil
	}
	if d.o.Opaque != nil && d.o.Opaque(full) {
		if _, ok := d.unknown[full]; !ok {
			d.unknown[full] = unknown(full)
		}
		return d.unknown[full], nil
	}
	if !printable(full) {
		full = strconv.Quote(full)
	}
	return nil, &RefusedError{full}
}

// printable reports whether a name can stand in a message as it is.
func printable(name string) bool {
	for _, r := range name {
		if r <= ' ' || r >= 0x7f {
			return false
		}
	}
	return true
}

func (d *decoder) namedInLines() (any, error) {
	module, err := d.line(maxName)
	if err != nil {
		return nil, err
	}
	name, err := d.line(maxName)
	if err != nil {
		return nil, err
	}
	return d.named(module, name)
}

func (d *decoder) namedOnStack() (any, error) {
	name, err := d.pop()
	if err != nil {
		return nil, err
	}
	module, err := d.pop()
	if err != nil {
		return nil, err
	}
	n, ok1 := name.(string)
	m, ok2 := module.(string)
	if !ok1 || !ok2 || len(n)+len(m) > maxName {
		return nil, errors.New("a name is no text, or too long")
	}
	return d.named(m, n)
}

// call pushes what f makes of args.
func (d *decoder) call(f, args any) error {
	t, ok := args.(Tuple)
	if !ok {
		return fmt.Errorf("it calls with %s, want a tuple", kind(args))
	}
	switch f := f.(type) {
	case unknown:
		d.push(&Object{string(f)})
		return nil
	case Global:
		v, err := d.construct(string(f), t)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		d.push(v)
		return nil
	}
	return fmt.Errorf("it calls %s", kind(f))
}

// construct calls the constructor of a known name.
func (d *decoder) construct(name string, args Tuple) (any, error) {
	if c := d.o.Globals[name]; c != nil {
		return c(args)
	}
	c := basic[name]
	if c == nil {
		return nil, errors.New("it is not to be called")
	}
	return c(d, args)
}

// build gives v its state.
func build(v, state any) error {
	switch v := v.(type) {
	case Stater:
		if err := v.SetState(state); err != nil {
			return fmt.Errorf("state of %s: %w", kind(v), err)
		}
	case *Object:
	case *Dict: // attributes of an OrderedDict: _metadata of PyTorch's
	default:
		return fmt.Errorf("it gives a state to %s", kind(v))
	}
	return nil
}

// newDict is dict(): of nothing, or of pairs, as Python 2 writes an OrderedDict.
func newDict(d *decoder, args Tuple) (any, error) {
	v := &Dict{}
	if len(args) == 0 {
		return v, nil
	}
	pairs, ok := args[0].(*List)
	if !ok || len(args) > 1 {
		return nil, errors.New("want a list of pairs")
	}
	d.ops += len(pairs.Items) // a list may be the argument of many calls
	if d.ops > maxOps {
		return nil, fmt.Errorf("it has more than %d parts", maxOps)
	}
	for _, p := range pairs.Items {
		var pair []any
		switch p := p.(type) {
		case Tuple:
			pair = p
		case *List:
			pair = p.Items
		}
		if len(pair) != 2 {
			return nil, errors.New("want a list of pairs")
		}
		v.put(pair[0], pair[1])
	}
	return v, nil
}

// newList is list() or set(), of nothing or of one list, which nothing else holds.
func newList(_ *decoder, args Tuple) (any, error) {
	if len(args) == 0 {
		return &List{}, nil
	}
	if l, ok := args[0].(*List); ok && len(args) == 1 {
		return l, nil
	}
	return nil, errors.New("want a list")
}

// newBytes is bytes(), as Python 3 writes empty bytes for Python 2, bytearray(bytes), or bytearray(text, 'latin-1').
func newBytes(d *decoder, args Tuple) (any, error) {
	if len(args) == 0 {
		return []byte{}, nil
	}
	if b, ok := args[0].([]byte); ok && len(args) == 1 {
		return b, nil
	}
	return encode(d, args)
}

// encode is _codecs.encode(text, 'latin1'), as Python 3 writes bytes for Python 2.
func encode(d *decoder, args Tuple) (any, error) {
	if len(args) == 2 {
		text, ok1 := args[0].(string)
		code, ok2 := args[1].(string)
		if ok1 && ok2 && (code == "latin1" || code == "latin-1") {
			if d.copies -= int64(len(text)); d.copies < 0 {
				return nil, errors.New("more bytes are made than the file has")
			}
			b := make([]byte, 0, len(text))
			for _, r := range text {
				if r > 0xff {
					return nil, fmt.Errorf("%q is not in latin1", r)
				}
				b = append(b, byte(r))
			}
			return b, nil
		}
	}
	return nil, errors.New("want a text in latin1")
}

// reconstruct is copyreg._reconstructor(class, base, state): the object of an unknown class.
func reconstruct(_ *decoder, args Tuple) (any, error) {
	if len(args) == 3 {
		if c, ok := args[0].(unknown); ok {
			return &Object{string(c)}, nil
		}
	}
	return nil, errors.New("want an unknown class")
}
