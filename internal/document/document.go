// Package document writes reports of runs as one file: HTML with its figures inside, or Markdown with its figures in a
// folder beside it. It is made from records alone. Each part of a report has a file and an entry in sections.
package document

import (
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/run"
	"dla/internal/table"
)

// Content is what a report is made from.
type Content struct {
	Runs     []run.Record // none broken
	Missing  []Missing    // runs of their studies that are not among them: never begun, or not finished
	Unknown  []Unknown    // studies of which nobody can tell whether they are complete
	Again    string       // the command that makes the report again
	Notes    []string     // remarks on the report itself, such as broken runs that it leaves out
	finished []run.Record // those of Runs with a result
	results  []recorded   // of finished
}

// Missing is a run that a study should have made.
type Missing struct {
	Variant string // or the experiment, where the variant is not known
	Seed    uint64
	State   string // not begun, interrupted, …
	Command string // makes it, or continues it
}

// Unknown is a study whose settings cannot be told, with the reason.
type Unknown struct{ Command, Why string }

// Block is a piece of a section; one of its fields is set.
type Block struct {
	Text    string
	Warning string
	Facts   []Fact
	Code    string
	Table   *table.Table
	Figure  *Figure
	Details *Details
}

// Fact is a name and what it stands for.
type Fact struct{ Name, Value string }

// Details are blocks that are folded away in HTML.
type Details struct {
	Summary string
	Blocks  []Block
}

// Figure is a drawing.
type Figure struct {
	Name string // of its file, without extension
	Alt  string
	svg  []byte
}

// Section is a part of a report.
type Section struct {
	ID, Title string
	Blocks    []Block
}

// sections are the parts of a report in order. A part without blocks is left out.
var sections = []struct {
	id, title string
	make      func(*Content) ([]Block, error)
}{
	{"what", "What was run", whatWasRun},
	{"sweeps", "Sweeps", sweeps},
	{"results", "Results", results},
	{"figures", "Figures", figures},
	{"checks", "Self-checks", selfChecks},
	{"missing", "What was not run", notRun},
	{"reproduce", "How to reproduce", howToReproduce},
	{"runs", "The runs", theRuns},
}

// page is a report before it is written.
type page struct {
	Title, About string
	Sections     []Section
}

// Write writes the report of c to path, whole or not at all: HTML for .html and .htm, Markdown for .md and .markdown.
// It returns the files and folders it wrote.
func Write(path string, c Content) ([]string, error) {
	write := map[string]func(string, page) ([]string, error){".html": writeHTML, ".htm": writeHTML, ".md": writeMarkdown,
		".markdown": writeMarkdown}[strings.ToLower(filepath.Ext(path))]
	if write == nil {
		return nil, CheckName(path)
	}
	if len(c.Runs) == 0 {
		return nil, fmt.Errorf("there are no runs to report")
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	p := page{Title: c.title(), About: c.about()}
	for _, s := range sections {
		blocks, err := s.make(&c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.ToLower(s.title), err)
		}
		if len(blocks) > 0 {
			p.Sections = append(p.Sections, Section{s.id, s.title, blocks})
		}
	}
	return write(path, p)
}

// CheckName returns an error unless path names a format by its extension.
func CheckName(path string) error {
	if !slices.Contains([]string{".html", ".htm", ".md", ".markdown"}, strings.ToLower(filepath.Ext(path))) {
		return fmt.Errorf("%s: a report is written as .html or .md; give it one of these extensions", path)
	}
	return nil
}

// unique returns the values of of in the order of their first runs, without empty ones.
func unique(recs []run.Record, of func(run.Record) string) (all []string) {
	for _, r := range recs {
		if v := of(r); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// counted returns "1 run" or "3 runs".
func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// HTML returns the drawing for a page: see inline.
func (f *Figure) HTML() template.HTML { return inline(f.svg) }
