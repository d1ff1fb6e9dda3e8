// Package torch writes PyTorch's state dicts (write.go) and reads weights that PyTorch wrote: the zip format of 1.6 and
// later, the one before it, and safetensors files. Classes and functions that a file names are never run (package
// pickle): tensors, parameters and their storages are known, the rest of a checkpoint, such as an optimizer's state, is
// passed over.
//
// Formats: https://docs.pytorch.org/docs/stable/notes/serialization.html, torch/serialization.py.
package torch

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"dla/internal/pickle"
	"dla/internal/plainfile"
	"dla/internal/weights"
)

// maxFile bounds a file, in bytes.
const maxFile = 4 << 30

// Checkpoint is an open file of weights.
type Checkpoint struct {
	*weights.Reader // of the state dict; prefixes that all names have in common, module. and _orig_mod., are gone

	// Stated are the numbers beside the state dict, such as best_prec1, acc or epoch.
	Stated map[string]float64
}

// stateKeys are the keys under which training programs keep the state dict, in the order they are looked for.
var stateKeys = []string{"state_dict", "model_state_dict", "model", "net"}

// Open reads the structure of the file path; tensors are read when asked for. What is malformed, truncated or hostile
// is an error that names the file; memory is bounded by the file's size.
func Open(path string) (*Checkpoint, error) {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	c, err := open(path, f, size)
	if err != nil {
		f.Close() // read only
	}
	return c, err
}

// opened is an open file.
type opened interface {
	io.ReaderAt
	io.Closer
}

// open is Open of f, of size bytes. It closes f where it reads the file otherwise.
func open(path string, f opened, size int64) (*Checkpoint, error) {
	if size > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, and files of more than %d are not read; use a smaller model", path, size,
			int64(maxFile))
	}
	beginning := make([]byte, 16)
	if _, err := f.ReadAt(beginning, 0); err != nil {
		return nil, damaged(path, errors.New("it has fewer than 16 bytes"))
	}
	var value any
	var err error
	switch {
	case bytes.HasPrefix(beginning, []byte("PK\x03\x04")):
		value, err = readZip(f, size)
	case bytes.HasPrefix(beginning, magic):
		value, err = readLegacy(f, size)
	case beginning[8] == '{': // the length of a header, then the header
		r, err := weights.Open(path)
		if err != nil {
			return nil, err
		}
		f.Close() // read only
		if err := r.Rename(prefixless(r.Tensors)); err != nil {
			r.Close() // read only
			return nil, err
		}
		return &Checkpoint{Reader: r}, nil
	default:
		err = errors.New("it begins like none of torch.save's formats, nor like safetensors")
	}
	var refused *pickle.RefusedError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("%s wants %s, which is not loaded: weights need no such thing; do not trust the file, and "+
			"get the weights as safetensors", path, refused.Name)
	}
	var c *Checkpoint
	if err == nil {
		c, err = checkpointOf(path, value, f)
	}
	if err != nil {
		return nil, damaged(path, err)
	}
	return c, nil
}

// damaged is the error of a file that is not what it should be.
func damaged(path string, err error) error {
	return fmt.Errorf("%s is not a whole PyTorch checkpoint (%w); replace it with a good copy, or save the state_dict() "+
		"of the model anew", path, err)
}

// checkpointOf finds the state dict in what a file holds.
func checkpointOf(path string, value any, f io.Closer) (*Checkpoint, error) {
	top, ok := value.(*pickle.Dict)
	if !ok {
		if o, ok := value.(*pickle.Object); ok {
			return nil, wholeModel(o)
		}
		return nil, errors.New("it holds no dictionary of tensors")
	}
	state, numbers := top, &pickle.Dict{}
	if tensors(top) == 0 {
		state = nil
		for _, key := range stateKeys {
			v, _ := top.Get(key)
			d, ok := v.(*pickle.Dict)
			if ok && tensors(d) > 0 {
				state, numbers = d, top
				break
			}
			if o, ok := v.(*pickle.Object); ok {
				return nil, wholeModel(o)
			}
		}
	} else if v, ok := top.Get("state_dict"); ok { // a number may be a tensor
		if d, ok := v.(*pickle.Dict); ok && tensors(d) > 0 {
			state, numbers = d, top
		}
	}
	if state == nil {
		return nil, fmt.Errorf("it has no tensors, neither by their names nor under %s", strings.Join(stateKeys, ", "))
	}
	var all []weights.Source
	var infos []weights.Info
	for i, key := range state.Keys {
		t, ok := state.Values[i].(*tensor)
		if !ok {
			continue
		}
		name, ok := pickle.Text(key)
		if !ok {
			return nil, errors.New("the name of a tensor is no text")
		}
		info := weights.Info{Name: name, DType: t.storage.kind.name, Shape: t.shape}
		infos = append(infos, info)
		all = append(all, weights.Source{Info: info, Fill: t.fill})
	}
	rename := prefixless(infos)
	for i := range all {
		all[i].Name = rename(all[i].Name)
	}
	r, err := weights.NewReader(path, all, f)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Reader: r, Stated: map[string]float64{}}
	for i, key := range numbers.Keys {
		name, ok := pickle.Text(key)
		if !ok {
			continue
		}
		switch v := numbers.Values[i].(type) {
		case int64:
			c.Stated[name] = float64(v)
		case float64:
			c.Stated[name] = v
		case *tensor:
			if len(v.shape) > 1 || v.count() != 1 {
				continue
			}
			number := make([]float32, 1)
			if err := v.fill(0, number); err != nil {
				return nil, err
			}
			c.Stated[name] = float64(number[0])
		}
	}
	return c, nil
}

