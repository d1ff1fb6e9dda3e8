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
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
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
