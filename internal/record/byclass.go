package record

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"

	"dla/internal/metrics"
	"dla/internal/run"
)

// WidePredictions is the name of the file of predictions that have two bytes each: see metrics.Predictions.
const WidePredictions = "test_predictions16.bin"

// ByClass holds the measures of each class on the test set.
type ByClass struct {
	Macro     metrics.Averages `json:"macro"`
	Classes   []Class          `json:"classes"`
	Confusion run.Attachment   `json:"confusion"` // counts, as CSV: a row a class, a column a predicted class
}

// Class holds the measures of a class.
type Class struct {
	Name string `json:"name"`
	metrics.ClassScores
}

// NewByClass returns the measures of classes with the given names, and the file of their confusion matrix.
func NewByClass(names []string, c metrics.Confusion) (*ByClass, []byte, error) {
	if len(names) != len(c) {
		return nil, nil, fmt.Errorf("%d names of %d classes", len(names), len(c))
	}
	all := c.ByClass()
	b := &ByClass{Macro: metrics.Macro(all)}
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	_ = w.Write(append([]string{"class"}, names...)) // a buffer never fails
	for i, s := range all {
		b.Classes = append(b.Classes, Class{names[i], s})
		row := []string{names[i]}
		for _, n := range c[i] {
			row = append(row, strconv.Itoa(n))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return b, file.Bytes(), nil
}

// ReadConfusion reads the file that NewByClass made.
func ReadConfusion(b []byte) (names []string, c metrics.Confusion, err error) {
	r := csv.NewReader(bytes.NewReader(b))
	head, err := r.Read()
	if err != nil || len(head) < 2 {
		return nil, nil, errors.New("is no confusion matrix")
	}
	names = head[1:]
	for {
		row, err := r.Read()
		if err != nil || len(c) == len(names) {
			break
		}
		counts := make([]int, len(names))
		for j := range counts {
			if counts[j], err = strconv.Atoi(row[1+j]); err != nil || counts[j] < 0 {
				return nil, nil, fmt.Errorf("row %d of the confusion matrix holds %.20q, want a count", len(c)+1, row[1+j])
			}
		}
		c = append(c, counts)
	}
	if len(c) != len(names) {
		return nil, nil, fmt.Errorf("the confusion matrix has %d rows of %d classes", len(c), len(names))
	}
	return names, c, nil
}
