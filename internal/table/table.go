// Package table holds the one type of table that commands, pages and reports show, and writes it in every format: text,
// Markdown, CSV, LaTeX and JSON. A cell has the text that readers see and, where it is a number, its full precision.
package table

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"dla/internal/metrics"
)

// Table is a head and rows of cells.
type Table struct {
	Title   string // what the rows are; "": the command or the page says it
	Columns []Column
	Rows    [][]Cell
	NoHead  bool // plain text leaves the head out, for commands whose lines other programs read
}

// Column describes the cells of a column.
type Column struct {
	Head     string
	Right    bool // aligned right
	Best     Best // which of its values is set in bold
	Interval bool // its 95 % intervals are shown in a column after it; pages of the repository leave them out
}

// Best says which values of a column are the best ones.
type Best int8

// The best value of a column is the largest, the smallest, or there is none.
const (
	None    Best = 0
	Largest Best = 1
	Least   Best = -1
)

// Cell is a cell as readers see it. Value is nil for text.
type Cell struct {
	Text  string
	Value *Value
	Full  string // what programs read in place of Text, where that is shortened
}

// Value is the number of a cell in full precision, in the unit of the column's head. What is unknown is NaN.
type Value struct {
	N            int     // the values that Mean is of, such as those of three seeds; 0: it is a plain number
	Mean         float64 // or the number itself
	SD           float64 // sample standard deviation (n-1)
	Lower, Upper float64 // of the 95 % interval
	Of           string  // what the interval is over: Seeds, Examples or ""

	format  string // of the bounds
	literal string // of a whole number, which a float64 may not hold
}

// What an interval is over.
const (
	Seeds    = "seeds"    // Student's interval of the mean over seeds
	Examples = "examples" // of one run, over the examples that it was evaluated on
)

// Number returns the cell of a plain number, shown in a format such as "%.2f".
func Number(format string, v float64) Cell {
	return Cell{Text: fmt.Sprintf(format, v), Value: plain(v)}
}

// Short returns the cell of a text of which readers see the first characters alone.
func Short(text string, characters int) Cell {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if runes := []rune(line); len(runes) > characters {
		line, more = string(runes[:characters]), true
	}
	if !more {
		return Cell{Text: line}
	}
	return Cell{Text: line + "…", Full: text}
}

func plain(v float64) *Value {
	nan := math.NaN()
	return &Value{Mean: v, SD: nan, Lower: nan, Upper: nan}
}

// Spread returns the cell of several values: mean ± sample standard deviation with Student's 95 % interval of the mean,
// the value alone if there is only one, or an empty cell if there is none. format is that of the mean, such as "%.2f".
func Spread(format string, x []float64) Cell {
	if len(x) == 0 {
		return Cell{}
	}
	v := &Value{N: len(x), format: format}
	v.Mean, v.SD = metrics.MeanStd(x)
	v.Lower, v.Upper = metrics.Student(x)
	c := Cell{Text: fmt.Sprintf(format, v.Mean), Value: v}
	if len(x) > 1 {
		c.Text += fmt.Sprintf(" ± "+strings.Replace(format, "+", "", 1), v.SD)
		v.Of = Seeds
	}
	return c
}

// Within returns c with the interval of a single run over its examples. A cell of several runs keeps the interval over
// seeds: it holds the spread of both.
func (c Cell) Within(lower, upper float64) Cell {
	if c.Value == nil || c.Value.N > 1 {
		return c
	}
	v := *c.Value
	v.Lower, v.Upper, v.Of = lower, upper, Examples
	c.Value = &v
	return c
}

// Interval returns the cell of an estimate from n examples, whose text shows its interval.
func Interval(text string, v, lower, upper float64) Cell {
	return Cell{Text: text, Value: &Value{N: 1, Mean: v, SD: math.NaN(), Lower: lower, Upper: upper, Of: Examples}}
}

// bounds returns the interval as readers see it; "" if there is none.
func (v *Value) bounds() string {
	if v == nil || math.IsNaN(v.Lower) || math.IsNaN(v.Upper) {
		return ""
	}
	format := v.format
	if format == "" {
		format = "%.4g"
	}
	return fmt.Sprintf(format+"–"+format, v.Lower, v.Upper)
}

// New returns a table without rows. align has a letter for each column: l for left, r for right.
func New(align string, heads ...string) *Table {
	t := &Table{}
	for i, h := range heads {
		t.Columns = append(t.Columns, Column{Head: h, Right: i < len(align) && align[i] == 'r'})
	}
	return t
}

// Titled returns t with a title.
func (t *Table) Titled(title string) *Table {
	t.Title = title
	return t
}

// Mark says which values are best in the columns with the given heads, and that the intervals of these columns are
// shown if interval is set.
func (t *Table) Mark(best Best, interval bool, heads ...string) *Table {
	for i := range t.Columns {
		for _, h := range heads {
			if t.Columns[i].Head == h {
				t.Columns[i].Best, t.Columns[i].Interval = best, interval
			}
		}
	}
	return t
}

