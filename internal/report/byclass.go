package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// Confused is the confusion matrix of a run's test, with the names of the classes.
type Confused struct {
	Names  []string
	Counts metrics.Confusion
}

// Confusion returns the confusion matrix of the classifier that r trained: the recorded one, or of an older record that
// of its predictions and of the labels beside them, or of two classes that of its predictions alone. It is nil where a
// record gives none.
func Confusion(r run.Record) (*Confused, error) {
	if _, is := own[r.Experiment]; is || r.Result == nil || r.Experiment == "lab4/autoencoder" {
		return nil, nil
	}
	res, err := resultOf(r)
	if err != nil {
		return nil, err
	}
	if res.ByClass == nil {
		return olderConfusion(r, res)
	}
	b, err := r.Attached(res.ByClass.Confusion)
	if err != nil {
		return nil, err
	}
	c := new(Confused)
	if c.Names, c.Counts, err = record.ReadConfusion(b); err != nil {
		return nil, fmt.Errorf("run %s: %s: %w; put back a good copy of the run", r.ID, res.ByClass.Confusion.File, err)
	}
	return c, nil
}

// olderConfusion is Confusion for a record without measures by class.
func olderConfusion(r run.Record, res record.Classifier) (*Confused, error) {
	names := data.ClassNames(r.Env.Data.Name)
	if res.Finetuned != nil && len(res.Finetuned.Labels) > 0 {
		names = res.Finetuned.Labels
	}
	if len(names) == 0 || res.Predictions.File == "" {
		return nil, nil
	}
	p, _, err := predictionsOf(r)
	if err != nil {
		return nil, nil //nolint:nilerr // a record without its predictions is shown without them
	}
	labels, ok := p.Labels(len(names))
	if res.TestIndex != nil {
		b, err := r.Attached(*res.TestIndex)
		if err != nil {
			return nil, err
		}
		labels, ok = indexedLabels(b)
	}
	if !ok {
		return nil, nil
	}
	counts, err := metrics.NewConfusion(len(names), labels, p.Classes())
	right := 0
	for i := range counts {
		right += counts[i][i]
	}
	if err != nil || right != p.Correct() {
		return nil, nil //nolint:nilerr // labels and predictions are not of the same images
	}
	return &Confused{names, counts}, nil
}

// indexedLabels reads the labels of a file that data.WritePlaces wrote.
func indexedLabels(b []byte) (labels []int32, ok bool) {
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, false
	}
	at := slices.Index(rows[0], "label")
	if at < 0 {
		return nil, false
	}
	for _, row := range rows[1:] {
		n, err := strconv.ParseInt(row[at], 10, 32)
		if err != nil {
			return nil, false
		}
		labels = append(labels, int32(n))
	}
	return labels, true
}

// ClassTable returns the measures by class of the classifier that r trained as a table, with their means: of all
// classes in their order, or where there are more than most, of those of the lowest F1. It is nil where a record gives
// none.
func ClassTable(r run.Record, most int) (*table.Table, error) {
	c, err := Confusion(r)
	if err != nil || c == nil {
		return nil, err
	}
	all := c.Counts.ByClass()
	macro := metrics.Macro(all)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	head := "class"
	if len(all) > most {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].F1, all[b].F1) })
		order = order[:most]
		head = fmt.Sprintf("class, %d of %d with the lowest F1", most, len(all))
	}
	percent := func(v float64) table.Cell { return table.Number("%.2f", 100*v) }
	t := table.New("lrrrrl", head, "n", "precision %", "recall %", "F1 %", "most often taken for")
	for _, i := range order {
		s, other := all[i], -1
		for j, n := range c.Counts[i] {
			if j != i && n > 0 && (other < 0 || n > c.Counts[i][other]) {
				other = j
			}
		}
		taken := ""
		if other >= 0 {
			taken = fmt.Sprintf("%s (%d)", c.Names[other], c.Counts[i][other])
		}
		t.Row(c.Names[i], s.N, percent(s.Precision), percent(s.Recall), percent(s.F1), taken)
	}
	n := 0
	for _, s := range all {
		n += s.N
	}
	t.Row("mean over classes (macro)", n, percent(macro.Precision), percent(macro.Recall), percent(macro.F1), "")
	return t, nil
}

// ClassFigures draws the confusion matrix of the classifier that r trained as confusion.png and confusion.svg into dir,
// and returns both names; none where a record gives none.
func ClassFigures(r run.Record, dir string) ([]string, error) {
	c, err := Confusion(r)
	if err != nil || c == nil {
		return nil, err
	}
	macro := metrics.Macro(c.Counts.ByClass())
	h := plot.Heat{Title: "Confusion matrix", Warning: warning([]run.Record{r}), XLabel: "predicted class",
		YLabel: "class",
		Names:  c.Names, Counts: c.Counts,
		Subtitle: fmt.Sprintf("%s · %s, seed %d · macro F1 %.1f %% · colours: share of a class", setName(r),
			r.Variant, r.Seed, 100*macro.F1)}
	return h.Save(filepath.Join(dir, "confusion"))
}
