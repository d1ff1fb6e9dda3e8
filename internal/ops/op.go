// Package ops holds the Gorgonia ops the models are made of. Each file is one op: its forward node,
// its symbolic gradient, and the kernels both call, side by side with the shapes.
//
// An op is differentiated by Gorgonia's Grad through SymDiff and run by the engine through Run;
// Do is the same kernel for Gorgonia's TapeMachine, which the tests use as the oracle. A gradient is
// made of one node for each input, so every node has one output and no hidden state.
//
// To add an op: copy relu-sized file add.go, give Run, shape, SymDiff, and add it to the table in
// ops_test.go, which checks its gradient by central differences and against the TapeMachine.
package ops

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dla/internal/engine"
)

var lastID atomic.Uint64

// ints marks an input that is an int32 vector in base.dims: class indices, token ids, offsets.
const ints = -1

// op is what each of ours implements beside base.
type op interface {
	engine.Op
	shape(in []tensor.Shape) (tensor.Shape, error)
}

// What the ops can do beside engine.Op. The engine finds it by the methods alone, so that one of another name or
// signature would be overlooked without a word.
var (
	_ = []engine.MACCounter{(*linear)(nil), (*linearDX)(nil), (*linearDW)(nil), (*lowRankDown)(nil), (*lowRankUp)(nil),
		(*conv2d)(nil), (*convDX)(nil), (*convDW)(nil)}
	_                  = []engine.Accumulator{(*linearDX)(nil), (*convDX)(nil)}
	_                  = []engine.Joiner{(*linearDX)(nil), (*linearDW)(nil), (*colSum)(nil)}
	_                  = []engine.JoiningAccumulator{(*linearDX)(nil)}
	_                  = []engine.Absorber{(*linear)(nil), (*conv2d)(nil), (*convPool)(nil), (*convDX)(nil)}
	_                  = []engine.Taker{(*convDX)(nil), (*fixedNormGrad)(nil)}
	_                  = []engine.SumsGiver{(*conv2d)(nil), (*maxPool)(nil), (*convPool)(nil)}
	_ engine.SumsTaker = (*batchNorm)(nil)
	_ engine.Viewer    = (*third)(nil)
)

// base is the part of gorgonia.Op that is the same for all of ours.
type base struct {
	name string
	id   uint64 // in the hash: Gorgonia merges nodes whose 32-bit hashes agree
	dims []int  // number of dimensions of each input, then of the output
	self op
}

func newBase(name string, self op, dims ...int) base {
	return base{name: name, id: lastID.Add(1), dims: dims, self: self}
}

// Arity is the number of inputs.
func (b *base) Arity() int { return len(b.dims) - 1 }

// Type is built anew at each call: Gorgonia's unification writes into what it gets.
func (b *base) Type() hm.Type {
	ts := make([]hm.Type, len(b.dims))
	for i, d := range b.dims {
		switch d {
		case ints:
			ts[i] = G.TensorType{Dims: 1, Of: tensor.Int32}
		case 0:
			ts[i] = hm.TypeVariable('a')
		default:
			ts[i] = G.TensorType{Dims: d, Of: hm.TypeVariable('a')}
		}
	}
	return hm.NewFnType(ts...)
}

// InferShape computes the output's shape; an error names the op and the shapes.
func (b *base) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	shapes, err := G.DimSizersToShapes(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	s, err := b.self.shape(shapes)
	if err != nil {
		return nil, fmt.Errorf("%s of %v: %w", b.name, shapes, err)
	}
	return s, nil
}

// Do runs the op for Gorgonia's TapeMachine, in memory of its own.
func (b *base) Do(vs ...G.Value) (G.Value, error) {
	in := make([]*engine.Tensor, len(vs))
	shapes := make([]tensor.Shape, len(vs))
	for i, v := range vs {
		t, err := engine.FromValue(v)
		if err != nil {
			return nil, fmt.Errorf("%v: input %d: %w", b, i, err)
		}
		in[i], shapes[i] = t, v.Shape()
	}
	s, err := b.self.shape(shapes)
	if err != nil {
		return nil, fmt.Errorf("%v of %v: %w", b, shapes, err)
	}
	buf := make([]float32, max(1, s.TotalSize()))
	out := &engine.Tensor{Shape: append([]int{}, s...), F32: buf}
	if err := b.self.Run(out, in); err != nil {
		return nil, fmt.Errorf("%v of %v: %w", b, shapes, err)
	}
	buf = out.F32 // its own where the op is a view
	if s.Dims() == 0 {
		v := G.F32(buf[0])
		return &v, nil
	}
	return tensor.New(tensor.WithShape(s...), tensor.WithBacking(buf)), nil
}

// ReturnsPtr is false: Do returns new memory.
func (b *base) ReturnsPtr() bool { return false }

// CallsExtern is false: no cgo, no GPU.
func (b *base) CallsExtern() bool { return false }

// OverwritesInput is -1: see engine.Op's InPlace.
func (b *base) OverwritesInput() int { return -1 }

// InPlace is -1 unless an op says otherwise.
func (b *base) InPlace() int { return -1 }

// WriteHash writes the name and the unique id, so that Gorgonia never merges two nodes.
func (b *base) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s#%d", b.name, b.id) }

// Hashcode is the 32-bit FNV-1a hash of WriteHash.
func (b *base) Hashcode() uint32 {
	h := fnv.New32a()
	b.WriteHash(h)
	return h.Sum32()
}

func (b *base) String() string { return b.name }

// residual is input i, nil where there is none.
func residual(in []*engine.Tensor, i int) []float32 {
	if len(in) <= i {
		return nil
	}
	return in[i].F32
}

// matrices checks that the first n shapes have two dimensions.
func matrices(in []tensor.Shape, n int) error {
	for i := range n {
		if in[i].Dims() != 2 {
			return fmt.Errorf("input %d must be a matrix", i)
		}
	}
	return nil
}
