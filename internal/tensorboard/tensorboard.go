// Package tensorboard writes TensorBoard's event files: records of TFRecord, each an Event, a message of protocol
// buffers (https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto). A Log is the content of
// such a file; whoever keeps it in a file writes it whole or appends to it.
//
// The values have the forms that PyTorch's SummaryWriter gives them, which TensorBoard, wandb and aim read.
package tensorboard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields, by message.
const (
	eventTime, eventStep, eventVersion, eventSummary              = 1, 2, 3, 5
	summaryValue                                                  = 1
	valueTag, valueSimple, valueImage, valueTensor, valueMetadata = 1, 2, 4, 8, 9
	imageHeight, imageWidth, imageColours, imagePNG               = 1, 2, 3, 4
	metadataPlugin                                                = 1
	pluginName, pluginContent                                     = 1, 2
	tensorType, tensorShape, tensorFloats, tensorTexts            = 1, 2, 5, 8
	shapeDim                                                      = 2
	dimSize                                                       = 1
	hparamsStart, hparamsEnd                                      = 3, 4
	startHparams, startTime                                       = 1, 5
	endStatus, endTime                                            = 1, 2
	entryKey, entryValue                                          = 1, 2
	valueNumber, valueText, valueBool                             = 2, 3, 4 // of google.protobuf.Value
)

// Values of enumerations.
const (
	float32s, texts  = 1, 7
	rgba             = 4
	success, failure = 1, 2
)

// version is the first event of every file. From brain.Event:2 on, a reader does not take a step that goes back as the
// sign that a program was started again.
const version = "brain.Event:2"

// prefix begins the name of every event file, by which readers know it.
const prefix = "events.out.tfevents."

// FileName returns the name of an event file begun at t by this process.
func FileName(t time.Time) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	host = strings.Map(func(r rune) rune { // a part of a file's name
		if r < '!' || r > '~' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, host)
	return fmt.Sprintf("%s%010d.%s.%d.0", prefix, t.Unix(), host, os.Getpid())
}

// IsFileName reports whether name is that of an event file.
func IsFileName(name string) bool { return strings.HasPrefix(name, prefix) }

// Log is the content of an event file, or what is to be appended to one.
type Log []byte

// New returns the begin of an event file.
func New(t time.Time) Log {
	var l Log
	l.add(t, 0, func(e *message) { e.text(eventVersion, version) })
	return l
}

// Continue compares the content old of an event file with what it is to hold. It returns how many bytes of old stay and
// what is to be appended to them. What stays are whole records that differ from those of l in their times at most; of a
// process that was killed while it wrote, the last record may be half a one. A reader that follows the file goes on
// where it is: it has read whole records only, and those that are cut off and written again have the same length.
func Continue(old []byte, l Log) (keep int, rest Log) {
	for rest = l; len(rest) > 0; {
		a, b := record(old[keep:]), record(rest)
		if a == nil || !bytes.Equal(a[timeSize:], b[timeSize:]) {
			break
		}
		keep += frame + len(a)
		rest = rest[frame+len(b):]
	}
	return keep, rest
}

// timeSize is the length of the time that every event begins with, and frame that of all that surrounds one.
const timeSize, frame = 9, 16

// record returns the first record of b; nil if it is no whole record with an event.
func record(b []byte) []byte {
	if len(b) < frame+timeSize {
		return nil
	}
	n := binary.LittleEndian.Uint64(b)
	if n < timeSize || n > uint64(len(b)-frame) || binary.LittleEndian.Uint32(b[8:]) != masked(b[:8]) {
		return nil
	}
	data := b[12 : 12+n]
	if binary.LittleEndian.Uint32(b[12+n:]) != masked(data) {
		return nil
	}
	return data
}

// Scalar is a number under a tag, such as loss/train. A slash separates the group of charts from the chart.
type Scalar struct {
	Tag   string
	Value float64 // written as float32, as readers keep it
}

// Scalars adds the values of a step as one event.
func (l *Log) Scalars(t time.Time, step int, all []Scalar) {
	if len(all) == 0 {
		return
	}
	l.add(t, step, func(e *message) {
		e.message(eventSummary, func(s *message) {
			for _, v := range all {
				s.message(summaryValue, func(m *message) {
					m.text(valueTag, v.Tag)
					m.float(valueSimple, v.Value)
				})
			}
		})
	})
}

// Text adds a text, which TensorBoard shows as Markdown.
func (l *Log) Text(t time.Time, step int, tag, text string) {
	l.value(t, step, tag, "text", nil, func(v *message) {
		v.message(valueTensor, func(m *message) {
			m.number(tensorType, texts)
			m.message(tensorShape, one)
			m.text(tensorTexts, text)
		})
	})
}