func wholeModel(o *pickle.Object) error {
	return fmt.Errorf("it holds an object of %s, whose program is not here; only a state dict is read", o.Class)
}

// tensors is the number of values of d that are tensors.
func tensors(d *pickle.Dict) (n int) {
	for _, v := range d.Values {
		if _, ok := v.(*tensor); ok {
			n++
		}
	}
	return n
}

// prefixless returns a function that takes away what all names begin with: module. of a DataParallel model,
// _orig_mod. of a compiled one.
func prefixless(all []weights.Info) func(name string) string {
	prefix := ""
next:
	for len(all) > 0 {
		for _, p := range []string{"module.", "_orig_mod."} {
			if common(all, prefix+p) {
				prefix += p
				continue next
			}
		}
		break
	}
	return func(name string) string { return strings.TrimPrefix(name, prefix) }
}

func common(all []weights.Info, prefix string) bool {
	for _, info := range all {
		if !strings.HasPrefix(info.Name, prefix) {
			return false
		}
	}
	return true
}

// names are the classes and functions that weights need.
func names(big bool) map[string]pickle.Constructor {
	all := map[string]pickle.Constructor{
		"torch._utils._rebuild_tensor":    func(args pickle.Tuple) (any, error) { return rebuild(args, 4, "") },
		"torch._utils._rebuild_tensor_v2": func(args pickle.Tuple) (any, error) { return rebuild(args, 6, "") },
		"torch._utils._rebuild_tensor_v3": func(args pickle.Tuple) (any, error) {
			if len(args) < 7 {
				return nil, errors.New("want seven arguments")
			}
			name, _ := args[6].(pickle.Global)
			return rebuild(args, 7, string(name))
		},
		"torch._utils._rebuild_parameter":            first,
		"torch._utils._rebuild_parameter_with_state": first,
		"torch.nn.parameter.Parameter":               first,
		"torch.Size": func(args pickle.Tuple) (any, error) {
			if len(args) == 1 {
				return args[0], nil
			}
			return nil, errors.New("want one argument")
		},
		"torch.storage.UntypedStorage": nil,
	}
	for name := range kinds(big) {
		all[name] = nil
	}
	scalars := pickle.Numpy()
	for _, name := range []string{"numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"} {
		all[name] = scalars[name]
	}
	return all
}

// first returns the first argument, a tensor.
func first(args pickle.Tuple) (any, error) {
	if len(args) > 0 {
		if t, ok := args[0].(*tensor); ok {
			return t, nil
		}
	}
	return nil, errors.New("want a tensor")
}

// opaque reports whether a class beside the weights may be named. What has no place in a checkpoint and serves attacks
// is not passed over in silence.
func opaque(name string) bool {
	for _, module := range []string{"builtins", "os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "pty",
		"importlib", "runpy", "code", "ctypes", "operator", "webbrowser", "pickle", "marshal", "multiprocessing", "asyncio",
		"commands", "pdb", "timeit", "bdb", "pip", "http", "urllib"} {
		if strings.HasPrefix(name, module+".") {
			return false
		}
	}
	return true
}

// options are those of a file whose numbers have the given byte order, with the storages that persistent returns.
func options(big bool, persistent func(id any) (any, error)) pickle.Options {
	return pickle.Options{Globals: names(big), Opaque: opaque, Persistent: persistent}
}

// storageID is a storage as a pickle names it: ('storage', type, key, place, elements, …).
type storageID struct {
	kind     kind
	key      string
	elements int64
	rest     pickle.Tuple
}

// storageOf reads the persistent id of a storage.
func storageOf(id any, all map[string]kind) (s storageID, err error) {
	t, ok := id.(pickle.Tuple)
	if !ok || len(t) < 5 {
		return s, errors.New("a persistent id is not that of a storage")
	}
	word, _ := pickle.Text(t[0])
	name, ok1 := t[1].(pickle.Global)
	key, ok2 := pickle.Text(t[2])
	elements, ok3 := t[4].(int64)
	if word != "storage" || !ok1 || !ok2 || !ok3 || elements < 0 {
		return s, errors.New("a persistent id is not that of a storage")
	}
	k, known := all[string(name)]
	if !known {
		k = kind{"U8", 1, asUint8}
		if name != "torch.storage.UntypedStorage" {
			return s, fmt.Errorf("storages of type %s are not read", name)
		}
	}
	return storageID{k, key, elements, t[5:]}, nil
}

