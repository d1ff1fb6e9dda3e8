package data

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"dla/internal/rng"
)

// SyntheticSentences is the name of the built-in set of sentences: made-up reviews in which words of praise,
// or of blame, outnumber the others. It serves tests and first tries where Rotten Tomatoes is not at hand, is
// easier and says nothing about it.
const SyntheticSentences = "synthetic-sentences"

const (
	sentencesTrain, sentencesRest = 1000, 200 // of the training part, and of each of the others
	sentencesSeed                 = 20260101
)

// The words of made-up reviews. Three of sentimentWords are in each, two of the class and one of either.
var (
	sentimentWords = [2][]string{
		{"dull", "awful", "bland", "clumsy", "tedious", "shallow", "noisy", "stale"},
		{"bright", "moving", "clever", "tender", "vivid", "graceful", "funny", "fresh"},
	}
	reviewParts = []string{"plot", "cast", "music", "ending", "script", "camera", "story", "hero"}
)

// syntheticSentences makes the whole set.
func syntheticSentences() *Sentences {
	s := &Sentences{Name: SyntheticSentences, Classes: polarityClasses, Source: "made up, seeded", Synthetic: true}
	var fingerprint []byte
	for i := range sentencesTrain + 2*sentencesRest {
		r := rng.New(sentencesSeed, SyntheticSentences, 0, uint64(i))
		class := i % 2
		words := []int{class, class, r.IntN(2)}
		var clauses []string
		for j := range words {
			k := j + r.IntN(len(words)-j)
			words[j], words[k] = words[k], words[j]
			of := sentimentWords[words[j]]
			clauses = append(clauses, "the "+reviewParts[r.IntN(len(reviewParts))]+" is "+of[r.IntN(len(of))])
		}
		text := strings.Join(clauses, " and ") + " ."
		fingerprint = append(append(fingerprint, byte('0'+class), '\t'), text+"\n"...)
		s.Text, s.Labels = append(s.Text, text), append(s.Labels, int32(class))
		switch at := int32(i); {
		case i < sentencesTrain:
			s.Train = append(s.Train, at)
		case i < sentencesTrain+sentencesRest:
			s.Val = append(s.Val, at)
		default:
			s.Test = append(s.Test, at)
		}
	}
	sum := sha256.Sum256(fingerprint)
	s.Fingerprint = hex.EncodeToString(sum[:])
	return s
}
