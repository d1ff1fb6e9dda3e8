package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// idx makes an idx file of bytes.
func idx(payload []byte, dims ...uint32) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, payload...)
}

func zip(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

func TestReadIDX(t *testing.T) {
	for name, b := range map[string][]byte{"plain": idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3), "gzip": zip(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3))} {
		shape, px, err := readIDX(bytes.NewReader(b), 2, 100)
		if err != nil || shape[0] != 2 || shape[1] != 3 || !bytes.Equal(px, []byte{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%s: %v %v %v", name, shape, px, err)
		}
	}
}

// TestHostileIDX: every one is an error that says what is wrong, and none takes memory for what its
// header claims.
func TestHostileIDX(t *testing.T) {
	good := idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3)
	huge := idx(nil, 1<<31, 1<<31)
	bomb := zip(append(idx(nil, 1<<27, 1), make([]byte, 1<<24)...)) // 16 MiB of zeros in some kB, and 112 MiB missing
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":                   {nil, "truncated"},
		"wrong magic":             {append([]byte{1}, good[1:]...), "magic"},
		"wrong type":              {append([]byte{0, 0, 9}, good[3:]...), "magic"},
		"wrong dimensions":        {idx([]byte{1, 2}, 2), "magic"},
		"claims too much":         {huge, "claims"},
		"claims 4 billion":        {idx(nil, 0xffffffff, 1), "claims"},
		"claims nothing":          {idx(nil, 0, 3), "claims"},
		"more than claimed":       {append(good[:len(good):len(good)], 7), "follows"},
		"gzip, more than claimed": {zip(append(good[:len(good):len(good)], 7)), "follows"},
		"gzip bomb":               {bomb, "truncated"},
		"gzip of nothing":         {zip(nil), "truncated"},
		"not gzip after all":      {[]byte{0x1f, 0x8b, 0, 0}, "gzip"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := readIDX(bytes.NewReader(tc.b), 2, 1<<28)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<27 {
			t.Errorf("%s: %d MiB were allocated", name, grown>>20)
		}
	}
}

// TestDamagedIDX: a file cut at any length is an error; so is a gzip file with any bit turned, unless
// the bit is in a header field that means nothing (time, system).
func TestDamagedIDX(t *testing.T) {
	plain := idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3)
	for name, b := range map[string][]byte{"plain": plain, "gzip": zip(plain)} {
		for n := range b {
			if _, _, err := readIDX(bytes.NewReader(b[:n]), 2, 100); err == nil {
				t.Errorf("%s cut to %d of %d bytes was accepted", name, n, len(b))
			}
		}
	}
	b := zip(plain)
	for i := range b {
		if i >= 3 && i < 10 {
			continue
		}
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			if _, px, err := readIDX(bytes.NewReader(c), 2, 100); err == nil && !bytes.Equal(px, []byte{1, 2, 3, 4, 5, 6}) {
				t.Errorf("bit %d of byte %d turned: other pixels, no error", bit, i)
			}
		}
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3))
	f.Add(zip(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3)))
	f.Add(idx(nil, 0xffffffff, 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		shape, px, err := readIDX(bytes.NewReader(b), 2, 1<<20)
		if err == nil && (len(shape) != 2 || shape[0]*shape[1] != len(px)) {
			t.Errorf("shape %v of %d elements", shape, len(px))
		}
	})
}
