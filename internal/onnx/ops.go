package onnx

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"dla/internal/nn"
	"dla/internal/ops"
)

// op translates one node of the given form, whose inputs are in, to nodes of ONNX. To write another op: give it a form
// in ops/form.go, and a case here.
func (t *translation) op(n *G.Node, in []*G.Node, form any) error {
	x := t.names[in[0]]
	var y string
	tokens := t.tokens[in[0]]
	switch f := form.(type) {
	case ops.LinearForm:
		y = t.linear(x, in[1:], tokens)
		if f.ReLU {
			y = t.emit("Relu", []string{y})
		}
	case ops.ConvForm:
		y = t.conv(x, in[1:], f, n.Shape())
	case ops.NormForm:
		y = t.norm(x, in, f)
	case ops.AffineForm:
		y = t.affine(x, f, in[0].Dims())
	case ops.AddForm:
		y = t.emit("Add", []string{x, t.names[in[1]]})
	case ops.BiasReLUForm:
		b := t.floats(in[1].Name(), byChannel(in[1].Shape()[0], in[0].Dims()), func() []float32 { return elements(in[1]) })
		y = t.emit("Relu", []string{t.emit("Add", []string{x, b})})
	case ops.ActivationForm:
		y = t.activation(x, f.Act)
	case ops.TanhForm:
		y = t.emit("Tanh", []string{x})
	case ops.GlobalAvgPoolForm:
		y = t.emit("Flatten", []string{t.emit("GlobalAveragePool", []string{x})})
	case ops.MaxPoolForm:
		window := []int{f.Window, f.Window}
		y = t.emit("MaxPool", []string{x}, attribute{"kernel_shape", window}, attribute{"strides", window})
	case ops.UpsampleForm:
		y = t.emit("Resize", []string{x, "", t.constant("scales", []int{4}, 1, 1, 2, 2)}, attribute{"mode", "nearest"},
			attribute{"coordinate_transformation_mode", "asymmetric"}, attribute{"nearest_mode", "floor"})
	case ops.PadShortcutForm:
		y = t.padShortcut(x, f, in[0].Shape())
	case ops.EmbeddingsForm:
		y, tokens = t.embeddings(in, f), true
	case ops.LayerNormForm:
		if len(in) > 3 {
			x = t.emit("Add", []string{x, t.names[in[3]]})
		}
		y = t.emit("LayerNormalization", []string{x, t.plain(in[1]), t.plain(in[2])}, attribute{"axis", -1},
			attribute{"epsilon", f.Eps})
	case ops.AttentionForm:
		y = t.attention(in, f)
	case ops.SentencePoolForm:
		y, tokens = t.pool(x, f.Mean), false
	default:
		return fmt.Errorf("op %v is not written in ONNX", n.Op())
	}
	t.names[n], t.tokens[n] = y, tokens
	return nil
}

// linear is x·wᵀ + b. Of rows of tokens, [batch, sequence, width], it is a MatMul, whose weight is w transposed.
func (t *translation) linear(x string, weights []*G.Node, tokens bool) string {
	w := weights[0]
	if !tokens {
		in := []string{x, t.plain(w)}
		for _, b := range weights[1:] {
			in = append(in, t.plain(b))
		}
		return t.emit("Gemm", in, attribute{"transB", 1})
	}
	s := w.Shape()
	y := t.emit("MatMul", []string{x, t.floats(w.Name(), []int{s[1], s[0]}, func() []float32 {
		return transposed(elements(w), s[0], s[1])
	})})
	for _, b := range weights[1:] {
		y = t.emit("Add", []string{y, t.plain(b)})
	}
	return y
}

// transposed is w [rows, cols] as [cols, rows].
func transposed(w []float32, rows, cols int) []float32 {
	all := make([]float32, len(w))
	for r := range rows {
		for c := range cols {
			all[c*rows+r] = w[r*cols+c]
		}
	}
	return all
}

// conv is a convolution to the shape [N, H, W, C].
func (t *translation) conv(x string, weights []*G.Node, f ops.ConvForm, shape []int) string {
	w := weights[0]
	s := w.Shape()
	in := []string{x, t.floats(w.Name(), []int{s[3], s[2], s[0], s[1]}, func() []float32 {
		_, all := nn.OutputsFirst(s, elements(w))
		return all
	})}
	for _, b := range weights[1:] {
		in = append(in, t.plain(b))
	}
	pad := s[0] / 2
	if f.Valid {
		pad = 0
	}
	y := t.emit("Conv", in, attribute{"kernel_shape", []int{s[0], s[1]}}, attribute{"strides", []int{f.Stride, f.Stride}},
		attribute{"pads", []int{pad, pad, pad, pad}})
	if f.CropH > 0 {
		y = t.emit("Slice", []string{y, t.integers("starts", 0, 0), t.integers("ends", int64(shape[1]), int64(shape[2])),
			t.integers("axes", 2, 3)})
	}
	return y
}

