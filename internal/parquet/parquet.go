// Package parquet reads flat tables of strings and integers from parquet files as the Hugging Face Hub
// has them: the columns of the file's root, uncompressed or in Snappy, plain or by dictionary, without
// nulls. The format is that of https://parquet.apache.org/docs/file-format/.
//
// It is here because what a full library adds to the program (a third of its size, eight modules) is out of
// proportion to the one small set that is published so.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/golang/snappy"
)

// What a file may make its reader do.
const (
	maxRows  = 1 << 20
	maxBytes = 256 << 20 // of a column's pages, decompressed

	maxExpansion = 32 // of Snappy, of which 3 bytes stand for 64 at most
)

// The numbers of the format that are used here.
const (
	typeInt64, typeBytes          = 2, 6
	repetitionOptional            = 1
	codecNone, codecSnappy        = 0, 1
	pageData, pageDict, pageData2 = 0, 2, 3
	encPlain, encPlainDict        = 0, 2
	encRLEDict                    = 8
)

const magic = "PAR1"

// File is a file in memory.
type File struct {
	b      []byte
	rows   int
	schema []value
	groups []value
}

// Open reads the metadata of the file b, which must not change as long as it is read.
func Open(b []byte) (*File, error) {
	n := len(b)
	if n < 12 || string(b[:4]) != magic || string(b[n-4:]) != magic {
		return nil, errors.New("is no whole parquet file")
	}
	size := int(binary.LittleEndian.Uint32(b[n-8:]))
	if size > n-12 {
		return nil, errThrift
	}
	meta, err := (&thrift{b[n-8-size : n-8]}).fields(0)
	if err != nil {
		return nil, err
	}
	f := &File{b: b[:n-8-size], schema: meta.list(2), groups: meta.list(4)}
	if len(f.schema) == 0 || meta[3].n < 0 || meta[3].n > maxRows {
		return nil, fmt.Errorf("has no schema or %d rows, more than %d", meta[3].n, maxRows)
	}
	f.rows = int(meta[3].n)
	for _, s := range f.schema[1:] {
		if s.of[5].n != 0 || s.of[3].n > repetitionOptional {
			return nil, fmt.Errorf("has the column %q, which is a list or a group", s.of[4].bytes)
		}
	}
	return f, nil
}

// Strings is the column called name, an element a row.
func (f *File) Strings(name string) ([]string, error) {
	var all []string
	err := f.read(name, typeBytes, func(p *page) error {
		return decode(p, &all, func(b []byte, n int) ([]string, error) {
			var list []string
			for range n {
				if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
					return nil, errPage
				}
				end := 4 + int(binary.LittleEndian.Uint32(b))
				list, b = append(list, string(b[4:end])), b[end:]
			}
			return list, nil
		}, &p.column.strings)
	})
	return all, err
}

