package onnx

// The messages of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that a model needs: a dozen, of few
// fields. protowire writes the wire format of protocol buffers; what a generator would make of the schema is 10,000
// lines, and holds every tensor in memory twice.

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields, by message.
const (
	modelIRVersion, modelProducer, modelProducerVersion, modelDoc, modelGraph, modelOpset, modelMeta = 1, 2, 3, 6, 7, 8, 14
	opsetVersion                                                                                     = 2
	entryKey, entryValue                                                                             = 1, 2
	graphNode, graphName, graphInitial, graphInput, graphOutput                                      = 1, 2, 5, 11, 12
	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute                                           = 1, 2, 3, 4, 5
	attributeName, attributeFloat, attributeInt, attributeText, attributeInts, attributeType         = 1, 2, 3, 4, 8, 20
	tensorDims, tensorType, tensorName, tensorRaw                                                    = 1, 2, 8, 9
	valueName, valueType                                                                             = 1, 2
	typeTensor                                                                                       = 1
	tensorTypeElement, tensorTypeShape                                                               = 1, 2
	shapeDim                                                                                         = 1
	dimValue, dimParam                                                                               = 1, 2
)

// Types of elements, and of attributes.
const (
	float32s, int64s                                             = 1, 7
	attributeIsFloat, attributeIsInt, attributeIsText, isIntList = 1, 2, 3, 7
)

// Versions of what is written. Opset 17 is the first with LayerNormalization, and is that of IR version 8.
const (
	irVersion = 8
	opset     = 17
)

// message is a message under construction.
type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

func (m *message) message(field protowire.Number, sub message) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), sub)
}

func (m *message) float(field protowire.Number, v float64) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, field, protowire.Fixed32Type), math.Float32bits(float32(v)))
}

// node is a NodeProto.
type node struct {
	op, name   string
	in         []string
	out        string
	attributes []attribute
}

// attribute is a named constant of a node: int, float64, string or []int.
type attribute struct {
	name  string
	value any
}

func (n node) message() (m message) {
	for _, in := range n.in {
		m.text(nodeInput, in)
	}
	m.text(nodeOutput, n.out)
	m.text(nodeName, n.name)
	m.text(nodeOp, n.op)
	for _, a := range n.attributes {
		var b message
		b.text(attributeName, a.name)
		switch v := a.value.(type) {
		case int:
			b.number(attributeInt, int64(v))
			b.number(attributeType, attributeIsInt)
		case float64:
			b.float(attributeFloat, v)
			b.number(attributeType, attributeIsFloat)
		case string:
			b.text(attributeText, v)
			b.number(attributeType, attributeIsText)
		case []int:
			for _, i := range v {
				b.number(attributeInts, int64(i))
			}
			b.number(attributeType, isIntList)
		}
		m.message(nodeAttribute, b)
	}
	return m
}

// tensor is a TensorProto, of float32 or int64 elements. Floats are made when they are written: those of one tensor at
// a time.
type tensor struct {
	name   string
	dims   []int
	floats func() []float32
	ints   []int64
}

func (t tensor) elements() int64 {
	n := int64(1)
	for _, d := range t.dims {
		n *= int64(d)
	}
	return n
}

// raw is the number of bytes of the elements.
func (t tensor) raw() int64 {
	if t.floats != nil {
		return 4 * t.elements()
	}
	return 8 * t.elements()
}

// head is the message without the elements, up to and with their length.
func (t tensor) head() (m message) {
	for _, d := range t.dims {
		m.number(tensorDims, int64(d))
	}
	kind := int64(int64s)
	if t.floats != nil {
		kind = float32s
	}
	m.number(tensorType, kind)
	m.text(tensorName, t.name)
	m = protowire.AppendTag(m, tensorRaw, protowire.BytesType)
	return protowire.AppendVarint(m, uint64(t.raw()))
}

// size is the length of the whole message.
func (t tensor) size() int64 { return int64(len(t.head())) + t.raw() }