// norm is a batch normalisation by given statistics.
func (t *translation) norm(x string, in []*G.Node, f ops.NormForm) string {
	rest := in[1:]
	var gamma string
	if f.Gamma {
		gamma, rest = t.plain(rest[0]), rest[1:]
	} else {
		ones := make([]float32, rest[0].Shape()[0])
		for i := range ones {
			ones[i] = 1
		}
		gamma = t.constant("scale", []int{len(ones)}, ones...)
	}
	y := t.emit("BatchNormalization", []string{x, gamma, t.plain(rest[0]), t.plain(rest[1]), t.plain(rest[2])},
		attribute{"epsilon", f.Eps})
	if f.Res {
		y = t.emit("Add", []string{y, t.names[in[len(in)-1]]})
	}
	return t.activation(y, f.Act)
}

// affine is x·scale + shift by channel.
func (t *translation) affine(x string, f ops.AffineForm, dims int) string {
	shape := byChannel(len(f.Scale), dims)
	y := t.emit("Mul", []string{x, t.constant("scale", shape, f.Scale...)})
	for _, v := range f.Shift {
		if v != 0 {
			return t.emit("Add", []string{y, t.constant("shift", shape, f.Shift...)})
		}
	}
	return y
}

// byChannel is the shape by which a vector [C] is added to a tensor of so many dimensions.
func byChannel(c, dims int) []int {
	if dims == 4 {
		return []int{c, 1, 1}
	}
	return []int{c}
}

// activation is act(x). GELU is no op of its own before opset 20.
func (t *translation) activation(x string, act ops.Activation) string {
	switch act {
	case ops.ActReLU:
		return t.emit("Relu", []string{x})
	case ops.ActGELU: // x·(1 + erf(x/√2))/2
		e := t.emit("Erf", []string{t.emit("Mul", []string{x, t.constant("rsqrt2", nil, float32(1/math.Sqrt2))})})
		e = t.emit("Mul", []string{x, t.emit("Add", []string{e, t.constant("one", nil, 1)})})
		return t.emit("Mul", []string{e, t.constant("half", nil, 0.5)})
	case ops.ActSiLU:
		return t.emit("Mul", []string{x, t.emit("Sigmoid", []string{x})})
	}
	return x
}

// padShortcut is every stride-th pixel of x [N, H, W, C], with zeros around its channels.
func (t *translation) padShortcut(x string, f ops.PadShortcutForm, shape []int) string {
	if f.Stride > 1 {
		s := int64(f.Stride)
		x = t.emit("Slice", []string{x, t.integers("starts", 0, 0), t.integers("ends", int64(shape[1]), int64(shape[2])),
			t.integers("axes", 2, 3), t.integers("steps", s, s)})
	}
	return t.emit("Pad", []string{x, t.integers("pads", 0, int64(f.Front), 0, 0, 0, int64(f.Out-f.Front-shape[3]), 0, 0)})
}

// embeddings is the sum of the tables' rows, [batch, sequence, width], of word, position, ids, positions and kind.
func (t *translation) embeddings(in []*G.Node, f ops.EmbeddingsForm) string {
	y := t.emit("Gather", []string{t.plain(in[0]), t.names[in[2]]})
	if len(in) > 4 { // of token type 0
		kind := in[4]
		width := kind.Shape()[1]
		row := t.floats(kind.Name(), []int{width}, func() []float32 { return elements(kind)[:width] })
		y = t.emit("Add", []string{y, row})
	}
	return t.emit("Add", []string{y, t.emit("Gather", []string{t.plain(in[1]), t.positions(f.First)})})
}

// positions are the rows of the table of positions: first plus the number of tokens before, whatever side the padding
// is on.
func (t *translation) positions(first int) string {
	if t.packed.positions == "" {
		before := t.emit("CumSum", []string{AttentionMask, t.integer("axis", 1)})
		before = t.emit("Sub", []string{before, t.integer("one", 1)})
		before = t.emit("Max", []string{before, t.integer("zero", 0)}) // of padding before the first token
		t.packed.positions = t.emit("Add", []string{before, t.integer("first", int64(first))})
	}
	return t.packed.positions
}