// Ints is the column of 64-bit integers called name.
func (f *File) Ints(name string) ([]int64, error) {
	var all []int64
	err := f.read(name, typeInt64, func(p *page) error {
		return decode(p, &all, func(b []byte, n int) ([]int64, error) {
			if len(b) < 8*n {
				return nil, errPage
			}
			list := make([]int64, n)
			for i := range list {
				list[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
			}
			return list, nil
		}, &p.column.ints)
	})
	return all, err
}

var errPage = errors.New("damaged page")

// column is a column of a row group while its pages are read.
type column struct {
	strings  []string // its dictionary
	ints     []int64
	optional bool
	codec    int64
}

// page is a page, decompressed.
type page struct {
	column *column
	values int
	dict   bool // it is the dictionary
	byDict bool // its values are places in the dictionary
	b      []byte
}

// decode appends the values of p to all, or keeps them as the column's dictionary. plain reads n values.
func decode[T any](p *page, all *[]T, plain func(b []byte, n int) ([]T, error), dictionary *[]T) error {
	if !p.byDict {
		list, err := plain(p.b, p.values)
		if err != nil {
			return err
		}
		if p.dict {
			*dictionary = list
		} else {
			*all = append(*all, list...)
		}
		return nil
	}
	if len(p.b) == 0 {
		return errPage
	}
	places, err := hybrid(p.b[1:], uint(p.b[0]), p.values)
	if err != nil {
		return err
	}
	for _, at := range places {
		if int(at) >= len(*dictionary) {
			return errPage
		}
		*all = append(*all, (*dictionary)[at])
	}
	return nil
}

// read calls each for every page of the column called name, which must be of type kind.
func (f *File) read(name string, kind int64, each func(*page) error) error {
	at := slices.IndexFunc(f.schema[1:], func(s value) bool { return string(s.of[4].bytes) == name })
	if at < 0 {
		return fmt.Errorf("has no column %q", name)
	}
	s := f.schema[1+at].of
	if s[1].n != kind {
		return fmt.Errorf("has in the column %q values of another type", name)
	}
	rows, left := 0, maxBytes
	for _, g := range f.groups {
		chunks := g.of.list(1)
		if at >= len(chunks) || g.of[3].n < 0 || g.of[3].n > int64(f.rows-rows) {
			return errThrift
		}
		n := int(g.of[3].n)
		rows += n
		c := &column{optional: s[3].n == repetitionOptional}
		if err := f.chunk(chunks[at].of[3].of, c, n, &left, each); err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
	}
	if rows != f.rows {
		return errThrift
	}
	return nil
}

// chunk reads the pages of a column in a row group of n rows.
func (f *File) chunk(meta fields, c *column, n int, left *int, each func(*page) error) error {
	c.codec = meta[4].n
	if c.codec != codecNone && c.codec != codecSnappy {
		return errors.New("is compressed by another method than Snappy")
	}
	start := meta[9].n
	if dict, ok := meta[11]; ok && dict.n > 0 {
		start = min(start, dict.n)
	}
	if start < 0 || start > int64(len(f.b)) || meta[7].n < 0 || meta[7].n > int64(len(f.b))-start {
		return errThrift
	}
	t := &thrift{f.b[start : start+meta[7].n]}
	for n > 0 {
		head, err := t.fields(0)
		if err != nil {
			return err
		}
		p := &page{column: c}
		if err := p.open(head, t, left); err != nil {
			return err
		}
		if p.b == nil {
			continue
		}
		if !p.dict {
			if n -= p.values; n < 0 || p.values == 0 {
				return errPage
			}
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
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
	var enc int64
	levels := 0 // bytes before the values that say which are null, which are not compressed
	compressed := p.column.codec == codecSnappy
	switch head[1].n {
	case pageDict:
		p.dict = true
		p.values, enc = int(head[7].of[1].n), encPlain // PLAIN_DICTIONARY means the same here
	case pageData:
		p.values, enc = int(head[5].of[1].n), head[5].of[2].n
	case pageData2:
		h := head[8].of
		p.values, enc = int(h[1].n), h[4].n
		if skip := h[6].n; skip != 0 || h[2].n != 0 {
			return errors.New("has nulls")
		}
		if h[5].n < 0 || h[5].n > packed || h[5].n > size {
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
		if n, err := snappy.DecodedLen(p.b); err != nil || int64(n) != size-int64(levels) || n > maxExpansion*len(p.b) {
			return errPage
		}
		if p.b, err = snappy.Decode(nil, p.b); err != nil {
			return errPage
		}
	}
	if head[1].n == pageData && p.column.optional {
		if p.b, err = noNulls(p.b, p.values); err != nil {
			return err
		}
	}
	switch enc {
	case encPlain:
	case encPlainDict, encRLEDict:
		p.byDict = true
	default:
		return errors.New("is encoded neither plainly nor by dictionary")
	}
	if p.b == nil {
		p.b = []byte{}
	}
	return nil
}

// noNulls takes the definition levels off b and refuses a null.
func noNulls(b []byte, n int) ([]byte, error) {
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, errPage
	}
	end := 4 + int(binary.LittleEndian.Uint32(b))
	levels, err := hybrid(b[4:end], 1, n)
	if err != nil {
		return nil, err
	}
	if slices.Contains(levels, 0) {
		return nil, errors.New("has nulls")
	}
	return b[end:], nil
}

// hybrid reads n numbers of width bits from runs of equal ones and groups of eight packed ones.
func hybrid(b []byte, width uint, n int) ([]uint32, error) {
	if width > 32 {
		return nil, errPage
	}
	var all []uint32
	for len(all) < n {
		head, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errPage
		}
		b = b[size:]
		if head&1 == 0 { // a run
			bytes := int(width+7) / 8
			if len(b) < bytes || head>>1 > uint64(n-len(all)) || head == 0 {
				return nil, errPage
			}
			var v uint32
			for i := range bytes {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[bytes:]
			all = append(all, slices.Repeat([]uint32{v}, int(head>>1))...)
			continue
		}
		groups := head >> 1 // of 8 numbers in width bytes
		if groups == 0 || width > 0 && groups > uint64(len(b))/uint64(width) || groups > maxRows {
			return nil, errPage
		}
		for i := range min(int(groups)*8, n-len(all)) {
			var v uint64
			for j, at := 0, i*int(width); j < int(width); j++ {
				v |= uint64(b[(at+j)/8]>>((at+j)%8)&1) << j
			}
			all = append(all, uint32(v))
		}
		b = b[int(groups)*int(width):]
	}
	return all, nil
}
