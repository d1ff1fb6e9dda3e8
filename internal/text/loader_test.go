package text

import (
	"slices"
	"strings"
	"testing"
)

// numbered is n sentences of 1 to 9 tokens; the first token is the sentence's number, as its label is.
func numbered(n int) *Packed {
	p := NewPacked(9*n, n)
	for i := range int32(n) {
		ids := make([]int32, 1+(i*7)%9)
		ids[0] = i
		p.Add(ids, i, i)
	}
	return p
}

// room is a batch for what l gives, and no more.
func room(l *Loader) *Packed { return NewPacked(l.MaxTokens(), l.MaxSentences()) }

// TestLoaderPacks: every sentence once an epoch, whole, with its label and place; no batch beyond its
// limits, and none that could have taken the next sentence too.
func TestLoaderPacks(t *testing.T) {
	all := numbered(100)
	var some []int32
	for i := int32(3); i < 100; i += 2 {
		some = append(some, i)
	}
	for _, lim := range []Limits{{Sentences: 8}, {Tokens: 9}, {Tokens: 40}, {Tokens: 40, Sentences: 6}, {Sentences: 1000},
		{Tokens: 1 << 20}} {
		for _, shuffle := range []bool{false, true} {
			l, err := NewLoader(all, some, lim, shuffle, 5)
			if err != nil {
				t.Fatal(err)
			}
			b := room(l)
			for epoch := range 3 {
				var seen []int32
				before, beforeTokens := 0, 0
				for step := range l.Steps(epoch) {
					l.Batch(epoch, step, b)
					if b.Len() == 0 {
						t.Fatalf("%+v: an empty batch", lim)
					}
					if b.Tokens() > l.MaxTokens() || lim.Tokens > 0 && b.Tokens() > lim.Tokens {
						t.Fatalf("%+v: a batch of %d tokens, where the most is %d", lim, b.Tokens(), l.MaxTokens())
					}
					if lim.Sentences > 0 && b.Len() > lim.Sentences {
						t.Fatalf("%+v: a batch of %d sentences", lim, b.Len())
					}
					if step > 0 && before != lim.Sentences && beforeTokens+len(b.Sentence(0)) <= lim.Tokens {
						t.Errorf("%+v: batch %d could have taken a sentence more", lim, step-1)
					}
					before, beforeTokens = b.Len(), b.Tokens()
					for i := range b.Len() {
						at := some[b.Index[i]]
						if !slices.Equal(b.Sentence(i), all.Sentence(int(at))) || b.Labels[i] != at {
							t.Fatalf("%+v: sentence %d is %v with label %d", lim, at, b.Sentence(i), b.Labels[i])
						}
						for j, p := range b.Positions[b.Offsets[i]:b.Offsets[i+1]] {
							if int(p) != j {
								t.Fatalf("position %d of token %d", p, j)
							}
						}
						seen = append(seen, at)
					}
				}
				if !shuffle && !slices.Equal(seen, some) {
					t.Errorf("%+v: the order is %v", lim, seen)
				}
				if slices.Sort(seen); !slices.Equal(seen, some) {
					t.Errorf("%+v, epoch %d: the sentences are %v", lim, epoch, seen)
				}
			}
		}
	}
}

// TestLoaderIsAFunctionOfEpochAndStep: asked in any order, by any loader of the seed, a batch is the same.
func TestLoaderIsAFunctionOfEpochAndStep(t *testing.T) {
	all := numbered(60)
	loader := func(seed uint64) *Loader {
		l, err := NewLoader(all, all.Index, Limits{Tokens: 50}, true, seed)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	batch := func(l *Loader, epoch, step int) []int32 {
		b := room(l)
		l.Batch(epoch, step, b)
		return b.Index
	}
	l := loader(1)
	first := batch(l, 2, 3)
	batch(l, 0, 0)
	if again := batch(l, 2, 3); !slices.Equal(first, again) || !slices.Equal(first, batch(loader(1), 2, 3)) {
		t.Errorf("batch 3 of epoch 2 is %v, then %v", first, again)
	}
	if slices.Equal(first, batch(l, 1, 3)) || slices.Equal(first, batch(loader(2), 2, 3)) {
		t.Error("another epoch or another seed has the same order")
	}
}

func TestLoaderDoesNotAllocate(t *testing.T) {
	all := numbered(60)
	l, err := NewLoader(all, all.Index, Limits{Tokens: 50}, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := room(l)
	if n := testing.AllocsPerRun(20, func() { l.Batch(2, 1, b) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestLoaderMistakes(t *testing.T) {
	all := numbered(10)
	for want, lim := range map[string]Limits{"at least one of the two": {}, "neither below": {Tokens: -1, Sentences: 3},
		"more than the 8 of a batch": {Tokens: 8}} {
		if _, err := NewLoader(all, all.Index, lim, false, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", lim, err, want)
		}
	}
	l, err := NewLoader(all, nil, Limits{Tokens: 8}, true, 0)
	if err != nil || l.Len() != 0 || l.Steps(0) != 0 || l.MaxTokens() != 0 {
		t.Errorf("no sentences: %d batches of %d tokens, error %v", l.Steps(0), l.MaxTokens(), err)
	}
	if l, err = NewLoader(all, all.Index, Limits{Sentences: 4}, true, 0); err != nil {
		t.Fatal(err)
	}
	for _, small := range []*Packed{NewPacked(3, 4), NewPacked(100, 3)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a batch without room was filled")
				}
			}()
			l.Batch(0, 0, small)
		}()
	}
}
