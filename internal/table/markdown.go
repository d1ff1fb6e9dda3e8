package table

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page returns ts as on the pages of the repository: without bold values and columns of intervals. Cells may hold
// Markdown of their own, so only what would end a cell is escaped.
func (ts Tables) Page() string {
	var b strings.Builder
	_ = ts.parts(&b, func(s string) string { return s }, (*Table).Page) // a builder never fails
	return b.String()
}

// Page returns the table as Tables.Page does.
func (t *Table) Page() string {
	var heads []Head
	for _, c := range t.Columns {
		heads = append(heads, Head{cellText.Replace(c.Head), c.Right})
	}
	var rows [][]string
	for _, r := range t.Rows {
		var row []string
		for _, c := range r {
			row = append(row, cellText.Replace(c.Text))
		}
		rows = append(rows, row)
	}
	return markdownTable(heads, rows)
}

// cellText escapes characters in names and messages from records that would end a cell.
var cellText = strings.NewReplacer("|", `\|`, "\r", " ", "\n", " ")

// markdownTable returns a table of cells that are Markdown.
func markdownTable(heads []Head, rows [][]string) string {
	var b strings.Builder
	for _, h := range heads {
		b.WriteString("| " + h.Text + " ")
	}
	b.WriteString("|\n")
	for _, h := range heads {
		b.WriteString("|---")
		if h.Right {
			b.WriteByte(':')
		}
	}
	b.WriteString("|\n")
	for _, r := range rows {
		for _, cell := range r {
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// markdown writes ts for a Markdown file: names and messages are text whatever they hold, and the best values are bold.
func (ts Tables) markdown(w io.Writer) error {
	return ts.parts(w, EscapeMarkdown, (*Table).Markdown)
}

// Markdown returns the table with its title in bold, for a Markdown file.
func (t *Table) Markdown() string {
	heads, grid := t.Grid()
	for i := range heads {
		heads[i].Text = EscapeMarkdown(heads[i].Text)
	}
	var rows [][]string
	for _, r := range grid {
		var row []string
		for _, c := range r {
			cell := EscapeMarkdown(c.Text)
			if c.Best {
				cell = "**" + cell + "**"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	text := markdownTable(heads, rows)
	if t.Title != "" {
		text = "**" + EscapeMarkdown(oneLine(t.Title)) + "**\n\n" + text
	}
	return text
}

// EscapeMarkdown returns text that a Markdown reader shows as it is: nothing in it is a link, a tag or emphasis.
func EscapeMarkdown(text string) string {
	var b strings.Builder
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before := rune('\n')
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		after, _ := utf8.DecodeRuneInString(text[i+size:])
		switch {
		case strings.ContainsRune("\\`*[]<>|~&$@", r),
			r == '_' && (!word(before) || !word(after)),
			strings.ContainsRune("#+-=", r) && before == '\n' && (after == ' ' || after == r), // a heading, a list or a rule
			r == '!' && after == '[',
			r == '.' && unicode.IsDigit(before) && lineOfDigits(text[:i]) && !word(after), // a numbered list
			r == ':' && strings.HasPrefix(text[i:], "://"):                                // a bare address would become a link
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

// lineOfDigits reports whether the last line of text has digits alone: with a dot they would begin a list.
func lineOfDigits(text string) bool {
	line := text[strings.LastIndexByte(text, '\n')+1:]
	return line != "" && strings.Trim(line, "0123456789") == ""
}
