package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// BERT's BasicTokenizer (Devlin et al. 2019, tokenization.py in https://github.com/google-research/bert)
// as Hugging Face's tokenizers 0.22 does it in normalizers/bert.rs and pre_tokenizers/bert.rs: white space
// and control characters are cleaned, CJK characters become words of their own, accents are stripped,
// letters lower-cased; then words end at white space and each punctuation mark is a word.
//
// Which characters those are depends on the version of Unicode. The reference takes categories from
// version 8.0, white space and lower case from the latest; Go's tables are in between. So categories are
// cut down to what was assigned in 8.0, lower case is extended, and what changed its category since is
// named below. testdata/unicode.json holds the outcome for every character.

// normalizer is the steps before words are split.
type normalizer struct {
	clean, spaceCJK, strip, lower bool
}

// apply normalises s, which is valid UTF-8.
func (n normalizer) apply(s string) string {
	if !plainASCII(s) {
		if n.clean || n.spaceCJK {
			s = n.cleaned(s)
		}
		if n.strip {
			s = strings.Map(dropMark, norm.NFD.String(s))
		}
		if n.lower {
			return strings.ToLowerSpecial(laterLetters, strings.ReplaceAll(s, "İ", "i\u0307")) // the one letter whose lower case is two
		}
	} else if n.lower {
		return strings.ToLower(s)
	}
	return s
}

// plainASCII says whether s has no character that any step but lower-casing changes.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// cleaned drops control characters, makes white space spaces and sets CJK characters between spaces.
func (n normalizer) cleaned(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case n.clean && isControl(r):
		case n.clean && isSpace(r):
			b.WriteByte(' ')
		case n.spaceCJK && isCJK(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isSpace is Unicode's White_Space. Some of it are control characters too (U+0085, the vertical tab):
// cleaning drops them.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

var unicode8 = rangetable.Assigned("8.0.0")

// isControl says whether cleaning drops r. unicode.C would not do: it holds unassigned characters, which
// the reference keeps.
func isControl(r rune) bool {
	if r == '\t' || r == '\n' || r == '\r' {
		return false
	}
	return r == unicode.ReplacementChar || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && unicode.Is(unicode8, r)
}

// isCJK says whether r is of the blocks that the reference sets apart. It leaves out U+2B820 to U+2B91F.
func isCJK(r rune) bool {
	return r >= 0x3400 && (r <= 0x4DBF || r >= 0x4E00 && r <= 0x9FFF || r >= 0xF900 && r <= 0xFAFF ||
		r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF || r >= 0x2F800 &&
		r <= 0x2FA1F)
}

// dropMark drops the non-spacing marks, for strings.Map.
func dropMark(r rune) rune {
	switch r {
	case 0x1885, 0x1886, 0xA9BD, 0x111C9: // became non-spacing marks later
		return r
	case 0x1734: // was one
		return -1
	}
	if unicode.Is(unicode.Mn, r) && unicode.Is(unicode8, r) {
		return -1
	}
	return r
}

// isPunctuation says whether r is a word by itself.
func isPunctuation(r rune) bool {
	if r < 0x80 {
		return r > ' ' && r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z' && r < 0x7f
	}
	if r == 0x166D || r == 0x111C9 { // were punctuation
		return true
	}
	return unicode.Is(unicode.P, r) && unicode.Is(unicode8, r)
}

// laterLetters are capital letters that Unicode has got since Go's tables were made.
var laterLetters = unicode.SpecialCase{
	lowerBy(0x1C89, 0x1C89, 1), lowerBy(0xA7CB, 0xA7CB, 0x264-0xA7CB), lowerBy(0xA7CC, 0xA7CC, 1), lowerBy(0xA7CE, 0xA7CE,
		1),
	lowerBy(0xA7D2, 0xA7D2, 1), lowerBy(0xA7D4, 0xA7D4, 1), lowerBy(0xA7DA, 0xA7DA, 1), lowerBy(0xA7DC, 0xA7DC,
		0x19B-0xA7DC),
	lowerBy(0x10D50, 0x10D65, 0x20), lowerBy(0x16EA0, 0x16EB8, 0x1B),
}

func lowerBy(first, last uint32, by rune) unicode.CaseRange {
	var r unicode.CaseRange
	r.Lo, r.Hi, r.Delta[unicode.LowerCase] = first, last, by
	return r
}

// words calls each for every word of the normalised s until it returns false, which words returns then.
func words(s string, each func(word string) bool) bool {
	start := -1 // of the word that is being read; -1: none is
	for i, r := range s {
		space := isSpace(r)
		if !space && !isPunctuation(r) {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 && !each(s[start:i]) {
			return false
		}
		start = -1
		if !space && !each(string(r)) {
			return false
		}
	}
	return start < 0 || each(s[start:])
}
