package torch

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dla/internal/rng"
)

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.pt")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFormats: both formats give PyTorch's values of tensors of every type, of views and of shared storages.
func TestFormats(t *testing.T) {
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape  []int
		Values []float32
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"zip.pt", "legacy.pth"} {
		c, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if len(c.Tensors) != len(want) {
			t.Errorf("%s: %d tensors, want %d", file, len(c.Tensors), len(want))
		}
		for name, w := range want {
			got := make([]float32, len(w.Values))
			if err := c.Read(name, got); err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if err := c.Expect(name, w.Shape); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if !slices.Equal(got, w.Values) {
				t.Errorf("%s: %s is %v, want %v", file, name, got, w.Values)
			}
			var copied bytes.Buffer
			if err := c.Copy(&copied, name); err != nil || copied.Len() != 4*len(w.Values) {
				t.Errorf("%s: %s is copied as %d bytes: %v", file, name, copied.Len(), err)
			}
		}
		stated := map[string]float64{"epoch": 200, "best_prec1": 91.78, "acc1": 12.5, "scalar": 0.25}
		if !reflect.DeepEqual(c.Stated, stated) {
			t.Errorf("%s states %v, want %v", file, c.Stated, stated)
		}
	}
	c, err := Open("testdata/bare.pt")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Tensors[0].Name != "weight" {
		t.Errorf("the prefix is left: %s", c.Tensors[0].Name)
	}
	if _, err := Open("testdata/module.pt"); err == nil || !strings.Contains(err.Error(),
		"an object of torch.nn.modules.linear.Linear") {
		t.Errorf("a whole model: %v", err)
	}
}

// entry is one of an archive.
type entry struct {
	name    string
	content []byte
}

