package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The idx format of MNIST (http://yann.lecun.com/exdb/mnist): two zero bytes, a type byte (8: bytes),
// the number of dimensions, each dimension as a big-endian uint32, then the elements.

// maxRatio is the most that DEFLATE can expand one byte to (RFC 1951: a 258-byte match in two bits).
const maxRatio = 1032

// readIDX reads file, an idx file of bytes with the dimensions want, gzip-compressed or plain. It
// allocates the elements once, and only where the header claims what is wanted and the file is large
// enough to hold it: neither a header nor a gzip bomb makes it take more.
func readIDX(file []byte, want ...int) (elements []byte, err error) {
	r, room, err := openIDX(file)
	if err != nil {
		return nil, err
	}
	shape, err := readIDXHead(r, len(want))
	if err != nil {
		return nil, err
	}
	n := 1
	for _, d := range want {
		n *= d
	}
	if !slices.EqualFunc(shape, want, func(a uint32, b int) bool { return int64(a) == int64(b) }) {
		return nil, fmt.Errorf("the header claims dimensions %v, want %v", shape, want)
	}
	if n > room {
		return nil, fmt.Errorf("truncated: %d bytes cannot hold %d elements", len(file), n)
	}
	elements = make([]byte, n)
	if got, err := io.ReadFull(r, elements); err != nil {
		return nil, truncated(fmt.Sprintf("the elements, after %d of %d", got, n), err)
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return nil, fmt.Errorf("something follows the %d elements the header claims", n)
	case !errors.Is(err, io.EOF): // also where gzip's own checksum is wrong
		return nil, truncated("the end", err)
	}
	return elements, nil
}

// openIDX returns what reads the content of file, and the most bytes that it can have.
func openIDX(file []byte) (r io.Reader, room int, err error) {
	r = bytes.NewReader(file)
	if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		return r, len(file), nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, 0, fmt.Errorf("gzip: %w", err)
	}
	return z, len(file) * maxRatio, nil
}

// readIDXHead reads the header of an idx file of bytes, and returns its dimensions.
func readIDXHead(r io.Reader, dims int) ([]uint32, error) {
	head := make([]byte, 4+4*dims)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, truncated("the header", err)
	}
	if magic := []byte{0, 0, 8, byte(dims)}; !bytes.Equal(head[:4], magic) {
		return nil, fmt.Errorf("the magic number is %#x, want %#x", head[:4], magic)
	}
	shape := make([]uint32, dims)
	for i := range shape {
		shape[i] = binary.BigEndian.Uint32(head[4+4*i:])
	}
	return shape, nil
}

// idxHead returns the dimensions of file.
func idxHead(file []byte, dims int) ([]uint32, error) {
	r, _, err := openIDX(file)
	if err != nil {
		return nil, err
	}
	return readIDXHead(r, dims)
}

func truncated(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("truncated in %s", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
