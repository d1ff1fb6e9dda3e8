package data

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// DecodeText decodes the text of a file: UTF-8, UTF-16 with a byte-order mark, or, where it is not UTF-8,
// Windows-1252. That is the encoding of older Windows programs, and but for control characters it includes Latin-1.
// encoding names the one found. A byte-order mark is left out. Bytes that are not text, or UTF-8 only in part, are an
// error that says where.
func DecodeText(b []byte) (text, encoding string, err error) {
	body, marked := bytes.CutPrefix(b, []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff")):
		return "", "", errors.New("is text in UTF-32; save it as UTF-8")
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		text, err = decodeUTF16(b[2:], func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 })
		return text, "UTF-16", err
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		text, err = decodeUTF16(b[2:], func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 })
		return text, "UTF-16", err
	}
	if at := bytes.IndexByte(body, 0); at >= 0 {
		return "", "", fmt.Errorf("line %d holds a NUL byte, so it is not text, or UTF-16 without a byte-order mark; save it as UTF-8", lineOf(body, at))
	}
	wrong, multi := firstOf(body)
	switch {
	case wrong < 0:
		return string(body), "UTF-8", nil
	case marked || multi >= 0:
		return "", "", fmt.Errorf("line %d is not UTF-8, as the rest is; save all of it as UTF-8", lineOf(body, wrong))
	}
	var s strings.Builder
	for i, c := range body {
		r := charmap.Windows1252.DecodeByte(c)
		if r == utf8.RuneError || r < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1a", r) {
			return "", "", fmt.Errorf("line %d holds the byte 0x%02x, which is text neither in UTF-8 nor in Windows-1252; save it as UTF-8", lineOf(body, i), c)
		}
		s.WriteRune(r)
	}
	return s.String(), "Windows-1252", nil
}

// firstOf is where b has its first byte that is not UTF-8, and its first character of several bytes that is; -1
// where there is none. A stretch of Windows-1252 reads as UTF-8 by accident only: as Ã©.
func firstOf(b []byte) (wrong, multi int) {
	wrong, multi = -1, -1
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			if wrong < 0 {
				wrong = i
			}
		case size > 1 && multi < 0:
			multi = i
		}
		i += size
	}
	return wrong, multi
}

// decodeUTF16 decodes b, whose units are read by unit.
func decodeUTF16(b []byte, unit func([]byte) uint16) (string, error) {
	var s strings.Builder
	line := 1
	for i := 0; i < len(b); i += 2 {
		if i+1 == len(b) {
			return "", fmt.Errorf("is UTF-16 that ends within a character of line %d; fetch it again, or save it as UTF-8", line)
		}
		r := rune(unit(b[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i+4 <= len(b) {
				low = rune(unit(b[i+2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return "", fmt.Errorf("line %d holds half a character of UTF-16; save it as UTF-8", line)
			}
			i += 2
		}
		switch r {
		case '\n':
			line++
		case 0:
			return "", fmt.Errorf("line %d holds a NUL character, so it is not text", line)
		}
		s.WriteRune(r)
	}
	return s.String(), nil
}

// lineOf is the number of the line, from 1, that byte at of b is in.
func lineOf(b []byte, at int) int { return 1 + bytes.Count(b[:at], []byte("\n")) }
