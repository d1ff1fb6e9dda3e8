package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The idx format of MNIST (http://yann.lecun.com/exdb/mnist): two zero bytes, a type byte (8: bytes),
// the number of dimensions, each dimension as a big-endian uint32, then the elements.

// maxElements bounds an idx file's payload, whatever its header claims.
const maxElements = 1 << 28

// readIDX reads an idx file of bytes, gzip-compressed or plain, with dims dimensions. A header that
// claims more than limit elements is refused before anything is allocated for it; memory then grows only with
// what is really there.
func readIDX(r io.Reader, dims int, limit int) (shape []int, elements []byte, err error) {
	br := bufio.NewReader(r)
	if magic, err := br.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		z.Multistream(true)
		br = bufio.NewReader(z)
	}
	var head [4]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return nil, nil, truncated("the header", err)
	}
	if head[0] != 0 || head[1] != 0 || head[2] != 8 || int(head[3]) != dims {
		return nil, nil, fmt.Errorf("the magic number is %#x, want %#x", head[:], []byte{0, 0, 8, byte(dims)})
	}
	n := 1
	for range dims {
		var d [4]byte
		if _, err := io.ReadFull(br, d[:]); err != nil {
			return nil, nil, truncated("the header", err)
		}
		v := int(binary.BigEndian.Uint32(d[:]))
		if v == 0 || v > limit || n > limit/v {
			return nil, nil, fmt.Errorf("the header claims dimensions beyond %d elements", limit)
		}
		n *= v
		shape = append(shape, v)
	}
	var buf bytes.Buffer
	got, err := io.Copy(&buf, io.LimitReader(br, int64(n)))
	if err != nil {
		return nil, nil, truncated("the elements", err)
	}
	if got < int64(n) {
		return nil, nil, fmt.Errorf("truncated: %d of %d elements", got, n)
	}
	if _, err := br.ReadByte(); err == nil {
		return nil, nil, fmt.Errorf("something follows the %d elements the header claims", n)
	} else if !errors.Is(err, io.EOF) {
		return nil, nil, truncated("the end", err)
	}
	return shape, buf.Bytes(), nil
}

func truncated(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("truncated in %s", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
