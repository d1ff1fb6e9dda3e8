package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzSentences: whatever the input of predict is, each of its lines is a sentence of one line of UTF-8, or the error
// says what is wrong with it.
func FuzzSentences(f *testing.F) {
	for _, text := range []string{"flat\nwarm and funny\n", "\n\n", "a\r\nb\rc", "caf\xe9\n", "\xff\xfea\x00\n\x00",
		"\xfe\xff\x00a", "\xef\xbb\xbfa", "a\x00b\x1b[2J\u009b", "\u2028a\u0085b", strings.Repeat("x", maxLine+1)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer time.AfterFunc(time.Minute, func() { panic("it hangs") }).Stop()
		all, _, err := predictOptions{}.sentences(&Streams{In: bytes.NewReader(text), Err: io.Discard}, nil)
		if err != nil {
			return
		}
		some := false
		for i, s := range all {
			if !utf8.ValidString(s) || strings.Contains(s, "\n") || s != strings.TrimSpace(s) {
				t.Errorf("sentence %d is %q", i, s)
			}
			some = some || s != ""
			var shownAs bytes.Buffer
			w := &shown{w: &shownAs}
			if _, err := io.WriteString(w, oneLineOf(s)); err != nil || w.close() != nil ||
				strings.ContainsFunc(shownAs.String(), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
				t.Errorf("%q is shown as %q", s, shownAs.String())
			}
		}
		if !some {
			t.Error("there is nothing to classify, and no error")
		}
	})
}
