package data

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func matFixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSVHN: SciPy's files, compressed and with digits as bytes, or neither, give the images it wrote.
func TestSVHN(t *testing.T) {
	var golden []struct {
		SHA256 string
		Digit  int32
	}
	if err := json.Unmarshal(matFixture(t, "small.json"), &golden); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		n     int
		digit func(i int) int32
	}{
		"small.mat":       {12, func(i int) int32 { return golden[i].Digit }},
		"small-plain.mat": {2, func(i int) int32 { return golden[10+i].Digit }},
	} {
		arrays, err := readMAT(bytes.NewReader(matFixture(t, name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		pictures, err := svhnPictures(arrays, true)
		if err != nil || len(pictures) != want.n {
			t.Fatalf("%s: %d images, error %v", name, len(pictures), err)
		}
		for i, p := range pictures {
			if hex.EncodeToString(p.digest[:]) != golden[i].SHA256 || p.label != want.digit(i) || !p.test {
				t.Errorf("%s: image %d is another, or of digit %d, want %d", name, i, p.label, want.digit(i))
			}
		}
	}

	dir, small := t.TempDir(), matFixture(t, "small.mat")
	for _, f := range svhnFiles {
		if err := os.WriteFile(filepath.Join(dir, f.Name), small, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	train, test, err := readSVHN(context.Background(), dir, quiet)
	if err != nil || train.N != 12 || test.N != 12 || len(train.Classes) != 10 {
		t.Fatalf("%+v, %+v, error %v", train, test, err)
	}
	for i, at := range test.Published {
		if h := test.Hash(i); hex.EncodeToString(h[:]) != golden[at].SHA256 {
			t.Errorf("image %d is not the published number %d", i, at)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "train_32x32.mat"), small[:len(small)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readSVHN(context.Background(), dir, quiet); err == nil ||
		!strings.Contains(err.Error(), filepath.Join(dir, "train_32x32.mat")+": truncated") {
		t.Errorf("a file cut short: %v", err)
	}
}

// TestHostileMAT: cut anywhere or with a byte turned, a file is an error or still arrays, and never a panic.
func TestHostileMAT(t *testing.T) {
	plain := matFixture(t, "small-plain.mat")
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":          {nil, "truncated in the header"},
		"a text":           {bytes.Repeat([]byte("hello "), 100), "is not a little-endian MAT-file of level 5"},
		"no array":         {turned(plain, 128, 7), "holds an element of type 7"},
		"a long part":      {turned(plain, 136+7, 0xff), "bytes, more than"},
		"strange class":    {turned(plain, 136+8, 1), `the array "X" is of neither bytes nor doubles`},
		"other dimensions": {turned(plain, 136+16+8, 31), "has 6144 bytes"},
		"huge dimensions":  {turned(plain, 136+16+8+3, 0x7f), "has a dimension of"},
	} {
		_, err := readMAT(bytes.NewReader(tc.b))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
	for n := range len(plain) {
		if _, err := readMAT(bytes.NewReader(plain[:n])); err == nil && n != 128 && !wholeArrays(plain, n) {
			t.Fatalf("%d of %d bytes are no error", n, len(plain))
		}
	}
	small := matFixture(t, "small.mat")
	for n := 128; n < len(small); n++ { // zlib's checksum covers what is in an element
		_, _ = readMAT(bytes.NewReader(turned(small, n, small[n]^0xff)))
	}
}

// wholeArrays says whether the first n bytes of the uncompressed file b end with an array.
func wholeArrays(b []byte, n int) bool {
	at := 128
	for at < n {
		at += 8 + int(uint32(b[at+4])|uint32(b[at+5])<<8|uint32(b[at+6])<<16)
	}
	return at == n
}

// turned is b with the byte at i set to v.
func turned(b []byte, i int, v byte) []byte {
	b = bytes.Clone(b)
	b[i] = v
	return b
}

// FuzzMAT: whatever the file, an error or images of the right size.
func FuzzMAT(f *testing.F) {
	f.Add(matFixture(f, "small.mat"))
	f.Add(matFixture(f, "small-plain.mat"))
	f.Fuzz(func(t *testing.T, b []byte) {
		arrays, err := readMAT(bytes.NewReader(b))
		if err != nil {
			return
		}
		pictures, err := svhnPictures(arrays, false)
		if err != nil {
			return
		}
		for _, p := range pictures {
			if len(p.pixels) != 3*cifarPlane || p.label < 0 || p.label > 9 {
				t.Errorf("an image of %d values with label %d", len(p.pixels), p.label)
			}
		}
	})
}
