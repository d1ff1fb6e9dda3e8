package text

import (
	"fmt"
	"slices"

	"dla/internal/rng"
)

// Limits bound a batch: it takes sentences as long as it has at most Tokens tokens and at most Sentences sentences. 0
// is no limit; one of the two must be set.
type Limits struct {
	Tokens, Sentences int
}

// Loader gives the batches of some sentences. What a batch holds is a pure function of (seed, epoch,
// step), so there is no position to save. There is no grouping by length: it would save padding, of
// which there is none.
type Loader struct {
	all     *Packed
	index   []int32 // of all: the sentences of this loader
	limits  Limits
	shuffle bool
	seed    uint64
	tokens  int // the most that a batch may have

	epoch  int     // that order and starts are of; -1: none yet
	order  []int32 // of index
	starts []int32 // of order: where each batch begins, and the end
}

// NewLoader gives batches of the sentences index of all, in a new random order each epoch if shuffle.
// A sentence with more tokens than a batch may have is an error.
func NewLoader(all *Packed, index []int32, limits Limits, shuffle bool, seed uint64) (*Loader, error) {
	if limits.Tokens < 0 || limits.Sentences < 0 || limits == (Limits{}) {
		return nil, fmt.Errorf("a batch of at most %d tokens and %d sentences: at least one of the two must be above 0, neither below", limits.Tokens, limits.Sentences)
	}
	lengths := make([]int, len(index))
	for i, at := range index {
		if lengths[i] = len(all.Sentence(int(at))); limits.Tokens > 0 && lengths[i] > limits.Tokens {
			return nil, fmt.Errorf("sentence %d has %d tokens, more than the %d of a batch; raise that number or shorten the sentences", at, lengths[i], limits.Tokens)
		}
	}
	l := &Loader{all: all, index: index, limits: limits, shuffle: shuffle, seed: seed, epoch: -1,
		order: make([]int32, len(index))}
	slices.SortFunc(lengths, func(a, b int) int { return b - a })
	for _, n := range lengths[:l.MaxSentences()] {
		l.tokens += n
	}
	if limits.Tokens > 0 {
		l.tokens = min(l.tokens, limits.Tokens)
	}
	for i := range l.order {
		l.order[i] = int32(i)
	}
	return l, nil
}

// Len is the number of sentences in an epoch.
func (l *Loader) Len() int { return len(l.index) }

// MaxTokens returns an upper bound of the tokens of a batch, for any order of the sentences: a batch needs room for
// them.
func (l *Loader) MaxTokens() int { return l.tokens }

// MaxSentences returns the same bound of the sentences.
func (l *Loader) MaxSentences() int {
	if l.limits.Sentences > 0 {
		return min(l.limits.Sentences, len(l.index))
	}
	return len(l.index)
}

// Steps returns the number of batches in epoch, from 0. It is the same in all epochs, unless tokens are limited and
// the order is random.
func (l *Loader) Steps(epoch int) int {
	l.begin(epoch)
	return len(l.starts) - 1
}

// begin puts the sentences into epoch's order and batches.
func (l *Loader) begin(epoch int) {
	if epoch == l.epoch || l.epoch >= 0 && !l.shuffle {
		return
	}
	if l.shuffle {
		r := rng.New(l.seed, "shuffle", uint64(epoch), 0)
		r.Perm(l.order)
	}
	l.epoch, l.starts = epoch, l.starts[:0]
	var tokens, sentences int
	for i, at := range l.order {
		n := len(l.all.Sentence(int(l.index[at])))
		full := l.limits.Tokens > 0 && tokens+n > l.limits.Tokens || l.limits.Sentences > 0 && sentences == l.limits.Sentences
		if i == 0 || full {
			l.starts, tokens, sentences = append(l.starts, int32(i)), 0, 0
		}
		tokens, sentences = tokens+n, sentences+1
	}
	l.starts = append(l.starts, int32(len(l.order)))
}

// Batch fills b with batch step of epoch, both from 0. It panics where b has no room or the epoch no
// such step: mistakes of the caller.
func (l *Loader) Batch(epoch, step int, b *Packed) {
	l.begin(epoch)
	b.clear()
	for _, place := range l.order[l.starts[step]:l.starts[step+1]] {
		at := l.index[place]
		b.Add(l.all.Sentence(int(at)), l.all.Labels[at], place)
	}
}
