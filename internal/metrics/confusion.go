package metrics

import "fmt"

// Confusion counts the samples of a test by their class (rows) and by the class that a classifier gave them (columns).
type Confusion [][]int

// NewConfusion counts the samples of n classes.
func NewConfusion(n int, labels, predicted []int32) (Confusion, error) {
	if len(labels) != len(predicted) {
		return nil, fmt.Errorf("%d labels and %d predictions", len(labels), len(predicted))
	}
	c := make(Confusion, n)
	for i := range c {
		c[i] = make([]int, n)
	}
	for i, l := range labels {
		p := predicted[i]
		if l < 0 || int(l) >= n || p < 0 || int(p) >= n {
			return nil, fmt.Errorf("sample %d has the label %d and the prediction %d, of %d classes", i, l, p, n)
		}
		c[l][p]++
	}
	return c, nil
}

// ClassScores are the measures of a class. Precision is the share of the samples predicted to be of the class that are;
// Recall the share of its samples that are predicted to be; F1 their harmonic mean. Of nothing a share is 0, as in
// scikit-learn.
type ClassScores struct {
	N         int     `json:"n"`         // samples of the class
	Predicted int     `json:"predicted"` // samples that were predicted to be of it
	Correct   int     `json:"correct"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// ByClass returns the measures of each class.
func (c Confusion) ByClass() []ClassScores {
	all := make([]ClassScores, len(c))
	for i, row := range c {
		s := &all[i]
		for j, n := range row {
			s.N += n
			s.Predicted += c[j][i]
		}
		s.Correct = row[i]
		s.Precision, s.Recall = share(s.Correct, s.Predicted), share(s.Correct, s.N)
		s.F1 = share(2*s.Correct, s.N+s.Predicted)
	}
	return all
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// Averages are means over classes, each weighing the same.
type Averages struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Macro returns the means over the classes that occur among the labels or the predictions, as scikit-learn has them by
// default.
func Macro(all []ClassScores) Averages {
	var a Averages
	n := 0.0
	for _, s := range all {
		if s.N+s.Predicted > 0 {
			a.Precision, a.Recall, a.F1, n = a.Precision+s.Precision, a.Recall+s.Recall, a.F1+s.F1, n+1
		}
	}
	n = max(n, 1)
	return Averages{a.Precision / n, a.Recall / n, a.F1 / n}
}