// Image adds a PNG of width x height pixels.
func (l *Log) Image(t time.Time, step int, tag string, png []byte, width, height int) {
	l.value(t, step, tag, "", nil, func(v *message) {
		v.message(valueImage, func(m *message) {
			m.number(imageHeight, int64(height))
			m.number(imageWidth, int64(width))
			m.number(imageColours, rgba)
			m.bytes(imagePNG, png)
		})
	})
}

// Begin adds the hyperparameters of the run: numbers (float64), booleans and texts. They are not declared as an
// Experiment: TensorBoard then finds the columns of its table in all runs, which need not have the same.
func (l *Log) Begin(t time.Time, params map[string]any) {
	var start message
	for _, name := range slices.Sorted(maps.Keys(params)) {
		start.message(startHparams, func(m *message) {
			m.text(entryKey, name)
			m.message(entryValue, func(v *message) {
				switch p := params[name].(type) {
				case bool:
					v.bool(valueBool, p)
				case float64:
					if math.IsNaN(p) || math.IsInf(p, 0) { // JSON, in which the hparams plugin answers, has none
						v.text(valueText, fmt.Sprint(p))
					} else {
						v.double(valueNumber, p)
					}
				default:
					v.text(valueText, fmt.Sprint(p))
				}
			})
		})
	}
	start.double(startTime, seconds(t))
	l.hparams(t, "_hparams_/session_start_info", hparamsStart, start)
}

// End adds that the run of Begin is over. Its metrics are the last values of all scalars.
func (l *Log) End(t time.Time, failed bool) {
	var end message
	status := int64(success)
	if failed {
		status = failure
	}
	end.number(endStatus, status)
	end.double(endTime, seconds(t))
	l.hparams(t, "_hparams_/session_end_info", hparamsEnd, end)
}

// hparams adds a message to the hparams plugin, which reads its metadata; the value itself is an empty tensor.
func (l *Log) hparams(t time.Time, tag string, field protowire.Number, content message) {
	var m message
	m.bytes(field, content)
	l.value(t, 0, tag, "hparams", m, func(v *message) {
		v.message(valueTensor, func(m *message) {
			m.number(tensorType, float32s)
			m.message(tensorShape, one)
			m.bytes(tensorFloats, make([]byte, 4)) // packed
		})
	})
}

// one is the shape of a tensor with one element.
func one(m *message) { m.message(shapeDim, func(d *message) { d.number(dimSize, 1) }) }

// value adds an event with one value, which belongs to plugin; "" leaves that to its form.
func (l *Log) value(t time.Time, step int, tag, plugin string, content []byte, write func(*message)) {
	l.add(t, step, func(e *message) {
		e.message(eventSummary, func(s *message) {
			s.message(summaryValue, func(v *message) {
				v.text(valueTag, tag)
				write(v)
				if plugin == "" {
					return
				}
				v.message(valueMetadata, func(m *message) {
					m.message(metadataPlugin, func(p *message) {
						p.text(pluginName, plugin)
						if content != nil {
							p.bytes(pluginContent, content)
						}
					})
				})
			})
		})
	})
}

// add adds an event as a record.
func (l *Log) add(t time.Time, step int, write func(*message)) {
	var e message
	e.double(eventTime, seconds(t))
	if step != 0 {
		e.number(eventStep, int64(step))
	}
	write(&e)
	*l = appendRecord(*l, e)
}

// seconds returns t in seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// appendRecord appends data as TFRecord frames it (tensorflow/core/lib/io/record_writer.h):
//
//	uint64 length, uint32 masked CRC of these 8 bytes, data, uint32 masked CRC of data; little-endian
func appendRecord(b, data []byte) []byte {
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], uint64(len(data)))
	b = append(b, head[:]...)
	b = binary.LittleEndian.AppendUint32(b, masked(head[:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked returns the CRC-32C of b, rotated and shifted as TFRecord does, lest the CRC of data that holds CRCs be weak.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// message is a message under construction.
type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bool(field protowire.Number, v bool) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), protowire.EncodeBool(v))
}

func (m *message) float(field protowire.Number, v float64) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, field, protowire.Fixed32Type), math.Float32bits(float32(v)))
}

func (m *message) double(field protowire.Number, v float64) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, field, protowire.Fixed64Type), math.Float64bits(v))
}

// text adds a string, which must be UTF-8, or readers refuse the whole event.
func (m *message) text(field protowire.Number, s string) {
	m.bytes(field, []byte(strings.ToValidUTF8(s, "\uFFFD")))
}

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

func (m *message) message(field protowire.Number, write func(*message)) {
	var sub message
	write(&sub)
	m.bytes(field, sub)
}
