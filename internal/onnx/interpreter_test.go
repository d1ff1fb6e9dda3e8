package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A reader and an interpreter of models: of the ops that are written here, and slow, so that tests need no other
// program. TestOnnxruntime compares with one.

// fields are those of a message by number: uint64 of varints, []byte of strings and messages, float32.
type fields map[protowire.Number][]any

func parse(b []byte) (fields, error) {
	all := fields{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(b)
			v = math.Float32frombits(bits)
		default:
			return nil, fmt.Errorf("field %d has type %d", number, kind)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		all[number] = append(all[number], v)
		b = b[n:]
	}
	return all, nil
}

func (f fields) text(n protowire.Number) string { return string(f.bytes(n)) }

func (f fields) bytes(n protowire.Number) []byte {
	if len(f[n]) == 0 {
		return nil
	}
	return f[n][0].([]byte)
}

func (f fields) texts(n protowire.Number) (all []string) {
	for _, v := range f[n] {
		all = append(all, string(v.([]byte)))
	}
	return all
}

func (f fields) ints(n protowire.Number) (all []int) {
	for _, v := range f[n] {
		all = append(all, int(int64(v.(uint64))))
	}
	return all
}

func (f fields) each(n protowire.Number, do func(fields) error) error {
	for _, v := range f[n] {
		sub, err := parse(v.([]byte))
		if err == nil {
			err = do(sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// array is a tensor, of floats or of whole numbers.
type array struct {
	dims []int
	v    []float64
}

func count(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func zeros(dims ...int) array { return array{slices.Clone(dims), make([]float64, count(dims))} }

// offsets are the places of the elements of a tensor of shape dims in one of shape of, which is spread over it.
func offsets(dims, of []int) []int {
	step := make([]int, len(dims))
	n := 1
	for i := len(of) - 1; i >= 0; i-- {
		if of[i] != 1 {
			step[len(dims)-len(of)+i] = n
		}
		n *= of[i]
	}
	all := make([]int, count(dims))
	index := make([]int, len(dims))
	for i := range all {
		for k, x := range index {
			all[i] += x * step[k]
		}
		for k := len(dims) - 1; k >= 0; k-- {
			if index[k]++; index[k] < dims[k] {
				break
			}
			index[k] = 0
		}
	}
	return all
}

// broadcast applies f to a and b, spread over each other.
func broadcast(a, b array, f func(x, y float64) float64) array {
	rank := max(len(a.dims), len(b.dims))
	dims := make([]int, rank)
	for i := range dims {
		at := func(d []int) int {
			if k := i - rank + len(d); k >= 0 {
				return d[k]
			}
			return 1
		}
		x, y := at(a.dims), at(b.dims)
		if x != y && x != 1 && y != 1 {
			panic(fmt.Sprintf("%v and %v do not go together", a.dims, b.dims))
		}
		dims[i] = max(x, y)
		if x == 0 || y == 0 {
			dims[i] = 0
		}
	}
	out := zeros(dims...)
	ia, ib := offsets(dims, a.dims), offsets(dims, b.dims)
	for i := range out.v {
		out.v[i] = f(a.v[ia[i]], b.v[ib[i]])
	}
	return out
}

func (a array) apply(f func(float64) float64) array {
	out := zeros(a.dims...)
	for i, v := range a.v {
		out.v[i] = f(v)
	}
	return out
}

func (a array) ints() []int {
	all := make([]int, len(a.v))
	for i, v := range a.v {
		all[i] = int(v)
	}
	return all
}

func (a array) transpose(perm []int) array {
	dims := make([]int, len(perm))
	step := make([]int, len(perm))
	for i, p := range perm {
		dims[i] = a.dims[p]
		step[i] = count(a.dims[p+1:])
	}
	out := zeros(dims...)
	index := make([]int, len(dims))
	for i := range out.v {
		at := 0
		for k, x := range index {
			at += x * step[k]
		}
		out.v[i] = a.v[at]
		for k := len(dims) - 1; k >= 0; k-- {
			if index[k]++; index[k] < dims[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

// loaded is a model that was read.
type loaded struct {
	fields  fields // of the model
	graph   fields
	weights map[string]array
	nodes   []fields
	inputs  []string
	outputs []string
}

func load(b []byte) (m *loaded, err error) {
	m = &loaded{weights: map[string]array{}}
	if m.fields, err = parse(b); err != nil {
		return nil, err
	}
	if m.graph, err = parse(m.fields.bytes(modelGraph)); err != nil {
		return nil, err
	}
	err = m.graph.each(graphInitial, func(t fields) error {
		a := array{dims: t.ints(tensorDims)}
		raw := t.bytes(tensorRaw)
		switch t.ints(tensorType)[0] {
		case float32s:
			for ; len(raw) > 0; raw = raw[4:] {
				a.v = append(a.v, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
			}
		case int64s:
			for ; len(raw) > 0; raw = raw[8:] {
				a.v = append(a.v, float64(int64(binary.LittleEndian.Uint64(raw))))
			}
		}
		if _, ok := m.weights[t.text(tensorName)]; ok || count(a.dims) != len(a.v) {
			return fmt.Errorf("the weight %q of shape %v has %d elements, or is there twice", t.text(tensorName), a.dims,
				len(a.v))
		}
		m.weights[t.text(tensorName)] = a
		return nil
	})
	if err == nil {
		err = m.graph.each(graphNode, func(n fields) error { m.nodes = append(m.nodes, n); return nil })
	}
	names := func(n protowire.Number, to *[]string) {
		if err == nil {
			err = m.graph.each(n, func(v fields) error { *to = append(*to, v.text(valueName)); return nil })
		}
	}
	names(graphInput, &m.inputs)
	names(graphOutput, &m.outputs)
	return m, err
}

// run computes the output. A result that is named twice, an input that nothing gives and a weight that nothing takes
// are errors.
func (m *loaded) run(inputs map[string]array) (out array, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	have, used := map[string]array{}, map[string]bool{}
	for _, name := range m.inputs {
		if _, ok := inputs[name]; !ok {
			return out, fmt.Errorf("no input %s", name)
		}
		have[name] = inputs[name]
	}
	for name, w := range m.weights {
		have[name] = w
	}
	for _, n := range m.nodes {
		var in []array
		for _, name := range n.texts(nodeInput) {
			if _, ok := have[name]; !ok && name != "" {
				return out, fmt.Errorf("%s: nothing gives %q", n.text(nodeName), name)
			}
			used[name] = true
			in = append(in, have[name])
		}
		at := map[string]fields{}
		if err := n.each(nodeAttribute, func(a fields) error { at[a.text(attributeName)] = a; return nil }); err != nil {
			return out, err
		}
		y, err := compute(n.text(nodeOp), in, at)
		if err != nil {
			return out, fmt.Errorf("%s: %w", n.text(nodeName), err)
		}
		name := n.text(nodeOutput)
		if _, ok := have[name]; ok || n.text(nodeName) == "" {
			return out, fmt.Errorf("node %q gives %q, which is there", n.text(nodeName), name)
		}
		have[name] = y
	}
	for name := range m.weights {
		if !used[name] {
			return out, fmt.Errorf("nothing takes the weight %s", name)
		}
	}
	return have[m.outputs[0]], nil
}

func compute(op string, in []array, at map[string]fields) (array, error) {
	x := in[0]
	list := func(name string) []int { return at[name].ints(attributeInts) }
	whole := func(name string) int {
		if len(at[name][attributeInt]) == 0 {
			return 0
		}
		return at[name].ints(attributeInt)[0]
	}
	eps := func() float64 { return float64(at["epsilon"][attributeFloat][0].(float32)) }
	switch op {
	case "Add":
		return broadcast(x, in[1], func(a, b float64) float64 { return a + b }), nil
	case "Sub":
		return broadcast(x, in[1], func(a, b float64) float64 { return a - b }), nil
	case "Mul":
		return broadcast(x, in[1], func(a, b float64) float64 { return a * b }), nil
	case "Div":
		return broadcast(x, in[1], func(a, b float64) float64 { return a / b }), nil
	case "Max":
		return broadcast(x, in[1], math.Max), nil
	case "Relu":
		return x.apply(func(v float64) float64 { return max(v, 0) }), nil
	case "Erf":
		return x.apply(math.Erf), nil
	case "Tanh":
		return x.apply(math.Tanh), nil
	case "Sigmoid":
		return x.apply(func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }), nil
	case "Cast":
		return x, nil
	case "Transpose":
		return x.transpose(list("perm")), nil
	case "Flatten":
		return array{[]int{x.dims[0], count(x.dims[1:])}, x.v}, nil
	case "Gemm":
		if whole("transB") != 1 {
			return x, fmt.Errorf("transB is not 1")
		}
		y := matmul(x, in[1].transpose([]int{1, 0}))
		if len(in) > 2 {
			y = broadcast(y, in[2], func(a, b float64) float64 { return a + b })
		}
		return y, nil
	case "MatMul":
		return matmul(x, in[1]), nil
	case "Conv":
		return conv(x, in[1:], list("strides"), list("pads")), nil
	case "BatchNormalization":
		y := zeros(x.dims...)
		pixels := count(x.dims[2:])
		for i, v := range x.v {
			c := i / pixels % x.dims[1]
			y.v[i] = (v-in[3].v[c])/math.Sqrt(in[4].v[c]+eps())*in[1].v[c] + in[2].v[c]
		}
		return y, nil
	case "LayerNormalization":
		y, width := zeros(x.dims...), x.dims[len(x.dims)-1]
		for from := 0; from < len(x.v); from += width {
			row := x.v[from : from+width]
			var sum, squares float64
			for _, v := range row {
				sum += v
			}
			mean := sum / float64(width)
			for _, v := range row {
				squares += (v - mean) * (v - mean)
			}
			for i, v := range row {
				y.v[from+i] = (v-mean)/math.Sqrt(squares/float64(width)+eps())*in[1].v[i] + in[2].v[i]
			}
		}
		return y, nil
	case "Softmax":
		y, width := zeros(x.dims...), x.dims[len(x.dims)-1]
		for from := 0; from < len(x.v); from += width {
			row, sum := x.v[from:from+width], 0.0
			most := slices.Max(row)
			for i, v := range row {
				y.v[from+i] = math.Exp(v - most)
				sum += y.v[from+i]
			}
			for i := range row {
				y.v[from+i] /= sum
			}
		}
		return y, nil
	case "GlobalAveragePool":
		pixels := count(x.dims[2:])
		y := zeros(x.dims[0], x.dims[1], 1, 1)
		for i, v := range x.v {
			y.v[i/pixels] += v / float64(pixels)
		}
		return y, nil
	case "MaxPool":
		k := list("kernel_shape")[0]
		h, w := x.dims[2]/k, x.dims[3]/k
		y := zeros(x.dims[0], x.dims[1], h, w)
		for i := range y.v {
			y.v[i] = math.Inf(-1)
			plane, r, c := i/(h*w), i/w%h, i%w
			for p := range k * k {
				y.v[i] = max(y.v[i], x.v[(plane*x.dims[2]+r*k+p/k)*x.dims[3]+c*k+p%k])
			}
		}
		return y, nil
	case "Resize":
		if !slices.Equal(in[2].v, []float64{1, 1, 2, 2}) || at["mode"].text(attributeText) != "nearest" {
			return x, fmt.Errorf("not doubled")
		}
		h, w := 2*x.dims[2], 2*x.dims[3]
		y := zeros(x.dims[0], x.dims[1], h, w)
		for i := range y.v {
			y.v[i] = x.v[(i/(h*w)*x.dims[2]+i/w%h/2)*x.dims[3]+i%w/2]
		}
		return y, nil
	case "Slice":
		starts, ends, axes := in[1].ints(), in[2].ints(), in[3].ints()
		for i, axis := range axes {
			step := 1
			if len(in) > 4 {
				step = in[4].ints()[i]
			}
			var keep []int
			for k := starts[i]; k < min(ends[i], x.dims[axis]); k += step {
				keep = append(keep, k)
			}
			x = x.pick(axis, keep)
		}
		return x, nil
	case "Pad":
		pads := in[1].ints()
		front, back := pads[1], pads[5]
		if !slices.Equal(pads, []int{0, front, 0, 0, 0, back, 0, 0}) {
			return x, fmt.Errorf("pads other than channels: %v", pads)
		}
		y := zeros(x.dims[0], x.dims[1]+front+back, x.dims[2], x.dims[3])
		for n := range x.dims[0] {
			size, plane := count(x.dims[1:]), count(x.dims[2:])
			copy(y.v[n*count(y.dims[1:])+front*plane:], x.v[n*size:(n+1)*size])
		}
		return y, nil
	case "Gather":
		rows := x.pick(0, in[1].ints())
		return array{append(slices.Clone(in[1].dims), x.dims[1:]...), rows.v}, nil
	case "GatherND":
		y := zeros(x.dims[0], x.dims[2])
		for n := range y.dims[0] {
			copy(y.v[n*y.dims[1]:], x.v[(n*x.dims[1]+int(in[1].v[n]))*x.dims[2]:][:x.dims[2]])
		}
		return y, nil
	case "ArgMax":
		y := zeros(x.dims[0], 1)
		for n := range y.v {
			row := x.v[n*x.dims[1]:][:x.dims[1]]
			y.v[n] = float64(slices.Index(row, slices.Max(row)))
		}
		return y, nil
	case "ReduceSum":
		axis := in[1].ints()[0]
		inner, n := count(x.dims[axis+1:]), x.dims[axis]
		y := zeros(append(slices.Clone(x.dims[:axis]), x.dims[axis+1:]...)...)
		for i, v := range x.v {
			y.v[i/(inner*n)*inner+i%inner] += v
		}
		return y, nil
	case "CumSum":
		y := zeros(x.dims...)
		for i, v := range x.v {
			if y.v[i] = v; i%x.dims[1] > 0 {
				y.v[i] += y.v[i-1]
			}
		}
		return y, nil
	case "Unsqueeze":
		dims := slices.Clone(x.dims)
		for _, a := range in[1].ints() {
			dims = slices.Insert(dims, a, 1)
		}
		return array{dims, x.v}, nil
	case "Reshape":
		dims := in[1].ints()
		for i, d := range dims {
			if d == 0 {
				dims[i] = x.dims[i]
			}
		}
		if count(dims) != len(x.v) {
			return x, fmt.Errorf("%v does not become %v", x.dims, dims)
		}
		return array{dims, x.v}, nil
	case "Shape":
		y := zeros(len(x.dims))
		for i, d := range x.dims {
			y.v[i] = float64(d)
		}
		return y, nil
	case "Range":
		y := array{}
		for v := x.v[0]; v < in[1].v[0]; v += in[2].v[0] {
			y.v = append(y.v, v)
		}
		y.dims = []int{len(y.v)}
		return y, nil
	}
	return x, fmt.Errorf("op %s is not known", op)
}

// pick is x with the elements at of an axis.
func (a array) pick(axis int, at []int) array {
	dims := slices.Clone(a.dims)
	dims[axis] = len(at)
	inner := count(dims[axis+1:])
	out := array{dims: dims}
	for o := range count(dims[:axis]) {
		for _, k := range at {
			from := (o*a.dims[axis] + k) * inner
			out.v = append(out.v, a.v[from:from+inner]...)
		}
	}
	return out
}

// matmul is a·b, of the last two axes; b may have fewer.
func matmul(a, b array) array {
	m, k := a.dims[len(a.dims)-2], a.dims[len(a.dims)-1]
	n := b.dims[len(b.dims)-1]
	if b.dims[len(b.dims)-2] != k {
		panic(fmt.Sprintf("%v times %v", a.dims, b.dims))
	}
	out := zeros(append(slices.Clone(a.dims[:len(a.dims)-1]), n)...)
	for batch := range count(a.dims[:len(a.dims)-2]) {
		x, y := a.v[batch*m*k:], b.v
		if len(b.dims) > 2 {
			y = b.v[batch*k*n:]
		}
		for i := range m {
			for p := range k {
				for j := range n {
					out.v[(batch*m+i)*n+j] += x[i*k+p] * y[p*n+j]
				}
			}
		}
	}
	return out
}

func conv(x array, rest []array, strides, pads []int) array {
	w := rest[0]
	oc, ic, k := w.dims[0], w.dims[1], w.dims[2]
	h, width := x.dims[2], x.dims[3]
	oh, ow := (h+pads[0]+pads[2]-k)/strides[0]+1, (width+pads[1]+pads[3]-k)/strides[1]+1
	out := zeros(x.dims[0], oc, oh, ow)
	for n := range x.dims[0] {
		for o := range oc {
			y := out.v[(n*oc+o)*oh*ow:][:oh*ow]
			if len(rest) > 1 {
				for i := range y {
					y[i] = rest[1].v[o]
				}
			}
			for i := range ic {
				plane := x.v[(n*ic+i)*h*width:][:h*width]
				for tap := range k * k {
					f := w.v[(o*ic+i)*k*k+tap]
					for r := range oh {
						at := r*strides[0] + tap/k - pads[0]
						if at < 0 || at >= h {
							continue
						}
						for c := range ow {
							if col := c*strides[1] + tap%k - pads[1]; col >= 0 && col < width {
								y[r*ow+c] += f * plane[at*width+col]
							}
						}
					}
				}
			}
		}
	}
	return out
}
