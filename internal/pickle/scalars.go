package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scalar reads None, a number, a text or bytes.
func (d *decoder) scalar(op byte) (any, error) {
	switch op {
	case 'N': // NONE
		return nil, nil
	case 0x88: // NEWTRUE
		return true, nil
	case 0x89: // NEWFALSE
		return false, nil
	case 'I', 'L': // INT, LONG
		s, err := d.line(maxNumber)
		if err != nil {
			return nil, err
		}
		switch {
		case op == 'I' && s == "01":
			return true, nil
		case op == 'I' && s == "00":
			return false, nil
		}
		v, ok := new(big.Int).SetString(strings.TrimSuffix(s, "L"), 10)
		if !ok {
			return nil, fmt.Errorf("%q is no whole number", s)
		}
		return whole(v), nil
	case 'J': // BININT
		v, err := d.uint(4)
		return int64(int32(v)), err
	case 'K': // BININT1
		v, err := d.uint(1)
		return int64(v), err
	case 'M': // BININT2
		v, err := d.uint(2)
		return int64(v), err
	case 0x8a, 0x8b: // LONG1, LONG4
		n, err := d.uint(map[byte]int{0x8a: 1, 0x8b: 4}[op])
		if err == nil && n > maxNumber {
			err = fmt.Errorf("a whole number of %d bytes, want at most %d", n, maxNumber)
		}
		if err != nil {
			return nil, err
		}
		b, err := d.bytes(n)
		if err != nil {
			return nil, err
		}
		return long(b), nil
	case 'F': // FLOAT
		s, err := d.line(maxNumber)
		if err != nil {
			return nil, err
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%q is no number", s)
		}
		return v, nil
	case 'G': // BINFLOAT
		b, err := d.bytes(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case 'S': // STRING
		s, err := d.line(math.MaxInt64)
		if err != nil {
			return nil, err
		}
		return unquote(s)
	case 'T', 'U': // BINSTRING, SHORT_BINSTRING
		b, err := d.sized(map[byte]int{'T': 4, 'U': 1}[op])
		return string(b), err
	case 'V': // UNICODE
		s, err := d.line(math.MaxInt64)
		if err != nil {
			return nil, err
		}
		return unescape(s)
	case 'X', 0x8c, 0x8d: // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
		b, err := d.sized(map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8}[op])
		if err == nil && !utf8.Valid(b) {
			err = errors.New("a text is not UTF-8")
		}
		return string(b), err
	case 'B', 'C', 0x8e, 0x96: // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
		b, err := d.sized(map[byte]int{'B': 4, 'C': 1, 0x8e: 8, 0x96: 8}[op])
		return b, err
	case 0x82, 0x83, 0x84: // EXT1, EXT2, EXT4
		return nil, errors.New("it wants something of the extension registry, which is not loaded")
	case 0x97, 0x98: // NEXT_BUFFER, READONLY_BUFFER
		return nil, errors.New("it wants a buffer outside of the file")
	}
	return nil, fmt.Errorf("opcode %#x is unknown", op)
}

// whole is v as an int64 where it fits.
func whole(v *big.Int) any {
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

// long is the number of little-endian bytes in two's complement.
func long(b []byte) any {
	big1 := make([]byte, len(b))
	for i, c := range b {
		big1[len(b)-1-i] = c
	}
	v := new(big.Int).SetBytes(big1)
	if len(b) > 0 && b[len(b)-1] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return whole(v)
}

// unquote is the text that the repr of a str of Python 2 stands for.
func unquote(s string) (any, error) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return nil, errors.New("a str is not quoted")
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, errors.New("a str ends with a backslash")
		}
		switch c := s[i]; {
		case c == 'x':
			if i+2 >= len(s) {
				return nil, errors.New(`a str has \x without two digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, errors.New(`a str has \x without two digits`)
			}
			b = append(b, byte(v))
			i += 2
		case c >= '0' && c <= '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 16)
			b = append(b, byte(v))
			i += n - 1
		default:
			at := strings.IndexByte(`\'"abfnrtv`, c)
			if at < 0 {
				return nil, fmt.Errorf(`a str has the unknown escape \%c`, c)
			}
			b = append(b, "\\'\"\a\b\f\n\r\t\v"[at])
		}
	}
	return string(b), nil
}

// unescape is the text of raw-unicode-escape: latin1, and \u or \U with four or eight digits.
func unescape(s string) (any, error) {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		n := 0
		if s[i] == '\\' && i+1 < len(s) {
			n = map[byte]int{'u': 4, 'U': 8}[s[i+1]]
		}
		if n == 0 {
			b.WriteRune(rune(s[i]))
			continue
		}
		if i+2+n > len(s) {
			return nil, fmt.Errorf("a text has \\u without %d digits", n)
		}
		v, err := strconv.ParseUint(s[i+2:i+2+n], 16, 32)
		if err != nil || !utf8.ValidRune(rune(v)) {
			return nil, fmt.Errorf("a text has \\u%.8s, which is no character", s[i+2:])
		}
		b.WriteRune(rune(v))
		i += 1 + n
	}
	return b.String(), nil
}
