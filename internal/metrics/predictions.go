package metrics

import "fmt"

// wrong is the bit of a prediction that is not the label's. With it predictions can be compared where
// the labels are not at hand: a record of them says which were right.
const wrong = 0x80

// Predictions are the classes a classifier gave to the samples of a test, one byte a sample: the class,
// plus 128 where the label is another.
type Predictions []byte

// NewPredictions are those of classes, whose labels are given; both below 128.
func NewPredictions(classes, labels []int32) (Predictions, error) {
	if len(classes) != len(labels) {
		return nil, fmt.Errorf("%d predictions and %d labels", len(classes), len(labels))
	}
	p := make(Predictions, len(classes))
	for i, c := range classes {
		if c < 0 || c >= wrong {
			return nil, fmt.Errorf("class %d of sample %d: only classes 0 to %d are kept in a byte", c, i, wrong-1)
		}
		p[i] = byte(c)
		if c != labels[i] {
			p[i] |= wrong
		}
	}
	return p, nil
}

// Correct is how many are right.
func (p Predictions) Correct() int {
	n := 0
	for _, b := range p {
		if b&wrong == 0 {
			n++
		}
	}
	return n
}

// Discordant counts the samples that only p and that only o has right. They must be of the same samples.
func (p Predictions) Discordant(o Predictions) (onlyP, onlyO int, err error) {
	if len(p) != len(o) {
		return 0, 0, fmt.Errorf("predictions of %d and of %d samples are not of one test set", len(p), len(o))
	}
	for i := range p {
		switch rightP, rightO := p[i]&wrong == 0, o[i]&wrong == 0; {
		case rightP && !rightO:
			onlyP++
		case rightO && !rightP:
			onlyO++
		}
	}
	return onlyP, onlyO, nil
}
