package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Tensor is the view of memory an op's kernel works on: a shape and the float32 or int32 elements
// that belong to it, row-major. The engine owns the memory; an op sets its output's shape with
// Resize (never beyond what the graph declared) and fills it.
//
// It exists beside tensor.Dense because a step may have fewer rows than the graph was built for
// (the last batch of an epoch), and re-slicing a Dense allocates.
type Tensor struct {
	Shape []int
	F32   []float32 // elements of a float32 tensor, len = product of Shape
	I32   []int32   // elements of an int32 tensor (labels)

	// sums has room for the channel sums of an op that gives them to an op that wants them.
	sums []float32
}

// SumsFor returns the memory for the channel sums [n, 2, c] of t, as kernel.Norm defines them: the SumsGiver that
// computes t fills it, and the SumsTaker that normalises t reads it. It is nil unless there are two such ops.
func (t *Tensor) SumsFor(n, c int) []float32 {
	if t.sums == nil {
		return nil
	}
	return t.sums[:n*2*c]
}

// Resize gives t the shape dims by re-slicing its memory. More elements than the graph planned for, or another number
// of dimensions, are an error.
func (t *Tensor) Resize(dims ...int) error {
	if len(dims) != len(t.Shape) {
		return fmt.Errorf("shape %v needs %d dimensions, the graph planned %d", append([]int(nil), dims...), len(dims),
			len(t.Shape))
	}
	n := 1
	for _, d := range dims {
		n *= d
	}
	if n < 0 || n > max(cap(t.F32), cap(t.I32)) {
		return fmt.Errorf("shape %v needs %d elements, the graph planned %d", append([]int(nil), dims...), n,
			max(cap(t.F32), cap(t.I32)))
	}
	copy(t.Shape, dims)
	if t.I32 != nil {
		t.I32 = t.I32[:n]
	} else {
		t.F32 = t.F32[:n]
	}
	return nil
}

// Rows returns the size of the first dimension, which is the number of samples in a batch; 1 for a scalar.
func (t *Tensor) Rows() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[0]
}

// Cols returns the number of elements in a row.
func (t *Tensor) Cols() int {
	if t.Rows() == 0 {
		return 0
	}
	return max(len(t.F32), len(t.I32)) / t.Rows()
}

// Scalar returns the value of a one-element float32 tensor.
func (t *Tensor) Scalar() float32 { return t.F32[0] }

// FromValue views the memory of a Gorgonia value: float32 and int32 tensors and float32 scalars.
// A scalar's view is a copy.
func FromValue(v gorgonia.Value) (*Tensor, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return &Tensor{Shape: []int{}, F32: []float32{float32(*v)}}, nil
	case *tensor.Dense:
		t := &Tensor{Shape: append([]int{}, v.Shape()...)}
		switch {
		case v.RequiresIterator():
			return nil, fmt.Errorf("tensor of shape %v is not contiguous", v.Shape())
		case v.Dtype() == tensor.Float32 && v.IsScalar():
			f, ok := v.Data().(float32)
			if !ok {
				return nil, fmt.Errorf("scalar of type %T", v.Data())
			}
			t.F32 = []float32{f}
		case v.Dtype() == tensor.Float32:
			t.F32 = v.Float32s()
		case v.Dtype() == tensor.Int32:
			t.I32 = v.Int32s()
		default:
			return nil, fmt.Errorf("tensor of type %v: only float32 and int32 run here", v.Dtype())
		}
		return t, nil
	case nil:
		return nil, fmt.Errorf("no value bound")
	default:
		return nil, fmt.Errorf("value of type %T: only float32 and int32 tensors run here", v)
	}
}