// archive is a zip archive of stored entries.
func archive(t testing.TB, method uint16, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: method, CRC32: crc32.ChecksumIEEE(e.content),
			CompressedSize64: uint64(len(e.content)), UncompressedSize64: uint64(len(e.content))}
		create := z.CreateRaw
		if method != zip.Store {
			create = z.CreateHeader
		}
		w, err := create(h)
		if err == nil {
			_, err = w.Write(e.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stateDict is data.pkl with one tensor w: its storage with so many elements, and the offset, size and stride as
// opcodes.
func stateDict(elements, offset, size, stride string) []byte {
	return []byte("(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\n" + elements +
		"tQ" + offset + size + stride + "I00\nccollections\nOrderedDict\n(tRtRs.")
}

// TestByteOrder: a file of a big-endian machine.
func TestByteOrder(t *testing.T) {
	b := archive(t, zip.Store, entry{"a/data.pkl", stateDict("I2\n", "I0\n", "(I2\nt", "(I1\nt")},
		entry{"a/byteorder", []byte("big")}, entry{"a/data/0", []byte{0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0}})
	c, err := Open(write(t, b))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]float32, 2)
	if err := c.Read("w", got); err != nil || got[0] != 1 || got[1] != -2.5 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestRefused: files that reach beyond their storages or would run something, each with an error that names the file.
func TestRefused(t *testing.T) {
	data := entry{"a/data/0", make([]byte, 16)}
	pkl := func(elements, offset, size, stride string) []byte {
		return archive(t, zip.Store, entry{"a/data.pkl", stateDict(elements, offset, size, stride)}, data)
	}
	program := func(s string) []byte { return archive(t, zip.Store, entry{"a/data.pkl", []byte(s)}, data) }
	good := stateDict("I4\n", "I0\n", "(I4\nt", "(I1\nt")
	damagedData := archive(t, zip.Store, entry{"a/data.pkl", good}, data)
	damagedData[bytes.Index(damagedData, []byte("a/data/0"))+len("a/data/0")] ^= 1
	legacy, err := os.ReadFile("testdata/legacy.pth")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"os.system": {program("cos\nsystem\n(S'id'\ntR."), "wants os.system, which is not loaded"},
		"eval": {program("(dS'w'\ncbuiltins\neval\n(S'1'\ntRs."),
			"wants builtins.eval, which is not loaded"},
		"more than the storage": {pkl("I4\n", "I0\n", "(I5\nt", "(I1\nt"), "beyond its storage"},
		"offset":                {pkl("I4\n", "I2\n", "(I3\nt", "(I1\nt"), "beyond its storage"},
		"negative offset":       {pkl("I4\n", "I-1\n", "(I1\nt", "(I1\nt"), "beyond its storage"},
		"stride":                {pkl("I4\n", "I0\n", "(I2\nI2\nt", "(I3\nI1\nt"), "beyond its storage"},
		"negative stride":       {pkl("I4\n", "I3\n", "(I2\nt", "(I-1\nt"), "strides"},
		"negative size":         {pkl("I4\n", "I0\n", "(I-2\nt", "(I1\nt"), "shape"},
		"huge size":             {pkl("I4\n", "I0\n", "(I4294967296\nI4294967296\nt", "(I0\nI0\nt"), "shape"},
		"huge stride":           {pkl("I4\n", "I0\n", "(I3\nt", "(I9223372036854775807\nt"), "strides"},
		"huge offset":           {pkl("I4\n", "I9223372036854775807\n", "(I3\nt", "(I1\nt"), "strides"},
		"many dimensions": {pkl("I4\n", "I0\n", "("+strings.Repeat("I1\n", 65)+"t",
			"("+strings.Repeat("I1\n", 65)+"t"), "want a storage"},
		"storage of the entry": {pkl("I5\n", "I0\n", "(I5\nt", "(I1\nt"), "too few for 5 elements"},
		"no such storage":      {archive(t, zip.Store, entry{"a/data.pkl", good}), "no entry"},
		"two entries":          {archive(t, zip.Store, entry{"a/data.pkl", good}, data, data), "two entries"},
		"two pickles": {archive(t, zip.Store, entry{"a/data.pkl", good}, entry{"b/data.pkl", good}, data),
			"two data.pkl"},
		"compressed": {archive(t, zip.Deflate, entry{"a/data.pkl", good}, data), "is compressed"},
		"no pickle":  {archive(t, zip.Store, data), "without data.pkl"},
		"TorchScript": {archive(t, zip.Store, entry{"a/data.pkl", good}, entry{"a/constants.pkl", nil}, data),
			"TorchScript"},
		"byte order": {archive(t, zip.Store, entry{"a/data.pkl", good}, entry{"a/byteorder", []byte("middle")},
			data), "byte order"},
		"a list":                 {program("]."), "no dictionary"},
		"no tensors":             {program("}."), "has no tensors"},
		"a model":                {program("(dS'model'\ncmy\nNet\n(tRs."), "an object of my.Net"},
		"short":                  {[]byte("PK"), "fewer than 16 bytes"},
		"something else":         {bytes.Repeat([]byte("text "), 20), "begins like none"},
		"legacy, cut":            {legacy[:len(legacy)-1], "longer than the file"},
		"legacy, magic and more": {append(slices.Clone(magic), "garbage"...), "pickle"},
	} {
		path := write(t, c.file)
		got, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err == nil {
			got.Close()
		}
	}
	c, err := Open(write(t, damagedData))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Read("w", make([]float32, 4)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged storage: %v", err)
	}
}

// file is the content of one.
type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// readAll opens the file called path with this content and reads all tensors of it that are not large.
func readAll(path string, content []byte) error {
	c, err := open(path, file{bytes.NewReader(content)}, int64(len(content)))
	if err != nil {
		return err
	}
	defer c.Close()
	for _, info := range c.Tensors {
		if info.Len() < 1000 {
			_ = c.Read(info.Name, make([]float32, info.Len()))
		}
	}
	return nil
}

// TestMutations: 10,000 damaged copies of real files are read or refused, never a panic.
func TestMutations(t *testing.T) {
	const path = "damaged.pt"
	r := rng.New(2, "mutations", 0, 0)
	var files [][]byte
	for _, name := range []string{"zip.pt", "legacy.pth", "bare.pt"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	for i := range 10_000 {
		b := bytes.Clone(files[i%3])
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
		if i%10 == 0 {
			b = b[:r.IntN(len(b))]
		}
		if err := readAll(path, b); err != nil && !strings.Contains(err.Error(), path) {
			t.Fatalf("an error without the file: %v", err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"bare.pt", "legacy.pth"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const path = "some.pt"
		if err := readAll(path, b); err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("an error without the file: %v", err)
		}
	})
}
