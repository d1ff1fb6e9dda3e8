package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func some() []Tensor {
	nan := math.Float32frombits(0x7fc00123) // a payload that a conversion would lose
	return []Tensor{
		{"fc1.weight", []int{2, 3}, []float32{1, -2, 3.5, 0, float32(math.Inf(1)), nan}},
		{"fc1.bias", []int{3}, []float32{0.1, 0.2, 0.3}},
		{"scale", []int{}, []float32{7}},
		{"empty", []int{0, 4}, []float32{}},
	}
}

func TestSaveLoadKeepsEveryBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	sha, err := Save(path, some(), map[string]string{"epoch": "3", "state": `{"a":"ü<"}`})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, sha)
	if err != nil {
		t.Fatal(err)
	}
	if f.Meta["epoch"] != "3" || f.Meta["state"] != `{"a":"ü<"}` {
		t.Errorf("metadata came back as %v", f.Meta)
	}
	want := some()
	slices.SortFunc(want, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	if Fingerprint(f.Tensors) != Fingerprint(want) {
		t.Errorf("got %v, want %v", f.Tensors, want)
	}
}

func TestBytesDoNotDependOnOrder(t *testing.T) {
	dir := t.TempDir()
	meta := map[string]string{"a": "1", "b": "2", "c": "3"}
	ts := some()
	var first string
	for i := range 20 {
		slices.Reverse(ts)
		if i%2 == 0 {
			ts[0], ts[1] = ts[1], ts[0]
		}
		sha, err := Save(filepath.Join(dir, "w"), ts, meta)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = sha
		}
		if sha != first {
			t.Fatalf("save %d gave other bytes", i)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	x := []float32{1, 2}
	for _, c := range []struct {
		name, want string
		ts         []Tensor
		meta       map[string]string
	}{
		{"a name twice", "two tensors are called w", []Tensor{{"w", []int{2}, x}, {"w", []int{2}, x}}, nil},
		{"a wrong shape", "has 2 elements", []Tensor{{"w", []int{3}, x}}, nil},
		{"negative dimensions", "shape", []Tensor{{"w", []int{-1, -2}, x}}, nil},
		{"the metadata's name", "cannot be called", []Tensor{{"__metadata__", []int{2}, x}}, nil},
		{"a name that is not UTF-8", "cannot be called", []Tensor{{"\xff", []int{2}, x}}, nil},
		{"metadata that is not UTF-8", "not UTF-8", nil, map[string]string{"k": "\xff"}},
	} {
		path := filepath.Join(t.TempDir(), "w")
		if _, err := Save(path, c.ts, c.meta); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was written", c.name)
		}
	}
}

