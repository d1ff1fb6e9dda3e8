package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// The methods of compression.
const (
	codecNone, codecSnappy, codecGzip, codecZstd = 0, 1, 2, 6
)

// zstdDecoder is one for all pages, each of which is given the memory that it may fill.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
})

// decompress returns the size bytes that b holds.
func decompress(codec int64, b []byte, size int) ([]byte, error) {
	if codec == codecNone {
		return b, nil
	}
	if size < 0 || size > maxPage && size/maxExpansion > len(b) {
		return nil, errPage
	}
	switch codec {
	case codecSnappy:
		if n, err := snappy.DecodedLen(b); err != nil || n != size || n > 32*len(b) { // 3 bytes stand for 64 at most
			return nil, errPage
		}
		out, err := snappy.Decode(nil, b)
		if err != nil {
			return nil, errPage
		}
		return out, nil
	case codecGzip:
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, errPage
		}
		var out bytes.Buffer
		if n, err := io.Copy(&out, io.LimitReader(z, int64(size)+1)); err != nil || n != int64(size) {
			return nil, errPage
		}
		return out.Bytes(), nil
	case codecZstd:
		z, err := zstdDecoder()
		if err != nil {
			return nil, err
		}
		out, err := z.DecodeAll(b, make([]byte, 0, size))
		if err != nil || len(out) != size {
			return nil, errPage
		}
		return out, nil
	}
	name := map[int64]string{3: "LZO", 4: "Brotli", 5: "LZ4", 7: "LZ4"}[codec]
	return nil, fmt.Errorf("is compressed by a method that is not read (%s); write it in Snappy, gzip or Zstandard", name)
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
			all = append(all, uint32(packed(b, width, i)))
		}
		b = b[int(groups)*int(width):]
	}
	return all, nil
}

// packed returns the ith of the numbers of width bits in b, the lowest bits first.
func packed(b []byte, width uint, i int) uint64 {
	var v uint64
	for j, at := 0, i*int(width); j < int(width); j++ {
		v |= uint64(b[(at+j)/8]>>((at+j)%8)&1) << j
	}
	return v
}

var errDelta = errors.New("damaged page of differences")

// delta reads n integers that are stored as differences in blocks (DELTA_BINARY_PACKED), and returns what follows them.
func delta(b []byte, n int) (all []int64, rest []byte, err error) {
	var head [3]uint64 // size of a block, its parts, count
	for i := range head {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, nil, errDelta
		}
		head[i], b = v, b[size:]
	}
	first, size := binary.Varint(b)
	if size <= 0 || head[1] == 0 || head[0] > 1<<16 || head[0]%head[1] != 0 || head[0]/head[1]%8 != 0 || head[0] == 0 ||
		head[2] != uint64(n) {
		return nil, nil, errDelta
	}
	b = b[size:]
	if n > 0 {
		all = append(all, first)
	}
	parts, each := int(head[1]), int(head[0]/head[1])
	for len(all) < n {
		least, size := binary.Varint(b)
		if size <= 0 || len(b)-size < parts {
			return nil, nil, errDelta
		}
		widths := b[size : size+parts]
		b = b[size+parts:]
		for _, w := range widths {
			if len(all) == n { // the parts behind the last value have no bytes
				break
			}
			if w > 64 || len(b) < each/8*int(w) {
				return nil, nil, errDelta
			}
			for i := range min(each, n-len(all)) {
				all = append(all, all[len(all)-1]+least+int64(packed(b, uint(w), i)))
			}
			b = b[each/8*int(w):]
		}
	}
	return all, b, nil
}

// slicesOf cuts b into strings of the given lengths.
func slicesOf(b []byte, lengths []int64) ([]string, error) {
	all := make([]string, len(lengths))
	for i, n := range lengths {
		if n < 0 || n > int64(len(b)) {
			return nil, errDelta
		}
		all[i], b = string(b[:n]), b[n:]
	}
	return all, nil
}

// deltaBytes reads n strings of which each begins as the one before it (DELTA_BYTE_ARRAY).
func deltaBytes(b []byte, n int) ([]string, error) {
	shared, b, err := delta(b, n)
	if err != nil {
		return nil, err
	}
	lengths, b, err := delta(b, n)
	if err != nil {
		return nil, err
	}
	all, err := slicesOf(b, lengths)
	total := 0
	for i := 0; i < len(all) && err == nil; i++ {
		before := ""
		if i > 0 {
			before = all[i-1]
		}
		if shared[i] < 0 || shared[i] > int64(len(before)) {
			return nil, errDelta
		}
		if total += int(shared[i]); total > maxPage { // a short page can say that much is shared
			return nil, errDelta
		}
		all[i] = before[:shared[i]] + all[i]
	}
	return all, err
}