// attention is that of q, k, v [batch, sequence, width], masked.
func (t *translation) attention(in []*G.Node, f ops.AttentionForm) string {
	heads := int64(f.Heads)
	width := int64(in[0].Shape()[1])
	size := width / heads
	split := t.integers("heads", 0, 0, heads, size)
	part := func(x *G.Node, perm ...int) string {
		return t.emit("Transpose", []string{t.emit("Reshape", []string{t.names[x], split})}, attribute{"perm", perm})
	}
	q, k, v := part(in[0], 0, 2, 1, 3), part(in[1], 0, 2, 3, 1), part(in[2], 0, 2, 1, 3)
	scores := t.emit("Mul", []string{t.emit("MatMul", []string{q, k}),
		t.constant("scale", nil, float32(1/math.Sqrt(float64(size))))})
	if f.Bias != nil {
		scores = t.emit("Add", []string{scores, t.relativeBias(f.Bias)})
	}
	scores = t.emit("Add", []string{scores, t.hidden()})
	y := t.emit("MatMul", []string{t.emit("Softmax", []string{scores}, attribute{"axis", -1}), v})
	y = t.emit("Transpose", []string{y}, attribute{"perm", []int{0, 2, 1, 3}})
	return t.emit("Reshape", []string{y, t.integers("together", 0, 0, width)})
}

// floatMask is the mask as numbers, [batch, sequence].
func (t *translation) floatMask() string {
	if t.packed.mask == "" {
		t.packed.mask = t.emit("Cast", []string{AttentionMask}, attribute{"to", float32s})
	}
	return t.packed.mask
}

// hidden is what is added to the scores of padding, [batch, 1, 1, sequence]: less than any score, and finite, so that a
// row of padding alone gives no NaN.
func (t *translation) hidden() string {
	if t.packed.hide == "" {
		not := t.emit("Sub", []string{t.constant("one", nil, 1), t.floatMask()})
		not = t.emit("Mul", []string{not, t.constant("lowest", nil, -1e30)})
		t.packed.hide = t.emit("Unsqueeze", []string{not, t.integers("axes", 1, 2)})
	}
	return t.packed.hide
}

// relativeBias is [1, heads, sequence, sequence]: for query i and key j the row of the table that the bucket of their
// distance j - i names. It is computed once for all layers.
func (t *translation) relativeBias(b *ops.RelativeBias) string {
	if t.packed.bias != "" {
		return t.packed.bias
	}
	length := t.emit("Gather", []string{t.emit("Shape", []string{InputIDs}), t.integer("sequence", 1)})
	places := t.emit("Range", []string{t.integer("zero", 0), length, t.integer("step", 1)})
	distance := t.emit("Sub", []string{t.emit("Unsqueeze", []string{places, t.integers("row", 0)}),
		t.emit("Unsqueeze", []string{places, t.integers("column", 1)})})
	buckets := make([]int64, len(b.Bucket))
	for i, v := range b.Bucket {
		buckets[i] = int64(v)
	}
	distance = t.emit("Add", []string{distance, t.integer("span", int64(b.Span-1))})
	bucket := t.emit("Gather", []string{t.integers("buckets", buckets...), distance})
	rows := t.emit("Gather", []string{t.plain(b.Table), bucket}) // [sequence, sequence, heads]
	rows = t.emit("Transpose", []string{rows}, attribute{"perm", []int{2, 0, 1}})
	t.packed.bias = t.emit("Unsqueeze", []string{rows, t.integers("batch", 0)})
	return t.packed.bias
}

// pool is the mean of the tokens of x [batch, sequence, width], or the first of them, [batch, width].
func (t *translation) pool(x string, mean bool) string {
	if !mean {
		first := t.emit("ArgMax", []string{AttentionMask}, attribute{"axis", 1}, attribute{"keepdims", 1})
		return t.emit("GatherND", []string{x, first}, attribute{"batch_dims", 1})
	}
	mask := t.emit("Unsqueeze", []string{t.floatMask(), t.integers("axes", 2)})
	sum := func(x string) string {
		return t.emit("ReduceSum", []string{x, t.integers("sequence", 1)}, attribute{"keepdims", 0})
	}
	return t.emit("Div", []string{sum(t.emit("Mul", []string{x, mask})), sum(mask)})
}