// rebuild is _rebuild_tensor(storage, offset, size, stride, …): at least so many arguments. kind names the type of a
// storage of bytes; empty: the storage says.
func rebuild(args pickle.Tuple, atLeast int, as string) (any, error) {
	if len(args) < atLeast {
		return nil, fmt.Errorf("want %d arguments", atLeast)
	}
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := dims(args[2])
	stride, ok4 := dims(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) {
		return nil, errors.New("want a storage, an offset, a size and a stride")
	}
	if as != "" {
		k, ok := s.all[as]
		if !ok {
			return nil, fmt.Errorf("tensors of type %s are not read", as)
		}
		s = &storage{source: s.source, kind: k, all: s.all, elements: s.bytes() / int64(k.size), begin: s.begin}
	}
	t := &tensor{storage: s, offset: offset, shape: shape, stride: stride}
	return t, t.check()
}

// maxDims is PyTorch's bound.
const maxDims = 64

// dims reads a shape or the strides.
func dims(v any) ([]int, bool) {
	if t, ok := v.(pickle.Tuple); !ok || len(t) > maxDims {
		return nil, false
	}
	return pickle.Ints(v)
}

// tensor is a view of a storage.
type tensor struct {
	storage       *storage
	offset        int64
	shape, stride []int // in elements
}

// check returns an error unless all elements lie in the storage.
func (t *tensor) check() error {
	n, last := int64(1), t.offset
	const most = 1 << 40
	for i, d := range t.shape {
		if d < 0 || t.stride[i] < 0 || d > most || t.stride[i] > most || d > 0 && n > (1<<31)/int64(d) {
			return fmt.Errorf("a tensor has the shape %v and the strides %v", t.shape, t.stride)
		}
		n *= int64(d)
	}
	if n == 0 {
		last--
	} else {
		for i, d := range t.shape { // each product is below 2^71 in theory, so compare step by step
			if d > 1 && int64(t.stride[i]) > (most-last)/int64(d-1) {
				return fmt.Errorf("a tensor has the shape %v and the strides %v", t.shape, t.stride)
			}
			last += int64(d-1) * int64(t.stride[i])
		}
	}
	if t.offset < 0 || t.offset > most || last >= t.storage.elements {
		return fmt.Errorf("a tensor of shape %v, strides %v and offset %d lies beyond its storage of %d elements", t.shape,
			t.stride, t.offset, t.storage.elements)
	}
	return nil
}

// count is the number of elements.
func (t *tensor) count() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// contiguous reports whether the elements lie one after another.
func (t *tensor) contiguous() bool {
	n := 1
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != n {
			return false
		}
		n *= t.shape[i]
	}
	return true
}

// fill fills dst with the elements from place at on.
func (t *tensor) fill(at int, dst []float32) error {
	size := t.storage.kind.size
	if t.contiguous() {
		b := make([]byte, size*len(dst))
		if err := t.storage.read(b, t.offset+int64(at)); err != nil {
			return err
		}
		for i := range dst {
			dst[i] = t.storage.kind.element(b[size*i:])
		}
		return nil
	}
	all, err := t.storage.whole()
	if err != nil {
		return err
	}
	for i := range dst {
		place, rest := t.offset, at+i
		for j := len(t.shape) - 1; j >= 0; j-- {
			place += int64(rest%t.shape[j]) * int64(t.stride[j])
			rest /= t.shape[j]
		}
		dst[i] = t.storage.kind.element(all[place*int64(size):])
	}
	return nil
}

// storage is a row of numbers that tensors are views of: elements from begin on, in bytes, of a source.
type storage struct {
	source   *source
	begin    int64
	elements int64
	kind     kind
	all      map[string]kind
}

func (s *storage) bytes() int64 { return s.elements * int64(s.kind.size) }

// read reads the elements from place at on.
func (s *storage) read(b []byte, at int64) error {
	if err := s.source.check(); err != nil {
		return err
	}
	_, err := s.source.at.ReadAt(b, s.source.begin+s.begin+at*int64(s.kind.size))
	return short(err)
}

// whole returns all bytes. They are kept until those of another source are wanted: many entries of an archive may lie
// at the same place, and take its size many times.
func (s *storage) whole() ([]byte, error) {
	c := s.source.last
	if c.of != s.source {
		if err := s.source.check(); err != nil {
			return nil, err
		}
		c.of, c.bytes = nil, make([]byte, s.source.size)
		if _, err := s.source.at.ReadAt(c.bytes, s.source.begin); err != nil {
			return nil, short(err)
		}
		c.of = s.source
	}
	return c.bytes[s.begin:], nil
}

// lastRead is the source of a file that was last read whole.
type lastRead struct {
	of    *source
	bytes []byte
}

// source is where the bytes of storages lie.
type source struct {
	at          io.ReaderAt
	begin, size int64
	last        *lastRead    // one for all sources of a file
	sound       func() error // whether they are undamaged; nil: nothing tells, or they were found so
}

// check says once whether the bytes are undamaged.
func (s *source) check() error {
	if s.sound == nil {
		return nil
	}
	err := s.sound()
	if err == nil {
		s.sound = nil
	}
	return err
}

// short says what an unexpected end of the file means.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cmp.Or(errShort, err)
	}
	return err
}

var errShort = errors.New("the file is cut short")
