package data

import (
	"context"
	"strings"
	"testing"
)

// TestSyntheticSentences: each part has both classes evenly, each sentence two words of its class at least,
// and the set is the same each time.
func TestSyntheticSentences(t *testing.T) {
	s, err := LoadSentences(context.Background(), SyntheticSentences, Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	const want = "a2edabecd267f26163c02a4b1427497a3b3cdc15a741563c5b84912967f48c40"
	if s.Fingerprint != want || !s.Synthetic {
		t.Errorf("fingerprint %s, want %s; synthetic: %v", s.Fingerprint, want, s.Synthetic)
	}
	for _, part := range [][]int32{s.Train, s.Val, s.Test} {
		positive := 0
		for _, i := range part {
			positive += int(s.Labels[i])
			n := 0
			for _, w := range sentimentWords[s.Labels[i]] {
				n += strings.Count(s.Text[i], w)
			}
			if n < 2 || strings.Count(s.Text[i], "the ") != 3 {
				t.Fatalf("%q is of class %d", s.Text[i], s.Labels[i])
			}
		}
		if 2*positive != len(part) {
			t.Errorf("%d of %d are positive", positive, len(part))
		}
	}
	if n, classes, err := DescribeSentences(s.Name); err != nil || n != len(s.Train) || classes != len(s.Classes) {
		t.Errorf("described as %d sentences of %d classes (%v)", n, classes, err)
	}
}
