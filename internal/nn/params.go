// Package nn builds models: named parameters, the graphs over them, and the layers.
//
// A Params is the set of named weights of one model. A Graph is one Gorgonia expression graph over
// them: a model has two, one for training and one for evaluation, that share the very same memory.
// Layers (linear.go, …) are functions from node to node; to add one, write such a function over the
// ops of internal/ops, asking the Graph for its parameters by name.
package nn

import (
	"fmt"
	"hash/fnv"
	"slices"

	"gorgonia.org/tensor"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// Param is one named tensor of a model: weights, or a buffer.
type Param struct {
	Name   string // as PyTorch's state_dict would have it: "blocks.0.fc1.weight"
	Shape  []int
	Data   []float32     // row-major; the memory every graph and the optimiser share
	Buffer bool          // part of the model's state but not trained: running statistics
	Frozen bool          // weights that are not trained any more
	Epochs int           // trained in the first so many epochs alone; 0: in all
	value  *tensor.Dense // the same memory as Gorgonia sees it
}

// Params are the named weights of one model, in the order in which its layers first asked for them.
type Params struct {
	seed   uint64
	list   []*Param
	byName map[string]*Param
	shapes bool // nothing is allocated: see Shapes
	blank  bool // nothing is drawn: see Blank

	// Dirac makes convolutions of 3x3 and more begin as the identity as far as they have filters for it.
	Dirac bool
}

// NewParams returns an empty set whose initialisers draw from seed. The draw of a parameter depends
// on the seed and its name alone, so two variants of a model start from the same weights wherever
// their layers have the same names.
func NewParams(seed uint64) *Params {
	return &Params{seed: seed, byName: map[string]*Param{}}
}

// Shapes returns an empty set of which only names and shapes are known: a graph over it takes no memory to speak of and
// cannot be run. It tells how large a network is before that is made.
func Shapes() *Params { return &Params{byName: map[string]*Param{}, shapes: true} }

// Blank returns an empty set whose weights are all 0, which takes no time: for what a program is, not what it computes.
func Blank() *Params { return &Params{byName: map[string]*Param{}, blank: true} }

// List returns all of them in order, weights and buffers: the model's state. The slice must not be
// changed.
func (p *Params) List() []*Param { return p.list }

// Trained returns the weights in order, without the buffers and what is frozen.
func (p *Params) Trained() []*Param {
	return slices.DeleteFunc(slices.Clone(p.list), func(q *Param) bool { return q.Buffer || q.Frozen })
}

// Freeze keeps all there are by now as they are: only what layers ask for later is trained.
func (p *Params) Freeze() {
	for _, q := range p.list {
		q.Frozen = true
	}
}

// Whiten makes the first convolution [k, k, c, out] whiten patches of images [n, h, w, c], whose values are those that
// the convolution gets. As many of its filters as there are eigenvalues for become those of WhiteningFilters; the
// others stay. A network without a convolution of c channels is an error.
func (p *Params) Whiten(images []float32, n, h, w, c int) error {
	at := slices.IndexFunc(p.list, func(q *Param) bool { return len(q.Shape) == 4 })
	if at < 0 || p.list[at].Shape[2] != c {
		return fmt.Errorf("nn: no convolution of images of %d channels to whiten them", c)
	}
	q := p.list[at]
	k, out := q.Shape[0], q.Shape[3]
	half := min(out/2, k*k*c)
	filters, err := WhiteningFilters(images, n, h, w, c, k, half, whiteningEps)
	if err != nil {
		return fmt.Errorf("nn: parameter %s: %w", q.Name, err)
	}
	for tap := range k * k * c {
		copy(q.Data[tap*out:], filters[tap*2*half:(tap+1)*2*half])
	}
	return nil
}

// Count is the number of trained weights.
func (p *Params) Count() int {
	n := 0
	for _, q := range p.Trained() {
		n += tensor.Shape(q.Shape).TotalSize()
	}
	return n
}

// Has says whether there are weights with the given name.
func (p *Params) Has(name string) bool { return p.byName[name] != nil }

// Put adds weights with the given values, before any graph asks for them: what was loaded. data is shared, not
// copied. A name that is there already is an error.
func (p *Params) Put(name string, shape []int, data []float32) error {
	if _, ok := p.byName[name]; ok {
		return fmt.Errorf("nn: parameter %s is there already", name)
	}
	if n := tensor.Shape(shape).TotalSize(); n != len(data) {
		return fmt.Errorf("nn: parameter %s of shape %v has %d elements", name, shape, len(data))
	}
	p.add(&Param{Name: name, Shape: slices.Clone(shape), Data: data})
	return nil
}

// add lists q, whose Data is complete.
func (p *Params) add(q *Param) {
	q.value = tensor.New(tensor.WithShape(q.Shape...), tensor.WithBacking(q.Data))
	p.list = append(p.list, q)
	p.byName[q.Name] = q
}

// get returns the tensor called name, making and initialising it at first use.
func (p *Params) get(name string, init Init, buffer bool, shape []int) (*Param, error) {
	if q, ok := p.byName[name]; ok {
		if !slices.Equal(q.Shape, shape) || q.Buffer != buffer {
			return nil, fmt.Errorf("nn: parameter %s has shape %v (buffer: %v), a layer asks for %v (%v)", name, q.Shape,
				q.Buffer, shape, buffer)
		}
		return q, nil
	}
	n := 1
	for _, d := range shape {
		if d <= 0 {
			return nil, fmt.Errorf("nn: parameter %s: shape %v has a dimension below 1", name, shape)
		}
		n *= d
	}
	if p.shapes {
		q := &Param{Name: name, Shape: slices.Clone(shape), Buffer: buffer}
		p.list, p.byName[name] = append(p.list, q), q
		return q, nil
	}
	q := &Param{Name: name, Shape: slices.Clone(shape), Data: kernel.Alloc(n), Buffer: buffer}
	h := fnv.New64a()
	h.Write([]byte(name))
	s := rng.New(p.seed, "init", 0, h.Sum64())
	if !p.blank {
		init(q.Data, &s)
	}
	p.add(q)
	return q, nil
}
