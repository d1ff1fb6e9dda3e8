package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
)

// A set whose images take seconds to decode is kept decoded in the cache:
//
//	magic, with the version of this format
//	uint32  length of what follows (little-endian, as all numbers here)
//	JSON    decodedHeader
//	[32]    SHA-256 of the JSON
//	JSON    the Origin of the training set, the test set and the validation set where one is given, in a list
//	the sets as writeSets gives them, to the end of the file
//
// The header has the SHA-256 of the origins, and its fingerprint is that of the last part, so a copy is
// checked from end to end each time it is loaded. One that is cut, damaged or of something else counts as
// not there. The first version had no origins; it is still read where it is all there is.
const (
	decodedMagic  = "dla set 2\n"
	decodedMagic1 = "dla set 1\n"
)

type decodedHeader struct {
	Source      string   `json:"source"` // what it was decoded from: see Form.key
	Classes     []string `json:"classes"`
	Fingerprint string   `json:"fingerprint"`

	Ordered       bool   `json:"ordered"` // the origins are places in the published order
	OriginsBytes  int64  `json:"origins_bytes"`
	OriginsSHA256 string `json:"origins_sha256"`

	// Of data of the user's own.
	Name      string   `json:"name,omitempty"`
	Path      string   `json:"path,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	Converted string   `json:"converted,omitempty"`
	Val       bool     `json:"val,omitempty"` // a validation set follows the test set

	version int
}

// maxDecodedHeader is more than any header has.
const maxDecodedHeader = 1 << 22

// writeDecoded keeps ds, decoded from source, at path, with permissions of perm: those of what it was decoded from.
func writeDecoded(path, source string, perm fs.FileMode, ds *Dataset) error {
	var all []Origin
	for _, s := range ds.sets() {
		all = append(all, s.Origin)
	}
	origins, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	originsSum := sha256.Sum256(origins)
	h := decodedHeader{
		Source: source, Classes: ds.Train.Classes, Fingerprint: ds.Fingerprint,
		Ordered: ds.Train.Published != nil, OriginsBytes: int64(len(origins)), OriginsSHA256: hex.EncodeToString(originsSum[:]),
		Converted: ds.Converted, Val: ds.Val != nil,
	}
	if ds.Own != nil {
		h.Name, h.Path, h.Notes = ds.Name, ds.Own.Path, ds.Own.Notes
	}
	js, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	sum := sha256.Sum256(js)
	head := binary.LittleEndian.AppendUint32([]byte(decodedMagic), uint32(len(js)))
	head = append(append(append(head, js...), sum[:]...), origins...)
	_, _, err = atomicfile.WriteAs(path, perm, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		return writeSets(w, ds.sets()...)
	})
	return err
}

// openDecoded opens the copy at path and reads its header. r stands at the sets, of which size bytes follow.
func openDecoded(path string) (f *os.File, h decodedHeader, size int64, err error) {
	f, size, err = plainfile.Open(path)
	if err != nil {
		return nil, h, 0, err
	}
	if h, size, err = readDecodedHeader(f, size); err != nil {
		f.Close() // read only: nothing can be lost
		return nil, h, 0, fmt.Errorf("%s: %w", path, err)
	}
	return f, h, size, nil
}

// readDecodedHeader reads the header of a file of size bytes, of which rest are left then.
func readDecodedHeader(r io.Reader, size int64) (h decodedHeader, rest int64, err error) {
	const fixed = len(decodedMagic) + 4
	var b [fixed]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return h, 0, truncated("the header", err)
	}
	switch {
	case bytes.HasPrefix(b[:], []byte(decodedMagic)):
		h.version = 2
	case bytes.HasPrefix(b[:], []byte(decodedMagic1)):
		h.version = 1
	default:
		return h, 0, errors.New("is not a decoded set of this version")
	}
	n := int64(binary.LittleEndian.Uint32(b[len(decodedMagic):]))
	rest = size - int64(fixed) - n - sha256.Size
	if n > maxDecodedHeader || rest < 0 {
		return h, 0, errors.New("truncated in the header")
	}
	js := make([]byte, n+sha256.Size)
	if _, err := io.ReadFull(r, js); err != nil {
		return h, 0, truncated("the header", err)
	}
	if sum := sha256.Sum256(js[:n]); !bytes.Equal(sum[:], js[n:]) {
		return h, 0, errors.New("the header is damaged")
	}
	if err := json.Unmarshal(js[:n], &h); err != nil {
		return h, 0, fmt.Errorf("the header: %w", err)
	}
	if h.version == 1 {
		h.Ordered, h.OriginsBytes = false, 0
	}
	if h.OriginsBytes < 0 || h.OriginsBytes > rest {
		return h, 0, errors.New("truncated in the origins")
	}
	return h, rest, nil
}

// readDecoded loads the copy at path, if accept takes its header. Nothing of it is trusted before its
// checksum is right.
func readDecoded(path string, accept func(decodedHeader) bool) (*Dataset, error) {
	f, h, size, err := openDecoded(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !accept(h) {
		return nil, fmt.Errorf("%s is of another set", path)
	}
	ds, err := readSets(f, size, h)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ds, nil
}

// readSets reads the origins and what writeSets wrote, size bytes together, and checks them.
func readSets(r io.Reader, size int64, h decodedHeader) (*Dataset, error) {
	origins, err := readOrigins(r, h)
	if err != nil {
		return nil, err
	}
	size -= h.OriginsBytes
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	ds := &Dataset{Name: h.Name, Fingerprint: h.Fingerprint, Converted: h.Converted}
	if h.Path != "" {
		ds.Own = &Own{Path: h.Path, Notes: h.Notes}
	}
	parts := []**Set{&ds.Train, &ds.Test}
	if h.Val {
		parts = append(parts, &ds.Val)
	}
	for _, dst := range parts {
		if *dst, err = readSet(r, &size, h.Classes); err != nil {
			return nil, err
		}
	}
	if size != 0 {
		return nil, fmt.Errorf("%d bytes follow the sets", size)
	}
	if hex.EncodeToString(sum.Sum(nil)) != h.Fingerprint {
		return nil, errors.New("its checksum is wrong")
	}
	if h.version > 1 && len(origins) != len(parts) {
		return nil, fmt.Errorf("%d origins of %d sets", len(origins), len(parts))
	}
	for i, s := range ds.sets() {
		for _, l := range s.Labels {
			if l < 0 || int(l) >= len(h.Classes) {
				return nil, fmt.Errorf("label %d of %d classes", l, len(h.Classes))
			}
		}
		if h.version == 1 {
			continue
		}
		o := origins[i]
		if o.Published != nil && len(o.Published) != s.N || o.Files != nil && len(o.Files) != s.N {
			return nil, fmt.Errorf("%d places and %d files of %d images", len(o.Published), len(o.Files), s.N)
		}
		s.Origin = o
	}
	return ds, nil
}

// readOrigins reads the origins of all sets.
func readOrigins(r io.Reader, h decodedHeader) (of []Origin, err error) {
	if h.version == 1 {
		return of, nil
	}
	js := make([]byte, h.OriginsBytes) // no more than the file has
	if _, err := io.ReadFull(r, js); err != nil {
		return of, truncated("the origins", err)
	}
	if sum := sha256.Sum256(js); hex.EncodeToString(sum[:]) != h.OriginsSHA256 {
		return of, errors.New("the origins are damaged")
	}
	if err := json.Unmarshal(js, &of); err != nil {
		return of, fmt.Errorf("the origins: %w", err)
	}
	return of, nil
}

// readSet reads one set, taking its bytes off size, and no memory that they do not fill.
func readSet(r io.Reader, size *int64, classes []string) (*Set, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, truncated("the dimensions", err)
	}
	var dim [4]int64
	n := int64(1)
	for i := range dim {
		dim[i] = int64(binary.LittleEndian.Uint32(head[4*i:]))
		if dim[i] == 0 || n > *size/dim[i] {
			return nil, errors.New("truncated, or its dimensions are wrong")
		}
		n *= dim[i]
	}
	if *size -= int64(len(head)) + n + 4*dim[0]; *size < 0 {
		return nil, errors.New("truncated in the sets")
	}
	s := &Set{N: int(dim[0]), H: int(dim[1]), W: int(dim[2]), C: int(dim[3]), Pixels: make([]uint8, n),
		Labels: make([]int32, dim[0]), Classes: classes}
	labels := make([]byte, 4*dim[0])
	for _, b := range [][]byte{s.Pixels, labels} {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, truncated("the sets", err)
		}
	}
	for i := range s.Labels {
		s.Labels[i] = int32(binary.LittleEndian.Uint32(labels[4*i:]))
	}
	return s, nil
}
