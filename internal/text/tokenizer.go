package text

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/model/wordpiece"

	"dla/internal/kernel"
)

// Tokenizer gives the ids of a sentence as its model was trained on them: between the model's first and
// last token, [CLS] and [SEP] of BERT or <s> and </s> of MPNet, the WordPiece tokens of the words. Any
// number of goroutines may share one.
//
// WordPiece (Schuster and Nakajima 2012, https://doi.org/10.1109/ICASSP.2012.6289079) takes the longest
// token of the vocabulary that a word begins with, then of the rest; a word that cannot be taken apart so,
// or has more than 100 characters, is [UNK]. That much is the library's; what surrounds it there differs
// from the reference (accents, white space, special tokens in the text) and is done here instead.
type Tokenizer struct {
	model       wordpiece.WordPiece
	normalizer  normalizer
	raw, folded marks // the tokens that are looked for as they stand: before normalising and after
	first, last int32
	vocabulary  int
	maxLength   int
	fingerprint string
}

// Vocabulary returns the number of ids; each id is smaller.
func (t *Tokenizer) Vocabulary() int { return t.vocabulary }

// MaxLength returns the number of tokens to which a sentence is cut, the first and the last included.
func (t *Tokenizer) MaxLength() int { return t.maxLength }

// Fingerprint returns a SHA-256 (hex) of everything that the ids depend on.
func (t *Tokenizer) Fingerprint() string { return t.fingerprint }

// Encode returns the ids of s; if there are more than MaxLength, the first MaxLength-1 and the last. Bytes that are
// not UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(s string) []int32 {
	e := encoding{Tokenizer: t, ids: append(make([]int32, 0, 8+len(s)/3), t.first)}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	t.raw.split(s, e.id, func(plain string) bool {
		return t.folded.split(t.normalizer.apply(plain), e.id, func(plain string) bool { return words(plain, e.word) })
	})
	return append(e.ids[:min(len(e.ids), t.maxLength-1)], t.last)
}

// Cut reports whether Encode drops tokens of s, because it has more than MaxLength.
func (t *Tokenizer) Cut(s string) bool {
	longer := *t
	longer.maxLength++
	return len(longer.Encode(s)) > t.maxLength
}

// encoding is a sentence being encoded.
type encoding struct {
	*Tokenizer
	ids []int32
}

// id adds an id and says whether there is room for more.
func (e *encoding) id(id int32) bool {
	e.ids = append(e.ids, id)
	return len(e.ids) < e.maxLength-1
}

// word adds the ids of a word and says whether there is room for more.
func (e *encoding) word(w string) bool {
	tokens, _ := e.model.Tokenize(w) // its one error is a vocabulary without the unknown token, which Load refuses
	for _, k := range tokens {
		e.ids = append(e.ids, int32(k.Id))
	}
	return len(e.ids) < e.maxLength-1
}

// Pack encodes sentences on all threads and lays them end to end with their labels. If labels is nil, all labels are
// 0.
func (t *Tokenizer) Pack(sentences []string, labels []int32) *Packed {
	if labels == nil {
		labels = make([]int32, len(sentences))
	}
	if len(labels) != len(sentences) {
		panic(fmt.Sprintf("text: %d labels of %d sentences", len(labels), len(sentences)))
	}
	p := packing{t, sentences, make([][]int32, len(sentences))}
	kernel.Run(&p, (len(sentences)+packedAtOnce-1)/packedAtOnce)
	tokens := 0
	for _, ids := range p.ids {
		tokens += len(ids)
	}
	all := NewPacked(tokens, len(sentences))
	for i, ids := range p.ids {
		all.Add(ids, labels[i], int32(i))
	}
	return all
}

// packedAtOnce is the sentences of a chunk: enough to be worth a thread's while.
const packedAtOnce = 32

type packing struct {
	t         *Tokenizer
	sentences []string
	ids       [][]int32
}

// Chunk encodes some of the sentences.
func (p *packing) Chunk(i int) {
	for j := i * packedAtOnce; j < min((i+1)*packedAtOnce, len(p.sentences)); j++ {
		p.ids[j] = p.t.Encode(p.sentences[j])
	}
}

// mark is a token that stands for itself wherever its content stands in a text.
type mark struct {
	content string
	id      int32
}

// marks finds tokens in a text: of those that begin first the longest, as the reference does. White space
// beside one, which some take along (lstrip), makes no difference where words end at white space.
type marks struct {
	longest []mark    // the longest first
	begins  [256]bool // the bytes that one begins with
}

func newMarks(all []mark) marks {
	m := marks{longest: slices.SortedStableFunc(slices.Values(all),
		func(a, b mark) int { return cmp.Compare(len(b.content), len(a.content)) })}
	for _, k := range all {
		m.begins[k.content[0]] = true
	}
	return m
}

// split calls hit for every token that is found in s and plain for every stretch between, in order, until
// one of them returns false, which split returns then.
func (m *marks) split(s string, hit func(id int32) bool, plain func(s string) bool) bool {
	start := 0 // of what is not yet handed on
	for i := 0; i < len(s); {
		at := -1
		if m.begins[s[i]] {
			at = slices.IndexFunc(m.longest, func(k mark) bool { return strings.HasPrefix(s[i:], k.content) })
		}
		if at < 0 {
			i++
			continue
		}
		if start < i && !plain(s[start:i]) || !hit(m.longest[at].id) {
			return false
		}
		i += len(m.longest[at].content)
		start = i
	}
	return start == len(s) || plain(s[start:])
}