// Row adds a row of cells, numbers and texts. Those that are missing at its end are empty.
func (t *Table) Row(cells ...any) {
	row := make([]Cell, len(t.Columns))
	for i := range row {
		if i < len(cells) {
			row[i] = cellOf(cells[i])
		}
	}
	t.Rows = append(t.Rows, row)
}

func cellOf(v any) Cell {
	switch v := v.(type) {
	case nil:
		return Cell{}
	case Cell:
		return v
	case int, int32, int64, uint64:
		text := fmt.Sprint(v)
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return Cell{Text: text}
		}
		p := plain(f)
		p.literal = text
		return Cell{Text: text, Value: p}
	case float64:
		return Cell{Text: fmt.Sprint(v), Value: plain(v)}
	}
	return Cell{Text: fmt.Sprint(v)}
}

// DropEmpty removes the columns with the given heads that are empty in every row, if there are rows.
func (t *Table) DropEmpty(heads ...string) *Table {
	for _, h := range heads {
		for i := len(t.Columns) - 1; i >= 0; i-- {
			if t.Columns[i].Head == h && len(t.Rows) > 0 && t.empty(i) {
				t.drop(i)
			}
		}
	}
	return t
}

func (t *Table) empty(column int) bool {
	for _, r := range t.Rows {
		if r[column].Text != "" {
			return false
		}
	}
	return true
}

func (t *Table) drop(column int) {
	t.Columns = append(t.Columns[:column:column], t.Columns[column+1:]...)
	for i, r := range t.Rows {
		t.Rows[i] = append(r[:column:column], r[column+1:]...)
	}
}

// Tables is tables with the paragraphs between them.
type Tables []Part

// Part is a table, or a paragraph of one or several lines.
type Part struct {
	Table *Table
	Text  string
}

// Of returns the tables all.
func Of(all ...*Table) (ts Tables) {
	for _, t := range all {
		ts = append(ts, Part{Table: t})
	}
	return ts
}

// Say adds a paragraph.
func (ts *Tables) Say(format string, args ...any) {
	*ts = append(*ts, Part{Text: strings.TrimRight(fmt.Sprintf(format, args...), "\n")})
}

// Add adds a table.
func (ts *Tables) Add(t *Table) { *ts = append(*ts, Part{Table: t}) }

// All returns the tables without the text.
func (ts Tables) All() (all []*Table) {
	for _, p := range ts {
		if p.Table != nil {
			all = append(all, p.Table)
		}
	}
	return all
}

// Head is the head of a column as readers see it.
type Head struct {
	Text  string
	Right bool
}

// Shown is a cell as readers see it.
type Shown struct {
	Text  string
	Right bool
	Best  bool
}

// Grid returns the table as readers see it: with the best values marked, and a column of intervals where the table
// asks for one.
func (t *Table) Grid() (heads []Head, rows [][]Shown) {
	rows = make([][]Shown, len(t.Rows))
	for i, c := range t.Columns {
		heads = append(heads, Head{c.Head, c.Right})
		best := t.best(i)
		shown := false
		for j, r := range t.Rows {
			rows[j] = append(rows[j], Shown{oneLine(r[i].Text), c.Right, best[j]})
			shown = shown || c.Interval && r[i].Value.bounds() != ""
		}
		if !shown {
			continue
		}
		heads = append(heads, Head{"95 % interval", true})
		for j, r := range t.Rows {
			rows[j] = append(rows[j], Shown{r[i].Value.bounds(), true, false})
		}
	}
	return heads, rows
}

// best returns which rows have the best value of a column. None has it where all rows are as good, or only one has a
// value.
func (t *Table) best(column int) []bool {
	best := make([]bool, len(t.Rows))
	sign := float64(t.Columns[column].Best)
	if sign == 0 {
		return best
	}
	top, text, values := math.Inf(-1), "", 0
	number := func(c Cell) (float64, bool) {
		if c.Value == nil || math.IsNaN(c.Value.Mean) {
			return 0, false
		}
		return sign * c.Value.Mean, true
	}
	for _, r := range t.Rows {
		if v, ok := number(r[column]); ok {
			if values++; v > top {
				top, text = v, mean(r[column])
			}
		}
	}
	as := 0
	for i, r := range t.Rows {
		if _, ok := number(r[column]); ok && mean(r[column]) == text { // equal as far as readers see
			best[i] = true
			as++
		}
	}
	if as == values {
		return make([]bool, len(t.Rows))
	}
	return best
}

// mean returns the first number in a cell's text.
func mean(c Cell) string {
	text, _, _ := strings.Cut(c.Text, " ")
	return text
}

// oneLine returns text without line breaks.
func oneLine(text string) string {
	return strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ").Replace(text)
}
