// Package pickle reads Python pickles, protocols 0 to 5, and executes nothing. A pickle is a program: it names classes
// and functions by module and asks to call them. Here the caller lists the names that it knows, each with a function
// in Go that makes the value. Any other name is refused, or kept as an inert Object where the caller says so.
//
// Reading takes one pass without recursion. Memory is bounded by a constant times the size of the pickle: a length is
// compared with what is left before anything is allocated, the number of opcodes has a bound, and what a pickle
// repeats is shared, not copied. A value that contains itself, or that is nested deeper than 100 levels, is an error.
package pickle

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Values are nil for None, bool, int64, *big.Int for larger whole numbers, float64, string (also the str of Python 2,
// which may be any bytes), []byte, Tuple, *List (also a set), *Dict, Global, *Object, and what constructors return.

// Tuple is a tuple.
type Tuple []any

// List is a list, or a set in the order of the pickle.
type List struct{ Items []any }

// Global is a class or function that the caller knows, named and not called: numpy.ndarray.
type Global string

// Object stands for a value of an unknown class, or what an unknown function was to return. Its contents are dropped.
type Object struct{ Class string }

// Constructor makes the value of a call with these arguments.
type Constructor func(args Tuple) (any, error)

// Stater is a value that takes the state a pickle gives it after the call that made it (BUILD, __setstate__).
type Stater interface{ SetState(state any) error }

// Options say what a pickle may name.
type Options struct {
	// Globals are the known names, such as collections.OrderedDict, in the modules of Python 3. A nil constructor is of
	// a name that is only passed on and never called.
	Globals map[string]Constructor
	// Opaque says whether the unknown name is kept, and what is made with it is an *Object. nil: no name is.
	Opaque func(name string) bool
	// Persistent returns the value of a persistent id. nil: an id is an error.
	Persistent func(id any) (any, error)
}

// RefusedError is the error of a pickle that names what is not loaded.
type RefusedError struct{ Name string }

func (e *RefusedError) Error() string { return fmt.Sprintf("it wants %s, which is not loaded", e.Name) }

// Bounds.
const (
	maxOps    = 1 << 22 // opcodes: CIFAR-100 takes a tenth
	maxDepth  = 100     // levels of nesting
	maxNumber = 1 << 10 // bytes of a whole number, or of a number in digits
	maxName   = 1 << 8  // bytes of a name
)

// Load reads one pickle from r, in which size bytes are left. n is the number of bytes that the pickle takes; r may
// have been read further. What is malformed is an error with the place.
func Load(r io.Reader, size int64, o Options) (value any, n int64, err error) {
	d := &decoder{r: bufio.NewReader(io.LimitReader(r, size)), size: size, copies: size, o: o, memo: map[uint64]any{},
		unknown: map[string]any{}}
	value, err = d.run()
	if err == nil {
		err = check(value)
	}
	if err != nil {
		var refused *RefusedError
		if !errors.As(err, &refused) {
			err = fmt.Errorf("pickle, byte %d: %w", d.at, err)
		}
		return nil, d.at, err
	}
	return value, d.at, nil
}

type decoder struct {
	r        *bufio.Reader
	at, size int64
	copies   int64 // bytes that may still be copied out of texts
	o        Options
	stack    []any
	marks    []int // places in the stack
	memo     map[uint64]any
	unknown  map[string]any // names that are kept, once each
	ops      int            // opcodes, and parts of arguments, that were gone through
}

var errShort = errors.New("it is cut short")

// byte reads a byte.
func (d *decoder) byte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		return 0, short(err)
	}
	d.at++
	return b, nil
}

// short says what an unexpected end means.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}

// bytes reads n bytes, which are to be left.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if n > uint64(d.size-d.at) {
		return nil, fmt.Errorf("a value of %d bytes is longer than what is left, %d", n, d.size-d.at)
	}
	// The size may be a claim, so that the bytes are asked for as they come.
	var b []byte
	const part = 1 << 20
	for n > 0 {
		now := min(n, max(part, uint64(len(b))))
		at := len(b)
		b = append(b, make([]byte, now)...)
		k, err := io.ReadFull(d.r, b[at:])
		d.at += int64(k)
		if err != nil {
			return nil, short(err)
		}
		n -= now
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// uint reads a little-endian number of n bytes.
func (d *decoder) uint(n int) (uint64, error) {
	var v uint64
	for i := range n {
		b, err := d.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b) << (8 * i)
	}
	return v, nil
}

