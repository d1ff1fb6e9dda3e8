package table

import (
	"io"
	"strings"
	"unicode"
)

// latex writes a tabular with the rules of booktabs for each table, best values in bold, and the text as comments.
func (ts Tables) latex(w io.Writer) error {
	comment := func(s string) string {
		return "% " + strings.ReplaceAll(strings.ReplaceAll(s, "\r", " "), "\n", "\n% ")
	}
	first := true
	return ts.parts(w, comment, func(t *Table) string {
		text := t.latex()
		if first {
			text = "% \\usepackage{booktabs}\n" + text
		}
		first = false
		return text
	})
}

func (t *Table) latex() string {
	heads, rows := t.Grid()
	var b strings.Builder
	if t.Title != "" {
		b.WriteString("% " + oneLine(t.Title) + "\n")
	}
	b.WriteString("\\begin{tabular}{")
	var cells []string
	for _, h := range heads {
		if h.Right {
			b.WriteByte('r')
		} else {
			b.WriteByte('l')
		}
		cells = append(cells, EscapeLaTeX(h.Text))
	}
	b.WriteString("}\n\\toprule\n" + latexRow(cells) + "\\midrule\n")
	for _, r := range rows {
		cells = nil
		for _, c := range r {
			cell := EscapeLaTeX(c.Text)
			if c.Best {
				cell = `\textbf{` + cell + `}`
			}
			cells = append(cells, cell)
		}
		b.WriteString(latexRow(cells))
	}
	b.WriteString("\\bottomrule\n\\end{tabular}\n")
	return b.String()
}

// latexRow returns a row. A first cell that begins with a bracket would be the argument of the line before.
func latexRow(cells []string) string {
	row := strings.Join(cells, " & ")
	if strings.HasPrefix(row, "[") || strings.HasPrefix(row, "*") {
		row = "{}" + row
	}
	return row + " \\\\\n"
}

// latexSigns are the characters that LaTeX reads otherwise, and those of our texts that its fonts lack.
var latexSigns = map[rune]string{
	'\\': `\textbackslash{}`, '{': `\{`, '}': `\}`, '$': `\$`, '&': `\&`, '#': `\#`, '%': `\%`, '_': `\_`,
	'^': `\textasciicircum{}`, '~': `\textasciitilde{}`, '<': `\textless{}`, '>': `\textgreater{}`,
	'|': `\textbar{}`, '"': "''",
	'±': `$\pm$`, '–': `--`, '—': `---`, '−': `$-$`, '×': `$\times$`, '·': `$\cdot$`, '→': `$\to$`, '≤': `$\le$`,
	'≥': `$\ge$`, '…': `\dots{}`, '∞': `$\infty$`, 'µ': `$\mu$`, '\u00a0': `~`, '°': `$^\circ$`,
	'“': "``", '”': "''", '‘': "`", '’': "'",
}

// EscapeLaTeX returns text that LaTeX sets as it is. Control characters become spaces.
func EscapeLaTeX(text string) string {
	var b strings.Builder
	for i, r := range text {
		sign, special := latexSigns[r]
		switch {
		case special:
			b.WriteString(sign)
		case r == '-' && (i == 0 || text[i-1] == ' ' || text[i-1] == '(') && startsNumber(text[i+1:]):
			b.WriteString(`$-$`)
		case r == '-' && strings.HasPrefix(text[i+1:], "-"): // two would become a dash
			b.WriteString(`-{}`)
		case unicode.IsControl(r):
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func startsNumber(text string) bool { return text != "" && '0' <= text[0] && text[0] <= '9' }
