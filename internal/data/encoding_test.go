package data

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// utf16Of is s in UTF-16 with a byte-order mark.
func utf16Of(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func TestDecodeText(t *testing.T) {
	const text = "one cliché\nnaïve , and “light” €…\n"
	for _, c := range []struct {
		name, in, text, encoding string
	}{
		{"nothing", "", "", "UTF-8"},
		{"ASCII", "good\n", "good\n", "UTF-8"},
		{"UTF-8", text, text, "UTF-8"},
		{"UTF-8 with a mark", "\xef\xbb\xbf" + text, text, "UTF-8"},
		{"a mark alone", "\xef\xbb\xbf", "", "UTF-8"},
		{"Windows-1252", "one clich\xe9\nna\xefve , and \x93light\x94 \x80\x85\n", text, "Windows-1252"},
		{"UTF-16", string(utf16Of(text+"🎬\r\n", false)), text + "🎬\r\n", "UTF-16"},
		{"UTF-16, big end first", string(utf16Of(text+"🎬", true)), text + "🎬", "UTF-16"},
		{"U+FFFD is a character", "a\ufffdb", "a\ufffdb", "UTF-8"},
	} {
		got, encoding, err := DecodeText([]byte(c.in))
		if err != nil || got != c.text || encoding != c.encoding {
			t.Errorf("%s: %q in %s, %v", c.name, got, encoding, err)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"binary", "\x89PNG\r\n\x1a\n\x00\x00", "line 3 holds a NUL byte"},
		{"UTF-16 without a mark", "g\x00o\x00",
			"line 1 holds a NUL byte, so it is not text, or UTF-16 without a byte-order mark; save it as UTF-8"},
		{"binary without NULs", "ab\n\x1f\x8b\x08\xff", "line 2 holds the byte 0x1f"},
		{"a byte Windows-1252 has no letter for", "a\nb\n\x81\xe9\n", "line 3 holds the byte 0x81"},
		{"part UTF-8", "é\nb\nclich\xe9\n", "line 3 is not UTF-8, as the rest is"},
		{"a mark of UTF-8, and not", "\xef\xbb\xbfa\nclich\xe9\n", "line 2 is not UTF-8"},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", "UTF-32"},
		{"half a unit", string(utf16Of("a\nb", false)) + "c", "ends within a character of line 2"},
		{"half a pair", string(utf16Of("a\n", false)) + "\x00\xd8b\x00", "line 2 holds half a character"},
		{"half a pair at the end", string(utf16Of("a", false)) + "\x00\xd8", "line 1 holds half a character"},
		{"NULs in UTF-16", string(utf16Of("a\x00", false)), "line 1 holds a NUL"},
	} {
		if got, _, err := DecodeText([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, error %v, want %q", c.name, got, err, c.want)
		}
	}
}

// TestOpenText: a file that is read in parts gives what DecodeText gives.
func TestOpenText(t *testing.T) {
	long := strings.Repeat("naïve , and “light” €…\n", 9000)
	var windows []byte
	for _, r := range long {
		b, _ := charmap.Windows1252.EncodeRune(r)
		windows = append(windows, b)
	}
	for _, b := range [][]byte{[]byte(long), []byte("\xef\xbb\xbf" + long), utf16Of(long+"🎬", true), utf16Of(long, false),
		windows} {
		want, encoding, err := DecodeText(b)
		r, as, err2 := openText(bytes.NewReader(b))
		if err != nil || err2 != nil || as != encoding {
			t.Fatalf("%s and %s, errors %v, %v", encoding, as, err, err2)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want || !strings.HasPrefix(want, long) {
			t.Errorf("%s: error %v, %d bytes, want %d", as, err, len(got), len(want))
		}
	}
}
