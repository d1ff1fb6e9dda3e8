package tensorboard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// at returns a time in seconds since 1970.
func at(seconds float64) time.Time { return time.UnixMilli(int64(1000 * seconds)) }

// golden returns the events of testdata/golden.py.
func golden(t *testing.T) Log {
	t.Helper()
	png, err := hex.DecodeString("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8" +
		"ffbf1e000584027f8c6a8c4f0000000049454e44ae426082")
	if err != nil {
		t.Fatal(err)
	}
	l := New(at(1000.5))
	l.Begin(at(1000.5), map[string]any{"train.lr": 0.1, "train.nesterov": false, "model.name": "mlp"})
	l.Text(at(1000.5), 0, "config", "    train:\n      lr: 0.1 é\n")
	l.Scalars(at(1001.25), 1, []Scalar{{"loss/train", 0.5}, {"accuracy/train", 0.875}})
	l.Scalars(at(1002), 300, []Scalar{{"loss/train", math.NaN()}})
	l.Image(at(1002), 300, "figures/loss", png, 1, 1)
	l.End(at(1003), false)
	return l
}

// TestGolden: the same events as TensorBoard's own writer writes them are the same bytes.
func TestGolden(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "golden.tfevents"))
	if err != nil {
		t.Fatal(err)
	}
	got := golden(t)
	wants, gots := records(t, want), records(t, got)
	for i := range min(len(wants), len(gots)) {
		if !bytes.Equal(gots[i], wants[i]) {
			t.Errorf("event %d:\n%x\nwant\n%x", i, gots[i], wants[i])
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes in %d events, want %d in %d", len(got), len(gots), len(want), len(wants))
	}
}

// records reads an event file bit by bit, by the definition of CRC-32C.
func records(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	crc := func(b []byte) uint32 {
		c := ^uint32(0)
		for _, v := range b {
			c ^= uint32(v)
			for range 8 {
				c = c>>1 ^ 0x82f63b78*(c&1)
			}
		}
		c = ^c
		return (c>>15 | c<<17) + 0xa282ead8
	}
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint64(b))
		if got, want := binary.LittleEndian.Uint32(b[8:]), crc(b[:8]); got != want {
			t.Fatalf("CRC of the length of record %d: %x, want %x", len(all), got, want)
		}
		data := b[12 : 12+n]
		if got, want := binary.LittleEndian.Uint32(b[12+n:]), crc(data); got != want {
			t.Fatalf("CRC of record %d: %x, want %x", len(all), got, want)
		}
		all, b = append(all, data), b[16+n:]
	}
	return all
}

// TestScalarsReadBack reads scalars from the wire format again.
func TestScalarsReadBack(t *testing.T) {
	l := New(at(1))
	l.Scalars(at(2.5), 7, []Scalar{{"a/b", 0.1}, {"bad \xff name", -3}})
	l.Scalars(at(3), 8, nil) // no event
	all := records(t, l)
	if len(all) != 2 {
		t.Fatalf("%d events", len(all))
	}
	field := func(b []byte, want protowire.Number) []byte {
		for len(b) > 0 {
			num, kind, n := protowire.ConsumeTag(b)
			size := protowire.ConsumeFieldValue(num, kind, b[n:])
			if size < 0 {
				t.Fatalf("no message: %x", b)
			}
			if num == want {
				return b[n : n+size]
			}
			b = b[n+size:]
		}
		t.Fatalf("field %d is missing", want)
		return nil
	}
	if v := math.Float64frombits(binary.LittleEndian.Uint64(field(all[1], 1))); v != 2.5 {
		t.Errorf("time %v", v)
	}
	if step, _ := protowire.ConsumeVarint(field(all[1], 2)); step != 7 {
		t.Errorf("step %d", step)
	}
	summary, _ := protowire.ConsumeBytes(field(all[1], 5))
	value, _ := protowire.ConsumeBytes(field(summary, 1))
	if tag, _ := protowire.ConsumeString(field(value, 1)); tag != "a/b" {
		t.Errorf("tag %q", tag)
	}
	if v := math.Float32frombits(binary.LittleEndian.Uint32(field(value, 2))); v != 0.1 {
		t.Errorf("value %v", v)
	}
	if !bytes.Contains(summary, []byte("bad \uFFFD name")) {
		t.Errorf("a tag that is not UTF-8 in %x", summary)
	}
}

// TestContinue cuts a file at every byte, damages it at every byte and adds what does not belong: what is there and
// what is appended give the whole file again, with the times that were there.
func TestContinue(t *testing.T) {
	full := func(shift float64) Log {
		l := New(at(1 + shift))
		l.Text(at(2+shift), 0, "config", "x")
		for epoch := 1; epoch <= 3; epoch++ {
			l.Scalars(at(3+shift+float64(epoch)), epoch, []Scalar{{"loss", 1 / float64(epoch)}})
		}
		return l
	}
	old, now := full(0), full(0.5)
	join := func(b []byte) []byte {
		keep, rest := Continue(b, now)
		if keep > len(b) || !bytes.Equal(b[:keep], old[:keep]) {
			t.Fatalf("%d of %d bytes stay", keep, len(b))
		}
		return append(slices.Clone(b[:keep]), rest...)
	}
	check := func(what string, i int, b []byte) {
		t.Helper()
		got := records(t, join(b))
		want := records(t, now)
		if len(got) != len(want) {
			t.Fatalf("%s %d: %d events, want %d", what, i, len(got), len(want))
		}
		for k := range got {
			if !bytes.Equal(got[k][timeSize:], want[k][timeSize:]) {
				t.Fatalf("%s %d: event %d is %x", what, i, k, got[k])
			}
		}
	}
	for i := range len(old) + 1 {
		check("cut at", i, old[:i])
	}
	for i := range old {
		b := slices.Clone(old)
		b[i] ^= 1 << (i % 8)
		if keep, _ := Continue(b, now); keep > i+timeSize+12 {
			t.Errorf("damage at %d: %d bytes stay", i, keep)
		}
		check("zeros after", i, append(slices.Clone(old[:i]), make([]byte, 100)...))
	}
	more := slices.Clone(old)
	more.Scalars(at(9), 4, []Scalar{{"loss", 0.1}}) // an epoch after the checkpoint
	check("an epoch too many", 0, more)
	if keep, rest := Continue(old, now); keep != len(old) || len(rest) != 0 {
		t.Errorf("of a whole file %d bytes stay and %d follow", keep, len(rest))
	}
	if got := len(records(t, old)); got != 5 {
		t.Errorf("%d events", got)
	}
}

func TestFileName(t *testing.T) {
	name := FileName(at(1e9))
	if !IsFileName(name) || name[:29] != "events.out.tfevents.100000000" || IsFileName("metrics.jsonl") {
		t.Error(name)
	}
}
