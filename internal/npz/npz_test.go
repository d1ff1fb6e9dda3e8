package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// golden are the arrays of testdata/golden.py.
var golden = []Array{
	{"logits", []int{2, 3}, []float32{1.5, -2.25, 3e-8, 0, float32(math.Copysign(0, -1)), 1e30}},
	{"scores", []int{3}, []float64{0.1, math.Inf(1), -1e300}},
	{"labels", []int{2, 1, 1}, []int32{7, -8}},
	{"ids", []int{3}, []int64{1 << 40, -1, 0}},
	{"mask", []int{2, 2}, []uint8{0, 255, 1, 128}},
	{"one", []int{}, []float64{3.5}},
	{"none", []int{0, 4}, []float32{}},
}

// TestGolden: what NumPy wrote is read, and what is written is what NumPy writes, byte for byte.
func TestGolden(t *testing.T) {
	for _, name := range []string{"golden.npz", "packed.npz"} {
		all, err := ReadFile("testdata/"+name, 1<<10)
		if err != nil || !reflect.DeepEqual(all, golden) {
			t.Errorf("%s: error %v, arrays %v", name, err, all)
		}
	}
	z, err := zip.OpenReader("testdata/golden.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for i, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(r)
		var got bytes.Buffer
		if err != nil || WriteArray(&got, golden[i]) != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %q\nwant %q", f.Name, got.Bytes(), want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	long := make([]float32, 3<<14+5)
	for i := range long {
		long[i] = float32(i) / 7
	}
	arrays := append([]Array{{"long", []int{len(long)}, long}}, golden...)
	var a, b bytes.Buffer
	if err := Write(&a, arrays); err != nil {
		t.Fatal(err)
	}
	if err := Write(&b, arrays); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("the same arrays make other bytes, error %v", err)
	}
	path := filepath.Join(t.TempDir(), "all.npz")
	if err := os.WriteFile(path, a.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := ReadFile(path, 1<<20); err != nil || !reflect.DeepEqual(all, arrays) {
		t.Errorf("error %v", err)
	}
	for _, bad := range []Array{{"", []int{1}, []float32{1}}, {"x", []int{2}, []float32{1}},
		{"x", []int{1}, []string{"s"}},
		{"x", []int{-1}, []float32{}}, {"x", []int{1 << 32, 1 << 32}, []float32{}}} {
		if err := Write(io.Discard, []Array{bad}); err == nil {
			t.Errorf("%v is written", bad)
		}
	}
	if err := Write(io.Discard, []Array{golden[0], golden[0]}); err == nil {
		t.Error("a name is written twice")
	}
}

// TestRefused: each bad file has one error, which names the file and what is wrong.
func TestRefused(t *testing.T) {
	npy := func(header string, data ...byte) []byte {
		b := append([]byte(magic), 1, 0)
		return append(append(binary.LittleEndian.AppendUint16(b, uint16(len(header))), header...), data...)
	}
	archive := func(names ...string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range names {
			f, _ := z.Create(name)
			WriteArray(f, golden[0])
		}
		z.Close()
		return b.Bytes()
	}
	var good bytes.Buffer
	if err := Write(&good, golden[:1]); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good.Bytes())
	flipped[bytes.Index(flipped, []byte("shape"))+90] ^= 1 // in the elements
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":     {nil, "neither an .npz"},
		"text":      {[]byte("a,b\n"), "neither an .npz"},
		"other":     {archive("readme.txt"), "no array"},
		"twice":     {archive("a.npy", "a.npy"), "twice"},
		"no header": {npy(""), "damaged"},
		"short":     {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 1, 2, 3, 4), "damaged"},
		"long":      {npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", 1, 2, 3), "damaged"},
		"huge":      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"), "more than the"},
		"overflow":  {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"), "more than the"},
		"negative":  {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "damaged"},
		"no shape":  {npy("{'descr': '<f4', 'fortran_order': False, }"), "damaged"},
		"big":       {npy("{'descr': '>f4', 'fortran_order': False, 'shape': (0,), }"), "little-endian"},
		"version":   {[]byte(magic + "\x09\x00"), "version 9"},
		"checksum":  {flipped, "damaged"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path, 1<<10); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	for name, want := range map[string]string{"fortran.npy": "ascontiguousarray", "half.npy": "<f2", "objects.npy": "|O"} {
		if _, err := ReadFile("testdata/"+name, 1<<10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	if _, err := ReadFile("testdata/golden.npz", 30); err == nil || !strings.Contains(err.Error(), "bytes that are left") {
		t.Errorf("more elements than are allowed: error %v", err)
	}
}

// TestBomb: an archive that says it has much takes memory for what it has.
func TestBomb(t *testing.T) {
	text := "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }"
	b := append([]byte(magic), 1, 0)
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ReadArray(bytes.NewReader(b), 1<<40); err == nil {
		t.Error("no error")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for an array without elements", n)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"golden.npz", "packed.npz", "fortran.npy", "half.npy", "objects.npy"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readAny(bytes.NewReader(b), int64(len(b)), 1<<16)
		if err != nil {
			return
		}
		for _, a := range all { // what was read can be written, and read again
			var out bytes.Buffer
			if err := WriteArray(&out, a); err != nil {
				t.Fatal(err)
			}
			again, err := ReadArray(&out, 1<<16)
			if err != nil || len(a.Shape) != len(again.Shape) {
				t.Fatal(err)
			}
		}
	})
}
