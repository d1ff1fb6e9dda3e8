package document

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/table"
)

// writeMarkdown writes p, and its figures into a folder named after the file: report_files beside report.md.
func writeMarkdown(path string, p page) ([]string, error) {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) + "_files"
	dir := filepath.Join(filepath.Dir(path), name)
	var figures []*Figure
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", table.EscapeMarkdown(p.Title), table.EscapeMarkdown(p.About))
	var write func(blocks []Block)
	write = func(blocks []Block) {
		for _, x := range blocks {
			b.WriteString("\n")
			switch {
			case x.Warning != "":
				fmt.Fprintf(&b, "> **Note:** %s\n", quoted(x.Warning))
			case x.Facts != nil:
				for _, f := range x.Facts {
					fmt.Fprintf(&b, "- **%s:** %s\n", table.EscapeMarkdown(f.Name), oneLine(f.Value))
				}
			case x.Code != "":
				b.WriteString(fenced(x.Code))
			case x.Table != nil:
				b.WriteString(x.Table.Markdown())
			case x.Figure != nil:
				figures = append(figures, x.Figure)
				fmt.Fprintf(&b, "![%s](<%s/%s.svg>)\n", table.EscapeMarkdown(x.Figure.Alt), name, x.Figure.Name)
			case x.Details != nil:
				fmt.Fprintf(&b, "**%s**\n", oneLine(x.Details.Summary))
				write(x.Details.Blocks)
			default:
				b.WriteString(table.EscapeMarkdown(x.Text) + "\n")
			}
		}
	}
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "\n## %s\n", s.Title)
		write(s.Blocks)
	}
	files := []string{path}
	if len(figures) > 0 {
		if err := onlyFigures(dir); err != nil {
			return nil, err
		}
		if err := atomicfile.ReplaceFolder(dir, 0o777, func(tmp string) error {
			for _, f := range figures {
				if err := os.WriteFile(filepath.Join(tmp, f.Name+".svg"), f.svg, 0o666); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
		files = append(files, dir)
	}
	return files, atomicfile.WriteBytes(path, printable([]byte(b.String())))
}

// onlyFigures returns an error if dir holds anything but drawings: it is replaced.
func onlyFigures(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.IsDir() || filepath.Ext(e.Name()) != ".svg" {
			return fmt.Errorf("%s is to hold the figures, and has %s in it; move that, or give the report another name", dir,
				e.Name())
		}
	}
	return nil
}

// oneLine returns text in one line of Markdown.
func oneLine(text string) string {
	return table.EscapeMarkdown(strings.Join(strings.Fields(text), " "))
}

// quoted returns text as the lines of a quotation.
func quoted(text string) string {
	return strings.ReplaceAll(table.EscapeMarkdown(text), "\n", "\n> ")
}

// fenced returns text between fences that are longer than any in it.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "\n" + strings.TrimRight(text, "\n") + "\n" + fence + "\n"
}