func (t tensor) write(w io.Writer) error {
	if _, err := w.Write(t.head()); err != nil {
		return err
	}
	b := make([]byte, 0, 1<<16)
	flush := func() error {
		_, err := w.Write(b)
		b = b[:0]
		return err
	}
	if t.floats == nil {
		for _, v := range t.ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
		return flush()
	}
	all := t.floats()
	if int64(len(all)) != t.elements() {
		return fmt.Errorf("the tensor %s of shape %v has %d elements", t.name, t.dims, len(all))
	}
	for _, v := range all {
		if len(b) == cap(b) {
			if err := flush(); err != nil {
				return err
			}
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return flush()
}

// value is a ValueInfoProto: an input or an output of the graph.
type value struct {
	name string
	kind int64
	dims []any // int, or a string that names a dimension of any size
}

func (v value) message() (m message) {
	var shape message
	for _, d := range v.dims {
		var dim message
		switch d := d.(type) {
		case int:
			dim.number(dimValue, int64(d))
		case string:
			dim.text(dimParam, d)
		}
		shape.message(shapeDim, dim)
	}
	var t, kind message
	t.number(tensorTypeElement, v.kind)
	t.message(tensorTypeShape, shape)
	kind.message(typeTensor, t)
	m.text(valueName, v.name)
	m.message(valueType, kind)
	return m
}

// Model is a network as ONNX has it.
type Model struct {
	Name, Doc string
	Producer  string            // program
	Version   string            // of the program
	Meta      map[string]string // whatever is to be known of the model

	nodes    []node
	initials []tensor
	inputs   []value
	outputs  []value
}

// MaxSize bounds a file: a message of protocol buffers has at most 2 GB.
const MaxSize = 1<<31 - 1

// Fits is an error if the model has more than MaxSize bytes.
func (m *Model) Fits() error { return m.fits(MaxSize) }

func (m *Model) fits(most int64) error {
	if size := m.layOut().size; size > most {
		return fmt.Errorf("the model has %.2f GB, and a file of ONNX holds at most %.2f GB with its weights",
			float64(size)/1e9, float64(most)/1e9)
	}
	return nil
}

// layout is the file but for the weights.
type layout struct {
	head  message   // up to and with the length of the graph
	graph message   // without weights
	heads []message // before each weight
	size  int64     // of the file
}

func (m *Model) layOut() (l layout) {
	for _, n := range m.nodes {
		l.graph.message(graphNode, n.message())
	}
	l.graph.text(graphName, m.Name)
	for _, v := range m.inputs {
		l.graph.message(graphInput, v.message())
	}
	for _, v := range m.outputs {
		l.graph.message(graphOutput, v.message())
	}
	length := int64(len(l.graph))
	for _, t := range m.initials {
		head := protowire.AppendTag(nil, graphInitial, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(t.size()))
		l.heads = append(l.heads, head)
		length += int64(len(head)) + t.size()
	}
	l.head.number(modelIRVersion, irVersion)
	l.head.text(modelProducer, m.Producer)
	l.head.text(modelProducerVersion, m.Version)
	l.head.text(modelDoc, m.Doc)
	var set message
	set.number(opsetVersion, opset)
	l.head.message(modelOpset, set)
	for _, key := range slices.Sorted(maps.Keys(m.Meta)) {
		var e message
		e.text(entryKey, key)
		e.text(entryValue, m.Meta[key])
		l.head.message(modelMeta, e)
	}
	l.head = protowire.AppendTag(l.head, modelGraph, protowire.BytesType)
	l.head = protowire.AppendVarint(l.head, uint64(length))
	l.size = int64(len(l.head)) + length
	return l
}

// Write writes the model, which Fits, to w: graph and weights in one file.
func (m *Model) Write(w io.Writer) error {
	l := m.layOut()
	to := bufio.NewWriterSize(w, 1<<16)
	for _, part := range []message{l.head, l.graph} {
		if _, err := to.Write(part); err != nil {
			return err
		}
	}
	for i, t := range m.initials {
		if _, err := to.Write(l.heads[i]); err != nil {
			return err
		}
		if err := t.write(to); err != nil {
			return err
		}
	}
	return to.Flush()
}
