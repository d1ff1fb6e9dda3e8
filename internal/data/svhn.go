package data

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"dla/internal/plainfile"
)

// SVHN's cropped digits (http://ufldl.stanford.edu/housenumbers) are two MATLAB files, each with the images
// as X, uint8 [32, 32, 3, n], and their digits as y, [n, 1], where 10 stands for 0. Of the files' format
// (MATLAB, MAT-File Format, level 5: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf) this
// reads what these need: little-endian numeric arrays of bytes or doubles, compressed or not.

var svhnClasses = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

var svhnFiles = []File{
	{"test_32x32.mat", 64275384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"},
	{"train_32x32.mat", 182040794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"},
}

// readSVHN reads the two files in dir.
func readSVHN(ctx context.Context, dir string, done func(n, total int64)) (train, test *Set, err error) {
	var pictures []picture
	var before, total int64
	for _, f := range svhnFiles {
		total += f.Size
	}
	for _, f := range svhnFiles {
		path := filepath.Join(dir, f.Name)
		read, err := svhnFile(ctx, path, f.Name == "test_32x32.mat", func(n int64) { done(before+n, total) })
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		before += f.Size
		pictures = append(pictures, read...)
	}
	if train, test, err = arrange(pictures, svhnClasses, cifarShape); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return train, test, nil
}

func svhnFile(ctx context.Context, path string, test bool, done func(n int64)) ([]picture, error) {
	f, _, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	arrays, err := readMAT(&counting{r: f, done: done})
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return svhnPictures(arrays, test)
}

// svhnPictures takes the images and digits out of a file's arrays.
func svhnPictures(arrays map[string]matArray, test bool) ([]picture, error) {
	x, y := arrays["X"], arrays["y"]
	if len(x.dims) != 4 || !slices.Equal(x.dims[:3], []int{cifarSide, cifarSide, 3}) || x.double {
		return nil, fmt.Errorf("holds no images X of bytes [32, 32, 3, n], but %v", x.dims)
	}
	n := x.dims[3]
	if !slices.Equal(y.dims, []int{n, 1}) {
		return nil, fmt.Errorf("holds %d images X, and digits y of dimensions %v", n, y.dims)
	}
	pictures, pixels := make([]picture, n), make([]uint8, len(x.data))
	for i := range pictures {
		from, px := x.data[i*3*cifarPlane:][:3*cifarPlane], pixels[i*3*cifarPlane:][:3*cifarPlane]
		for c := range 3 { // column after column of a channel
			for col := range cifarSide {
				for row := range cifarSide {
					px[(row*cifarSide+col)*3+c] = from[(c*cifarSide+col)*cifarSide+row]
				}
			}
		}
		digit := y.at(i)
		if digit != math.Trunc(digit) || digit < 1 || digit > 10 {
			return nil, fmt.Errorf("the digit of image %d is %v, want one of 1 to 10", i, digit)
		}
		pictures[i] = picture{test: test, label: int32(digit) % 10, digest: sha256.Sum256(px), pixels: px, at: int32(i)}
	}
	return pictures, nil
}

// matArray is a numeric array of a MAT-file, column by column.
type matArray struct {
	dims   []int
	double bool // else bytes
	data   []byte
}

func (a matArray) at(i int) float64 {
	if a.double {
		return math.Float64frombits(binary.LittleEndian.Uint64(a.data[8*i:]))
	}
	return float64(a.data[i])
}

const (
	maxMATBytes = 256 << 20 // of an array; the largest that is read, SVHN's training images, has 225 MB
	maxMATDims  = 8
)

// Types of elements, and classes of arrays.
const (
	miINT8, miUINT8, miINT32, miUINT32, miDOUBLE, miMATRIX, miCOMPRESSED = 1, 2, 5, 6, 9, 14, 15

	mxDOUBLE, mxUINT8 = 6, 9
)

// readMAT reads all arrays of a MAT-file of level 5 by name. One that is not of bytes or doubles is an error.
func readMAT(r io.Reader) (map[string]matArray, error) {
	head := make([]byte, 128)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, truncated("the header", err)
	}
	if !bytes.Equal(head[124:], []byte{0, 1, 'I', 'M'}) {
		return nil, errors.New("is not a little-endian MAT-file of level 5")
	}
	arrays := map[string]matArray{}
	for {
		var tag [8]byte
		_, err := io.ReadFull(r, tag[:])
		if errors.Is(err, io.EOF) {
			return arrays, nil
		}
		if err != nil {
			return nil, truncated("an element", err)
		}
		kind, n := binary.LittleEndian.Uint32(tag[:]), int64(binary.LittleEndian.Uint32(tag[4:]))
		element := io.LimitReader(r, n)
		switch kind {
		case miCOMPRESSED:
			z, err := zlib.NewReader(element)
			if err != nil {
				return nil, truncated("an element", err)
			}
			if _, err := io.ReadFull(z, tag[:]); err != nil {
				return nil, truncated("an element", err)
			}
			if binary.LittleEndian.Uint32(tag[:]) != miMATRIX {
				return nil, errors.New("holds an element that is not an array")
			}
			if err := addArray(arrays, io.LimitReader(z, int64(binary.LittleEndian.Uint32(tag[4:])))); err != nil {
				return nil, err
			}
			if _, err := io.CopyN(io.Discard, z, 1); !errors.Is(err, io.EOF) { // its checksum is at the end
				return nil, truncated("the end of an element", cmp.Or(err, errors.New("bytes follow the array")))
			}
		case miMATRIX:
			if err := addArray(arrays, element); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("holds an element of type %d, which is not an array", kind)
		}
		if left, err := io.Copy(io.Discard, element); err != nil || left > 0 {
			return nil, truncated("the end of an element", cmp.Or(err, errors.New("bytes follow the array")))
		}
	}
}

// addArray reads the parts of an array: its flags, dimensions, name and values.
func addArray(arrays map[string]matArray, r io.Reader) error {
	var part [4][]byte
	var kind [4]uint32
	for i := range part {
		var err error
		if kind[i], part[i], err = matPart(r); err != nil {
			return truncated("an array", err)
		}
	}
	if kind[0] != miUINT32 || len(part[0]) != 8 || kind[1] != miINT32 || len(part[1])%4 != 0 ||
		len(part[1]) > 4*maxMATDims || kind[2] != miINT8 {
		return errors.New("holds an array whose flags, dimensions or name are none")
	}
	name, class := string(part[2]), part[0][0]
	a := matArray{data: part[3], double: kind[3] == miDOUBLE}
	width := 1
	if a.double {
		width = 8
	}
	if class != mxDOUBLE && class != mxUINT8 || kind[3] != miDOUBLE && kind[3] != miUINT8 {
		return fmt.Errorf("the array %q is of neither bytes nor doubles", name)
	}
	n := int64(1)
	for d := part[1]; len(d) > 0; d = d[4:] {
		size := int64(int32(binary.LittleEndian.Uint32(d)))
		if size < 0 || size > maxMATBytes {
			return fmt.Errorf("the array %q has a dimension of %d", name, size)
		}
		if n *= size; n > maxMATBytes {
			return fmt.Errorf("the array %q has more than %d values", name, maxMATBytes)
		}
		a.dims = append(a.dims, int(size))
	}
	if int64(len(a.data)) != n*int64(width) {
		return fmt.Errorf("the array %q of dimensions %v has %d bytes", name, a.dims, len(a.data))
	}
	if _, twice := arrays[name]; twice {
		return fmt.Errorf("the array %q occurs twice", name)
	}
	arrays[name] = a
	return nil
}

// matPart reads a part of an array and what pads it to 8 bytes; one of up to 4 bytes lies in its own tag.
func matPart(r io.Reader) (kind uint32, b []byte, err error) {
	var tag [8]byte
	if _, err := io.ReadFull(r, tag[:]); err != nil {
		return 0, nil, err
	}
	kind, n := binary.LittleEndian.Uint32(tag[:]), binary.LittleEndian.Uint32(tag[4:])
	if small := kind >> 16; small > 0 {
		if small > 4 {
			return 0, nil, fmt.Errorf("a part of %d bytes in a tag", small)
		}
		return kind & 0xffff, tag[4 : 4+small], nil
	}
	if n > maxMATBytes {
		return 0, nil, fmt.Errorf("a part of %d bytes, more than %d", n, maxMATBytes)
	}
	var content bytes.Buffer // grows as it fills: n is not to be trusted
	if _, err := io.CopyN(&content, r, int64(n)); err != nil {
		return 0, nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(-n&7)); err != nil {
		return 0, nil, err
	}
	return kind, content.Bytes(), nil
}
