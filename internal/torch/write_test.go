package torch

import (
	"archive/zip"
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/weights"
)

var update = flag.Bool("update", false,
	"write the golden file anew; then run testdata/written.py, which reads it with PyTorch")

// golden is the file that testdata/written.py has read with torch.load(weights_only=True).
var golden = []weights.Tensor{
	{Name: "conv.weight", Shape: []int{2, 1, 2, 3}, Data: []float32{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, 0.5}},
	{Name: "größe", Shape: []int{}, Data: []float32{7}},
	{Name: "none", Shape: []int{0, 3}, Data: nil},
	{Name: "fc.bias", Shape: []int{3}, Data: []float32{1e-30, 3e38, -0.1}},
}

// TestWrite: the bytes are those that PyTorch has read.
func TestWrite(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, golden); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "written.pt")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("the file is not the one that PyTorch has read")
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, info := range c.Tensors {
		x := make([]float32, len(golden[i].Data))
		if err := c.Read(info.Name, x); err != nil || info.Name != golden[i].Name ||
			!slices.Equal(info.Shape, golden[i].Shape) ||
			!slices.Equal(x, golden[i].Data) {
			t.Errorf("read back: %+v %v, error %v", info, x, err)
		}
	}
}

// TestAligned: elements begin at multiples of 64 bytes and are not compressed, and lengths stand before them, so that
// PyTorch can map the file.
func TestAligned(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, golden); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		at, err := f.DataOffset()
		if err != nil || at%alignment != 0 || f.Method != zip.Store || f.Flags&8 != 0 {
			t.Errorf("%s begins at %d, method %d, flags %#x, error %v", f.Name, at, f.Method, f.Flags, err)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != nil { // verifies the checksum
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if got := strings.Join(names, " "); got != "archive/data.pkl archive/byteorder archive/data/0 archive/data/1 "+
		"archive/data/2 archive/data/3 archive/version" {
		t.Errorf("the entries are %s", got)
	}
}

// TestWriteRefused: what PyTorch would read as something else is not written.
func TestWriteRefused(t *testing.T) {
	for want, ts := range map[string][]weights.Tensor{
		"has 3 elements": {{Name: "a", Shape: []int{2, 2}, Data: make([]float32, 3)}},
		`the name ""`:    {{Name: "", Shape: []int{1}, Data: make([]float32, 1)}},
		`the name "a"`:   {{Name: "a", Shape: []int{}, Data: make([]float32, 1)}, {Name: "a", Data: make([]float32, 1)}},
		"shape [-1 -1]":  {{Name: "a", Shape: []int{-1, -1}, Data: make([]float32, 1)}},
	} {
		if err := Write(io.Discard, ts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
