package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// textEncoding is the encoding of a text.
type textEncoding struct {
	name    string
	mark    int                   // bytes of the byte-order mark
	decoder transform.Transformer // nil: the text is in UTF-8
}

// DecodeText decodes the text of a file: UTF-8, UTF-16 with a byte-order mark, or, where it is not UTF-8,
// Windows-1252. That is the encoding of older Windows programs, and but for control characters it includes Latin-1.
// encoding names the one found. A byte-order mark is left out. Bytes that are not text, or UTF-8 only in part, are an
// error that says where.
func DecodeText(b []byte) (text, encoding string, err error) {
	e, err := findEncoding(bytes.NewReader(b))
	if err != nil {
		return "", "", err
	}
	body := b[e.mark:]
	if e.decoder != nil {
		if body, _, err = transform.Bytes(e.decoder, body); err != nil {
			return "", "", err
		}
	}
	return string(body), e.name, nil
}

// openText returns a reader of the text in f, decoded as by DecodeText, and its encoding. It reads f twice, so that no
// more than a buffer of it is in memory.
func openText(f io.ReadSeeker) (r io.Reader, encoding string, err error) {
	e, err := findEncoding(f)
	if err != nil {
		return nil, "", err
	}
	if _, err := f.Seek(int64(e.mark), io.SeekStart); err != nil {
		return nil, "", err
	}
	if e.decoder == nil {
		return f, e.name, nil
	}
	return transform.NewReader(f, e.decoder), e.name, nil
}

// findEncoding reads r to its end. What is no text is an error.
func findEncoding(r io.Reader) (textEncoding, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return textEncoding{}, err
	}
	little := func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }
	big := func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 }
	marked := bytes.HasPrefix(head, []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return textEncoding{}, errors.New("is text in UTF-32; save it as UTF-8")
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		e := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
		return textEncoding{"UTF-16", 2, e.NewDecoder()}, checkUTF16(in, little)
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		e := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
		return textEncoding{"UTF-16", 2, e.NewDecoder()}, checkUTF16(in, big)
	case marked:
		_, _ = in.Discard(3) // they were peeked at
	}
	return findBytes(in, marked)
}

// findBytes tells UTF-8, with or without a mark, from Windows-1252. A stretch of Windows-1252 reads as UTF-8 by
// accident only: as Ã©.
func findBytes(in *bufio.Reader, marked bool) (textEncoding, error) {
	line, wrong, multi := 1, 0, false // wrong is the line of the first byte that is not UTF-8
	var unknown error                 // of the first byte that Windows-1252 has no character for
	for {
		r, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return textEncoding{}, err
		}
		switch {
		case r == 0:
			return textEncoding{}, fmt.Errorf("line %d holds a NUL byte, so it is not text, or UTF-16 without a "+
				"byte-order mark; save it as UTF-8", line)
		case r == utf8.RuneError && size == 1:
			if wrong == 0 {
				wrong = line
			}
			_ = in.UnreadRune() // it was just read
			b, _ := in.ReadByte()
			if charmap.Windows1252.DecodeByte(b) == utf8.RuneError && unknown == nil {
				unknown = noCharacter(line, b)
			}
		case size > 1:
			multi = true
		case r == '\n':
			line++
		case r < ' ' && !strings.ContainsRune("\t\v\f\r\x1a", r) && unknown == nil:
			unknown = noCharacter(line, byte(r))
		}
	}
	switch {
	case wrong == 0 && marked:
		return textEncoding{"UTF-8", 3, nil}, nil
	case wrong == 0:
		return textEncoding{"UTF-8", 0, nil}, nil
	case marked || multi:
		return textEncoding{}, fmt.Errorf("line %d is not UTF-8, as the rest is; save all of it as UTF-8", wrong)
	}
	return textEncoding{"Windows-1252", 0, charmap.Windows1252.NewDecoder()}, unknown
}

func noCharacter(line int, b byte) error {
	return fmt.Errorf("line %d holds the byte 0x%02x, which is text neither in UTF-8 nor in Windows-1252; save it "+
		"as UTF-8", line, b)
}

// checkUTF16 reads in, whose units are read by unit, to its end.
func checkUTF16(in io.Reader, unit func([]byte) uint16) error {
	b := make([]byte, 2)
	for line := 1; ; {
		_, err := io.ReadFull(in, b)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("is UTF-16 that ends within a character of line %d; fetch it again, or save it as UTF-8", line)
		case err != nil:
			return err
		}
		r := rune(unit(b))
		if utf16.IsSurrogate(r) {
			_, err := io.ReadFull(in, b)
			if err != nil || utf16.DecodeRune(r, rune(unit(b))) == utf8.RuneError {
				return fmt.Errorf("line %d holds half a character of UTF-16; save it as UTF-8", line)
			}
		}
		switch r {
		case '\n':
			line++
		case 0:
			return fmt.Errorf("line %d holds a NUL character, so it is not text", line)
		}
	}
}
