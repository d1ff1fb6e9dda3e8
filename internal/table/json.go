package table

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
)

// json writes the tables with the names and kinds of their columns, each row an object by these names, and the text
// beside them. Numbers have full precision; what is unknown is null.
func (ts Tables) json(w io.Writer) error {
	out := struct {
		Tables []jsonTable `json:"tables"`
		Notes  []string    `json:"notes,omitempty"`
	}{Tables: []jsonTable{}}
	for _, p := range ts {
		if p.Table == nil {
			out.Notes = append(out.Notes, p.Text)
			continue
		}
		out.Tables = append(out.Tables, p.Table.toJSON())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

type jsonTable struct {
	Title   string       `json:"title,omitempty"`
	Columns []jsonColumn `json:"columns"`
	Rows    []ordered    `json:"rows"`
}

type jsonColumn struct {
	Key  string `json:"key"`
	Head string `json:"head"`
	Kind string `json:"kind"` // text, number or statistic
}

// statistic is a number with its sample in JSON.
type statistic struct {
	N     int      `json:"n"`
	Mean  *float64 `json:"mean"`
	SD    *float64 `json:"sd"`
	Lower *float64 `json:"lower"`
	Upper *float64 `json:"upper"`
	Over  string   `json:"interval_over,omitempty"`
	Text  string   `json:"text"`
}

func (t *Table) toJSON() jsonTable {
	out := jsonTable{Title: t.Title, Columns: []jsonColumn{}, Rows: []ordered{}}
	keys := t.keys()
	for i, c := range t.Columns {
		out.Columns = append(out.Columns, jsonColumn{keys[i], c.Head, t.kind(i)})
	}
	for _, r := range t.Rows {
		row := ordered{keys: keys}
		for i, c := range r {
			row.values = append(row.values, c.toJSON(t.kind(i)))
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func (c Cell) toJSON(kind string) any {
	v := c.Value
	switch {
	case kind == kindText:
		return c.full()
	case v == nil && c.remark() == "":
		return nil
	case v == nil:
		return c.Text
	case kind == kindNumber && v.literal != "":
		return json.Number(v.literal)
	case kind == kindNumber:
		return known(v.Mean)
	}
	return statistic{max(v.N, 1), known(v.Mean), known(v.SD), known(v.Lower), known(v.Upper), v.Of, c.Text}
}

// known returns a number that JSON can hold, nil for any other.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// ordered is an object with its keys in order.
type ordered struct {
	keys   []string
	values []any
}

// MarshalJSON implements json.Marshaler.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(o.values[i])
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
