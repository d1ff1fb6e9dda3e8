package table

import (
	"fmt"
	"io"
	"strings"
)

// The formats of tables.
const (
	Text     = "text"
	Markdown = "markdown"
	CSV      = "csv"
	LaTeX    = "latex"
	JSON     = "json"
)

// Formats are the names of all formats.
var Formats = []string{Text, Markdown, CSV, LaTeX, JSON}

// Write writes ts in a format of Formats.
func Write(w io.Writer, format string, ts Tables) error {
	switch format {
	case Text:
		return ts.text(w)
	case Markdown:
		return ts.markdown(w)
	case CSV:
		return ts.csv(w)
	case LaTeX:
		return ts.latex(w)
	case JSON:
		return ts.json(w)
	}
	return CheckFormat(format)
}

// CheckFormat returns an error for a name that is not in Formats.
func CheckFormat(name string) error {
	for _, f := range Formats {
		if f == name {
			return nil
		}
	}
	return fmt.Errorf("there is no format %q; want %s", name, strings.Join(Formats, ", "))
}

// parts writes ts, with an empty line between two of its parts.
func (ts Tables) parts(w io.Writer, text func(string) string, table func(*Table) string) error {
	for i, p := range ts {
		one := ""
		if p.Table != nil {
			one = table(p.Table)
		} else {
			one = text(p.Text) + "\n"
		}
		if i > 0 {
			one = "\n" + one
		}
		if _, err := io.WriteString(w, one); err != nil {
			return err
		}
	}
	return nil
}
