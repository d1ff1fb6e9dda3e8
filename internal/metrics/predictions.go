package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// wrong is the bit of a prediction that is not the label's. With it predictions can be compared where
// the labels are not at hand: a record of them says which were right.
const wrong = 0x8000

// Of the form of one byte a sample.
const wrongByte = 0x80

// Predictions are the classes a classifier gave to the samples of a test: the class, plus 32768 where the label is
// another.
type Predictions []uint16

// NewPredictions are those of classes, whose labels are given; classes are below 32768.
func NewPredictions(classes, labels []int32) (Predictions, error) {
	if len(classes) != len(labels) {
		return nil, fmt.Errorf("%d predictions and %d labels", len(classes), len(labels))
	}
	p := make(Predictions, len(classes))
	for i, c := range classes {
		if c < 0 || c >= wrong {
			return nil, fmt.Errorf("class %d of sample %d: only classes 0 to %d are kept", c, i, wrong-1)
		}
		p[i] = uint16(c)
		if c != labels[i] {
			p[i] |= wrong
		}
	}
	return p, nil
}

// Bytes is the form in which records keep p: a byte a sample, the class plus 128 where it is wrong, or, where a class
// is 128 or more, wide: the two bytes of the number, the lower first.
func (p Predictions) Bytes() (b []byte, wide bool) {
	for _, v := range p {
		wide = wide || v&^wrong >= wrongByte
	}
	for _, v := range p {
		switch {
		case wide:
			b = binary.LittleEndian.AppendUint16(b, v)
		case v&wrong != 0:
			b = append(b, byte(v)|wrongByte)
		default:
			b = append(b, byte(v))
		}
	}
	return b, wide
}

// ReadPredictions reads what Bytes wrote.
func ReadPredictions(b []byte, wide bool) (Predictions, error) {
	if wide && len(b)%2 != 0 {
		return nil, errors.New("half a prediction: want two bytes for each")
	}
	var p Predictions
	if wide {
		for i := 0; i < len(b); i += 2 {
			p = append(p, binary.LittleEndian.Uint16(b[i:]))
		}
		return p, nil
	}
	for _, v := range b {
		one := uint16(v &^ wrongByte)
		if v&wrongByte != 0 {
			one |= wrong
		}
		p = append(p, one)
	}
	return p, nil
}

// Correct is how many are right.
func (p Predictions) Correct() int {
	n := 0
	for _, v := range p {
		if v&wrong == 0 {
			n++
		}
	}
	return n
}

// Classes are the predicted classes.
func (p Predictions) Classes() []int32 {
	all := make([]int32, len(p))
	for i, v := range p {
		all[i] = int32(v &^ wrong)
	}
	return all
}

// Labels returns the labels of the samples where the predictions alone give them: of a right prediction the class, and
// of a wrong one the other of two classes. It fails where there are more.
func (p Predictions) Labels(classes int) (labels []int32, ok bool) {
	labels = p.Classes()
	for i, v := range p {
		if labels[i] >= int32(classes) || v&wrong != 0 && classes != 2 {
			return nil, false
		}
		if v&wrong != 0 {
			labels[i] = 1 - labels[i]
		}
	}
	return labels, true
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