// sized reads the length in n bytes, then as many bytes.
func (d *decoder) sized(n int) ([]byte, error) {
	length, err := d.uint(n)
	if err != nil {
		return nil, err
	}
	return d.bytes(length)
}

// line reads up to the end of a line, at most limit bytes.
func (d *decoder) line(limit int64) (string, error) {
	var line []byte
	for {
		part, err := d.r.ReadSlice('\n')
		d.at += int64(len(part))
		line = append(line, part...)
		if int64(len(line)) > limit {
			return "", fmt.Errorf("a line is longer than %d bytes", limit)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", short(err)
		}
		return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
	}
}

func (d *decoder) push(v any) { d.stack = append(d.stack, v) }

// bottom is the first place in the stack above the last mark.
func (d *decoder) bottom() int {
	if len(d.marks) == 0 {
		return 0
	}
	return d.marks[len(d.marks)-1]
}

var errEmpty = errors.New("an opcode finds too little on the stack")

func (d *decoder) pop() (any, error) {
	if len(d.stack) <= d.bottom() {
		return nil, errEmpty
	}
	v := d.stack[len(d.stack)-1]
	d.stack = d.stack[:len(d.stack)-1]
	return v, nil
}

func (d *decoder) top() (any, error) {
	if len(d.stack) <= d.bottom() {
		return nil, errEmpty
	}
	return d.stack[len(d.stack)-1], nil
}

// popMark returns what lies above the last mark, and takes the mark away.
func (d *decoder) popMark() ([]any, error) {
	if len(d.marks) == 0 {
		return nil, errors.New("an opcode finds no mark")
	}
	at := d.bottom()
	d.marks = d.marks[:len(d.marks)-1]
	items := make([]any, len(d.stack)-at)
	copy(items, d.stack[at:])
	d.stack = d.stack[:at]
	return items, nil
}

// run is the machine.
func (d *decoder) run() (any, error) {
	for ; d.ops < maxOps; d.ops++ {
		op, err := d.byte()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			if len(d.marks) > 0 {
				return nil, errors.New("it ends within a value")
			}
			return d.pop()
		}
		if err := d.op(op); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("it has more than %d opcodes", maxOps)
}

// op carries out one opcode. The names are those of Python's pickletools.
func (d *decoder) op(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := d.byte()
		if err == nil && v > 5 {
			err = fmt.Errorf("protocol %d; read are 0 to 5", v)
		}
		return err
	case 0x95: // FRAME: the bytes that follow together
		n, err := d.uint(8)
		if err == nil && n > uint64(d.size-d.at) {
			err = fmt.Errorf("a frame of %d bytes is longer than what is left, %d", n, d.size-d.at)
		}
		return err
	case '(': // MARK
		if len(d.marks) >= maxDepth {
			return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
		}
		d.marks = append(d.marks, len(d.stack))
		return nil
	case '0': // POP
		if len(d.marks) > 0 && len(d.stack) == d.bottom() {
			d.marks = d.marks[:len(d.marks)-1]
			return nil
		}
		_, err := d.pop()
		return err
	case '1': // POP_MARK
		_, err := d.popMark()
		return err
	case '2': // DUP
		v, err := d.top()
		if err == nil {
			d.push(v)
		}
		return err
	}
	if done, err := d.memoOp(op); done {
		return err
	}
	if done, err := d.containerOp(op); done {
		return err
	}
	if done, err := d.callOp(op); done {
		return err
	}
	v, err := d.scalar(op)
	if err == nil {
		d.push(v)
	}
	return err
}

