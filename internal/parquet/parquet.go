// Package parquet reads tables from parquet files as libraries for data sets write them: the columns of the file's root
// that are neither lists nor groups, uncompressed or in Snappy, gzip or Zstandard, in the encodings that writers use.
// The format is that of https://parquet.apache.org/docs/file-format/.
//
// It is here because a full library (github.com/parquet-go/parquet-go) adds a fifth to the size of the program, and
// takes memory by what a file says of itself, where this one does so by what the file has. Nested columns, LZ4 and
// Brotli are what a full library would add; the first hold no texts with labels, the others nearly no one writes.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// What a file may make its reader do.
const (
	maxRows  = 4<<20 + 1
	maxMeta  = 64 << 20
	maxBytes = 1 << 30  // of a column's pages in a row group, decompressed
	maxPage  = 16 << 20 // of a page, decompressed, whatever its size before; beyond it maxExpansion holds

	maxExpansion = 1024
)

// The numbers of the format that are used here.
const (
	typeBool, typeInt32, typeInt64, typeFloat, typeDouble, typeBytes = 0, 1, 2, 4, 5, 6

	repetitionOptional            = 1
	pageData, pageDict, pageData2 = 0, 2, 3
	encPlain, encPlainDict        = 0, 2
	encRLE, encRLEDict            = 3, 8
	encDelta                      = 5
	encDeltaLength, encDeltaBytes = 6, 7
)

const magic = "PAR1"

// File is an open file.
type File struct {
	r       io.ReaderAt
	size    int64 // before the metadata
	rows    int
	columns []leaf
	groups  []value
	meta    []value // of pairs of a key and a value
}

// leaf is a column of the root.
type leaf struct {
	name     string
	kind     int64
	optional bool
	at       int // in the columns of a row group
	nested   bool
}

