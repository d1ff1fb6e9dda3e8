package document

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"dla/internal/atomicfile"
	"dla/internal/table"
)

//go:embed page.html
var pageText string

// pageHTML is the page. Whatever comes from records is escaped by html/template; figures are checked by checkSVG.
var pageHTML = template.Must(template.New("page").Funcs(template.FuncMap{"grid": grid}).Parse(pageText))

// gridOf is a table as readers see it.
type gridOf struct {
	Heads []table.Head
	Rows  [][]table.Shown
}

func grid(t *table.Table) gridOf {
	heads, rows := t.Grid()
	return gridOf{heads, rows}
}

// printable returns text without control characters, which a reader of the file could act on.
func printable(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || 0x7f <= r && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

// writeHTML writes p as one file that needs nothing else.
func writeHTML(path string, p page) ([]string, error) {
	var b bytes.Buffer
	if err := pageHTML.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return []string{path}, atomicfile.WriteBytes(path, printable(b.Bytes()))
}
