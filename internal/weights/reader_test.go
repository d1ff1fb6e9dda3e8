package weights

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// open writes content to a file and opens it.
func open(t *testing.T, content []byte) *Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestHalves: every half is what IEEE 754 says it is, by its own definition.
func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		exp, mant := h>>10&31, float64(h&1023)
		want := math.Ldexp(1+mant/1024, exp-15)
		switch {
		case exp == 0:
			want = math.Ldexp(mant/1024, -14)
		case exp == 31 && mant == 0:
			want = math.Inf(1)
		case exp == 31:
			want = math.NaN()
		}
		if h>>15 != 0 {
			want = -want
		}
		got := float64(FromF16(uint16(h)))
		if math.IsNaN(got) && math.IsNaN(want) {
			continue
		}
		if got != want {
			t.Fatalf("half %04x is %g, want %g", h, got, want)
		}
		if math.Signbit(got) != (h>>15 != 0) {
			t.Fatalf("half %04x is %g, of the wrong sign", h, got)
		}
	}
}

func TestReadWidens(t *testing.T) {
	r := open(t, file(`{"f":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"h":{"dtype":"F16","shape":[3,1],"data_offsets":[4,10]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[10,14]},"i":{"dtype":"I64","shape":[1],"data_offsets":[14,22]}}`,
		0, 0, 0x20, 0x41 /* 10 */, 0, 0x3C /* 1 */, 1, 0 /* 2^-24 */, 0xFF, 0xFB /* -65504 */, 0x80, 0x3F /* 1 */, 0x49, 0xC0 /* -3.140625 */, 1, 0, 0, 0, 0, 0, 0, 0))
	for name, want := range map[string][]float32{"f": {10}, "h": {1, 0x1p-24, -65504}, "b": {1, -3.140625}} {
		got := make([]float32, len(want))
		if err := r.Read(name, got); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s[%d] = %g, want %g", name, i, got[i], want[i])
			}
		}
	}
	for name, want := range map[string]string{"i": "of type I64", "none": "no tensor", "b": "[2], want 1 elements"} {
		if err := r.Read(name, make([]float32, 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
}

// TestReadRefusesWhatIsNoWeight: an infinity or a NaN in each type.
func TestReadRefusesWhatIsNoWeight(t *testing.T) {
	for dtype, bits := range map[string][]byte{"F32": {0, 0, 0x80, 0x7F}, "F16": {0, 0xFC}, "BF16": {0xC0, 0x7F}} {
		header := `{"w":{"dtype":"` + dtype + `","shape":[1],"data_offsets":[0,` + string(rune('0'+len(bits))) + `]}}`
		r := open(t, file(header, bits...))
		if err := r.Read("w", make([]float32, 1)); err == nil || !strings.Contains(err.Error(), `tensor "w"`) {
			t.Errorf("%s: got %v", dtype, err)
		}
	}
}

// TestCutWhileReading: a file that becomes shorter after its header was read.
func TestCutWhileReading(t *testing.T) {
	for _, dtype := range []string{"F32", "BF16"} {
		size := map[string]string{"F32": "400", "BF16": "200"}[dtype]
		data := make([]byte, map[string]int{"F32": 400, "BF16": 200}[dtype])
		r := open(t, file(`{"w":{"dtype":"`+dtype+`","shape":[100],"data_offsets":[0,`+size+`]}}`, data...))
		if err := os.Truncate(r.path, int64(len(r.header)+50)); err != nil {
			t.Fatal(err)
		}
		if err := r.Read("w", make([]float32, 100)); err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("%s: got %v", dtype, err)
		}
	}
}

// TestLoadTakesItsSize: reading 8 MB allocates about as much, whatever the type.
func TestLoadTakesItsSize(t *testing.T) {
	const n = 2 << 20
	dir := t.TempDir()
	whole, halves := filepath.Join(dir, "whole"), filepath.Join(dir, "halves")
	if _, err := Save(whole, []Tensor{{"w", []int{n}, make([]float32, n)}}, nil); err != nil {
		t.Fatal(err)
	}
	header := `{"w":{"dtype":"F16","shape":[2097152],"data_offsets":[0,4194304]}}`
	if err := os.WriteFile(halves, append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...),
		make([]byte, 2*n)...), 0o644); err != nil {
		t.Fatal(err)
	}
	allocated := func(f func() error) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := f(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for name, f := range map[string]func() error{
		"Load": func() error { _, err := Load(whole, ""); return err },
		"Read": func() error {
			r, err := Open(halves)
			if err != nil {
				return err
			}
			defer r.Close()
			return r.Read("w", make([]float32, n))
		},
	} {
		if got := allocated(f); got > 4*n+1<<20 {
			t.Errorf("%s allocates %d bytes for %d of weights", name, got, 4*n)
		}
	}
}

// TestDepthIsBounded: JSON is refused for its depth before the stack grows with it, and what models have is not.
func TestDepthIsBounded(t *testing.T) {
	nested := func(n int) []byte {
		return []byte(strings.Repeat(`{"a":[`, n/2) + strings.Repeat("]}", n/2))
	}
	if err := UniqueKeys(nested(maxDepth)); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	for _, b := range [][]byte{nested(maxDepth + 2), []byte(strings.Repeat("[", 16<<20))} {
		if err := UniqueKeys(b); err == nil || !strings.Contains(err.Error(), "nested deeper than 100 levels") {
			t.Errorf("%d bytes: error %v", len(b), err)
		}
	}
}