// Open reads the metadata of the file r of size bytes, which must not change as long as it is read.
func Open(r io.ReaderAt, size int64) (*File, error) {
	head, tail := make([]byte, 4), make([]byte, 8)
	if size < 12 {
		return nil, errors.New("is no whole parquet file")
	}
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(tail, size-8); err != nil {
		return nil, err
	}
	if string(head) != magic || string(tail[4:]) != magic {
		return nil, errors.New("is no whole parquet file")
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > size-12 || n > maxMeta {
		return nil, errThrift
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-8-n); err != nil {
		return nil, err
	}
	meta, err := (&thrift{b}).fields(0)
	if err != nil {
		return nil, err
	}
	f := &File{r: r, size: size - 8 - n, groups: meta.list(4), meta: meta.list(5)}
	schema := meta.list(2)
	if len(schema) == 0 || meta[3].n < 0 || meta[3].n > maxRows {
		return nil, fmt.Errorf("has no schema or %d rows, more than %d", meta[3].n, maxRows)
	}
	f.rows = int(meta[3].n)
	if f.columns, err = leaves(schema[1:]); err != nil {
		return nil, err
	}
	rows := 0
	for _, g := range f.groups {
		if n := g.of[3].n; n < 0 || n > int64(f.rows-rows) {
			return nil, errThrift
		}
		rows += int(g.of[3].n)
	}
	if rows != f.rows {
		return nil, errThrift
	}
	return f, nil
}

// leaves lists the columns of a schema, which is a tree in the order of its nodes.
func leaves(schema []value) (all []leaf, err error) {
	n := 0 // columns so far
	for i := 0; i < len(schema); {
		s := schema[i].of
		l := leaf{name: string(s[4].bytes), kind: s[1].n, optional: s[3].n == repetitionOptional, at: n,
			nested: s[3].n > repetitionOptional || s[5].n != 0}
		if !l.nested {
			n++
		}
		i++
		for open := s[5].n; open > 0; i++ { // what is below it
			if i >= len(schema) || schema[i].of[5].n < 0 || schema[i].of[5].n > int64(len(schema)) {
				return nil, errThrift
			}
			if open += schema[i].of[5].n - 1; schema[i].of[5].n == 0 {
				n++
			}
		}
		if l.nested && s[5].n == 0 { // a list without a group
			n++
		}
		all = append(all, l)
	}
	return all, nil
}

// Rows is how many rows the file has, in Groups groups.
func (f *File) Rows() int { return f.rows }

// Groups is how many groups of rows the file has.
func (f *File) Groups() int { return len(f.groups) }

// Columns lists the columns that Values reads.
func (f *File) Columns() []string {
	var names []string
	for _, c := range f.columns {
		if !c.nested {
			names = append(names, c.name)
		}
	}
	return names
}

// IsText says whether the column called name holds strings.
func (f *File) IsText(name string) bool {
	for _, c := range f.columns {
		if c.name == name {
			return c.kind == typeBytes && !c.nested
		}
	}
	return false
}

// Metadata is the value of key in the file's metadata; empty where it has none.
func (f *File) Metadata(key string) string {
	for _, m := range f.meta {
		if string(m.of[1].bytes) == key {
			return string(m.of[2].bytes)
		}
	}
	return ""
}

// Values is the column called name in a group of rows, an element a row: strings as they are, numbers in decimal,
// booleans as true and false, and a null as "".
func (f *File) Values(group int, name string) ([]string, error) {
	for _, c := range f.columns {
		if c.name != name {
			continue
		}
		all, err := f.values(f.groups[group], c)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		return all, nil
	}
	return nil, fmt.Errorf("has no column %q", name)
}

var errPage = errors.New("damaged page")

// column is a column of a row group while its pages are read.
type column struct {
	leaf
	dictionary []string
	codec      int64
}

// page is a page, decompressed.
type page struct {
	column *column
	values int      // nulls included
	levels []uint32 // of each value, 0 for a null; nil: there is none
	dict   bool     // it is the dictionary
	enc    int64
	b      []byte
}

// values reads the column l of a row group.
func (f *File) values(group value, l leaf) ([]string, error) {
	switch {
	case l.nested:
		return nil, errors.New("is a list or a group")
	case l.kind > typeBytes || l.kind < 0 || l.kind == 3:
		return nil, errors.New("is neither of strings nor of numbers")
	}
	chunks := group.of.list(1)
	if l.at >= len(chunks) {
		return nil, errThrift
	}
	meta := chunks[l.at].of[3].of
	if meta[1].n != l.kind {
		return nil, errThrift
	}
	start := meta[9].n
	if dict, ok := meta[11]; ok && dict.n > 0 {
		start = min(start, dict.n)
	}
	if start < 0 || start > f.size || meta[7].n < 0 || meta[7].n > f.size-start {
		return nil, errThrift
	}
	raw := make([]byte, meta[7].n)
	if _, err := f.r.ReadAt(raw, start); err != nil {
		return nil, err
	}
	n, left := int(group.of[3].n), maxBytes
	var all []string
	c := &column{leaf: l, codec: meta[4].n}
	t := &thrift{raw}
	for len(all) < n {
		head, err := t.fields(0)
		if err != nil {
			return nil, err
		}
		p := &page{column: c}
		if err := p.open(head, t, &left); err != nil {
			return nil, err
		}
		if p.b == nil {
			continue
		}
		if !p.dict && (p.values == 0 || p.values > n-len(all)) {
			return nil, errPage
		}
		words, err := p.words()
		switch {
		case err != nil:
			return nil, err
		case p.dict:
			c.dictionary = words
		default:
			all = append(all, words...)
		}
	}
	return all, nil
}

// open takes the page behind its header off t. Of an index page nothing is kept.
func (p *page) open(head fields, t *thrift, left *int) error {
	packed, size := head[3].n, head[2].n
	if packed < 0 || packed > int64(len(t.b)) || size < 0 || size > int64(*left) {
		return errPage
	}
	raw := t.b[:packed]
	t.b = t.b[packed:]
	*left -= int(size)
	levels := 0 // bytes before the values that say which are null, which are not compressed
	compressed := true
	switch head[1].n {
	case pageDict:
		p.dict = true
		p.values, p.enc = int(head[7].of[1].n), encPlain // PLAIN_DICTIONARY means the same here
	case pageData:
		p.values, p.enc = int(head[5].of[1].n), head[5].of[2].n
	case pageData2:
		h := head[8].of
		p.values, p.enc = int(h[1].n), h[4].n
		if h[6].n != 0 || h[5].n < 0 || h[5].n > packed || h[5].n > size {
			return errPage
		}
		levels = int(h[5].n)
		if is, ok := h[7]; ok && is.n == 0 {
			compressed = false
		}
	default:
		return nil
	}
	if p.values < 0 || p.values > maxRows {
		return errPage
	}
	var err error
	if p.b = raw[levels:]; compressed {
		if p.b, err = decompress(p.column.codec, p.b, int(size)-levels); err != nil {
			return err
		}
	}
	if p.b == nil {
		p.b = []byte{}
	}
	if p.dict || !p.column.optional {
		return nil
	}
	if head[1].n == pageData {
		if len(p.b) < 4 || uint64(binary.LittleEndian.Uint32(p.b)) > uint64(len(p.b)-4) {
			return errPage
		}
		end := 4 + int(binary.LittleEndian.Uint32(p.b))
		p.levels, err = hybrid(p.b[4:end], 1, p.values)
		p.b = p.b[end:]
		return err
	}
	p.levels, err = hybrid(raw[:levels], 1, p.values)
	return err
}

// words decodes the page.
func (p *page) words() ([]string, error) {
	n := p.values
	for _, l := range p.levels {
		if l == 0 {
			n--
		}
	}
	words, err := p.present(n)
	if err != nil {
		return nil, err
	}
	if n == p.values {
		return words, nil
	}
	all := make([]string, p.values)
	at := 0
	for i, l := range p.levels {
		if l != 0 {
			all[i] = words[at]
			at++
		}
	}
	return all, nil
}

// present decodes the n values that are not null.
func (p *page) present(n int) ([]string, error) {
	switch kind := p.column.kind; {
	case p.enc == encPlainDict || p.enc == encRLEDict:
		if n == 0 {
			return nil, nil
		}
		if len(p.b) == 0 {
			return nil, errPage
		}
		places, err := hybrid(p.b[1:], uint(p.b[0]), n)
		if err != nil {
			return nil, err
		}
		words := make([]string, n)
		for i, at := range places {
			if int(at) >= len(p.column.dictionary) {
				return nil, errPage
			}
			words[i] = p.column.dictionary[at]
		}
		return words, nil
	case p.enc == encPlain:
		return plain(p.b, kind, n)
	case p.enc == encRLE && kind == typeBool:
		if len(p.b) < 4 {
			return nil, errPage
		}
		bits, err := hybrid(p.b[4:], 1, n)
		return wordsOf(bits, func(v uint32) string { return strconv.FormatBool(v != 0) }), err
	case p.enc == encDelta && (kind == typeInt32 || kind == typeInt64):
		v, _, err := delta(p.b, n)
		return wordsOf(v, decimal(kind)), err
	case p.enc == encDeltaLength && kind == typeBytes:
		lengths, rest, err := delta(p.b, n)
		if err != nil {
			return nil, err
		}
		return slicesOf(rest, lengths)
	case p.enc == encDeltaBytes && kind == typeBytes:
		return deltaBytes(p.b, n)
	}
	return nil, fmt.Errorf("has an encoding that is not read (%d)", p.enc)
}

// decimal writes integers of a type.
func decimal(kind int64) func(int64) string {
	return func(v int64) string {
		if kind == typeInt32 {
			v = int64(int32(v))
		}
		return strconv.FormatInt(v, 10)
	}
}

func wordsOf[T any](values []T, word func(T) string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = word(v)
	}
	return all
}

// plain decodes n values that follow each other.
func plain(b []byte, kind int64, n int) ([]string, error) {
	size := map[int64]int{typeInt32: 4, typeFloat: 4, typeInt64: 8, typeDouble: 8}[kind]
	if size > 0 && len(b)/size < n || kind == typeBool && len(b)*8 < n || kind == typeBytes && len(b)/4 < n {
		return nil, errPage
	}
	all := make([]string, n)
	for i := range all {
		switch kind {
		case typeBool:
			all[i] = strconv.FormatBool(b[i/8]>>(i%8)&1 == 1)
		case typeInt32:
			all[i] = strconv.Itoa(int(int32(binary.LittleEndian.Uint32(b[4*i:]))))
		case typeInt64:
			all[i] = strconv.FormatInt(int64(binary.LittleEndian.Uint64(b[8*i:])), 10)
		case typeFloat:
			all[i] = strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))), 'g', -1, 32)
		case typeDouble:
			all[i] = strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])), 'g', -1, 64)
		default:
			if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
				return nil, errPage
			}
			end := 4 + int(binary.LittleEndian.Uint32(b))
			all[i], b = string(b[4:end]), b[end:]
		}
	}
	return all, nil
}