// file lays out a safetensors file by hand.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestLoadRefuses(t *testing.T) {
	four := []byte{0, 0, 0, 0}
	const w = `"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for _, c := range []struct {
		name    string
		content []byte
	}{
		{"nothing", nil},
		{"less than a length", []byte{1, 0}},
		{"a header longer than the file", binary.LittleEndian.AppendUint64(nil, 1<<40)},
		{"the largest length", binary.LittleEndian.AppendUint64(nil, math.MaxUint64)},
		{"no JSON", file("hello")},
		{"a list", file("[]")},
		{"deep lists", file(strings.Repeat("[", 1<<20))},
		{"deep metadata", file(`{"__metadata__":` + strings.Repeat(`{"a":`, 1<<20))},
		{"a number for a tensor", file(`{"w":3}`)},
		{"bytes missing", file("{"+w+"}", 0, 0, 0)},
		{"bytes too many", file("{"+w+"}", 0, 0, 0, 0, 0)},
		{"a tensor twice", file("{"+w+","+w+"}", four...)},
		{"a field twice", file(`{"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four...)},
		{"metadata twice", file(`{"__metadata__":{"a":"1","a":"2"},`+w+"}", four...)},
		{"two names of one escape", file("{"+w+","+strings.Replace(w, "w", `\u0077`, 1)+"}", four...)},
		{"halves", file(`{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, four...)},
		{"an unknown type", file(`{"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, four...)},
		{"a shape of other size", file(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, four...)},
		{"an overflowing shape", file(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`)},
		{"an endless empty shape", file(`{"w":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}`)},
		{"a negative shape", file(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, four...)},
		{"offsets backwards", file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, four...)},
		{"a gap", file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, append(four, four...)...)},
		{"an overlap", file("{"+w+","+strings.Replace(w, "w", "v", 1)+"}", four...)},
		{"deep nesting", file(strings.Repeat(`{"a":`, 20000))},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, c.content, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, "")
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range []string{path, "replace it"} {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("want one line with %q, got %v", want, err)
				}
			}
		})
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{dir, filepath.Join(dir, "absent")} {
		if _, err := Load(p, ""); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: got %v", p, err)
		}
	}
}

func TestEveryFlippedByteIsSeenByTheSHA(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	sha, err := Save(path, some(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		for _, content := range [][]byte{bad, good[:i]} {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path, sha); err == nil {
				t.Fatalf("byte %d: damage was not seen", i)
			}
		}
	}
}

func TestCopy(t *testing.T) {
	dst := []Tensor{{"a", []int{2}, make([]float32, 2)}, {"b", []int{1, 1}, make([]float32, 1)}}
	src := []Tensor{{"b", []int{1, 1}, []float32{3}}, {"a", []int{2}, []float32{1, 2}}}
	if err := Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dst[0].Data, []float32{1, 2}) || dst[1].Data[0] != 3 {
		t.Errorf("copied %v", dst)
	}
	err := Copy(dst, []Tensor{{"a", []int{1, 2}, []float32{8, 9}}, {"c", []int{1}, []float32{1}}})
	if err == nil {
		t.Fatal("tensors that do not match were copied")
	}
	for _, want := range []string{"a has shape [1 2], want [2]", "b is missing", "c is not wanted"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	if dst[0].Data[0] != 1 {
		t.Error("something was copied all the same")
	}
}

func TestFingerprintSeesNameShapeOrderAndBits(t *testing.T) {
	base := []Tensor{{"a", []int{2}, []float32{0, 1}}, {"b", []int{1}, []float32{2}}}
	minus := math.Float32frombits(1 << 31) // -0 equals 0, its bits do not
	seen := map[string]bool{Fingerprint(base): true}
	for _, ts := range [][]Tensor{
		{base[1], base[0]},
		{{"c", []int{2}, []float32{0, 1}}, base[1]},
		{{"a", []int{1, 2}, []float32{0, 1}}, base[1]},
		{{"a", []int{2}, []float32{minus, 1}}, base[1]},
		base[:1],
	} {
		f := Fingerprint(ts)
		if seen[f] {
			t.Errorf("%v has the fingerprint of another", ts)
		}
		seen[f] = true
	}
	// Computed in Python from the description above: records hold such values, so they must stay.
	if got := Fingerprint(base); got != "379758914cda37fa8623c55372d868b14bfee53c3b8b6da1605f2881d28f31c0" {
		t.Errorf("the fingerprint of known tensors is now %s", got)
	}
}

// FuzzLoad: no bytes make Load panic, and what it accepts survives being saved and loaded again.
func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	if _, err := Save(path, some(), map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(file("{}"))
	f.Add(file("null"))
	f.Add(file(`{"w":null}`))
	f.Add(file(`{"w":{"dtype":"F32","shape":[0,99],"data_offsets":[0,0]}}`))
	f.Add(file(`{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"v":{"dtype":"BF16","shape":[1,1],"data_offsets":[4,6]},"i":{"dtype":"I64","shape":[1],"data_offsets":[6,14]}}`, make([]byte, 14)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newReader("fuzz", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		got := &File{Meta: r.Meta}
		for _, info := range r.Tensors {
			tensor := Tensor{Name: info.Name, Shape: info.Shape, Data: make([]float32, info.Len())}
			if err := r.Read(info.Name, tensor.Data); err == nil { // finite weights
				got.Tensors = append(got.Tensors, tensor)
			}
		}
		path := filepath.Join(t.TempDir(), "again")
		if _, err := Save(path, got.Tensors, got.Meta); err != nil {
			t.Fatalf("accepted but not writable: %v", err)
		}
		again, err := Load(path, "")
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
		if Fingerprint(again.Tensors) != Fingerprint(got.Tensors) {
			t.Fatalf("%v became %v", got.Tensors, again.Tensors)
		}
	})
}
