// Package text turns sentences into token ids as Hugging Face's fast tokenizers do, and lays them end
// to end in batches that hold no padding.
package text

import "fmt"

// Packed is sentences whose tokens are laid end to end. Those of sentence i are the rows Offsets[i] to
// Offsets[i+1]: what treats tokens alike runs over all rows at once, attention over each sentence's.
type Packed struct {
	IDs       []int32 // [tokens]
	Positions []int32 // [tokens] place in the sentence, from 0; a model that counts otherwise adds its own offset
	Offsets   []int32 // [sentences+1] from 0 to the number of tokens
	Labels    []int32 // [sentences]
	Index     []int32 // [sentences] place in the set that a Loader was made for
}

// NewPacked returns an empty batch with room for that many tokens and sentences.
func NewPacked(tokens, sentences int) *Packed {
	return &Packed{
		IDs: make([]int32, 0, tokens), Positions: make([]int32, 0, tokens), Offsets: append(make([]int32, 0, sentences+1), 0),
		Labels: make([]int32, 0, sentences), Index: make([]int32, 0, sentences),
	}
}

// Len is the number of sentences.
func (p *Packed) Len() int { return len(p.Offsets) - 1 }

// Tokens is the number of tokens.
func (p *Packed) Tokens() int { return len(p.IDs) }

// Sentence returns the ids of sentence i.
func (p *Packed) Sentence(i int) []int32 { return p.IDs[p.Offsets[i]:p.Offsets[i+1]] }

// clear leaves no sentences.
func (p *Packed) clear() {
	p.IDs, p.Positions, p.Offsets, p.Labels, p.Index = p.IDs[:0], p.Positions[:0], append(p.Offsets[:0],
		0), p.Labels[:0], p.Index[:0]
}

// Take fills p with the sentences lo to hi of o, their labels and their places.
func (p *Packed) Take(o *Packed, lo, hi int) {
	p.clear()
	for i := lo; i < hi; i++ {
		p.Add(o.Sentence(i), o.Labels[i], o.Index[i])
	}
}

// Add appends a sentence. It panics if there is no room for it, which is a mistake of the caller: the memory is often
// the input of a graph, and must not be exchanged for a larger one.
func (p *Packed) Add(ids []int32, label, index int32) {
	rows := len(p.IDs) + len(ids)
	if rows > cap(p.IDs) || rows > cap(p.Positions) || len(p.Offsets) == cap(p.Offsets) ||
		len(p.Labels) == cap(p.Labels) || len(p.Index) == cap(p.Index) {
		panic(fmt.Sprintf("text: %d tokens of %d sentences do not fit a batch with room for %d tokens of %d", rows, p.Len()+1,
			min(cap(p.IDs), cap(p.Positions)), min(cap(p.Offsets)-1, cap(p.Labels), cap(p.Index))))
	}
	for i := range ids {
		p.Positions = append(p.Positions, int32(i))
	}
	p.IDs = append(p.IDs, ids...)
	p.Offsets = append(p.Offsets, int32(rows))
	p.Labels = append(p.Labels, label)
	p.Index = append(p.Index, index)
}
