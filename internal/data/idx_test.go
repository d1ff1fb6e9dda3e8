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
	for name, b := range map[string][]byte{"plain": idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3),
		"gzip": zip(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3))} {
		got, err := readIDX(b, 2, 3)
		if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestHostileIDX: every one is an error that says what is wrong, and none takes memory for what its
// header claims, nor for what a small gzip file could become.
func TestHostileIDX(t *testing.T) {
	good := idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3)
	const big = 1 << 27 // elements
	for name, tc := range map[string]struct {
		b    []byte
		dims []int
		want string
	}{
		"empty":                      {nil, []int{2, 3}, "truncated in the header"},
		"wrong magic":                {append([]byte{1}, good[1:]...), []int{2, 3}, "magic"},
		"wrong type":                 {append([]byte{0, 0, 9}, good[3:]...), []int{2, 3}, "magic"},
		"wrong number of dimensions": {idx([]byte{1, 2}, 2), []int{2, 3}, "truncated in the header"},
		"labels for images":          {idx(make([]byte, 100), 100), []int{2, 3}, "magic"},
		"wrong count":                {good, []int{3, 3}, "claims dimensions [2 3], want [3 3]"},
		"claims 4 billion":           {idx(nil, 0xffffffff, 0xffffffff), []int{2, 3}, "claims"},
		"claims nothing":             {idx(nil, 0, 3), []int{2, 3}, "claims"},
		"less than claimed":          {good[:len(good)-1], []int{2, 3}, "truncated in the elements, after 5 of 6"},
		"far less than claimed":      {idx(nil, big), []int{big}, "cannot hold"},
		"gzip, far less":             {zip(idx(nil, big)), []int{big}, "cannot hold"},
		"more than claimed":          {append(good[:len(good):len(good)], 7), []int{2, 3}, "follows"},
		"gzip, more than claimed":    {zip(append(good[:len(good):len(good)], 7)), []int{2, 3}, "follows"},
		"gzip bomb": {zip(append(good[:len(good):len(good)], make([]byte, 1<<24)...)), []int{2, 3},
			"follows"},
		"gzip of nothing":      {zip(nil), []int{2, 3}, "truncated"},
		"gzip, then something": {append(zip(good), 7), []int{2, 3}, "the end"},
		"not gzip after all":   {[]byte{0x1f, 0x8b, 0, 0}, []int{2, 3}, "gzip"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readIDX(tc.b, tc.dims...)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
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
			if _, err := readIDX(b[:n], 2, 3); err == nil {
				t.Errorf("%s cut to %d of %d bytes was accepted", name, n, len(b))
			}
		}
	}
	b := zip(plain)
	for i := range b {
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			if px, err := readIDX(c, 2, 3); err == nil && !bytes.Equal(px, []byte{1, 2, 3, 4, 5, 6}) {
				t.Errorf("bit %d of byte %d turned: other pixels, no error", bit, i)
			}
		}
	}
}

// FuzzIDX: whatever the file, the elements are all there or there is an error.
func FuzzIDX(f *testing.F) {
	f.Add(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3))
	f.Add(zip(idx([]byte{1, 2, 3, 4, 5, 6}, 2, 3)))
	f.Add(idx(nil, 0xffffffff, 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		if px, err := readIDX(b, 2, 3); err == nil && len(px) != 6 {
			t.Errorf("%d elements of 2 x 3, and no error", len(px))
		}
	})
}