// memoOp carries out the opcodes that remember a value or bring it back.
func (d *decoder) memoOp(op byte) (done bool, err error) {
	var at uint64
	put := false
	switch op {
	case 'p', 'g': // PUT, GET
		var s string
		if s, err = d.line(maxName); err == nil {
			at, err = strconv.ParseUint(s, 10, 63)
		}
		put = op == 'p'
	case 'q', 'h': // BINPUT, BINGET
		at, err = d.uint(1)
		put = op == 'q'
	case 'r', 'j': // LONG_BINPUT, LONG_BINGET
		at, err = d.uint(4)
		put = op == 'r'
	case 0x94: // MEMOIZE
		at, put = uint64(len(d.memo)), true
	default:
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if put {
		v, err := d.top()
		if err == nil {
			d.memo[at] = v
		}
		return true, err
	}
	v, ok := d.memo[at]
	if !ok {
		return true, fmt.Errorf("it wants value %d, which it has not made", at)
	}
	d.push(v)
	return true, nil
}

// containerOp carries out the opcodes of tuples, lists, sets and dictionaries.
func (d *decoder) containerOp(op byte) (done bool, err error) {
	var items []any
	switch op {
	case ')': // EMPTY_TUPLE
		d.push(Tuple{})
	case ']', 0x8f: // EMPTY_LIST, EMPTY_SET
		d.push(&List{})
	case '}': // EMPTY_DICT
		d.push(&Dict{})
	case 't': // TUPLE
		if items, err = d.popMark(); err == nil {
			d.push(Tuple(items))
		}
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		n := int(op - 0x84)
		if len(d.stack)-d.bottom() < n {
			return true, errEmpty
		}
		t := make(Tuple, n)
		copy(t, d.stack[len(d.stack)-n:])
		d.stack = append(d.stack[:len(d.stack)-n], t)
	case 'l', 0x91: // LIST, FROZENSET
		if items, err = d.popMark(); err == nil {
			d.push(&List{items})
		}
	case 'd': // DICT
		if items, err = d.popMark(); err == nil {
			d.push(&Dict{})
			err = d.set(items)
		}
	case 'a': // APPEND
		var v any
		if v, err = d.pop(); err == nil {
			err = d.extend([]any{v})
		}
	case 'e', 0x90: // APPENDS, ADDITEMS
		if items, err = d.popMark(); err == nil {
			err = d.extend(items)
		}
	case 's': // SETITEM
		items = make([]any, 2)
		if items[1], err = d.pop(); err == nil {
			items[0], err = d.pop()
		}
		if err == nil {
			err = d.set(items)
		}
	case 'u': // SETITEMS
		if items, err = d.popMark(); err == nil {
			err = d.set(items)
		}
	default:
		return false, nil
	}
	return true, err
}

// extend appends items to the list on top of the stack.
func (d *decoder) extend(items []any) error {
	v, err := d.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *List:
		v.Items = append(v.Items, items...)
	case *Object:
	default:
		return fmt.Errorf("it appends to %s", kind(v))
	}
	return nil
}

// set puts keys and values in turns into the dictionary on top of the stack.
func (d *decoder) set(items []any) error {
	v, err := d.top()
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return errors.New("a key has no value")
	}
	switch v := v.(type) {
	case *Dict:
		for i := 0; i < len(items); i += 2 {
			v.put(items[i], items[i+1])
		}
	case *Object:
	default:
		return fmt.Errorf("it sets items of %s", kind(v))
	}
	return nil
}

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

