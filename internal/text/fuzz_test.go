package text

import (
	"slices"
	"strings"
	"testing"
)

// FuzzEncode: whatever the text, all ids are the tokenizer's, a shorter limit cuts the same ids, and white
// space around changes nothing.
func FuzzEncode(f *testing.F) {
	for _, h := range hostiles(f) {
		if len(h.Text) < 1000 {
			f.Add(h.Text, uint8(len(h.Text)))
		}
	}
	tok := loadSmall(f, "mpnet", 0)
	f.Fuzz(func(t *testing.T, s string, cut uint8) {
		checkIDs(t, tok, s)
		all := untruncated(tok).Encode(s)
		short := *tok
		short.maxLength = max(3, int(cut))
		want := all
		if len(all) > short.maxLength {
			want = append(all[:short.maxLength-1:short.maxLength-1], short.last)
		}
		if got := short.Encode(s); !slices.Equal(got, want) {
			t.Errorf("%q cut to %d: %v, want %v", s, short.maxLength, got, want)
		}
		if got := untruncated(tok).Encode(" \t" + s + "\u3000\n"); !slices.Equal(got, all) {
			t.Errorf("%q between white space: %v, want %v", s, got, all)
		}
	})
}

// FuzzFolder: whatever tokenizer.json, there is an error or a tokenizer whose ids are all its own.
func FuzzFolder(f *testing.F) {
	f.Add(string(few["tokenizer.json"]), "a film [E]")
	for _, s := range smalls(f) {
		if b := s.Files["tokenizer.json"]; b != nil {
			f.Add(strings.Replace(string(b), `"vocab":"`, `"vocab":{},"x":"`, 1), "")
		}
	}
	f.Fuzz(func(t *testing.T, document, s string) {
		if tok, err := load(inMemory(map[string][]byte{"tokenizer.json": []byte(document)}), 0); err == nil {
			checkIDs(t, tok, s)
		}
	})
}
