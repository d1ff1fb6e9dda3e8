package cli

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// shown escapes control characters in a command's output. The output holds names from files that others may have made,
// and a terminal acts on control characters: it would clear the screen or show one name for another. So do characters
// that turn the direction of writing. All but newline and tab are written as Go and JSON write them, \u001b, and bytes
// that are not UTF-8 as \x9b. Only progress bars and screens bypass it.
//
// It keeps the first error, so that a failed write (a full disk) is reported.
type shown struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte // incomplete character at the end of the last write
	err  error
}

// Write writes b escaped, or returns the first error of an earlier write.
func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	text := append(s.rest, b...)
	whole := len(text)
	for i := max(0, whole-utf8.UTFMax); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			whole = i
			break
		}
	}
	if _, s.err = s.w.Write(escaped(text[:whole])); s.err != nil {
		return 0, s.err
	}
	s.rest = slices.Clone(text[whole:])
	return len(b), nil
}

// escaped returns text with control characters escaped.
func escaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, text[i])
		case r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0, turns(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return out
}

// turns reports whether r turns the direction of the text around it, or breaks a line.
func turns(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// close writes an incomplete last character and returns the first error.
func (s *shown) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && len(s.rest) > 0 {
		_, s.err = s.w.Write(escaped(s.rest))
		s.rest = nil
	}
	return s.err
}
