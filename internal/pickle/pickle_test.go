package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"dla/internal/rng"
)

func load(b []byte, o Options) (any, error) {
	v, _, err := Load(bytes.NewReader(b), int64(len(b)), o)
	return v, err
}

func golden(t testing.TB) (all [][]byte) {
	for protocol := range 6 {
		b, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("value%d.pkl", protocol)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// TestProtocols: the same value is read from what Python wrote by each protocol.
func TestProtocols(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 80)
	want := map[string]any{
		"none": nil, "bools": &List{[]any{true, false}},
		"ints": &List{[]any{int64(0), int64(255), int64(65535), int64(-1), int64(1<<31 - 1), int64(-1 << 31), int64(1 << 40),
			int64(math.MinInt64), huge, new(big.Int).Neg(huge)}},
		"floats": &List{[]any{0.5, -1e300, math.Inf(1)}}, "text": "hé € 😀 \\ '\"\n", "bytes": all, "empty": []byte{},
		"tuple": Tuple{}, "tuples": Tuple{Tuple{int64(1)}, Tuple{int64(1), int64(2)}, Tuple{int64(1), int64(2), int64(3)},
			Tuple{int64(1), int64(2), int64(3), int64(4)}},
		"set": &List{[]any{int64(7)}}, "raw": "bytes key", "scalar": 0.25,
		"array":   &Array{Shape: []int{2, 3}, DType: "|u1", Data: []byte{0, 1, 2, 3, 4, 5}},
		"fortran": &Array{Shape: []int{2, 2}, DType: "<f8", Fortran: true, Data: floats(0, 2, 1, 3)},
		"big":     &Array{Shape: []int{2}, DType: ">i4", Data: []byte{0, 0, 0, 1, 0, 0, 0, 2}},
	}
	for protocol, b := range golden(t) {
		v, n, err := Load(bytes.NewReader(append(b, "rest"...)), int64(len(b)+4), Options{Globals: Numpy()})
		if err != nil {
			t.Fatalf("protocol %d: %v", protocol, err)
		}
		if n != int64(len(b)) {
			t.Errorf("protocol %d: took %d bytes of %d", protocol, n, len(b))
		}
		d := v.(*Dict)
		for key, w := range want {
			got, ok := d.Get(key)
			if !ok || !reflect.DeepEqual(got, w) {
				t.Errorf("protocol %d: %s is %#v, want %#v", protocol, key, got, w)
			}
		}
		shared, _ := d.Get("shared")
		if l := shared.(*List).Items; l[0] != l[1] {
			t.Errorf("protocol %d: what is shared is there twice", protocol)
		}
		ordered, _ := d.Get("ordered")
		if o := ordered.(*Dict); !reflect.DeepEqual(o.Keys, []any{"b", "a"}) {
			t.Errorf("protocol %d: the order is %v", protocol, o.Keys)
		}
	}
}

// floats are the bytes of float64s.
func floats(all ...float64) (b []byte) {
	for _, v := range all {
		bits := math.Float64bits(v)
		for i := range 8 {
			b = append(b, byte(bits>>(8*i)))
		}
	}
	return b
}

// TestPython2: a batch of CIFAR-10 as its authors' Python 2 wrote it.
func TestPython2(t *testing.T) {
	b := "\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09eU\x04dataq\x06" +
		"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87Rq\n(K\x01K\x02K\x03\x86" +
		"cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" +
		"T\x06\x00\x00\x00\xff\xfe\x00\x01\x02\x03tbU\tfilenamesq\r]q\x0e(U\x07a_\xe9.pngS'b\\xe9\\n\\101.png'\neu."
	v, err := load([]byte(b), Options{Globals: Numpy()})
	if err != nil {
		t.Fatal(err)
	}
	d := v.(*Dict)
	labels, _ := d.Get("labels")
	if ints, ok := Ints(labels); !ok || !reflect.DeepEqual(ints, []int{6, 9}) {
		t.Errorf("labels %v", labels)
	}
	data, _ := d.Get("data")
	if want := (&Array{Shape: []int{2, 3}, DType: "|u1", Data: []byte{255, 254, 0, 1, 2, 3}}); !reflect.DeepEqual(data,
		want) {
		t.Errorf("data %#v", data)
	}
	names, _ := d.Get("filenames")
	if last := names.(*List).Items[1]; last != "b\xe9\nA.png" {
		t.Errorf("the quoted name is %q", last)
	}
}

// TestRefused: pickles that would run something, each refused by name.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ pickle, want string }{
		"GLOBAL, REDUCE":       {"cos\nsystem\n(S'id'\ntR.", "it wants os.system, which is not loaded"},
		"STACK_GLOBAL, REDUCE": {"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", "posix.system"},
		"builtins":             {"cbuiltins\neval\n(V1\ntR.", "it wants builtins.eval,"},
		"builtins of Python 2": {"c__builtin__\ngetattr\n(V1\ntR.", "it wants builtins.getattr,"},
		"INST":                 {"(S'id'\nios\nsystem\n.", "it wants os.system,"},
		"OBJ":                  {"(cos\nsystem\nS'id'\no.", "it wants os.system,"},
		"NEWOBJ":               {"\x80\x02csubprocess\nPopen\n)\x81.", "it wants subprocess.Popen,"},
		"NEWOBJ_EX":            {"\x80\x04csubprocess\nPopen\n)}\x92.", "it wants subprocess.Popen,"},
		"dotted name":          {"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93.", "it wants os.path.system,"},
		"name with escapes":    {"cos\n\x1b[31msystem\n.", `it wants "os.\x1b[31msystem",`},
	} {
		var refused *RefusedError
		_, err := load([]byte(c.pickle), Options{Globals: Numpy()})
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct{ pickle, want string }{
		"EXT":                                {"\x80\x02\x82\x01.", "extension registry"},
		"persistent id":                      {"S'x'\nQ.", "persistent id"},
		"persistent id, line":                {"Px\n.", "persistent id"},
		"next buffer":                        {"\x80\x05\x97.", "buffer outside"},
		"call of a text":                     {"S'system'\n(tR.", "it calls a text"},
		"call of a class that is named only": {"cnumpy\nndarray\n(tR.", "numpy.ndarray: it is not to be called"},
		"BUILD of a text":                    {"S'x'\n}b.", "gives a state to a text"},
		"BUILD, __setstate__":                {"cnumpy\ndtype\n(S'u1'\ntRS'x'\nb.", "state of"},
		"long LONG1":                         {"\x80\x02\x8a\xff1.", "longer than what is left"},
		"huge LONG4":                         {"\x80\x02\x8b\xff\xff\xff\x7f1.", "want at most 1024"},
		"huge LONG":                          {"L" + strings.Repeat("9", 5000) + "L\n.", "longer than 1024 bytes"},
		"huge BINUNICODE":                    {"X\xff\xff\xff\xffa.", "longer than what is left"},
		"huge BINUNICODE8":                   {"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", "longer than what is left"},
		"huge BINBYTES8":                     {"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.", "longer than what is left"},
		"huge FRAME":                         {"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "frame"},
		"huge GET":                           {"j\xff\xff\xff\xff.", "has not made"},
		"list in itself":                     {"]q\x00h\x00a.", "contains itself"},
		"dict in itself":                     {"}q\x00Nh\x00s.", "contains itself"},
		"list in its tuple":                  {"]q\x00h\x00\x85a.", "contains itself"},
		"deep tuples":                        {"N" + strings.Repeat("\x85", 1000) + ".", "deeper than 100"},
		"deep marks": {strings.Repeat("(", 1000) + strings.Repeat("t", 1000) + ".",
			"deeper than 100"},
		"pop of nothing":     {"0.", "too little"},
		"pop below a mark":   {"(0.", "too little"},
		"tuple below a mark": {"N(\x85.", "too little"},
		"no mark":            {"t.", "no mark"},
		"odd items":          {"}(Nu.", "no value"},
		"append to a text":   {"S'x'\nNa.", "appends to a text"},
		"no UTF-8":           {"X\x01\x00\x00\x00\xff.", "not UTF-8"},
		"unknown opcode":     {"\xff", "opcode 0xff"},
		"protocol 9":         {"\x80\x09N.", "protocol 9"},
		"empty":              {"", "cut short"},
		"no STOP":            {"N", "cut short"},
		"array of another size": {"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L9223372036854775807L\nI2\ntcnumpy\ndtype\n" +
			"(S'u1'\ntRI00\nS'ab'\ntb.", "does not fit"},
		"array of objects": {"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntcnumpy\ndtype\n" +
			"(S'O8'\ntRI00\n]tb.", "bytes"},
	} {
		if v, err := load([]byte(c.pickle), Options{Globals: Numpy()}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want %q", name, v, err, c.want)
		}
	}
}

// TestOpaque: what the caller lets be kept has a name and no contents, however it is made.
func TestOpaque(t *testing.T) {
	o := Options{Opaque: func(name string) bool { return strings.HasPrefix(name, "argparse.") }}
	for name, pickle := range map[string]string{
		"NEWOBJ, BUILD":  "\x80\x02cargparse\nNamespace\n)\x81}S'lr'\nF0.1\nsb.",
		"_reconstructor": "ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR}S'lr'\nF0.1\nsb.",
		"INST":           "(iargparse\nNamespace\n}b.",
		"in itself":      "\x80\x02cargparse\nNamespace\n)\x81q\x00h\x00bS'x'\nNs.",
		"NEWOBJ_EX":      "\x80\x04\x8c\x08argparse\x8c\x09Namespace\x93)}\x8c\x01aNs\x92.",
	} {
		v, err := load([]byte(pickle), o)
		if err != nil || !reflect.DeepEqual(v, &Object{"argparse.Namespace"}) {
			t.Errorf("%s: got %#v, %v", name, v, err)
		}
	}
	if _, err := load([]byte("cos\nsystem\n(S'id'\ntR."), o); err == nil {
		t.Error("os.system was kept")
	}
}

// TestPersistent: ids go to the caller.
func TestPersistent(t *testing.T) {
	v, err := load([]byte("(I1\nI2\ntQ."), Options{Persistent: func(id any) (any, error) { return id.(Tuple)[1], nil }})
	if err != nil || v != int64(2) {
		t.Errorf("got %v, %v", v, err)
	}
}

// TestBombs: small pickles that stand for exponentially much, or for one large part many times, take time and memory
// in proportion to their own size.
func TestBombs(t *testing.T) {
	pairs := "]" + strings.Repeat("(I1\nI2\nta", 20000)
	large := "T\x00\x00\x10\x00" + strings.Repeat("x", 1<<20)
	for name, pickle := range map[string]string{
		"tuples of a tuple twice": "N" + strings.Repeat("q\x00h\x00\x86", 90) + ".",
		"names": "\x80\x04(\x8c\x64" + strings.Repeat("a",
			100) + "q\x000" + strings.Repeat("h\x00h\x00\x93", 50000) + "t.",
		"dictionaries of a list": pairs + "q\x010(" + strings.Repeat("ccollections\nOrderedDict\nh\x01\x85R", 2000) + "t.",
		"bytes of a text":        large + "q\x010(" + strings.Repeat("c_codecs\nencode\nh\x01S'latin1'\n\x86R", 2000) + "t.",
		"arrays of a text": large + "q\x01cnumpy\ndtype\n(S'u1'\ntRq\x02(" + strings.Repeat("cnumpy.core.numeric\n_frombuffer\n(h\x01h\x02(J\x00\x00\x10\x00tS'C'\ntR", 2000) +
			"t.",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		_, err := load([]byte(pickle), Options{Globals: Numpy(), Opaque: func(string) bool { return true }})
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 300<<20 || took > 5*time.Second {
			t.Errorf("%s: %d bytes and %v for a pickle of %d bytes (%v)", name, used, took, len(pickle), err)
		}
	}
}

// TestMutations: 10,000 damaged copies of real pickles give a value or an error, never a panic.
func TestMutations(t *testing.T) {
	all := golden(t)
	r := rng.New(1, "mutations", 0, 0)
	for i := range 10_000 {
		b := bytes.Clone(all[i%len(all)])
		for range 1 + r.IntN(4) {
			switch at := r.IntN(len(b)); r.IntN(3) {
			case 0:
				b[at] = byte(r.IntN(256))
			case 1:
				b = b[:at+1]
			case 2:
				b = append(b[:at:at], b[min(len(b), at+1+r.IntN(8)):]...)
				b = append(b, '.')
			}
		}
		_, _ = load(b, Options{Globals: Numpy(), Opaque: func(name string) bool { return i%2 == 0 }})
	}
}

func FuzzLoad(f *testing.F) {
	for _, b := range golden(f) {
		f.Add(b)
	}
	f.Add([]byte("ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR}S'lr'\nF0.1\nsb."))
	f.Add([]byte("]q\x00h\x00\x85a."))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{Globals: Numpy(), Opaque: func(name string) bool { return len(name)%2 == 0 },
			Persistent: func(id any) (any, error) { return id, nil }}
		v, n, err := Load(bytes.NewReader(b), int64(len(b)), o)
		if err == nil && (n > int64(len(b)) || check(v) != nil) {
			t.Errorf("took %d bytes of %d, %v", n, len(b), check(v))
		}
	})
}
