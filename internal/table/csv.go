package table

import (
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// kinds of columns in CSV and JSON.
const (
	kindText      = "text"
	kindNumber    = "number"
	kindStatistic = "statistic" // n, mean, standard deviation, bounds
)

// kind returns what the cells of a column are: statistics if any is one, else numbers if any is one.
func (t *Table) kind(column int) string {
	kind := kindText
	for _, r := range t.Rows {
		v := r[column].Value
		if v == nil {
			continue
		}
		if v.N > 0 {
			return kindStatistic
		}
		kind = kindNumber
	}
	return kind
}

// keys returns a name for each column that programs can use: test_accuracy_percent for "test accuracy %". Two columns
// of one head have different names.
func (t *Table) keys() []string {
	var keys []string
	for _, c := range t.Columns {
		key := Key(c.Head)
		for n := 2; slices.Contains(keys, key); n++ {
			key = Key(c.Head) + "_" + strconv.Itoa(n)
		}
		keys = append(keys, key)
	}
	return keys
}

// Key returns head as a name in a program: words of small letters and digits joined by underscores, percent for %.
func Key(head string) string {
	words := strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(head, "%", " percent ")), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if len(words) == 0 {
		return "column"
	}
	return strings.Join(words, "_")
}

// number returns a number in full precision; "" for NaN.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// statistics are the parts of a statistic in CSV and JSON.
var statistics = []struct {
	name string
	of   func(*Value) string
}{
	{"n", func(v *Value) string { return strconv.Itoa(v.N) }},
	{"mean", func(v *Value) string { return number(v.Mean) }},
	{"sd", func(v *Value) string { return number(v.SD) }},
	{"lower", func(v *Value) string { return number(v.Lower) }},
	{"upper", func(v *Value) string { return number(v.Upper) }},
}

// fields returns the names of a column's fields in CSV.
func fields(key, kind string) []string {
	if kind != kindStatistic {
		return []string{key}
	}
	var names []string
	for _, s := range statistics {
		names = append(names, key+"_"+s.name)
	}
	return names
}

// values returns the fields of a cell in CSV. A cell without a number in a column of numbers is empty, unless its text
// says more than that there is none.
func (c Cell) values(kind string) []string {
	switch {
	case kind == kindText:
		return []string{c.full()}
	case kind == kindNumber && c.Value == nil:
		return []string{c.remark()}
	case kind == kindNumber && c.Value.literal != "":
		return []string{c.Value.literal}
	case kind == kindNumber:
		return []string{number(c.Value.Mean)}
	}
	var all []string
	for _, s := range statistics {
		text := ""
		if c.Value != nil {
			v := *c.Value
			v.N = max(v.N, 1)
			text = s.of(&v)
		}
		all = append(all, text)
	}
	return all
}

// full returns the text for programs.
func (c Cell) full() string {
	if c.Full != "" {
		return c.Full
	}
	return c.Text
}

// remark returns the text of a cell that has no number, without signs for nothing.
func (c Cell) remark() string {
	if c.Text == "-" || c.Text == "–" {
		return ""
	}
	return c.Text
}

// csv writes the tables without the text between them, after RFC 4180: numbers in full precision, each statistic in
// five fields. Several tables have all their fields side by side, and a first field with the number of the table, so
// that a program reads them as one.
func (ts Tables) csv(w io.Writer) error {
	all := ts.All()
	var names []string
	for _, t := range all {
		for i, key := range t.keys() {
			for _, f := range fields(key, t.kind(i)) {
				if !slices.Contains(names, f) {
					names = append(names, f)
				}
			}
		}
	}
	out := csv.NewWriter(w)
	head := names
	if len(all) > 1 {
		head = append([]string{"table"}, names...)
	}
	if len(head) == 0 {
		return nil
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for n, t := range all {
		keys := t.keys()
		for _, r := range t.Rows {
			record := make([]string, len(names))
			for i, c := range r {
				kind := t.kind(i)
				values := c.values(kind)
				for j, f := range fields(keys[i], kind) {
					record[slices.Index(names, f)] = values[j]
				}
			}
			if len(all) > 1 {
				record = append([]string{strconv.Itoa(n + 1)}, record...)
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
