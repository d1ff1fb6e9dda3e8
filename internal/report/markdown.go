package report

import (
	"fmt"
	"strings"
)

// mdTable is a Markdown table under construction.
type mdTable struct {
	b     strings.Builder
	align string
}

// newTable begins a table with the given column heads. align has a letter for each column: l for left, r for right.
func newTable(align string, heads ...string) *mdTable {
	t := &mdTable{align: align}
	cells := make([]any, len(heads))
	for i, h := range heads {
		cells[i] = h
	}
	t.row(cells...)
	for _, a := range align {
		t.b.WriteString("|---")
		if a == 'r' {
			t.b.WriteByte(':')
		}
	}
	t.b.WriteString("|\n")
	return t
}

// row adds a row. Cells that are missing at its end are empty.
func (t *mdTable) row(cells ...any) {
	for i := range t.align {
		text := ""
		if i < len(cells) {
			text = cellText.Replace(fmt.Sprint(cells[i]))
		}
		t.b.WriteString("| " + text + " ")
	}
	t.b.WriteString("|\n")
}

// cellText escapes characters in names and messages from records that would end a cell.
var cellText = strings.NewReplacer("|", `\|`, "\r", " ", "\n", " ")

// String returns the table's text; each row ends in a line break.
func (t *mdTable) String() string { return t.b.String() }
