package table

import (
	"io"
	"strings"
	"unicode/utf8"
)

// text writes columns aligned by spaces. A star follows the best value of a column.
func (ts Tables) text(w io.Writer) error {
	return ts.parts(w, func(s string) string { return s }, (*Table).String)
}

// String returns the table as text.
func (t *Table) String() string {
	heads, rows := t.Grid()
	lines := make([][]string, len(rows)+1)
	width := make([]int, len(heads))
	for i, h := range heads {
		lines[0] = append(lines[0], h.Text)
		if t.NoHead {
			lines[0][i] = ""
		}
		starred := false
		for _, r := range rows {
			starred = starred || r[i].Best
		}
		for j, r := range rows {
			cell := r[i].Text
			switch {
			case r[i].Best:
				cell += "*"
			case starred && h.Right && cell != "":
				cell += " "
			}
			lines[j+1] = append(lines[j+1], cell)
		}
		for _, l := range lines {
			width[i] = max(width[i], utf8.RuneCountInString(l[i]))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(oneLine(t.Title) + "\n")
	}
	if t.NoHead {
		lines = lines[1:]
	}
	for _, l := range lines {
		var line strings.Builder
		for i, cell := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if heads[i].Right {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