// basic are the names of Python itself that need nothing to be known about.
var basic = map[string]func(*decoder, Tuple) (any, error){
	"collections.OrderedDict": newDict,
	"builtins.dict":           newDict,
	"builtins.object":         nil, // an argument of _reconstructor
	"builtins.list":           newList,
	"builtins.set":            newList,
	"builtins.frozenset":      newList,
	"builtins.bytes":          newBytes,
	"builtins.bytearray":      newBytes,
	"_codecs.encode":          encode,
	"copyreg._reconstructor":  reconstruct,
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

// scalar reads None, a number, a text or bytes.
func (d *decoder) scalar(op byte) (any, error) {
	switch op {
	case 'N': // NONE
		return nil, nil
	case 0x88: // NEWTRUE
		return true, nil
	case 0x89: // NEWFALSE
		return false, nil
	case 'I', 'L': // INT, LONG
		s, err := d.line(maxNumber)
		if err != nil {
			return nil, err
		}
		switch {
		case op == 'I' && s == "01":
			return true, nil
		case op == 'I' && s == "00":
			return false, nil
		}
		v, ok := new(big.Int).SetString(strings.TrimSuffix(s, "L"), 10)
		if !ok {
			return nil, fmt.Errorf("%q is no whole number", s)
		}
		return whole(v), nil
	case 'J': // BININT
		v, err := d.uint(4)
		return int64(int32(v)), err
	case 'K': // BININT1
		v, err := d.uint(1)
		return int64(v), err
	case 'M': // BININT2
		v, err := d.uint(2)
		return int64(v), err
	case 0x8a, 0x8b: // LONG1, LONG4
		n, err := d.uint(map[byte]int{0x8a: 1, 0x8b: 4}[op])
		if err == nil && n > maxNumber {
			err = fmt.Errorf("a whole number of %d bytes, want at most %d", n, maxNumber)
		}
		if err != nil {
			return nil, err
		}
		b, err := d.bytes(n)
		if err != nil {
			return nil, err
		}
		return long(b), nil
	case 'F': // FLOAT
		s, err := d.line(maxNumber)
		if err != nil {
			return nil, err
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%q is no number", s)
		}
		return v, nil
	case 'G': // BINFLOAT
		b, err := d.bytes(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case 'S': // STRING
		s, err := d.line(math.MaxInt64)
		if err != nil {
			return nil, err
		}
		return unquote(s)
	case 'T', 'U': // BINSTRING, SHORT_BINSTRING
		b, err := d.sized(map[byte]int{'T': 4, 'U': 1}[op])
		return string(b), err
	case 'V': // UNICODE
		s, err := d.line(math.MaxInt64)
		if err != nil {
			return nil, err
		}
		return unescape(s)
	case 'X', 0x8c, 0x8d: // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
		b, err := d.sized(map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8}[op])
		if err == nil && !utf8.Valid(b) {
			err = errors.New("a text is not UTF-8")
		}
		return string(b), err
	case 'B', 'C', 0x8e, 0x96: // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
		b, err := d.sized(map[byte]int{'B': 4, 'C': 1, 0x8e: 8, 0x96: 8}[op])
		return b, err
	case 0x82, 0x83, 0x84: // EXT1, EXT2, EXT4
		return nil, errors.New("it wants something of the extension registry, which is not loaded")
	case 0x97, 0x98: // NEXT_BUFFER, READONLY_BUFFER
		return nil, errors.New("it wants a buffer outside of the file")
	}
	return nil, fmt.Errorf("opcode %#x is unknown", op)
}

// whole is v as an int64 where it fits.
func whole(v *big.Int) any {
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

// long is the number of little-endian bytes in two's complement.
func long(b []byte) any {
	big1 := make([]byte, len(b))
	for i, c := range b {
		big1[len(b)-1-i] = c
	}
	v := new(big.Int).SetBytes(big1)
	if len(b) > 0 && b[len(b)-1] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return whole(v)
}

// unquote is the text that the repr of a str of Python 2 stands for.
func unquote(s string) (any, error) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return nil, errors.New("a str is not quoted")
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, errors.New("a str ends with a backslash")
		}
		switch c := s[i]; {
		case c == 'x':
			if i+2 >= len(s) {
				return nil, errors.New(`a str has \x without two digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, errors.New(`a str has \x without two digits`)
			}
			b = append(b, byte(v))
			i += 2
		case c >= '0' && c <= '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 16)
			b = append(b, byte(v))
			i += n - 1
		default:
			at := strings.IndexByte(`\'"abfnrtv`, c)
			if at < 0 {
				return nil, fmt.Errorf(`a str has the unknown escape \%c`, c)
			}
			b = append(b, "\\'\"\a\b\f\n\r\t\v"[at])
		}
	}
	return string(b), nil
}

// unescape is the text of raw-unicode-escape: latin1, and \u or \U with four or eight digits.
func unescape(s string) (any, error) {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		n := 0
		if s[i] == '\\' && i+1 < len(s) {
			n = map[byte]int{'u': 4, 'U': 8}[s[i+1]]
		}
		if n == 0 {
			b.WriteRune(rune(s[i]))
			continue
		}
		if i+2+n > len(s) {
			return nil, fmt.Errorf("a text has \\u without %d digits", n)
		}
		v, err := strconv.ParseUint(s[i+2:i+2+n], 16, 32)
		if err != nil || !utf8.ValidRune(rune(v)) {
			return nil, fmt.Errorf("a text has \\u%.8s, which is no character", s[i+2:])
		}
		b.WriteRune(rune(v))
		i += 1 + n
	}
	return b.String(), nil
}

// kind names the type of a value in errors.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *big.Int:
		return "a whole number"
	case float64:
		return "a number"
	case string:
		return "a text"
	case []byte:
		return "bytes"
	case Tuple:
		return "a tuple"
	case *List:
		return "a list"
	case *Dict:
		return "a dictionary"
	case Global:
		return string(v)
	case unknown:
		return string(v)
	case *Object:
		return "an object of " + v.Class
	}
	return fmt.Sprintf("%T", v)
}
